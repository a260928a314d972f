//! Revisions: the firings of a window after its first. Rules pass them over unless they ask for
//! them, and what comes of one is one as well, so that no window downstream counts it again.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::compute::kernels::cmp;
use arrow::compute::not;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use arrow::error::ArrowError;

use super::super::error::EngineError;
use super::{Batch, Owner};
use crate::data::Rows;
use crate::plan::{NodeId, Port};
use crate::rules::{REVISION, WINDOW_START};

impl Owner {
    /// Returns what a rule reads. A rule passes revisions over by their number, and still passes
    /// them on; those from which a stream has taken it do not reach a rule that asked for none.
    pub(super) fn judged(&self, id: NodeId, revisions: bool) -> Result<Vec<Batch>, EngineError> {
        let mut batches = self.inputs(id)?;
        batches.retain(|batch| revisions || batch.revision == 0 || numbers(&batch.rows).is_some());
        Ok(batches)
    }

    /// Hands on what a rule made: first what is of first firings, then what is of revisions.
    /// `revision`: what the rows were made of, where they do not say so themselves.
    pub(super) fn give_revised(
        &mut self,
        id: NodeId,
        port: Port,
        rows: Rows,
        revision: u32,
    ) -> Result<(), EngineError> {
        let failed = |source| EngineError::columns(&self.plan.node(id).name, source);
        let parts = match numbers(&rows) {
            Some(numbers) if revision == 0 && numbers.values().iter().any(|number| *number > 0) => {
                let again = cmp::gt(numbers, &Int64Array::new_scalar(0)).map_err(failed)?;
                let first = rows.filter(&not(&again).map_err(failed)?).map_err(failed)?;
                vec![(first, 0), (rows.filter(&again).map_err(failed)?, 1)]
            }
            _ => vec![(rows, revision)],
        };
        for (rows, revision) in parts {
            self.give(id, port, Batch { revision, ..Batch::made(rows) });
        }
        Ok(())
    }
}

/// The numbers of the firings that rows are of, if they say.
fn numbers(rows: &Rows) -> Option<&Int64Array> {
    rows.batch.column_by_name(WINDOW_START)?;
    rows.batch.column_by_name(REVISION)?.as_primitive_opt::<Int64Type>()
}

/// Adds the number of the firing to a window's results.
///
/// # Errors
/// Never for what windows make: their columns are equally long.
pub(super) fn with_revision(batch: &RecordBatch, revision: u32) -> Result<RecordBatch, ArrowError> {
    let mut fields: Vec<FieldRef> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(REVISION, DataType::Int64, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(Int64Array::from_value(i64::from(revision), batch.num_rows())));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
