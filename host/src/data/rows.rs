//! Typed rows on an edge of the pipeline's graph.

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter, filter_record_batch, take, take_record_batch};
use arrow::error::ArrowError;

use super::origin::PartitionRef;

/// Stands for "no event time" and "no earlier row": before every real time.
pub const NO_TIME: i64 = i64::MIN;

/// A batch of rows with what windows, rules and dead letters need to know of each.
///
/// All columns have the same length. Rows of one source partition are in the order of its log.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The user's columns, as the edge's schema says.
    pub batch: RecordBatch,
    /// Event time, microseconds since the Unix epoch. No nulls: `NO_TIME` where a row has none.
    pub time: Int64Array,
    /// Position of the record the row came from (see `Chunk::positions`). No nulls.
    pub position: Int64Array,
    /// The latest event time among the rows of the same chunk **before** this one, or `NO_TIME`.
    /// Computed before any filter. Together with the partition's maximum before the chunk it gives
    /// the partition's watermark at this row. No nulls.
    pub max_before: Int64Array,
    /// The partition the rows came from; none for rows that windows or rules made.
    pub from: Option<PartitionRef>,
}

impl Rows {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Returns true when there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the rows for which `keep` is true (null is not).
    ///
    /// # Errors
    /// When `keep` has another length.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        if keep.null_count() == 0 && keep.true_count() == self.len() {
            return Ok(self.clone());
        }
        Ok(Self {
            batch: filter_record_batch(&self.batch, keep)?,
            time: int64(filter(&self.time, keep)?)?,
            position: int64(filter(&self.position, keep)?)?,
            max_before: int64(filter(&self.max_before, keep)?)?,
            from: self.from,
        })
    }

    /// Returns the rows `indices`, in that order, possibly repeated.
    ///
    /// # Errors
    /// When an index is out of bounds.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self, ArrowError> {
        self.made_of(take_record_batch(&self.batch, indices)?, indices)
    }

    /// Returns rows that were made of these: `source` names for each the row it came from.
    ///
    /// # Errors
    /// When an index is out of bounds.
    pub fn made_of(&self, batch: RecordBatch, source: &UInt32Array) -> Result<Self, ArrowError> {
        debug_assert_eq!(batch.num_rows(), source.len(), "a source for each row");
        Ok(Self {
            batch,
            time: int64(take(&self.time, source, None)?)?,
            position: int64(take(&self.position, source, None)?)?,
            max_before: int64(take(&self.max_before, source, None)?)?,
            from: self.from,
        })
    }

    /// Returns the same rows with other columns.
    ///
    /// `batch` must have as many rows.
    #[must_use]
    pub fn with_batch(&self, batch: RecordBatch) -> Self {
        debug_assert_eq!(batch.num_rows(), self.len(), "columns for the same rows");
        Self { batch, ..self.clone() }
    }
}

fn int64(array: arrow::array::ArrayRef) -> Result<Int64Array, ArrowError> {
    array
        .as_any()
        .downcast_ref::<Int64Array>()
        .cloned()
        .ok_or_else(|| ArrowError::CastError("filter and take keep the type of their input".into()))
}
