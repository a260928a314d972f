//! Rows into files, exactly once.
//!
//! `visible = "roll"`: parts in a folder. The open part is a hidden file,
//! `.part-00007-5d0c81e2.jsonl.tmp`. Rows are appended to it, and each commit notes how long it is.
//! A commit that finds it old or large enough seals it: once that commit is recorded the part is
//! renamed to `part-00007.jsonl` and the folder synced. Published parts are never touched again
//! and never overwritten. A part exceeds `roll_bytes` by at most one commit.
//!
//! `visible = "commit"`: one plain file, appended to. Rows appear at the commit; of a commit
//! larger than a megabyte the first rows appear earlier, and an abort cuts them off again.
//!
//! A restart hands back the `FileState` of the last recorded commit, and the files are brought to it:
//!
//! | the part in the state | its hidden file there | only a published one | neither |
//! | --- | --- | --- | --- |
//! | sealed | cut, synced, published | done, if its length is right | published and taken away |
//! | open | copied up to its committed length | done (closed), if its length is right | the same, with a warning |
//!
//! # Several processes
//!
//! A process that was paused and believed dead may wake up. It holds its hidden file open, and may
//! append to it; so a restart never appends to a file it finds, but to a copy under a name with a
//! token of its own, which the next record names. Files that were there are removed when that
//! record is known: until then they are what a restart would need, afterwards whoever made them
//! has been fenced. Parts are published only when their commit is recorded, so a fenced process
//! publishes nothing, and it removes nothing.
//!
//! A published part with a later number than the state knows was made by someone else, and stops
//! the start. Without a state the sink starts behind all that is there and leaves it alone.
//!
//! A plain file has no such fence: it is cut to its committed length where it is. Before each
//! write its inode and length are looked at, and if they are not those it was left with, the sink
//! fails (`SinkError::AnotherWriter`); between the look and the write another's bytes can still get
//! in.
//!
//! Dropping a sink changes no file. Nor does `close` publish the open part where commits are
//! recorded: another process may have it. `finish` lets the last commit seal it instead.
//!
//! Paths that are no regular file (`/dev/stdout`, a pipe) can be appended to; they cannot be cut.

mod committed;
mod encoders;
mod names;
mod parts;
mod state;

#[cfg(test)]
mod tests;

pub(super) use committed::SPILL_BYTES;
pub(super) use encoders::Encoders;
pub use state::{FileState, PartState};

use std::path::{Path, PathBuf};

use self::committed::CommittedFile;
use self::parts::{Committed, Parts, Roll};
use super::discard::rows;
use super::{CommitInfo, Delivery, Sink, SinkError, SinkInput, SinkSummary};
use crate::config::model::{self, Visible};

/// When written bytes are forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When a part is sealed, and at the end. A crash of the process loses nothing; a crash of the
    /// machine may lose committed rows of the open part, which the restart then reports.
    AtRoll,
    /// Before each commit is recorded, on the committing thread (`CommitInfo::before`): a crash of
    /// the machine loses nothing that is recorded.
    EachCommit,
}

/// Writes rows into files.
#[derive(Debug)]
pub struct FileSink {
    encoders: Encoders,
    target: Target,
    durability: Durability,
    pending_rows: u64,
    total: SinkSummary,
}

#[derive(Debug)]
enum Target {
    Parts(Parts),
    Plain { file: CommittedFile, rows: u64 },
}

impl FileSink {
    /// Returns a sink that starts behind whatever is there.
    ///
    /// # Errors
    /// When a column has no text form, or the folder or file cannot be made or opened.
    pub fn create(
        config: &model::FileSink,
        durability: Durability,
        inputs: &[SinkInput],
    ) -> Result<Self, SinkError> {
        let encoders = Encoders::new(config.format, inputs)?;
        let target = match config.visible {
            Visible::Roll => Target::Parts(Parts::create(roll(config, durability))?),
            Visible::Commit => {
                make_parent(&config.path)?;
                Target::Plain { file: CommittedFile::append(&config.path)?, rows: 0 }
            }
        };
        Ok(Self::new(encoders, target, durability))
    }

    /// Returns a sink that goes on from `state`, with the files cut back to it.
    ///
    /// # Errors
    /// When committed bytes are missing, or there are parts that `state` does not know.
    pub fn restore(
        config: &model::FileSink,
        durability: Durability,
        inputs: &[SinkInput],
        state: &FileState,
    ) -> Result<Self, SinkError> {
        let encoders = Encoders::new(config.format, inputs)?;
        let target = match (config.visible, state) {
            (Visible::Roll, FileState::Roll { next, sealed, open }) => {
                let roll = roll(config, durability);
                Target::Parts(Parts::restore(roll, *next, sealed, open.as_ref())?)
            }
            (Visible::Commit, FileState::Commit { bytes, rows }) => {
                make_parent(&config.path)?;
                let file = CommittedFile::reopen(&config.path, *bytes, *bytes == 0)?;
                Target::Plain { file, rows: *rows }
            }
            _ => return Err(SinkError::OtherLayout { path: config.path.clone() }),
        };
        Ok(Self::new(encoders, target, durability))
    }

    fn new(encoders: Encoders, target: Target, durability: Durability) -> Self {
        Self { encoders, target, durability, pending_rows: 0, total: SinkSummary::default() }
    }
}

impl Sink for FileSink {
    fn write(&mut self, input: &Delivery<'_>) -> Result<(), SinkError> {
        if input.batch.num_rows() == 0 {
            return Ok(());
        }
        let encoders = &self.encoders;
        let file = match &mut self.target {
            Target::Parts(parts) => parts.open()?,
            Target::Plain { file, .. } => file,
        };
        file.add(|buffer, empty| {
            if empty {
                buffer.extend_from_slice(encoders.header());
            }
            encoders.encode(input, buffer)
        })?;
        self.pending_rows += rows(input.batch.num_rows());
        Ok(())
    }

    fn commit(&mut self, now_us: i64) -> Result<CommitInfo, SinkError> {
        let Committed { bytes, state, before } = match &mut self.target {
            Target::Parts(parts) => parts.commit(now_us, self.pending_rows)?,
            Target::Plain { file, rows } => {
                let durable = self.durability == Durability::EachCommit && file.has_new();
                file.flush()?;
                let new = file.committed() == 0;
                let before = if durable { Some(file.sync_later(new)?) } else { None };
                let bytes = file.advance();
                *rows += self.pending_rows;
                let state = FileState::Commit { bytes: file.committed(), rows: *rows };
                Committed { bytes, state, before }
            }
        };
        let rows = std::mem::take(&mut self.pending_rows);
        self.total.rows += rows;
        self.total.bytes += bytes;
        Ok(CommitInfo { rows, bytes, state: Some(state), before, ..CommitInfo::default() })
    }

    fn finish(&mut self) {
        if let Target::Parts(parts) = &mut self.target {
            parts.finish();
        }
    }

    fn committed(&mut self) -> Result<(), SinkError> {
        match &mut self.target {
            Target::Parts(parts) => parts.recorded(),
            Target::Plain { .. } => Ok(()),
        }
    }

    fn abort(&mut self) -> Result<(), SinkError> {
        self.pending_rows = 0;
        match &mut self.target {
            Target::Parts(parts) => parts.abort(),
            Target::Plain { file, .. } => file.abort(),
        }
    }

    fn close(&mut self, _now_us: i64) -> Result<SinkSummary, SinkError> {
        self.abort()?;
        self.total.files = match &mut self.target {
            Target::Parts(parts) => parts.close()?,
            Target::Plain { file, .. } => {
                if self.total.bytes > 0 {
                    file.sync()?;
                }
                u64::from(self.total.bytes > 0)
            }
        };
        Ok(self.total)
    }
}

fn roll(config: &model::FileSink, durability: Durability) -> Roll {
    Roll {
        folder: config.path.clone(),
        extension: encoders::extension(config.format),
        every_us: config.roll_us,
        max_bytes: config.roll_bytes,
        durability,
    }
}

/// Makes the folder that `path` is in.
fn make_parent(path: &Path) -> Result<(), SinkError> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => make_folder(parent),
        _ => Ok(()),
    }
}

/// Makes a folder and those above it, where they are missing.
fn make_folder(path: &Path) -> Result<(), SinkError> {
    std::fs::create_dir_all(path).map_err(SinkError::io("create folder", path))
}

/// Forces a folder's entries to the disk.
fn sync_folder(path: &PathBuf) -> Result<(), SinkError> {
    let folder = std::fs::File::open(path).map_err(SinkError::io("open folder", path))?;
    folder.sync_all().map_err(SinkError::io("sync folder", path))
}
