//! The epoch loop.

use std::sync::Arc;

use super::error::EngineError;
use super::facts::EpochFacts;
use super::input::{EpochInput, Input, range_of};
use super::owner::{EpochEnd, Owner};
use super::pool::{Done, Pool, Task};
use super::time::EventTime;
use super::worker::{Stage1, Stage2, Wiring, Work};
use crate::data::{Partition, PartitionRef, SourceId};
use crate::parse::{Reason, RejectContext, RejectedRecord, Rejects};
use crate::plan::{NodeId, NodeKind, Plan};
use crate::rules::RowClock;
use crate::sinks::Sink;
use crate::sources::{Oversized, Progress, Source};
use crate::window::PartitionTime;

/// The reason under which records longer than allowed are refused.
const RECORD_TOO_LONG: &str = "record_too_long";

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
    input: Input,
    pool: Pool,
    owner: Owner,
    time: EventTime,
    epoch: u64,
    facts: Option<Vec<EpochFacts>>,
}

impl Engine {
    /// Starts workers and prepares state; reads nothing yet.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(plan: Arc<Plan>, options: EngineOptions) -> Result<Self, EngineError> {
        let wiring = Arc::new(Wiring::of(&plan));
        let pool = Pool::new(&plan, &wiring, plan.engine.workers)?;
        let owner = Owner::new(Arc::clone(&plan), options.sinks, options.dead_letters);
        let input = Input::new(options.sources, plan.engine.clone());
        let time = EventTime::new(&plan);
        let facts = options.record_facts.then(Vec::new);
        Ok(Self { plan, input, pool, owner, time, epoch: 0, facts })
    }

    /// Runs epochs until the input ends or `stop` says so. `on_epoch` is called after each.
    ///
    /// # Errors
    /// When a source, plugin, rule or sink fails for good.
    pub fn run(
        &mut self,
        now_us: &dyn Fn() -> i64,
        stop: &dyn Fn() -> bool,
        on_epoch: &mut dyn FnMut(&Self),
    ) -> Result<Outcome, EngineError> {
        loop {
            let input = self.input.gather(now_us, stop)?;
            let facts = self.facts_of(&input, now_us());
            let ended = self.input.all_ended();
            self.epoch(input, &facts)?;
            if let Some(all) = &mut self.facts {
                all.push(facts);
            }
            on_epoch(self);
            if ended {
                return Ok(Outcome::Finished);
            }
            if stop() {
                return Ok(Outcome::Stopped);
            }
        }
    }

    /// Runs one recorded epoch again.
    ///
    /// # Errors
    /// As [`Engine::run`], and when the input no longer holds what the epoch read.
    pub fn replay(&mut self, facts: &EpochFacts) -> Result<(), EngineError> {
        let input = self.input.replay(facts)?;
        self.epoch(input, facts)
    }

    /// Publishes what sinks hold back. After an error, what was not committed is dropped.
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

    /// Returns how far each source is.
    pub fn progress(&self) -> Vec<Progress> {
        self.input.progress()
    }

    /// Returns the facts recorded so far.
    pub fn facts(&self) -> &[EpochFacts] {
        self.facts.as_deref().unwrap_or_default()
    }

    /// Decides what the epoch is: from here on it is a function of these facts.
    fn facts_of(&mut self, input: &EpochInput, now_us: i64) -> EpochFacts {
        let partitions = self.input.partition_counts();
        let quiet = self.time.quiet(&input.chunks, &partitions, &input.drained, now_us);
        EpochFacts {
            epoch: self.epoch,
            now_us,
            ranges: input.chunks.iter().map(range_of).collect(),
            partitions,
            quiet,
            finished: self.input.finished(),
            ended: self.input.ended(),
        }
    }

    /// Says that a source's event time has reached what gives this watermark, for tests.
    pub fn advance_source(&mut self, source: SourceId, watermark_us: i64) {
        let partition = PartitionRef { source, partition: Partition(0) };
        let delay_us = self.time.of(partition).delay_us;
        self.time.observe(partition, watermark_us.saturating_add(delay_us));
    }

    /// Runs one epoch over records that the caller gathered.
    ///
    /// # Errors
    /// When a plugin, rule or sink fails for good.
    pub fn epoch(&mut self, input: EpochInput, facts: &EpochFacts) -> Result<(), EngineError> {
        self.time.begin(facts);
        self.refuse_oversized(&input.oversized, facts.now_us)?;
        if self.pool.alone().is_some() {
            self.process_alone(input, facts)?;
        } else {
            self.process_shared(input, facts)?;
        }
        self.time.end(facts);
        let watermarks = self.time.watermarks();
        let end = EpochEnd { epoch: facts.epoch, now_us: facts.now_us, watermarks: &watermarks };
        self.owner.end_epoch(&end)?;
        self.epoch += 1;
        Ok(())
    }

    /// One worker: chunk by chunk, while its bytes are in the cache.
    fn process_alone(&mut self, input: EpochInput, facts: &EpochFacts) -> Result<(), EngineError> {
        for chunk in input.chunks {
            let partition = self.input.partition_name(chunk.from);
            let work = Work { chunk, partition, now_us: facts.now_us };
            let Some(worker) = self.pool.alone() else { return Err(EngineError::WorkersGone) };
            let mut stage1 = worker.parse(&work)?;
            let time = self.time.of(work.chunk.from);
            let rows = std::mem::take(&mut stage1.for_windows);
            let stage2 = worker.combine(rows, &time, self.owner.watermarks())?;
            self.absorb(stage1, stage2, &time)?;
        }
        Ok(())
    }

    /// Several workers: chunks are parsed in any order; as soon as all chunks of its partition
    /// before it are parsed, a chunk's place in time is known and it is combined; results are
    /// merged in order.
    fn process_shared(&mut self, input: EpochInput, facts: &EpochFacts) -> Result<(), EngineError> {
        let count = input.chunks.len();
        let mut slots: Vec<Slot> = Vec::with_capacity(count);
        for (slot, chunk) in input.chunks.into_iter().enumerate() {
            let partition = self.input.partition_name(chunk.from);
            let work = Box::new(Work { chunk, partition, now_us: facts.now_us });
            slots.push(Slot::default());
            self.pool.submit(Task::Parse { slot, work });
        }
        // Chunks whose place in time is known, and chunks merged: both prefixes of the epoch.
        let (mut placed, mut merged) = (0, 0);
        while merged < count {
            match self.pool.next()? {
                Done::Parsed { slot, result } => {
                    if let Some(entry) = slots.get_mut(slot) {
                        entry.stage1 = Some(result?);
                    }
                }
                Done::Combined { slot, result } => {
                    if let Some(entry) = slots.get_mut(slot) {
                        entry.stage2 = Some(result?);
                    }
                }
            }
            while let Some(entry) = slots.get_mut(placed) {
                let Some(stage1) = &mut entry.stage1 else { break };
                let time = self.time.of(stage1.from);
                self.time.observe(stage1.from, stage1.max_time);
                entry.time = Some(time);
                let rows = std::mem::take(&mut stage1.for_windows);
                if rows.is_empty() {
                    entry.stage2 = Some(Stage2 { combined: Vec::new() });
                } else {
                    let watermarks = Arc::clone(self.owner.watermarks());
                    self.pool.submit(Task::Combine { slot: placed, rows, time, watermarks });
                }
                placed += 1;
            }
            while let Some(entry) = slots.get_mut(merged) {
                let Slot { stage1: Some(_), stage2: Some(_), time: Some(_) } = entry else { break };
                let done = std::mem::take(entry);
                if let (Some(stage1), Some(stage2), Some(time)) =
                    (done.stage1, done.stage2, done.time)
                {
                    self.owner.absorb(stage1, stage2, row_clock(&time))?;
                }
                merged += 1;
            }
        }
        Ok(())
    }

    fn absorb(
        &mut self,
        stage1: Stage1,
        stage2: Stage2,
        time: &PartitionTime,
    ) -> Result<(), EngineError> {
        self.time.observe(stage1.from, stage1.max_time);
        self.owner.absorb(stage1, stage2, row_clock(time))
    }

    /// Records that were too long reach no parser; they are refused in the name of each parser
    /// that would have read them.
    fn refuse_oversized(
        &mut self,
        oversized: &[Oversized],
        now_us: i64,
    ) -> Result<(), EngineError> {
        let reason: Reason = Arc::from(RECORD_TOO_LONG);
        for record in oversized {
            let plan = Arc::clone(&self.plan);
            for (index, node) in plan.nodes.iter().enumerate() {
                let NodeKind::Parser(parser) = &node.kind else { continue };
                if parser.source != record.from.source {
                    continue;
                }
                let context = RejectContext {
                    source: Arc::from(plan.source_name(parser.source).unwrap_or("")),
                    partition: self.input.partition_name(record.from),
                    node: Arc::from(node.name.as_str()),
                    plugin_version: None,
                };
                let detail = format!("{} bytes; its first bytes are kept", record.length);
                let mut rejects = Rejects::new(true);
                let rejected = RejectedRecord {
                    position: record.position,
                    received_us: now_us,
                    record: Some(&record.prefix),
                    detail: Some(&detail),
                };
                rejects.add(&context, &reason, rejected);
                self.owner.reject(NodeId(index), rejects)?;
            }
        }
        Ok(())
    }
}

/// A chunk on its way through the epoch.
#[derive(Default)]
struct Slot {
    stage1: Option<Stage1>,
    time: Option<PartitionTime>,
    stage2: Option<Stage2>,
}

fn row_clock(time: &PartitionTime) -> RowClock {
    RowClock { max_before_us: time.max_before_chunk, delay_us: time.delay_us }
}
