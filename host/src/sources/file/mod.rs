//! One or several files, each a partition.
//!
//! Positions are byte offsets of the records' starts. Without `follow` a file is read to its end,
//! and what stands behind its last newline is a record too. With `follow` such a line waits for
//! its newline, and the file is read on as it grows, is rotated or truncated (see `lane`).

mod generation;
mod history;
mod lane;
mod prefix;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) use lane::{FileLane, How};
pub(super) use prefix::Prefix;

use serde::{Deserialize, Serialize};

use self::history::Recorded;
use super::glob;
use super::lane_source::LaneSource;
use super::lanes::{Lane, Lanes};
use super::{
    PartitionState, Progress, ProgressUnit, ReadBudget, ReadOutput, ReadState, SourceError,
    SourceState,
};
use crate::config::model;
use crate::data::SourceId;

/// How often a followed pattern is looked at for new files, in microseconds.
const LOOK_AGAIN_US: i64 = 1_000_000;

/// The memory that the blocks of all files of a source may take together.
const BLOCKS_BYTES: usize = 32 << 20;

/// Files, each a partition.
pub struct FileSource {
    lanes: Lanes<FileLane>,
    /// The patterns to look for again, under `follow`.
    patterns: Vec<PathBuf>,
    known: BTreeSet<PathBuf>,
    looked_us: Option<i64>,
    follow: bool,
    max_record_bytes: usize,
    total_bytes: u64,
}

impl FileSource {
    /// Opens the files of `config`. Relative paths are relative to `folder`; patterns are expanded
    /// in sorted order; a file named twice is read once.
    ///
    /// # Errors
    /// When a file is missing (unless followed), unreadable or not a regular file, or when no file
    /// matches a pattern (unless followed).
    pub fn open(
        config: &model::FileSource,
        id: SourceId,
        folder: &Path,
    ) -> Result<Self, SourceError> {
        let mut source = Self::new(config, id);
        let named = source.expand(config, folder)?;
        if let Some(pattern) = named.without_match.filter(|_| !config.follow) {
            return Err(SourceError::NoMatch { pattern });
        }
        let block_bytes = block_bytes(named.paths.len());
        for path in named.paths {
            source.join(path, block_bytes)?;
        }
        Ok(source)
    }

    /// Opens the files of `config` at the positions of `state`. Others that are there join behind.
    ///
    /// # Errors
    /// As `open`, and when what stood at a position is gone, or a file is another one.
    pub fn resume(
        config: &model::FileSource,
        id: SourceId,
        folder: &Path,
        state: &SourceState,
    ) -> Result<Self, SourceError> {
        let detail = Detail::of(&state.detail)?;
        let mut source = Self::new(config, id);
        let named = source.expand(config, folder)?;
        let block_bytes = block_bytes(named.paths.len().max(state.partitions.len()));
        let mut recorded = detail.files.into_iter();
        for partition in &state.partitions {
            source.rejoin(partition, recorded.next(), &named.paths, block_bytes)?;
        }
        // Partitions that joined after the commit. Their file may have another name by now.
        for file in recorded {
            let position = file.generations.iter().find_map(|one| one.base).unwrap_or(0);
            let partition = PartitionState { name: file.name.clone(), position, finished: false };
            source.rejoin(&partition, Some(file), &named.paths, block_bytes)?;
        }
        for path in named.paths {
            if !source.lanes.iter().any(|lane| lane.reads(&path)) {
                source.join(path, block_bytes)?;
            }
        }
        Ok(source)
    }

    fn new(config: &model::FileSource, id: SourceId) -> Self {
        Self {
            lanes: Lanes::new(id, Vec::new()),
            patterns: Vec::new(),
            known: BTreeSet::new(),
            looked_us: None,
            follow: config.follow,
            max_record_bytes: config.max_record_bytes,
            total_bytes: 0,
        }
    }

    /// Returns the files that `config` names, and remembers its patterns.
    fn expand(&mut self, config: &model::FileSource, folder: &Path) -> Result<Named, SourceError> {
        let mut named = Named { paths: Vec::new(), without_match: None };
        for path in &config.paths {
            let path = folder.join(&path.value);
            // A file that really has a `*` in its name is meant literally.
            if !glob::is_pattern(&path) || path.exists() {
                named.paths.push(path);
                continue;
            }
            let found = expand(&path)?;
            if found.is_empty() {
                named.without_match = Some(path.clone());
            }
            named.paths.extend(found);
            self.patterns.push(path);
        }
        Ok(named)
    }

    fn join(&mut self, path: PathBuf, block_bytes: usize) -> Result<(), SourceError> {
        if !self.known.insert(path.clone()) {
            return Ok(());
        }
        let lane = FileLane::open(path, 0, self.how(block_bytes))?;
        self.add(lane);
        Ok(())
    }

    /// Lets a partition of a checkpoint join again.
    fn rejoin(
        &mut self,
        partition: &PartitionState,
        file: Option<RecordedFile>,
        paths: &[PathBuf],
        block_bytes: usize,
    ) -> Result<(), SourceError> {
        let PartitionState { name, position, finished } = partition;
        let recorded = file.as_ref().map(|file| file.generations.as_slice()).unwrap_or_default();
        let absolute = file.as_ref().map(|file| Path::new(&file.path));
        let how = self.how(block_bytes);
        let Some(path) = self.place(name, absolute, paths) else {
            if !finished {
                return Err(SourceError::NotNamed { partition: name.clone(), position: *position });
            }
            self.add(FileLane::done(PathBuf::from(name), *position, recorded, how));
            return Ok(());
        };
        self.known.insert(path.clone());
        let lane = if *finished {
            FileLane::done(path, *position, recorded, how)
        } else if self.follow && file.is_some() {
            FileLane::follow_on(path, *position, recorded, how)?
        } else {
            let prefix = recorded.first().map(|generation| generation.prefix).unwrap_or_default();
            FileLane::go_on(path, 0, *position, prefix, how)?
        };
        self.add(lane.named(name));
        Ok(())
    }

    /// Returns the path of a partition of a checkpoint, as the pipeline file names it now.
    fn place(&self, name: &str, absolute: Option<&Path>, paths: &[PathBuf]) -> Option<PathBuf> {
        let is_it = |path: &Path| {
            path.display().to_string() == name
                || (absolute.is_some() && std::path::absolute(path).ok().as_deref() == absolute)
        };
        if let Some(path) = paths.iter().find(|path| is_it(path)) {
            return Some(path.clone());
        }
        // A file that matched a pattern need not be there any more.
        let matched = |pattern: &PathBuf| {
            let pattern_now = std::path::absolute(pattern).unwrap_or_default();
            if glob::matches_path(pattern, Path::new(name)) {
                Some(PathBuf::from(name))
            } else {
                absolute.filter(|path| glob::matches_path(&pattern_now, path)).map(Into::into)
            }
        };
        self.patterns.iter().find_map(matched)
    }

    fn add(&mut self, lane: FileLane) {
        self.total_bytes = self.total_bytes.saturating_add(lane.length());
        self.lanes.join(lane);
    }

    fn how(&self, block_bytes: usize) -> How {
        How { follow: self.follow, max_record_bytes: self.max_record_bytes, block_bytes }
    }

    /// Lets new files that match a pattern join. A rotated file that only has a new name does not.
    fn look_again(&mut self, now_us: i64) -> Result<(), SourceError> {
        let due = self.looked_us.is_none_or(|at| now_us.saturating_sub(at) >= LOOK_AGAIN_US);
        if self.patterns.is_empty() || !self.follow || !due {
            return Ok(());
        }
        self.looked_us = Some(now_us);
        for pattern in std::mem::take(&mut self.patterns) {
            let found = expand(&pattern)?;
            self.patterns.push(pattern);
            for path in found {
                if self.known.contains(&path) || self.lanes.iter().any(|lane| lane.reads(&path)) {
                    continue;
                }
                self.join(path, block_bytes(self.known.len()))?;
            }
        }
        Ok(())
    }
}

impl LaneSource for FileSource {
    type Lane = FileLane;

    fn lanes(&self) -> &Lanes<FileLane> {
        &self.lanes
    }

    fn lanes_mut(&mut self) -> &mut Lanes<FileLane> {
        &mut self.lanes
    }

    fn read(
        &mut self,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        self.look_again(now_us)?;
        Ok(match self.lanes.read(budget, now_us, out)? {
            // A pattern that matches nothing yet is not an end.
            ReadState::Ended if self.follow => ReadState::Idle,
            state => state,
        })
    }

    fn detail(&self) -> serde_json::Value {
        let file = |lane: &FileLane| RecordedFile {
            name: lane.name().to_string(),
            path: absolute_text(lane.path()),
            generations: lane.record(),
        };
        let detail = Detail { files: self.lanes.iter().map(file).collect() };
        serde_json::to_value(detail).unwrap_or_default()
    }

    fn progress(&self) -> Progress {
        let done = self.lanes.iter().map(|lane| u64::try_from(lane.position()).unwrap_or(0)).sum();
        let total = (!self.follow).then_some(self.total_bytes.max(done));
        Progress { done, total, unit: ProgressUnit::Bytes }
    }
}

/// What the pipeline file names.
struct Named {
    paths: Vec<PathBuf>,
    /// A pattern that no file matches.
    without_match: Option<PathBuf>,
}

/// What a checkpoint keeps besides names and positions.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail {
    /// In the order of the partitions. There may be more than positions: it can be newer.
    files: Vec<RecordedFile>,
}

/// One path of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedFile {
    /// The partition's name.
    name: String,
    /// The path without regard to the folder the process was started in.
    path: String,
    /// The contents it has had, oldest first.
    generations: Vec<Recorded>,
}

impl Detail {
    fn of(value: &serde_json::Value) -> Result<Self, SourceError> {
        if value.is_null() {
            return Ok(Self::default());
        }
        Self::deserialize(value).map_err(SourceError::Detail)
    }
}

fn absolute_text(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).to_string_lossy().into_owned()
}

fn expand(pattern: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut found =
        glob::expand(pattern).map_err(|(path, error)| SourceError::listing(&path, error))?;
    // A pattern means the files it matches, not the folders beside them.
    found.retain(|path| !path.is_dir());
    Ok(found)
}

/// Returns how much of a file is read at once when `files` files are open.
fn block_bytes(files: usize) -> usize {
    (BLOCKS_BYTES / files.max(1)).clamp(16 << 10, 128 << 10)
}
