//! What comes in with a batch, and what is found out about its rows.

use arrow::array::{ArrayRef, BooleanArray, Int64Array};

use super::partial::Partial;
use crate::data::PartitionRef;

/// A batch of rows for a window, after its filter. All columns have the same length.
#[derive(Clone, Debug)]
pub struct WindowInput {
    /// Key columns, in the order of the specification.
    pub keys: Vec<ArrayRef>,
    /// For each aggregate its argument columns; none for `count(*)`.
    pub arguments: Vec<Vec<ArrayRef>>,
    /// For each aggregate the rows it takes; none: all.
    pub filters: Vec<Option<BooleanArray>>,
    /// Event time, microseconds; `NO_TIME` or null where a row has none.
    pub time: Int64Array,
    /// Position in the partition.
    pub position: Int64Array,
    /// Latest event time before the row in its chunk, or `NO_TIME` (see `data::Rows`).
    pub max_before: Int64Array,
    /// Where the rows came from; none for rows that windows or rules made.
    pub from: Option<PartitionRef>,
}

/// How far event time has come where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionTime {
    /// The partition's latest event time before the chunk, or `NO_TIME`.
    pub max_before_chunk: i64,
    /// The watermark's delay.
    pub delay_us: i64,
    /// The pipeline's watermark at the start of the epoch, or `NO_TIME`. It matters only to
    /// partitions that were idle or have newly joined.
    pub pipeline_watermark: i64,
}

/// A row that was late for at least one of its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateRow {
    /// The row in the batch.
    pub row: u32,
    /// The watermark of its partition at the row.
    pub watermark: i64,
    /// How many of its windows had closed.
    pub windows_dropped: u32,
    /// How many took it.
    pub windows_kept: u32,
    /// Start of the first window that had closed (the event time for sessions).
    pub first_dropped_start: i64,
    /// Start of the last window that had closed (the event time for sessions).
    pub last_dropped_start: i64,
}

/// A batch, pre-aggregated.
#[derive(Debug)]
pub struct Combined {
    /// What to merge into the window's state.
    pub partial: Partial,
    /// Late rows, ascending.
    pub late: Vec<LateRow>,
    /// Rows without an event time (or beyond `TIME_LIMIT`), ascending. No window takes them.
    pub without_time: Vec<u32>,
}
