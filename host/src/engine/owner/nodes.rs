//! What each kind of node does with an epoch's rows.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::super::error::EngineError;
use super::super::window_input::combine;
use super::refuse::RefusedRow;
use super::revisions::with_revision;
use super::{About, Batch, Owner, State};
use crate::data::{NO_TIME, Rows};
use crate::encode::row_json;
use crate::parse::{EXPRESSION_ERROR, plugin_failure};
use crate::plan::{Edge, NodeId, NodeKind, Place, Port, RuleBody};
use crate::rules::{PoisonRow, RuleOutput};
use crate::sinks::Delivery;
use crate::stream::{RowErrors, Transformed, apply, extend, filter_by, transform, union};
use crate::window::{Fired, PartitionTime};

impl Owner {
    fn given(&self, edge: &Edge) -> &[Batch] {
        let pair = self.outputs.get(edge.node.0);
        pair.and_then(|pair| pair.get(super::slot(edge.port))).map_or(&[], Vec::as_slice)
    }

    /// Returns the rows that a node takes here, not those that it took on the workers.
    pub(super) fn inputs(&self, id: NodeId) -> Result<Vec<Batch>, EngineError> {
        let node = self.plan.node(id);
        let mut batches = Vec::new();
        for edge in &node.inputs {
            if self.plan.taken_at(id, edge) == Place::Owner {
                batches.extend(self.given(edge).iter().cloned());
            }
        }
        if node.inputs.len() < 2 {
            return Ok(batches);
        }
        in_order(batches, &node.input).map_err(|source| EngineError::columns(&node.name, source))
    }

    pub(super) fn transform(&mut self, id: NodeId, now_us: i64) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        for batch in self.inputs(id)? {
            let Some(State::Transform(instance)) = self.states.get_mut(id.0) else {
                return Ok(());
            };
            let Transformed { rows, refused } = transform(instance, &batch.rows)
                .map_err(|source| EngineError::transform(&node.name, source))?;
            let about = About { from: batch.rows.from, received_us: now_us };
            for refused in &refused {
                let json = row_json(&batch.rows.batch, refused.row).ok().map(|row| row.to_string());
                let row = RefusedRow {
                    position: refused.position,
                    row: json.as_deref(),
                    detail: refused.detail.as_deref(),
                };
                self.refuse(id, about, &refused.reason, [row])?;
            }
            self.stats.rows_out(id, count(rows.len()));
            self.give(id, Port::Main, Batch { rows, ..batch });
        }
        Ok(())
    }

    pub(super) fn stream(&mut self, id: NodeId, now_us: i64) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        let NodeKind::Stream(stream) = &node.kind else { return Ok(()) };
        for batch in self.inputs(id)? {
            let mut errors = RowErrors::default();
            let from = batch.rows.from;
            let rows = apply(stream, &node.schema, batch.rows, &mut errors)
                .map_err(|source| EngineError::columns(&node.name, source))?;
            self.note_errors(id, About { from, received_us: now_us }, &errors)?;
            self.stats.rows_out(id, count(rows.len()));
            self.give(id, Port::Main, Batch { rows, ..batch });
        }
        Ok(())
    }

    pub(super) fn window(
        &mut self,
        id: NodeId,
        watermark: i64,
        now_us: i64,
    ) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        let NodeKind::Window(window) = &node.kind else { return Ok(()) };
        let failed = |source| EngineError::Window { node: node.name.clone(), source };
        let heard = self.watermarks.get(id.0).copied().unwrap_or(NO_TIME);
        for batch in self.inputs(id)? {
            // A revision corrects a result that was already counted.
            if batch.revision > 0 {
                continue;
            }
            let time = PartitionTime {
                max_before_chunk: batch.clock.max_before_us,
                delay_us: batch.clock.delay_us,
                pipeline_watermark: heard,
            };
            let about = About { from: batch.rows.from, received_us: now_us };
            let late_schema = self.wiring.late_schema(id, node);
            let combined = combine(window, batch.rows, &time, late_schema).map_err(failed)?;
            self.merge(id, combined, about, batch.clock, batch.chunk)?;
        }
        let Some(State::Window(state)) = self.states.get_mut(id.0) else { return Ok(()) };
        let fired = state.advance(watermark, now_us).map_err(failed)?;
        self.stats.state(id, state.memory_bytes(), state.open_windows());
        for Fired { batch, time, revision, .. } in fired {
            let mut errors = RowErrors::default();
            let batch = if window.numbered { with_revision(&batch, revision) } else { Ok(batch) };
            let batch = batch.map_err(|source| EngineError::columns(&node.name, source))?;
            let rows = result_rows(batch, time);
            let mut rows = extend(&window.derive, rows, &mut errors)
                .map_err(|source| EngineError::columns(&node.name, source))?;
            if let Some(having) = &window.having {
                rows = filter_by(having, rows, &mut errors)
                    .map_err(|source| EngineError::columns(&node.name, source))?;
            }
            self.note_errors(id, About { from: None, received_us: now_us }, &errors)?;
            self.stats.fired(id, count(rows.len()), revision);
            let mode = window.output;
            self.give(id, Port::Main, Batch { revision, mode, ..Batch::made(rows) });
        }
        Ok(())
    }

    pub(super) fn rule(
        &mut self,
        id: NodeId,
        watermark: i64,
        now_us: i64,
    ) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let NodeKind::Rule(rule) = &plan.node(id).kind else { return Ok(()) };
        let given = self.judged(id, rule.revisions)?;
        match &rule.body {
            RuleBody::When { condition, .. } => {
                self.when_rule(id, condition, given, watermark, now_us)
            }
            RuleBody::Plugin { .. } => self.plugin_rule(id, given, watermark, now_us),
        }
    }

    fn when_rule(
        &mut self,
        id: NodeId,
        condition: &crate::expr::Compiled,
        given: Vec<Batch>,
        watermark: i64,
        now_us: i64,
    ) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        let mut batches = self.matched.get_mut(id.0).map(std::mem::take).unwrap_or_default();
        for batch in given {
            let mut errors = RowErrors::default();
            let from = batch.rows.from;
            let rows = filter_by(condition, batch.rows, &mut errors)
                .map_err(|source| EngineError::columns(&node.name, source))?;
            self.note_errors(id, About { from, received_us: now_us }, &errors)?;
            batches.push(Batch { rows, ..batch });
        }
        batches.sort_by_key(|batch| batch.chunk.unwrap_or(u64::MAX));
        let Some(State::When(when)) = self.states.get_mut(id.0) else { return Ok(()) };
        let mut alerts = Vec::with_capacity(batches.len());
        for batch in batches {
            if batch.rows.is_empty() {
                continue;
            }
            let all = BooleanArray::new(BooleanBuffer::new_set(batch.rows.len()), None);
            let made = when
                .evaluate(&batch.rows, &all)
                .map_err(|source| EngineError::Rule { node: node.name.clone(), source })?;
            alerts.push((made, batch.revision));
        }
        when.advance(watermark);
        self.stats.state(id, when.memory_bytes(), 0);
        self.raise(id, alerts)
    }

    fn plugin_rule(
        &mut self,
        id: NodeId,
        given: Vec<Batch>,
        watermark: i64,
        now_us: i64,
    ) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        let failed = |source| EngineError::Rule { node: node.name.clone(), source };
        let Some(State::Rule(keyed, evaluator)) = self.states.get_mut(id.0) else {
            return Ok(());
        };
        let mut outputs: Vec<(RuleOutput, u32)> = Vec::with_capacity(given.len() + 1);
        for batch in given {
            let output = keyed.push(&batch.rows, batch.clock, evaluator.as_mut());
            outputs.push((output.map_err(failed)?, batch.revision));
        }
        outputs.push((keyed.advance(watermark, evaluator.as_mut()).map_err(failed)?, 0));
        self.stats.state(id, keyed.memory_bytes(), 0);
        let mut alerts = Vec::with_capacity(outputs.len());
        for (RuleOutput { alerts: raised, rows, poison }, revision) in outputs {
            alerts.push((raised, revision));
            self.give_revised(id, Port::Rows, rows, revision)?;
            self.poison(id, &poison, now_us)?;
        }
        self.raise(id, alerts)
    }

    fn raise(&mut self, id: NodeId, alerts: Vec<(Rows, u32)>) -> Result<(), EngineError> {
        for (rows, revision) in alerts {
            self.stats.alerts(id, &rows.batch);
            self.give_revised(id, Port::Main, rows, revision)?;
        }
        Ok(())
    }

    /// Sends rows and timers that made a rule's plugin fail to the dead letters.
    fn poison(&mut self, id: NodeId, rows: &[PoisonRow], now_us: i64) -> Result<(), EngineError> {
        for row in rows {
            let about = About { from: row.from, received_us: now_us };
            let reason = plugin_failure(row.reason);
            let record = RefusedRow {
                position: row.position,
                row: row.row.as_deref(),
                detail: Some(&row.message),
            };
            self.refuse(id, about, &reason, [record])?;
        }
        Ok(())
    }

    fn note_errors(
        &mut self,
        id: NodeId,
        about: About,
        errors: &RowErrors,
    ) -> Result<(), EngineError> {
        self.stats.made_null(id, errors.made_null);
        self.refuse(id, about, EXPRESSION_ERROR, RefusedRow::of(&errors.failed))
    }

    /// Hands an epoch's rows to a sink. They count when it commits.
    pub(super) fn write(
        &mut self,
        id: NodeId,
        watermark: i64,
        now_us: i64,
    ) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        let mut refused = Vec::new();
        let Some(State::Sink(sink)) = self.states.get_mut(id.0) else { return Ok(()) };
        for edge in &node.inputs {
            let name = format!("{}{}", plan.node(edge.node).name, edge.port.suffix());
            let pair = self.outputs.get(edge.node.0);
            let batches = pair.and_then(|pair| pair.get(super::slot(edge.port)));
            for batch in batches.into_iter().flatten() {
                self.wrote = true;
                let delivery = Delivery {
                    node: &name,
                    batch: &batch.rows.batch,
                    revision: batch.revision,
                    watermark_us: watermark,
                    epoch: self.epoch,
                    mode: batch.mode,
                };
                sink.write(&delivery)
                    .map_err(|source| EngineError::Sink { node: node.name.clone(), source })?;
                refused.append(&mut sink.take_refused());
            }
        }
        for row in refused {
            let json = String::from_utf8_lossy(&row.row);
            let about = About { from: None, received_us: now_us };
            let record = RefusedRow { position: 0, row: Some(&json), detail: Some(&row.detail) };
            self.refuse(id, about, row.reason, [record])?;
        }
        Ok(())
    }
}

/// Brings the batches of several inputs into one order: chunk by chunk and within a chunk by
/// position, so that how the log was cut makes no difference; results last. All get the columns of
/// `schema`.
fn in_order(mut batches: Vec<Batch>, schema: &SchemaRef) -> Result<Vec<Batch>, ArrowError> {
    batches.sort_by_key(|batch| batch.chunk.unwrap_or(u64::MAX));
    let mut ordered: Vec<Batch> = Vec::with_capacity(batches.len());
    for batch in batches {
        match ordered.last_mut() {
            Some(last) if last.chunk.is_some() && last.chunk == batch.chunk => {
                last.rows = union(&last.rows, &batch.rows, schema)?;
            }
            _ => {
                let rows = with_schema(batch.rows, schema)?;
                ordered.push(Batch { rows, ..batch });
            }
        }
    }
    Ok(ordered)
}

fn with_schema(rows: Rows, schema: &SchemaRef) -> Result<Rows, ArrowError> {
    if rows.batch.schema_ref() == schema {
        return Ok(rows);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let columns = rows.batch.columns().to_vec();
    let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
    Ok(Rows { batch, ..rows })
}

/// Rows that a window made.
fn result_rows(batch: RecordBatch, time: Int64Array) -> Rows {
    let rows = batch.num_rows();
    Rows {
        batch,
        time,
        position: Int64Array::from_value(0, rows),
        max_before: Int64Array::from_value(NO_TIME, rows),
        from: None,
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
