//! The naive model: what windows should hold, from the rules alone.
//!
//! Nothing here knows of batches, epochs, slices or state. A log is a list of rows in the order of
//! each partition; every window is computed anew from all of them. A row has its own partition's
//! watermark: the latest event time of the rows before it, minus the delay.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

pub const SECOND: i64 = 1_000_000;

/// A row that a parser took.
#[derive(Clone, Debug)]
pub struct Record {
    pub partition: usize,
    /// The offset of its first byte in its partition.
    pub position: usize,
    pub time: i64,
    /// Its partition's watermark when it came; none before the first row.
    pub watermark: Option<i64>,
    pub row: Value,
}

/// A line that a parser refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    pub partition: usize,
    pub position: usize,
    pub reason: &'static str,
}

/// All partitions, read to their ends.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub records: Vec<Record>,
    pub refused: Vec<Refused>,
}

/// Reads partitions. `parse` gives a line's event time and row, or why it is refused.
pub fn read(
    partitions: &[String],
    delay: i64,
    parse: fn(&str) -> Result<(i64, Value), &'static str>,
) -> Log {
    let mut log = Log::default();
    for (partition, text) in partitions.iter().enumerate() {
        let mut latest: Option<i64> = None;
        let mut position = 0;
        for line in text.split_inclusive('\n') {
            match parse(line.trim_end_matches('\n')) {
                Ok((time, row)) => {
                    let watermark = latest.map(|latest| latest - delay);
                    log.records.push(Record { partition, position, time, watermark, row });
                    latest = Some(latest.map_or(time, |latest| latest.max(time)));
                }
                Err(reason) => log.refused.push(Refused { partition, position, reason }),
            }
            position += line.len();
        }
    }
    log
}

/// A service log's line: an object with a time, and a status that is a whole number if it is there.
pub fn service_line(line: &str) -> Result<(i64, Value), &'static str> {
    let row: Value = serde_json::from_str(line).map_err(|_| "invalid_json")?;
    let time = row["timestamp"].as_str().map(micros).ok_or("missing_field")?;
    if !(row["status_code"].is_null() || row["status_code"].is_i64()) {
        return Err("wrong_type");
    }
    Ok((time, row))
}

/// A user event's line: its time is milliseconds.
pub fn event_line(line: &str) -> Result<(i64, Value), &'static str> {
    let row: Value = serde_json::from_str(line).map_err(|_| "invalid_json")?;
    let time = row["timestamp"].as_i64().ok_or("missing_field")? * 1_000;
    Ok((time, row))
}

/// Reads a time as RFC 3339 writes it.
pub fn micros(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros()
}

/// Writes a time as the sinks do.
pub fn text(time: i64) -> String {
    let time = DateTime::from_timestamp_micros(time).expect("a time");
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A window of one key and its rows, in the order of event time and position.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    pub bounds: Option<(i64, i64)>,
    pub key: Value,
    pub records: Vec<&'a Record>,
}

type Grouped<'a> = BTreeMap<(Option<(i64, i64)>, String), Vec<&'a Record>>;

fn groups<'a>(grouped: Grouped<'a>, key: &str) -> Vec<Group<'a>> {
    let group = |((bounds, _), mut records): (_, Vec<&'a Record>)| {
        records.sort_by_key(|record| (record.time, record.partition, record.position));
        Group { bounds, key: records[0].row[key].clone(), records }
    };
    grouped.into_iter().map(group).collect()
}

/// Tumbling and sliding windows.
#[derive(Clone, Copy, Debug)]
pub struct Aligned {
    pub size: i64,
    pub slide: i64,
    pub offset: i64,
}

impl Aligned {
    pub fn tumbling(size: i64) -> Self {
        Self { size, slide: size, offset: 0 }
    }

    /// The starts of all windows that hold a time, found by trying.
    fn starts(self, time: i64) -> Vec<i64> {
        let mut start = time - (time - self.offset).rem_euclid(self.slide);
        let mut starts = Vec::new();
        while start + self.size > time {
            starts.push(start);
            start -= self.slide;
        }
        starts.reverse();
        starts
    }

    fn is_late(self, record: &Record, start: i64, allowed: i64) -> bool {
        record.watermark.is_some_and(|watermark| start + self.size + allowed <= watermark)
    }

    pub fn groups<'a>(self, log: &'a Log, allowed: i64, key: &str) -> Vec<Group<'a>> {
        let mut grouped = Grouped::new();
        for record in &log.records {
            for start in self.starts(record.time) {
                if !self.is_late(record, start, allowed) {
                    let window = (Some((start, start + self.size)), record.row[key].to_string());
                    grouped.entry(window).or_default().push(record);
                }
            }
        }
        groups(grouped, key)
    }

    /// The rows that are late for at least one window, and what became of them.
    pub fn late(self, log: &Log, allowed: i64) -> Vec<Value> {
        let mut late = Vec::new();
        for record in &log.records {
            let (dropped, kept): (Vec<i64>, Vec<i64>) = self
                .starts(record.time)
                .into_iter()
                .partition(|start| self.is_late(record, *start, allowed));
            if let (Some(first), Some(last)) = (dropped.first(), dropped.last()) {
                late.push(late_row(record, dropped.len(), kept.len(), *first, *last));
            }
        }
        late
    }
}

fn late_row(record: &Record, dropped: usize, kept: usize, first: i64, last: i64) -> Value {
    json!({
        "source_position": record.position,
        "timestamp": text(record.time),
        "watermark": text(record.watermark.expect("a late row has one")),
        "windows_dropped": dropped,
        "windows_kept": kept,
        "first_window_dropped": text(first),
        "last_window_dropped": text(last),
    })
}

/// A session takes no row at or before its partition's watermark, whatever sessions there are.
fn is_late_for_sessions(record: &Record) -> bool {
    record.watermark.is_some_and(|watermark| record.time <= watermark)
}

pub fn sessions<'a>(log: &'a Log, gap: i64, key: &str) -> Vec<Group<'a>> {
    let mut by_key: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in log.records.iter().filter(|record| !is_late_for_sessions(record)) {
        by_key.entry(record.row[key].to_string()).or_default().push(record);
    }
    let mut grouped = Grouped::new();
    for (key, mut records) in by_key {
        records.sort_by_key(|record| record.time);
        for session in records.chunk_by(|a, b| b.time - a.time < gap) {
            let bounds = (session[0].time, session[session.len() - 1].time + gap);
            grouped.insert((Some(bounds), key.clone()), session.to_vec());
        }
    }
    groups(grouped, key)
}

pub fn late_for_sessions(log: &Log) -> Vec<Value> {
    let late = log.records.iter().filter(|record| is_late_for_sessions(record));
    late.map(|record| late_row(record, 1, 0, record.time, record.time)).collect()
}

/// Every `size` rows of a key, in the order given. Rows left over make no window.
pub fn counts<'a>(records: &[&'a Record], size: usize, key: &str) -> Vec<Group<'a>> {
    let mut by_key: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        by_key.entry(record.row[key].to_string()).or_default().push(record);
    }
    let mut windows = Vec::new();
    for records in by_key.into_values() {
        for records in records.chunks_exact(size) {
            let first = records.iter().map(|record| record.time).min().expect("rows");
            let last = records.iter().map(|record| record.time).max().expect("rows");
            let mut records = records.to_vec();
            records.sort_by_key(|record| (record.time, record.partition, record.position));
            let key = records[0].row[key].clone();
            windows.push(Group { bounds: Some((first, last + 1)), key, records });
        }
    }
    windows
}

/// Every row of a key, however late.
pub fn global<'a>(log: &'a Log, key: &str) -> Vec<Group<'a>> {
    let mut grouped = Grouped::new();
    for record in &log.records {
        grouped.entry((None, record.row[key].to_string())).or_default().push(record);
    }
    groups(grouped, key)
}

/// Result rows: the window, its key if it has one, and what `figures` says of its rows.
pub fn rows(groups: &[Group<'_>], key: &str, figures: fn(&[&Record]) -> Value) -> Vec<Value> {
    let row = |group: &Group<'_>| {
        let mut row = Map::new();
        if let Some((start, end)) = group.bounds {
            row.insert("window_start".into(), json!(text(start)));
            row.insert("window_end".into(), json!(text(end)));
        }
        if !key.is_empty() {
            row.insert(key.into(), group.key.clone());
        }
        let Value::Object(figures) = figures(&group.records) else {
            panic!("figures are an object")
        };
        row.extend(figures);
        Value::Object(row)
    };
    groups.iter().map(row).collect()
}

/// The numbers of a column; nulls are left out.
pub fn numbers(records: &[&Record], column: &str) -> Vec<f64> {
    records.iter().filter_map(|record| record.row[column].as_f64()).collect()
}

pub fn count_if(records: &[&Record], holds: fn(&Value) -> bool) -> usize {
    records.iter().filter(|record| holds(&record.row)).count()
}

/// The sum of a column of whole numbers.
pub fn total(records: &[&Record], column: &str) -> Value {
    let values: Vec<i64> =
        records.iter().filter_map(|record| record.row[column].as_i64()).collect();
    if values.is_empty() { Value::Null } else { json!(values.iter().sum::<i64>()) }
}

/// The different values of a column, sorted; null is no value.
pub fn distinct(records: &[&Record], column: &str) -> BTreeSet<String> {
    records.iter().filter_map(|record| record.row[column].as_str()).map(str::to_owned).collect()
}

pub fn sum(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum())
}

pub fn mean(values: &[f64]) -> Option<f64> {
    sum(values).map(|sum| sum / values.len() as f64)
}

/// The sample standard deviation: nothing below two values.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

pub fn least(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::min)
}

pub fn most(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::max)
}
