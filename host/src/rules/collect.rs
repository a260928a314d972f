//! What a rule said about some rows, put in order and made into rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array,
    new_empty_array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::alerts::{AlertWriter, Draft};
use super::error::RuleError;
use super::evaluator::{Poison, RuleOutcome};
use super::keyed::{PoisonRow, RuleOutput};
use super::work::Work;
use crate::data::{NO_TIME, Rows};
use crate::encode::row_json;

/// Outcomes of the calls of one push or advance.
#[derive(Debug, Default)]
pub(super) struct Collected {
    alerts: Vec<(Place, Draft)>,
    /// Row and entry of everything said about rows.
    notes: Vec<(u32, u32, bool)>,
    messages: Vec<ArrayRef>,
    attributes: Vec<RecordBatch>,
    entries: usize,
    poison: Vec<Poison>,
    poison_timers: Vec<PoisonRow>,
    /// Rows and timers are in one order, by clock. Otherwise rows come in theirs.
    by_clock: bool,
}

/// Where an alert stands among the others: by clock; a timer before rows at its time, unless it was
/// set for a time already past; rows in order; timers by key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    clock_us: i64,
    rank: Rank,
    row: u32,
    key: Box<[u8]>,
    entry: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Timer,
    Row,
    OverdueTimer,
}

/// One outcome and which rows its call was about.
pub(super) struct Said<'a> {
    pub(super) outcome: RuleOutcome,
    /// The call's rows as rows of the work.
    pub(super) rows: &'a [u32],
    pub(super) key_offsets: &'a [u32],
}

impl Collected {
    /// Returns an empty collection. `by_clock`: alerts of rows and of timers are put in one order.
    pub(super) fn new(by_clock: bool) -> Self {
        Self { by_clock, ..Self::default() }
    }

    /// Adds an outcome. `key` gives a key of the call, `timer` its timer and its last row's clock.
    pub(super) fn add<'k>(
        &mut self,
        said: Said<'_>,
        work: &Work,
        key: impl Fn(usize) -> Option<&'k [u8]>,
        timer: impl Fn(usize) -> Option<(i64, i64)>,
    ) -> Result<(), RuleError> {
        let outcome = said.outcome;
        for (index, at) in outcome.rows.iter().enumerate() {
            let too_many = |_| RuleError::TooManyRows { rows: self.entries };
            let entry = u32::try_from(self.entries.saturating_add(index)).map_err(too_many)?;
            let at = usize::try_from(*at).unwrap_or(usize::MAX);
            let is_alert = outcome.is_alert.value(index);
            let row = said.rows.get(at).copied();
            if let Some(row) = row {
                self.notes.push((row, entry, is_alert));
            }
            let Some(severity) = outcome.severities.get(index).copied().filter(|_| is_alert) else {
                continue;
            };
            let key_index = match row {
                Some(_) => key_of(said.key_offsets, at),
                None => at.checked_sub(said.rows.len()),
            };
            let Some(key_index) = key_index else { continue };
            let key: Box<[u8]> = key(key_index).unwrap_or_default().into();
            let (clock_us, rank, timer) = match (row, timer(key_index)) {
                (Some(row), _) if self.by_clock => {
                    let row = usize::try_from(row).unwrap_or(usize::MAX);
                    (work.clocks.get(row).copied().unwrap_or_default(), Rank::Row, None)
                }
                (Some(_), _) => (0, Rank::Row, None),
                (None, Some((at, last))) if at > last => (at, Rank::Timer, Some((at, at))),
                (None, Some((at, last))) if self.by_clock => {
                    (last, Rank::OverdueTimer, Some((at, last)))
                }
                (None, Some((at, last))) => (at, Rank::Timer, Some((at, last))),
                (None, None) => continue,
            };
            let place = Place { clock_us, rank, row: row.unwrap_or(0), key: key.clone(), entry };
            self.alerts.push((place, Draft { row, timer, key, severity, entry }));
        }
        for poison in outcome.poison {
            let at = usize::try_from(poison.row).unwrap_or(usize::MAX);
            match said.rows.get(at) {
                Some(row) => self.poison.push(Poison { row: *row, ..poison }),
                None => {
                    let timer = at.checked_sub(said.rows.len()).and_then(&timer);
                    self.poison_timers.push(PoisonRow {
                        from: None,
                        position: 0,
                        time_us: timer.map_or(NO_TIME, |(at, _)| at),
                        row: None,
                        reason: poison.reason,
                        message: poison.message,
                    });
                }
            }
        }
        if !outcome.rows.is_empty() {
            self.entries = self.entries.saturating_add(outcome.rows.len());
            self.messages.push(Arc::new(outcome.messages));
            self.attributes.push(outcome.attributes);
        }
        Ok(())
    }

    /// Returns alerts and, when `annotate` is given, annotated rows.
    pub(super) fn output(
        mut self,
        work: &Work,
        writer: &mut AlertWriter,
        schema: &Schema,
        annotate: Option<&SchemaRef>,
        rows_schema: &SchemaRef,
    ) -> Result<RuleOutput, RuleError> {
        let mut attributes = Vec::with_capacity(schema.fields().len());
        for (index, field) in schema.fields().iter().enumerate() {
            let mut parts: Vec<&dyn Array> = Vec::with_capacity(self.attributes.len());
            for batch in &self.attributes {
                parts.extend(batch.columns().get(index).map(AsRef::as_ref));
            }
            attributes.push(joined(&parts, field.data_type())?);
        }
        let messages: Vec<&dyn Array> = self.messages.iter().map(AsRef::as_ref).collect();
        let messages = joined(&messages, &DataType::Utf8)?;
        let messages = messages.as_any().downcast_ref().cloned();
        let messages = messages.unwrap_or_else(|| StringArray::new_null(0));

        self.poison.sort();
        let rows = match annotate {
            Some(schema) => self.annotated(work, &attributes, schema)?,
            None => empty(rows_schema),
        };
        self.alerts.sort_by(|(a, _), (b, _)| a.cmp(b));
        let drafts: Vec<Draft> = self.alerts.drain(..).map(|(_, draft)| draft).collect();
        let alerts = writer.write(work, &drafts, &messages, &attributes)?;
        let place = |Poison { row, reason, message }: Poison| {
            let row = usize::try_from(row).unwrap_or(usize::MAX);
            let (from, position) = (work.from(row), work.position(row));
            let json = row_json(&work.rows.batch, row).ok().map(|json| json.to_string());
            PoisonRow { from, position, time_us: work.time(row), row: json, reason, message }
        };
        let mut poison: Vec<PoisonRow> = self.poison.into_iter().map(place).collect();
        self.poison_timers.sort_by(|a, b| (a.time_us, &a.message).cmp(&(b.time_us, &b.message)));
        poison.extend(self.poison_timers);
        Ok(RuleOutput { alerts, rows, poison })
    }

    /// Returns the input with attributes: null where the rule said nothing.
    fn annotated(
        &mut self,
        work: &Work,
        attributes: &[ArrayRef],
        schema: &SchemaRef,
    ) -> Result<Rows, RuleError> {
        let count = work.rows.len();
        let mut entry_of: Vec<Option<u32>> = vec![None; count];
        let mut is_alert = vec![false; count];
        self.notes.sort_unstable();
        for (row, entry, alert) in &self.notes {
            let row = usize::try_from(*row).unwrap_or(usize::MAX);
            if let (Some(place), Some(flag)) = (entry_of.get_mut(row), is_alert.get_mut(row)) {
                *place = place.or(Some(*entry));
                *flag |= *alert;
            }
        }
        let entries = UInt32Array::from(entry_of);
        let mut columns = work.rows.batch.columns().to_vec();
        for attribute in attributes {
            columns.push(take(attribute, &entries, None)?);
        }
        columns.push(Arc::new(BooleanArray::from(is_alert)));
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        let rows = work.rows.with_batch(batch);
        if self.poison.is_empty() {
            return Ok(rows);
        }
        let mut keep = vec![true; count];
        for Poison { row, .. } in &self.poison {
            if let Some(keep) = usize::try_from(*row).ok().and_then(|row| keep.get_mut(row)) {
                *keep = false;
            }
        }
        Ok(rows.filter(&BooleanArray::from(keep))?)
    }
}

/// Returns the key of a row of a call.
fn key_of(key_offsets: &[u32], row: usize) -> Option<usize> {
    let row = u32::try_from(row).ok()?;
    key_offsets.partition_point(|offset| *offset <= row).checked_sub(1)
}

fn joined(parts: &[&dyn Array], data_type: &DataType) -> Result<ArrayRef, RuleError> {
    if parts.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    Ok(concat(parts)?)
}

fn empty(schema: &SchemaRef) -> Rows {
    let none = || arrow::array::Int64Array::from(Vec::<i64>::new());
    Rows {
        batch: RecordBatch::new_empty(Arc::clone(schema)),
        time: none(),
        position: none(),
        max_before: none(),
        from: None,
    }
}
