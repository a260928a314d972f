//! Gathers an epoch's records from the sources.
//!
//! The only decisions here are how much to read and when an epoch ends; what the records mean for
//! event time is the watermark's business.

use std::time::Duration;

use super::error::EngineError;
use super::facts::{ChunkRange, EpochFacts};
use crate::clock::Stopwatch;
use crate::config::model::Engine;
use crate::data::{Chunk, Partition, PartitionName, PartitionRef, SourceId};
use crate::sources::{Oversized, Progress, ReadBudget, ReadOutput, ReadState, Source};

/// The longest a source may wait for data in one go, so that a stop is heard soon.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// One source and what is known of it.
struct Reader {
    name: String,
    source: Box<dyn Source>,
    ended: bool,
    /// It had nothing more when last asked.
    idle: bool,
}

/// All sources of a pipeline.
pub struct Input {
    readers: Vec<Reader>,
    settings: Engine,
}

/// An epoch's records.
#[derive(Default)]
pub struct EpochInput {
    /// Chunks, in order of (source, partition, position).
    pub chunks: Vec<Chunk>,
    /// Records that were too long.
    pub oversized: Vec<Oversized>,
    /// For each source, whether it had nothing more to give.
    pub drained: Vec<bool>,
}

impl Input {
    /// Returns the sources, in the order of `SourceId`.
    pub fn new(sources: Vec<(String, Box<dyn Source>)>, settings: Engine) -> Self {
        let reader = |(name, source)| Reader { name, source, ended: false, idle: false };
        Self { readers: sources.into_iter().map(reader).collect(), settings }
    }

    /// Reads until the epoch's time, rows or bytes are used up, or nothing more can come.
    ///
    /// `stop` is asked between reads; when it says so, the epoch ends with what there is.
    ///
    /// # Errors
    /// When a source fails.
    pub fn gather(
        &mut self,
        now_us: &dyn Fn() -> i64,
        stop: &dyn Fn() -> bool,
    ) -> Result<EpochInput, EngineError> {
        let epoch = Duration::from_micros(u64::try_from(self.settings.epoch_us).unwrap_or(0));
        let started = Stopwatch::start();
        let mut out = ReadOutput::default();
        let mut later = vec![false; self.readers.len()];
        for reader in &mut self.readers {
            reader.source.begin_epoch();
            reader.idle = false;
        }
        loop {
            let left = epoch.saturating_sub(started.elapsed());
            let open: Vec<usize> = self
                .readers
                .iter()
                .enumerate()
                .filter(|(index, reader)| !reader.ended && later.get(*index) == Some(&false))
                .map(|(index, _)| index)
                .collect();
            let full =
                out.rows >= self.settings.epoch_rows || out.bytes >= self.settings.epoch_bytes;
            if open.is_empty() || full || stop() {
                break;
            }
            let mut waiting = true;
            let share = open.len();
            for (turn, index) in open.into_iter().enumerate() {
                let Some(reader) = self.readers.get_mut(index) else { continue };
                let before = out.rows;
                // What is left, divided among the sources still to be asked in this round.
                let asked = share - turn;
                let budget = ReadBudget {
                    rows: self.settings.epoch_rows.saturating_sub(out.rows).div_ceil(asked),
                    bytes: self.settings.epoch_bytes.saturating_sub(out.bytes).div_ceil(asked),
                    chunk_rows: self.settings.batch_rows,
                    wait: if before == 0 {
                        left.min(LONGEST_WAIT) / u32::try_from(asked).unwrap_or(1)
                    } else {
                        Duration::ZERO
                    },
                };
                if budget.rows == 0 || budget.bytes == 0 {
                    continue;
                }
                let state = reader
                    .source
                    .read(&budget, now_us(), &mut out)
                    .map_err(|source| EngineError::Source { node: reader.name.clone(), source })?;
                reader.idle = state == ReadState::Idle;
                match state {
                    ReadState::Ended => reader.ended = true,
                    ReadState::NextEpoch => {
                        if let Some(flag) = later.get_mut(index) {
                            *flag = true;
                        }
                    }
                    ReadState::More | ReadState::Idle => {}
                }
                waiting &= state == ReadState::Idle && out.rows == before;
            }
            if started.elapsed() >= epoch {
                break;
            }
            if waiting && out.rows > 0 {
                // Something was read and no more is there: let time pass until the epoch ends.
                std::thread::park_timeout(left.min(LONGEST_WAIT));
            }
        }
        out.chunks.sort_by_key(|chunk| (chunk.from, chunk.positions.first().copied()));
        let drained = self.readers.iter().map(|reader| reader.idle || reader.ended).collect();
        Ok(EpochInput { chunks: out.chunks, oversized: out.oversized, drained })
    }

    /// Reads exactly what a recorded epoch read.
    ///
    /// # Errors
    /// When the input no longer holds what the epoch read.
    pub fn replay(&mut self, facts: &EpochFacts) -> Result<EpochInput, EngineError> {
        let mut out = ReadOutput::default();
        for range in &facts.ranges {
            let rows = usize::try_from(range.rows).unwrap_or(usize::MAX);
            let fail = |what: String| EngineError::Replay { epoch: facts.epoch, what };
            let reader = self
                .reader(range.from.source)
                .ok_or_else(|| fail(format!("there is no source {}", range.from.source.0)))?;
            let name = reader.name.clone();
            let failed = |source| EngineError::Source { node: name.clone(), source };
            reader.source.begin_epoch();
            reader.source.seek(range.from.partition, range.start).map_err(failed)?;
            let budget =
                ReadBudget { rows, bytes: usize::MAX, chunk_rows: rows, wait: Duration::ZERO };
            let before = out.rows;
            reader
                .source
                .replay(range.from.partition, range.end, &budget, facts.now_us, &mut out)
                .map_err(failed)?;
            if out.rows - before != rows {
                return Err(fail(format!(
                    "`{name}` gives {} records of partition {}, and gave {rows}",
                    out.rows - before,
                    range.from.partition.0
                )));
            }
        }
        Ok(EpochInput { chunks: out.chunks, oversized: out.oversized, drained: Vec::new() })
    }

    fn reader(&mut self, source: SourceId) -> Option<&mut Reader> {
        self.readers.get_mut(usize::try_from(source.0).ok()?)
    }

    /// Returns the number of partitions of each source.
    pub fn partition_counts(&self) -> Vec<u32> {
        let count =
            |reader: &Reader| u32::try_from(reader.source.partitions().len()).unwrap_or(u32::MAX);
        self.readers.iter().map(count).collect()
    }

    /// Returns the partitions of which nothing will ever come again.
    pub fn finished(&self) -> Vec<PartitionRef> {
        let mut finished = Vec::new();
        for (source, reader) in (0u32..).zip(&self.readers) {
            for (partition, info) in (0u32..).zip(reader.source.partitions()) {
                if info.finished {
                    finished.push(PartitionRef {
                        source: SourceId(source),
                        partition: Partition(partition),
                    });
                }
            }
        }
        finished
    }

    /// Returns the sources of which nothing will ever come again.
    pub fn ended(&self) -> Vec<SourceId> {
        (0u32..)
            .zip(&self.readers)
            .filter(|(_, reader)| reader.ended)
            .map(|(source, _)| SourceId(source))
            .collect()
    }

    /// Returns true when no source will ever give anything again.
    pub fn all_ended(&self) -> bool {
        self.readers.iter().all(|reader| reader.ended)
    }

    /// Returns a partition's name.
    pub fn partition_name(&self, from: PartitionRef) -> PartitionName {
        let reader = usize::try_from(from.source.0).ok().and_then(|at| self.readers.get(at));
        let partition = usize::try_from(from.partition.0).unwrap_or(usize::MAX);
        let info = reader.and_then(|reader| reader.source.partitions().get(partition));
        info.map_or_else(|| PartitionName::from(from.to_string()), |info| info.name.clone())
    }

    /// Returns how far each source is.
    pub fn progress(&self) -> Vec<Progress> {
        self.readers.iter().map(|reader| reader.source.progress()).collect()
    }
}

/// Returns what facts say of a chunk.
pub fn range_of(chunk: &Chunk) -> ChunkRange {
    ChunkRange {
        from: chunk.from,
        start: chunk.positions.first().copied().unwrap_or_default(),
        end: chunk.end_position,
        rows: u64::try_from(chunk.len()).unwrap_or(u64::MAX),
    }
}
