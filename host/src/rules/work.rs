//! Rows on their way through a rule, with what the rule must know of each besides its columns.

use arrow::array::Int64Array;

use super::ids::Subject;
use super::schema::InputColumns;
use crate::data::{PartitionRef, Rows};

/// Rows in the order in which a rule sees them.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// The rows.
    pub(super) rows: Rows,
    /// Each row's partition, when they are not all of `rows.from`.
    pub(super) partitions: Option<Vec<Option<PartitionRef>>>,
    /// When each row counts as having happened: its event time, or its partition's watermark when
    /// it is late (event-time order only).
    pub(super) clocks: Vec<i64>,
}

impl Work {
    /// Returns the partition a row came from.
    pub(super) fn from(&self, row: usize) -> Option<PartitionRef> {
        match &self.partitions {
            Some(partitions) => partitions.get(row).copied().flatten(),
            None => self.rows.from,
        }
    }

    /// Returns a row's event time, or `NO_TIME`.
    pub(super) fn time(&self, row: usize) -> i64 {
        value(&self.rows.time, row)
    }

    /// Returns a row's position in its partition.
    pub(super) fn position(&self, row: usize) -> i64 {
        value(&self.rows.position, row)
    }

    /// Returns the window's firing that a row stands for: 0 for the first, and for other rows.
    pub(super) fn revision(&self, columns: &InputColumns, row: usize) -> i64 {
        columns.revision.and_then(|index| self.integer(index, row)).unwrap_or(0)
    }

    /// Returns what an alert on this row is about.
    pub(super) fn subject(&self, columns: &InputColumns, row: usize) -> Subject {
        if let Some((start, end)) = columns.window {
            let bounds = self.integer(start, row).zip(self.integer(end, row));
            if let Some((start_us, end_us)) = bounds {
                return Subject::Window { start_us, end_us };
            }
        }
        let position = self.position(row);
        match self.from(row) {
            Some(from) => Subject::Record { from, position },
            None => Subject::Row { time_us: self.time(row), position },
        }
    }

    /// Returns the value of an integer or time column.
    fn integer(&self, column: usize, row: usize) -> Option<i64> {
        use arrow::array::{Array, AsArray};
        use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
        let array = self.rows.batch.columns().get(column)?;
        if row >= array.len() || array.is_null(row) {
            return None;
        }
        if let Some(times) = array.as_primitive_opt::<TimestampMicrosecondType>() {
            return Some(times.value(row));
        }
        array.as_primitive_opt::<Int64Type>().map(|numbers| numbers.value(row))
    }
}

fn value(array: &Int64Array, row: usize) -> i64 {
    array.values().get(row).copied().unwrap_or(crate::data::NO_TIME)
}
