//! Partials as columns: what a checkpoint's delta is made of.
//!
//! One row per group (count windows: per row), in the order in which they are merged. Partials of
//! one epoch can be put one behind the other: a group that comes twice is merged twice, in order.
//!
//! | kind | columns |
//! | --- | --- |
//! | tumbling, sliding, global | slice start, first end that may take it, first end for its first firing, keys, aggregates' states |
//! | session | first time, last time, keys, aggregates' states |
//! | count | time, partition, position, keys, each aggregate's arguments, then its filter if it has one |
//!
//! The schema's metadata says how many arguments there are, how many rows the partial stands for
//! and their latest event time.

#![expect(clippy::indexing_slicing, reason = "columns are counted before they are read")]

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Int64Type, Schema};

use super::error::WindowError;
use super::key_table::KeyTable;
use super::number;
use super::partial::{Body, Partial, RowPartial, SessionPartial, SliceKey, SlicePartial};
use super::spec::Window;
use super::values::canonical;
use crate::config::model::WindowKind;
use crate::data::NO_TIME;

const MAX_TIME: &str = "max_time";
const ROWS: &str = "rows";
/// For count windows: for each aggregate its number of arguments, and `f` when it has a filter.
const SHAPE: &str = "shape";

fn wrong() -> WindowError {
    WindowError::Foreign { what: "a stored partial" }
}

fn int64(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

impl Partial {
    /// Returns the partial as columns; nothing when there is nothing to merge.
    ///
    /// # Errors
    /// When a state column cannot be built.
    pub fn store(&self) -> Result<Option<RecordBatch>, WindowError> {
        let mut shape = None;
        let columns = match &self.body {
            Body::Empty => return Ok(None),
            Body::Slices(body) => {
                let groups: Vec<u32> =
                    body.slices.iter().flat_map(|(_, groups)| groups).copied().collect();
                let word = |read: fn(&SliceKey) -> i64| {
                    let of = |(key, groups): &(SliceKey, Vec<u32>)| {
                        std::iter::repeat_n(read(key), groups.len())
                    };
                    int64(body.slices.iter().flat_map(of))
                };
                let ids: Vec<u32> =
                    groups.iter().map(|group| body.group_key[*group as usize]).collect();
                let mut columns = vec![
                    word(|key| key.start),
                    word(|key| key.min_end),
                    word(|key| key.on_time_from),
                ];
                columns.extend(body.keys.columns(&ids));
                for aggregate in &body.aggregates {
                    columns.extend(aggregate.state(&groups)?);
                }
                columns
            }
            Body::Sessions(body) => {
                let groups: Vec<u32> = (0..number(body.key.len())).collect();
                let mut columns =
                    vec![int64(body.start.iter().copied()), int64(body.last.iter().copied())];
                columns.extend(body.keys.columns(&body.key));
                for aggregate in &body.aggregates {
                    columns.extend(aggregate.state(&groups)?);
                }
                columns
            }
            Body::Rows(body) => {
                let mut columns = vec![
                    int64(body.time.iter().copied()),
                    int64(body.partition.iter().copied()),
                    int64(body.position.iter().copied()),
                ];
                columns.extend(body.keys.columns(&body.key));
                let mut text = Vec::with_capacity(body.arguments.len());
                for (arguments, filter) in body.arguments.iter().zip(&body.filters) {
                    columns.extend(arguments.iter().cloned());
                    columns.extend(filter.iter().map(|f| Arc::new(f.clone()) as ArrayRef));
                    let mark = if filter.is_some() { "f" } else { "" };
                    text.push(format!("{}{mark}", arguments.len()));
                }
                shape = Some(text.join(","));
                columns
            }
        };
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| Field::new(at.to_string(), column.data_type().clone(), true))
            .collect();
        let mut notes = HashMap::from([
            (MAX_TIME.to_owned(), self.max_time.to_string()),
            (ROWS.to_owned(), self.rows.to_string()),
        ]);
        notes.extend(shape.map(|shape| (SHAPE.to_owned(), shape)));
        let schema = Arc::new(Schema::new_with_metadata(fields, notes));
        Ok(Some(RecordBatch::try_new(schema, columns)?))
    }

    /// Puts stored partials of one window one behind the other; nothing when there is none.
    ///
    /// # Errors
    /// When they are of several windows.
    pub fn join_stored(batches: &[RecordBatch]) -> Result<Option<RecordBatch>, WindowError> {
        let Some(first) = batches.first() else { return Ok(None) };
        let schema = first.schema();
        let mut notes = schema.metadata().clone();
        let all = |key: &str| {
            let values = batches.iter().map(move |batch| note(batch, key));
            values.collect::<Result<Vec<i64>, _>>()
        };
        let rows: i64 = all(ROWS)?.iter().sum();
        let max_time = all(MAX_TIME)?.into_iter().max().unwrap_or(NO_TIME);
        notes.insert(ROWS.to_owned(), rows.to_string());
        notes.insert(MAX_TIME.to_owned(), max_time.to_string());
        // `concat_batches` looks at the types of columns alone.
        let joined = concat_batches(&schema, batches)?;
        let schema = Arc::new(Schema::new_with_metadata(schema.fields().clone(), notes));
        Ok(Some(RecordBatch::try_new(schema, joined.columns().to_vec())?))
    }
}

fn note(batch: &RecordBatch, key: &str) -> Result<i64, WindowError> {
    let schema = batch.schema_ref();
    schema.metadata().get(key).and_then(|text| text.parse().ok()).ok_or_else(wrong)
}

impl Window {
    /// Reads back what [`Partial::store`] returned.
    ///
    /// # Errors
    /// When the columns are another window's.
    pub fn stored_partial(&self, batch: &RecordBatch) -> Result<Partial, WindowError> {
        let max_time = note(batch, MAX_TIME)?;
        let rows = usize::try_from(note(batch, ROWS)?).map_err(|_| wrong())?;
        let places = match self.spec.kind {
            WindowKind::Session { .. } => 2,
            _ => 3,
        };
        let columns = batch.columns();
        let from = places + self.key_kinds.len();
        if columns.len() < from {
            return Err(wrong());
        }
        let mut words = Vec::with_capacity(places);
        for column in &columns[..places] {
            words.push(column.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.values().to_vec());
        }
        let keys = columns[places..from].iter().map(canonical).collect::<Result<Vec<_>, _>>()?;
        let mut table = self.keys();
        let ids = table.intern(&keys, batch.num_rows(), None)?;
        let rest = &columns[from..];
        let body = match self.spec.kind {
            WindowKind::Session { .. } => {
                let last = words.pop().ok_or_else(wrong)?;
                let start = words.pop().ok_or_else(wrong)?;
                let aggregates = self.states(rest)?;
                Body::Sessions(SessionPartial { keys: table, key: ids, start, last, aggregates })
            }
            WindowKind::Count { .. } => self.stored_rows(batch, table, ids, words, rest)?,
            _ => {
                let key = |row: usize| SliceKey {
                    start: words[0][row],
                    min_end: words[1][row],
                    on_time_from: words[2][row],
                };
                let all: Vec<u32> = (0..number(batch.num_rows())).collect();
                let slices = all
                    .chunk_by(|a, b| key(*a as usize) == key(*b as usize))
                    .map(|run| (key(run[0] as usize), run.to_vec()))
                    .collect();
                let aggregates = self.states(rest)?;
                Body::Slices(SlicePartial { keys: table, group_key: ids, slices, aggregates })
            }
        };
        Ok(Partial { body, max_time, rows })
    }

    fn states(
        &self,
        columns: &[ArrayRef],
    ) -> Result<Vec<Box<dyn super::aggregate::Aggregate>>, WindowError> {
        let mut made = Vec::new();
        let mut at = 0;
        for empty in self.aggregates() {
            let width = empty.state(&[])?.len();
            let state = columns.get(at..at + width).ok_or_else(wrong)?;
            let mut aggregate = empty.restored(state)?;
            aggregate.seal();
            made.push(aggregate);
            at += width;
        }
        if at == columns.len() { Ok(made) } else { Err(wrong()) }
    }

    fn stored_rows(
        &self,
        batch: &RecordBatch,
        keys: KeyTable,
        key: Vec<u32>,
        words: Vec<Vec<i64>>,
        columns: &[ArrayRef],
    ) -> Result<Body, WindowError> {
        let schema = batch.schema_ref();
        let shape = schema.metadata().get(SHAPE).ok_or_else(wrong)?;
        let (mut arguments, mut filters) = (Vec::new(), Vec::new());
        let mut rest = columns.iter();
        for part in shape.split(',') {
            let count = part.trim_end_matches('f').parse::<usize>().map_err(|_| wrong())?;
            let taken: Vec<ArrayRef> = rest.by_ref().take(count).cloned().collect();
            if taken.len() != count {
                return Err(wrong());
            }
            arguments.push(taken);
            filters.push(if part.ends_with('f') {
                let filter = rest.next().and_then(|column| column.as_boolean_opt());
                Some(filter.cloned().ok_or_else(wrong)?)
            } else {
                None::<BooleanArray>
            });
        }
        let [time, partition, position] = <[Vec<i64>; 3]>::try_from(words).map_err(|_| wrong())?;
        if arguments.len() != self.spec.aggregates.len() || rest.next().is_some() {
            return Err(wrong());
        }
        Ok(Body::Rows(RowPartial { keys, key, time, partition, position, arguments, filters }))
    }
}
