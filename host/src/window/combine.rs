//! `combine`: a batch to a partial, and which of its rows are late.
//!
//! Keys are interned once for the batch; a group is a (slice, key) pair. Rows that no window
//! takes go to a group of their own that nobody merges, so that no column has to be filtered.

#![expect(
    clippy::indexing_slicing,
    reason = "all columns have the length checked at the top; groups and slices are numbered here"
)]

use arrow::array::{Array, Int64Array};
use arrow::compute::{max, min};
use hashbrown::HashMap;

use super::aggregate::{Aggregate, RowOrder};
use super::error::WindowError;
use super::input::{Combined, LateRow, PartitionTime, WindowInput};
use super::key_table::KeyTable;
use super::lateness::passed;
use super::partial::{Body, Partial, RowPartial, SessionPartial, SliceKey, SlicePartial};
use super::slices::Slicing;
use super::spec::Window;
use super::values::canonical;
use super::{NONE, TIME_LIMIT, number};
use crate::config::model::WindowKind;
use crate::data::{NO_TIME, PartitionRef};

/// What is found out about a batch's rows before they are aggregated.
#[derive(Default)]
struct Findings {
    late: Vec<LateRow>,
    without_time: Vec<u32>,
}

impl Window {
    /// Pre-aggregates a batch.
    ///
    /// # Errors
    /// When columns are missing, or have another type or length than specified.
    pub fn combine(
        &self,
        input: &WindowInput,
        time: &PartitionTime,
    ) -> Result<Combined, WindowError> {
        let rows = input.time.len();
        self.check(input, rows)?;
        let mut found = Findings::default();
        if rows == 0 {
            return Ok(done(Body::Empty, NO_TIME, 0, found));
        }
        let keys = input.keys.iter().map(canonical).collect::<Result<Vec<_>, _>>()?;
        let times = times(&input.time);
        let mut table = self.keys();
        let ids = table.intern(&keys, rows, None)?;
        let batch = Batch { input, times: &times, time: *time, ids, table };
        let body = match self.spec.kind {
            WindowKind::Count { .. } => batch.rows(&mut found)?,
            WindowKind::Session { gap_us } => batch.sessions(self, gap_us, &mut found)?,
            _ => batch.slices(self, &mut found)?,
        };
        let dropped = found.without_time.len()
            + found.late.iter().filter(|late| late.windows_kept == 0).count();
        let timed = times.iter().copied().filter(|time| in_range(*time));
        let max_time = timed.max().unwrap_or(NO_TIME);
        Ok(done(body, max_time, rows - dropped, found))
    }

    fn check(&self, input: &WindowInput, rows: usize) -> Result<(), WindowError> {
        let same = |what, expected: usize, found: usize| {
            if expected == found {
                Ok(())
            } else {
                Err(WindowError::Shape { what, expected, found })
            }
        };
        same("rows of positions", rows, input.position.len())?;
        same("rows of earlier maxima", rows, input.max_before.len())?;
        same("key columns", self.key_kinds.len(), input.keys.len())?;
        same("aggregates' arguments", self.spec.aggregates.len(), input.arguments.len())?;
        same("aggregates' filters", self.spec.aggregates.len(), input.filters.len())?;
        for column in input.keys.iter().chain(input.arguments.iter().flatten()) {
            same("rows of a column", rows, column.len())?;
        }
        for filter in input.filters.iter().flatten() {
            same("rows of a filter", rows, filter.len())?;
        }
        Ok(())
    }
}

fn done(body: Body, max_time: i64, rows: usize, found: Findings) -> Combined {
    Combined {
        partial: Partial { body, max_time, rows },
        late: found.late,
        without_time: found.without_time,
    }
}

fn in_range(time: i64) -> bool {
    (-TIME_LIMIT..=TIME_LIMIT).contains(&time)
}

/// Returns the event times with `NO_TIME` where they are null.
fn times(time: &Int64Array) -> std::borrow::Cow<'_, [i64]> {
    if time.null_count() == 0 {
        return std::borrow::Cow::Borrowed(time.values());
    }
    std::borrow::Cow::Owned(time.iter().map(|t| t.unwrap_or(NO_TIME)).collect())
}

/// Returns a partition as one number.
pub(super) fn partition_number(from: Option<PartitionRef>) -> i64 {
    from.map_or(-1, |from| i64::from(from.source.0) << 32 | i64::from(from.partition.0))
}

struct Batch<'a> {
    input: &'a WindowInput,
    times: &'a [i64],
    time: PartitionTime,
    ids: Vec<u32>,
    table: KeyTable,
}

impl Batch<'_> {
    /// Returns whether all rows have a usable time, and whether some window of some row may have
    /// ended before the row came.
    fn bounds(&self) -> (bool, bool) {
        let latest = max(&self.input.max_before).unwrap_or(NO_TIME);
        let watermark = self.time.watermark(latest);
        let first = min(&self.input.time).unwrap_or(NO_TIME);
        let last = max(&self.input.time).unwrap_or(NO_TIME);
        let timed = self.input.time.null_count() == 0 && in_range(first) && in_range(last);
        // Every window of a row ends after its event time.
        let may_be_past = !timed || first < watermark;
        (timed, may_be_past)
    }

    fn aggregate(
        &self,
        window: &Window,
        groups: &[u32],
        count: usize,
    ) -> Result<Vec<Box<dyn Aggregate>>, WindowError> {
        let partition = vec![partition_number(self.input.from); self.times.len()];
        let order = RowOrder {
            time: self.times,
            partition: &partition,
            position: self.input.position.values(),
        };
        let mut aggregates = window.aggregates();
        for (at, aggregate) in aggregates.iter_mut().enumerate() {
            aggregate.resize(count);
            let filter = self.input.filters[at].as_ref();
            aggregate.update(groups, &self.input.arguments[at], filter, order)?;
            aggregate.seal();
        }
        Ok(aggregates)
    }

    fn slices(self, window: &Window, found: &mut Findings) -> Result<Body, WindowError> {
        let allowed = window.spec.allowed_lateness_us;
        let mut numbers = SliceNumbers::default();
        let mut slices = vec![NONE; self.times.len()];
        match window.slicing {
            None => {
                for (row, slice) in slices.iter_mut().enumerate() {
                    if in_range(self.times[row]) {
                        *slice = numbers.of(SliceKey::normal(0));
                    } else {
                        found.without_time.push(number(row));
                    }
                }
            }
            Some(slicing) => {
                let (timed, may_be_past) = self.bounds();
                if timed && !may_be_past {
                    numbers.all(&slicing, self.times, &mut slices);
                } else {
                    self.slices_one_by_one(&slicing, allowed, &mut numbers, &mut slices, found);
                }
            }
        }
        let (groups, group_key, group_lists) = self.groups(&slices, numbers.keys.len());
        let aggregates = self.aggregate(window, &groups, group_key.len())?;
        let slices = numbers.keys.into_iter().zip(group_lists).collect();
        Ok(Body::Slices(SlicePartial { keys: self.table, group_key, slices, aggregates }))
    }

    /// Finds each row's slice where some may be late or have no time.
    fn slices_one_by_one(
        &self,
        slicing: &Slicing,
        allowed: i64,
        numbers: &mut SliceNumbers,
        slices: &mut [u32],
        found: &mut Findings,
    ) {
        let before = self.input.max_before.values();
        for (row, slice) in slices.iter_mut().enumerate() {
            let time = self.times[row];
            if !in_range(time) {
                found.without_time.push(number(row));
                continue;
            }
            let watermark = self.time.watermark(before[row]);
            if watermark == NO_TIME || time >= watermark {
                *slice = numbers.of_time(slicing, time);
                continue;
            }
            let start = slicing.slice_of(time);
            let (first, last) = (slicing.first_end(start), slicing.last_end(start));
            if last < first {
                continue;
            }
            // The first end that is still open, and the first that has not been reached.
            let taken = first_open(slicing, first, watermark.saturating_sub(allowed));
            let on_time = first_open(slicing, first, watermark);
            if taken > first {
                let dropped_last = (taken - slicing.slide).min(last);
                let count = |from: i64, to: i64| {
                    u32::try_from((to - from) / slicing.slide + 1).unwrap_or(u32::MAX)
                };
                found.late.push(LateRow {
                    row: number(row),
                    watermark,
                    windows_dropped: count(first, dropped_last),
                    windows_kept: if taken > last { 0 } else { count(taken, last) },
                    first_dropped_start: first - slicing.size,
                    last_dropped_start: dropped_last - slicing.size,
                });
            }
            if taken > last {
                continue;
            }
            let bound = |end: i64| if end > first { end } else { i64::MIN };
            let key = SliceKey { start, min_end: bound(taken), on_time_from: bound(on_time) };
            *slice = numbers.of(key);
        }
    }

    /// Numbers the (slice, key) pairs: each row's group, each group's key, each slice's groups.
    fn groups(&self, slices: &[u32], count: usize) -> (Vec<u32>, Vec<u32>, Vec<Vec<u32>>) {
        let keys = self.table.len();
        if count == 1 && !slices.contains(&NONE) {
            let all: Vec<u32> = (0..number(keys)).collect();
            return (self.ids.clone(), all.clone(), vec![all]);
        }
        let mut group_key = Vec::new();
        let mut lists = vec![Vec::new(); count];
        let mut nobody = NONE;
        let mut dense = vec![NONE; if count * keys <= 8 * slices.len() { count * keys } else { 0 }];
        let mut sparse: HashMap<(u32, u32), u32> = HashMap::new();
        let mut groups = Vec::with_capacity(slices.len());
        for (slice, id) in slices.iter().zip(&self.ids) {
            if *slice == NONE {
                if nobody == NONE {
                    nobody = number(group_key.len());
                    group_key.push(NONE);
                }
                groups.push(nobody);
                continue;
            }
            let held = if dense.is_empty() {
                sparse.entry((*slice, *id)).or_insert(NONE)
            } else {
                &mut dense[*slice as usize * keys + *id as usize]
            };
            if *held == NONE {
                *held = number(group_key.len());
                group_key.push(*id);
                lists[*slice as usize].push(*held);
            }
            groups.push(*held);
        }
        (groups, group_key, lists)
    }

    fn sessions(
        self,
        window: &Window,
        gap: i64,
        found: &mut Findings,
    ) -> Result<Body, WindowError> {
        let before = self.input.max_before.values();
        let mut taken: Vec<(u32, i64, u32)> = Vec::with_capacity(self.times.len());
        for (row, &time) in self.times.iter().enumerate() {
            if !in_range(time) {
                found.without_time.push(number(row));
                continue;
            }
            let watermark = self.time.watermark(before[row]);
            if watermark != NO_TIME && passed(time, 0, watermark) {
                found.late.push(LateRow {
                    row: number(row),
                    watermark,
                    windows_dropped: 1,
                    windows_kept: 0,
                    first_dropped_start: time,
                    last_dropped_start: time,
                });
                continue;
            }
            taken.push((self.ids[row], time, number(row)));
        }
        taken.sort_unstable();
        let (mut key, mut start, mut last) = (Vec::new(), Vec::new(), Vec::<i64>::new());
        let mut groups = vec![NONE; self.times.len()];
        for (id, time, row) in taken {
            let joins = key.last() == Some(&id) && last.last().is_some_and(|l| time - l < gap);
            if joins {
                if let Some(last) = last.last_mut() {
                    *last = time;
                }
            } else {
                key.push(id);
                start.push(time);
                last.push(time);
            }
            groups[row as usize] = number(key.len()) - 1;
        }
        // Rows that no session takes go to one more group.
        let nobody = number(key.len());
        groups.iter_mut().filter(|group| **group == NONE).for_each(|group| *group = nobody);
        let aggregates = self.aggregate(window, &groups, key.len() + 1)?;
        Ok(Body::Sessions(SessionPartial { keys: self.table, key, start, last, aggregates }))
    }

    fn rows(self, found: &mut Findings) -> Result<Body, WindowError> {
        let mut key = self.ids;
        for (row, time) in self.times.iter().enumerate() {
            if !in_range(*time) {
                found.without_time.push(number(row));
                key[row] = NONE;
            }
        }
        Ok(Body::Rows(RowPartial {
            keys: self.table,
            key,
            time: self.times.to_vec(),
            partition: vec![partition_number(self.input.from); self.times.len()],
            position: self.input.position.values().to_vec(),
            arguments: self.input.arguments.clone(),
            filters: self.input.filters.clone(),
        }))
    }
}

/// Returns the first window end, from `first` on, that is above `watermark`.
fn first_open(slicing: &Slicing, first: i64, watermark: i64) -> i64 {
    if first > watermark { first } else { slicing.next_end(watermark) }
}

/// Numbers the slices of a batch; remembers the last one, as most rows follow it.
#[derive(Default)]
struct SliceNumbers {
    keys: Vec<SliceKey>,
    numbers: HashMap<SliceKey, u32>,
    /// Start, end and number of the last normal slice.
    last: Option<(i64, i64, u32)>,
}

impl SliceNumbers {
    fn of(&mut self, key: SliceKey) -> u32 {
        let next = number(self.keys.len());
        let held = *self.numbers.entry(key).or_insert(next);
        if held == next {
            self.keys.push(key);
        }
        held
    }

    #[inline]
    fn of_time(&mut self, slicing: &Slicing, time: i64) -> u32 {
        if let Some((start, end, held)) = self.last
            && start <= time
            && time < end
        {
            return held;
        }
        let start = slicing.slice_of(time);
        if slicing.last_end(start) < slicing.first_end(start) {
            return NONE;
        }
        let held = self.of(SliceKey::normal(start));
        self.last = Some((start, start + slicing.slice, held));
        held
    }

    fn all(&mut self, slicing: &Slicing, times: &[i64], slices: &mut [u32]) {
        for (time, slice) in times.iter().zip(slices) {
            *slice = self.of_time(slicing, *time);
        }
    }
}
