//! Results: what a window emits, when triggers are due, and how shards' results become one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::error::WindowError;
use super::order::permutation;
use super::spec::Window;
use super::values::canonical;
use crate::config::model::WindowKind;

/// Result rows that leave together.
#[derive(Clone, Debug)]
pub struct Fired {
    /// The rows, in the schema and order of the window.
    pub batch: RecordBatch,
    /// Event time of each row: its window's end − 1 µs; for global windows the latest event time
    /// that was seen.
    pub time: Int64Array,
    /// The end of the one window that all rows belong to; none for sessions, count and global
    /// windows.
    pub window_end: Option<i64>,
    /// 0 for the first firing, then 1, 2, … Always 0 in update and complete mode.
    pub revision: u32,
}

/// When update and complete mode emit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trigger {
    pub(super) every_us: Option<i64>,
    pub(super) last_us: Option<i64>,
}

impl Trigger {
    pub(super) fn new(every_us: Option<i64>) -> Self {
        Self { every_us, last_us: None }
    }

    /// Returns true, and remembers it, when output is due.
    pub(super) fn due(&mut self, now_us: i64, at_end: bool) -> bool {
        let due = match (self.every_us, self.last_us) {
            (Some(every), Some(last)) => at_end || now_us.saturating_sub(last) >= every,
            _ => true,
        };
        if due {
            self.last_us = Some(now_us);
        }
        due
    }
}

/// What is known of rows before they are a batch.
pub(super) struct Rows {
    /// Start and end of each row's window; none for global windows.
    pub(super) bounds: Option<(Vec<i64>, Vec<i64>)>,
    /// Event time of global windows' rows.
    pub(super) time: i64,
    pub(super) keys: Vec<ArrayRef>,
    pub(super) aggregates: Vec<ArrayRef>,
    pub(super) count: usize,
    pub(super) window_end: Option<i64>,
    pub(super) revision: u32,
}

impl Window {
    pub(super) fn fired(&self, rows: Rows) -> Result<Fired, WindowError> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema().fields().len());
        let time = match rows.bounds {
            Some((starts, ends)) => {
                let time = ends.iter().map(|end| end.saturating_sub(1));
                let time = Int64Array::from_iter_values(time);
                columns.push(Arc::new(TimestampMicrosecondArray::from(starts)));
                columns.push(Arc::new(TimestampMicrosecondArray::from(ends)));
                time
            }
            None => Int64Array::from_value(rows.time, rows.count),
        };
        columns.extend(rows.keys);
        columns.extend(rows.aggregates);
        let options = RecordBatchOptions::new().with_row_count(Some(rows.count));
        let batch = RecordBatch::try_new_with_options(self.schema(), columns, &options)?;
        Ok(Fired { batch, time, window_end: rows.window_end, revision: rows.revision })
    }

    /// Makes one list of ordered results of what the shards of a state returned from the same
    /// `advance`: the same as an undivided state would have returned.
    ///
    /// # Errors
    /// When results are not this window's.
    pub fn join(&self, shards: Vec<Vec<Fired>>) -> Result<Vec<Fired>, WindowError> {
        let mut shards: Vec<Vec<Fired>> = shards.into_iter().filter(|s| !s.is_empty()).collect();
        if shards.len() <= 1 {
            return Ok(shards.pop().unwrap_or_default());
        }
        let mut together: BTreeMap<(Option<i64>, u32), Vec<Fired>> = BTreeMap::new();
        for fired in shards.into_iter().flatten() {
            together.entry((fired.window_end, fired.revision)).or_default().push(fired);
        }
        let mut joined = Vec::with_capacity(together.len());
        for ((window_end, revision), mut parts) in together {
            if parts.len() == 1 {
                joined.append(&mut parts);
                continue;
            }
            let batch = concat_batches(&self.schema(), parts.iter().map(|part| &part.batch))?;
            let times: Vec<&dyn Array> = parts.iter().map(|p| &p.time as &dyn Array).collect();
            let time = arrow::compute::concat(&times)?;
            let order = UInt32Array::from(self.order_rows(&batch)?);
            let time = take(&time, &order, None)?;
            let batch = take_record_batch(&batch, &order)?;
            let time = time.as_primitive::<Int64Type>().clone();
            joined.push(Fired { batch, time, window_end, revision });
        }
        Ok(joined)
    }

    /// Returns the order of a result's rows, as positions.
    ///
    /// # Errors
    /// When the batch is not a result of this window.
    pub fn order_rows(&self, batch: &RecordBatch) -> Result<Vec<u32>, WindowError> {
        let foreign = || WindowError::Foreign { what: "a result" };
        let from = self.time_columns();
        let keys = batch.columns().get(from..from + self.key_kinds.len()).ok_or_else(foreign)?;
        let keys = keys.iter().map(canonical).collect::<Result<Vec<_>, _>>()?;
        let mut table = self.keys();
        let ids = table.intern(&keys, batch.num_rows(), None)?;
        let times = if matches!(self.spec.kind, WindowKind::Session { .. }) {
            let column = |at: usize| {
                let column = batch.columns().get(at).ok_or_else(foreign)?;
                column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(foreign)
            };
            let (starts, ends) = (column(0)?, column(1)?);
            let times = ends.values().iter().copied().zip(starts.values().iter().copied());
            Some(times.collect::<Vec<_>>())
        } else {
            None
        };
        permutation(self, &table, &ids, times.as_deref())
    }
}
