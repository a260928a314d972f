//! One row for each element of a list.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, UInt32Builder};
use arrow::compute::take;
use arrow::error::ArrowError;

use super::apply::extend_with;
use crate::data::Rows;

/// Returns a row for each element of each row's list, the element in column `name`. A row whose
/// list is empty or null gives none.
pub(super) fn unnest(rows: &Rows, name: &str, lists: &ArrayRef) -> Result<Rows, ArrowError> {
    let lists = lists
        .as_list_opt::<i32>()
        .ok_or_else(|| ArrowError::CastError(format!("{} is no list", lists.data_type())))?;
    let mut from = UInt32Builder::with_capacity(lists.values().len());
    let mut elements = UInt32Builder::with_capacity(lists.values().len());
    for (row, window) in (0u32..).zip(lists.value_offsets().windows(2)) {
        let &[start, end] = window else { continue };
        let index = usize::try_from(row).unwrap_or(usize::MAX);
        if lists.is_null(index) {
            continue;
        }
        for element in start..end {
            from.append_value(row);
            elements.append_value(u32::try_from(element).unwrap_or_default());
        }
    }
    let from: UInt32Array = from.finish();
    let values = take(lists.values(), &elements.finish(), None)?;
    let repeated = rows.take(&from)?;
    let batch = extend_with(&repeated.batch, name, Arc::clone(&values))?;
    Ok(repeated.with_batch(batch))
}
