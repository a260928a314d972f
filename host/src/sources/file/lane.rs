//! Reads one path, through rotation and truncation if it is followed.
//!
//! The contents a path has over time are *generations*; the partition is their concatenation:
//!
//! ```text
//! position   0 ............ 4711 ............ 9000 ....
//!            | access.log   | access.log      | access.log
//!            | renamed away | truncated       | now
//! ```
//!
//! So positions always rise, and the first generation's are plain byte offsets. A rename is seen
//! because the path has another inode; the old file stays open and is read to its end **after** the
//! new one was seen with something in it, so that a writer's last lines to the old file are not
//! lost. A truncation is seen because the file is shorter than what was read of it, or because its
//! first kilobyte is another one. What was written between the last read and a truncation is lost,
//! with any reader. An unterminated line at the end of a generation is a record.
//!
//! A restart finds the generations again (`history`), those too that were rotated away meanwhile:
//!
//! | what the position points to | is there | what happens |
//! | --- | --- | --- |
//! | a content at the path | yes | read on |
//! | a content under another name | yes | read on, then those that followed, by age |
//! | all that was read of a file | truncated in place | its new content follows, with a warning |
//! | anything else | no | `SourceError::Gone` |

mod restart;

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::SourceError;
use super::super::frame::{Framed, Framer};
use super::super::lanes::{Lane, Stop};
use super::super::writer::Writer;
use super::generation::Generation;
use super::prefix::Prefix;
use crate::data::PartitionName;

/// How many finished generations stay open, so that positions in them can be gone back to.
const KEPT: usize = 4;

/// How many finished generations are remembered. A checkpoint's positions are at most a few epochs
/// older than what is remembered with them, and an epoch can see `WAITING` of them end.
const REMEMBERED: usize = 4 * WAITING;

/// How many rotations may wait for a slow reader before it stops looking for more.
const WAITING: usize = 64;

/// How a path is read.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct How {
    pub follow: bool,
    pub max_record_bytes: usize,
    pub block_bytes: usize,
}

/// Reads one path.
#[derive(Debug)]
pub(in super::super) struct FileLane {
    path: PathBuf,
    name: PartitionName,
    follow: bool,
    framer: Framer,
    /// Oldest first: finished ones, the current one, ones that wait for their turn.
    generations: VecDeque<Generation>,
    current: usize,
    /// How much of the current generation was read.
    offset: u64,
    /// The last read of the current generation found nothing.
    at_end: bool,
    /// The current generation was truncated; its last line is still to be taken.
    truncated: bool,
    finished: bool,
}

impl FileLane {
    /// Opens `path`; its first byte has position `base`.
    pub fn open(path: PathBuf, base: i64, how: How) -> Result<Self, SourceError> {
        let name = Arc::from(path.display().to_string());
        let mut lane = Self::new(path, name, base, how);
        match open_regular(&lane.path) {
            Ok((file, metadata)) => {
                let mut generation = Generation::new(file, &metadata);
                generation.base = Some(base);
                lane.generations.push_back(generation);
            }
            Err(SourceError::Missing { .. }) if how.follow => {}
            Err(error) => return Err(error),
        }
        Ok(lane)
    }

    /// Gives the partition the name it has in a checkpoint.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Arc::from(name);
        self
    }

    fn new(path: PathBuf, name: PartitionName, position: i64, how: How) -> Self {
        Self {
            path,
            name,
            follow: how.follow,
            framer: Framer::new(position, how.max_record_bytes, how.block_bytes),
            generations: VecDeque::new(),
            current: 0,
            offset: 0,
            at_end: false,
            truncated: false,
            finished: false,
        }
    }

    /// Returns the first bytes that were read of the only generation.
    pub fn prefix(&self) -> Prefix {
        self.generations.back().map(|generation| generation.record(0).prefix).unwrap_or_default()
    }

    /// Returns where the lane reads.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the length of the open file.
    pub fn length(&self) -> u64 {
        self.generations
            .back()
            .and_then(|generation| generation.file.as_ref())
            .and_then(|file| file.metadata().ok())
            .map_or(0, |metadata| metadata.len())
    }

    /// Returns whether `path` is a file that this lane reads or has read, under another name.
    pub fn reads(&self, path: &Path) -> bool {
        self.generations.iter().any(|generation| generation.is_at(path))
    }

    /// Looks whether the path leads to another file now, and lets it wait for its turn.
    fn look(&mut self) -> Result<(), SourceError> {
        let newest = self.generations.back();
        let metadata = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            // Between a rename and the new file there is nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(SourceError::opening(&self.path, error)),
        };
        let waiting = self.generations.len().saturating_sub(self.current);
        let same = newest.is_some_and(|newest| newest.is(&metadata));
        if same || waiting > WAITING || (newest.is_some() && metadata.len() == 0) {
            return Ok(());
        }
        match open_regular(&self.path) {
            Ok((file, metadata)) => {
                if newest.is_none_or(|newest| !newest.is(&metadata)) {
                    let mut generation = Generation::new(file, &metadata);
                    if newest.is_none() {
                        generation.base = Some(self.framer.position());
                    }
                    self.generations.push_back(generation);
                }
                Ok(())
            }
            Err(SourceError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Begins the next generation where this one ended.
    fn turn_over(&mut self) {
        let end = self.framer.end_position();
        if let Some(old) = self.generations.get_mut(self.current) {
            old.end = Some(end);
        }
        self.current += 1;
        if let Some(new) = self.generations.get_mut(self.current) {
            new.base = Some(end);
        }
        while self.current > REMEMBERED {
            self.generations.pop_front();
            self.current -= 1;
        }
        for old in self.generations.iter_mut().take(self.current.saturating_sub(KEPT)) {
            old.close();
        }
        self.offset = 0;
        self.at_end = false;
        self.truncated = false;
    }

    /// Begins again at the start of the same file.
    fn start_again(&mut self) {
        if let Some(old) = self.generations.get_mut(self.current) {
            let new = old.replaced();
            self.generations.insert(self.current + 1, new);
        }
        self.turn_over();
    }

    fn read_more(&mut self) -> Result<Read, SourceError> {
        self.reopen(self.current, self.framer.position())?;
        let Self { path, framer, generations, current, offset, .. } = self;
        let Some(generation) = generations.get_mut(*current) else { return Ok(Read::NoFile) };
        let failed = |error| SourceError::Io { action: "read", path: path.clone(), error };
        if self.follow && self.at_end && generation.end.is_none() {
            self.truncated = self.truncated || generation.was_truncated(*offset).map_err(failed)?;
        }
        if self.truncated {
            return Ok(Read::Truncated);
        }
        if generation.file.is_none() && generation.base != generation.end {
            return Err(self.gone(self.framer.position(), "the file was truncated since"));
        }
        let read = generation.read_at(framer.space(), *offset).map_err(failed)?;
        framer.filled(read);
        generation.remember(framer.last(read), *offset);
        *offset = offset.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        self.at_end = read == 0;
        Ok(if read == 0 { Read::End } else { Read::Some })
    }

    fn gone(&self, position: i64, reason: &'static str) -> SourceError {
        SourceError::Gone { partition: self.name.to_string(), position, reason }
    }
}

/// What reading more of a file brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Some,
    End,
    Truncated,
    NoFile,
}

impl Lane for FileLane {
    fn name(&self) -> PartitionName {
        Arc::clone(&self.name)
    }

    fn tick(&mut self, _now_us: i64) -> Result<(), SourceError> {
        if self.follow { self.look() } else { Ok(()) }
    }

    fn pull(&mut self, out: &mut Writer<'_>) -> Result<Stop, SourceError> {
        if self.finished {
            return Ok(Stop::Ended);
        }
        loop {
            match self.framer.take(out) {
                Framed::Rows => return Ok(Stop::Rows),
                Framed::Bytes => return Ok(Stop::Bytes),
                Framed::NeedBytes => {}
            }
            let read = self.read_more()?;
            let successor = self.current + 1 < self.generations.len();
            match read {
                Read::Some => {}
                Read::NoFile => return Ok(Stop::Idle),
                Read::End if self.follow && !successor => return Ok(Stop::Idle),
                Read::End | Read::Truncated => {
                    if self.framer.take_tail(out) == Framed::Bytes {
                        return Ok(Stop::Bytes);
                    }
                    if read == Read::Truncated {
                        self.start_again();
                    } else if self.follow {
                        self.turn_over();
                    } else {
                        self.finished = true;
                        self.framer.release();
                        return Ok(Stop::Ended);
                    }
                }
            }
        }
    }

    fn seek(&mut self, position: i64) -> Result<(), SourceError> {
        let found = self
            .generations
            .iter()
            .rposition(|generation| generation.base.is_some_and(|base| base <= position));
        let Some(index) = found else {
            if position == self.framer.position() {
                return Ok(());
            }
            return Err(self.gone(position, "what was there was rotated away too long ago"));
        };
        self.reopen(index, position)?;
        let Some(generation) = self.generations.get_mut(index) else { return Ok(()) };
        let base = generation.base.unwrap_or(position);
        let offset = u64::try_from(position.saturating_sub(base)).unwrap_or(0);
        let Some(file) = &generation.file else {
            return Err(self.gone(position, "the file was truncated since"));
        };
        let io = |action| {
            let path = self.path.clone();
            move |error| SourceError::Io { action, path, error }
        };
        let length = file.metadata().map_err(io("look at"))?.len();
        if offset > length {
            return Err(SourceError::BeyondEnd {
                partition: self.name.to_string(),
                position,
                end: base.saturating_add(i64::try_from(length).unwrap_or(i64::MAX)),
            });
        }
        generation.remember_start(offset).map_err(io("read"))?;
        self.current = index;
        self.offset = offset;
        self.framer.restart(position);
        self.at_end = false;
        self.truncated = false;
        self.finished = false;
        Ok(())
    }

    fn position(&self) -> i64 {
        self.framer.position()
    }

    fn finished(&self) -> bool {
        self.finished
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SourceError {
    move |error| SourceError::Io { action, path: path.into(), error }
}

/// Opens a regular file for reading, and nothing else: opening a pipe would block.
fn open_regular(path: &Path) -> Result<(File, Metadata), SourceError> {
    let metadata = std::fs::metadata(path).map_err(|error| SourceError::opening(path, error))?;
    if metadata.is_dir() {
        return Err(SourceError::IsFolder { path: path.into() });
    }
    if !metadata.is_file() {
        return Err(SourceError::NotRegular { path: path.into() });
    }
    let file = File::open(path).map_err(|error| SourceError::opening(path, error))?;
    // Of the opened file, not of the path: it may have been rotated since.
    let metadata = file.metadata().map_err(|error| SourceError::opening(path, error))?;
    Ok((file, metadata))
}
