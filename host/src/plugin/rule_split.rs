//! Taking a failed call of a rule apart without changing what it means.
//!
//! Keys are independent, so a call is halved by keys first. Within a key the rows go in order, with
//! the state and the history that those before them left: to a rule this looks as if the rows had
//! come in smaller batches, which makes no difference to it. Timers that are due come after rows.

use std::ops::Range;

use arrow::array::{Array, BinaryArray, RecordBatch, StringArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::bisect::share;
use super::error::{Failure, PluginError, Poison};
use super::parser::index;
use super::rule::{RuleCall, RuleInstance, RuleOutcome};
use super::validate::size;

/// A part of a call that owns what a whole one borrows.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) rows: RecordBatch,
    pub(super) key_offsets: Vec<u32>,
    pub(super) states: BinaryArray,
    pub(super) history: RecordBatch,
    pub(super) history_offsets: Vec<u32>,
    pub(super) timer_keys: Vec<u32>,
    pub(super) timers_us: Vec<i64>,
}

impl Part {
    pub(super) fn call(&self, watermark_us: i64) -> RuleCall<'_> {
        RuleCall {
            rows: &self.rows,
            key_offsets: &self.key_offsets,
            states: &self.states,
            history: &self.history,
            history_offsets: &self.history_offsets,
            timer_keys: &self.timer_keys,
            timers_us: &self.timers_us,
            watermark_us,
        }
    }
}

/// What has become of one key so far.
struct Key {
    outcome: Collected,
    state: Option<Vec<u8>>,
    state_changed: bool,
    history: RecordBatch,
    timer_us: Option<i64>,
}

/// Evaluates one key that fails as a whole, and finds the rows that it fails on.
///
/// Indices in the outcome are those of a call with this key alone.
pub(super) fn split_key(
    rule: &mut RuleInstance,
    part: &Part,
    watermark_us: i64,
) -> Result<RuleOutcome, PluginError> {
    let rows = part.rows.num_rows();
    let state = part.states.iter().next().flatten().map(<[u8]>::to_vec);
    let mut key = Key {
        outcome: Collected::default(),
        state,
        state_changed: false,
        history: part.history.clone(),
        timer_us: None,
    };
    // The first half first: what is pushed last is next.
    let mut todo = Vec::new();
    if rows > 0 {
        todo.push(0..rows);
    }
    while let Some(range) = todo.pop() {
        let batch = part.rows.slice(range.start, range.len());
        let deadline_us = share(rule.deadline_us(), range.len(), rows);
        let mut result = key.call(rule, &batch, &[], deadline_us, watermark_us)?;
        if let Err(error) = &result
            && range.len() == 1
            && error.failure == Failure::Deadline
        {
            result = key.call(rule, &batch, &[], rule.deadline_us(), watermark_us)?;
        }
        match result {
            Ok(outcome) => {
                key.take_over(rule, &range, &batch, outcome)?;
            }
            Err(error) if range.len() == 1 => {
                key.outcome.poison.push(Poison { record: index(range.start), error });
            }
            Err(_) => {
                let middle = range.start.midpoint(range.end);
                todo.push(middle..range.end);
                todo.push(range.start..middle);
            }
        }
    }
    if !part.timers_us.is_empty() {
        let none = part.rows.slice(0, 0);
        match key.call(rule, &none, &part.timers_us, rule.deadline_us(), watermark_us)? {
            Ok(outcome) => {
                key.take_over(rule, &(rows..rows), &none, outcome)?;
            }
            Err(error) => key.outcome.poison.push(Poison { record: index(rows), error }),
        }
    }
    key.finish(&rule.plan().attributes.clone()).map_err(|error| rule.caller(error.to_string()))
}

impl Key {
    fn call(
        &self,
        rule: &mut RuleInstance,
        rows: &RecordBatch,
        timers_us: &[i64],
        deadline_us: i64,
        watermark_us: i64,
    ) -> Result<Result<RuleOutcome, Box<super::error::CallError>>, PluginError> {
        let states = BinaryArray::from_opt_vec(vec![self.state.as_deref()]);
        let call = RuleCall {
            rows,
            key_offsets: &[0, index(rows.num_rows())],
            states: &states,
            history: &self.history,
            history_offsets: &[0, index(self.history.num_rows())],
            timer_keys: &vec![0; timers_us.len()],
            timers_us,
            watermark_us,
        };
        rule.call(call, deadline_us)
    }

    /// Adds what a call over the rows `range` said to what was said before.
    fn take_over(
        &mut self,
        rule: &RuleInstance,
        range: &Range<usize>,
        rows: &RecordBatch,
        outcome: RuleOutcome,
    ) -> Result<(), PluginError> {
        let arrow = |error: ArrowError| rule.caller(error.to_string());
        if let Some(state) = outcome.states.iter().next().flatten() {
            self.state = Some(state.to_vec());
            self.state_changed = true;
        }
        if !outcome.dropped_keys.is_empty() {
            self.state = None;
            self.state_changed = true;
        }
        if let Some(timer_us) = outcome.timers_us.last() {
            self.timer_us = Some(*timer_us);
        }
        let plan = rule.plan();
        if plan.history > 0 && rows.num_rows() > 0 {
            let new = rows.project(&plan.history_columns).map_err(arrow)?;
            let all = concat_batches(&self.history.schema(), [&self.history, &new]);
            let all = all.map_err(arrow)?;
            let keep = all.num_rows().min(size(plan.history));
            self.history = all.slice(all.num_rows().saturating_sub(keep), keep);
        }
        // A timer's entry has the index of the key after the rows: here the number of rows.
        let start = index(range.start);
        self.outcome.add(outcome, |row| row.saturating_add(start));
        Ok(())
    }

    fn finish(self, attributes: &SchemaRef) -> Result<RuleOutcome, ArrowError> {
        let mut outcome = self.outcome.finish(attributes)?;
        if self.state_changed {
            match self.state {
                Some(state) => {
                    outcome.state_keys = vec![0];
                    outcome.states = BinaryArray::from_vec(vec![&state]);
                }
                None => outcome.dropped_keys = vec![0],
            }
        }
        if let Some(timer_us) = self.timer_us {
            outcome.timer_keys = vec![0];
            outcome.timers_us = vec![timer_us];
        }
        Ok(outcome)
    }
}

/// Entries of several calls, one after the other.
#[derive(Default)]
struct Collected {
    rows: Vec<u32>,
    is_alert: Vec<bool>,
    severities: Vec<crate::config::model::Severity>,
    messages: Vec<StringArray>,
    attributes: Vec<RecordBatch>,
    poison: Vec<Poison>,
}

impl Collected {
    fn add(&mut self, outcome: RuleOutcome, row: impl Fn(u32) -> u32) {
        self.rows.extend(outcome.rows.into_iter().map(&row));
        self.is_alert.extend(outcome.is_alert.iter());
        self.severities.extend(outcome.severities);
        self.messages.push(outcome.messages);
        self.attributes.push(outcome.attributes);
        let poison = outcome.poison.into_iter();
        self.poison.extend(poison.map(|p| Poison { record: row(p.record), ..p }));
    }

    /// Returns all entries in the order of their rows. Nothing but the entries is filled in.
    fn finish(mut self, schema: &SchemaRef) -> Result<RuleOutcome, ArrowError> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|entry| self.rows.get(*entry).copied());
        let by_row = UInt32Array::from_iter_values(order.iter().map(|entry| index(*entry)));
        let messages: Vec<&dyn Array> = self.messages.iter().map(|m| m as &dyn Array).collect();
        let mut outcome = RuleOutcome::empty(schema);
        if !self.rows.is_empty() {
            let messages = arrow::compute::concat(&messages)?;
            outcome.messages = StringArray::from(take(&messages, &by_row, None)?.to_data());
            let attributes = concat_batches(schema, &self.attributes)?;
            outcome.attributes = take_record_batch(&attributes, &by_row)?;
        }
        let pick = |entry: &usize| self.rows.get(*entry).copied();
        outcome.rows = order.iter().filter_map(pick).collect();
        let is_alert: Vec<bool> =
            order.iter().filter_map(|entry| self.is_alert.get(*entry).copied()).collect();
        outcome.is_alert = BooleanBuffer::from(is_alert);
        let pick = |entry: &usize| self.severities.get(*entry).copied();
        outcome.severities = order.iter().filter_map(pick).collect();
        self.poison.sort_by_key(|poison| poison.record);
        outcome.poison = self.poison;
        Ok(outcome)
    }
}

/// Puts what was said about parts of a call's keys together. The parts are in the order of keys.
pub(super) fn join(
    attributes: &SchemaRef,
    call: &RuleCall<'_>,
    pieces: Vec<(Range<usize>, RuleOutcome)>,
) -> Result<RuleOutcome, String> {
    let all_rows = index(call.rows.num_rows());
    let mut entries = Collected::default();
    let (mut state_keys, mut states) = (Vec::new(), Vec::new());
    let (mut dropped_keys, mut timer_keys, mut timers_us) = (Vec::new(), Vec::new(), Vec::new());
    for (keys, mut outcome) in pieces {
        let offset = |key: usize| call.key_offsets.get(key).copied().unwrap_or(all_rows);
        let first_key = index(keys.start);
        let (first_row, end_row) = (offset(keys.start), offset(keys.end));
        let rows = end_row.saturating_sub(first_row);
        let row = |row: u32| {
            if row < rows {
                first_row.saturating_add(row)
            } else {
                all_rows.saturating_add(first_key).saturating_add(row.saturating_sub(rows))
            }
        };
        let shift = |key: u32| key.saturating_add(first_key);
        state_keys.extend(outcome.state_keys.drain(..).map(shift));
        states.push(std::mem::replace(&mut outcome.states, BinaryArray::new_null(0)));
        dropped_keys.extend(outcome.dropped_keys.drain(..).map(shift));
        timer_keys.extend(outcome.timer_keys.drain(..).map(shift));
        timers_us.append(&mut outcome.timers_us);
        entries.add(outcome, row);
    }
    let outcome = entries.finish(attributes).map_err(|error| error.to_string())?;
    let states: BinaryArray = states.iter().flat_map(|part| part.iter()).collect();
    Ok(RuleOutcome { state_keys, states, dropped_keys, timer_keys, timers_us, ..outcome })
}
