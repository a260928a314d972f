//! The owner of the state: merges what workers give, advances time once an epoch, and runs what
//! follows windows: streams over results, rules, sinks.
//!
//! Everything here happens between two epochs on one thread, in the order of the plan, so that a
//! node has all of an epoch's rows before it hears of that epoch's watermark.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, Int64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;

use super::error::EngineError;
use super::evaluator::PluginEvaluator;
use super::late::LateLog;
use super::stats::Stats;
use super::window_input::{Combined, combine};
use super::worker::{Stage1, Stage2, slot};
use crate::config::model::OutputMode;
use crate::data::{NO_TIME, Rows};
use crate::parse::{Reason, RejectContext, RejectedRecord, Rejects};
use crate::plan::{DEAD_LETTERS, NodeId, NodeKind, Plan, Port, RuleBody};
use crate::rules::{KeyedRule, PoisonRow, RowClock, RuleOutput, WhenRule};
use crate::sinks::{Delivery, Sink};
use crate::stream::{RowErrors, apply, extend, filter_by};
use crate::window::{Fired, PartitionTime, Shard, WindowState};

/// A batch on an edge between two nodes of the owner.
#[derive(Clone)]
struct Batch {
    rows: Rows,
    revision: u32,
    /// Where the rows' partition stood in time, for rules that order by event time.
    clock: RowClock,
}

impl Batch {
    /// Rows that windows, rules or the host made.
    fn made(rows: Rows, revision: u32) -> Self {
        Self { rows, revision, clock: RowClock::NEVER_LATE }
    }
}

/// The state of one node.
enum State {
    /// Keeps nothing.
    None,
    /// Slices, sessions, counts.
    Window(Box<WindowState>),
    /// Alert numbers.
    When(Box<WhenRule>),
    /// State by key, and the plugin's instance.
    Rule(Box<KeyedRule>, Box<PluginEvaluator>),
    /// What is on its way out.
    Sink(Box<dyn Sink>),
}

/// Owns every node's state.
pub struct Owner {
    plan: Arc<Plan>,
    states: Vec<State>,
    /// What each node gave in this epoch, by port.
    outputs: Vec<[Vec<Batch>; 2]>,
    /// Rows for `when` rules whose condition holds.
    matched: Vec<Vec<Batch>>,
    /// For each node, the watermark up to which it has been advanced.
    watermarks: Arc<[i64]>,
    dead_letters: Option<Box<dyn Sink>>,
    stats: Stats,
    late: LateLog,
}

/// What an epoch's end needs to know.
#[derive(Clone, Copy, Debug)]
pub struct EpochEnd<'a> {
    /// The epoch's number.
    pub epoch: u64,
    /// Its clock.
    pub now_us: i64,
    /// The watermark of each source.
    pub watermarks: &'a [i64],
}

impl Owner {
    /// Returns an owner with empty state.
    pub fn new(
        plan: Arc<Plan>,
        mut sinks: Vec<Option<Box<dyn Sink>>>,
        dead_letters: Option<Box<dyn Sink>>,
    ) -> Self {
        let mut states = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            states.push(match &node.kind {
                NodeKind::Window(window) => {
                    State::Window(Box::new(window.window.state(Shard::WHOLE)))
                }
                NodeKind::Rule(rule) => match &rule.body {
                    RuleBody::When { rule, .. } => State::When(rule.clone()),
                    RuleBody::Plugin { plugin, rule } => {
                        State::Rule(rule.clone(), Box::new(PluginEvaluator::new(plugin)))
                    }
                },
                NodeKind::Sink(_) => match sinks.get_mut(index).and_then(Option::take) {
                    Some(sink) => State::Sink(sink),
                    None => State::None,
                },
                _ => State::None,
            });
        }
        let count = plan.nodes.len();
        let stats = Stats::new(&plan);
        let late = LateLog::new(&plan);
        Self {
            plan,
            states,
            outputs: vec![Default::default(); count],
            matched: vec![Vec::new(); count],
            watermarks: vec![NO_TIME; count].into(),
            dead_letters,
            stats,
            late,
        }
    }

    /// Returns the watermark of each node, as of the last epoch's end.
    pub fn watermarks(&self) -> &Arc<[i64]> {
        &self.watermarks
    }

    /// Returns what has been counted so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns what came too late so far.
    pub fn late(&self) -> &LateLog {
        &self.late
    }

    /// Takes what a worker made of a chunk. Chunks come in order of (partition, position).
    ///
    /// # Errors
    /// When a window cannot merge, or a reject cannot be written.
    pub fn absorb(
        &mut self,
        stage1: Stage1,
        stage2: Stage2,
        clock: RowClock,
    ) -> Result<(), EngineError> {
        self.stats.read(stage1.records, stage1.bytes);
        for (node, rows) in stage1.rows_out {
            self.stats.rows_out(node, rows);
        }
        for (node, count) in stage1.made_null {
            self.stats.made_null(node, count);
        }
        for (node, rejects) in stage1.rejects {
            self.reject(node, rejects)?;
        }
        for (node, port, rows) in stage1.shipped {
            self.give(node, port, Batch { rows, revision: 0, clock });
        }
        for (node, rows) in stage1.matched {
            if let Some(list) = self.matched.get_mut(node.0) {
                list.push(Batch { rows, revision: 0, clock });
            }
        }
        for (node, combined) in stage2.combined {
            self.merge(node, combined)?;
        }
        Ok(())
    }

    /// Counts rejects and hands them to whoever reads them.
    pub fn reject(&mut self, node: NodeId, rejects: Rejects) -> Result<(), EngineError> {
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
                epoch: 0,
                mode: OutputMode::Append,
            };
            sink.write(&delivery).map_err(|source| EngineError::DeadLetters { source })?;
        }
        if matches!(self.plan.node(node).kind, NodeKind::Parser(_)) {
            let rows = timeless(batch);
            self.give(node, Port::Rejects, Batch::made(rows, 0));
        }
        Ok(())
    }

    fn merge(&mut self, node: NodeId, combined: Combined) -> Result<(), EngineError> {
        let Some(State::Window(state)) = self.states.get_mut(node.0) else { return Ok(()) };
        let name = &self.plan.node(node).name;
        state
            .merge(&combined.partial)
            .map_err(|source| EngineError::Window { node: name.clone(), source })?;
        self.stats.rows_in(node, combined.rows);
        self.stats.without_time(node, combined.timeless);
        self.stats.errors(node, &combined.errors);
        self.late.add(node, &combined.late);
        if let Some(rows) = combined.late_rows {
            self.give(node, Port::Late, Batch::made(rows, 0));
        }
        Ok(())
    }

    fn give(&mut self, node: NodeId, port: Port, batch: Batch) {
        if batch.rows.is_empty() {
            return;
        }
        if let Some(list) = self.outputs.get_mut(node.0).and_then(|pair| pair.get_mut(slot(port))) {
            list.push(batch);
        }
    }

    /// Ends an epoch: every node gets the epoch's rows, then its watermark.
    ///
    /// # Errors
    /// When a window, rule or sink fails.
    pub fn end_epoch(&mut self, end: &EpochEnd<'_>) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let mut heard = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            let id = NodeId(index);
            let watermark = node_watermark(&node.sources, end.watermarks);
            match &node.kind {
                NodeKind::Source(_) | NodeKind::Parser(_) => {}
                NodeKind::Stream(_) => self.stream(id)?,
                NodeKind::Window(_) => self.window(id, watermark, end.now_us)?,
                NodeKind::Rule(_) => self.rule(id, watermark, end.now_us)?,
                NodeKind::Sink(_) => self.sink(id, watermark, end)?,
            }
            heard.push(watermark);
        }
        self.watermarks = heard.into();
        for pair in &mut self.outputs {
            pair.iter_mut().for_each(Vec::clear);
        }
        if let Some(sink) = &mut self.dead_letters {
            sink.commit(end.now_us)
                .and_then(|_| sink.committed())
                .map_err(|source| EngineError::DeadLetters { source })?;
        }
        Ok(())
    }

    /// Returns what a node reads from nodes of the owner, in the order of its inputs.
    fn inputs(&self, id: NodeId) -> Vec<Batch> {
        let mut batches = Vec::new();
        for edge in &self.plan.node(id).inputs {
            let from = self.outputs.get(edge.node.0).and_then(|pair| pair.get(slot(edge.port)));
            batches.extend(from.into_iter().flatten().cloned());
        }
        batches
    }

    fn stream(&mut self, id: NodeId) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        let NodeKind::Stream(stream) = &node.kind else { return Ok(()) };
        if node.place == crate::plan::Place::Worker {
            return Ok(());
        }
        for batch in self.inputs(id) {
            let mut errors = RowErrors::default();
            let rows = apply(stream, &node.schema, batch.rows.clone(), &mut errors)
                .map_err(|source| EngineError::columns(&node.name, source))?;
            self.stats.errors(id, &errors);
            self.stats.rows_out(id, count(rows.len()));
            self.give(id, Port::Main, Batch { rows, ..batch });
        }
        Ok(())
    }

    fn window(&mut self, id: NodeId, watermark: i64, now_us: i64) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        let NodeKind::Window(window) = &node.kind else { return Ok(()) };
        let failed = |source| EngineError::Window { node: node.name.clone(), source };
        let time = PartitionTime {
            max_before_chunk: NO_TIME,
            delay_us: 0,
            pipeline_watermark: self.watermarks.get(id.0).copied().unwrap_or(NO_TIME),
        };
        for batch in self.inputs(id) {
            // A revision corrects a result that was already counted.
            if batch.revision > 0 {
                continue;
            }
            let combined = combine(window, batch.rows, &time, None).map_err(failed)?;
            self.merge(id, combined)?;
        }
        let Some(State::Window(state)) = self.states.get_mut(id.0) else { return Ok(()) };
        let fired = state.advance(watermark, now_us).map_err(failed)?;
        self.stats.state(id, state.memory_bytes(), state.open_windows());
        for Fired { batch, time, revision, .. } in fired {
            let mut errors = RowErrors::default();
            let rows = result_rows(batch, time);
            let mut rows = extend(&window.derive, rows, &mut errors)
                .map_err(|source| EngineError::columns(&node.name, source))?;
            if let Some(having) = &window.having {
                rows = filter_by(having, rows, &mut errors)
                    .map_err(|source| EngineError::columns(&node.name, source))?;
            }
            self.stats.errors(id, &errors);
            self.stats.fired(id, count(rows.len()), revision);
            self.give(id, Port::Main, Batch::made(rows, revision));
        }
        Ok(())
    }

    fn rule(&mut self, id: NodeId, watermark: i64, now_us: i64) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        let NodeKind::Rule(rule) = &node.kind else { return Ok(()) };
        let failed = |source| EngineError::Rule { node: node.name.clone(), source };
        let mut alerts: Vec<Rows> = Vec::new();
        let mut annotated: Vec<Rows> = Vec::new();
        let mut poison: Vec<PoisonRow> = Vec::new();
        match &rule.body {
            RuleBody::When { condition, .. } => {
                let mut batches =
                    self.matched.get_mut(id.0).map(std::mem::take).unwrap_or_default();
                for batch in self.inputs(id) {
                    let mut errors = RowErrors::default();
                    let rows = filter_by(condition, batch.rows.clone(), &mut errors)
                        .map_err(|source| EngineError::columns(&node.name, source))?;
                    self.stats.errors(id, &errors);
                    batches.push(Batch { rows, ..batch });
                }
                let Some(State::When(when)) = self.states.get_mut(id.0) else { return Ok(()) };
                for batch in batches {
                    if !batch.rows.is_empty() {
                        let all = BooleanArray::new(BooleanBuffer::new_set(batch.rows.len()), None);
                        alerts.push(when.evaluate(&batch.rows, &all).map_err(failed)?);
                    }
                }
                when.advance(watermark);
            }
            RuleBody::Plugin { .. } => {
                let batches = self.inputs(id);
                let Some(State::Rule(keyed, evaluator)) = self.states.get_mut(id.0) else {
                    return Ok(());
                };
                let mut take = |output: RuleOutput| {
                    alerts.push(output.alerts);
                    annotated.push(output.rows);
                    poison.extend(output.poison);
                };
                for batch in batches {
                    take(keyed.push(&batch.rows, batch.clock, evaluator.as_mut()).map_err(failed)?);
                }
                take(keyed.advance(watermark, evaluator.as_mut()).map_err(failed)?);
            }
        }
        for rows in alerts {
            self.stats.alerts(id, &rows.batch);
            self.give(id, Port::Main, Batch::made(rows, 0));
        }
        for rows in annotated {
            self.give(id, Port::Rows, Batch::made(rows, 0));
        }
        self.poison(id, &poison, now_us)
    }

    /// Sends rows that made a rule's plugin fail to the dead letters.
    fn poison(&mut self, id: NodeId, rows: &[PoisonRow], now_us: i64) -> Result<(), EngineError> {
        if rows.is_empty() {
            return Ok(());
        }
        let name = self.plan.node(id).name.as_str();
        let reason: Reason = Arc::from("plugin_failure");
        let mut rejects = Rejects::new(self.dead_letters.is_some());
        for row in rows {
            let source = row.from.and_then(|from| self.plan.source_name(from.source));
            let context = RejectContext {
                source: Arc::from(source.unwrap_or("")),
                partition: Arc::from(row.from.map(|from| from.to_string()).unwrap_or_default()),
                node: Arc::from(name),
                plugin_version: None,
            };
            let record = RejectedRecord {
                position: row.position,
                received_us: now_us,
                record: None,
                detail: Some(&row.message),
            };
            rejects.add(&context, &reason, record);
        }
        self.reject(id, rejects)
    }

    fn sink(&mut self, id: NodeId, watermark: i64, end: &EpochEnd<'_>) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        let failed = |source| EngineError::Sink { node: node.name.clone(), source };
        let Some(State::Sink(sink)) = self.states.get_mut(id.0) else { return Ok(()) };
        for edge in &node.inputs {
            let from = plan.node(edge.node);
            let name = format!("{}{}", from.name, edge.port.suffix());
            let mode = match (&from.kind, edge.port) {
                (NodeKind::Window(window), Port::Main) => window.output,
                _ => OutputMode::Append,
            };
            let batches = self.outputs.get(edge.node.0).and_then(|pair| pair.get(slot(edge.port)));
            for batch in batches.into_iter().flatten() {
                let delivery = Delivery {
                    node: &name,
                    batch: &batch.rows.batch,
                    revision: batch.revision,
                    watermark_us: watermark,
                    epoch: end.epoch,
                    mode,
                };
                sink.write(&delivery).map_err(failed)?;
            }
        }
        sink.commit(end.now_us).map_err(failed)?;
        sink.committed().map_err(failed)
    }

    /// Ends the run: sinks publish what is open.
    ///
    /// # Errors
    /// The first sink's failure; the others are closed all the same.
    pub fn close(&mut self, now_us: i64) -> Result<(), EngineError> {
        let mut first = Ok(());
        for (node, state) in self.plan.nodes.iter().zip(&mut self.states) {
            let State::Sink(sink) = state else { continue };
            match sink.close(now_us) {
                Ok(summary) => self.stats.sink(&node.name, summary),
                Err(source) if first.is_ok() => {
                    first = Err(EngineError::Sink { node: node.name.clone(), source });
                }
                Err(_) => {}
            }
        }
        if let Some(sink) = &mut self.dead_letters {
            let closed = sink.close(now_us).map_err(|source| EngineError::DeadLetters { source });
            if first.is_ok() {
                first = closed.map(|_| ());
            }
        }
        first
    }
}

/// A union takes the minimum of the sources behind it.
fn node_watermark(sources: &[crate::data::SourceId], watermarks: &[i64]) -> i64 {
    let of = |source: &crate::data::SourceId| {
        let index = usize::try_from(source.0).unwrap_or(usize::MAX);
        watermarks.get(index).copied().unwrap_or(NO_TIME)
    };
    sources.iter().map(of).min().unwrap_or(NO_TIME)
}

/// Rows that a window made.
fn result_rows(batch: arrow::array::RecordBatch, time: Int64Array) -> Rows {
    let rows = batch.num_rows();
    Rows {
        batch,
        time,
        position: Int64Array::from_value(0, rows),
        max_before: Int64Array::from_value(NO_TIME, rows),
        from: None,
    }
}

/// Rows that do not follow the watermark.
fn timeless(batch: arrow::array::RecordBatch) -> Rows {
    let rows = batch.num_rows();
    let position = batch.column_by_name("position");
    let position = position.and_then(|column| column.as_primitive_opt::<Int64Type>()).cloned();
    Rows {
        time: Int64Array::from_value(NO_TIME, rows),
        position: position.unwrap_or_else(|| Int64Array::from_value(0, rows)),
        max_before: Int64Array::from_value(NO_TIME, rows),
        batch,
        from: None,
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
