//! The state of tumbling, sliding and global windows.
//!
//! One interner holds the keys of all slices, so that merging slices into a window looks nothing
//! up by hash. Each slice holds the groups of its keys and one aggregate state per group. A key
//! counts the slices that hold it; when most keys are held by none, the interner is rebuilt.

#![expect(
    clippy::indexing_slicing,
    reason = "ids and groups are numbered here and index columns of their own table"
)]

mod frame;
mod slice;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::frame::{Frame, NEVER};
use self::slice::{Index, Slice, merge_slices};
use super::aggregate::Aggregate;
use super::error::WindowError;
use super::fire::{Fired, Rows, Trigger};
use super::key_table::{KeyTable, Shard};
use super::lateness::passed;
use super::order::{key_columns, permutation};
use super::partial::{SliceKey, SlicePartial};
use super::spec::Window;
use super::{NONE, number};
use crate::config::model::OutputMode;
use crate::data::NO_TIME;

/// See the module.
#[derive(Debug)]
pub(super) struct SlicedState {
    window: Arc<Window>,
    shard: Shard,
    frame: Frame,
    pub(super) keys: KeyTable,
    /// How many slices hold each key.
    uses: Vec<u32>,
    unused: usize,
    pub(super) slices: BTreeMap<SliceKey, Slice>,
    /// Windows that end at or before this have fired.
    pub(super) fired_to: i64,
    /// Latest event time seen.
    pub(super) max_time: i64,
    /// Windows to revise at the next advance, of any shard.
    pub(super) revised: BTreeSet<i64>,
    /// Number of the latest revision of windows that have fired and are kept.
    pub(super) revisions: BTreeMap<i64, u32>,
    /// Keys changed since they were last looked at, by slice.
    changed: BTreeMap<SliceKey, Vec<u32>>,
    /// Rows of any shard came since complete mode last emitted.
    pub(super) touched: bool,
    /// Keys to emit, by window end.
    pub(super) pending: BTreeMap<i64, Vec<u32>>,
    pub(super) trigger: Trigger,
    /// From key to group while a window is put together.
    scratch: Vec<u32>,
}

impl SlicedState {
    pub(super) fn new(window: Arc<Window>, shard: Shard) -> Self {
        Self {
            shard,
            frame: window.slicing.map_or(Frame::Global, Frame::Aligned),
            keys: window.keys(),
            uses: Vec::new(),
            unused: 0,
            slices: BTreeMap::new(),
            fired_to: NO_TIME,
            max_time: NO_TIME,
            revised: BTreeSet::new(),
            revisions: BTreeMap::new(),
            changed: BTreeMap::new(),
            touched: false,
            pending: BTreeMap::new(),
            trigger: Trigger::new(window.spec.trigger_us),
            scratch: Vec::new(),
            window,
        }
    }

    /// Adds the groups of a partial whose keys the shard owns.
    pub(super) fn merge(
        &mut self,
        partial: &SlicePartial,
        max_time: i64,
    ) -> Result<(), WindowError> {
        self.max_time = self.max_time.max(max_time);
        self.touched = true;
        let mut ids = vec![NONE; partial.keys.len()];
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        for (slice_key, groups) in &partial.slices {
            self.note_revisions(slice_key);
            let window = &self.window;
            let slice = self.slices.entry(*slice_key).or_insert_with(|| Slice::new(window));
            rows.clear();
            targets.clear();
            let track = match window.spec.output {
                OutputMode::Append => {
                    window.spec.allowed_lateness_us > 0
                        && self.frame.ends(slice_key).0 <= self.fired_to
                }
                OutputMode::Update => true,
                OutputMode::Complete => false,
            };
            let mut changed = Vec::new();
            for group in groups {
                let key = partial.group_key[*group as usize];
                if !self.shard.owns(partial.keys.hash(key)) {
                    continue;
                }
                let id = &mut ids[key as usize];
                if *id == NONE {
                    *id = self.keys.intern_from(&partial.keys, key);
                    if self.uses.len() < self.keys.len() {
                        self.uses.resize(self.keys.len(), 0);
                        self.unused += 1;
                    }
                }
                let mut target = slice.index.get(*id);
                if target == NONE {
                    target = number(slice.keys.len());
                    slice.index.set(*id, target);
                    slice.keys.push(*id);
                    let uses = &mut self.uses[*id as usize];
                    self.unused -= usize::from(*uses == 0);
                    *uses += 1;
                }
                rows.push(*group);
                targets.push(target);
                if track {
                    changed.push(*id);
                }
            }
            if slice.keys.is_empty() {
                self.slices.remove(slice_key);
                continue;
            }
            for (mine, its) in slice.aggregates.iter_mut().zip(&partial.aggregates) {
                mine.resize(slice.keys.len());
                mine.merge(its.as_ref(), &rows, &targets)?;
            }
            if !changed.is_empty() {
                self.changed.entry(*slice_key).or_default().append(&mut changed);
            }
        }
        Ok(())
    }

    /// Notes which windows a slice revises. The same in every shard, as it looks at no key.
    fn note_revisions(&mut self, key: &SliceKey) {
        if self.window.spec.output != OutputMode::Append
            || self.window.spec.allowed_lateness_us == 0
        {
            return;
        }
        let (first, last) = self.frame.ends(key);
        let fired_or_past = self.fired_to.max(key.on_time_from.saturating_sub(1));
        self.revised.extend(self.frame.each_end(first, last.min(fired_or_past)));
    }

    /// Emits what is due and frees what is over.
    pub(super) fn advance(
        &mut self,
        watermark: i64,
        now_us: i64,
    ) -> Result<Vec<Fired>, WindowError> {
        let watermark = watermark.max(self.fired_to);
        let fired = match self.window.spec.output {
            OutputMode::Append => self.append(watermark)?,
            OutputMode::Update => self.update(watermark, now_us)?,
            OutputMode::Complete => self.complete(watermark, now_us)?,
        };
        self.fired_to = watermark;
        if self.window.spec.output != OutputMode::Complete || watermark == NEVER {
            self.free(watermark);
            self.compact();
        }
        Ok(fired)
    }

    fn append(&mut self, watermark: i64) -> Result<Vec<Fired>, WindowError> {
        let keeps = self.window.spec.allowed_lateness_us > 0;
        self.expand_changed(self.fired_to);
        let mut fired = Vec::new();
        let mut cursor = self.fired_to;
        while let Some(end) = self.next_window(cursor).filter(|end| *end <= watermark) {
            fired.extend(self.gather(end, None, true, 0)?);
            cursor = end;
            if keeps {
                let late: Vec<u32> = self
                    .slices
                    .range(self.frame.slices_of(end))
                    .filter(|(key, _)| key.min_end <= end && end < key.on_time_from)
                    .flat_map(|(_, slice)| slice.keys.iter().copied())
                    .collect();
                if !late.is_empty() {
                    self.pending.entry(end).or_default().extend(late);
                }
            } else {
                self.free(end);
            }
        }
        if keeps {
            let due: Vec<i64> = self.revised.range(..=watermark).copied().collect();
            for end in due {
                self.revised.remove(&end);
                let revision = self.revisions.entry(end).or_default();
                *revision += 1;
                let revision = *revision;
                if let Some(keys) = self.pending.remove(&end) {
                    fired.extend(self.gather(end, Some(keys), false, revision)?);
                }
            }
            let allowed = self.window.spec.allowed_lateness_us;
            self.revisions.retain(|end, _| !passed(*end, allowed, watermark));
            self.pending.retain(|end, _| !passed(*end, allowed, watermark));
            fired.sort_by_key(|fired| (fired.window_end, fired.revision));
        }
        Ok(fired)
    }

    fn update(&mut self, watermark: i64, now_us: i64) -> Result<Vec<Fired>, WindowError> {
        self.expand_changed(i64::MAX);
        let due = self.trigger.due(now_us, watermark == NEVER);
        let allowed = self.window.spec.allowed_lateness_us;
        let ends: Vec<i64> = self
            .pending
            .keys()
            .copied()
            .filter(|end| due || passed(*end, allowed, watermark))
            .collect();
        let mut fired = Vec::new();
        for end in ends {
            if let Some(keys) = self.pending.remove(&end) {
                fired.extend(self.gather(end, Some(keys), false, 0)?);
            }
        }
        Ok(fired)
    }

    fn complete(&mut self, watermark: i64, now_us: i64) -> Result<Vec<Fired>, WindowError> {
        let due = self.trigger.due(now_us, watermark == NEVER);
        if !due || !self.touched {
            return Ok(vec![]);
        }
        self.touched = false;
        let mut fired = Vec::new();
        let mut cursor = NO_TIME;
        while let Some(end) = self.next_window(cursor) {
            fired.extend(self.gather(end, None, false, 0)?);
            cursor = end;
        }
        Ok(fired)
    }

    /// Moves changed keys from slices to the windows (up to `to`) that hold them.
    pub(super) fn expand_changed(&mut self, to: i64) {
        for (key, ids) in std::mem::take(&mut self.changed) {
            let (first, last) = self.frame.ends(&key);
            for end in self.frame.each_end(first, last.min(to)) {
                self.pending.entry(end).or_default().extend(&ids);
            }
        }
        for ids in self.pending.values_mut() {
            ids.sort_unstable();
            ids.dedup();
        }
    }

    /// Returns the end of the first window after `cursor` that holds a slice.
    pub(super) fn next_window(&self, cursor: i64) -> Option<i64> {
        let next = self.frame.next_end(cursor);
        let mut least = None;
        for key in self.slices.range(self.frame.first_slice_after(cursor)..).map(|(key, _)| key) {
            // A window ends after each of its slices starts.
            if least.is_some_and(|least| key.start >= least) {
                break;
            }
            let (first, last) = self.frame.ends(key);
            let first = first.max(next);
            if last > cursor && first <= last {
                least = Some(least.map_or(first, |least: i64| least.min(first)));
            }
        }
        least
    }

    /// Counts the windows that hold rows and have not fired.
    pub(super) fn open_windows(&self) -> usize {
        let mut cursor = self.fired_to;
        let mut open = 0;
        while let Some(end) = self.next_window(cursor) {
            open += 1;
            cursor = end;
        }
        open
    }

    /// Puts a window together: all keys, or some.
    fn gather(
        &mut self,
        end: i64,
        mut keys: Option<Vec<u32>>,
        first_firing: bool,
        revision: u32,
    ) -> Result<Option<Fired>, WindowError> {
        if let Some(keys) = &mut keys {
            keys.sort_unstable();
            keys.dedup();
        }
        let taken: Vec<&Slice> = self
            .slices
            .range(self.frame.slices_of(end))
            .filter(|(key, _)| key.min_end <= end && (!first_firing || key.on_time_from <= end))
            .map(|(_, slice)| slice)
            .collect();
        match (taken.as_slice(), keys) {
            ([], _) => Ok(None),
            ([slice], None) => {
                let rows: Vec<u32> = (0..number(slice.keys.len())).collect();
                self.emit(end, &slice.keys, &rows, &slice.aggregates, revision).map(Some)
            }
            ([slice], Some(keys)) => {
                let mut rows: Vec<u32> = keys.iter().map(|key| slice.index.get(*key)).collect();
                rows.retain(|row| *row != NONE);
                let ids: Vec<u32> = rows.iter().map(|row| slice.keys[*row as usize]).collect();
                if ids.is_empty() {
                    return Ok(None);
                }
                self.emit(end, &ids, &rows, &slice.aggregates, revision).map(Some)
            }
            (slices, keys) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let merged =
                    merge_slices(&self.window, slices, keys, self.keys.len(), &mut scratch);
                let fired = merged.and_then(|(ids, aggregates)| {
                    if ids.is_empty() {
                        return Ok(None);
                    }
                    let rows: Vec<u32> = (0..number(ids.len())).collect();
                    self.emit(end, &ids, &rows, &aggregates, revision).map(Some)
                });
                self.scratch = scratch;
                fired
            }
        }
    }

    fn emit(
        &self,
        end: i64,
        ids: &[u32],
        rows: &[u32],
        aggregates: &[Box<dyn Aggregate>],
        revision: u32,
    ) -> Result<Fired, WindowError> {
        let window = &self.window;
        let order = permutation(window, &self.keys, ids, None)?;
        let ids: Vec<u32> = order.iter().map(|at| ids[*at as usize]).collect();
        let rows: Vec<u32> = order.iter().map(|at| rows[*at as usize]).collect();
        let count = ids.len();
        let (bounds, window_end) = match self.frame {
            Frame::Aligned(slicing) => {
                (Some((vec![end - slicing.size; count], vec![end; count])), Some(end))
            }
            Frame::Global => (None, None),
        };
        let columns =
            aggregates.iter().map(|a| a.evaluate(&rows)).collect::<Result<Vec<_>, _>>()?;
        window.fired(Rows {
            bounds,
            time: self.max_time,
            keys: key_columns(window, &self.keys, &ids)?,
            aggregates: columns,
            count,
            window_end,
            revision,
        })
    }

    /// Drops slices that no window needs any more.
    fn free(&mut self, watermark: i64) {
        let allowed = self.window.spec.allowed_lateness_us;
        while let Some(entry) = self.slices.first_entry() {
            let (_, last) = self.frame.ends(entry.key());
            if !passed(last, allowed, watermark) {
                break;
            }
            for key in &entry.remove().keys {
                let uses = &mut self.uses[*key as usize];
                *uses -= 1;
                self.unused += usize::from(*uses == 0);
            }
        }
    }

    /// Rebuilds the interner when most of its keys are in no slice.
    fn compact(&mut self) {
        let few = self.unused * 2 <= self.keys.len() || self.unused < 1024;
        if few && !self.slices.is_empty() || self.keys.len() == 0 {
            return;
        }
        if !self.changed.is_empty() || !self.pending.is_empty() {
            return;
        }
        let mut kept = self.keys.fresh();
        let mut uses = Vec::new();
        let mut renamed = vec![NONE; self.keys.len()];
        for (id, count) in self.uses.iter().enumerate() {
            if *count > 0 {
                renamed[id] = kept.intern_from(&self.keys, number(id));
                uses.push(*count);
            }
        }
        for slice in self.slices.values_mut() {
            slice.index = Index::default();
            for (group, key) in slice.keys.iter_mut().enumerate() {
                *key = renamed[*key as usize];
                slice.index.set(*key, number(group));
            }
        }
        self.keys = kept;
        self.uses = uses;
        self.unused = 0;
        self.scratch = Vec::new();
    }

    /// Puts groups read from a checkpoint into a slice.
    pub(super) fn load(
        &mut self,
        slice_key: SliceKey,
        ids: &[u32],
        rows: &[u32],
        aggregates: &[Box<dyn Aggregate>],
    ) -> Result<(), WindowError> {
        let added = self.keys.len().saturating_sub(self.uses.len());
        self.uses.resize(self.keys.len(), 0);
        self.unused += added;
        let window = &self.window;
        let slice = self.slices.entry(slice_key).or_insert_with(|| Slice::new(window));
        let mut targets = Vec::with_capacity(ids.len());
        for id in ids {
            let mut target = slice.index.get(*id);
            if target == NONE {
                target = number(slice.keys.len());
                slice.index.set(*id, target);
                slice.keys.push(*id);
                let uses = &mut self.uses[*id as usize];
                self.unused -= usize::from(*uses == 0);
                *uses += 1;
            }
            targets.push(target);
        }
        for (mine, its) in slice.aggregates.iter_mut().zip(aggregates) {
            mine.resize(slice.keys.len());
            mine.merge(its.as_ref(), rows, &targets)?;
        }
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let slices = self.slices.values().map(|slice| {
            slice.keys.capacity() * 4
                + slice.index.memory_bytes()
                + slice.aggregates.iter().map(|a| a.memory_bytes()).sum::<usize>()
        });
        let lists = self.pending.values().chain(self.changed.values());
        self.keys.memory_bytes()
            + self.uses.capacity() * 4
            + self.scratch.capacity() * 4
            + slices.sum::<usize>()
            + lists.map(|ids| ids.capacity() * 4).sum::<usize>()
    }
}
