//! One parser over one chunk.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType, UInt32Type};
use arrow::error::ArrowError;

use super::rejects::{Reason, RejectContext, RejectedRecord, Rejects, plugin_failure};
use crate::data::Chunk;
use crate::plan::ParserNode;
use crate::plugin::{ParserInstance, PluginError, RecordsRef};

/// The rows of one parser for one chunk, before event-time bookkeeping.
pub struct Parsed {
    /// The user's columns.
    pub batch: RecordBatch,
    /// Event time of each row, microseconds since the Unix epoch.
    pub time: Int64Array,
    /// The record each row came from, ascending.
    pub records: UInt32Array,
}

/// Why a chunk could not be parsed at all. A record that cannot be parsed is a reject instead.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The plugin could not be started or broke its promises.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A columnar operation failed.
    #[error("columnar operation failed")]
    Arrow(#[from] ArrowError),
}

/// Calls the plugin on a chunk's records, in batches of at most `batch_rows`, and returns its rows.
///
/// Refused records, poison records, rows without an event time and rows too far in the future end
/// in `rejects`.
///
/// # Errors
/// When the plugin cannot be started, or answers with another schema than it announced.
pub fn parse_chunk(
    node: &ParserNode,
    instance: &mut ParserInstance,
    chunk: &Chunk,
    context: &RejectContext,
    rejects: &mut Rejects,
) -> Result<Parsed, ParseError> {
    let outcome = instance.parse(RecordsRef {
        data: chunk.data.as_slice(),
        offsets: &chunk.offsets,
        received_us: &chunk.received_us,
    })?;
    let descriptor = node.plugin.version().descriptor();
    let mut refused: Vec<u32> = Vec::with_capacity(outcome.rejects.len() + outcome.poison.len());
    for &(record, code) in &outcome.rejects {
        let reason = descriptor.reject_reason(code);
        rejects.add(context, &reason, rejected(chunk, record, None));
        refused.push(record);
    }
    for poison in &outcome.poison {
        let reason = plugin_failure(poison.error.failure.label());
        let detail = poison.error.to_string();
        rejects.add(context, &reason, rejected(chunk, poison.record, Some(&detail)));
        refused.push(poison.record);
    }
    let records = match outcome.source {
        Some(source) => UInt32Array::from(source),
        None => remaining(chunk.len(), refused),
    };
    let time = event_times(node, &outcome.rows, chunk, &records);
    let Some(keep) = acceptable(node, &time, chunk, &records) else {
        return Ok(Parsed { batch: outcome.rows, time, records });
    };
    report_unacceptable(chunk, &time, &records, &keep, context, rejects);
    Ok(Parsed {
        batch: filter_record_batch(&outcome.rows, &keep)?,
        time: filter(&time, &keep)?.as_primitive::<Int64Type>().clone(),
        records: filter(&records, &keep)?.as_primitive::<UInt32Type>().clone(),
    })
}

fn rejected<'a>(chunk: &'a Chunk, record: u32, detail: Option<&'a str>) -> RejectedRecord<'a> {
    let index = usize::try_from(record).unwrap_or(usize::MAX);
    RejectedRecord {
        position: chunk.positions.get(index).copied().unwrap_or_default(),
        received_us: chunk.received_us.get(index).copied().unwrap_or_default(),
        record: chunk.record(index),
        detail,
    }
}

/// Returns the records that were not refused, ascending.
pub fn remaining(records: usize, mut refused: Vec<u32>) -> UInt32Array {
    let count = u32::try_from(records).unwrap_or(u32::MAX);
    if refused.is_empty() {
        return UInt32Array::from_iter_values(0..count);
    }
    refused.sort_unstable();
    let mut next = refused.into_iter().peekable();
    UInt32Array::from_iter_values((0..count).filter(|record| {
        let gone = next.peek() == Some(record);
        if gone {
            next.next();
        }
        !gone
    }))
}

/// Returns each row's event time; null where the row has none.
fn event_times(
    node: &ParserNode,
    rows: &RecordBatch,
    chunk: &Chunk,
    records: &UInt32Array,
) -> Int64Array {
    let column = node.event_time.and_then(|index| rows.columns().get(index));
    match column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>()) {
        Some(times) => times.reinterpret_cast::<Int64Type>(),
        None => Int64Array::from_iter_values(records.values().iter().map(|&record| {
            let index = usize::try_from(record).unwrap_or(usize::MAX);
            chunk.received_us.get(index).copied().unwrap_or_default()
        })),
    }
}

/// Returns which rows have a usable event time; nothing when all have. A row must not be further
/// ahead of the receipt of its record than `max_ahead`.
fn acceptable(
    node: &ParserNode,
    time: &Int64Array,
    chunk: &Chunk,
    records: &UInt32Array,
) -> Option<BooleanArray> {
    let ahead = node.max_ahead_us.unwrap_or(i64::MAX);
    // Records are received in order, so no row may be later than this without a closer look.
    let first = chunk.received_us.first().copied().unwrap_or_default().saturating_add(ahead);
    if time.null_count() == 0 && time.values().iter().all(|time| *time <= first) {
        return None;
    }
    let received = |record: &u32| {
        let index = usize::try_from(*record).unwrap_or(usize::MAX);
        chunk.received_us.get(index).copied().unwrap_or_default()
    };
    let keep: BooleanArray = time
        .iter()
        .zip(records.values())
        .map(|(time, record)| {
            Some(time.is_some_and(|time| time <= received(record).saturating_add(ahead)))
        })
        .collect();
    (keep.true_count() < keep.len()).then_some(keep)
}

fn report_unacceptable(
    chunk: &Chunk,
    time: &Int64Array,
    records: &UInt32Array,
    keep: &BooleanArray,
    context: &RejectContext,
    rejects: &mut Rejects,
) {
    let missing: Reason = Arc::from("missing_event_time");
    let ahead: Reason = Arc::from("too_far_ahead");
    for (row, (time, &record)) in time.iter().zip(records.values()).enumerate() {
        if !keep.value(row) {
            let reason = if time.is_some() { &ahead } else { &missing };
            rejects.add(context, reason, rejected(chunk, record, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_leaves_refused_records_out() {
        assert_eq!(remaining(4, vec![]).values(), &[0, 1, 2, 3]);
        assert_eq!(remaining(5, vec![3, 0]).values(), &[1, 2, 4]);
        assert_eq!(remaining(1, vec![0]).len(), 0);
    }
}
