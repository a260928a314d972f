//! From rows to what a window combines: filter, key and argument columns evaluated.

use std::sync::Arc;

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::data::Rows;
use crate::expr::{Compiled, Evaluated};
use crate::plan::WindowNode;
use crate::stream::{RowErrors, filter_by};
use crate::window::{LateRow, Partial, PartitionTime, WindowError, WindowInput};

/// One window's share of a batch of rows.
pub struct Combined {
    /// Rows given to the window, late ones included.
    pub rows: u64,
    /// Pre-aggregated rows.
    pub partial: Partial,
    /// Rows that came too late for some or all of their windows.
    pub late: Vec<LateRow>,
    /// The late rows with what became of them, when somebody reads them.
    pub late_rows: Option<Rows>,
    /// Rows without a usable event time.
    pub timeless: u64,
    /// Rows whose SQL failed.
    pub errors: RowErrors,
}

/// Pre-aggregates rows for a window. `late_schema`: also return the late rows themselves.
///
/// # Errors
/// When a columnar operation fails.
pub fn combine(
    node: &WindowNode,
    rows: Rows,
    time: &PartitionTime,
    late_schema: Option<&SchemaRef>,
) -> Result<Combined, WindowError> {
    let mut errors = RowErrors::default();
    let rows = match &node.filter {
        Some(condition) => filter_by(condition, rows, &mut errors)?,
        None => rows,
    };
    let (rows, input) = evaluate_all(node, rows, &mut errors)?;
    let combined = node.window.combine(&input, time)?;
    let late_rows = match late_schema {
        Some(schema) if !combined.late.is_empty() => {
            Some(late_rows(&rows, &combined.late, schema)?)
        }
        _ => None,
    };
    Ok(Combined {
        rows: u64::try_from(rows.len()).unwrap_or(u64::MAX),
        partial: combined.partial,
        late: combined.late,
        late_rows,
        timeless: u64::try_from(combined.without_time.len()).unwrap_or(u64::MAX),
        errors,
    })
}

/// Evaluates every expression of the window. A row for which one fails leaves all columns, so the
/// evaluation starts again without it; that is rare and ends, since each round loses rows.
fn evaluate_all(
    node: &WindowNode,
    rows: Rows,
    errors: &mut RowErrors,
) -> Result<(Rows, WindowInput), ArrowError> {
    let mut rows = rows;
    loop {
        let mut round = Round { batch: &rows.batch, failed: Vec::new(), made_null: 0 };
        let keys = node.keys.iter().map(|(_, key)| round.column(key)).collect();
        let mut arguments = Vec::with_capacity(node.aggregates.len());
        let mut filters = Vec::with_capacity(node.aggregates.len());
        for (_, call) in &node.aggregates {
            arguments.push(call.arguments.iter().map(|argument| round.column(argument)).collect());
            filters.push(call.filter.as_ref().and_then(|filter| round.condition(filter)));
        }
        if round.failed.is_empty() {
            errors.made_null += round.made_null;
            let input = WindowInput {
                keys,
                arguments,
                filters,
                time: rows.time.clone(),
                position: rows.position.clone(),
                max_before: rows.max_before.clone(),
                from: rows.from,
            };
            return Ok((rows, input));
        }
        let mut failed = round.failed;
        failed.sort();
        failed.dedup_by_key(|(row, _)| *row);
        let gone: Vec<u32> = failed.iter().map(|(row, _)| *row).collect();
        for (row, message) in failed {
            let index = usize::try_from(row).unwrap_or(usize::MAX);
            let position = rows.position.values().get(index).copied().unwrap_or_default();
            errors.failed.push((position, message));
        }
        let keep: BooleanArray =
            (0u32..).take(rows.len()).map(|row| Some(gone.binary_search(&row).is_err())).collect();
        rows = rows.filter(&keep)?;
    }
}

struct Round<'a> {
    batch: &'a RecordBatch,
    failed: Vec<(u32, String)>,
    made_null: u64,
}

impl Round<'_> {
    fn column(&mut self, expression: &Compiled) -> ArrayRef {
        let Evaluated { array, errors, made_null } = expression.evaluate(self.batch);
        self.made_null += made_null;
        self.failed.extend(errors.into_iter().map(|error| (error.row, error.message)));
        array
    }

    fn condition(&mut self, expression: &Compiled) -> Option<BooleanArray> {
        self.column(expression).as_boolean_opt().cloned()
    }
}

/// Returns the late rows: the input's columns, then what became of each row.
fn late_rows(rows: &Rows, late: &[LateRow], schema: &SchemaRef) -> Result<Rows, ArrowError> {
    let taken = rows.take(&UInt32Array::from_iter_values(late.iter().map(|late| late.row)))?;
    let times = |time: fn(&LateRow) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(late.iter().map(time)))
    };
    let numbers = |number: fn(&LateRow) -> u32| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(late.iter().map(|late| i64::from(number(late)))))
    };
    let mut columns = taken.batch.columns().to_vec();
    columns.push(Arc::new(taken.position.clone()));
    columns.push(times(|late| late.watermark));
    columns.push(numbers(|late| late.windows_dropped));
    columns.push(numbers(|late| late.windows_kept));
    columns.push(times(|late| late.first_dropped_start));
    columns.push(times(|late| late.last_dropped_start));
    let batch = RecordBatch::try_new(Arc::clone(schema), columns)?;
    Ok(taken.with_batch(batch))
}
