//! Alerts for people: one line each.

use arrow::array::RecordBatch;

use super::column::{Column, Value};
use super::error::EncodeError;
use super::table::{printable, severity_colour};
use crate::time::write_timestamp;

/// The columns that a line shows, in its order.
pub const ALERT_COLUMNS: [&str; 4] = ["event_time", "severity", "rule", "message"];

/// The longest severity.
const SEVERITY_WIDTH: usize = "critical".len();

/// Whole seconds are enough for people; this is the width of `2025-09-12T12:00:00Z`.
const TIME_WIDTH: usize = 20;

/// An alert as `2025-09-12T12:24:59Z  critical  error_rate_spike  payment-service: 54.9 % errors`.
pub struct AlertLine {
    /// Its event time, in microseconds; the least when it has none.
    pub time_us: i64,
    /// The line, with its end.
    pub text: Vec<u8>,
}

/// Returns a line for each row. `rule_width` aligns the messages. Control characters are shown as
/// in tables.
///
/// # Errors
/// When a column's type has no text form.
pub fn alert_lines(
    batch: &RecordBatch,
    rule_width: usize,
    colour: bool,
) -> Result<Vec<AlertLine>, EncodeError> {
    let all = Column::of_batch(batch)?;
    let schema = batch.schema_ref();
    let columns = ALERT_COLUMNS
        .map(|name| schema.column_with_name(name).and_then(|(index, _)| all.get(index)));
    let [time, severity, rule, message] = columns;
    let line = |row| {
        let mut out = Vec::with_capacity(128);
        let time_us = match time.map(|column| column.value(row)) {
            Some(Value::Time(us)) => {
                write_timestamp(&mut out, us - us.rem_euclid(1_000_000));
                us
            }
            _ => {
                out.push(b'-');
                i64::MIN
            }
        };
        let missing = TIME_WIDTH.saturating_sub(out.len());
        pad(&mut out, missing);
        let severity = text(severity, row);
        let colour = if colour { severity_colour(&severity) } else { "" };
        out.extend_from_slice(colour.as_bytes());
        out.extend_from_slice(severity.as_bytes());
        if !colour.is_empty() {
            out.extend_from_slice(b"\x1b[0m");
        }
        pad(&mut out, SEVERITY_WIDTH.saturating_sub(severity.len()));
        let rule = text(rule, row);
        out.extend_from_slice(rule.as_bytes());
        pad(&mut out, rule_width.saturating_sub(rule.len()));
        out.extend_from_slice(text(message, row).as_bytes());
        out.push(b'\n');
        AlertLine { time_us, text: out }
    };
    Ok((0..batch.num_rows()).map(line).collect())
}

fn text(column: Option<&Column>, row: usize) -> String {
    match column.map(|column| column.value(row)) {
        Some(Value::Text(text)) => printable(text),
        _ => "-".to_owned(),
    }
}

/// Appends what is missing in a field, and the space between two.
fn pad(out: &mut Vec<u8>, missing: usize) {
    out.resize(out.len() + missing + 2, b' ');
}
