//! The epoch loop.

use std::sync::Arc;

use super::commits::{Commits, Kept};
use super::drift::Drift;
use super::error::EngineError;
use super::facts::EpochFacts;
use super::flow::{Cut, Flow};
use super::input::{EpochInput, EpochReads, Input};
use super::outside::Outside;
use super::owner::{EpochEnd, Owner};
use super::pool::{Done, Pool, Task, guarded};
use super::time::EventTime;
use super::wiring::Wiring;
use super::worker::{Stage2, Work};
use crate::checkpoint::{self, AuthorityError, Commit, CommitError, Opened};
use crate::data::{Chunk, Partition, PartitionRef, SourceId};
use crate::parse::{Reason, RejectedRecord, Rejects};
use crate::plan::{NodeId, NodeKind, Plan};
use crate::report::bytes_text;
use crate::sinks::Sink;
use crate::sources::{Oversized, Progress, Source};
use crate::watermark::SourceClock;

/// The reason under which records longer than allowed are refused.
const RECORD_TOO_LONG: &str = "record_too_long";

/// Epochs that may be cut and not ended when more is read: the workers parse the next one's chunks
/// while this one's last are merged.
const EPOCHS_AHEAD: usize = 2;

/// What an engine runs with, besides its plan.
pub struct EngineOptions {
    /// The sources, in the order of `SourceId`, with their names.
    pub sources: Vec<(String, Box<dyn Source>)>,
    /// The sinks, by their node's number.
    pub sinks: Vec<Option<Box<dyn Sink>>>,
    /// Where dead letters go.
    pub dead_letters: Option<Box<dyn Sink>>,
    /// Keep every epoch's facts, to replay them.
    pub record_facts: bool,
    /// Commits and the state that they start from; none: nothing is kept.
    pub kept: Option<Kept>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All input was read and all windows closed.
    Finished,
    /// It was told to stop: windows stay open.
    Stopped,
}

/// A running pipeline.
pub struct Engine {
    plan: Arc<Plan>,
    wiring: Arc<Wiring>,
    input: Input,
    pool: Pool,
    flow: Flow,
    owner: Owner,
    time: EventTime,
    drift: Drift,
    /// The number of the next epoch to be cut.
    epoch: u64,
    facts: Option<Vec<EpochFacts>>,
    commits: Option<Commits>,
}

/// Told after each epoch.
type OnEpoch<'a> = &'a mut dyn FnMut(&Engine);

impl Engine {
    /// Starts workers and prepares state; reads nothing yet.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(plan: Arc<Plan>, options: EngineOptions) -> Result<Self, EngineError> {
        let wiring = Arc::new(Wiring::of(&plan));
        let pool = Pool::new(&plan, &wiring, plan.engine.workers)?;
        let (sinks, dead_letters) = (options.sinks, options.dead_letters);
        let (commits, opened) = match options.kept {
            Some(Kept { committer, settings, opened }) => {
                (Some(Commits::new(committer, settings, opened.manifest.is_some())), opened)
            }
            None => (None, Opened { manifest: None, states: checkpoint::empty(&plan) }),
        };
        let (shared, wires) = (Arc::clone(&plan), Arc::clone(&wiring));
        let mut owner = Owner::new(shared, wires, opened.states, sinks, dead_letters);
        let mut time = EventTime::new(&plan);
        let mut epoch = 0;
        if let Some(manifest) = &opened.manifest {
            owner.resume(manifest);
            time.resume(&plan, &manifest.time);
            epoch = manifest.epoch;
        }
        if commits.is_some() {
            owner.track();
        }
        let input = Input::new(options.sources, plan.engine.clone());
        let drift = Drift::of(&plan);
        let facts = options.record_facts.then(Vec::new);
        let flow = Flow::default();
        Ok(Self { plan, wiring, input, pool, flow, owner, time, drift, epoch, facts, commits })
    }

    /// Runs epochs until the input ends or the outside says stop. `on_epoch` is called after each.
    ///
    /// # Errors
    /// When a source, plugin, rule or sink fails for good. Sinks have then dropped what they took
    /// since the last commit; only `close` is left to do.
    pub fn run(
        &mut self,
        outside: &dyn Outside,
        on_epoch: OnEpoch<'_>,
    ) -> Result<Outcome, EngineError> {
        let result = guarded(|| self.epochs(outside, on_epoch));
        self.abort_after(result)
    }

    /// Runs one recorded epoch again.
    ///
    /// # Errors
    /// As [`Engine::run`], and when the input no longer holds what the epoch read.
    pub fn replay(&mut self, facts: &EpochFacts) -> Result<(), EngineError> {
        let input = self.input.replay(facts)?;
        self.epoch(input, facts)
    }

    /// Runs one epoch over records that the caller has.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn epoch(&mut self, input: EpochInput, facts: &EpochFacts) -> Result<(), EngineError> {
        let result = guarded(|| self.one_epoch(input, facts));
        self.abort_after(result)
    }

    /// Publishes what sinks hold back. What was not committed is dropped.
    ///
    /// # Errors
    /// The first sink's failure.
    pub fn close(&mut self, now_us: i64) -> Result<(), EngineError> {
        self.owner.close(now_us)
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the owner of the state, with its counters.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Returns the commits, when state is kept.
    pub fn commits(&self) -> Option<&Commits> {
        self.commits.as_ref()
    }

    /// Returns how far each source is.
    pub fn progress(&self) -> Vec<Progress> {
        self.input.progress()
    }

    /// Returns how many records each source has that were not read, where that is known.
    pub fn lags(&self) -> Vec<Option<u64>> {
        self.input.lags()
    }

    /// Returns where the event time of each source stands.
    pub fn clocks(&self) -> Vec<SourceClock> {
        self.time.clocks()
    }

    /// Returns the facts recorded so far.
    pub fn facts(&self) -> &[EpochFacts] {
        self.facts.as_deref().unwrap_or_default()
    }

    /// Says that a source's event time has reached what gives this watermark, for tests.
    pub fn advance_source(&mut self, source: SourceId, watermark_us: i64) {
        let partition = PartitionRef { source, partition: Partition(0) };
        let delay_us = self.time.of(partition).delay_us;
        self.time.observe(partition, watermark_us.saturating_add(delay_us));
    }

    fn abort_after<T>(&mut self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        let Err(error) = result else { return result };
        self.owner.abort();
        // What fails here may fail because another instance is at work: in its files, say.
        let ours = matches!(error, EngineError::Commit(_))
            || self.commits.as_ref().is_none_or(Commits::holds);
        if ours {
            return Err(error);
        }
        let what = format!("noticed when {error}");
        Err(CommitError::Authority(AuthorityError::Fenced { what }).into())
    }

    fn epochs(
        &mut self,
        outside: &dyn Outside,
        on_epoch: OnEpoch<'_>,
    ) -> Result<Outcome, EngineError> {
        let mut outcome = None;
        self.first_commit(outside.now_us())?;
        self.input.begin(outside);
        loop {
            while let Some(done) = self.pool.ready() {
                self.take(done)?;
            }
            self.settle(on_epoch)?;
            self.look_at_commit()?;
            let busy = self.flow.chunks() > 0;
            if let Some(outcome) = outcome.filter(|_| !busy) {
                self.owner.finish();
                self.finish_commits(outside.now_us(), true)?;
                return Ok(outcome);
            }
            let room = self.flow.chunks() < self.pool.limit() && self.flow.cuts() < EPOCHS_AHEAD;
            if outcome.is_none() && room {
                if !self.drift.is_off() {
                    let ahead =
                        self.drift.ahead(&self.time, |partition| self.input.supply(partition));
                    self.input.pause(&ahead);
                }
                let chunks = self.input.turn(outside, !busy)?;
                let came = !chunks.is_empty();
                chunks.into_iter().for_each(|chunk| self.submit(chunk));
                let stop = outside.stop();
                if stop || self.input.is_over(outside) {
                    outcome = self.cut(outside.now_us(), stop);
                    self.input.begin(outside);
                    continue;
                }
                if came || !busy {
                    continue;
                }
            }
            if busy {
                let done = self.pool.next()?;
                self.take(done)?;
            }
        }
    }

    fn one_epoch(&mut self, input: EpochInput, facts: &EpochFacts) -> Result<(), EngineError> {
        for chunk in input.chunks {
            self.submit(chunk);
            while self.flow.chunks() >= self.pool.limit() {
                self.work()?;
            }
        }
        self.flow.cut(facts.clone(), input.oversized, Vec::new());
        self.epoch = facts.epoch + 1;
        self.settle(&mut |_| ())?;
        while self.flow.chunks() > 0 {
            self.work()?;
        }
        Ok(())
    }

    fn work(&mut self) -> Result<(), EngineError> {
        let done = self.pool.next()?;
        self.take(done)?;
        self.settle(&mut |_| ())
    }

    fn submit(&mut self, chunk: Chunk) {
        let partition = self.input.partition_name(chunk.from);
        let seq = self.flow.add();
        self.pool.submit(Task::Parse { seq, work: Box::new(Work { chunk, partition }) });
    }

    fn take(&mut self, done: Done) -> Result<(), EngineError> {
        match done {
            Done::Parsed { seq, result, chunk } => {
                self.input.recycle(chunk);
                if let Some(slot) = self.flow.slot(seq) {
                    slot.stage1 = Some(result?);
                }
            }
            Done::Combined { seq, result } => {
                if let Some(slot) = self.flow.slot(seq) {
                    slot.stage2 = Some(result?);
                }
            }
        }
        Ok(())
    }

    /// Ends the epoch that is being read: from here on it is a function of its facts. Returns how
    /// the run ends, when this was its last epoch.
    fn cut(&mut self, now_us: i64, stop: bool) -> Option<Outcome> {
        let EpochReads { ranges, oversized, drained, paused, places } = self.input.end();
        let partitions = self.input.partition_counts();
        let quiet = self.time.quiet(&ranges, &partitions, &drained, &paused, now_us);
        let facts = EpochFacts {
            epoch: self.epoch,
            now_us,
            ranges,
            partitions,
            quiet,
            finished: self.input.finished(),
            ended: self.input.ended(),
        };
        self.epoch += 1;
        self.flow.cut(facts, oversized, places);
        if self.input.all_ended() {
            Some(Outcome::Finished)
        } else {
            stop.then_some(Outcome::Stopped)
        }
    }

    /// Does whatever results that are there allow: places chunks in time and sends them to be
    /// combined, merges them, ends epochs.
    fn settle(&mut self, on_epoch: OnEpoch<'_>) -> Result<(), EngineError> {
        loop {
            while let Some((seq, slot)) = self.flow.place() {
                let Some(stage1) = &mut slot.stage1 else { continue };
                let time = self.time.of(stage1.from);
                self.time.observe(stage1.from, stage1.max_time);
                slot.time = Some(time);
                let rows = std::mem::take(&mut stage1.for_windows);
                if rows.is_empty() {
                    slot.stage2 = Some(Stage2::default());
                } else {
                    let watermarks = Arc::clone(self.owner.watermarks());
                    self.pool.submit(Task::Combine { seq, rows, time, watermarks });
                }
            }
            while let Some((stage1, stage2, time)) = self.flow.merge() {
                self.owner.absorb(stage1, stage2, &time)?;
            }
            let Some(cut) = self.flow.end() else { return Ok(()) };
            self.end(cut)?;
            on_epoch(self);
        }
    }

    fn end(&mut self, cut: Cut) -> Result<(), EngineError> {
        let Cut { facts, oversized, places, .. } = cut;
        for record in &oversized {
            self.refuse_oversized(record, facts.now_us)?;
        }
        self.time.end(&facts);
        let clocks = self.time.clocks();
        let end = EpochEnd { epoch: facts.epoch, now_us: facts.now_us, clocks: &clocks };
        let moved = self.owner.end_epoch(&end)?;
        let now_us = facts.now_us;
        self.within_budget()?;
        if let Some(all) = &mut self.facts {
            all.push(facts.clone());
        }
        let Some(commits) = &mut self.commits else { return self.owner.commit(now_us) };
        let changed = moved || !facts.ranges.is_empty();
        commits.ended(facts, places, changed);
        self.commit_if_due(now_us)
    }

    /// Stops before the kernel would, with the names of what has grown.
    fn within_budget(&self) -> Result<(), EngineError> {
        let most = self.plan.state.as_ref().and_then(|state| state.max_bytes);
        let Some(most) = most else { return Ok(()) };
        let bytes = self.owner.stats().state_bytes();
        if bytes <= most {
            return Ok(());
        }
        let nodes = self.plan.nodes.iter().zip(&self.owner.stats().nodes);
        let mut largest: Vec<(usize, &str)> =
            nodes.map(|(node, stats)| (stats.state_bytes, node.name.as_str())).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let shown = largest.into_iter().take(3).filter(|(bytes, _)| *bytes > 0);
        let text = |bytes: usize| bytes_text(u64::try_from(bytes).unwrap_or(u64::MAX));
        let largest = shown.map(|(bytes, name)| format!("`{name}` {}", text(bytes))).collect();
        Err(EngineError::StateBudget { bytes, most, largest })
    }

    /// Begins a commit when it is time. While one is under way the stream goes on, until it holds
    /// back too much.
    fn commit_if_due(&mut self, now_us: i64) -> Result<(), EngineError> {
        let waiting = self.owner.waiting_bytes();
        let Some(commits) = &mut self.commits else { return Ok(()) };
        if !commits.is_due(now_us, waiting) {
            return Ok(());
        }
        while commits.must_wait(waiting) {
            if commits.wait()? {
                self.owner.publish()?;
            }
        }
        if commits.under_way() { Ok(()) } else { self.begin_commit(now_us) }
    }

    fn begin_commit(&mut self, now_us: i64) -> Result<(), EngineError> {
        let delta = self.owner.take_delta()?;
        let sinks = self.owner.seal(now_us)?;
        let Some(commits) = &mut self.commits else { return Ok(()) };
        let commit = Commit {
            epoch: self.owner.epoch(),
            chunks: self.owner.chunks(),
            now_us,
            delta,
            sources: self.input.states(commits.places()),
            time: self.time.trackers(&self.plan),
            watermarks: self.owner.named_watermarks(),
            facts: commits.take_facts(),
            sinks,
        };
        Ok(commits.begin(commit)?)
    }

    /// Commits the beginning, so that whatever is written from here on is known to be newer.
    fn first_commit(&mut self, now_us: i64) -> Result<(), EngineError> {
        let Some(commits) = &mut self.commits else { return Ok(()) };
        commits.start(now_us, self.input.places());
        self.finish_commits(now_us, false)
    }

    fn look_at_commit(&mut self) -> Result<(), EngineError> {
        let Some(commits) = &mut self.commits else { return Ok(()) };
        if commits.poll()? { self.owner.publish() } else { Ok(()) }
    }

    /// Commits what is not committed and waits for it. The last commit of a run covers also what
    /// sinks hold back.
    fn finish_commits(&mut self, now_us: i64, mut last: bool) -> Result<(), EngineError> {
        loop {
            let Some(commits) = &mut self.commits else { return Ok(()) };
            if commits.under_way() {
                if commits.wait()? {
                    self.owner.publish()?;
                }
            } else if commits.changed() || last {
                last = false;
                self.begin_commit(now_us)?;
            } else {
                return Ok(());
            }
        }
    }

    /// Records that were too long reach no parser; they are refused in the name of each parser
    /// that would have read them.
    fn refuse_oversized(&mut self, record: &Oversized, now_us: i64) -> Result<(), EngineError> {
        let reason: Reason = Arc::from(RECORD_TOO_LONG);
        let detail = format!("{} bytes; its first bytes are kept", record.length);
        let plan = Arc::clone(&self.plan);
        for (index, node) in plan.nodes.iter().enumerate() {
            let NodeKind::Parser(parser) = &node.kind else { continue };
            if parser.source != record.from.source {
                continue;
            }
            let id = NodeId(index);
            let partition = self.input.partition_name(record.from);
            let context = self.wiring.reject_context(id, Some(parser.source), partition);
            let mut rejects = Rejects::new(self.wiring.keeps_rejects(id));
            let rejected = RejectedRecord {
                position: record.position,
                received_us: now_us,
                record: Some(&record.prefix),
                detail: Some(&detail),
            };
            rejects.add(&context, &reason, rejected);
            self.owner.reject(id, Some(record.from), None, rejects)?;
        }
        Ok(())
    }
}
