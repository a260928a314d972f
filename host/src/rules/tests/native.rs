//! A native evaluator, and rows to feed it.

#![expect(clippy::cast_possible_truncation, reason = "tests have a few rows")]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::config::model::{RowOrder, Severity};
use crate::data::{NO_TIME, Partition, PartitionRef, Rows, SourceId};
use crate::rules::*;

/// One row: event time, key, value.
pub(super) type Event = (i64, &'static str, f64);

pub(super) fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("x", DataType::Float64, true),
    ]))
}

pub(super) fn poison(row: u32) -> Poison {
    Poison { row, reason: "trap", message: "-99".into() }
}

pub(super) fn partition(number: u32) -> PartitionRef {
    PartitionRef { source: SourceId(0), partition: Partition(number) }
}

/// Rows of one partition; `first` is the position of the first.
pub(super) fn rows(from: u32, first: i64, events: &[Event]) -> Rows {
    let time: Vec<i64> = events.iter().map(|event| event.0).collect();
    let mut max_before = Vec::new();
    let mut max = NO_TIME;
    for time in &time {
        max_before.push(max);
        max = max.max(*time);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(time.clone())),
        Arc::new(StringArray::from_iter_values(events.iter().map(|event| event.1))),
        Arc::new(events.iter().map(|e| (!e.2.is_nan()).then_some(e.2)).collect::<Float64Array>()),
    ];
    Rows {
        batch: RecordBatch::try_new(input(), columns).unwrap(),
        time: Int64Array::from(time),
        position: (0..).map(|n| first + n).take(events.len()).collect::<Vec<i64>>().into(),
        max_before: Int64Array::from(max_before),
        from: Some(partition(from)),
    }
}

/// Annotates each row with the number and sum of its key's rows and the sum of the last two;
/// alerts once for x >= 10, twice for x >= 20; clears its state at x = -1; fails at x = -99.
/// With `silence`, its timer is due that long after a row, and again after a timer.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) silence: Option<i64>,
    pub(super) again: bool,
    /// Fails at every timer.
    pub(super) hates_timers: bool,
    /// Calls so far.
    pub(super) calls: usize,
}

pub(super) fn attributes() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("rows", DataType::Int64, true),
        Field::new("sum", DataType::Float64, true),
        Field::new("recent", DataType::Float64, true),
    ]))
}

#[derive(Default)]
struct Entries {
    rows: Vec<u32>,
    is_alert: Vec<bool>,
    severities: Vec<Severity>,
    messages: Vec<String>,
    values: Vec<(i64, f64, f64)>,
}

impl Entries {
    fn add(&mut self, row: u32, alert: Option<Severity>, message: &str, values: (i64, f64, f64)) {
        self.rows.push(row);
        self.is_alert.push(alert.is_some());
        self.severities.push(alert.unwrap_or(Severity::Info));
        self.messages.push(message.to_owned());
        self.values.push(values);
    }
}

fn read(state: &[u8]) -> (i64, f64) {
    let (count, sum) = state.split_at(8);
    (i64::from_le_bytes(count.try_into().unwrap()), f64::from_le_bytes(sum.try_into().unwrap()))
}

impl Evaluator for Sum {
    fn evaluate(&mut self, call: RuleCall<'_>) -> Result<RuleOutcome, EvaluateError> {
        self.calls += 1;
        let at = call.rows.column_by_name("at").unwrap().as_primitive::<Int64Type>();
        let x = call.rows.column_by_name("x").unwrap().as_primitive::<Float64Type>();
        let old = call.history.column_by_name("x").unwrap().as_primitive::<Float64Type>();
        let mut out = RuleOutcome::nothing(attributes());
        let mut entries = Entries::default();
        for key in 0..call.key_offsets.len() - 1 {
            let span = |offsets: &[u32]| offsets[key] as usize..offsets[key + 1] as usize;
            let number = key as u32;
            let mut state = call.states.is_valid(key).then(|| read(call.states.value(key)));
            let before = state;
            let mut recent: Vec<f64> = span(call.history_offsets)
                .map(|i| if old.is_valid(i) { old.value(i) } else { 0.0 })
                .collect();
            let mut timer = None;
            for row in span(call.key_offsets) {
                if x.is_valid(row) && x.value(row) == -99.0 {
                    out.poison.push(poison(row as u32));
                    continue;
                }
                let (count, sum) = state.unwrap_or_default();
                let value = if x.is_null(row) { 0.0 } else { x.value(row) };
                let last = recent.iter().rev().take(2).fold(0.0, |sum, x| sum + x);
                let values = (count + 1, sum + value, last);
                state = (value != -1.0).then_some((count + 1, sum + value));
                if value < 10.0 {
                    entries.add(row as u32, None, "", values);
                } else {
                    entries.add(row as u32, Some(Severity::Warning), "high", values);
                }
                if value >= 20.0 {
                    entries.add(row as u32, Some(Severity::Critical), "very high", values);
                }
                recent.push(value);
                timer = self.silence.map(|gap| at.value(row) + gap).or(timer);
            }
            out.timers.extend(timer.map(|at| (number, at)));
            if state != before {
                let bytes = state.map(|(count, sum)| {
                    let mut bytes = count.to_le_bytes().to_vec();
                    bytes.extend(sum.to_le_bytes());
                    bytes
                });
                out.state.push((number, bytes));
            }
        }
        for (key, at) in call.timer_keys.iter().zip(call.timers_us) {
            if self.hates_timers {
                out.poison.push(poison(call.rows.num_rows() as u32 + key));
                continue;
            }
            let (count, sum) = match call.states.is_valid(*key as usize) {
                true => read(call.states.value(*key as usize)),
                false => (0, 0.0),
            };
            let row = call.rows.num_rows() as u32 + key;
            entries.add(row, Some(Severity::Info), &format!("silent at {at}"), (count, sum, 0.0));
            if self.again {
                out.timers.push((*key, at + self.silence.unwrap()));
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(entries.values.iter().map(|v| v.0))),
            Arc::new(Float64Array::from_iter_values(entries.values.iter().map(|v| v.1))),
            Arc::new(Float64Array::from_iter_values(entries.values.iter().map(|v| v.2))),
        ];
        out.attributes = RecordBatch::try_new(attributes(), columns)?;
        out.rows = entries.rows;
        out.is_alert = BooleanBuffer::from(entries.is_alert);
        out.severities = entries.severities;
        out.messages = StringArray::from(entries.messages);
        Ok(out)
    }
}

pub(super) fn settings(order: RowOrder) -> KeyedSettings {
    KeyedSettings {
        alerts: AlertSettings {
            pipeline: "p".into(),
            rule: "r".into(),
            input: input(),
            key: vec!["name".into()],
            severity: None,
            message: None,
            plugin_version: Some("sum 1.0.0".into()),
        },
        plan: RulePlan { attributes: attributes(), history: 2, history_columns: vec!["x".into()] },
        state_ttl_us: None,
        order,
        revisions: false,
        call_rows: 8192,
        annotate: true,
    }
}

/// Returns rows as text: values joined by spaces, in the columns asked for (none: all).
pub(super) fn show(batch: &RecordBatch, columns: &[&str]) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let schema = batch.schema();
    let wanted = |name: &str| columns.is_empty() || columns.contains(&name);
    let formatters: Vec<_> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .filter(|(field, _)| wanted(field.name()))
        .map(|(_, column)| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    let row = |row| formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>();
    (0..batch.num_rows()).map(|n| row(n).join(" ")).collect()
}

/// Returns some of the rows.
pub(super) fn slice(rows: &Rows, from: usize, to: usize) -> Rows {
    let indices: Vec<u32> = (from..to).map(|row| row as u32).collect();
    rows.take(&UInt32Array::from(indices)).unwrap()
}
