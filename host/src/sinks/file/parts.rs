//! Parts in a folder: opened, appended to, sealed, published.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::super::{BeforeRecord, SinkError};
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
    /// For each commit that is not known to be recorded, oldest first, the parts it finished.
    sealed: VecDeque<Vec<Part>>,
    /// Hidden files of earlier runs, of no use once a commit of this one is recorded.
    leftovers: Vec<PathBuf>,
    /// How many parts this run published.
    published: u64,
    /// The next commit is the last one: it seals whatever is open.
    finishing: bool,
}

#[derive(Debug)]
pub(super) struct Part {
    number: u64,
    name: String,
    pub(super) file: CommittedFile,
    rows: u64,
    opened_us: i64,
    /// The folder's entry of the file has not been forced to the disk yet.
    new: bool,
}

/// What a commit did.
pub(super) struct Committed {
    /// How many bytes are new.
    pub(super) bytes: u64,
    /// What a restart must know.
    pub(super) state: FileState,
    /// What must be done before the commit may be recorded.
    pub(super) before: Option<BeforeRecord>,
}

impl Parts {
    /// Starts behind the highest part there is.
    pub(super) fn create(roll: Roll) -> Result<Self, SinkError> {
        make_folder(&roll.folder)?;
        let mut highest = 0;
        for found in find_parts(&roll)? {
            highest = highest.max(found.number);
            if found.hidden {
                let path = roll.folder.join(&found.name);
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
        for state in sealed.iter().chain(open) {
            parts.look_at(state, &found)?;
        }
        let mut finished = Vec::new();
        for state in sealed.iter().filter(|state| waits(state, &found)) {
            finished.push(parts.take_up(state)?);
        }
        if let Some(state) = open.filter(|state| waits(state, &found)) {
            parts.open = Some(parts.copy(state)?);
        }
        let finished_names: Vec<String> = finished.iter().map(|part| part.name.clone()).collect();
        let hidden =
            found.iter().filter(|part| part.hidden && !finished_names.contains(&part.name));
        parts.leftovers = hidden.map(|part| parts.roll.folder.join(&part.name)).collect();
        parts.sealed.push_back(finished);
        parts.publish()?;
        Ok(parts)
    }

    fn new(roll: Roll, next: u64) -> Self {
        let (sealed, leftovers) = (VecDeque::new(), Vec::new());
        Self { roll, next, open: None, sealed, leftovers, published: 0, finishing: false }
    }

    /// Checks that what was committed to a part is still there, hidden or published.
    fn look_at(&self, state: &PartState, found: &[Found]) -> Result<(), SinkError> {
        let length = |path: &Path| {
            fs::metadata(path).map(|found| found.len()).map_err(SinkError::io("inspect", path))
        };
        let path = self.roll.published(state.number);
        if is_published(state.number, found) {
            if length(&path)? != state.bytes {
                return Err(SinkError::ForeignPart { path });
            }
        } else if waits(state, found) {
            let path = self.roll.folder.join(&state.file);
            let found = length(&path)?;
            if found < state.bytes {
                return Err(SinkError::Shorter { path, committed: state.bytes, found });
            }
        } else {
            tracing::warn!(
                path = %path.display(), rows = state.rows,
                "a committed part is no longer there; taken as published and moved away"
            );
        }
        Ok(())
    }

    /// Opens a part that was finished, cut to its length. Nobody writes to it any more.
    fn take_up(&self, state: &PartState) -> Result<Part, SinkError> {
        let path = self.roll.folder.join(&state.file);
        let mut file = CommittedFile::reopen(&path, state.bytes, false)?;
        file.sync()?;
        Ok(Part::of(state, state.file.clone(), file))
    }

    /// Goes on with an open part in a file of its own: whoever had the old one open may be alive,
    /// and may write to it yet. The old one stays until a commit that names the new one is
    /// recorded.
    fn copy(&self, state: &PartState) -> Result<Part, SinkError> {
        let name = self.roll.new_name(state.number)?;
        let (from, to) = (self.roll.folder.join(&state.file), self.roll.folder.join(&name));
        let file = CommittedFile::copy(&from, &to, state.bytes)?;
        sync_folder(&self.roll.folder)?;
        Ok(Part::of(state, name, file))
    }

    /// Returns the open part's file, making it when there is none.
    pub(super) fn open(&mut self) -> Result<&mut CommittedFile, SinkError> {
        let part = match self.open.take() {
            Some(part) => part,
            None => {
                let (number, name) = (self.next, self.roll.new_name(self.next)?);
                let file = CommittedFile::create(&self.roll.folder.join(&name))?;
                self.next += 1;
                Part { number, name, file, rows: 0, opened_us: 0, new: true }
            }
        };
        Ok(&mut self.open.insert(part).file)
    }

    /// Commits the open part, and seals it when it is full.
    pub(super) fn commit(&mut self, now_us: i64, new_rows: u64) -> Result<Committed, SinkError> {
        let (mut bytes, mut before, mut finished) = (0, None, Vec::new());
        if let Some(mut part) = self.open.take() {
            match part.commit(&self.roll, now_us, new_rows, self.finishing) {
                Err(error) => {
                    self.open = Some(part);
                    return Err(error);
                }
                Ok((new_bytes, full, sync)) => {
                    (bytes, before) = (new_bytes, sync);
                    if full && part.file.committed() > 0 {
                        finished.push(part);
                    } else {
                        self.open = Some(part);
                    }
                }
            }
        }
        self.sealed.push_back(finished);
        Ok(Committed { bytes, state: self.state(), before })
    }

    fn state(&self) -> FileState {
        let open = self.open.as_ref();
        let sealed = self.sealed.iter().flatten().map(Part::state).collect();
        match open {
            // A part without committed bytes does not exist for a restart.
            Some(part) if part.file.committed() == 0 => {
                FileState::Roll { next: part.number, sealed, open: None }
            }
            _ => FileState::Roll { next: self.next, sealed, open: open.map(Part::state) },
        }
    }

    /// Publishes what the oldest commit that is not known to be recorded has finished: it has been
    /// recorded. What failed is tried again by the next call.
    pub(super) fn recorded(&mut self) -> Result<(), SinkError> {
        self.publish()?;
        // The record names files of this run only; whoever made the others has been fenced.
        while let Some(path) = self.leftovers.last() {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "an old part cannot be removed");
                }
                _ => {}
            }
            self.leftovers.pop();
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), SinkError> {
        let Some(parts) = self.sealed.front_mut() else { return Ok(()) };
        let any = !parts.is_empty();
        while let Some(part) = parts.first() {
            let (from, to) = (part.file.path(), self.roll.published(part.number));
            if let Err(error) = rename(from, &to) {
                // A run that went on from the same record may have been faster.
                let done = !from.exists()
                    && fs::metadata(&to).is_ok_and(|there| there.len() == part.file.committed());
                if !done {
                    return Err(SinkError::io("publish", &to)(error));
                }
            }
            self.published += 1;
            parts.remove(0);
        }
        self.sealed.pop_front();
        if any { sync_folder(&self.roll.folder) } else { Ok(()) }
    }

    /// Lets the next commit seal whatever is open.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
    }

    pub(super) fn abort(&mut self) -> Result<(), SinkError> {
        self.open.as_mut().map_or(Ok(()), |part| part.file.abort())
    }

    /// Ends the run and returns how many parts it published. Where commits are not recorded the
    /// open part is published too; where they are, that needs a record that says so.
    pub(super) fn close(&mut self) -> Result<u64, SinkError> {
        let recorded = self.roll.durability == Durability::EachCommit;
        if let Some(mut part) = self.open.take() {
            if part.file.committed() == 0 {
                let path = part.file.path();
                fs::remove_file(path).map_err(SinkError::io("remove", path))?;
            } else if let Err(error) = part.file.sync() {
                self.open = Some(part);
                return Err(error);
            } else if !recorded {
                self.sealed.push_back(vec![part]);
            }
        }
        while !recorded && !self.sealed.is_empty() {
            self.publish()?;
        }
        Ok(self.published)
    }
}

impl Part {
    fn of(state: &PartState, name: String, file: CommittedFile) -> Self {
        let PartState { number, rows, opened_us, .. } = *state;
        Self { number, name, file, rows, opened_us, new: false }
    }

    /// Returns how many bytes are new, whether the part is full, and what to do before the record.
    fn commit(
        &mut self,
        roll: &Roll,
        now_us: i64,
        new_rows: u64,
        last: bool,
    ) -> Result<(u64, bool, Option<BeforeRecord>), SinkError> {
        let bytes = self.file.length_after_flush();
        if bytes == 0 {
            return Ok((0, false, None));
        }
        let opened_us = if self.file.committed() == 0 { now_us } else { self.opened_us };
        let full =
            last || bytes >= roll.max_bytes || now_us.saturating_sub(opened_us) >= roll.every_us;
        let has_new = self.file.has_new();
        self.file.flush()?;
        // Nothing counts before this: a commit that fails can still be taken back whole.
        let mut before = None;
        match roll.durability {
            Durability::AtRoll if full => self.file.sync()?,
            Durability::EachCommit if has_new || full => {
                before = Some(self.file.sync_later(self.new)?);
            }
            _ => {}
        }
        self.new = false;
        self.rows += new_rows;
        self.opened_us = opened_us;
        Ok((self.file.advance(), full, before))
    }

    fn state(&self) -> PartState {
        PartState {
            number: self.number,
            file: self.name.clone(),
            bytes: self.file.committed(),
            rows: self.rows,
            opened_us: self.opened_us,
        }
    }
}

impl Roll {
    fn new_name(&self, number: u64) -> Result<String, SinkError> {
        let token = names::token().map_err(SinkError::io("name a part in", &self.folder))?;
        Ok(names::hidden(number, &token, self.extension))
    }

    fn published(&self, number: u64) -> PathBuf {
        self.folder.join(names::published(number, self.extension))
    }
}

fn is_published(number: u64, found: &[Found]) -> bool {
    found.iter().any(|part| !part.hidden && part.number == number)
}

/// Returns true when a part is hidden and not published. After both, the hidden one is a leftover.
fn waits(state: &PartState, found: &[Found]) -> bool {
    !is_published(state.number, found)
        && found.iter().any(|part| part.hidden && part.name == state.file)
}

/// Returns the folder's parts by number.
fn find_parts(roll: &Roll) -> Result<Vec<Found>, SinkError> {
    let failed = || SinkError::io("read folder", &roll.folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(&roll.folder).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        found.extend(names::parse(&name, roll.extension));
    }
    found.sort_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
    Ok(found)
}

/// Renames a file, never over another one.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot promise it; then look first.
        Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS) => Err(Errno::EXIST.into()),
        result => result.map_err(Into::into),
    }
}
