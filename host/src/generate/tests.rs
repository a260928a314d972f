//! What every format promises.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::hash;
use crate::time::parse_timestamp_us;

fn settings(format: Format) -> Settings {
    Settings { format, rows: Some(20_000), ..Settings::default() }
}

fn generate(settings: &Settings, chunk: usize) -> (String, Vec<Truth>) {
    let mut generator = Generator::new(settings).unwrap();
    let mut out = Vec::new();
    while generator.fill(&mut out, chunk) == chunk {}
    (String::from_utf8(out).unwrap(), generator.truth())
}

fn json_rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn time_us(row: &Value, column: &str) -> i64 {
    parse_timestamp_us(row[column].as_str().unwrap()).unwrap()
}

fn truth<'a>(list: &'a [Truth], kind: &str) -> &'a Truth {
    list.iter().find(|truth| truth.kind == kind).unwrap()
}

fn is_in(time_us: i64, truth: &Truth) -> bool {
    let bound = |text: &str| parse_timestamp_us(text).unwrap();
    // Rows show milliseconds, incidents start at microseconds.
    (bound(&truth.start) / 1000 * 1000..bound(&truth.end)).contains(&time_us)
}

/// Everything on.
fn rich(format: Format) -> Settings {
    let incidents = if format == Format::RecordJ { Incidents::None } else { Incidents::Default };
    Settings {
        malformed: 0.01,
        late: Some(0.01),
        diurnal: 0.5,
        incidents,
        seed: Some(42),
        ..settings(format)
    }
}

#[test]
fn the_bytes_never_change() {
    for (format, expected) in [
        (Format::ServiceJson, 16_368_521_988_604_580_816u64),
        (Format::ApacheCombined, 11_233_506_500_209_890_585),
        (Format::NginxCombined, 15_406_043_064_368_610_050),
        (Format::UserEvents, 9_089_465_474_441_630_358),
        (Format::RecordJ, 12_143_888_062_726_336_551),
    ] {
        let (text, truth) = generate(&rich(format), 8192);
        assert_eq!(text.lines().count(), 20_000);
        assert_eq!(hash::hash64(text.as_bytes()), expected, "{}", format.name());
        // However the rows are fetched.
        for chunk in [1, 77] {
            assert!((text.clone(), truth.clone()) == generate(&rich(format), chunk));
        }
        let mut generator = Generator::new(&rich(format)).unwrap();
        assert_eq!(generator.skip(12_345), 12_345);
        let mut line = Vec::new();
        assert!(generator.write_row(&mut line));
        assert_eq!(Some(String::from_utf8(line).unwrap().as_str()), text.lines().nth(12_345));
        assert_eq!(generator.skip(u64::MAX), 20_000 - 12_346);
        let other = Settings { seed: Some(43), ..rich(format) };
        assert!(text != generate(&other, 8192).0);
    }
}

#[test]
fn service_rows_have_the_schema_and_come_in_order_of_arrival() {
    let (text, _) = generate(&settings(Format::ServiceJson), 8192);
    let rows = json_rows(&text);
    let columns = [
        "timestamp",
        "level",
        "service",
        "message",
        "ip_address",
        "user_id",
        "request_id",
        "response_time",
        "status_code",
        "error_code",
        "method",
        "url",
        "user_agent",
        "received_at",
    ];
    let optional = ["user_id", "response_time", "error_code"];
    let mut last = 0;
    let (mut users, mut services) = (BTreeSet::new(), BTreeSet::new());
    for row in &rows {
        let row_columns = row.as_object().unwrap();
        assert!(row_columns.keys().all(|column| columns.contains(&column.as_str())), "{row}");
        for column in columns {
            assert!(optional.contains(&column) || !row[column].is_null(), "{column} in {row}");
        }
        assert!(row["status_code"].is_u64());
        let received = time_us(row, "received_at");
        assert!(received >= last && time_us(row, "timestamp") < received);
        last = received;
        users.insert(row["user_id"].as_str());
        services.insert(row["service"].as_str());
    }
    assert_eq!(services.len(), 8);
    assert!((380..=401).contains(&users.len()), "some users are rare: {}", users.len());
    let share = |column: &str| rows.iter().filter(|row| row[column].is_null()).count();
    assert!((300..800).contains(&share("user_id")));
    assert!((60..200).contains(&share("response_time")));
    assert!((16_000..19_000).contains(&share("error_code")));
}

#[test]
fn shares_are_kept_and_delays_bounded() {
    let settings = Settings {
        out_of_order: 0.1,
        max_disorder: "3 s".into(),
        late: Some(0.02),
        max_lateness: "1 minute".into(),
        malformed: 0.05,
        ..settings(Format::ServiceJson)
    };
    let (text, truths) = generate(&settings, 8192);
    let near = |kind, share: f64| {
        let rows = truth(&truths, kind).rows as f64 / 20_000.0;
        assert!((rows / share - 1.0).abs() < 0.15, "{kind}: {rows}");
    };
    near("out-of-order", 0.098);
    near("late", 0.02);
    near("malformed", 0.05);
    let (mut bad, mut disordered, mut late, mut behind, mut max) = (0, 0, 0, 0, 0);
    for line in text.lines() {
        let row: Option<Value> = serde_json::from_str(line).ok();
        let row = row.filter(|row| !row["timestamp"].is_null() && row["status_code"].is_u64());
        let Some(row) = row else {
            bad += 1;
            continue;
        };
        let time = time_us(&row, "timestamp");
        let delay_ms = (time_us(&row, "received_at") - time) / 1000 - 120;
        assert!((0..=60_001).contains(&delay_ms), "{delay_ms}");
        disordered += u64::from((1..=3000).contains(&delay_ms));
        late += u64::from(delay_ms > 3001);
        behind += u64::from(time < max);
        max = max.max(time);
    }
    assert_eq!(bad, truth(&truths, "malformed").rows);
    assert!(disordered <= truth(&truths, "out-of-order").rows + 20);
    assert!(late <= truth(&truths, "late").rows && late > 300, "{late}");
    assert!(behind > 1800 && behind <= disordered + late + 20, "{behind}");
}

#[test]
fn incidents_show_and_the_truth_is_exact() {
    let settings = Settings {
        duration: Some("1 hour".into()),
        rows: Some(60_000),
        incidents: Incidents::Default,
        ..settings(Format::ServiceJson)
    };
    let (text, truths) = generate(&settings, 8192);
    let rows = json_rows(&text);

    let shift = truth(&truths, "latency-shift");
    let mean = |inside: bool| {
        let times: Vec<_> = rows
            .iter()
            .filter(|row| row["service"] == *shift.target)
            .filter(|row| is_in(time_us(row, "timestamp"), shift) == inside)
            .filter_map(|row| row["response_time"].as_f64())
            .collect();
        (times.iter().sum::<f64>() / times.len() as f64, times.len() as u64)
    };
    assert!(mean(true).0 > 6.0 * mean(false).0);
    assert!(mean(true).1.abs_diff(shift.rows) <= 1 && shift.rows > 300);

    let spike = truth(&truths, "error-spike");
    let errors = |inside: bool| {
        let all: Vec<_> = rows
            .iter()
            .filter(|row| row["service"] == *spike.target)
            .filter(|row| is_in(time_us(row, "timestamp"), spike) == inside)
            .map(|row| row["status_code"].as_u64().unwrap() >= 500)
            .collect();
        all.iter().filter(|failed| **failed).count() as f64 / all.len() as f64
    };
    assert!(errors(true) > 0.4 && errors(false) < 0.03);

    let ddos = truth(&truths, "ddos");
    let flood: Vec<_> = rows.iter().filter(|row| row["ip_address"] == *ddos.target).collect();
    assert_eq!(flood.len() as u64, ddos.rows);
    assert!(flood.iter().all(|row| is_in(time_us(row, "timestamp"), ddos)));
    assert!(flood.iter().map(|row| row["user_id"].as_str()).collect::<BTreeSet<_>>().len() < 5);
    // Above a hundred requests in each of the three minutes.
    assert!(flood.len() > 3 * 400, "{}", flood.len());

    let scan = truth(&truths, "scanner");
    let scanned: Vec<_> = rows.iter().filter(|row| row["ip_address"] == *scan.target).collect();
    assert_eq!(scanned.len() as u64, scan.rows);
    let mut windows = BTreeMap::new();
    for row in &scanned {
        let window = time_us(row, "timestamp").div_euclid(300_000_000);
        windows.entry(window).or_insert_with(Vec::new).push(row["service"].as_str());
    }
    assert!(windows.values().any(|services| {
        services.len() > 1000 && services.iter().collect::<BTreeSet<_>>().len() == 8
    }));

    let mut lines = Vec::new();
    Truth::write_lines(&truths, &mut lines).unwrap();
    let lines = json_rows(std::str::from_utf8(&lines).unwrap());
    assert_eq!(lines[0]["kind"], "latency-shift");
    assert_eq!(lines[0]["rows"], shift.rows);
}

#[test]
fn access_logs_look_like_access_logs() {
    for format in [Format::ApacheCombined, Format::NginxCombined] {
        let (text, truths) = generate(&rich(format), 8192);
        let good: Vec<_> = text.lines().filter(|line| line.matches('"').count() == 6).collect();
        let bad = u64::try_from(text.lines().count() - good.len()).unwrap();
        assert_eq!(bad, truth(&truths, "malformed").rows);
        for line in &good {
            let (before, rest) = line.split_once(" [").unwrap();
            assert_eq!(before.split(' ').count(), 3, "{line}");
            let (time, rest) = rest.split_once("] \"").unwrap();
            assert_eq!(time.len(), "12/Sep/2025:11:59:33 +0000".len());
            let (request, rest) = rest.split_once("\" ").unwrap();
            assert_eq!(request.split(' ').count(), 3, "{line}");
            let mut numbers = rest.split(' ');
            let status: u64 = numbers.next().unwrap().parse().unwrap();
            let bytes = numbers.next().unwrap();
            let empty = if format == Format::ApacheCombined { "-" } else { "0" };
            assert_eq!(matches!(status, 204 | 304), bytes == empty, "{line}");
        }
        let flood = truth(&truths, "ddos");
        let found = good.iter().filter(|line| line.starts_with(flood.target.as_str())).count();
        assert_eq!(found as u64, flood.rows);
        assert!(truths.iter().all(|truth| truth.kind != "latency-shift"));
    }
}

#[test]
fn user_events_have_the_schema() {
    let (text, truths) = generate(&Settings { malformed: 0.0, ..rich(Format::UserEvents) }, 8192);
    let rows = json_rows(&text);
    for row in &rows {
        assert!(row["timestamp"].is_i64() && row["user_id"].is_string(), "{row}");
        assert!(row["value"].is_f64() || row["value"].is_null());
        assert!(row["action"].is_string() && row["session_id"].is_string());
    }
    let burst = truth(&truths, "ddos");
    let found = rows.iter().filter(|row| row["ip_address"] == *burst.target).count();
    assert!(found as u64 == burst.rows && burst.rows > 100);
}

#[test]
fn rows_and_duration() {
    let count = |settings: Settings| generate(&settings, 1000).0.lines().count();
    let base = || Settings { rate: 50.0, late: Some(0.0), ..Settings::default() };
    assert_eq!(count(Settings { rows: Some(0), ..base() }), 0);
    assert_eq!(count(Settings { rows: Some(3), ..base() }), 3);
    let minute = count(Settings { duration: Some("1 minute".into()), ..base() });
    assert!((2700..3300).contains(&minute), "{minute}");
    // A whole day has the same number of rows with a daily curve.
    let day = |diurnal| {
        let duration = Some("1 day".into());
        count(Settings { rate: 0.5, diurnal, duration, ..base() }) as f64
    };
    assert!((day(1.0) / day(0.0) - 1.0).abs() < 0.03);
    // At night there is less.
    let hour = |start: &str| {
        let start = Some(format!("2025-09-12T{start}:00:00Z"));
        count(Settings { start, diurnal: 1.0, duration: Some("1 hour".into()), ..base() })
    };
    assert!(hour("13") > 3 * hour("03"));
    let both = Settings { rows: Some(6000), duration: Some("10 minutes".into()), ..base() };
    let rows = json_rows(&generate(&both, 1000).0);
    let span = time_us(&rows[5999], "timestamp") - time_us(&rows[0], "timestamp");
    assert!((span - 600_000_000).abs() < 40_000_000, "{span}");
}

#[test]
fn settings_from_a_pipeline_file() {
    let json = serde_json::json!({
        "format": "apache-combined",
        "rate": 10,
        "incidents": [{ "kind": "ddos", "start": "1 min", "length": "30s", "target": "192.0.2.7" }],
    });
    let settings = Settings::from_json(&json).unwrap();
    let Incidents::List(incidents) = &settings.incidents else { panic!("not a list") };
    assert_eq!(incidents[0].kind, IncidentKind::Ddos);
    let back = serde_json::to_value(&settings).unwrap();
    assert_eq!(Settings::from_json(&back).unwrap(), settings);
    assert_eq!(Settings::from_json(&Value::Null).unwrap(), Settings::default());
}

#[test]
fn wrong_settings_are_explained() {
    for (json, expected) in [
        (serde_json::json!({ "fromat": "x" }), "unknown field `fromat`"),
        (serde_json::json!({ "incidents": "some" }), "\"none\", \"default\" or a list"),
        (serde_json::json!({ "start": "today" }), "`start` cannot be `today`"),
        (serde_json::json!({ "duration": "5 parsecs" }), "`duration` cannot be `5 parsecs`"),
        (serde_json::json!({ "duration": "0s" }), "more than no time"),
        (serde_json::json!({ "rate": 0 }), "`rate` cannot be `0`"),
        (serde_json::json!({ "late": 1.5 }), "`late` cannot be `1.5`"),
        (serde_json::json!({ "users": 0 }), "`users` cannot be `0`"),
        (
            serde_json::json!({ "format": "user-events", "incidents":
                [{ "kind": "latency-shift", "start": "0s", "length": "1s" }] }),
            "the format `user-events` cannot show the incident `latency-shift`",
        ),
        (
            serde_json::json!({ "incidents":
                [{ "kind": "error-spike", "target": "x", "start": "0s", "length": "1s" }] }),
            "there is no service `x`",
        ),
        (
            serde_json::json!({ "incidents":
                [{ "kind": "scanner", "target": "x", "start": "0s", "length": "1s" }] }),
            "expected an IPv4 address",
        ),
        (
            serde_json::json!({ "incidents":
                [{ "kind": "error-spike", "strength": 2, "start": "0s", "length": "1s" }] }),
            "`incidents.strength` cannot be `2`",
        ),
    ] {
        let error = Settings::from_json(&json)
            .and_then(|settings| Generator::new(&settings).map(drop))
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{json}: {error}");
    }
}
