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
use crate::checkpoint::{Delta, Manifest, Mark, NodeState};
use crate::config::model::OutputMode;
use crate::data::{NO_TIME, PartitionName, PartitionRef, Rows};
use crate::parse::EXPRESSION_ERROR;
use crate::plan::{DEAD_LETTERS, NodeId, NodeKind, Plan, PlanNode, Port, RuleBody};
use crate::plugin::TransformInstance;
use crate::rules::{KeyedRule, RowClock, WhenRule};
use crate::sinks::{CommitInfo, Sink, SinkError};
use crate::watermark::{SourceClock, union};
use crate::window::{PartitionTime, WindowState};

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
    /// What the next commit must write; none: nothing is kept.
    log: Option<Delta>,
    /// Rows went to a sink in this epoch.
    wrote: bool,
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
    /// Returns an owner of this state (`checkpoint::empty` for a beginning).
    pub fn new(
        plan: Arc<Plan>,
        wiring: Arc<Wiring>,
        nodes: Vec<NodeState>,
        mut sinks: Vec<Option<Box<dyn Sink>>>,
        dead_letters: Option<Box<dyn Sink>>,
    ) -> Self {
        let mut states = Vec::with_capacity(plan.nodes.len());
        for (index, (node, state)) in plan.nodes.iter().zip(nodes).enumerate() {
            states.push(match (&node.kind, state) {
                (_, NodeState::Window(window)) => State::Window(window),
                (_, NodeState::When(when)) => State::When(when),
                (NodeKind::Rule(rule), NodeState::Rule(keyed)) => match &rule.body {
                    RuleBody::When { .. } => State::None,
                    RuleBody::Plugin { plugin, .. } => {
                        State::Rule(keyed, Box::new(PluginEvaluator::new(plugin)))
                    }
                },
                (NodeKind::Transform(transform), _) => {
                    State::Transform(transform.plugin.instance())
                }
                (NodeKind::Sink(_), _) => match sinks.get_mut(index).and_then(Option::take) {
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
            log: None,
            wrote: false,
        }
    }

    /// Keeps track of what changes from here on, for commits.
    pub fn track(&mut self) {
        self.log = Some(Delta::default());
        for state in &mut self.states {
            if let State::Rule(rule, _) = state {
                rule.track();
            }
        }
    }

    /// Goes on from a checkpoint.
    pub fn resume(&mut self, manifest: &Manifest) {
        let of = |node: &PlanNode| manifest.watermarks.get(&node.name).copied();
        let watermarks = self.plan.nodes.iter().map(|node| of(node).unwrap_or(NO_TIME));
        self.watermarks = watermarks.collect();
        self.chunks = manifest.chunks;
        self.epoch = manifest.epoch;
    }

    /// Returns what has changed since this was last asked.
    ///
    /// # Errors
    /// When a rule's state cannot be written.
    pub fn take_delta(&mut self) -> Result<Delta, EngineError> {
        let mut delta = self.log.replace(Delta::default()).unwrap_or_default();
        for (index, (node, state)) in self.plan.nodes.iter().zip(&mut self.states).enumerate() {
            let failed = |source| EngineError::Rule { node: node.name.clone(), source };
            match state {
                State::Rule(rule, _) => {
                    delta.rules.push((NodeId(index), rule.take_delta().map_err(failed)?));
                }
                State::When(rule) => {
                    delta.alerts.push((NodeId(index), rule.state().map_err(failed)?));
                }
                _ => {}
            }
        }
        Ok(delta)
    }

    /// Returns how many bytes wait for a commit: outputs, and what it must write of the state.
    pub fn waiting_bytes(&self) -> usize {
        let log = self.log.as_ref().map_or(0, Delta::memory_bytes);
        let sinks = self.states.iter().map(|state| match state {
            State::Sink(sink) => sink.waiting_bytes(),
            _ => 0,
        });
        sinks.fold(log, usize::saturating_add)
    }

    /// Returns the watermark of each node, by name, for a checkpoint.
    pub fn named_watermarks(&self) -> BTreeMap<String, i64> {
        let nodes = self.plan.nodes.iter().zip(self.watermarks.iter());
        nodes.map(|(node, watermark)| (node.name.clone(), *watermark)).collect()
    }

    /// Returns the first epoch that has not ended.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the number of chunks taken so far.
    pub fn chunks(&self) -> u64 {
        self.chunks
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
        if let Some(log) = &mut self.log
            && !combined.partial.is_empty()
        {
            log.partials.push((node, self.epoch, combined.partial));
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

    /// Ends an epoch: every node gets the epoch's rows, then its watermark. Returns whether event
    /// time moved or a sink got rows.
    ///
    /// # Errors
    /// When a window, rule or sink fails.
    pub fn end_epoch(&mut self, end: &EpochEnd<'_>) -> Result<bool, EngineError> {
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
                NodeKind::Sink(_) => self.write(id, watermark, end.now_us)?,
            }
            heard.push(watermark);
        }
        let heard: Arc<[i64]> = heard.into();
        let changed = std::mem::take(&mut self.wrote) || heard != self.watermarks;
        self.watermarks = heard;
        for pair in &mut self.outputs {
            pair.iter_mut().for_each(Vec::clear);
        }
        if let Some(log) = &mut self.log {
            let (epoch, watermarks) = (end.epoch, Arc::clone(&self.watermarks));
            log.marks.push(Mark { epoch, now_us: end.now_us, watermarks });
        }
        self.epoch = end.epoch + 1;
        Ok(changed)
    }

    /// Makes an epoch's rows visible where nothing is kept: all sinks commit, then all publish.
    ///
    /// # Errors
    /// When a sink fails.
    pub fn commit(&mut self, now_us: i64) -> Result<(), EngineError> {
        for (node, info) in self.seal(now_us)? {
            if let Some(before) = info.before {
                before().map_err(|source| EngineError::Sink { node, source })?;
            }
        }
        self.publish()
    }

    /// Ends a commit in all sinks; what they say goes into the checkpoint.
    ///
    /// # Errors
    /// When a sink fails.
    pub fn seal(&mut self, now_us: i64) -> Result<Vec<(String, CommitInfo)>, EngineError> {
        let mut all = Vec::new();
        self.each_sink(|name, sink| {
            all.push((name.to_owned(), sink.commit(now_us)?));
            Ok(())
        })?;
        Ok(all)
    }

    /// Says that the next commit is the run's last.
    pub fn finish(&mut self) {
        let told = self.each_sink(|_, sink| {
            sink.finish();
            Ok(())
        });
        debug_assert!(told.is_ok(), "the closure gives no error");
    }

    /// Publishes what the oldest commit that is sealed and not published covered.
    ///
    /// # Errors
    /// When a sink fails.
    pub fn publish(&mut self) -> Result<(), EngineError> {
        self.each_sink(|_, sink| sink.committed())
    }

    fn each_sink(
        &mut self,
        mut work: impl FnMut(&str, &mut dyn Sink) -> Result<(), SinkError>,
    ) -> Result<(), EngineError> {
        for (node, state) in self.plan.nodes.iter().zip(&mut self.states) {
            if let State::Sink(sink) = state {
                work(&node.name, sink.as_mut())
                    .map_err(|source| EngineError::Sink { node: node.name.clone(), source })?;
            }
        }
        match &mut self.dead_letters {
            Some(sink) => work(DEAD_LETTERS, sink.as_mut())
                .map_err(|source| EngineError::DeadLetters { source }),
            None => Ok(()),
        }
    }

    /// Drops what sinks took since the last commit, after an error: they take nothing until then.
    pub fn abort(&mut self) {
        let dropped = self.each_sink(|_, sink| {
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
