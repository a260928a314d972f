//! A batch, pre-aggregated: what `combine` ships to the shards.

use arrow::array::{ArrayRef, BooleanArray};

use super::aggregate::Aggregate;
use super::key_table::KeyTable;

/// Names a slice of a tumbling or sliding window.
///
/// Rows that are late for some of their windows, or too late for the first firing of some, must
/// not be mixed with the others: they go to a slice of their own, which says who may take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SliceKey {
    /// Where the slice starts.
    pub(crate) start: i64,
    /// Windows that end before this don't take the slice.
    pub(crate) min_end: i64,
    /// Windows that end before this take the slice only in revisions.
    pub(crate) on_time_from: i64,
}

impl SliceKey {
    /// The slice for rows that are on time for all their windows.
    pub(crate) fn normal(start: i64) -> Self {
        Self { start, min_end: i64::MIN, on_time_from: i64::MIN }
    }
}

/// Pre-aggregated rows of one batch.
#[derive(Debug)]
pub struct Partial {
    pub(super) body: Body,
    /// Latest event time of the rows taken, or `NO_TIME`.
    pub(super) max_time: i64,
    /// Rows taken.
    pub(super) rows: usize,
}

impl Partial {
    /// Returns the number of rows it stands for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns true when there is nothing to merge.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns about how many bytes it holds.
    pub fn memory_bytes(&self) -> usize {
        match &self.body {
            Body::Empty => 0,
            Body::Slices(slices) => {
                let groups: usize = slices.slices.iter().map(|(_, groups)| groups.len()).sum();
                slices.keys.memory_bytes()
                    + groups * 8
                    + slices.aggregates.iter().map(|a| a.memory_bytes()).sum::<usize>()
            }
            Body::Sessions(sessions) => {
                sessions.keys.memory_bytes()
                    + sessions.key.len() * 20
                    + sessions.aggregates.iter().map(|a| a.memory_bytes()).sum::<usize>()
            }
            Body::Rows(rows) => {
                let columns = rows.arguments.iter().flatten();
                rows.keys.memory_bytes()
                    + rows.key.len() * 28
                    + columns.map(|c| c.get_array_memory_size()).sum::<usize>()
            }
        }
    }
}

#[derive(Debug)]
pub(super) enum Body {
    Empty,
    Slices(SlicePartial),
    Sessions(SessionPartial),
    Rows(RowPartial),
}

/// Groups by slice and key.
#[derive(Debug)]
pub(super) struct SlicePartial {
    pub(super) keys: KeyTable,
    /// The key of each group; `NONE` for the group of rows that no window takes.
    pub(super) group_key: Vec<u32>,
    /// The groups of each slice.
    pub(super) slices: Vec<(SliceKey, Vec<u32>)>,
    pub(super) aggregates: Vec<Box<dyn Aggregate>>,
}

/// Groups by key and stretch of time without a gap.
#[derive(Debug)]
pub(super) struct SessionPartial {
    pub(super) keys: KeyTable,
    /// Key, first and last event time of each group.
    pub(super) key: Vec<u32>,
    pub(super) start: Vec<i64>,
    pub(super) last: Vec<i64>,
    pub(super) aggregates: Vec<Box<dyn Aggregate>>,
}

/// Rows as they are, for count windows.
#[derive(Debug)]
pub(super) struct RowPartial {
    pub(super) keys: KeyTable,
    /// Key, event time, partition and position of each row.
    pub(super) key: Vec<u32>,
    pub(super) time: Vec<i64>,
    pub(super) partition: Vec<i64>,
    pub(super) position: Vec<i64>,
    pub(super) arguments: Vec<Vec<ArrayRef>>,
    pub(super) filters: Vec<Option<BooleanArray>>,
}
