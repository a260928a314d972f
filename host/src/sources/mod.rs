//! Where records come from: Kafka, files, folders, standard input, a rate, the generator.
//!
//! A source cuts its partitions into records and hands them on as [`Chunk`]s. It promises:
//!
//! * **Exact budgets.** A read returns exactly the rows asked for when they are there, shared over
//!   the partitions one row each in turn.
//! * **Exact positions.** Going to any position a source has reported continues with exactly the
//!   record that followed it.
//! * **No waiting** beyond `ReadBudget::wait`, and no decision by a clock of its own: time is
//!   passed in.
//!
//! Nothing here looks into a record: bytes that are not UTF-8, or not what a parser wants, pass.

use std::path::Path;
use std::time::Duration;

use crate::config::model::SourceKind;
use crate::data::{Chunk, Partition, PartitionName, PartitionRef, SourceId};

mod directory;
mod error;
mod file;
mod frame;
mod generator;
mod glob;
mod kafka;
mod lane_source;
mod lanes;
mod rate;
mod resume;
mod stdin;
mod writer;

#[cfg(test)]
mod tests;

pub use directory::DirectorySource;
pub use error::SourceError;
pub use file::FileSource;
pub use generator::GeneratorSource;
pub use kafka::KafkaSource;
pub use rate::RateSource;
pub use resume::{PartitionState, SourceState};
pub use stdin::StdinSource;

/// The part of [`Oversized::prefix`] that is kept of a record.
pub const OVERSIZED_PREFIX_BYTES: usize = 256;

/// A place records come from. One owner calls it.
pub trait Source: Send {
    /// Returns the partitions known now, in the order in which they joined. They never leave.
    fn partitions(&self) -> &[PartitionInfo];

    /// Says that a new epoch starts: limits that count per epoch start again.
    fn begin_epoch(&mut self) {}

    /// Reads what is there, within the budget, and appends it to `out`.
    ///
    /// Blocks no longer than `budget.wait`, and only when there is nothing at all.
    ///
    /// # Errors
    /// When the outside fails: a file that cannot be read, a folder that is gone.
    fn read(
        &mut self,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError>;

    /// Reads one partition from where it is up to exactly the position `until`, to do a recorded
    /// epoch again. `budget.rows` and `budget.bytes` hold too.
    ///
    /// # Errors
    /// As `read`.
    fn replay(
        &mut self,
        partition: Partition,
        until: i64,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError>;

    /// Goes to a position that this source reported for the partition.
    ///
    /// # Errors
    /// When the partition does not exist or can no longer be read from there.
    fn seek(&mut self, partition: Partition, position: i64) -> Result<(), SourceError>;

    /// Says which partitions give nothing from now on, until this is called again: they are far
    /// ahead of others in event time. They still have what they had.
    fn pause(&mut self, _ahead: &[Partition]) {}

    /// Returns whether a partition had nothing more when it was last asked; false when unknown.
    fn is_drained(&self, _partition: Partition) -> bool {
        false
    }

    /// Returns what a restart must know besides names and positions of the partitions, for
    /// [`SourceState::detail`]. It may be newer than the positions it is kept with.
    fn detail(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Returns how many records are there that were not read yet, as far as is known without
    /// asking; none for sources that cannot know.
    fn lag(&self) -> Option<u64> {
        None
    }

    /// Returns how far the source is, for people.
    fn progress(&self) -> Progress;
}

/// One partition of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its stable name.
    pub name: PartitionName,
    /// The position of the next record.
    pub position: i64,
    /// Whether nothing will ever come again.
    pub finished: bool,
}

/// What one read may take.
#[derive(Clone, Debug)]
pub struct ReadBudget {
    /// Most records. Records cut out as too long count.
    pub rows: usize,
    /// Most bytes. A single record that is longer is still read, alone.
    pub bytes: usize,
    /// Most records of one chunk.
    pub chunk_rows: usize,
    /// How long to wait when there is nothing.
    pub wait: Duration,
}

/// What reads bring. Reads append; `clear` starts again.
#[derive(Clone, Debug, Default)]
pub struct ReadOutput {
    /// Records, in the order of each partition.
    pub chunks: Vec<Chunk>,
    /// Records that were longer than allowed and are in no chunk.
    pub oversized: Vec<Oversized>,
    /// Number of records, the oversized ones included.
    pub rows: usize,
    /// Bytes of the records in `chunks`.
    pub bytes: usize,
    /// Memory of chunks that are done with, for the next ones.
    spare: Vec<Vec<u8>>,
}

/// How many chunks' memory is kept.
const SPARE_CHUNKS: usize = 16;

/// The most memory of one chunk that is kept.
const SPARE_BYTES: usize = 4 << 20;

impl ReadOutput {
    /// Forgets all, and keeps the memory of chunks that nobody else holds.
    pub fn clear(&mut self) {
        while let Some(chunk) = self.chunks.pop() {
            self.recycle(chunk);
        }
        self.oversized.clear();
        self.rows = 0;
        self.bytes = 0;
    }

    /// Takes the memory of a chunk that is done with, if nobody else holds it.
    ///
    /// Fresh memory costs about as much as copying a chunk into it.
    pub fn recycle(&mut self, chunk: Chunk) {
        if self.spare.len() < SPARE_CHUNKS
            && let Ok(mut bytes) = chunk.data.into_vec::<u8>()
            && bytes.capacity() <= SPARE_BYTES
        {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

/// A record that was longer than `max_record_bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversized {
    /// Where it stood.
    pub from: PartitionRef,
    /// Its position.
    pub position: i64,
    /// The position behind it.
    pub end_position: i64,
    /// Its length in bytes, without the newline.
    pub length: u64,
    /// Its first bytes, for the dead letters.
    pub prefix: Vec<u8>,
}

/// Why a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadState {
    /// The budget is used up; there may be more.
    More,
    /// There is nothing more now.
    Idle,
    /// There is more, but it belongs to the next epoch.
    NextEpoch,
    /// There will never be more.
    Ended,
}

/// How far a source is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What was read, in `unit`s.
    pub done: u64,
    /// What there is to read; none when nobody can know.
    pub total: Option<u64>,
    /// What is counted.
    pub unit: ProgressUnit,
}

/// What [`Progress`] counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressUnit {
    /// Bytes of input.
    #[default]
    Bytes,
    /// Records.
    Rows,
}

/// Opens a source of a pipeline file. Relative paths are relative to `folder`.
///
/// With `resume` its partitions are those of the checkpoint, under the same numbers and at their
/// positions; others that are there now join behind them.
///
/// # Errors
/// When what the source should read is missing, unreadable or of the wrong kind, or no longer
/// holds what stood at a position.
pub fn open(
    kind: &SourceKind,
    id: SourceId,
    folder: &Path,
    resume: Option<&SourceState>,
) -> Result<Box<dyn Source>, SourceError> {
    Ok(match (kind, resume) {
        (SourceKind::Kafka(config), state) => Box::new(KafkaSource::open(config, id, state)?),
        (SourceKind::File(config), None) => Box::new(FileSource::open(config, id, folder)?),
        (SourceKind::File(config), Some(state)) => {
            Box::new(FileSource::resume(config, id, folder, state)?)
        }
        (SourceKind::Directory(config), None) => {
            Box::new(DirectorySource::open(config, id, folder)?)
        }
        (SourceKind::Directory(config), Some(state)) => {
            Box::new(DirectorySource::resume(config, id, folder, state)?)
        }
        (SourceKind::Stdin, state) => {
            let state = state.cloned().unwrap_or_default();
            Box::new(StdinSource::resume(id, Box::new(std::io::stdin()), &state))
        }
        (SourceKind::Rate(config), None) => Box::new(RateSource::new(config, id)),
        (SourceKind::Rate(config), Some(state)) => Box::new(RateSource::resume(config, id, state)?),
        (SourceKind::Generator(config), None) => Box::new(GeneratorSource::new(config, id)?),
        (SourceKind::Generator(config), Some(state)) => {
            Box::new(GeneratorSource::resume(config, id, state)?)
        }
    })
}
