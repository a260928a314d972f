//! The state of count windows: every `rows` rows of a key, in the order of merging.
//!
//! The engine merges in (partition, chunk) order, which makes the order of rows. A window that
//! the end of the input cuts short is not emitted in append mode.

#![expect(
    clippy::indexing_slicing,
    reason = "ids and groups are numbered here and index columns of their own table"
)]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::take;

use super::aggregate::{Aggregate, RowOrder};
use super::error::WindowError;
use super::fire::{Fired, Rows, Trigger};
use super::key_table::{KeyTable, Shard};
use super::order::{key_columns, permutation};
use super::partial::RowPartial;
use super::spec::Window;
use super::{NONE, number};
use crate::config::model::OutputMode;
use crate::data::NO_TIME;

/// One window; its number is its group in the aggregates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    pub(super) key: u32,
    pub(super) rows: u64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) changed: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct CountState {
    window: Arc<Window>,
    shard: Shard,
    rows: u64,
    pub(super) keys: KeyTable,
    /// The open window of each key.
    pub(super) open: Vec<u32>,
    pub(super) windows: Vec<Filling>,
    /// Full windows, in the order in which they filled.
    full: Vec<u32>,
    free: Vec<u32>,
    pub(super) aggregates: Vec<Box<dyn Aggregate>>,
    pub(super) trigger: Trigger,
    /// Rows of any shard came since complete mode last emitted.
    pub(super) touched: bool,
}

impl CountState {
    pub(super) fn new(window: Arc<Window>, shard: Shard, rows: u64) -> Self {
        Self {
            shard,
            rows,
            keys: window.keys(),
            open: Vec::new(),
            windows: Vec::new(),
            full: Vec::new(),
            free: Vec::new(),
            aggregates: window.aggregates(),
            trigger: Trigger::new(window.spec.trigger_us),
            touched: false,
            window,
        }
    }

    /// Adds the rows whose keys the shard owns.
    pub(super) fn merge(&mut self, partial: &RowPartial) -> Result<(), WindowError> {
        self.touched = true;
        let mut ids = vec![NONE; partial.keys.len()];
        let (mut rows, mut groups) = (Vec::new(), Vec::new());
        for (row, key) in partial.key.iter().enumerate() {
            if *key == NONE || !self.shard.owns(partial.keys.hash(*key)) {
                continue;
            }
            let id = &mut ids[*key as usize];
            if *id == NONE {
                *id = self.keys.intern_from(&partial.keys, *key);
            }
            rows.push(number(row));
            groups.push(self.place(*id, partial.time[row]));
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.aggregates.iter_mut().for_each(|a| a.resize(self.windows.len()));
        if rows.len() == partial.key.len() {
            return self.update(partial, &groups, &partial.arguments, &partial.filters, None);
        }
        let taken = UInt32Array::from(rows);
        let some = |column: &ArrayRef| take(column, &taken, None);
        let arguments = partial
            .arguments
            .iter()
            .map(|columns| columns.iter().map(some).collect::<Result<Vec<_>, _>>())
            .collect::<Result<Vec<_>, _>>()?;
        let filters = partial
            .filters
            .iter()
            .map(|filter| {
                let Some(filter) = filter else { return Ok(None) };
                Ok(Some(take(filter, &taken, None)?.as_boolean().clone()))
            })
            .collect::<Result<Vec<_>, WindowError>>()?;
        self.update(partial, &groups, &arguments, &filters, Some(taken.values()))
    }

    fn update(
        &mut self,
        partial: &RowPartial,
        groups: &[u32],
        arguments: &[Vec<ArrayRef>],
        filters: &[Option<BooleanArray>],
        rows: Option<&[u32]>,
    ) -> Result<(), WindowError> {
        let some = |column: &[i64]| match rows {
            None => column.to_vec(),
            Some(rows) => rows.iter().map(|row| column[*row as usize]).collect(),
        };
        let (time, partition, position) =
            (some(&partial.time), some(&partial.partition), some(&partial.position));
        let order = RowOrder { time: &time, partition: &partition, position: &position };
        for (at, aggregate) in self.aggregates.iter_mut().enumerate() {
            aggregate.update(groups, &arguments[at], filters[at].as_ref(), order)?;
        }
        Ok(())
    }

    /// Returns the window that takes the key's next row.
    fn place(&mut self, key: u32, time: i64) -> u32 {
        self.open.resize(self.keys.len(), NONE);
        let mut at = self.open[key as usize];
        if at == NONE {
            let fresh = Filling { key, rows: 0, first: time, last: time, changed: true };
            at = match self.free.pop() {
                Some(at) => {
                    self.windows[at as usize] = fresh;
                    at
                }
                None => {
                    self.windows.push(fresh);
                    number(self.windows.len()) - 1
                }
            };
            self.open[key as usize] = at;
        }
        let window = &mut self.windows[at as usize];
        window.rows += 1;
        window.first = window.first.min(time);
        window.last = window.last.max(time);
        window.changed = true;
        if window.rows >= self.rows {
            self.full.push(at);
            self.open[key as usize] = NONE;
        }
        at
    }

    /// Emits full windows, and open ones as the output mode says.
    pub(super) fn advance(
        &mut self,
        watermark: i64,
        now_us: i64,
    ) -> Result<Vec<Fired>, WindowError> {
        let at_end = watermark == i64::MAX;
        let due = match self.window.spec.output {
            OutputMode::Append => false,
            _ => self.trigger.due(now_us, at_end),
        };
        let mut emitted = self.full.clone();
        let open = self.open.iter().copied().filter(|at| *at != NONE);
        match self.window.spec.output {
            OutputMode::Append => {}
            OutputMode::Update if due => {
                emitted.extend(open.filter(|at| self.windows[*at as usize].changed));
            }
            OutputMode::Complete if due && self.touched => emitted.extend(open),
            OutputMode::Update | OutputMode::Complete => {}
        }
        self.touched &= !due;
        let fired = self.emit(&emitted)?;
        emitted.iter().for_each(|at| self.windows[*at as usize].changed = false);
        if !self.full.is_empty() {
            self.aggregates.iter_mut().for_each(|aggregate| aggregate.clear(&self.full));
            self.free.append(&mut self.full);
        }
        Ok(fired)
    }

    fn emit(&self, windows: &[u32]) -> Result<Vec<Fired>, WindowError> {
        if windows.is_empty() {
            return Ok(vec![]);
        }
        let of = |at: &u32| &self.windows[*at as usize];
        let ids: Vec<u32> = windows.iter().map(|at| of(at).key).collect();
        let order = permutation(&self.window, &self.keys, &ids, None)?;
        let rows: Vec<u32> = order.iter().map(|at| windows[*at as usize]).collect();
        let ids: Vec<u32> = rows.iter().map(|at| of(at).key).collect();
        let starts = rows.iter().map(|at| of(at).first).collect();
        let ends = rows.iter().map(|at| of(at).last.saturating_add(1)).collect();
        let aggregates =
            self.aggregates.iter().map(|a| a.evaluate(&rows)).collect::<Result<Vec<_>, _>>()?;
        let fired = self.window.fired(Rows {
            bounds: Some((starts, ends)),
            time: NO_TIME,
            keys: key_columns(&self.window, &self.keys, &ids)?,
            aggregates,
            count: rows.len(),
            window_end: None,
            revision: 0,
        })?;
        Ok(vec![fired])
    }

    pub(super) fn open_windows(&self) -> usize {
        self.windows.len() - self.free.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.keys.memory_bytes()
            + (self.open.capacity() + self.full.capacity() + self.free.capacity()) * 4
            + self.windows.capacity() * size_of::<Filling>()
            + self.aggregates.iter().map(|a| a.memory_bytes()).sum::<usize>()
    }

    /// Puts an open window read from a checkpoint in place.
    pub(super) fn load(
        &mut self,
        filling: Filling,
        row: u32,
        aggregates: &[Box<dyn Aggregate>],
    ) -> Result<(), WindowError> {
        let at = number(self.windows.len());
        self.windows.push(filling);
        self.open.resize(self.keys.len(), NONE);
        self.open[filling.key as usize] = at;
        for (mine, its) in self.aggregates.iter_mut().zip(aggregates) {
            mine.resize(self.windows.len());
            mine.merge(its.as_ref(), &[row], &[at])?;
        }
        Ok(())
    }
}
