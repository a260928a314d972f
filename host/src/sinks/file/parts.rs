//! Parts in a folder: opened, appended to, sealed, published.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::super::SinkError;
use super::committed::CommittedFile;
use super::names::{self, Found};
use super::state::{FileState, PartState};
use super::{Durability, make_folder, sync_folder};

/// Where parts are and when one is full.
#[derive(Debug)]
pub(super) struct Roll {
    pub(super) folder: PathBuf,
    pub(super) extension: &'static str,
    pub(super) every_us: i64,
    pub(super) max_bytes: u64,
    pub(super) durability: Durability,
}

#[derive(Debug)]
pub(super) struct Parts {
    roll: Roll,
    next: u64,
    pub(super) open: Option<Part>,
    /// Finished by the last commit, not yet published.
    sealed: Vec<Part>,
    /// How many parts this run published.
    published: u64,
}

#[derive(Debug)]
pub(super) struct Part {
    number: u64,
    pub(super) file: CommittedFile,
    rows: u64,
    opened_us: i64,
}

impl Parts {
    /// Starts behind the highest part there is.
    pub(super) fn create(roll: Roll) -> Result<Self, SinkError> {
        make_folder(&roll.folder)?;
        let mut highest = 0;
        for found in find_parts(&roll)? {
            highest = highest.max(found.number);
            if found.hidden {
                let path = roll.hidden(found.number);
                tracing::warn!(path = %path.display(), "left alone: a part that another run did not finish");
            }
        }
        Ok(Self::new(roll, highest.saturating_add(1)))
    }

    /// Goes on from a recorded commit. See the table in the module's documentation.
    pub(super) fn restore(
        roll: Roll,
        next: u64,
        sealed: &[PartState],
        open: Option<&PartState>,
    ) -> Result<Self, SinkError> {
        make_folder(&roll.folder)?;
        let found = find_parts(&roll)?;
        // Look before touching anything.
        if let Some(foreign) = found.iter().find(|part| !part.hidden && part.number >= next) {
            return Err(SinkError::ForeignPart { path: roll.published(foreign.number) });
        }
        let mut parts = Self::new(roll, next);
        for state in sealed {
            if let Some(part) = parts.take_up(state, &found)? {
                parts.sealed.push(part);
            }
        }
        if let Some(state) = open {
            parts.open = parts.take_up(state, &found)?;
        }
        for later in found.iter().filter(|part| part.hidden && part.number >= next) {
            remove(&parts.roll.hidden(later.number))?;
        }
        for part in &mut parts.sealed {
            part.file.sync()?;
        }
        parts.publish()?;
        Ok(parts)
    }

    fn new(roll: Roll, next: u64) -> Self {
        Self { roll, next, open: None, sealed: Vec::new(), published: 0 }
    }

    /// Returns the hidden part of `state`, cut to its committed length, unless it is published.
    fn take_up(&self, state: &PartState, found: &[Found]) -> Result<Option<Part>, SinkError> {
        let is_there = |hidden| found.contains(&Found { number: state.number, hidden });
        if is_there(true) {
            let file = CommittedFile::reopen(&self.roll.hidden(state.number), state.bytes, false)?;
            let PartState { number, rows, opened_us, .. } = *state;
            return Ok(Some(Part { number, file, rows, opened_us }));
        }
        let path = self.roll.published(state.number);
        if is_there(false) {
            let length = fs::metadata(&path).map_err(SinkError::io("inspect", &path))?.len();
            if length != state.bytes {
                return Err(SinkError::ForeignPart { path });
            }
        } else {
            tracing::warn!(
                path = %path.display(), rows = state.rows,
                "a committed part is no longer there; taken as published and moved away"
            );
        }
        Ok(None)
    }

    /// Returns the open part's file, making it when there is none.
    pub(super) fn open(&mut self) -> Result<&mut CommittedFile, SinkError> {
        let part = match self.open.take() {
            Some(part) => part,
            None => {
                let file = CommittedFile::create(&self.roll.hidden(self.next))?;
                let number = self.next;
                self.next += 1;
                Part { number, file, rows: 0, opened_us: 0 }
            }
        };
        Ok(&mut self.open.insert(part).file)
    }

    /// Commits the open part, and seals it when it is full.
    ///
    /// Returns how many bytes are new, and what a restart must know.
    pub(super) fn commit(
        &mut self,
        now_us: i64,
        new_rows: u64,
    ) -> Result<(u64, FileState), SinkError> {
        // That there is another commit means the last one was recorded.
        self.publish()?;
        let mut new_bytes = 0;
        if let Some(mut part) = self.open.take() {
            match part.commit(&self.roll, now_us, new_rows) {
                Err(error) => {
                    self.open = Some(part);
                    return Err(error);
                }
                Ok((bytes, full)) => {
                    new_bytes = bytes;
                    if full {
                        self.sealed.push(part);
                    } else {
                        self.open = Some(part);
                    }
                }
            }
        }
        Ok((new_bytes, self.state()))
    }

    fn state(&self) -> FileState {
        let open = self.open.as_ref();
        let sealed = self.sealed.iter().map(Part::state).collect();
        match open {
            // A part without committed bytes does not exist for a restart.
            Some(part) if part.file.committed() == 0 => {
                FileState::Roll { next: part.number, sealed, open: None }
            }
            _ => FileState::Roll { next: self.next, sealed, open: open.map(Part::state) },
        }
    }

    /// Publishes the sealed parts. What failed is tried again by the next call.
    pub(super) fn publish(&mut self) -> Result<(), SinkError> {
        if self.sealed.is_empty() {
            return Ok(());
        }
        while let Some(part) = self.sealed.first() {
            rename(part.file.path(), &self.roll.published(part.number))?;
            self.published += 1;
            self.sealed.remove(0);
        }
        sync_folder(&self.roll.folder)
    }

    pub(super) fn abort(&mut self) -> Result<(), SinkError> {
        self.open.as_mut().map_or(Ok(()), |part| part.file.abort())
    }

    /// Publishes everything that is committed and returns how many parts this run published.
    pub(super) fn close(&mut self) -> Result<u64, SinkError> {
        if let Some(mut part) = self.open.take() {
            if part.file.committed() == 0 {
                remove(part.file.path())?;
            } else if let Err(error) = part.file.sync() {
                self.open = Some(part);
                return Err(error);
            } else {
                self.sealed.push(part);
            }
        }
        self.publish()?;
        Ok(self.published)
    }
}

impl Part {
    /// Returns how many bytes are new, and whether the part is full.
    fn commit(
        &mut self,
        roll: &Roll,
        now_us: i64,
        new_rows: u64,
    ) -> Result<(u64, bool), SinkError> {
        let bytes = self.file.length_after_flush();
        if bytes == 0 {
            return Ok((0, false));
        }
        let opened_us = if self.file.committed() == 0 { now_us } else { self.opened_us };
        let full = bytes >= roll.max_bytes || now_us.saturating_sub(opened_us) >= roll.every_us;
        self.file.flush()?;
        // Nothing counts before this: a commit that fails can still be taken back whole.
        if full || (roll.durability == Durability::EachCommit && self.file.has_new()) {
            self.file.sync()?;
        }
        self.rows += new_rows;
        self.opened_us = opened_us;
        Ok((self.file.advance(), full))
    }

    fn state(&self) -> PartState {
        PartState {
            number: self.number,
            bytes: self.file.committed(),
            rows: self.rows,
            opened_us: self.opened_us,
        }
    }
}

impl Roll {
    fn hidden(&self, number: u64) -> PathBuf {
        self.folder.join(names::hidden(number, self.extension))
    }

    fn published(&self, number: u64) -> PathBuf {
        self.folder.join(names::published(number, self.extension))
    }
}

/// Returns the folder's parts by number.
fn find_parts(roll: &Roll) -> Result<Vec<Found>, SinkError> {
    let failed = || SinkError::io("read folder", &roll.folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(&roll.folder).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        found.extend(names::parse(&name, roll.extension));
    }
    found.sort_by_key(|part| (part.number, part.hidden));
    Ok(found)
}

/// Renames a file, never over another one.
fn rename(from: &Path, to: &Path) -> Result<(), SinkError> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot promise it; then look first.
        Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS) => Err(Errno::EXIST.into()),
        result => result.map_err(Into::into),
    }
    .map_err(SinkError::io("publish", to))
}

fn remove(path: &Path) -> Result<(), SinkError> {
    fs::remove_file(path).map_err(SinkError::io("remove", path))
}
