//! Tables of lines and what becomes of them.

#![expect(clippy::indexing_slicing, reason = "in a test a missing value is a failure")]

use millstream_parser_nginx::Nginx;
use millstream_sdk::Fault;
use millstream_sdk::testing::{check_parser, parse};
use serde_json::{Value, json};

fn one(config: &str, line: &[u8]) -> Value {
    let parsed = parse::<Nginx>(config, &[line]).expect("parses");
    match parsed.rejects.first() {
        Some((_, code)) => json!(code),
        None => Value::Object(
            parsed.rows[0]
                .as_object()
                .expect("a row")
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        ),
    }
}

#[test]
fn samples() {
    check_parser::<Nginx>();
}

#[test]
fn formats_of_ones_own() {
    for (format, line, expected) in [
        ("$status", "200", json!({"status": 200})),
        ("$status", "-", json!({})),
        ("$status", "x", json!("wrong_type")),
        ("$status", "", json!("wrong_type")),
        ("<$status>", "<200>", json!({"status": 200})),
        ("<$status>", "<200", json!("malformed_line")),
        ("<$status>", "200>", json!("malformed_line")),
        ("<$status>", "<200>>", json!("malformed_line")),
        (
            "$time_iso8601 x",
            "2015-05-17T12:05:03+02:00 x",
            json!({"timestamp": 1_431_857_103_000_000_i64}),
        ),
        ("$time_local x", "2015 x", json!("bad_timestamp")),
        ("$request_time $pipe", "0.5 .", json!({"request_time": 0.5, "pipe": "."})),
        (
            "$upstream_response_time|$pid",
            "0.1, 0.2|4",
            json!({"upstream_response_time": "0.1, 0.2", "pid": 4}),
        ),
        ("a much longer text $status", "a much longer text 1", json!({"status": 1})),
        ("a much longer text $status", "a much longer test 1", json!("malformed_line")),
        ("$bytes_sent", "99999999999999999999", json!("number_out_of_range")),
        ("\"$http_cookie\" $status", r#""a\"b" 1"#, json!({"http_cookie": "a\"b", "status": 1})),
        ("\"$http_cookie\" $status", r#""a" b" 1"#, json!("wrong_type")),
    ] {
        let config = json!({"log_format": format}).to_string();
        assert_eq!(one(&config, line.as_bytes()), expected, "{format}: {line}");
    }
    let config = r#"{"log_format": "$a $b", "types": {"a": "float64", "b": "int64"}, "columns": ["b", "a"]}"#;
    assert_eq!(one(config, b"1 2"), json!({"a": 1.0, "b": 2}));
    assert_eq!(one("{}", b"\xff"), json!("malformed_line"));
    assert_eq!(one(r#"{"log_format": "$a"}"#, b"\xff"), json!("invalid_utf8"));
}

#[test]
fn error_logs() {
    let config = r#"{"format": "error"}"#;
    let base = json!({"timestamp": 1_431_857_103_000_000_i64, "level": "warn", "pid": 1, "tid": 2});
    let with = |more: Value| {
        let mut row = base.clone();
        for (name, value) in more.as_object().expect("an object") {
            row[name] = value.clone();
        }
        row
    };
    for (tail, expected) in [
        ("a, client: b", with(json!({"message": "a", "client": "b"}))),
        ("*x a", with(json!({"message": "*x a"}))),
        ("*5 a, host: \"h\"", with(json!({"connection": 5, "message": "a", "host": "h"}))),
        ("", with(json!({"message": ""}))),
    ] {
        let line = format!("2015/05/17 10:05:03 [warn] 1#2: {tail}");
        assert_eq!(one(config, line.as_bytes()), expected, "{tail}");
    }
    for (line, expected) in [
        ("2015/05/17 [warn] 1#2: x", "bad_timestamp"),
        ("2015/05/17 10:05:03 [warn] 1: x", "malformed_line"),
        ("2015/05/17 10:05:03 [warn] a#2: x", "malformed_line"),
        ("", "malformed_line"),
    ] {
        assert_eq!(one(config, line.as_bytes()), json!(expected), "{line}");
    }
}

#[test]
fn configurations_that_are_refused() {
    for (config, expected) in [
        (r#"{"log_format": "$a$b"}"#, "side by side"),
        (r#"{"log_format": "$a $a"}"#, "column `a` would be there twice"),
        (r#"{"log_format": "$time_local $msec"}"#, "column `timestamp` would be there twice"),
        (r#"{"log_format": "$ x"}"#, "without the name"),
        (r#"{"log_format": "${a"}"#, "without the name"),
        (r#"{"log_format": "text"}"#, "no variable"),
        (r#"{"log_format": "$a", "format": "combined"}"#, "exclude each other"),
        (r#"{"types": {"x": "text"}}"#, "which the format has not"),
        (r#"{"columns": ["x"]}"#, "no column `x`; there are remote_addr"),
        (r#"{"zone": "UTC"}"#, "for error logs"),
    ] {
        let Err(Fault::Config(message)) = parse::<Nginx>(config, &[]) else {
            panic!("{config} is accepted")
        };
        assert!(message.contains(expected), "{config}: {message}");
    }
}
