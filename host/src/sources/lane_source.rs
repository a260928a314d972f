//! Sources whose partitions are all lanes of one kind: what is the same for all of them stands here.

use super::lanes::{Lane, Lanes};
use super::{PartitionInfo, Progress, ReadBudget, ReadOutput, ReadState, Source, SourceError};
use crate::data::Partition;

/// A source made of lanes. What differs from source to source has a default where most agree; see
/// [`Source`] for what each promises.
pub(super) trait LaneSource: Send {
    /// How one partition is read.
    type Lane: Lane;

    /// The partitions.
    fn lanes(&self) -> &Lanes<Self::Lane>;

    /// The partitions, to be read.
    fn lanes_mut(&mut self) -> &mut Lanes<Self::Lane>;

    /// See [`Source::begin_epoch`].
    fn begin_epoch(&mut self) {}

    /// See [`Source::read`].
    fn read(
        &mut self,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        self.lanes_mut().read(budget, now_us, out)
    }

    /// See [`Source::detail`].
    fn detail(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// See [`Source::lag`].
    fn lag(&self) -> Option<u64> {
        None
    }

    /// See [`Source::progress`].
    fn progress(&self) -> Progress;
}

impl<S: LaneSource> Source for S {
    fn partitions(&self) -> &[PartitionInfo] {
        self.lanes().infos()
    }

    fn begin_epoch(&mut self) {
        LaneSource::begin_epoch(self);
    }

    fn read(
        &mut self,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        LaneSource::read(self, budget, now_us, out)
    }

    fn replay(
        &mut self,
        partition: Partition,
        until: i64,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        self.lanes_mut().replay(partition, until, budget, now_us, out)
    }

    fn seek(&mut self, partition: Partition, position: i64) -> Result<(), SourceError> {
        self.lanes_mut().seek(partition, position)
    }

    fn pause(&mut self, ahead: &[Partition]) {
        self.lanes_mut().pause(ahead);
    }

    fn is_drained(&self, partition: Partition) -> bool {
        self.lanes().is_drained(partition)
    }

    fn detail(&self) -> serde_json::Value {
        LaneSource::detail(self)
    }

    fn lag(&self) -> Option<u64> {
        LaneSource::lag(self)
    }

    fn progress(&self) -> Progress {
        LaneSource::progress(self)
    }
}
