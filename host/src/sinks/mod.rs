//! Where rows leave the pipeline.
//!
//! A sink takes batches, and at a commit makes them as visible and as durable as it promises
//! (`promise`). What was written since the last commit can be dropped (`abort`), also after an
//! error: nothing stays half-written. Sinks decide nothing about the stream: no windows, no
//! watermarks, no order. They never read a clock; time is passed in.
//!
//! The order of a commit, which makes files exactly-once:
//!
//! 1. `write` … `write`, `commit`: the sink returns what a restart must know (`CommitInfo::state`);
//! 2. the engine records that, together with the input positions;
//! 3. `committed`: the sink publishes what step 1 covered.
//!
//! A crash before step 2 takes the rows back at the restart, a crash after it publishes them
//! then. An engine that records nothing calls `committed` right after `commit`.

mod build;
mod check;
mod console;
mod discard;
mod error;
mod file;
mod kafka;

#[cfg(test)]
mod tests;

pub use build::{ConsoleOutput, build};
pub use check::{NODE_COLUMN, SinkProblem, check, promise};
pub use console::ConsoleSink;
pub use discard::DiscardSink;
pub use error::{SinkError, Who};
pub use file::{Durability, FileSink, FileState, PartState};
pub use kafka::KafkaSink;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::config::model::OutputMode;
use crate::kafka::Outgoing;

/// One of a sink's inputs: the node and the schema of its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkInput {
    /// The node's name, as it stands in `inputs`.
    pub node: String,
    /// Its rows' schema.
    pub schema: SchemaRef,
}

/// A batch on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The node the rows come from.
    pub node: &'a str,
    /// The rows.
    pub batch: &'a RecordBatch,
    /// 0 for a window's first firing, then 1, 2, …
    pub revision: u32,
    /// The node's watermark, microseconds since the Unix epoch; `data::NO_TIME` when there is
    /// none yet, `i64::MAX` at the end of the input.
    pub watermark_us: i64,
    /// The epoch the rows were made in.
    pub epoch: u64,
    /// Which rows of the node's table these are.
    pub mode: OutputMode,
}

/// Work that must be done before a commit may be recorded, on the committing thread: forcing bytes
/// to the disk, waiting for a broker.
pub type BeforeRecord = Box<dyn FnOnce() -> Result<(), SinkError> + Send>;

/// What a commit covers.
#[derive(Default)]
pub struct CommitInfo {
    /// Rows of this commit.
    pub rows: u64,
    /// Bytes of this commit.
    pub bytes: u64,
    /// What a restart must know. None for sinks that cannot take anything back.
    pub state: Option<FileState>,
    /// What must be done before the commit may be recorded.
    pub before: Option<BeforeRecord>,
    /// Records that the commit's transaction makes visible.
    pub outgoing: Option<Outgoing>,
}

impl std::fmt::Debug for CommitInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rows, bytes, state, before, outgoing } = self;
        f.debug_struct("CommitInfo")
            .field("rows", rows)
            .field("bytes", bytes)
            .field("state", state)
            .field("before", &before.is_some())
            .field("outgoing", &outgoing.as_ref().map(Outgoing::len))
            .finish()
    }
}

/// A row that a sink will never be able to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// The row, as JSON.
    pub row: Vec<u8>,
    /// Why, as a code: `record_too_large`, `unknown_topic`.
    pub reason: &'static str,
    /// Why, in words.
    pub detail: String,
}

impl RefusedRow {
    /// Returns a refused row.
    pub fn new(row: &[u8], reason: &'static str, detail: String) -> Self {
        Self { row: row.to_vec(), reason, detail }
    }
}

/// What a sink did in the whole run. Only committed rows count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkSummary {
    /// Rows.
    pub rows: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// Files published or appended to.
    pub files: u64,
    /// The order-independent checksum of all rows, from sinks that keep one.
    pub checksum: Option<u64>,
}

/// A place where rows go.
///
/// After an error of `write` or `commit` only `abort` helps; until then both are refused.
pub trait Sink: Send {
    /// Takes a batch. Buffers; nothing is durable yet.
    ///
    /// # Errors
    /// When the rows cannot be encoded, or the buffer had to be written out and could not.
    fn write(&mut self, input: &Delivery<'_>) -> Result<(), SinkError>;

    /// Takes the rows of the last `write` that will never be accepted, such as one that is longer
    /// than a broker allows. They are not part of the commit; asked for after each `write`.
    fn take_refused(&mut self) -> Vec<RefusedRow> {
        Vec::new()
    }

    /// Ends a commit. `now_us` is for rolling by time.
    ///
    /// # Errors
    /// When the rows cannot be written. `abort` takes them back.
    fn commit(&mut self, now_us: i64) -> Result<CommitInfo, SinkError>;

    /// Returns how many bytes wait in memory for the next commit.
    fn waiting_bytes(&self) -> usize {
        0
    }

    /// Says that the next commit is the last one: it covers whatever is held back, so that
    /// `committed` publishes all.
    fn finish(&mut self) {}

    /// Publishes what a commit covered, once it has been recorded: the oldest of those for which
    /// this was not called yet. Others may have been begun since, and are not touched.
    ///
    /// Called once for each recorded commit, in order.
    ///
    /// # Errors
    /// When a finished part cannot be published. Calling it again tries again.
    fn committed(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Drops what was written since the last commit.
    ///
    /// # Errors
    /// When rows that were already written out cannot be taken back.
    fn abort(&mut self) -> Result<(), SinkError>;

    /// Ends the run. What was not committed is dropped. Where commits are not recorded, what is
    /// held back is published; where they are, only `committed` publishes. Instead of this a sink
    /// may be dropped, which changes nothing outside.
    ///
    /// # Errors
    /// When the part cannot be synced or published.
    fn close(&mut self, now_us: i64) -> Result<SinkSummary, SinkError>;
}
