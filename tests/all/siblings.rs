//! Small siblings of the tests on shared data: the same pipelines over logs that our generator
//! makes, judged by the naive model. They run everywhere.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use chrono::DateTime;
use millstream::generate::{Format, Incidents, Settings};
use serde_json::{Value, json};

use crate::made::{assert_input, generate};
use crate::model::{
    self, Aligned, Log, Record, SECOND, count_if, distinct, event_line, mean, numbers, read,
    service_line,
};
use crate::support::{Rows, Run, assert_table, pipeline, run, set};

const MINUTE: i64 = 60 * SECOND;
const BY_SERVICE: &[&str] = &["window_start", "service"];

/// Twenty minutes of every trouble, with a slow and a failing service, a flood and a scanner.
fn settings(format: Format) -> Settings {
    Settings {
        format,
        rows: None,
        duration: Some("20 minutes".into()),
        rate: 3.0,
        out_of_order: 0.1,
        max_disorder: "5 seconds".into(),
        late: Some(0.03),
        max_lateness: "12 minutes".into(),
        malformed: 0.01,
        users: 40,
        seed: Some(11),
        incidents: Incidents::Default,
        ..Settings::default()
    }
}

struct Input {
    text: String,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

fn file(text: String) -> Input {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("input");
    std::fs::write(&path, &text).expect("write input");
    Input { text, path, _folder: folder }
}

fn made(format: Format, hash: &str) -> Input {
    let text = generate(&settings(format));
    assert_input(&text, hash);
    file(text)
}

fn service_logs() -> Input {
    made(Format::ServiceJson, "6850bd270443df49")
}

fn user_events() -> Input {
    made(Format::UserEvents, "8b2466d25a413293")
}

impl Input {
    fn run(&self, text: &str, source: &str, outputs: &[&str], more: &[String]) -> Run {
        let mut sets = vec![set(&format!("sources.{source}.path"), self.path.display())];
        sets.extend_from_slice(more);
        run(text, outputs, &sets)
    }
}

/// Reads one partition in which nothing is late.
fn all(text: &str, parse: fn(&str) -> Result<(i64, Value), &'static str>) -> Log {
    read(&[text.to_owned()], 24 * 60 * MINUTE, parse)
}

fn by_minute(log: &Log, key: &str, minutes: i64, figures: fn(&[&Record]) -> Value) -> Rows {
    model::rows(&Aligned::tumbling(minutes * MINUTE).groups(log, 0, key), key, figures)
}

fn is_error(row: &Value) -> bool {
    row["status_code"].as_i64().is_some_and(|status| status >= 400)
}

fn error_rate(records: &[&Record]) -> Value {
    let (total, errors) = (records.len(), count_if(records, is_error));
    json!({
        "total_requests": total,
        "error_count": errors,
        "error_rate": errors as f64 / total as f64 * 100.0,
    })
}

fn response_times(records: &[&Record]) -> Value {
    let times = numbers(records, "response_time");
    json!({
        "request_count": records.len(),
        "avg_response_time": mean(&times),
        "max_response_time": model::most(&times),
        "min_response_time": model::least(&times),
        "stddev_response_time": model::deviation(&times),
    })
}

fn address(records: &[&Record]) -> Value {
    json!({
        "request_count": records.len(),
        "unique_users": distinct(records, "user_id").len(),
        "services_used": distinct(records, "service"),
    })
}

fn flood(records: &[&Record]) -> Value {
    json!({ "request_count": records.len(), "unique_users": distinct(records, "user_id").len() })
}

fn health(records: &[&Record]) -> Value {
    let errors = count_if(records, is_error);
    let rate = errors as f64 / records.len() as f64 * 100.0;
    let score = [(1.0, 100), (5.0, 80), (10.0, 60)].iter().find(|(below, _)| rate < *below);
    json!({
        "total_requests": records.len(),
        "active_services": distinct(records, "service").len(),
        "active_users": distinct(records, "user_id").len(),
        "avg_response_time": mean(&numbers(records, "response_time")),
        "error_count": errors,
        "error_rate": rate,
        "health_score": score.map_or(40, |(_, score)| *score),
    })
}

/// Calls `each` with every row and up to `count` rows of its service before it, in time order.
fn with_previous(
    rows: &[Value],
    count: usize,
    each: impl Fn(&Value, &VecDeque<Value>) -> Value,
) -> Rows {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row["window_start"].to_string());
    let mut previous: BTreeMap<String, VecDeque<Value>> = BTreeMap::new();
    let mut out = Vec::new();
    for row in rows {
        let before = previous.entry(row["service"].to_string()).or_default();
        let mut annotated = row.clone();
        let added = each(&row, before);
        annotated
            .as_object_mut()
            .expect("a row")
            .extend(added.as_object().expect("columns").clone());
        out.push(annotated);
        before.push_back(row);
        if before.len() > count {
            before.pop_front();
        }
    }
    out
}

fn zscores(metrics: &[Value]) -> Rows {
    with_previous(metrics, 10, |row, before| {
        let averages: Vec<f64> =
            before.iter().filter_map(|row| row["avg_response_time"].as_f64()).collect();
        let (average, deviation) = (mean(&averages), model::deviation(&averages));
        let score = match (row["avg_response_time"].as_f64(), average, deviation) {
            (Some(value), Some(average), Some(deviation)) if deviation != 0.0 => {
                Some((value - average) / deviation)
            }
            _ => None,
        };
        json!({
            "avg_avg_response_time": average,
            "stddev_avg_response_time": deviation,
            "z_score": score,
        })
    })
}

fn spikes(rates: &[Value]) -> Rows {
    let all = with_previous(rates, 1, |row, before| {
        let (now, before) =
            (row["error_rate"].as_f64(), before.front().and_then(|row| row["error_rate"].as_f64()));
        let change = now.zip(before).map(|(now, before)| now - before);
        json!({ "prev_error_rate": before, "error_rate_change": change })
    });
    with(all, |row| row["error_rate_change"].as_f64().is_some_and(|change| change > 10.0))
}

fn with(rows: Rows, holds: impl Fn(&Value) -> bool) -> Rows {
    rows.into_iter().filter(holds).collect()
}

#[test]
fn log_queries() {
    let input = service_logs();
    let log = all(&input.text, service_line);
    let metrics = by_minute(&log, "service", 1, response_times);
    let scored = zscores(&metrics);
    let rates = by_minute(&log, "service", 1, error_rate);
    let addresses = by_minute(&log, "ip_address", 5, address);
    let is_suspicious = |row: &Value| {
        row["request_count"].as_i64().is_some_and(|count| count > 1_000)
            && row["services_used"].as_array().is_some_and(|services| services.len() > 5)
    };
    let is_flood = |row: &Value| {
        row["request_count"].as_i64().is_some_and(|count| count > 100)
            && row["unique_users"].as_i64().is_some_and(|users| users < 5)
    };
    let is_anomaly = |row: &Value| row["z_score"].as_f64().is_some_and(|score| score.abs() > 2.0);
    let by_address: &[&str] = &["window_start", "ip_address"];
    let cases: [(&str, Rows, &[&str]); 8] = [
        ("response_time_metrics", metrics, BY_SERVICE),
        ("response_time_zscores", columns(&scored), BY_SERVICE),
        ("response_time_anomalies", with(scored, is_anomaly), BY_SERVICE),
        ("error_rate", rates.clone(), BY_SERVICE),
        ("error_rate_spikes", spikes(&rates), BY_SERVICE),
        ("ip_patterns", addresses.clone(), by_address),
        ("suspicious_ips", with(addresses, is_suspicious), by_address),
        ("ddos_attacks", with(by_minute(&log, "ip_address", 1, flood), is_flood), by_address),
    ];
    let mut outputs: Vec<&str> = cases.iter().map(|(name, _, _)| *name).collect();
    outputs.extend(["system_health", "error_rate_update"]);
    let sets = [set("engine.epoch_rows", 500)];
    let run = input.run(&pipeline("log-analytics.toml"), "logs", &outputs, &sets);
    for (name, expected, keys) in &cases {
        assert!(!expected.is_empty(), "{name}: the input shows nothing of it");
        assert_table(name, expected, run.rows(name), keys);
    }
    let expected = by_minute(&log, "", 1, health);
    assert_table("system_health", &expected, run.rows("system_health"), &["window_start"]);
    let mut last = BTreeMap::new();
    for row in run.rows("error_rate_update") {
        last.insert(format!("{} {}", row["window_start"], row["service"]), row.clone());
    }
    let last: Rows = last.into_values().collect();
    assert_table("error_rate_update", &rates, &last, BY_SERVICE);
}

/// The columns that `response_time_zscores` selects.
fn columns(rows: &[Value]) -> Rows {
    let names = [
        "window_start",
        "window_end",
        "service",
        "avg_response_time",
        "avg_avg_response_time",
        "stddev_avg_response_time",
        "z_score",
    ];
    let select =
        |row: &Value| names.iter().map(|name| ((*name).to_owned(), row[*name].clone())).collect();
    rows.iter().map(select).collect()
}

fn event_figures(records: &[&Record]) -> Value {
    let values = numbers(records, "value");
    json!({
        "event_count": records.len(),
        "total_value": model::sum(&values),
        "avg_value": mean(&values),
    })
}

fn activity(records: &[&Record]) -> Value {
    let mut actions: Vec<&str> =
        records.iter().filter_map(|record| record.row["action"].as_str()).collect();
    actions.sort_unstable();
    json!({
        "total_events": records.len(),
        "unique_actions": distinct(records, "action").len(),
        "total_value": model::sum(&numbers(records, "value")),
        "actions_sequence": actions,
    })
}

const FIVE_BY_ONE: Aligned = Aligned { size: 5 * MINUTE, slide: MINUTE, offset: 0 };

#[test]
fn event_queries() {
    let input = user_events();
    let log = all(&input.text, event_line);
    let half = Aligned { size: MINUTE, slide: 30 * SECOND, offset: 0 };
    let by_user = ["window_start", "user_id"];
    let outputs = ["event_windows", "event_user_activity"];
    let run = input.run(&pipeline("event-analytics.toml"), "events", &outputs, &[]);
    let expected = model::rows(&FIVE_BY_ONE.groups(&log, 0, "user_id"), "user_id", event_figures);
    assert_table("event_windows", &expected, run.rows("event_windows"), &by_user);
    let expected = model::rows(&half.groups(&log, 0, "user_id"), "user_id", activity);
    assert_table("event_user_activity", &expected, run.rows("event_user_activity"), &by_user);
}

#[test]
fn late_rows_and_rejects() {
    let (logs, events) = (service_logs(), user_events());
    for (delay, minutes) in [("10 minutes", 10), ("1 minute", 1), ("0s", 0)] {
        let log = read(std::slice::from_ref(&logs.text), minutes * MINUTE, service_line);
        let window = Aligned::tumbling(MINUTE);
        let sets = [set("sources.logs.watermark.delay", delay)];
        let outputs = ["error_rate", "error_rate.late", "rows.rejects"];
        let run = logs.run(&pipeline("log-watermark.toml"), "logs", &outputs, &sets);
        let expected = model::rows(&window.groups(&log, 0, "service"), "service", error_rate);
        assert_table(delay, &expected, run.rows("error_rate"), BY_SERVICE);
        let late = window.late(&log, 0);
        assert!(!late.is_empty(), "{delay}");
        assert_table(delay, &late, run.rows("error_rate.late"), &["source_position"]);
        let refused: Rows = log
            .refused
            .iter()
            .map(|refused| json!({ "position": refused.position, "reason": refused.reason }))
            .collect();
        assert!(refused.len() > 10, "{delay}");
        assert_table(delay, &refused, run.rows("rows.rejects"), &["position"]);

        let log = read(std::slice::from_ref(&events.text), minutes * MINUTE, event_line);
        let sets = [set("sources.events.watermark.delay", delay)];
        let outputs = ["event_windows", "event_windows.late"];
        let run = events.run(&pipeline("event-watermark.toml"), "events", &outputs, &sets);
        let by_user = ["window_start", "user_id"];
        let expected =
            model::rows(&FIVE_BY_ONE.groups(&log, 0, "user_id"), "user_id", event_figures);
        assert_table(delay, &expected, run.rows("event_windows"), &by_user);
        let late = FIVE_BY_ONE.late(&log, 0);
        assert!(late.iter().any(|row| row["windows_kept"] != 0), "{delay}: some are late for some");
        assert_table(delay, &late, run.rows("event_windows.late"), &["source_position"]);
    }
}

/// A line of an access log: six quotes, and a time in brackets.
fn access_line(line: &str) -> Result<(i64, Value), &'static str> {
    let parts: Vec<&str> = line.split('"').collect();
    let [head, _, numbers, _, _, _, _] = parts[..] else { return Err("malformed") };
    let time = head.split(['[', ']']).nth(1).ok_or("malformed")?;
    let time = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z").map_err(|_| "malformed")?;
    let status: i64 =
        numbers.split_whitespace().next().unwrap_or("").parse().map_err(|_| "malformed")?;
    Ok((time.timestamp_micros(), json!({ "status": status })))
}

fn requests(records: &[&Record]) -> Value {
    json!({ "requests": records.len() })
}

#[test]
fn access_log() {
    let input = made(Format::ApacheCombined, "fda6f7967a53b7c5");
    for delay in [0, 5, 30, 720] {
        let log = read(std::slice::from_ref(&input.text), delay * SECOND, access_line);
        let sets = [set("sources.access.watermark.delay", format!("{delay} s"))];
        let outputs = ["statuses", "seconds", "seconds.late", "requests.rejects"];
        let run = input.run(crate::access_log::PIPELINE, "access", &outputs, &sets);
        let statuses = model::rows(&model::global(&log, "status"), "status", requests);
        assert!(statuses.len() >= 5);
        assert_table("statuses", &statuses, run.rows("statuses"), &["status"]);
        let refused: Rows =
            log.refused.iter().map(|refused| json!({ "position": refused.position })).collect();
        assert!(!refused.is_empty());
        assert_table("rejects", &refused, run.rows("requests.rejects"), &["position"]);
        let windows = Aligned::tumbling(10 * SECOND);
        let expected = model::rows(&windows.groups(&log, 0, ""), "", requests);
        let what = format!("delay {delay} s");
        assert_table(&what, &expected, run.rows("seconds"), &["window_start"]);
        let late = windows.late(&log, 0);
        assert_eq!(late.is_empty(), delay == 720, "{what}");
        assert_table(&what, &late, run.rows("seconds.late"), &["source_position"]);
        let counted: i64 =
            run.rows("seconds").iter().map(|row| row["requests"].as_i64().expect("a count")).sum();
        let counted = usize::try_from(counted).expect("a count");
        assert_eq!(counted + late.len(), log.records.len(), "{what}");
    }
}

#[test]
fn word_counts() {
    let odd = "\n  two  blanks \n\tone\ttab\nGrüß dich, 世界\nword Word WORD word\n \n";
    let input = file(
        odd.to_owned() + &generate(&settings(Format::ApacheCombined)) + "no newline at the end ",
    );
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for line in input.text.lines() {
        line.split(' ').for_each(|word| *counts.entry(word).or_default() += 1);
    }
    let rows = |least: i64| -> Rows {
        let counts = counts.iter().filter(|(_, count)| **count >= least);
        counts.map(|(word, count)| json!({ "word": word, "count": count })).collect()
    };
    for least in [1, 2, 50] {
        let text = format!("{}having = \"count >= {least}\"\n", pipeline("words.toml"));
        let run = input.run(&text, "text", &["counts"], &[]);
        assert_table("counts", &rows(least), run.rows("counts"), &["word"]);
    }
}

/// NAB's detector, as published: the distribution of up to `window` values, which moves on by
/// `step` values once it is full.
fn gaussian_scores(values: &[f64], window: usize, step: usize) -> Vec<f64> {
    let (mut held, mut waiting): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut scores = Vec::new();
    for value in values {
        scores.push(if held.is_empty() { 0.0 } else { 1.0 - tail(*value, &held) });
        if held.len() < window {
            held.push(*value);
        } else {
            waiting.push(*value);
            if waiting.len() == step {
                held.drain(..step);
                held.append(&mut waiting);
            }
        }
    }
    scores
}

/// The probability of a value further from the mean on the same side, by Simpson's rule.
fn tail(value: f64, held: &[f64]) -> f64 {
    let count = held.len() as f64;
    let mean = held.iter().sum::<f64>() / count;
    let variance = held.iter().map(|held| (held - mean).powi(2)).sum::<f64>() / count;
    let deviation = if variance == 0.0 { 0.000_001 } else { variance.sqrt() };
    let z = ((value - mean) / deviation).abs();
    if z > 9.0 {
        return 0.0;
    }
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let steps = 1_000;
    let width = z / f64::from(steps);
    let inner: f64 = (1..steps)
        .map(|at| density(width * f64::from(at)) * if at % 2 == 0 { 2.0 } else { 4.0 })
        .sum();
    0.5 - (density(0.0) + inner + density(z)) * width / 3.0
}

#[test]
fn windowed_gaussian() {
    // Values of user events, with a stretch that stands out; a point every five minutes.
    let values: Vec<f64> = generate(&settings(Format::UserEvents))
        .lines()
        .filter_map(|line| event_line(line).ok()?.1["value"].as_f64())
        .take(1_500)
        .enumerate()
        .map(|(at, value)| if (700..720).contains(&at) { value * 4.0 } else { value })
        .collect();
    assert_eq!(values.len(), 1_500);
    let mut text = "timestamp,value\n".to_owned();
    for (at, value) in (0i64..).zip(&values) {
        text.push_str(&format!(
            "{},{value:?}\n",
            model::text(1_700_000_000 * SECOND + at * 5 * MINUTE)
        ));
    }
    let input = file(text);
    for (window, step) in [(6_400, 100), (400, 50), (60, 20)] {
        let sets =
            [set("rules.gaussian.config.window", window), set("rules.gaussian.config.step", step)];
        let run = input.run(crate::anomalies::PIPELINE, "series", &["gaussian.rows"], &sets);
        let mine: Vec<f64> = run
            .rows("gaussian.rows")
            .iter()
            .map(|row| row["anomaly_score"].as_f64().expect("a score"))
            .collect();
        let expected = gaussian_scores(&values, window, step);
        assert_eq!(mine.len(), expected.len());
        for (line, (mine, expected)) in mine.iter().zip(&expected).enumerate() {
            assert!(
                (mine - expected).abs() <= 1e-9,
                "{window}/{step}, point {line}: {mine}, expected {expected}"
            );
        }
        assert!(expected[700..720].iter().any(|score| *score > 0.999), "the stretch stands out");
    }
}
