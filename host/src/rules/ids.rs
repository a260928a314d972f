//! Alert ids: the same alert has the same id after a replay, a crash or another cut of the stream.
//!
//! An id is the stable 128-bit hash, in hex, of (pipeline, rule, key, subject, ordinal), each with
//! its length before it. The ordinal tells several alerts of one key about one subject apart. Counts
//! are kept until the watermark passes the subject, when no further row of it can come. A revision
//! counts anew, so that it keeps the ids of the first firing.

use std::collections::BTreeMap;

use crate::data::PartitionRef;
use crate::hash::hash128;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A window's row.
    Window { start_us: i64, end_us: i64 },
    /// A record of a source.
    Record { from: PartitionRef, position: i64 },
    /// A row that belongs to no one partition.
    Row { time_us: i64, position: i64 },
    /// A timer, and when it fired: later than asked for when it was set for a time already past.
    Timer { at_us: i64, fired_us: i64 },
}

impl Subject {
    fn write(self, out: &mut Vec<u8>) {
        let (tag, a, b, c): (u8, i64, i64, i64) = match self {
            Self::Window { start_us, end_us } => (1, start_us, end_us, 0),
            Self::Record { from, position } => {
                (2, i64::from(from.source.0), i64::from(from.partition.0), position)
            }
            Self::Row { time_us, position } => (3, time_us, position, 0),
            Self::Timer { at_us, fired_us } => (4, at_us, fired_us, 0),
        };
        out.push(tag);
        for number in [a, b, c] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// How many alerts a subject has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    /// The subject's time, after which the count is forgotten.
    pub(super) time_us: i64,
    /// Alerts so far.
    pub(super) alerts: u64,
}

/// Makes the ids of one rule's alerts.
#[derive(Clone, Debug)]
pub(super) struct AlertIds {
    prefix: Vec<u8>,
    buffer: Vec<u8>,
    counts: BTreeMap<u128, Count>,
}

impl AlertIds {
    /// Returns ids for a rule of a pipeline.
    pub(super) fn new(pipeline: &str, rule: &str) -> Self {
        let mut prefix = Vec::new();
        put(&mut prefix, pipeline.as_bytes());
        put(&mut prefix, rule.as_bytes());
        Self { prefix, buffer: Vec::new(), counts: BTreeMap::new() }
    }

    /// Returns the id of the next alert of `key` about `subject`.
    pub(super) fn next(
        &mut self,
        key: &[u8],
        subject: Subject,
        revision: i64,
        time_us: i64,
    ) -> String {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.prefix);
        put(&mut self.buffer, key);
        let mut bytes = Vec::with_capacity(32);
        subject.write(&mut bytes);
        put(&mut self.buffer, &bytes);
        let len = self.buffer.len();
        self.buffer.extend_from_slice(&revision.to_le_bytes());
        let counted = hash128(&self.buffer);
        self.buffer.truncate(len);
        let count = self.counts.entry(counted).or_insert(Count { time_us, alerts: 0 });
        put(&mut self.buffer, &count.alerts.to_le_bytes());
        count.alerts = count.alerts.saturating_add(1);
        count.time_us = count.time_us.max(time_us);
        format!("{:032x}", hash128(&self.buffer))
    }

    /// Forgets counts of subjects before `watermark_us`.
    pub(super) fn advance(&mut self, watermark_us: i64) {
        self.counts.retain(|_, count| count.time_us >= watermark_us);
    }

    /// Returns the counts, sorted.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u128, Count)> + '_ {
        self.counts.iter().map(|(id, count)| (*id, *count))
    }

    /// Puts counts back.
    pub(super) fn restore(&mut self, counts: impl Iterator<Item = (u128, Count)>) {
        self.counts = counts.collect();
    }

    /// Returns about how much memory the counts take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.counts.len().saturating_mul(2 * size_of::<(u128, Count)>())
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    super::codec::put_bytes(out, bytes);
}
