//! Shares a budget over partitions, one row each in turn.
//!
//! Row k of a read goes to the k-th partition that still has rows, counted from where the last read
//! stopped. Reads of 1, 100 or 8,192 rows therefore walk through the partitions in the same order.

use std::time::Duration;

use super::writer::{Quota, Taken, Writer};
use super::{PartitionInfo, ReadBudget, ReadOutput, ReadState, SourceError};
use crate::data::{Partition, PartitionName, PartitionRef, SourceId};

/// Why a lane stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It reached its quota of rows or the position to stop at.
    Rows,
    /// It reached its quota of bytes.
    Bytes,
    /// It has nothing more now.
    Idle,
    /// It has more, for the next epoch.
    NextEpoch,
    /// It will never have more.
    Ended,
}

/// Reads one partition.
pub(super) trait Lane: Send {
    /// The partition's stable name.
    fn name(&self) -> PartitionName;

    /// Takes records within the writer's quota.
    fn pull(&mut self, out: &mut Writer<'_>) -> Result<Stop, SourceError>;

    /// Goes to a position.
    fn seek(&mut self, position: i64) -> Result<(), SourceError>;

    /// Returns the position of the next record.
    fn position(&self) -> i64;

    /// Returns whether there will never be more.
    fn finished(&self) -> bool;

    /// Told once at the start of each read.
    fn tick(&mut self, _now_us: i64) -> Result<(), SourceError> {
        Ok(())
    }

    /// Told when a read found nothing anywhere: may wait for input this long.
    fn wait(&mut self, _most: Duration) -> Result<bool, SourceError> {
        Ok(false)
    }
}

/// All partitions of a source.
pub(super) struct Lanes<L> {
    source: SourceId,
    lanes: Vec<L>,
    infos: Vec<PartitionInfo>,
    /// The lane whose turn it is.
    next: usize,
    bytes_per_row: usize,
    /// For each lane, whether it gives nothing for now because it is far ahead of others.
    paused: Vec<bool>,
    /// For each lane, whether it had nothing more when it was last asked.
    drained: Vec<bool>,
}

/// What happened to a lane in this read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Open,
    Out(Stop),
}

impl<L: Lane> Lanes<L> {
    pub fn new(source: SourceId, lanes: Vec<L>) -> Self {
        let mut all = Self {
            source,
            lanes: Vec::new(),
            infos: Vec::new(),
            next: 0,
            bytes_per_row: 256,
            paused: Vec::new(),
            drained: Vec::new(),
        };
        for lane in lanes {
            all.join(lane);
        }
        all
    }

    /// Adds a partition behind those that are there.
    pub fn join(&mut self, lane: L) {
        self.infos.push(PartitionInfo {
            name: lane.name(),
            position: lane.position(),
            finished: lane.finished(),
        });
        self.lanes.push(lane);
        self.paused.push(false);
        self.drained.push(false);
    }

    /// Lets these partitions give nothing in reads, and no others.
    pub fn pause(&mut self, ahead: &[Partition]) {
        for (partition, paused) in (0u32..).zip(&mut self.paused) {
            *paused = ahead.contains(&Partition(partition));
        }
    }

    /// Returns whether a partition had nothing more when it was last asked.
    pub fn is_drained(&self, partition: Partition) -> bool {
        let index = usize::try_from(partition.0).unwrap_or(usize::MAX);
        self.drained.get(index).copied().unwrap_or(false)
    }

    pub fn infos(&self) -> &[PartitionInfo] {
        &self.infos
    }

    pub fn iter(&self) -> impl Iterator<Item = &L> {
        self.lanes.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut L> {
        self.lanes.iter_mut()
    }

    pub fn read(
        &mut self,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        for lane in &mut self.lanes {
            lane.tick(now_us)?;
        }
        let before = out.rows;
        let mut state = self.share(budget, now_us, out)?;
        if state == ReadState::Idle && out.rows == before && !budget.wait.is_zero() {
            let mut woken = false;
            for lane in &mut self.lanes {
                woken = woken || lane.wait(budget.wait)?;
            }
            if woken {
                state = self.share(budget, now_us, out)?;
            }
        }
        Ok(state)
    }

    fn share(
        &mut self,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        let mut rows_left = budget.rows;
        let mut bytes_left = budget.bytes;
        let mut taken_any = false;
        let mut turns: Vec<Turn> = self
            .lanes
            .iter()
            .zip(&self.paused)
            .map(|(lane, paused)| match (lane.finished(), paused) {
                (true, _) => Turn::Out(Stop::Ended),
                // It has more, but nothing that may be read now.
                (false, true) => Turn::Out(Stop::Idle),
                (false, false) => Turn::Open,
            })
            .collect();
        while rows_left > 0 {
            let open = self.open_from_next(&turns);
            if open.is_empty() {
                break;
            }
            let each = rows_left / open.len();
            let extra = rows_left % open.len();
            let (mut progress, mut bytes_full, mut left_out) = (false, false, false);
            for (turn, &index) in open.iter().enumerate() {
                let rows = each + usize::from(turn < extra);
                if rows == 0 {
                    break;
                }
                let quota = Quota {
                    rows,
                    bytes: bytes_left / (open.len() - turn).max(1),
                    force: false,
                    until: None,
                    chunk_rows: budget.chunk_rows,
                    bytes_per_row: self.bytes_per_row,
                };
                let (taken, stop) = self.pull(index, quota, now_us, out)?;
                rows_left -= taken.rows.min(rows_left);
                bytes_left = bytes_left.saturating_sub(taken.bytes);
                progress |= taken.rows > 0;
                if turn + 1 == extra {
                    self.next = (index + 1) % self.lanes.len().max(1);
                }
                match stop {
                    Stop::Rows => {}
                    Stop::Bytes => bytes_full = true,
                    out => {
                        left_out = true;
                        if let Some(slot) = turns.get_mut(index) {
                            *slot = Turn::Out(out);
                        }
                    }
                }
            }
            taken_any |= progress;
            if bytes_full && !taken_any && !left_out {
                // The next record alone is longer than a share of the budget: it goes alone.
                self.force_one(budget, now_us, out)?;
                return Ok(ReadState::More);
            }
            if bytes_full && !left_out {
                return Ok(ReadState::More);
            }
        }
        Ok(summary(&turns))
    }

    /// Takes one record, however long, from the first lane in turn that has one.
    fn force_one(
        &mut self,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<(), SourceError> {
        for step in 0..self.lanes.len() {
            let index = (self.next + step) % self.lanes.len().max(1);
            let quota = Quota {
                rows: 1,
                bytes: budget.bytes,
                force: true,
                until: None,
                chunk_rows: budget.chunk_rows,
                bytes_per_row: 0,
            };
            let paused = self.paused.get(index).copied().unwrap_or(false);
            if paused || self.lanes.get(index).is_none_or(Lane::finished) {
                continue;
            }
            let (taken, _) = self.pull(index, quota, now_us, out)?;
            if taken.rows > 0 {
                self.next = (index + 1) % self.lanes.len().max(1);
                return Ok(());
            }
        }
        Ok(())
    }

    pub fn replay(
        &mut self,
        partition: Partition,
        until: i64,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        let index = self.index(partition)?;
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.tick(now_us)?;
        }
        let quota = Quota {
            rows: budget.rows,
            bytes: budget.bytes,
            force: true,
            until: Some(until),
            chunk_rows: budget.chunk_rows,
            bytes_per_row: self.bytes_per_row,
        };
        let (_, stop) = self.pull(index, quota, now_us, out)?;
        Ok(match stop {
            Stop::Rows | Stop::Bytes => ReadState::More,
            Stop::Idle => ReadState::Idle,
            Stop::NextEpoch => ReadState::NextEpoch,
            Stop::Ended => ReadState::Ended,
        })
    }

    pub fn seek(&mut self, partition: Partition, position: i64) -> Result<(), SourceError> {
        let index = self.index(partition)?;
        if let (Some(lane), Some(info)) = (self.lanes.get_mut(index), self.infos.get_mut(index)) {
            lane.seek(position)?;
            info.position = lane.position();
            info.finished = lane.finished();
        }
        Ok(())
    }

    fn index(&self, partition: Partition) -> Result<usize, SourceError> {
        usize::try_from(partition.0)
            .ok()
            .filter(|index| *index < self.lanes.len())
            .ok_or(SourceError::UnknownPartition { partition: partition.0 })
    }

    fn open_from_next(&self, turns: &[Turn]) -> Vec<usize> {
        let count = self.lanes.len();
        (0..count)
            .map(|step| (self.next + step) % count)
            .filter(|index| turns.get(*index) == Some(&Turn::Open))
            .collect()
    }

    fn pull(
        &mut self,
        index: usize,
        quota: Quota,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<(Taken, Stop), SourceError> {
        let partition = Partition(u32::try_from(index).unwrap_or(u32::MAX));
        let from = PartitionRef { source: self.source, partition };
        let (Some(lane), Some(info)) = (self.lanes.get_mut(index), self.infos.get_mut(index))
        else {
            return Err(SourceError::UnknownPartition { partition: partition.0 });
        };
        let mut writer = Writer::new(from, quota, now_us, out);
        let stop = lane.pull(&mut writer);
        let taken = writer.finish();
        if let (Some(drained), Ok(stop)) = (self.drained.get_mut(index), &stop) {
            *drained = matches!(stop, Stop::Idle | Stop::Ended);
        }
        info.position = lane.position();
        info.finished = lane.finished();
        if let Some(mean) = taken.bytes.checked_div(taken.rows) {
            // A little more than the mean, so that most chunks need not grow.
            self.bytes_per_row = mean + mean / 16 + 1;
        }
        Ok((taken, stop?))
    }
}

fn summary(turns: &[Turn]) -> ReadState {
    let any = |wanted: Turn| turns.contains(&wanted);
    if any(Turn::Open) {
        ReadState::More
    } else if any(Turn::Out(Stop::NextEpoch)) {
        ReadState::NextEpoch
    } else if any(Turn::Out(Stop::Idle)) {
        ReadState::Idle
    } else {
        ReadState::Ended
    }
}
