//! A window's state as columns, for checkpoints.
//!
//! One row per group: three words that place it, whether it has changed since it was emitted,
//! the key columns, then each aggregate's state columns. What is not per group is small and goes
//! into `Notes`, as JSON. A state may be read back by another number of shards.
//!
//! | kind | word 0 | word 1 | word 2 |
//! | --- | --- | --- | --- |
//! | tumbling, sliding, global | slice start | first end that may take it | first end for its first firing |
//! | session | start | last | – |
//! | count | rows | first time | last time |

#![expect(clippy::indexing_slicing, reason = "columns are counted before they are read")]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Int64Type, Schema};
use serde::{Deserialize, Serialize};

use super::aggregate::Aggregate;
use super::count::Filling;
use super::error::WindowError;
use super::key_table::{KeyTable, Shard};
use super::number;
use super::partial::SliceKey;
use super::spec::Window;
use super::state::{Store, WindowState};
use super::values::canonical;
use crate::data::NO_TIME;

/// The version of the layout above.
const LAYOUT: u32 = 1;

/// What a checkpoint keeps beside the groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Notes {
    layout: u32,
    /// Version of each aggregate's state columns.
    aggregates: Vec<u32>,
    hash: String,
    watermark: i64,
    max_time: i64,
    revised: Vec<i64>,
    revisions: Vec<(i64, u32)>,
    trigger_last_us: Option<i64>,
    touched: bool,
}

/// A shard's state as columns.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// One row per group.
    pub groups: RecordBatch,
    /// Groups to emit at the next trigger: window end, then key columns.
    pub pending: RecordBatch,
    /// What is not per group, as JSON.
    pub notes: String,
}

fn json(error: serde_json::Error) -> WindowError {
    WindowError::Arrow(arrow::error::ArrowError::JsonError(error.to_string()))
}

fn wrong() -> WindowError {
    WindowError::Foreign { what: "a snapshot" }
}

fn nullable(columns: Vec<ArrayRef>) -> Result<RecordBatch, WindowError> {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| Field::new(at.to_string(), column.data_type().clone(), true))
        .collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn int64(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// Builds rows of groups that share a set of aggregates.
fn rows(
    words: [ArrayRef; 3],
    changed: ArrayRef,
    keys: Vec<ArrayRef>,
    aggregates: &[Box<dyn Aggregate>],
    groups: &[u32],
) -> Result<RecordBatch, WindowError> {
    let mut columns: Vec<ArrayRef> = words.into();
    columns.push(changed);
    columns.extend(keys);
    for aggregate in aggregates {
        columns.extend(aggregate.state(groups)?);
    }
    nullable(columns)
}

/// Groups as they were read.
struct Read {
    words: [Int64Array; 3],
    changed: BooleanArray,
    keys: Vec<ArrayRef>,
    aggregates: Vec<Box<dyn Aggregate>>,
}

impl Read {
    fn of(window: &Window, batch: &RecordBatch) -> Result<Self, WindowError> {
        let columns = batch.columns();
        let from = 4 + window.key_kinds.len();
        if columns.len() < from {
            return Err(wrong());
        }
        let word = |at: usize| columns[at].as_primitive_opt::<Int64Type>().cloned();
        let mut aggregates = Vec::new();
        let mut at = from;
        for empty in window.aggregates() {
            let width = empty.state(&[])?.len();
            let state = columns.get(at..at + width).ok_or_else(wrong)?;
            aggregates.push(empty.restored(state)?);
            at += width;
        }
        Ok(Self {
            words: [
                word(0).ok_or_else(wrong)?,
                word(1).ok_or_else(wrong)?,
                word(2).ok_or_else(wrong)?,
            ],
            changed: columns[3].as_boolean_opt().cloned().ok_or_else(wrong)?,
            keys: columns[4..from].iter().map(canonical).collect::<Result<Vec<_>, _>>()?,
            aggregates,
        })
    }
}

impl WindowState {
    /// Returns the state as columns. Nothing changes but how pending output is held.
    ///
    /// # Errors
    /// When a state column cannot be built.
    pub fn snapshot(&mut self) -> Result<Snapshot, WindowError> {
        let window = Arc::clone(&self.window);
        let mut notes = Notes {
            layout: LAYOUT,
            aggregates: window.aggregates().iter().map(|a| a.version()).collect(),
            hash: crate::hash::NAME.to_owned(),
            watermark: NO_TIME,
            max_time: NO_TIME,
            revised: vec![],
            revisions: vec![],
            trigger_last_us: None,
            touched: false,
        };
        let mut batches = Vec::new();
        let (mut ends, mut ids) = (Vec::new(), Vec::new());
        let pending_keys: &KeyTable;
        match &mut self.store {
            Store::Sliced(state) => {
                let append = window.spec.output == crate::config::model::OutputMode::Append;
                state.expand_changed(if append { state.fired_to } else { i64::MAX });
                notes.watermark = state.fired_to;
                notes.max_time = state.max_time;
                notes.revised = state.revised.iter().copied().collect();
                notes.revisions = state.revisions.iter().map(|(e, r)| (*e, *r)).collect();
                notes.trigger_last_us = state.trigger.last_us;
                notes.touched = state.touched;
                for (key, slice) in &state.slices {
                    let count = slice.keys.len();
                    let same = |word: i64| int64(std::iter::repeat_n(word, count));
                    let all: Vec<u32> = (0..number(count)).collect();
                    batches.push(rows(
                        [same(key.start), same(key.min_end), same(key.on_time_from)],
                        Arc::new(BooleanArray::from(vec![false; count])),
                        state.keys.columns(&slice.keys),
                        &slice.aggregates,
                        &all,
                    )?);
                }
                for (end, keys) in &state.pending {
                    ends.extend(std::iter::repeat_n(*end, keys.len()));
                    ids.extend_from_slice(keys);
                }
                pending_keys = &state.keys;
            }
            Store::Sessions(state) => {
                notes.watermark = state.watermark;
                notes.trigger_last_us = state.trigger.last_us;
                notes.touched = state.touched;
                let open: Vec<u32> = (0..number(state.sessions.len()))
                    .filter(|at| state.sessions[*at as usize].key != super::NONE)
                    .collect();
                let of = |at: &u32| state.sessions[*at as usize];
                let keys: Vec<u32> = open.iter().map(|at| of(at).key).collect();
                let changed: Vec<bool> = open.iter().map(|at| of(at).changed).collect();
                batches.push(rows(
                    [
                        int64(open.iter().map(|at| of(at).start)),
                        int64(open.iter().map(|at| of(at).last)),
                        int64(open.iter().map(|_| 0)),
                    ],
                    Arc::new(BooleanArray::from(changed)),
                    state.keys.columns(&keys),
                    &state.aggregates,
                    &open,
                )?);
                pending_keys = &state.keys;
            }
            Store::Counts(state) => {
                notes.trigger_last_us = state.trigger.last_us;
                notes.touched = state.touched;
                let open: Vec<u32> =
                    state.open.iter().copied().filter(|at| *at != super::NONE).collect();
                let of = |at: &u32| state.windows[*at as usize];
                let keys: Vec<u32> = open.iter().map(|at| of(at).key).collect();
                let changed: Vec<bool> = open.iter().map(|at| of(at).changed).collect();
                batches.push(rows(
                    [
                        int64(open.iter().map(|at| i64::try_from(of(at).rows).unwrap_or(i64::MAX))),
                        int64(open.iter().map(|at| of(at).first)),
                        int64(open.iter().map(|at| of(at).last)),
                    ],
                    Arc::new(BooleanArray::from(changed)),
                    state.keys.columns(&keys),
                    &state.aggregates,
                    &open,
                )?);
                pending_keys = &state.keys;
            }
        }
        if batches.is_empty() {
            let none = || int64(std::iter::empty());
            let unchanged = Arc::new(BooleanArray::from(Vec::<bool>::new()));
            let keys = window.keys().columns(&[]);
            let words = [none(), none(), none()];
            batches.push(rows(words, unchanged, keys, &window.aggregates(), &[])?);
        }
        let mut pending = vec![int64(ends.into_iter())];
        pending.extend(pending_keys.columns(&ids));
        Ok(Snapshot {
            groups: concat_batches(&batches[0].schema(), &batches)?,
            pending: nullable(pending)?,
            notes: serde_json::to_string(&notes).map_err(json)?,
        })
    }
}

impl Window {
    /// Makes the state of one shard from the snapshots of all shards, of any number of shards.
    ///
    /// # Errors
    /// When a snapshot is another window's or of another version.
    pub fn restore(
        self: &Arc<Self>,
        shard: Shard,
        snapshots: &[Snapshot],
    ) -> Result<WindowState, WindowError> {
        let mut made = self.state(shard);
        for snapshot in snapshots {
            let notes: Notes = serde_json::from_str(&snapshot.notes).map_err(json)?;
            let versions: Vec<u32> = self.aggregates().iter().map(|a| a.version()).collect();
            if notes.layout != LAYOUT
                || notes.aggregates != versions
                || notes.hash != crate::hash::NAME
            {
                return Err(wrong());
            }
            self.read(&mut made, shard, snapshot, &notes)?;
        }
        Ok(made)
    }

    fn read(
        &self,
        made: &mut WindowState,
        shard: Shard,
        snapshot: &Snapshot,
        notes: &Notes,
    ) -> Result<(), WindowError> {
        let read = Read::of(self, &snapshot.groups)?;
        let count = snapshot.groups.num_rows();
        let mut table = self.keys();
        let ids = table.intern(&read.keys, count, None)?;
        let owned: Vec<usize> =
            (0..count).filter(|row| shard.owns(table.hash(ids[*row]))).collect();
        let words = |row: usize| read.words.each_ref().map(|word| word.value(row));
        match &mut made.store {
            Store::Sliced(state) => {
                state.fired_to = state.fired_to.max(notes.watermark);
                state.max_time = state.max_time.max(notes.max_time);
                state.revised.extend(&notes.revised);
                state.revisions.extend(notes.revisions.iter().copied());
                state.trigger.last_us = notes.trigger_last_us;
                state.touched |= notes.touched;
                for run in owned.chunk_by(|a, b| words(*a) == words(*b)) {
                    let [start, min_end, on_time_from] = words(run[0]);
                    let key = SliceKey { start, min_end, on_time_from };
                    let mine: Vec<u32> =
                        run.iter().map(|row| state.keys.intern_from(&table, ids[*row])).collect();
                    let rows: Vec<u32> = run.iter().map(|row| number(*row)).collect();
                    state.load(key, &mine, &rows, &read.aggregates)?;
                }
                let mut columns = snapshot.pending.columns().iter();
                let ends = columns.next().and_then(|c| c.as_primitive_opt::<Int64Type>());
                let ends = ends.ok_or_else(wrong)?;
                let keys = columns.map(canonical).collect::<Result<Vec<_>, _>>()?;
                let ids = table.intern(&keys, ends.len(), None)?;
                for (end, id) in ends.values().iter().zip(ids) {
                    if shard.owns(table.hash(id)) {
                        let id = state.keys.intern_from(&table, id);
                        state.pending.entry(*end).or_default().push(id);
                    }
                }
            }
            Store::Sessions(state) => {
                state.watermark = state.watermark.max(notes.watermark);
                state.trigger.last_us = notes.trigger_last_us;
                state.touched |= notes.touched;
                let stretches: Vec<(u32, i64, i64, u32)> = owned
                    .iter()
                    .map(|row| {
                        let [start, last, _] = words(*row);
                        (state.keys.intern_from(&table, ids[*row]), start, last, number(*row))
                    })
                    .collect();
                state.add(&stretches, &read.aggregates)?;
                for (row, stretch) in owned.iter().zip(&stretches) {
                    state.set_changed(stretch.0, stretch.1, read.changed.value(*row));
                }
            }
            Store::Counts(state) => {
                state.trigger.last_us = notes.trigger_last_us;
                state.touched |= notes.touched;
                for row in owned {
                    let [rows, first, last] = words(row);
                    let key = state.keys.intern_from(&table, ids[row]);
                    let rows = u64::try_from(rows).unwrap_or_default();
                    let changed = read.changed.value(row);
                    let filling = Filling { key, rows, first, last, changed };
                    state.load(filling, number(row), &read.aggregates)?;
                }
            }
        }
        Ok(())
    }
}
