//! A lane that goes on where a checkpoint left it.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::generation::Generation;
use super::super::history::{self, Between, Found, Opened, Recorded};
use super::super::prefix::Prefix;
use super::{FileLane, How, io_error};
use crate::sources::SourceError;
use crate::sources::lanes::Lane;

impl FileLane {
    /// Returns a partition that was read to its end: its file is not opened, and need not exist.
    pub fn done(path: PathBuf, position: i64, recorded: &[Recorded], how: How) -> Self {
        let name = Arc::from(path.display().to_string());
        let mut lane = Self::new(path, name, position, how);
        lane.generations = recorded.iter().map(Generation::recorded).collect();
        lane.finished = true;
        lane
    }

    /// Opens a file that was read up to `position` and is not followed. Its first byte has position
    /// `base`; `prefix` is what was read first.
    pub fn go_on(
        path: PathBuf,
        base: i64,
        position: i64,
        prefix: Prefix,
        how: How,
    ) -> Result<Self, SourceError> {
        let mut lane = match Self::open(path.clone(), base, how) {
            Err(SourceError::Missing { .. }) => {
                let lane =
                    Self::new(path.clone(), Arc::from(path.display().to_string()), base, how);
                return Err(lane.gone(position, "the file is no longer there"));
            }
            opened => opened?,
        };
        lane.seek(position)?;
        let file = lane.generations.front().and_then(|generation| generation.file.as_ref());
        if let Some(file) = file
            && !prefix.starts(file).map_err(io_error("read", &path))?
        {
            return Err(SourceError::Replaced { path, position });
        }
        Ok(lane)
    }

    /// Opens a followed path that was read up to `position`, through the generations that a
    /// checkpoint has kept.
    pub fn follow_on(
        path: PathBuf,
        position: i64,
        recorded: &[Recorded],
        how: How,
    ) -> Result<Self, SourceError> {
        let name = Arc::from(path.display().to_string());
        let mut lane = Self::new(path, name, position, how);
        let begun = |generation: &Recorded| generation.base.is_some_and(|base| base <= position);
        let Some(current) = recorded.iter().rposition(begun) else {
            if recorded.is_empty() {
                return Ok(lane);
            }
            return Err(lane.gone(position, "what was there was rotated away too long ago"));
        };
        lane.generations = recorded.iter().map(Generation::recorded).collect();
        lane.current = current;
        let mut newest = None;
        for (index, generation) in recorded.iter().enumerate().skip(current) {
            // A truncation has put another one in between.
            let index = index + lane.generations.len().saturating_sub(recorded.len());
            let at = generation.base.map_or(position, |base| base.max(position));
            if generation.truncated {
                if generation.base == generation.end {
                    continue;
                }
                return Err(lane.gone(at, "the file was truncated since"));
            }
            newest = Some(lane.find(index, at, generation)?);
        }
        if let Some(newest) = newest {
            lane.take_rotated(&newest)?;
        }
        if lane.generations.get(lane.current).is_some_and(|current| current.file.is_some()) {
            lane.seek(position)?;
        }
        Ok(lane)
    }

    /// Opens a recorded generation; what of it is wanted begins at position `at`.
    fn find(&mut self, index: usize, at: i64, wanted: &Recorded) -> Result<Opened, SourceError> {
        let opened = match self.locate(wanted)? {
            Found::File(opened) => opened,
            Found::Truncated(opened) => {
                let read = i64::try_from(wanted.read).unwrap_or(i64::MAX);
                let all = wanted.base.map(|base| base.saturating_add(read)) == Some(at);
                if !all || wanted.end.is_some_and(|end| end != at) {
                    return Err(self.gone(at, "the file was truncated since"));
                }
                tracing::warn!(
                    path = %self.path.display(), position = at,
                    "the file was truncated while it was not watched; its new content follows"
                );
                self.truncated_meanwhile(index, at, &opened)?;
                return Ok(opened);
            }
            Found::Nowhere => {
                return Err(self.gone(at, "the file that was read is no longer there"));
            }
            Found::Several => {
                let reason = "its file was moved, and several files beside it begin alike";
                return Err(self.gone(at, reason));
            }
        };
        let file = opened.file.try_clone().map_err(io_error("open", &opened.path))?;
        if let Some(generation) = self.generations.get_mut(index) {
            generation.reopen(file, &opened.metadata);
        }
        Ok(opened)
    }

    /// Lets the content of a file that was truncated follow what was read of it.
    fn truncated_meanwhile(
        &mut self,
        index: usize,
        at: i64,
        opened: &Opened,
    ) -> Result<(), SourceError> {
        let file = opened.file.try_clone().map_err(io_error("open", &opened.path))?;
        let mut new = Generation::new(file, &opened.metadata);
        new.base = Some(at);
        if let Some(old) = self.generations.get_mut(index) {
            old.truncated = true;
            old.end = Some(at);
        }
        self.generations.insert(index + 1, new);
        if index == self.current {
            self.current += 1;
        }
        Ok(())
    }

    /// Lets files that were rotated away after `newest` wait for their turn.
    fn take_rotated(&mut self, newest: &Opened) -> Result<(), SourceError> {
        let files = match history::between(&self.path, newest, &self.generations)
            .map_err(io_error("look beside", &self.path))?
        {
            Between::Files(files) => files,
            Between::Compressed(path) => {
                return Err(SourceError::Compressed { path, partition: self.name.to_string() });
            }
        };
        for Opened { file, metadata, .. } in files {
            self.generations.push_back(Generation::new(file, &metadata));
        }
        Ok(())
    }

    fn locate(&self, wanted: &Recorded) -> Result<Found, SourceError> {
        history::locate(&self.path, wanted).map_err(io_error("look beside", &self.path))
    }

    /// Returns what a checkpoint must keep of the generations.
    pub fn record(&self) -> Vec<Recorded> {
        let read = |index| if index == self.current { self.offset } else { 0 };
        self.generations
            .iter()
            .enumerate()
            .map(|(index, generation)| generation.record(read(index)))
            .collect()
    }

    /// Opens a generation again that was closed since it was read.
    pub(super) fn reopen(&mut self, index: usize, position: i64) -> Result<(), SourceError> {
        let closed = self.generations.get(index).filter(|generation| {
            generation.file.is_none() && !generation.truncated && generation.base != generation.end
        });
        if let Some(recorded) = closed.map(|generation| generation.record(0)) {
            self.find(index, position, &recorded)?;
        }
        Ok(())
    }
}
