//! Reads an epoch's records from the sources, turn by turn.
//!
//! The only decisions here are how much to read and when an epoch ends; what the records mean for
//! event time is the watermark's business. A turn asks every source once for about one batch of
//! each of its partitions, so that records are worked on while they are in the cache and little
//! memory is held, however much an epoch may take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::error::EngineError;
use super::facts::{ChunkRange, EpochFacts};
use super::outside::Outside;
use crate::config::model::Engine;
use crate::data::{Chunk, Partition, PartitionName, PartitionRef, SourceId};
use crate::sources::{
    Oversized, PartitionInfo, PartitionState, Progress, ReadBudget, ReadOutput, ReadState, Source,
    SourceState,
};
use crate::watermark::Supply;

/// The longest a turn waits for data, so that a stop is heard soon.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// The most bytes that a source gives in one turn.
const TURN_BYTES: usize = 8 << 20;

/// One source and what is known of it.
struct Reader {
    name: String,
    source: Box<dyn Source>,
    /// Nothing will ever come again.
    ended: bool,
    /// It has more, but for the next epoch.
    later: bool,
    /// It had nothing more when last asked.
    idle: bool,
    /// Partitions that have to wait for others.
    paused: Vec<Partition>,
}

/// All sources of a pipeline, and the epoch that is being read.
pub struct Input {
    readers: Vec<Reader>,
    settings: Engine,
    out: ReadOutput,
    epoch: Reads,
}

/// What was read in this epoch.
#[derive(Default)]
struct Reads {
    began: Duration,
    turns: u64,
    /// The last turn brought nothing.
    silent: bool,
    rows: usize,
    bytes: usize,
    ranges: Vec<ChunkRange>,
    oversized: Vec<Oversized>,
    paused: BTreeSet<PartitionRef>,
}

/// An epoch's records, all at once.
#[derive(Default)]
pub struct EpochInput {
    /// Chunks, in the order of processing.
    pub chunks: Vec<Chunk>,
    /// Records that were too long.
    pub oversized: Vec<Oversized>,
}

/// What was read in an epoch, besides the records themselves.
pub struct EpochReads {
    /// For the facts.
    pub ranges: Vec<ChunkRange>,
    /// Records that were too long, in order of (partition, position).
    pub oversized: Vec<Oversized>,
    /// For each source, whether it had nothing more to give.
    pub drained: Vec<bool>,
    /// Partitions that had to wait for others, at some time of the epoch.
    pub paused: BTreeSet<PartitionRef>,
    /// Where each source's partitions go on.
    pub places: Vec<Vec<PartitionInfo>>,
}

impl Input {
    /// Returns the sources, in the order of `SourceId`.
    pub fn new(sources: Vec<(String, Box<dyn Source>)>, settings: Engine) -> Self {
        let reader = |(name, source)| Reader {
            name,
            source,
            ended: false,
            later: false,
            idle: false,
            paused: Vec::new(),
        };
        Self {
            readers: sources.into_iter().map(reader).collect(),
            settings,
            out: ReadOutput::default(),
            epoch: Reads::default(),
        }
    }

    /// Begins an epoch.
    pub fn begin(&mut self, outside: &dyn Outside) {
        self.epoch = Reads { began: outside.elapsed(), ..Reads::default() };
        for reader in &mut self.readers {
            reader.source.begin_epoch();
            reader.later = false;
            reader.idle = false;
        }
    }

    /// Lets these partitions wait, and no others, until told otherwise.
    pub fn pause(&mut self, ahead: &[PartitionRef]) {
        for (source, reader) in (0u32..).zip(&mut self.readers) {
            let of_it = ahead.iter().filter(|partition| partition.source == SourceId(source));
            let paused: Vec<Partition> = of_it.map(|partition| partition.partition).collect();
            if paused != reader.paused {
                reader.source.pause(&paused);
                reader.paused = paused;
            }
        }
        self.epoch.paused.extend(ahead);
    }

    /// Returns what a partition has to give.
    pub fn supply(&self, partition: PartitionRef) -> Supply {
        let reader = usize::try_from(partition.source.0).ok().and_then(|at| self.readers.get(at));
        let Some(reader) = reader else { return Supply::Over };
        let at = usize::try_from(partition.partition.0).unwrap_or(usize::MAX);
        let finished = reader.source.partitions().get(at).is_none_or(|info| info.finished);
        if reader.ended || finished {
            Supply::Over
        } else if reader.source.is_drained(partition.partition) {
            Supply::Nothing
        } else {
            Supply::More
        }
    }

    /// Returns how many records each source has that were not read, where that is known.
    pub fn lags(&self) -> Vec<Option<u64>> {
        self.readers.iter().map(|reader| reader.source.lag()).collect()
    }

    /// Asks every source once and returns the chunks that came. `wait`: lets a little time pass
    /// when there is nothing at all.
    ///
    /// # Errors
    /// When a source fails.
    pub fn turn(&mut self, outside: &dyn Outside, wait: bool) -> Result<Vec<Chunk>, EngineError> {
        let began = outside.elapsed();
        let longest = self.left(began).min(LONGEST_WAIT);
        // Only after a look at all of them: one that waits would keep back what others have.
        let wait = wait && self.epoch.silent;
        let open: Vec<usize> = (0..)
            .zip(&self.readers)
            .filter(|(_, reader)| !reader.ended && !reader.later)
            .map(|(index, _)| index)
            .collect();
        self.epoch.turns += 1;
        let asked = open.len();
        let rows_before = self.epoch.rows;
        let mut idle = true;
        for (turn, index) in open.into_iter().enumerate() {
            let came = self.epoch.rows > rows_before;
            let share = u32::try_from(asked).unwrap_or(u32::MAX).max(1);
            let wait = if wait && !came { longest / share } else { Duration::ZERO };
            idle &= self.read(index, asked - turn, wait, outside)? == ReadState::Idle;
        }
        self.epoch.silent = self.epoch.rows == rows_before;
        if wait && idle && self.epoch.silent {
            // Most sources answer at once.
            outside.pause(longest.saturating_sub(outside.elapsed().saturating_sub(began)));
        }
        Ok(std::mem::take(&mut self.out.chunks))
    }

    /// Reads from one source; `share`: how many sources are still to be asked in this turn.
    fn read(
        &mut self,
        index: usize,
        share: usize,
        wait: Duration,
        outside: &dyn Outside,
    ) -> Result<ReadState, EngineError> {
        let Self { readers, settings, out, epoch } = self;
        let Some(reader) = readers.get_mut(index) else { return Ok(ReadState::Ended) };
        let partitions = reader.source.partitions().len().max(1);
        let rows = settings.epoch_rows.saturating_sub(epoch.rows).div_ceil(share.max(1));
        let bytes = settings.epoch_bytes.saturating_sub(epoch.bytes).div_ceil(share.max(1));
        let budget = ReadBudget {
            rows: rows.min(settings.batch_rows.saturating_mul(partitions)),
            bytes: bytes.min(TURN_BYTES),
            chunk_rows: settings.batch_rows,
            wait,
        };
        if budget.rows == 0 || budget.bytes == 0 {
            return Ok(ReadState::More);
        }
        let now_us = outside.now_us();
        let (chunks, oversized) = (out.chunks.len(), epoch.oversized.len());
        let state = reader
            .source
            .read(&budget, now_us, out)
            .map_err(|source| EngineError::Source { node: reader.name.clone(), source })?;
        epoch.rows = epoch.rows.saturating_add(std::mem::take(&mut out.rows));
        epoch.bytes = epoch.bytes.saturating_add(std::mem::take(&mut out.bytes));
        epoch.oversized.append(&mut out.oversized);
        epoch.ranges.extend(ranges_of(
            out.chunks.get(chunks..).unwrap_or_default(),
            epoch.oversized.get(oversized..).unwrap_or_default(),
            now_us,
        ));
        reader.idle = state == ReadState::Idle;
        reader.ended = state == ReadState::Ended;
        reader.later = state == ReadState::NextEpoch;
        Ok(state)
    }

    /// Returns true when the epoch has all it may have: its time, rows or bytes are used up, or
    /// nothing more can come in it.
    pub fn is_over(&self, outside: &dyn Outside) -> bool {
        let Reads { turns, silent, rows, bytes, .. } = &self.epoch;
        // Another record of usual length would not fit.
        let mean = bytes.checked_div(*rows).unwrap_or(0);
        let full = *rows >= self.settings.epoch_rows
            || (*rows > 0 && bytes.saturating_add(mean) > self.settings.epoch_bytes);
        let open = self.readers.iter().any(|reader| !reader.ended && !reader.later);
        let later = self.readers.iter().any(|reader| reader.later);
        full || !open
            || (later && *silent)
            || (*turns > 0 && self.left(outside.elapsed()).is_zero())
    }

    fn left(&self, now: Duration) -> Duration {
        let epoch = Duration::from_micros(u64::try_from(self.settings.epoch_us).unwrap_or(0));
        epoch.saturating_sub(now.saturating_sub(self.epoch.began))
    }

    /// Returns what the epoch read, at its end.
    pub fn end(&mut self) -> EpochReads {
        let Reads { ranges, mut oversized, paused, .. } = std::mem::take(&mut self.epoch);
        oversized.sort_by_key(|record| (record.from, record.position));
        let drained = self.readers.iter().map(|reader| reader.idle || reader.ended).collect();
        EpochReads { ranges, oversized, drained, paused, places: self.places() }
    }

    /// Returns where each source's partitions go on.
    pub fn places(&self) -> Vec<Vec<PartitionInfo>> {
        self.readers.iter().map(|reader| reader.source.partitions().to_vec()).collect()
    }

    /// Returns what a restart must know of each source, by name, with its partitions at `places`.
    pub fn states(&self, places: &[Vec<PartitionInfo>]) -> BTreeMap<String, SourceState> {
        let partition = |info: &PartitionInfo| PartitionState {
            name: info.name.to_string(),
            position: info.position,
            finished: info.finished,
        };
        let readers = self.readers.iter().zip(places);
        readers
            .map(|(reader, places)| {
                let partitions = places.iter().map(partition).collect();
                let state = SourceState { partitions, detail: reader.source.detail() };
                (reader.name.clone(), state)
            })
            .collect()
    }

    /// Takes the memory of a chunk that is done with.
    pub fn recycle(&mut self, chunk: Chunk) {
        self.out.recycle(chunk);
    }

    /// Reads exactly what a recorded epoch read.
    ///
    /// # Errors
    /// When the input no longer holds what the epoch read.
    pub fn replay(&mut self, facts: &EpochFacts) -> Result<EpochInput, EngineError> {
        let mut out = ReadOutput::default();
        for range in &facts.ranges {
            let fail = |what: String| EngineError::Replay { epoch: facts.epoch, what };
            let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
            let rows = count(range.rows.saturating_add(range.oversized));
            let reader = self
                .reader(range.from.source)
                .ok_or_else(|| fail(format!("there is no source {}", range.from.source.0)))?;
            let name = reader.name.clone();
            let failed = |source| EngineError::Source { node: name.clone(), source };
            reader.source.begin_epoch();
            reader.source.seek(range.from.partition, range.start).map_err(failed)?;
            let chunk_rows = count(range.rows).max(1);
            let budget = ReadBudget { rows, bytes: usize::MAX, chunk_rows, wait: Duration::ZERO };
            let (before, too_long) = (out.rows, out.oversized.len());
            let partition = range.from.partition;
            reader
                .source
                .replay(partition, range.end, &budget, range.received_us, &mut out)
                .map_err(failed)?;
            let (read, too_long) = (out.rows - before, out.oversized.len() - too_long);
            if read != rows || too_long != count(range.oversized) {
                return Err(fail(format!(
                    "`{name}` gives {read} records of partition {}, {too_long} of them too long, \
                     and gave {rows} and {}",
                    partition.0, range.oversized
                )));
            }
        }
        out.oversized.sort_by_key(|record| (record.from, record.position));
        Ok(EpochInput { chunks: out.chunks, oversized: out.oversized })
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

/// Returns what facts say of chunks that were read together, and of the records among them that
/// were too long: these count to the chunk they stand in, those behind the last chunk for
/// themselves.
fn ranges_of(chunks: &[Chunk], oversized: &[Oversized], received_us: i64) -> Vec<ChunkRange> {
    let mut left: Vec<&Oversized> = oversized.iter().collect();
    let mut ranges = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let mut range = ChunkRange {
            from: chunk.from,
            start: chunk.positions.first().copied().unwrap_or_default(),
            end: chunk.end_position,
            rows: u64::try_from(chunk.len()).unwrap_or(u64::MAX),
            oversized: 0,
            received_us,
        };
        left.retain(|record| {
            let inside = record.from == chunk.from && record.position < chunk.end_position;
            if inside {
                range.oversized += 1;
                range.start = range.start.min(record.position);
            }
            !inside
        });
        ranges.push(range);
    }
    ranges.extend(left.into_iter().map(|record| ChunkRange {
        from: record.from,
        start: record.position,
        end: record.end_position,
        rows: 0,
        oversized: 1,
        received_us,
    }));
    ranges
}
