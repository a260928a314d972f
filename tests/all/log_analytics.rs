//! The reference log-analytics system, query by query, against Spark's answers.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{assert_table, data, pipeline, read_jsonl, run, set};

const BY_SERVICE: &[&str] = &["window_start", "service"];

fn expected(name: &str) -> Option<Vec<Value>> {
    data(&format!("log-analytics/expected/{name}.jsonl")).map(|path| read_jsonl(&path))
}

/// Runs a pipeline over an input and compares outputs with expected files of the same name.
fn check(file: &str, source: &str, input: &str, queries: &[(&str, &str, &[&str])]) {
    let Some(input) = data(&format!("log-analytics/{input}")) else { return };
    let outputs: Vec<&str> = queries.iter().map(|(output, _, _)| *output).collect();
    let result =
        run(&pipeline(file), &outputs, &[set(&format!("sources.{source}.path"), input.display())]);
    for (output, name, keys) in queries {
        let Some(expected) = expected(name) else { return };
        assert_table(name, &expected, result.rows(output), keys);
    }
}

#[test]
fn log_queries_equal_spark() {
    let by_service = BY_SERVICE;
    let by_address: &[&str] = &["window_start", "ip_address"];
    let whole: &[&str] = &[];
    check(
        "log-analytics.toml",
        "logs",
        "logs.jsonl",
        &[
            ("response_time_metrics", "response_time_metrics", by_service),
            ("response_time_zscores", "response_time_zscores", by_service),
            ("response_time_anomalies", "response_time_anomalies", by_service),
            ("error_rate", "error_rate", by_service),
            ("error_rate_spikes", "error_rate_spikes", by_service),
            ("ip_patterns", "ip_patterns", by_address),
            ("suspicious_ips", "suspicious_ips", by_address),
            ("ddos_attacks", "ddos_attacks", by_address),
            ("sla_metrics", "sla_metrics", by_service),
            ("sla_metrics_1000ms", "sla_metrics_1000ms", by_service),
            ("business_user_activity", "business_user_activity", &["window_start", "user_id"]),
            ("service_popularity", "service_popularity", by_service),
            ("system_health", "system_health", &["window_start"]),
            ("latency_summary", "latency_summary", whole),
            ("latency_summary_ms", "latency_summary_ms", whole),
            ("latency_by_service", "latency_by_service", by_service),
            ("latency_by_service_ms", "latency_by_service_ms", by_service),
            ("latency_dashboard", "latency_dashboard", by_service),
            ("latency_dashboard_ms", "latency_dashboard_ms", by_service),
        ],
    );
}

#[test]
fn permissive_parsing_equals_spark() {
    check(
        "log-permissive.toml",
        "logs",
        "logs.jsonl",
        &[
            ("error_rate_permissive", "error_rate_permissive", BY_SERVICE),
            ("sla_metrics_permissive", "sla_metrics_permissive", BY_SERVICE),
        ],
    );
}

#[test]
fn event_queries_equal_spark() {
    let by_user: &[&str] = &["window_start", "user_id"];
    let by_action: &[&str] = &["window_start", "action"];
    check(
        "event-analytics.toml",
        "events",
        "events.jsonl",
        &[
            ("event_windows", "event_windows", by_user),
            ("event_user_activity", "event_user_activity", by_user),
            ("event_action_metrics", "event_action_metrics", by_action),
            ("event_anomalies", "event_anomalies", by_user),
            ("event_action_totals", "event_action_totals", by_action),
            ("event_user_latest", "event_user_latest", by_user),
        ],
    );
}

/// Keeps the last row of each key, as a reader of update mode does.
fn final_table(rows: &[Value], keys: &[&str]) -> Vec<Value> {
    let mut last = std::collections::BTreeMap::new();
    for row in rows {
        let key: Vec<String> = keys.iter().map(|key| row[*key].to_string()).collect();
        last.insert(key, row.clone());
    }
    last.into_values().collect()
}

#[test]
fn final_table_of_update_mode_equals_the_batch_result() {
    let cases = [
        ("log-analytics.toml", "logs", "logs.jsonl", "error_rate_update", "error_rate", "service"),
        (
            "event-analytics.toml",
            "events",
            "events.jsonl",
            "event_windows_update",
            "event_windows",
            "user_id",
        ),
    ];
    for (file, source, input, output, name, key) in cases {
        let Some(input) = data(&format!("log-analytics/{input}")) else { return };
        let Some(expected) = expected(name) else { return };
        let sets = [
            set(&format!("sources.{source}.path"), input.display()),
            set("engine.epoch_rows", 1000),
        ];
        let result = run(&pipeline(file), &[output], &sets);
        let rows = result.rows(output);
        assert!(rows.len() > expected.len(), "update mode tells of changes: {} rows", rows.len());
        let keys = ["window_start", key];
        assert_table(output, &expected, &final_table(rows, &keys), &keys);
    }
}

/// Turns byte positions into line numbers from 1.
fn lines_of(path: &Path) -> impl Fn(u64) -> usize + use<> {
    let bytes = std::fs::read(path).expect("input");
    move |position| {
        let before = usize::try_from(position).expect("a position");
        bytes[..before].iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

#[test]
fn late_rows_are_those_of_the_reference() {
    let cases = [
        (
            "log-watermark.toml",
            "logs",
            "logs.jsonl",
            "error_rate",
            "error_rate_watermark",
            "service",
        ),
        (
            "event-watermark.toml",
            "events",
            "events.jsonl",
            "event_windows",
            "event_windows_watermark",
            "user_id",
        ),
    ];
    for (file, source, input, window, name, key) in cases {
        let Some(input) = data(&format!("log-analytics/{input}")) else { return };
        let line_of = lines_of(&input);
        for (delay, suffix) in [("10 minutes", "10m"), ("1 minute", "1m")] {
            let late = format!("{window}.late");
            let sets = [
                set(&format!("sources.{source}.path"), input.display()),
                set(&format!("sources.{source}.watermark.delay"), delay),
            ];
            let result = run(&pipeline(file), &[window, &late], &sets);
            let name = format!("{name}_{suffix}");
            let Some(rows) = expected(&name) else { return };
            assert_table(&name, &rows, result.rows(window), &["window_start", key]);
            let Some(expected_late) = expected(&format!("{name}_late")) else { return };
            let mine: Vec<Value> = result
                .rows(&late)
                .iter()
                .map(|row| {
                    json!({
                        "line": line_of(row["source_position"].as_u64().expect("a position")),
                        "timestamp": row["timestamp"],
                        "watermark": row["watermark"],
                        "windows_dropped": row["windows_dropped"],
                        "windows_kept": row["windows_kept"],
                        "first_window_dropped": row["first_window_dropped"],
                        "last_window_dropped": row["last_window_dropped"],
                    })
                })
                .collect();
            assert_table(&format!("{name}_late"), &expected_late, &mine, &["line"]);
        }
    }
}

#[test]
fn rejects_are_those_of_the_reference() {
    let Some(input) = data("log-analytics/logs.jsonl") else { return };
    let Some(expected) = expected("rejects") else { return };
    let line_of = lines_of(&input);
    let result = run(
        &pipeline("log-watermark.toml"),
        &["rows.rejects"],
        &[set("sources.logs.path", input.display())],
    );
    let mine: Vec<Value> = result
        .rows("rows.rejects")
        .iter()
        .map(|row| {
            let reason = match row["reason"].as_str().expect("a reason") {
                "missing_field" => "missing_timestamp",
                "wrong_type" => "status_code_not_integer",
                other => other,
            };
            json!({ "line": line_of(row["position"].as_u64().expect("a position")), "reason": reason })
        })
        .collect();
    assert_eq!(expected.len(), 90);
    assert_table("rejects", &expected, &mine, &["line"]);
}

#[test]
fn word_counts_equal_spark() {
    let cases = [
        ("log-analytics/words.txt", "word_count", ""),
        ("text/collected-works.txt", "word_count_collected_works", "count >= 2"),
    ];
    for (input, name, having) in cases {
        let Some(input) = data(input) else { return };
        let Some(expected) = expected(name) else { return };
        let mut text = pipeline("words.toml");
        if !having.is_empty() {
            text.push_str(&format!("having = \"{having}\"\n"));
        }
        let result = run(&text, &["counts"], &[set("sources.text.path", input.display())]);
        assert_table(name, &expected, result.rows("counts"), &["word"]);
    }
}
