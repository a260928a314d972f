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

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::file::FileLane;
use super::glob;
use super::lanes::{Lane, Lanes, Stop};
use super::writer::Writer;
use super::{
    PartitionInfo, Progress, ProgressUnit, ReadBudget, ReadOutput, ReadState, Source, SourceError,
};
use crate::config::model;
use crate::data::{Partition, PartitionName, SourceId};

/// Bits of a position that hold the offset in the file.
const OFFSET_BITS: u32 = 40;

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
    max_record_bytes: usize,
    seen: BTreeSet<OsString>,
    looked_us: Option<i64>,
    lanes: Shape,
    total_bytes: u64,
}

enum Shape {
    /// One partition.
    Sequence(Lanes<Sequence>),
    /// Each file a partition, those that still have to join, and how many joined in this epoch.
    PerFile { lanes: Lanes<FileLane>, waiting: VecDeque<PathBuf>, joined: usize },
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
        let path = folder.join(&config.path.value);
        let max_files = config.max_files_per_epoch.max(1);
        let lanes = if config.per_file_partitions {
            Shape::PerFile {
                lanes: Lanes::new(id, Vec::new()),
                waiting: VecDeque::new(),
                joined: 0,
            }
        } else {
            Shape::Sequence(Lanes::new(
                id,
                vec![Sequence {
                    name: Arc::from(path.display().to_string()),
                    files: Vec::new(),
                    current: 0,
                    lane: None,
                    started: 0,
                    max_files,
                    max_record_bytes: config.max_record_bytes,
                    watch: config.watch,
                    done_bytes: 0,
                }],
            ))
        };
        let mut source = Self {
            path,
            pattern: OsString::from(&config.pattern),
            watch: config.watch,
            max_files,
            max_record_bytes: config.max_record_bytes,
            seen: BTreeSet::new(),
            looked_us: None,
            lanes,
            total_bytes: 0,
        };
        source.look()?;
        Ok(source)
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
        let (found, present) = list(&self.path, &self.pattern, &self.seen)?;
        // A name that is gone may come again, as another file.
        self.seen.retain(|name| present.contains(name));
        for file in found {
            self.total_bytes = self.total_bytes.saturating_add(file.bytes);
            let path = self.path.join(&file.name);
            match &mut self.lanes {
                Shape::Sequence(lanes) => {
                    lanes.iter_mut().for_each(|sequence| sequence.files.push(path.clone()));
                }
                Shape::PerFile { waiting, .. } => waiting.push_back(path),
            }
            self.seen.insert(file.name);
        }
        Ok(())
    }
}

impl Source for DirectorySource {
    fn partitions(&self) -> &[PartitionInfo] {
        match &self.lanes {
            Shape::Sequence(lanes) => lanes.infos(),
            Shape::PerFile { lanes, .. } => lanes.infos(),
        }
    }

    fn begin_epoch(&mut self) {
        match &mut self.lanes {
            Shape::Sequence(lanes) => lanes.iter_mut().for_each(|sequence| sequence.started = 0),
            Shape::PerFile { joined, .. } => *joined = 0,
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
            Shape::PerFile { lanes, waiting, joined } => {
                while *joined < self.max_files {
                    let Some(path) = waiting.pop_front() else { break };
                    *joined += 1;
                    let most = self.max_record_bytes;
                    lanes.join(FileLane::open(path, 0, false, most, SMALL_BLOCK_BYTES)?);
                }
                match lanes.read(budget, now_us, out)? {
                    ReadState::Ended | ReadState::Idle if !waiting.is_empty() => {
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
                lanes.iter_mut().for_each(|sequence| sequence.started = 0);
                lanes.replay(partition, until, budget, now_us, out)
            }
            Shape::PerFile { lanes, .. } => lanes.replay(partition, until, budget, now_us, out),
        }
    }

    fn seek(&mut self, partition: Partition, position: i64) -> Result<(), SourceError> {
        match &mut self.lanes {
            Shape::Sequence(lanes) => lanes.seek(partition, position),
            Shape::PerFile { lanes, waiting, .. } => {
                // After a restart the files of earlier epochs have not joined yet.
                let wanted = usize::try_from(partition.0).unwrap_or(usize::MAX);
                while lanes.infos().len() <= wanted {
                    let Some(path) = waiting.pop_front() else { break };
                    let most = self.max_record_bytes;
                    lanes.join(FileLane::open(path, 0, false, most, SMALL_BLOCK_BYTES)?);
                }
                lanes.seek(partition, position)
            }
        }
    }

    fn progress(&self) -> Progress {
        let done = match &self.lanes {
            Shape::Sequence(lanes) => lanes.iter().map(Sequence::read_bytes).sum(),
            Shape::PerFile { lanes, .. } => {
                lanes.iter().map(|lane| u64::try_from(lane.position()).unwrap_or(0)).sum()
            }
        };
        let total = (!self.watch).then_some(self.total_bytes.max(done));
        Progress { done, total, unit: ProgressUnit::Bytes }
    }
}

/// The files of a folder as one partition.
struct Sequence {
    name: PartitionName,
    /// All files in the order of reading.
    files: Vec<PathBuf>,
    current: usize,
    /// Reads the current file.
    lane: Option<FileLane>,
    /// Files begun in this epoch.
    started: usize,
    max_files: usize,
    max_record_bytes: usize,
    watch: bool,
    /// Bytes of the files before the current one.
    done_bytes: u64,
}

impl Sequence {
    fn read_bytes(&self) -> u64 {
        let here = self.lane.as_ref().map_or(0, |lane| {
            u64::try_from(lane.position().saturating_sub(base(self.current))).unwrap_or(0)
        });
        self.done_bytes.saturating_add(here)
    }

    fn open(&self, index: usize) -> Result<Option<FileLane>, SourceError> {
        let Some(path) = self.files.get(index) else { return Ok(None) };
        FileLane::open(path.clone(), base(index), false, self.max_record_bytes, BLOCK_BYTES)
            .map(Some)
    }
}

impl Lane for Sequence {
    fn name(&self) -> PartitionName {
        Arc::clone(&self.name)
    }

    fn pull(&mut self, out: &mut Writer<'_>) -> Result<Stop, SourceError> {
        loop {
            if self.lane.is_none() && self.current < self.files.len() {
                if !out.wants(base(self.current)) {
                    return Ok(Stop::Rows);
                }
                if self.started >= self.max_files {
                    return Ok(Stop::NextEpoch);
                }
                self.lane = self.open(self.current)?;
                self.started += 1;
            }
            let Some(lane) = &mut self.lane else {
                return Ok(if self.watch { Stop::Idle } else { Stop::Ended });
            };
            match lane.pull(out)? {
                Stop::Ended => {
                    self.done_bytes = self.read_bytes();
                    self.lane = None;
                    self.current += 1;
                }
                stop => return Ok(stop),
            }
        }
    }

    fn seek(&mut self, position: i64) -> Result<(), SourceError> {
        let index = usize::try_from(position >> OFFSET_BITS).unwrap_or(usize::MAX);
        let mut lane = self.open(index)?;
        match &mut lane {
            Some(lane) => lane.seek(position)?,
            None if position == base(self.files.len()) => {}
            None => {
                return Err(SourceError::BeyondEnd {
                    partition: self.name.to_string(),
                    position,
                    end: base(self.files.len()),
                });
            }
        }
        self.done_bytes = self
            .files
            .iter()
            .take(index)
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|metadata| metadata.len())
            .sum();
        self.lane = lane;
        self.current = index;
        Ok(())
    }

    fn position(&self) -> i64 {
        self.lane.as_ref().map_or_else(|| base(self.current), Lane::position)
    }

    fn finished(&self) -> bool {
        !self.watch && self.current >= self.files.len()
    }
}

/// Returns the position of a file's first byte.
fn base(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX >> OFFSET_BITS) << OFFSET_BITS
}

struct Found {
    modified: SystemTime,
    name: OsString,
    bytes: u64,
}

/// Returns the matching files that are not in `seen`, in order, and the names of all.
fn list(
    folder: &Path,
    pattern: &OsStr,
    seen: &BTreeSet<OsString>,
) -> Result<(Vec<Found>, BTreeSet<OsString>), SourceError> {
    let failed = |error| SourceError::listing(folder, error);
    let mut found = Vec::new();
    let mut present = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !glob::matches_visible(pattern, &name) {
            continue;
        }
        if !seen.contains(&name) {
            // Through links; a file that vanished since, or a broken link, is not there.
            let Ok(metadata) = std::fs::metadata(folder.join(&name)) else { continue };
            if !metadata.is_file() {
                continue;
            }
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(Found { modified, name: name.clone(), bytes: metadata.len() });
        }
        present.insert(name);
    }
    found.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
    Ok((found, present))
}
