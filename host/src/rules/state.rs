//! A rule's state as Arrow columns, for checkpoints.
//!
//! | batch | columns |
//! | --- | --- |
//! | `keys` | `state` (binary), `timer_us`, `last_us`, then the key's columns; sorted by encoded key |
//! | `history` | `key` (row of `keys`), then the history's columns; each key's rows oldest first |
//! | `held` | the input's columns, rows in the order in which they would leave |
//! | `held_facts` | `time_us`, `position`, `max_before_us`, `clock_us`, `source`, `partition` |
//! | `alerts` | `id` (16 bytes), `time_us`, `alerts`: see `ids` |

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder,
    Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, UInt32Type, UInt64Type};
use arrow::error::ArrowError;

use super::codec::RowCodec;
use super::error::RuleError;
use super::held::Held;
use super::ids::Count;
use super::keys::{Entry, History, KeyTable};
use super::work::Work;
use crate::data::{Partition, PartitionRef, Rows, SourceId};
use crate::hash::hash64;

/// Everything a keyed rule must have back after a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleState {
    /// The watermark the rule was told last.
    pub watermark_us: i64,
    /// The latest time of any row so far.
    pub latest_us: i64,
    /// State, timer and last row's time of each key.
    pub keys: RecordBatch,
    /// Earlier rows of the keys.
    pub history: RecordBatch,
    /// Rows held until the watermark passes them.
    pub held: RecordBatch,
    /// What is known of them besides their columns.
    pub held_facts: RecordBatch,
    /// Alerts counted so far for subjects still open.
    pub alerts: RecordBatch,
}

/// What has changed in a keyed rule since it was last written.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleDelta {
    /// Keys that changed, whole, and rows that are newly held; alerts are all of them.
    pub state: RuleState,
    /// Keys that were forgotten, encoded: one column, `key`. They go before the others come.
    pub removed: RecordBatch,
}

/// Why a batch does not fit.
pub(super) type Misfit = &'static str;

/// Writes keys, in the order given.
pub(super) fn keys_to_batches(
    entries: &[&Entry],
    key: &RowCodec,
    history: &RowCodec,
) -> Result<(RecordBatch, RecordBatch), RuleError> {
    let states: BinaryArray = entries.iter().map(|entry| entry.state.as_deref()).collect();
    let timers: Int64Array = entries.iter().map(|entry| entry.timer()).collect();
    let last = Int64Array::from_iter_values(entries.iter().map(|entry| entry.last_us));
    let mut keys = key.decoder(entries.len());
    let mut rows = history.decoder(0);
    let mut owners = Vec::new();
    for (number, entry) in (0u32..).zip(entries) {
        keys.push(&entry.key)?;
        for row in entry.history.iter() {
            rows.push(row)?;
            owners.push(number);
        }
    }
    let mut columns: Vec<ArrayRef> = vec![Arc::new(states), Arc::new(timers), Arc::new(last)];
    columns.extend(keys.finish()?);
    let names =
        [("state", DataType::Binary), ("timer_us", DataType::Int64), ("last_us", DataType::Int64)];
    let keys = batch(&names, key.fields(), columns, entries.len())?;
    let count = owners.len();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(owners))];
    columns.extend(rows.finish()?);
    let history = batch(&[("key", DataType::UInt32)], history.fields(), columns, count)?;
    Ok((keys, history))
}

/// Returns forgotten keys as a batch.
pub(super) fn removed_to_batch(keys: &[Box<[u8]>]) -> Result<RecordBatch, ArrowError> {
    let column: BinaryArray = keys.iter().map(|key| Some(key.as_ref())).collect();
    batch(&[("key", DataType::Binary)], &[], vec![Arc::new(column)], keys.len())
}

/// Forgets the keys that [`removed_to_batch`] wrote.
pub(super) fn forget(table: &mut KeyTable, removed: &RecordBatch) -> Result<(), Misfit> {
    let keys = binary(removed, 0).ok_or("its forgotten keys have other columns")?;
    for key in keys.iter().flatten() {
        if let Some(slot) = table.find(hash64(key), key) {
            table.remove(slot);
        }
    }
    Ok(())
}

/// Puts keys and their history back, over what the table has of them. History columns are found
/// by name; `limit` rows are kept.
pub(super) fn keys_from_batches(
    table: &mut KeyTable,
    state: &RuleState,
    key: &RowCodec,
    history: &RowCodec,
    limit: usize,
) -> Result<Result<(), Misfit>, RuleError> {
    let fixed = (binary(&state.keys, 0), int64(&state.keys, 1), int64(&state.keys, 2));
    let (Some(states), Some(timers), Some(last)) = fixed else {
        return Ok(Err("its keys have other columns"));
    };
    let key_columns = state.keys.columns().get(3..).unwrap_or_default();
    let schema = state.keys.schema();
    let stored = schema.fields().get(3..).unwrap_or_default();
    let same = |(a, b): (&FieldRef, &FieldRef)| a.name() == b.name();
    if stored.len() != key.fields().len() || !stored.iter().zip(key.fields()).all(same) {
        return Ok(Err("its key has other columns"));
    }
    let view = key.view(key_columns)?;
    let mut slots = Vec::with_capacity(state.keys.num_rows());
    for row in 0..state.keys.num_rows() {
        let mut bytes = Vec::new();
        view.encode(row, &mut bytes);
        let Some(slot) = table.ensure(hash64(&bytes), &bytes) else {
            return Ok(Err("it has too many keys"));
        };
        table.update(slot, |entry| {
            entry.state = states.is_valid(row).then(|| states.value(row).to_vec());
            entry.history = History::default();
            entry.last_us = last.value(row);
        });
        table.set_timer(slot, timers.is_valid(row).then(|| timers.value(row)));
        slots.push(slot);
    }
    if limit == 0 {
        return Ok(Ok(()));
    }
    let Some(owners) = state.history.columns().first().and_then(|c| c.as_primitive_opt()) else {
        return Ok(Err("its history has no keys"));
    };
    let owners: &arrow::array::PrimitiveArray<UInt32Type> = owners;
    let mut columns = Vec::with_capacity(history.fields().len());
    for field in history.fields() {
        let Some(column) = state.history.column_by_name(field.name()) else {
            if state.history.num_rows() == 0 {
                return Ok(Ok(()));
            }
            return Ok(Err("its history lacks a column that is wanted now"));
        };
        columns.push(Arc::clone(column));
    }
    let view = history.view(&columns)?;
    let mut bytes = Vec::new();
    for (row, owner) in owners.values().iter().enumerate() {
        let slot = usize::try_from(*owner).ok().and_then(|owner| slots.get(owner));
        let Some(slot) = slot else { return Ok(Err("its history names a key that is not there")) };
        bytes.clear();
        view.encode(row, &mut bytes);
        table.update(*slot, |entry| entry.history.push(&bytes, limit));
    }
    Ok(Ok(()))
}

/// Writes rows that wait.
pub(super) fn held_to_batches(
    work: Option<Work>,
    input: &Arc<Schema>,
) -> Result<(RecordBatch, RecordBatch), RuleError> {
    let rows = work.as_ref().map_or(0, |work| work.rows.len());
    let partitions: Vec<_> =
        work.iter().flat_map(|work| (0..rows).map(|row| work.from(row))).collect();
    let numbers = |read: fn(&Rows) -> &Int64Array| -> ArrayRef {
        match &work {
            Some(work) => Arc::new(read(&work.rows).clone()),
            None => Arc::new(Int64Array::new_null(0)),
        }
    };
    let part = |read: fn(PartitionRef) -> u32| -> ArrayRef {
        Arc::new(partitions.iter().map(|p| p.map(read)).collect::<UInt32Array>())
    };
    let clocks = work.as_ref().map(|work| work.clocks.clone()).unwrap_or_default();
    let columns = vec![
        numbers(|rows| &rows.time),
        numbers(|rows| &rows.position),
        numbers(|rows| &rows.max_before),
        Arc::new(Int64Array::from(clocks)),
        part(|from| from.source.0),
        part(|from| from.partition.0),
    ];
    let names = [
        ("time_us", DataType::Int64),
        ("position", DataType::Int64),
        ("max_before_us", DataType::Int64),
        ("clock_us", DataType::Int64),
        ("source", DataType::UInt32),
        ("partition", DataType::UInt32),
    ];
    let facts = batch(&names, &[], columns, rows)?;
    let held = match work {
        Some(work) => work.rows.batch,
        None => RecordBatch::new_empty(Arc::clone(input)),
    };
    Ok((held, facts))
}

/// Puts rows that wait back.
pub(super) fn held_from_batches(
    held: &mut Held,
    state: &RuleState,
    input: &Arc<Schema>,
) -> Result<(), Misfit> {
    const OTHER: Misfit = "its held rows have other columns";
    let facts = &state.held_facts;
    if facts.num_rows() != state.held.num_rows() || state.held.schema().fields() != input.fields() {
        return Err(OTHER);
    }
    let number = |column| int64(facts, column).cloned().ok_or(OTHER);
    let (sources, partitions) =
        uint32(facts, 4).zip(uint32(facts, 5)).ok_or("its held rows have no partitions")?;
    let from = |row| {
        (sources.is_valid(row) && partitions.is_valid(row)).then(|| PartitionRef {
            source: SourceId(sources.value(row)),
            partition: Partition(partitions.value(row)),
        })
    };
    let rows = Rows {
        batch: state.held.clone(),
        time: number(0)?,
        position: number(1)?,
        max_before: number(2)?,
        from: None,
    };
    let partitions = (0..facts.num_rows()).map(from).collect();
    let clocks = number(3)?.values().to_vec();
    held.restore(Work { rows, partitions: Some(partitions), clocks });
    Ok(())
}

pub(super) fn ids_to_batch(
    counts: impl Iterator<Item = (u128, Count)>,
) -> Result<RecordBatch, ArrowError> {
    let counts: Vec<_> = counts.collect();
    let mut ids = FixedSizeBinaryBuilder::with_capacity(counts.len(), 16);
    for (id, _) in &counts {
        ids.append_value(id.to_be_bytes())?;
    }
    let times = Int64Array::from_iter_values(counts.iter().map(|(_, count)| count.time_us));
    let alerts = UInt64Array::from_iter_values(counts.iter().map(|(_, count)| count.alerts));
    let names = [
        ("id", DataType::FixedSizeBinary(16)),
        ("time_us", DataType::Int64),
        ("alerts", DataType::UInt64),
    ];
    let columns: Vec<ArrayRef> = vec![Arc::new(ids.finish()), Arc::new(times), Arc::new(alerts)];
    batch(&names, &[], columns, counts.len())
}

/// Returns the counts; nothing when the batch is not one of ours.
pub(super) fn ids_from_batch(batch: &RecordBatch) -> Option<Vec<(u128, Count)>> {
    let ids: &FixedSizeBinaryArray = batch.columns().first()?.as_fixed_size_binary_opt()?;
    let times = int64(batch, 1)?;
    let alerts = batch.columns().get(2)?.as_primitive_opt::<UInt64Type>()?;
    let mut counts = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let id = u128::from_be_bytes(ids.value(row).try_into().ok()?);
        counts.push((id, Count { time_us: times.value(row), alerts: alerts.value(row) }));
    }
    Some(counts)
}

fn batch(
    names: &[(&str, DataType)],
    fields: &[FieldRef],
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let fixed = names.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    let fixed = fixed.map(Arc::new);
    let rest = fields.iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    let schema = Schema::new(fixed.chain(rest).collect::<Vec<_>>());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)
}

fn int64(batch: &RecordBatch, column: usize) -> Option<&Int64Array> {
    batch.columns().get(column)?.as_primitive_opt::<Int64Type>()
}

fn uint32(batch: &RecordBatch, column: usize) -> Option<&UInt32Array> {
    batch.columns().get(column)?.as_primitive_opt::<UInt32Type>()
}

fn binary(batch: &RecordBatch, column: usize) -> Option<&BinaryArray> {
    batch.columns().get(column)?.as_binary_opt::<i32>()
}
