//! Refused records and rows: counted, handed to whoever reads `<parser>.rejects`, written to the
//! dead letters.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::super::error::EngineError;
use super::{About, Batch, Owner};
use crate::config::model::OutputMode;
use crate::data::{NO_TIME, PartitionRef, Rows};
use crate::parse::{Reason, RejectedRecord, Rejects};
use crate::plan::{DEAD_LETTERS, NodeId, Port};
use crate::sinks::Delivery;

/// A row that is refused.
pub(super) struct RefusedRow<'a> {
    /// Its position in its partition.
    pub position: i64,
    /// The row as JSON, where it is at hand.
    pub row: Option<&'a str>,
    /// What was wrong with it.
    pub detail: Option<&'a str>,
}

impl<'a> RefusedRow<'a> {
    /// Returns rows that an expression failed on: the position of each, and why.
    pub fn of(failed: &'a [(i64, String)]) -> impl Iterator<Item = Self> {
        failed.iter().map(|(position, why)| Self {
            position: *position,
            row: None,
            detail: Some(why),
        })
    }
}

impl Owner {
    /// Counts rejects and hands them to whoever reads them. `chunk` is where they are from, if
    /// they are from one.
    ///
    /// # Errors
    /// When they cannot be written to the dead letters.
    pub fn reject(
        &mut self,
        node: NodeId,
        from: Option<PartitionRef>,
        chunk: Option<u64>,
        rejects: Rejects,
    ) -> Result<(), EngineError> {
        self.stats.rejects(node, rejects.counts());
        let name = &self.plan.node(node).name;
        let batch = rejects.finish().map_err(|source| EngineError::columns(name, source))?;
        let Some(batch) = batch else { return Ok(()) };
        if let Some(sink) = &mut self.dead_letters {
            let delivery = Delivery {
                node: DEAD_LETTERS,
                batch: &batch,
                revision: 0,
                watermark_us: NO_TIME,
                epoch: self.epoch,
                mode: OutputMode::Append,
            };
            sink.write(&delivery).map_err(|source| EngineError::DeadLetters { source })?;
        }
        if self.wiring.ships(node, Port::Rejects) {
            let rows = reject_rows(batch, from);
            self.give(node, Port::Rejects, Batch { chunk, ..Batch::made(rows) });
        }
        Ok(())
    }

    /// Refuses rows in a node's name.
    pub(super) fn refuse<'a>(
        &mut self,
        node: NodeId,
        about: About,
        reason: &str,
        rows: impl IntoIterator<Item = RefusedRow<'a>>,
    ) -> Result<(), EngineError> {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let About { from, received_us } = about;
        let reason: Reason = Arc::from(reason);
        let named = from.and_then(|from| self.partitions.get(&from).cloned());
        let partition = named.unwrap_or_else(|| Arc::from(""));
        let context = self.wiring.reject_context(node, from.map(|from| from.source), partition);
        let mut rejects = Rejects::new(self.dead_letters.is_some());
        for RefusedRow { position, row, detail } in rows {
            let record = row.map(str::as_bytes);
            let record = RejectedRecord { position, received_us, record, detail };
            rejects.add(&context, &reason, record);
        }
        self.reject(node, from, None, rejects)
    }
}

/// Rejects as rows. Their time is when the record was received, since many have no other; they
/// follow no watermark.
fn reject_rows(batch: RecordBatch, from: Option<PartitionRef>) -> Rows {
    let rows = batch.num_rows();
    let column = |name: &str| batch.column_by_name(name).cloned();
    let time = column("received")
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>().cloned())
        .map(|times| times.reinterpret_cast::<Int64Type>());
    let position =
        column("position").and_then(|column| column.as_primitive_opt::<Int64Type>().cloned());
    Rows {
        time: time.unwrap_or_else(|| Int64Array::from_value(NO_TIME, rows)),
        position: position.unwrap_or_else(|| Int64Array::from_value(0, rows)),
        max_before: Int64Array::from_value(NO_TIME, rows),
        batch,
        from,
    }
}
