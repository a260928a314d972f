//! The owner of the state: merges what workers give, advances time once an epoch, and runs what
//! follows windows: streams over results, rules, sinks.
//!
//! Everything here happens between two epochs on one thread, in the order of the plan, so that a
//! node has all of an epoch's rows before it hears of that epoch's watermark. Sinks take the rows
//! of all nodes first and commit afterwards, so that an epoch that fails is in none of them.

mod nodes;
mod refuse;
mod revisions;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::refuse::RefusedRow;
use super::error::EngineError;
use super::evaluator::PluginEvaluator;
use super::late::LateLog;
use super::stats::Stats;
use super::window_input::Combined;
use super::wiring::{Wiring, slot};
use super::worker::{Stage1, Stage2};
use crate::config::model::OutputMode;
use crate::data::{NO_TIME, PartitionName, PartitionRef, Rows};
use crate::parse::EXPRESSION_ERROR;
use crate::plan::{NodeId, NodeKind, Plan, Port, RuleBody};
use crate::plugin::TransformInstance;
use crate::rules::{KeyedRule, RowClock, WhenRule};
use crate::sinks::{Sink, SinkError};
use crate::watermark::{SourceClock, union};
use crate::window::{PartitionTime, Shard, WindowState};

/// A batch on an edge between two nodes of the owner.
#[derive(Clone)]
struct Batch {
    rows: Rows,
    revision: u32,
    /// Which rows of the table of the window behind them these are.
    mode: OutputMode,
    /// Where the rows' partition stood in time.
    clock: RowClock,
    /// The chunk they are from, by its number; none for results, which come at an epoch's end.
    chunk: Option<u64>,
}

impl Batch {
    /// Rows that windows or rules made.
    fn made(rows: Rows) -> Self {
        let (clock, mode) = (RowClock::NEVER_LATE, OutputMode::Append);
        Self { rows, revision: 0, mode, clock, chunk: None }
    }
}

/// The state of one node.
enum State {
    /// Keeps nothing.
    None,
    /// The plugin, for rows that are made here.
    Transform(TransformInstance),
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
    wiring: Arc<Wiring>,
    states: Vec<State>,
    /// What each node gave in this epoch, by port.
    outputs: Vec<[Vec<Batch>; 2]>,
    /// Rows for `when` rules whose condition holds.
    matched: Vec<Vec<Batch>>,
    /// For each node, the watermark up to which it has been advanced.
    watermarks: Arc<[i64]>,
    /// Names for the dead letters.
    partitions: BTreeMap<PartitionRef, PartitionName>,
    dead_letters: Option<Box<dyn Sink>>,
    /// Chunks taken so far.
    chunks: u64,
    /// The epoch under way.
    epoch: u64,
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
    /// Where each source stands.
    pub clocks: &'a [SourceClock],
}

impl Owner {
    /// Returns an owner with empty state.
    pub fn new(
        plan: Arc<Plan>,
        wiring: Arc<Wiring>,
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
                NodeKind::Transform(transform) => State::Transform(transform.plugin.instance()),
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
            wiring,
            states,
            outputs: vec![Default::default(); count],
            matched: vec![Vec::new(); count],
            watermarks: vec![NO_TIME; count].into(),
            partitions: BTreeMap::new(),
            dead_letters,
            chunks: 0,
            epoch: 0,
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

    /// Takes what a worker made of a chunk; `time` is where its partition stood before it. Chunks
    /// come in the order of the epoch's facts.
    ///
    /// # Errors
    /// When a window cannot merge, or a reject cannot be written.
    pub fn absorb(
        &mut self,
        stage1: Stage1,
        stage2: Stage2,
        time: &PartitionTime,
    ) -> Result<(), EngineError> {
        let from = stage1.from;
        let clock = RowClock { max_before_us: time.max_before_chunk, delay_us: time.delay_us };
        let chunk = Some(self.chunks);
        self.chunks += 1;
        self.name_partition(from, &stage1.partition);
        self.stats.read(stage1.records, stage1.bytes);
        for (node, rows) in stage1.rows_out {
            self.stats.rows_out(node, rows);
        }
        for (node, count) in stage1.made_null {
            self.stats.made_null(node, count);
        }
        for (node, rejects) in stage1.rejects {
            self.reject(node, Some(from), chunk, rejects)?;
        }
        let batch = |rows| Batch { clock, chunk, ..Batch::made(rows) };
        for (node, rows) in stage1.shipped {
            self.give(node, Port::Main, batch(rows));
        }
        for (node, rows) in stage1.matched {
            if let Some(list) = self.matched.get_mut(node.0) {
                list.push(batch(rows));
            }
        }
        for (node, combined) in stage2.combined {
            let about = About { from: Some(from), received_us: stage1.received_us };
            self.merge(node, combined, about, clock, chunk)?;
        }
        Ok(())
    }

    /// Remembers a partition's name for the dead letters.
    pub fn name_partition(&mut self, partition: PartitionRef, name: &PartitionName) {
        self.partitions.entry(partition).or_insert_with(|| Arc::clone(name));
    }

    fn merge(
        &mut self,
        node: NodeId,
        combined: Combined,
        about: About,
        clock: RowClock,
        chunk: Option<u64>,
    ) -> Result<(), EngineError> {
        let Some(State::Window(state)) = self.states.get_mut(node.0) else { return Ok(()) };
        state.merge(&combined.partial).map_err(|source| EngineError::Window {
            node: self.plan.node(node).name.clone(),
            source,
        })?;
        self.stats.rows_in(node, combined.rows);
        self.stats.without_time(node, combined.timeless);
        self.stats.made_null(node, combined.errors.made_null);
        self.late.add(node, &combined.late);
        if let Some(rows) = combined.late_rows {
            self.give(node, Port::Late, Batch { clock, chunk, ..Batch::made(rows) });
        }
        self.refuse(node, about, EXPRESSION_ERROR, RefusedRow::of(&combined.errors.failed))
    }

    fn give(&mut self, node: NodeId, port: Port, batch: Batch) {
        if batch.rows.is_empty() {
            return;
        }
        if let Some(list) = self.outputs.get_mut(node.0).and_then(|pair| pair.get_mut(slot(port))) {
            list.push(batch);
        }
    }

    /// Ends an epoch: every node gets the epoch's rows, then its watermark; then sinks commit.
    ///
    /// # Errors
    /// When a window, rule or sink fails.
    pub fn end_epoch(&mut self, end: &EpochEnd<'_>) -> Result<(), EngineError> {
        self.epoch = end.epoch;
        let plan = Arc::clone(&self.plan);
        let mut heard = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            let id = NodeId(index);
            let clocks = node.sources.iter().filter_map(|source| {
                end.clocks.get(usize::try_from(source.0).unwrap_or(usize::MAX)).copied()
            });
            // A source that was idle and is back holds at less than what was reached without it.
            let before = self.watermarks.get(index).copied().unwrap_or(NO_TIME);
            let watermark = union(clocks).max(before);
            match &node.kind {
                NodeKind::Source(_) | NodeKind::Parser(_) => {}
                NodeKind::Transform(_) => self.transform(id, end.now_us)?,
                NodeKind::Stream(_) => self.stream(id, end.now_us)?,
                NodeKind::Window(_) => self.window(id, watermark, end.now_us)?,
                NodeKind::Rule(_) => self.rule(id, watermark, end.now_us)?,
                NodeKind::Sink(_) => self.write(id, watermark)?,
            }
            heard.push(watermark);
        }
        self.watermarks = heard.into();
        for pair in &mut self.outputs {
            pair.iter_mut().for_each(Vec::clear);
        }
        self.epoch = end.epoch + 1;
        self.commit(end.now_us)
    }

    /// Makes an epoch's rows visible: all sinks commit, then all publish.
    fn commit(&mut self, now_us: i64) -> Result<(), EngineError> {
        self.each_sink(|sink| sink.commit(now_us).map(|_| ()))?;
        self.each_sink(|sink| sink.committed())
    }

    fn each_sink(
        &mut self,
        mut work: impl FnMut(&mut dyn Sink) -> Result<(), SinkError>,
    ) -> Result<(), EngineError> {
        for (node, state) in self.plan.nodes.iter().zip(&mut self.states) {
            if let State::Sink(sink) = state {
                work(sink.as_mut())
                    .map_err(|source| EngineError::Sink { node: node.name.clone(), source })?;
            }
        }
        match &mut self.dead_letters {
            Some(sink) => work(sink.as_mut()).map_err(|source| EngineError::DeadLetters { source }),
            None => Ok(()),
        }
    }

    /// Drops what sinks took since the last commit, after an error: they take nothing until then.
    pub fn abort(&mut self) {
        let dropped = self.each_sink(|sink| {
            if let Err(error) = sink.abort() {
                // The error that led here is the one to tell; this one says what is left behind.
                tracing::error!(%error, "rows of a failed epoch cannot be taken back");
            }
            Ok(())
        });
        debug_assert!(dropped.is_ok(), "the closure gives no error");
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
                Err(error) => tracing::error!(sink = %node.name, %error, "closing failed"),
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

/// Where refused rows came from and when.
#[derive(Clone, Copy, Debug)]
struct About {
    from: Option<PartitionRef>,
    received_us: i64,
}
