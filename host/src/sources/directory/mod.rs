//! All files of a folder.
//!
//! By default one partition: the files one after another, by (modification time, name) when they
//! were first seen together; files seen later come later. A position is
//! `file number << 40 | byte offset`, the number counting from 0 in the order of reading; so
//! positions rise, and a file may have up to a tebibyte. With `per_file_partitions` each file is a
//! partition of its own, with byte offsets as positions.
//!
//! A file is read to its end once and is then done with, so files must be complete when they appear:
//! write them elsewhere and move them in. Names that start with a dot are passed over unless the
//! pattern starts with a dot. Folders within the folder are not entered.
//!
//! At a restart:
//!
//! | a file of the checkpoint | is there | what happens |
//! | --- | --- | --- |
//! | read to its end | as it was, or gone | not read again |
//! | read to its end | another one of its name | read, as a new file |
//! | under way, or begun after the commit | as it was | read on |
//! | under way, or begun after the commit | gone, or another one | `SourceError::Gone` |
//! | not in the checkpoint | | read after the others |

mod listing;
mod sequence;

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::listing::{Listed, Recorded};
use self::sequence::Sequence;
use super::file::{FileLane, How};
use super::lanes::{Lane, Lanes};
use super::{
    PartitionInfo, PartitionState, Progress, ProgressUnit, ReadBudget, ReadOutput, ReadState,
    Source, SourceError, SourceState,
};
use crate::config::model;
use crate::data::{Partition, SourceId};

/// How often a watched folder is looked at, in microseconds.
const LOOK_AGAIN_US: i64 = 1_000_000;

/// How much of a file is read at once.
const BLOCK_BYTES: usize = 256 << 10;

/// The same when each file is open at the same time.
const SMALL_BLOCK_BYTES: usize = 64 << 10;

/// All files of a folder.
pub struct DirectorySource {
    path: PathBuf,
    pattern: OsString,
    watch: bool,
    max_files: usize,
    seen: BTreeSet<OsString>,
    looked_us: Option<i64>,
    lanes: Shape,
    total_bytes: u64,
}

enum Shape {
    /// One partition.
    Sequence(Lanes<Sequence>),
    /// Each file a partition.
    PerFile(PerFile),
}

/// Each file a partition.
struct PerFile {
    lanes: Lanes<FileLane>,
    /// The files of the partitions.
    files: Vec<Listed>,
    /// Those that still have to join.
    waiting: VecDeque<Listed>,
    /// How many joined in this epoch.
    joined: usize,
    folder: PathBuf,
    how: How,
}

/// What a checkpoint keeps of a folder whose files are partitions.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail {
    /// In the order of the partitions. There may be more than positions: it can be newer.
    files: Vec<Recorded>,
}

impl DirectorySource {
    /// Opens the folder of `config`. A relative path is relative to `folder`.
    ///
    /// # Errors
    /// When the folder is missing or cannot be listed.
    pub fn open(
        config: &model::DirectorySource,
        id: SourceId,
        folder: &Path,
    ) -> Result<Self, SourceError> {
        Self::new(config, id, folder, None)
    }

    /// Opens the folder of `config` at the positions of `state`. Files that are new come behind.
    ///
    /// # Errors
    /// As `open`, and when a file that was not read to its end is gone or another one.
    pub fn resume(
        config: &model::DirectorySource,
        id: SourceId,
        folder: &Path,
        state: &SourceState,
    ) -> Result<Self, SourceError> {
        Self::new(config, id, folder, Some(state))
    }

    fn new(
        config: &model::DirectorySource,
        id: SourceId,
        folder: &Path,
        state: Option<&SourceState>,
    ) -> Result<Self, SourceError> {
        let path = folder.join(&config.path.value);
        let pattern = OsString::from(&config.pattern);
        let (mut found, _) = listing::list(&path, &pattern, |_| false)?;
        let seen = found.iter().map(|file| file.name.clone()).collect();
        let total_bytes = found.iter().map(|file| file.bytes).sum();
        let block_bytes = if config.per_file_partitions { SMALL_BLOCK_BYTES } else { BLOCK_BYTES };
        let how = How { follow: false, max_record_bytes: config.max_record_bytes, block_bytes };
        let max_files = config.max_files_per_epoch.max(1);
        let lanes = if config.per_file_partitions {
            let mut files = PerFile::new(id, path.clone(), how);
            if let Some(state) = state {
                files.resume(state, &mut found)?;
            }
            files.waiting.extend(found);
            Shape::PerFile(files)
        } else {
            let name = Arc::from(path.display().to_string());
            let mut files = Sequence::new(path.clone(), name, max_files, config.watch, how);
            if let Some(state) = state {
                files.resume(state, &mut found)?;
            }
            found.into_iter().for_each(|file| files.push(file));
            Shape::Sequence(Lanes::new(id, vec![files]))
        };
        let watch = config.watch;
        Ok(Self { path, pattern, watch, max_files, seen, looked_us: None, lanes, total_bytes })
    }

    fn look_again(&mut self, now_us: i64) -> Result<(), SourceError> {
        if !self.watch {
            return Ok(());
        }
        match self.looked_us {
            Some(at) if now_us.saturating_sub(at) < LOOK_AGAIN_US => Ok(()),
            _ => {
                self.looked_us = Some(now_us);
                self.look()
            }
        }
    }

    /// Finds files that were not seen before.
    fn look(&mut self) -> Result<(), SourceError> {
        let (found, still) =
            listing::list(&self.path, &self.pattern, |name| self.seen.contains(name))?;
        // A name that is gone may come again, as another file.
        self.seen = still.into_iter().collect();
        for file in found {
            self.total_bytes = self.total_bytes.saturating_add(file.bytes);
            self.seen.insert(file.name.clone());
            match &mut self.lanes {
                Shape::Sequence(lanes) => {
                    lanes.iter_mut().for_each(|sequence| sequence.push(file.clone()));
                }
                Shape::PerFile(files) => files.waiting.push_back(file),
            }
        }
        Ok(())
    }
}

impl PerFile {
    fn new(id: SourceId, folder: PathBuf, how: How) -> Self {
        let lanes = Lanes::new(id, Vec::new());
        Self { lanes, files: Vec::new(), waiting: VecDeque::new(), joined: 0, folder, how }
    }

    /// Lets the partitions of a checkpoint join, with their files out of `found`.
    fn resume(&mut self, state: &SourceState, found: &mut Vec<Listed>) -> Result<(), SourceError> {
        let detail = match state.detail.is_null() {
            true => Detail::default(),
            false => Detail::deserialize(&state.detail).map_err(SourceError::Detail)?,
        };
        let mut files = detail.files.into_iter();
        for partition in &state.partitions {
            let name = Path::new(&partition.name).file_name().unwrap_or_default();
            let by_name = |found: &&Listed| found.name == name;
            // Without a detail, only the name can tell.
            let file = files.next().or_else(|| found.iter().find(by_name).map(Listed::record));
            let file = file.unwrap_or_else(|| {
                let name = name.to_string_lossy().into_owned();
                Recorded { name, bytes: u64::MAX, ..Recorded::default() }
            });
            self.rejoin(partition, &file, found)?;
        }
        // Partitions that joined after the commit.
        for file in files {
            let name = self.folder.join(&file.name).display().to_string();
            let partition = PartitionState { name, position: 0, finished: false };
            self.rejoin(&partition, &file, found)?;
        }
        Ok(())
    }

    fn rejoin(
        &mut self,
        partition: &PartitionState,
        recorded: &Recorded,
        found: &mut Vec<Listed>,
    ) -> Result<(), SourceError> {
        let PartitionState { name, position, finished } = partition;
        let there = listing::take(found, recorded, &self.folder);
        let all = u64::try_from(*position).is_ok_and(|read| read > 0 && read >= recorded.bytes);
        let lane = match &there {
            Some(file) if !finished => {
                let path = self.folder.join(&file.name);
                FileLane::go_on(path, 0, *position, recorded.prefix, self.how)?
            }
            None if !finished && !all => {
                return Err(listing::gone(&self.folder, recorded, *position));
            }
            _ => FileLane::done(self.folder.join(&recorded.name), *position, &[], self.how),
        };
        self.lanes.join(lane.named(name));
        self.files.push(there.unwrap_or_else(|| recorded.listed()));
        Ok(())
    }

    /// Lets the next file become a partition; false when none waits.
    fn join(&mut self) -> Result<bool, SourceError> {
        let Some(file) = self.waiting.pop_front() else { return Ok(false) };
        self.lanes.join(FileLane::open(self.folder.join(&file.name), 0, self.how)?);
        self.files.push(file);
        Ok(true)
    }

    fn detail(&self) -> Detail {
        let record = |(file, lane): (&Listed, &FileLane)| {
            let mut file = file.record();
            let prefix = lane.prefix();
            if !prefix.is_empty() {
                file.prefix = prefix;
            }
            file
        };
        Detail { files: self.files.iter().zip(self.lanes.iter()).map(record).collect() }
    }
}

impl Source for DirectorySource {
    fn partitions(&self) -> &[PartitionInfo] {
        match &self.lanes {
            Shape::Sequence(lanes) => lanes.infos(),
            Shape::PerFile(files) => files.lanes.infos(),
        }
    }

    fn begin_epoch(&mut self) {
        match &mut self.lanes {
            Shape::Sequence(lanes) => lanes.iter_mut().for_each(Sequence::begin_epoch),
            Shape::PerFile(files) => files.joined = 0,
        }
    }

    fn read(
        &mut self,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        self.look_again(now_us)?;
        let state = match &mut self.lanes {
            Shape::Sequence(lanes) => lanes.read(budget, now_us, out)?,
            Shape::PerFile(files) => {
                while files.joined < self.max_files && files.join()? {
                    files.joined += 1;
                }
                match files.lanes.read(budget, now_us, out)? {
                    ReadState::Ended | ReadState::Idle if !files.waiting.is_empty() => {
                        ReadState::NextEpoch
                    }
                    state => state,
                }
            }
        };
        Ok(if state == ReadState::Ended && self.watch { ReadState::Idle } else { state })
    }

    fn replay(
        &mut self,
        partition: Partition,
        until: i64,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        match &mut self.lanes {
            Shape::Sequence(lanes) => {
                // A recorded epoch kept to the limit when it was recorded.
                lanes.iter_mut().for_each(Sequence::begin_epoch);
                lanes.replay(partition, until, budget, now_us, out)
            }
            Shape::PerFile(files) => files.lanes.replay(partition, until, budget, now_us, out),
        }
    }

    fn seek(&mut self, partition: Partition, position: i64) -> Result<(), SourceError> {
        match &mut self.lanes {
            Shape::Sequence(lanes) => lanes.seek(partition, position),
            Shape::PerFile(files) => {
                // To replay, before the files of the epochs in question have joined.
                let wanted = usize::try_from(partition.0).unwrap_or(usize::MAX);
                while files.lanes.infos().len() <= wanted && files.join()? {}
                files.lanes.seek(partition, position)
            }
        }
    }

    fn detail(&self) -> serde_json::Value {
        let detail = match &self.lanes {
            Shape::Sequence(lanes) => {
                lanes.iter().next().map(Sequence::detail).map(serde_json::to_value)
            }
            Shape::PerFile(files) => Some(serde_json::to_value(files.detail())),
        };
        detail.and_then(Result::ok).unwrap_or_default()
    }

    fn pause(&mut self, ahead: &[Partition]) {
        match &mut self.lanes {
            Shape::Sequence(lanes) => lanes.pause(ahead),
            Shape::PerFile(files) => files.lanes.pause(ahead),
        }
    }

    fn is_drained(&self, partition: Partition) -> bool {
        match &self.lanes {
            Shape::Sequence(lanes) => lanes.is_drained(partition),
            Shape::PerFile(files) => files.lanes.is_drained(partition),
        }
    }

    fn progress(&self) -> Progress {
        let done = match &self.lanes {
            Shape::Sequence(lanes) => lanes.iter().map(Sequence::read_bytes).sum(),
            Shape::PerFile(files) => {
                files.lanes.iter().map(|lane| u64::try_from(lane.position()).unwrap_or(0)).sum()
            }
        };
        let total = (!self.watch).then_some(self.total_bytes.max(done));
        Progress { done, total, unit: ProgressUnit::Bytes }
    }
}
