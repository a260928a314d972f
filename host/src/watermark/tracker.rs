//! Event time over all partitions of a pipeline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::partition::PartitionClock;
use super::union::SourceClock;
use crate::data::{NO_TIME, PartitionRef, SourceId};

/// The clocks of a pipeline's partitions and the watermark they make.
///
/// Serialized as lists, so that it can be written as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Tracker {
    delays: BTreeMap<u32, i64>,
    clocks: BTreeMap<(u32, u32), PartitionClock>,
    watermark: i64,
    ended: bool,
}

#[derive(Serialize, Deserialize)]
struct Written {
    delays: Vec<(u32, i64)>,
    partitions: Vec<(u32, u32, PartitionClock)>,
    watermark: i64,
    ended: bool,
}

impl From<Tracker> for Written {
    fn from(tracker: Tracker) -> Self {
        Self {
            delays: tracker.delays.into_iter().collect(),
            partitions: tracker.clocks.into_iter().map(|((s, p), c)| (s, p, c)).collect(),
            watermark: tracker.watermark,
            ended: tracker.ended,
        }
    }
}

impl From<Written> for Tracker {
    fn from(written: Written) -> Self {
        Self {
            delays: written.delays.into_iter().collect(),
            clocks: written.partitions.into_iter().map(|(s, p, c)| ((s, p), c)).collect(),
            watermark: written.watermark,
            ended: written.ended,
        }
    }
}

impl Default for Tracker {
    fn default() -> Self {
        Self { delays: BTreeMap::new(), clocks: BTreeMap::new(), watermark: NO_TIME, ended: false }
    }
}

fn key(partition: PartitionRef) -> (u32, u32) {
    (partition.source.0, partition.partition.0)
}

impl Tracker {
    /// Makes a tracker that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a source's delay (0 until set).
    pub fn set_delay(&mut self, source: SourceId, delay_us: i64) {
        self.delays.insert(source.0, delay_us.max(0));
    }

    /// Returns a source's delay.
    pub fn delay(&self, source: SourceId) -> i64 {
        self.delays.get(&source.0).copied().unwrap_or_default()
    }

    /// Adds a partition at the pipeline's watermark. A known one stays as it is.
    pub fn join(&mut self, partition: PartitionRef) {
        let joined = self.watermark;
        self.clocks.entry(key(partition)).or_insert_with(|| PartitionClock::new(joined));
    }

    /// Takes note of the latest event time of rows that a partition delivered (`NO_TIME`: rows
    /// without one). A partition that delivers rows is not idle.
    pub fn observe(&mut self, partition: PartitionRef, max_event_time: i64) {
        self.join(partition);
        if let Some(clock) = self.clocks.get_mut(&key(partition)) {
            clock.max_time = clock.max_time.max(max_event_time);
            clock.idle = false;
            clock.quiet_us = 0;
        }
    }

    /// Says whether a partition is idle, from the epoch's facts.
    pub fn set_idle(&mut self, partition: PartitionRef, idle: bool) {
        if let Some(clock) = self.clocks.get_mut(&key(partition)) {
            clock.idle = idle;
            clock.quiet_us = 0;
        }
    }

    /// Says that a partition is idle and for how long it has had nothing to read, from the
    /// epoch's facts. When every partition is idle, event time goes on by that much, so that a
    /// quiet stream closes its windows.
    pub fn set_quiet(&mut self, partition: PartitionRef, quiet_us: i64) {
        if let Some(clock) = self.clocks.get_mut(&key(partition)) {
            clock.idle = true;
            clock.quiet_us = quiet_us.max(0);
        }
    }

    /// Says that a partition has ended: it is not waited for any more.
    pub fn finish(&mut self, partition: PartitionRef) {
        if let Some(clock) = self.clocks.get_mut(&key(partition)) {
            clock.finished = true;
        }
    }

    /// Says that the whole input has ended.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Returns where the source of this tracker stands as of the last `advance`, for nodes that
    /// read several.
    pub fn source_clock(&self) -> SourceClock {
        SourceClock {
            watermark: self.watermark,
            holds: self.clocks.values().any(PartitionClock::holds),
            ended: self.ended,
        }
    }

    /// Returns what is known of a partition.
    pub fn clock(&self, partition: PartitionRef) -> Option<&PartitionClock> {
        self.clocks.get(&key(partition))
    }

    /// Returns the latest event time a partition has seen, or `NO_TIME`.
    pub fn max_time(&self, partition: PartitionRef) -> i64 {
        self.clock(partition).map_or(NO_TIME, |clock| clock.max_time)
    }

    /// Returns the watermark as of the last `advance`.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Moves the watermark to where the clocks allow and returns it. It never goes back.
    ///
    /// While partitions hold it, it is the least of theirs. When none does (all are idle or
    /// finished, the input has not ended), it is the greatest, moved on by how long it has been
    /// quiet.
    pub fn advance(&mut self) -> i64 {
        let reached = if self.ended {
            i64::MAX
        } else if let Some(least) = self.held_at() {
            least
        } else {
            self.clocks
                .iter()
                .map(|((source, _), clock)| {
                    let own = clock.watermark(self.delay(SourceId(*source)));
                    let quiet = if own == NO_TIME { 0 } else { clock.quiet_us };
                    // Only the end of the input reaches `i64::MAX`.
                    own.saturating_add(quiet).min(i64::MAX - 1)
                })
                .max()
                .unwrap_or(NO_TIME)
        };
        self.watermark = self.watermark.max(reached);
        self.watermark
    }

    fn held_at(&self) -> Option<i64> {
        self.clocks
            .iter()
            .filter(|(_, clock)| clock.holds())
            .map(|((source, _), clock)| clock.watermark(self.delay(SourceId(*source))))
            .min()
            .map(|least| least.min(i64::MAX - 1))
    }

    /// Returns the partition that holds the watermark back and where it stands; nothing when
    /// none does.
    pub fn held_by(&self) -> Option<(PartitionRef, i64)> {
        self.clocks
            .iter()
            .filter(|(_, clock)| clock.holds())
            .map(|((source, partition), clock)| {
                let own = clock.watermark(self.delay(SourceId(*source)));
                let at = PartitionRef {
                    source: SourceId(*source),
                    partition: crate::data::Partition(*partition),
                };
                (at, own)
            })
            .min_by_key(|(at, own)| (*own, *at))
    }

    /// Returns all partitions and their clocks, by source and partition.
    pub fn clocks(&self) -> impl Iterator<Item = (PartitionRef, &PartitionClock)> {
        self.clocks.iter().map(|((source, partition), clock)| {
            let source = SourceId(*source);
            (PartitionRef { source, partition: crate::data::Partition(*partition) }, clock)
        })
    }
}

/// When a partition last had something to read, for the decision who is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRead {
    /// The partition.
    pub partition: PartitionRef,
    /// When it last delivered a record or joined, on the host's clock.
    pub last_read_us: i64,
    /// How long since then it could not have been read (paused, held back), so that this time
    /// does not count.
    pub unreadable_us: i64,
    /// The source's idle timeout; none: it is never idle.
    pub idle_timeout_us: Option<i64>,
}

/// Returns the partitions that are idle at `now_us` and for how long they have been quiet.
pub fn idle_candidates(now_us: i64, reads: &[LastRead]) -> Vec<(PartitionRef, i64)> {
    reads
        .iter()
        .filter_map(|read| {
            let quiet_us =
                now_us.saturating_sub(read.last_read_us).saturating_sub(read.unreadable_us);
            (quiet_us >= read.idle_timeout_us?).then_some((read.partition, quiet_us))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Partition;

    fn at(partition: u32) -> PartitionRef {
        PartitionRef { source: SourceId(0), partition: Partition(partition) }
    }

    fn tracker(delay_us: i64, partitions: u32) -> Tracker {
        let mut tracker = Tracker::new();
        tracker.set_delay(SourceId(0), delay_us);
        (0..partitions).for_each(|p| tracker.join(at(p)));
        tracker
    }

    #[test]
    fn nothing_seen_is_no_time() {
        assert_eq!(tracker(5, 0).advance(), NO_TIME);
        assert_eq!(tracker(5, 2).advance(), NO_TIME);
    }

    #[test]
    fn the_slowest_partition_holds() {
        let mut tracker = tracker(10, 2);
        tracker.observe(at(0), 100);
        assert_eq!(tracker.advance(), NO_TIME, "partition 1 has not been heard");
        tracker.observe(at(1), 50);
        assert_eq!(tracker.advance(), 40);
        assert_eq!(tracker.held_by(), Some((at(1), 40)));
        tracker.observe(at(1), 30);
        assert_eq!(tracker.advance(), 40, "an old row moves nothing");
        tracker.observe(at(1), 200);
        assert_eq!(tracker.advance(), 90);
    }

    #[test]
    fn idle_and_finished_partitions_do_not_hold() {
        let mut tracker = tracker(10, 3);
        tracker.observe(at(0), 100);
        tracker.observe(at(1), 70);
        tracker.set_idle(at(2), true);
        assert_eq!(tracker.advance(), 60);
        tracker.finish(at(1));
        assert_eq!(tracker.advance(), 90);
        tracker.observe(at(2), 20);
        assert_eq!(tracker.advance(), 90, "it never goes back");
        tracker.observe(at(0), 300);
        assert_eq!(tracker.advance(), 90, "the partition is back and holds");
        tracker.observe(at(2), 150);
        assert_eq!(tracker.advance(), 140);
    }

    #[test]
    fn a_new_partition_joins_at_the_watermark() {
        let mut tracker = tracker(0, 1);
        tracker.observe(at(0), 100);
        assert_eq!(tracker.advance(), 100);
        tracker.join(at(1));
        tracker.observe(at(0), 200);
        assert_eq!(tracker.advance(), 100, "the new one holds it");
        tracker.observe(at(1), 50);
        assert_eq!(tracker.advance(), 100);
        tracker.observe(at(1), 150);
        assert_eq!(tracker.advance(), 150);
    }

    #[test]
    fn a_quiet_stream_goes_on() {
        let mut tracker = tracker(10, 2);
        tracker.observe(at(0), 100);
        tracker.observe(at(1), 80);
        assert_eq!(tracker.advance(), 70);
        tracker.set_quiet(at(0), 5);
        tracker.set_quiet(at(1), 7);
        assert_eq!(tracker.advance(), 95);
        tracker.set_quiet(at(0), 1_000);
        assert_eq!(tracker.advance(), 1_090);
        tracker.observe(at(1), 300);
        assert_eq!(tracker.advance(), 1_090);
    }

    #[test]
    fn only_the_end_is_the_end() {
        let mut tracker = tracker(0, 1);
        tracker.observe(at(0), i64::MAX);
        assert_eq!(tracker.advance(), i64::MAX - 1);
        tracker.finish(at(0));
        assert_eq!(tracker.advance(), i64::MAX - 1);
        tracker.end();
        assert_eq!(tracker.advance(), i64::MAX);
    }

    #[test]
    fn extremes_saturate() {
        let mut tracker = tracker(i64::MAX, 1);
        tracker.observe(at(0), i64::MIN + 1);
        assert_eq!(tracker.advance(), i64::MIN);
    }

    #[test]
    fn delays_are_per_source() {
        let mut tracker = tracker(10, 1);
        let other = PartitionRef { source: SourceId(1), partition: Partition(0) };
        tracker.set_delay(SourceId(1), 50);
        tracker.join(other);
        tracker.observe(at(0), 100);
        tracker.observe(other, 100);
        assert_eq!(tracker.advance(), 50);
    }

    #[test]
    fn a_checkpoint_keeps_everything() {
        let mut tracker = tracker(10, 2);
        tracker.observe(at(0), 100);
        tracker.set_quiet(at(1), 3);
        tracker.advance();
        let text = serde_json::to_string(&tracker).unwrap();
        assert_eq!(serde_json::from_str::<Tracker>(&text).unwrap(), tracker);
    }

    #[test]
    fn idleness_counts_only_readable_time() {
        let read = |partition, last_read_us, unreadable_us, idle_timeout_us| LastRead {
            partition: at(partition),
            last_read_us,
            unreadable_us,
            idle_timeout_us,
        };
        let reads = [
            read(0, 900, 0, Some(100)),
            read(1, 901, 0, Some(100)),
            read(2, 0, 901, Some(100)),
            read(3, 0, 900, Some(100)),
            read(4, 0, 0, None),
        ];
        assert_eq!(idle_candidates(1_000, &reads), vec![(at(0), 100), (at(3), 100)]);
    }
}
