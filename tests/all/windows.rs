//! Exact goldens of tumbling and sliding windows.

use serde_json::{Value, json};

use crate::support::{assert_table, data, read_jsonl, run, set};

fn golden(name: &str) -> Option<Vec<Value>> {
    data(&format!("windows/{name}.jsonl")).map(|path| read_jsonl(&path))
}

/// The goldens write times without a zone.
fn without_zone(value: &Value) -> Value {
    json!(value.as_str().expect("a time").trim_end_matches('Z'))
}

#[test]
fn cars_by_hour() {
    let Some(input) = data("windows/cars.jsonl") else { return };
    let text = r#"
name = "cars"
[sources.cars]
type = "file"
path = "cars.jsonl"
[parsers.events]
input = "cars"
plugin = "json"
event_time = "timestamp"
config = { columns = { timestamp = { type = "timestamp", required = true }, event_type = "text" } }
[windows.hours]
input = "events"
tumbling = "1 hour"
aggregate = { count = "count(*)" }
[windows.by_type]
input = "events"
tumbling = "1 hour"
group_by = ["event_type"]
aggregate = { count = "count(*)" }
"#;
    let sets =
        [set("sources.cars.path", input.display()), set("sources.cars.watermark.delay", "0s")];
    let result = run(text, &["hours", "hours.late", "by_type"], &sets);
    assert!(result.rows("hours.late").is_empty());
    let mine: Vec<Value> = result
        .rows("hours")
        .iter()
        .map(|row| json!({ "timestamp": without_zone(&row["window_end"]), "count": row["count"] }))
        .collect();
    let Some(expected) = golden("expected_tight_watermark") else { return };
    assert_table("hours", &expected, &mine, &["timestamp"]);
    let mine: Vec<Value> = result
        .rows("by_type")
        .iter()
        .map(|row| json!({ "hour": without_zone(&row["window_start"]), "event_type": row["event_type"], "count": row["count"] }))
        .collect();
    let Some(expected) = golden("expected_hourly_by_event_type") else { return };
    assert_table("by_type", &expected, &mine, &["hour", "event_type"]);
}

#[test]
fn impulses_in_sliding_windows() {
    let Some(input) = data("windows/impulse.jsonl") else { return };
    let text = r#"
name = "impulse"
[sources.impulse]
type = "file"
path = "impulse.jsonl"
[parsers.events]
input = "impulse"
plugin = "json"
event_time = "timestamp"
config = { columns = { timestamp = { type = "timestamp", required = true }, counter = "int64" } }
[windows.slides]
input = "events"
sliding = { size = "10 seconds", slide = "2 seconds" }
aggregate = { count = "count(*)", min = "min(counter)", max = "max(counter)" }
"#;
    let result = run(text, &["slides"], &[set("sources.impulse.path", input.display())]);
    let mine: Vec<Value> = result
        .rows("slides")
        .iter()
        .map(|row| {
            json!({
                "start": without_zone(&row["window_start"]), "end": without_zone(&row["window_end"]),
                "count": row["count"], "min": row["min"], "max": row["max"],
            })
        })
        .collect();
    let Some(expected) = golden("expected_sliding_window_end") else { return };
    assert_table("slides", &expected, &mine, &["start"]);
}
