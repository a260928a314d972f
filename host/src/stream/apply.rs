//! Applies a stream's expressions to a batch of rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::unnest::unnest;
use crate::data::Rows;
use crate::expr::{Compiled, Evaluated};
use crate::plan::{Named, StreamNode};

/// What went wrong with single rows, and how many values became null.
#[derive(Debug, Default)]
pub struct RowErrors {
    /// Position of the row's record, and what was wrong.
    pub failed: Vec<(i64, String)>,
    /// Values that became null: divisions by zero, failed casts, overflows.
    pub made_null: u64,
}

/// Returns the rows that leave the stream, with the columns of `schema`.
///
/// # Errors
/// When a columnar operation fails, which types that were checked at load do not let happen.
pub fn apply(
    node: &StreamNode,
    schema: &SchemaRef,
    rows: Rows,
    errors: &mut RowErrors,
) -> Result<Rows, ArrowError> {
    let mut rows = rows;
    if let Some((name, list)) = &node.unnest {
        let (evaluated, kept) = evaluate(list, rows, errors)?;
        rows = unnest(&kept, name, &evaluated)?;
    }
    rows = extend(&node.derive, rows, errors)?;
    if let Some(condition) = &node.filter {
        rows = filter_by(condition, rows, errors)?;
    }
    let Some(select) = &node.select else { return Ok(rows) };
    let mut columns = Vec::with_capacity(select.len());
    // A row that fails must leave every column, so columns are computed until none fails.
    'again: loop {
        columns.clear();
        let mut made_null = 0;
        for (_, expression) in select {
            let evaluated = expression.evaluate(&rows.batch);
            made_null += evaluated.made_null;
            if !evaluated.errors.is_empty() {
                rows = without_failed(rows, &evaluated, errors)?;
                continue 'again;
            }
            columns.push(evaluated.array);
        }
        errors.made_null += made_null;
        break;
    }
    let batch = batch_of(schema.clone(), columns, rows.len())?;
    Ok(rows.with_batch(batch))
}

/// Adds columns, each seeing those before it; a column of the same name is replaced.
///
/// # Errors
/// As [`apply`].
pub fn extend(columns: &[Named], rows: Rows, errors: &mut RowErrors) -> Result<Rows, ArrowError> {
    let mut rows = rows;
    for (name, expression) in columns {
        let (array, kept) = evaluate(expression, rows, errors)?;
        let batch = extend_with(&kept.batch, name, array)?;
        rows = kept.with_batch(batch);
    }
    Ok(rows)
}

/// Keeps the rows for which `condition` is true.
///
/// # Errors
/// As [`apply`].
pub fn filter_by(
    condition: &Compiled,
    rows: Rows,
    errors: &mut RowErrors,
) -> Result<Rows, ArrowError> {
    let (array, kept) = evaluate(condition, rows, errors)?;
    kept.filter(boolean(&array)?)
}

/// Evaluates an expression; rows for which it fails are taken out.
fn evaluate(
    expression: &Compiled,
    rows: Rows,
    errors: &mut RowErrors,
) -> Result<(ArrayRef, Rows), ArrowError> {
    let evaluated = expression.evaluate(&rows.batch);
    errors.made_null += evaluated.made_null;
    if evaluated.errors.is_empty() {
        return Ok((evaluated.array, rows));
    }
    let keep = keep_mask(rows.len(), &evaluated);
    let array = arrow::compute::filter(&evaluated.array, &keep)?;
    Ok((array, without_failed(rows, &evaluated, errors)?))
}

fn without_failed(
    rows: Rows,
    evaluated: &Evaluated,
    errors: &mut RowErrors,
) -> Result<Rows, ArrowError> {
    for error in &evaluated.errors {
        let index = usize::try_from(error.row).unwrap_or(usize::MAX);
        let position = rows.position.values().get(index).copied().unwrap_or_default();
        errors.failed.push((position, error.message.clone()));
    }
    rows.filter(&keep_mask(rows.len(), evaluated))
}

fn keep_mask(rows: usize, evaluated: &Evaluated) -> BooleanArray {
    let failed: BTreeSet<u32> = evaluated.errors.iter().map(|error| error.row).collect();
    (0u32..).take(rows).map(|row| Some(!failed.contains(&row))).collect()
}

/// Returns the array as a condition.
fn boolean(array: &ArrayRef) -> Result<&BooleanArray, ArrowError> {
    array
        .as_boolean_opt()
        .ok_or_else(|| ArrowError::CastError(format!("{} is no condition", array.data_type())))
}

pub(super) fn extend_with(
    batch: &RecordBatch,
    name: &str,
    array: ArrayRef,
) -> Result<RecordBatch, ArrowError> {
    let field = Arc::new(Field::new(name, array.data_type().clone(), true));
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    let place = fields.iter().position(|field| field.name() == name);
    match place.and_then(|at| Some((fields.get_mut(at)?, columns.get_mut(at)?))) {
        Some((old_field, old_column)) => {
            *old_field = field;
            *old_column = array;
        }
        None => {
            fields.push(field);
            columns.push(array);
        }
    }
    batch_of(Arc::new(Schema::new(fields)), columns, batch.num_rows())
}

/// Makes a batch that knows its length even without columns.
fn batch_of(
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
}
