//! Event time of a running pipeline: a watermark tracker for each source, and who is idle.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{ChunkRange, EpochFacts, QuietPartition};
use crate::data::{NO_TIME, Partition, PartitionRef, SourceId};
use crate::faults;
use crate::plan::{NodeKind, Plan};
use crate::watermark::{LastRead, PartitionClock, SourceClock, Tracker, idle_candidates};
use crate::window::PartitionTime;

/// How far event time has come in each source.
pub struct EventTime {
    sources: Vec<SourceTime>,
    reads: BTreeMap<PartitionRef, Read>,
    /// The clock of the epoch before.
    last_epoch_us: Option<i64>,
}

struct SourceTime {
    tracker: Tracker,
    delay_us: i64,
    idle_timeout_us: Option<i64>,
}

/// When a partition last gave something.
#[derive(Clone, Copy)]
struct Read {
    last_us: i64,
    unreadable_us: i64,
}

impl EventTime {
    /// Returns event time at its beginning.
    pub fn new(plan: &Plan) -> Self {
        let mut sources = Vec::with_capacity(plan.sources.len());
        for id in &plan.sources {
            let NodeKind::Source(source) = &plan.node(*id).kind else { continue };
            let delay_us = source.config.watermark.delay_us;
            let mut tracker = Tracker::new();
            tracker.set_delay(source.id, delay_us);
            let idle_timeout_us = source.config.watermark.idle_timeout_us;
            sources.push(SourceTime { tracker, delay_us, idle_timeout_us });
        }
        Self { sources, reads: BTreeMap::new(), last_epoch_us: None }
    }

    /// Goes on from a checkpoint: replayed rows are then as late as they were, and no later. The
    /// delay is the pipeline file's.
    pub fn resume(&mut self, plan: &Plan, kept: &BTreeMap<String, Tracker>) {
        if faults::mutant("restored-watermark") {
            return;
        }
        for (id, time) in plan.sources.iter().zip(&mut self.sources) {
            let node = plan.node(*id);
            let (Some(tracker), NodeKind::Source(source)) = (kept.get(&node.name), &node.kind)
            else {
                continue;
            };
            time.tracker = tracker.clone();
            time.tracker.set_delay(source.id, time.delay_us);
        }
    }

    /// Returns the trackers by the names of their sources, for a checkpoint.
    pub fn trackers(&self, plan: &Plan) -> BTreeMap<String, Tracker> {
        let names = plan.sources.iter().map(|id| plan.node(*id).name.clone());
        names.zip(self.sources.iter().map(|time| time.tracker.clone())).collect()
    }

    /// Returns the partitions that have given nothing for their source's idle timeout although
    /// they could have. `drained` says for each source whether it had nothing more to give,
    /// `paused` which partitions had to wait for others.
    ///
    /// Called once an epoch, while its facts are gathered; a replay takes the recorded answer.
    pub fn quiet(
        &mut self,
        ranges: &[ChunkRange],
        partitions: &[u32],
        drained: &[bool],
        paused: &BTreeSet<PartitionRef>,
        now_us: i64,
    ) -> Vec<QuietPartition> {
        let since = self.last_epoch_us.map_or(0, |last| now_us.saturating_sub(last));
        self.last_epoch_us = Some(now_us);
        let gave: BTreeSet<PartitionRef> = ranges.iter().map(|range| range.from).collect();
        let mut reads = Vec::new();
        for (source, (&count, time)) in (0u32..).zip(partitions.iter().zip(&self.sources)) {
            let drained = usize::try_from(source).ok().and_then(|at| drained.get(at)).copied();
            for partition in 0..count {
                let partition =
                    PartitionRef { source: SourceId(source), partition: Partition(partition) };
                let fresh = Read { last_us: now_us, unreadable_us: 0 };
                let read = self.reads.entry(partition).or_insert(fresh);
                if gave.contains(&partition) {
                    *read = fresh;
                } else if drained != Some(true) || paused.contains(&partition) {
                    read.unreadable_us = read.unreadable_us.saturating_add(since);
                }
                reads.push(LastRead {
                    partition,
                    last_read_us: read.last_us,
                    unreadable_us: read.unreadable_us,
                    idle_timeout_us: time.idle_timeout_us,
                });
            }
        }
        idle_candidates(now_us, &reads)
            .into_iter()
            .map(|(partition, quiet_us)| QuietPartition { partition, quiet_us })
            .collect()
    }

    fn join(&mut self, facts: &EpochFacts) {
        for (source, (&count, time)) in (0u32..).zip(facts.partitions.iter().zip(&mut self.sources))
        {
            for partition in 0..count {
                let partition = Partition(partition);
                time.tracker.join(PartitionRef { source: SourceId(source), partition });
            }
        }
    }

    /// Returns each partition's clock and its source's delay.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionRef, &PartitionClock, i64)> {
        self.sources.iter().flat_map(|time| {
            time.tracker.clocks().map(|(partition, clock)| (partition, clock, time.delay_us))
        })
    }

    /// Returns whether a partition gave something in the last epoch.
    pub fn gave_lately(&self, partition: PartitionRef) -> bool {
        let read = self.reads.get(&partition).map(|read| read.last_us);
        read.is_some() && read == self.last_epoch_us
    }

    fn source(&self, source: SourceId) -> Option<&SourceTime> {
        self.sources.get(usize::try_from(source.0).ok()?)
    }

    fn source_mut(&mut self, source: SourceId) -> Option<&mut SourceTime> {
        self.sources.get_mut(usize::try_from(source.0).ok()?)
    }

    /// Returns where a partition stands before its next chunk.
    pub fn of(&self, partition: PartitionRef) -> PartitionTime {
        match self.source(partition.source) {
            Some(time) => PartitionTime {
                max_before_chunk: time.tracker.max_time(partition),
                delay_us: time.delay_us,
                pipeline_watermark: time.tracker.watermark(),
            },
            None => PartitionTime {
                max_before_chunk: NO_TIME,
                delay_us: 0,
                pipeline_watermark: NO_TIME,
            },
        }
    }

    /// Takes note of the latest event time of a chunk.
    pub fn observe(&mut self, partition: PartitionRef, max_time: i64) {
        if let Some(time) = self.source_mut(partition.source) {
            time.tracker.observe(partition, max_time);
        }
    }

    /// Ends an epoch: who has joined, is quiet, finished or at the end, and where the watermarks
    /// are now. A partition joins at the watermark before the epoch.
    pub fn end(&mut self, facts: &EpochFacts) {
        self.join(facts);
        // Records too long to be taken have no event time, but their partition is not idle.
        for range in facts.ranges.iter().filter(|range| range.rows == 0) {
            self.observe(range.from, NO_TIME);
        }
        for quiet in &facts.quiet {
            if let Some(time) = self.source_mut(quiet.partition.source) {
                time.tracker.set_quiet(quiet.partition, quiet.quiet_us);
            }
        }
        for partition in &facts.finished {
            if let Some(time) = self.source_mut(partition.source) {
                time.tracker.finish(*partition);
            }
        }
        for source in &facts.ended {
            if let Some(time) = self.source_mut(*source) {
                time.tracker.end();
            }
        }
        for time in &mut self.sources {
            time.tracker.advance();
        }
    }

    /// Returns where each source stands.
    pub fn clocks(&self) -> Vec<SourceClock> {
        self.sources.iter().map(|time| time.tracker.source_clock()).collect()
    }
}
