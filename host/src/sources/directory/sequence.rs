//! The files of a folder as one partition.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::file::{FileLane, How, Prefix};
use super::super::lanes::{Lane, Stop};
use super::super::writer::Writer;
use super::super::{SourceError, SourceState};
use super::listing::{self, Age, Listed, REMEMBERED, Recorded};
use crate::data::PartitionName;

/// Bits of a position that hold the offset in the file.
const OFFSET_BITS: u32 = 40;

/// For how many epochs the files begun in them are remembered, whatever their number: what was
/// read since the commit to go on from.
const EPOCHS: u64 = 8;

/// The files of a folder as one partition.
pub(super) struct Sequence {
    pub name: PartitionName,
    pub folder: PathBuf,
    /// Files in the order of reading; those read long ago are forgotten.
    files: VecDeque<Listed>,
    /// The number of the first of them.
    first: u64,
    /// The number of the file that is read.
    current: u64,
    /// Reads the current file.
    lane: Option<FileLane>,
    /// Files that are forgotten are no greater than this.
    mark: Option<Age>,
    /// The first file of each of the last epochs.
    begun: VecDeque<u64>,
    /// Files begun in this epoch.
    started: usize,
    max_files: usize,
    how: How,
    watch: bool,
    /// Bytes of the files before the current one.
    done_bytes: u64,
}

/// What a checkpoint keeps of a folder that is one partition.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Detail {
    /// The number of the first of `files`.
    first: u64,
    /// Files that were begun, in order; the last of them may be under way.
    files: Vec<Recorded>,
    /// Files with lower numbers are no greater than this.
    mark: Option<Age>,
    /// Files that wait for their turn although they are not beyond the mark.
    waiting: Vec<String>,
}

impl Sequence {
    pub fn new(
        folder: PathBuf,
        name: PartitionName,
        max_files: usize,
        watch: bool,
        how: How,
    ) -> Self {
        Self {
            name,
            folder,
            files: VecDeque::new(),
            first: 0,
            current: 0,
            lane: None,
            mark: None,
            begun: VecDeque::new(),
            started: 0,
            max_files,
            how,
            watch,
            done_bytes: 0,
        }
    }

    /// Lets a file wait for its turn.
    pub fn push(&mut self, file: Listed) {
        self.files.push_back(file);
    }

    /// Takes files out of `found` as a checkpoint says: those that were read are remembered, the
    /// one under way is opened, those that were begun since come next.
    pub fn resume(
        &mut self,
        state: &SourceState,
        found: &mut Vec<Listed>,
    ) -> Result<(), SourceError> {
        let Some(partition) = state.partitions.first() else { return Ok(()) };
        let detail = match state.detail.is_null() {
            true => Detail::default(),
            false => Detail::deserialize(&state.detail).map_err(SourceError::Detail)?,
        };
        let position = partition.position;
        let (number, offset) = split(position);
        if number < detail.first {
            let partition = self.name.to_string();
            let reason = "which file was read then is no longer known";
            return Err(SourceError::Gone { partition, position, reason });
        }
        self.first = detail.first;
        self.current = number;
        let waits =
            |file: &Listed| detail.waiting.iter().any(|name| *name == file.name.to_string_lossy());
        let mut ahead = Vec::new();
        for (at, recorded) in (detail.first..).zip(&detail.files) {
            let there = listing::take(found, recorded, &self.folder);
            let finished = partition.finished || at < number;
            let read = at == number && offset > 0 && offset >= recorded.bytes;
            match there {
                Some(file) if at > number => ahead.push(file),
                Some(file) => self.files.push_back(file),
                None if finished => self.files.push_back(recorded.listed()),
                // The end of a file and the start of the next are one place.
                None if read => {
                    self.files.push_back(recorded.listed());
                    self.current = number + 1;
                }
                None => return Err(listing::gone(&self.folder, recorded, position)),
            }
        }
        self.mark = detail.mark.clone();
        found.retain(|file| {
            detail.mark.as_ref().is_none_or(|mark| file.age() > *mark) || waits(file)
        });
        self.files.extend(ahead);
        if state.detail.is_null() {
            // Files are taken to stand in the order in which they did.
            let more = usize::try_from(number).unwrap_or(usize::MAX).saturating_add(1);
            self.files.extend(found.drain(..more.min(found.len())));
        }
        if partition.finished {
            found.clear();
        }
        if self.current == number {
            let prefix = self.file(number).map(|file| file.prefix).unwrap_or_default();
            self.go_to(position, prefix)?;
        }
        Ok(())
    }

    /// Returns what a checkpoint must keep.
    pub fn detail(&self) -> Detail {
        let begun = self.lane.is_some();
        let until = usize::try_from(self.current - self.first).unwrap_or(usize::MAX);
        let begun = until.saturating_add(usize::from(begun));
        let files = (0u64..).zip(&self.files).take(begun).map(|(index, file)| {
            let mut file = file.clone();
            if let Some(lane) = self.lane.as_ref().filter(|_| self.first + index == self.current) {
                file.prefix = lane.prefix();
            }
            file.record()
        });
        let waits = |file: &&Listed| self.mark.as_ref().is_some_and(|mark| file.age() <= *mark);
        let waiting = self.files.iter().skip(begun).filter(waits);
        Detail {
            first: self.first,
            files: files.collect(),
            mark: self.mark.clone(),
            waiting: waiting.map(|file| file.name.to_string_lossy().into_owned()).collect(),
        }
    }

    /// Says that a new epoch starts.
    pub fn begin_epoch(&mut self) {
        self.started = 0;
        self.begun.push_back(self.current);
        while self.begun.len() > usize::try_from(EPOCHS).unwrap_or(usize::MAX) {
            self.begun.pop_front();
        }
        self.forget();
    }

    /// Forgets files that were read long ago.
    fn forget(&mut self) {
        let needed = self.begun.front().copied().unwrap_or(0).min(self.current);
        while self.first < needed && self.current - self.first > count(REMEMBERED) {
            let Some(file) = self.files.pop_front() else { return };
            self.first += 1;
            self.mark = self.mark.take().max(Some(file.age()));
        }
    }

    /// Returns the number of bytes read.
    pub fn read_bytes(&self) -> u64 {
        let here = self.lane.as_ref().map_or(0, |lane| split(lane.position()).1);
        self.done_bytes.saturating_add(here)
    }

    fn file(&self, number: u64) -> Option<&Listed> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.files.get(index)
    }

    fn end(&self) -> u64 {
        self.first.saturating_add(count(self.files.len()))
    }

    fn go_to(&mut self, position: i64, prefix: Prefix) -> Result<(), SourceError> {
        let (number, _) = split(position);
        let lane = match self.file(number) {
            Some(file) => {
                let path = self.folder.join(&file.name);
                Some(FileLane::go_on(path, base(number), position, prefix, self.how)?)
            }
            None if position == base(self.end()) => None,
            None if number < self.first => {
                let partition = self.name.to_string();
                let reason = "which file was read then is no longer known";
                return Err(SourceError::Gone { partition, position, reason });
            }
            None => {
                return Err(SourceError::BeyondEnd {
                    partition: self.name.to_string(),
                    position,
                    end: base(self.end()),
                });
            }
        };
        let before = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        self.done_bytes = self.files.iter().take(before).map(|file| file.bytes).sum();
        self.lane = lane;
        self.current = number;
        Ok(())
    }
}

impl Lane for Sequence {
    fn name(&self) -> PartitionName {
        Arc::clone(&self.name)
    }

    fn pull(&mut self, out: &mut Writer<'_>) -> Result<Stop, SourceError> {
        loop {
            if self.lane.is_none()
                && let Some(file) = self.file(self.current)
            {
                if !out.wants(base(self.current)) {
                    return Ok(Stop::Rows);
                }
                if self.started >= self.max_files {
                    return Ok(Stop::NextEpoch);
                }
                let path = self.folder.join(&file.name);
                self.lane = Some(FileLane::open(path, base(self.current), self.how)?);
                self.started += 1;
            }
            let Some(lane) = &mut self.lane else {
                return Ok(if self.watch { Stop::Idle } else { Stop::Ended });
            };
            match lane.pull(out)? {
                Stop::Ended => {
                    let (prefix, bytes) = (lane.prefix(), split(lane.position()).1);
                    self.done_bytes = self.read_bytes();
                    let index = usize::try_from(self.current - self.first).unwrap_or(usize::MAX);
                    if let Some(file) = self.files.get_mut(index) {
                        (file.prefix, file.bytes) = (prefix, bytes);
                    }
                    self.lane = None;
                    self.current += 1;
                }
                stop => return Ok(stop),
            }
        }
    }

    fn seek(&mut self, position: i64) -> Result<(), SourceError> {
        self.go_to(position, Prefix::default())
    }

    fn position(&self) -> i64 {
        self.lane.as_ref().map_or_else(|| base(self.current), Lane::position)
    }

    fn finished(&self) -> bool {
        !self.watch && self.current >= self.end()
    }
}

/// Returns the position of a file's first byte.
fn base(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX >> OFFSET_BITS) << OFFSET_BITS
}

/// Returns the file's number and the offset in it.
fn split(position: i64) -> (u64, u64) {
    let number = u64::try_from(position >> OFFSET_BITS).unwrap_or(0);
    (number, u64::try_from(position.saturating_sub(base(number))).unwrap_or(0))
}

fn count(files: usize) -> u64 {
    u64::try_from(files).unwrap_or(u64::MAX)
}
