//! One or several files, each a partition.
//!
//! Positions are byte offsets of the records' starts. Without `follow` a file is read to its end,
//! and what stands behind its last newline is a record too. With `follow` such a line waits for
//! its newline, and the file is read on as it grows, is rotated or truncated (see `lane`).

mod generation;
mod lane;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) use lane::FileLane;

use super::glob;
use super::lanes::{Lane, Lanes};
use super::{
    PartitionInfo, Progress, ProgressUnit, ReadBudget, ReadOutput, ReadState, Source, SourceError,
};
use crate::config::model;
use crate::data::{Partition, SourceId};

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
        let mut source = Self {
            lanes: Lanes::new(id, Vec::new()),
            patterns: Vec::new(),
            known: BTreeSet::new(),
            looked_us: None,
            follow: config.follow,
            max_record_bytes: config.max_record_bytes,
            total_bytes: 0,
        };
        let mut paths = Vec::new();
        for path in &config.paths {
            let path = folder.join(&path.value);
            // A file that really has a `*` in its name is meant literally.
            if !glob::is_pattern(&path) || path.exists() {
                paths.push(path);
                continue;
            }
            let found = expand(&path)?;
            if found.is_empty() && !config.follow {
                return Err(SourceError::NoMatch { pattern: path });
            }
            paths.extend(found);
            source.patterns.push(path);
        }
        let block_bytes = block_bytes(paths.len());
        for path in paths {
            source.join(path, block_bytes)?;
        }
        Ok(source)
    }

    fn join(&mut self, path: PathBuf, block_bytes: usize) -> Result<(), SourceError> {
        if !self.known.insert(path.clone()) {
            return Ok(());
        }
        let lane = FileLane::open(path, 0, self.follow, self.max_record_bytes, block_bytes)?;
        self.total_bytes = self.total_bytes.saturating_add(lane.length());
        self.lanes.join(lane);
        Ok(())
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

impl Source for FileSource {
    fn partitions(&self) -> &[PartitionInfo] {
        self.lanes.infos()
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

    fn replay(
        &mut self,
        partition: Partition,
        until: i64,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        self.lanes.replay(partition, until, budget, now_us, out)
    }

    fn seek(&mut self, partition: Partition, position: i64) -> Result<(), SourceError> {
        self.lanes.seek(partition, position)
    }

    fn progress(&self) -> Progress {
        let done = self.lanes.iter().map(|lane| u64::try_from(lane.position()).unwrap_or(0)).sum();
        let total = (!self.follow).then_some(self.total_bytes.max(done));
        Progress { done, total, unit: ProgressUnit::Bytes }
    }
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
