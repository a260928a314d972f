//! All that an epoch's computation may know of the outside.

use serde::{Deserialize, Serialize};

use crate::data::{PartitionRef, SourceId};

/// The facts of one epoch. Running an epoch again with the same facts and the same input gives the
/// same bytes: windows, watermarks, rules and sinks' contents depend on nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochFacts {
    /// The epoch's number, from 0.
    pub epoch: u64,
    /// The wall clock when the epoch was cut, microseconds since the Unix epoch.
    pub now_us: i64,
    /// What was read, chunk by chunk, in the order of processing.
    pub ranges: Vec<ChunkRange>,
    /// Partitions known by the end of the epoch, a number for each source.
    pub partitions: Vec<u32>,
    /// Partitions that do not hold the watermark back from the end of this epoch on, because
    /// nothing came for `idle_timeout` although it could have.
    pub quiet: Vec<QuietPartition>,
    /// Partitions of which nothing will ever come again.
    pub finished: Vec<PartitionRef>,
    /// Sources of which nothing will ever come again: their event time is over.
    pub ended: Vec<SourceId>,
}

/// A run of records of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRange {
    /// The partition.
    pub from: PartitionRef,
    /// The position of the first record.
    pub start: i64,
    /// The position behind the last record.
    pub end: i64,
    /// The number of records, those that were too long not counted.
    pub rows: u64,
    /// The number of records between `start` and `end` that were too long to be taken.
    pub oversized: u64,
    /// When the host got the records, microseconds since the Unix epoch.
    pub received_us: i64,
}

/// A partition that has given nothing for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietPartition {
    /// The partition.
    pub partition: PartitionRef,
    /// For how long, in microseconds.
    pub quiet_us: i64,
}
