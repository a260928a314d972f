//! The built-in generator as a source.
//!
//! The rows are those `millstream generate` writes for the same settings; with several partitions
//! they are dealt out in turn, so the data as a whole is the same for any number of partitions. A
//! position is the number of the row within its partition.

use std::sync::Arc;

use super::lane_source::LaneSource;
use super::lanes::{Lane, Lanes, Stop};
use super::rate::{Pace, Share, Started};
use super::writer::Writer;
use super::{Progress, ProgressUnit, SourceError, SourceState};
use crate::config::model;
use crate::data::{PartitionName, SourceId};
use crate::generate::{Generator, Settings};

/// Generated rows.
pub struct GeneratorSource {
    lanes: Lanes<GeneratorLane>,
    rows: Option<u64>,
}

impl GeneratorSource {
    /// Makes the source.
    ///
    /// # Errors
    /// When the settings are not those of a generator, or contradict each other.
    pub fn new(config: &model::GeneratorSource, id: SourceId) -> Result<Self, SourceError> {
        let (lanes, rows) = Self::lanes(config)?;
        Ok(Self { lanes: Lanes::new(id, lanes), rows })
    }

    /// Makes the source at the positions of `state`.
    ///
    /// # Errors
    /// As `new`, and when it had another number of partitions.
    pub fn resume(
        config: &model::GeneratorSource,
        id: SourceId,
        state: &SourceState,
    ) -> Result<Self, SourceError> {
        let (mut lanes, rows) = Self::lanes(config)?;
        let started = Started::of(state, lanes.len())?;
        for (lane, partition) in lanes.iter_mut().zip(&state.partitions) {
            lane.pace.start_us = started.start_us;
            lane.seek(partition.position)?;
            lane.ended = partition.finished;
        }
        Ok(Self { lanes: Lanes::new(id, lanes), rows })
    }

    /// Returns the partitions, and the number of rows of all together.
    fn lanes(
        config: &model::GeneratorSource,
    ) -> Result<(Vec<GeneratorLane>, Option<u64>), SourceError> {
        let settings = Settings::from_json(&config.settings)?;
        let partitions = config.partitions.max(1);
        let mut rows = None;
        let mut lanes = Vec::new();
        for partition in 0..partitions {
            let generator = Generator::new(&settings)?;
            rows = settings.rows;
            lanes.push(GeneratorLane {
                name: Arc::from(format!("generator-{partition}")),
                pace: Pace::new(config.rows_per_second),
                share: Share { partition, partitions, rows },
                settings: settings.clone(),
                generator,
                done: 0,
                pending: false,
                ended: false,
                scratch: Vec::with_capacity(512),
            });
        }
        Ok((lanes, rows))
    }
}

impl LaneSource for GeneratorSource {
    type Lane = GeneratorLane;

    fn lanes(&self) -> &Lanes<GeneratorLane> {
        &self.lanes
    }

    fn lanes_mut(&mut self) -> &mut Lanes<GeneratorLane> {
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

pub(super) struct GeneratorLane {
    name: PartitionName,
    pace: Pace,
    share: Share,
    settings: Settings,
    generator: Generator,
    /// Rows of this partition that were taken.
    done: u64,
    /// `scratch` holds row `done`, which did not fit.
    pending: bool,
    ended: bool,
    scratch: Vec<u8>,
}

impl GeneratorLane {
    /// Brings row `done` of the partition into `scratch`, or returns false at the end.
    fn prepare(&mut self) -> bool {
        if self.pending {
            return true;
        }
        let number = self.share.number(self.done);
        let others = number.saturating_sub(self.generator.rows());
        self.scratch.clear();
        self.pending =
            self.generator.skip(others) == others && self.generator.write_row(&mut self.scratch);
        self.ended = !self.pending;
        self.pending
    }
}

impl Lane for GeneratorLane {
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
            if !self.pace.is_due(self.share.number(self.done)) && !out.is_replay() {
                return Ok(Stop::Idle);
            }
            if !self.prepare() {
                return Ok(Stop::Ended);
            }
            if !out.push(&self.scratch, position, position.saturating_add(1)) {
                return Ok(Stop::Bytes);
            }
            self.pending = false;
            self.done += 1;
        }
    }

    fn seek(&mut self, position: i64) -> Result<(), SourceError> {
        let done = u64::try_from(position).unwrap_or(0);
        if done != self.done {
            if self.share.number(done) < self.generator.rows() {
                self.generator = Generator::new(&self.settings)?;
            }
            self.done = done;
            self.pending = false;
        }
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
