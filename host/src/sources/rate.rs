//! Rows at a fixed rate, for trying things out: `{"timestamp":"…","value":N}`.
//!
//! Row N is due `N / rows_per_second` after the first read, and its `timestamp` says so. Rows go to
//! the partitions in turn; a position is the number of the row within its partition. A source
//! that was stopped for a while catches up, after a restart too.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lane_source::LaneSource;
use super::lanes::{Lane, Lanes, Stop};
use super::writer::Writer;
use super::{Progress, ProgressUnit, SourceError, SourceState};
use crate::config::model;
use crate::data::{PartitionName, SourceId};
use crate::generate::write;

/// Rows at a fixed rate.
pub struct RateSource {
    lanes: Lanes<RateLane>,
    rows: Option<u64>,
}

impl RateSource {
    /// Makes the source; its clock starts with the first read.
    pub fn new(config: &model::RateSource, id: SourceId) -> Self {
        Self { lanes: Lanes::new(id, Self::lanes(config)), rows: config.rows }
    }

    /// Makes the source at the positions of `state`; its clock goes on from the first start, so
    /// that what was due meanwhile comes now.
    ///
    /// # Errors
    /// When it had another number of partitions.
    pub fn resume(
        config: &model::RateSource,
        id: SourceId,
        state: &SourceState,
    ) -> Result<Self, SourceError> {
        let mut lanes = Self::lanes(config);
        let started = Started::of(state, lanes.len())?;
        for (lane, partition) in lanes.iter_mut().zip(&state.partitions) {
            lane.pace.start_us = started.start_us;
            lane.done = u64::try_from(partition.position).unwrap_or(0);
            lane.ended = partition.finished;
        }
        Ok(Self { lanes: Lanes::new(id, lanes), rows: config.rows })
    }

    fn lanes(config: &model::RateSource) -> Vec<RateLane> {
        let partitions = config.partitions.max(1);
        (0..partitions)
            .map(|partition| RateLane {
                name: Arc::from(format!("rate-{partition}")),
                pace: Pace::new(Some(config.rows_per_second)),
                share: Share { partition, partitions, rows: config.rows },
                done: 0,
                ended: false,
                scratch: Vec::with_capacity(64),
            })
            .collect()
    }
}

impl LaneSource for RateSource {
    type Lane = RateLane;

    fn lanes(&self) -> &Lanes<RateLane> {
        &self.lanes
    }

    fn lanes_mut(&mut self) -> &mut Lanes<RateLane> {
        &mut self.lanes
    }

    fn detail(&self) -> serde_json::Value {
        Started { start_us: self.lanes.iter().find_map(|lane| lane.pace.start_us) }.detail()
    }

    fn progress(&self) -> Progress {
        let done = self.lanes.iter().map(|lane| lane.done).sum();
        Progress { done, total: self.rows, unit: ProgressUnit::Rows }
    }
}

/// Which rows of a numbered stream belong to one partition: every `partitions`-th.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub partition: u32,
    pub partitions: u32,
    /// Rows of the whole stream; none: endless.
    pub rows: Option<u64>,
}

impl Share {
    /// Returns the number in the stream of the partition's row `index`.
    pub fn number(self, index: u64) -> u64 {
        index.saturating_mul(u64::from(self.partitions)).saturating_add(u64::from(self.partition))
    }

    /// Returns whether the partition has no row `index`.
    pub fn is_past_end(self, index: u64) -> bool {
        self.rows.is_some_and(|rows| self.number(index) >= rows)
    }
}

/// What a checkpoint keeps of a source that keeps to a clock.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Started {
    /// When row 0 was due, microseconds since the Unix epoch; none before the first read.
    pub start_us: Option<i64>,
}

impl Started {
    /// Returns what `state` keeps of a source that has `partitions` partitions now.
    pub fn of(state: &SourceState, partitions: usize) -> Result<Self, SourceError> {
        // A row's partition follows from their number.
        let recorded = state.partitions.len();
        if recorded != partitions {
            return Err(SourceError::OtherPartitions { recorded, configured: partitions });
        }
        if state.detail.is_null() {
            return Ok(Self::default());
        }
        Self::deserialize(&state.detail).map_err(SourceError::Detail)
    }

    pub fn detail(self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Says which rows are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// None: all at once. 0: none ever.
    rows_per_second: Option<u64>,
    /// When row 0 was due; the first read, unless a checkpoint says when that was.
    pub start_us: Option<i64>,
    now_us: i64,
}

impl Pace {
    pub fn new(rows_per_second: Option<u64>) -> Self {
        Self { rows_per_second, start_us: None, now_us: 0 }
    }

    pub fn tick(&mut self, now_us: i64) {
        self.start_us = self.start_us.or(Some(now_us));
        self.now_us = now_us;
    }

    /// Returns when row `number` is due, microseconds since the Unix epoch.
    pub fn due_us(self, number: u64) -> i64 {
        let after = match self.rows_per_second {
            None => 0,
            Some(rate) => (u128::from(number) * 1_000_000)
                .checked_div(u128::from(rate))
                .and_then(|after| i64::try_from(after).ok())
                .unwrap_or(i64::MAX),
        };
        self.start_us.unwrap_or(self.now_us).saturating_add(after)
    }

    /// Returns whether row `number` is due.
    pub fn is_due(self, number: u64) -> bool {
        match self.rows_per_second {
            None => true,
            Some(0) => false,
            Some(_) => self.due_us(number) <= self.now_us,
        }
    }
}

pub(super) struct RateLane {
    name: PartitionName,
    pace: Pace,
    share: Share,
    done: u64,
    /// A checkpoint says that it was over.
    ended: bool,
    scratch: Vec<u8>,
}

impl Lane for RateLane {
    fn name(&self) -> PartitionName {
        Arc::clone(&self.name)
    }

    fn tick(&mut self, now_us: i64) -> Result<(), SourceError> {
        self.pace.tick(now_us);
        Ok(())
    }

    fn pull(&mut self, out: &mut Writer<'_>) -> Result<Stop, SourceError> {
        loop {
            if self.finished() {
                return Ok(Stop::Ended);
            }
            let position = self.position();
            if !out.wants(position) {
                return Ok(Stop::Rows);
            }
            let number = self.share.number(self.done);
            // What a replay asks for was due once.
            if !self.pace.is_due(number) && !out.is_replay() {
                return Ok(Stop::Idle);
            }
            self.scratch.clear();
            self.scratch.extend_from_slice(b"{\"timestamp\":\"");
            write::rfc3339_us(&mut self.scratch, self.pace.due_us(number));
            self.scratch.extend_from_slice(b"\",\"value\":");
            write::unsigned(&mut self.scratch, number);
            self.scratch.push(b'}');
            if !out.push(&self.scratch, position, position.saturating_add(1)) {
                return Ok(Stop::Bytes);
            }
            self.done += 1;
        }
    }

    fn seek(&mut self, position: i64) -> Result<(), SourceError> {
        self.done = u64::try_from(position).unwrap_or(0);
        self.ended = false;
        Ok(())
    }

    fn position(&self) -> i64 {
        i64::try_from(self.done).unwrap_or(i64::MAX)
    }

    fn finished(&self) -> bool {
        self.ended || self.share.is_past_end(self.done)
    }
}
