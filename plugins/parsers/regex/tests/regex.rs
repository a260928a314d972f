//! Tables of lines and what becomes of them.

#![expect(clippy::indexing_slicing, reason = "in a test a missing value is a failure")]

use millstream_parser_regex::RegexParser;
use millstream_sdk::Fault;
use millstream_sdk::testing::{check_parser, parse};
use serde_json::{Value, json};

fn one(config: &str, line: &[u8]) -> Value {
    let parsed = parse::<RegexParser>(config, &[line]).expect("parses");
    match parsed.rejects.first() {
        Some((_, code)) => json!(code),
        None => parsed.rows[0].clone(),
    }
}

#[test]
fn samples() {
    check_parser::<RegexParser>();
}

#[test]
fn groups() {
    let config = r#"{"pattern": "(?<a>x+)?(?<n>-?\\d+)?$", "columns": {
        "n": {"type": "int64", "default": -1}, "a": {"type": "text", "null_if": "xx"}}}"#;
    for (line, expected) in [
        ("x1", json!({"a": "x", "n": 1})),
        ("xx", json!({"a": null, "n": -1})),
        ("", json!({"a": null, "n": -1})),
        ("99999999999999999999", json!("number_out_of_range")),
    ] {
        assert_eq!(one(config, line.as_bytes()), expected, "{line}");
    }
    let bytes = r#"{"pattern": "(?s-u)^(?<a>.*)$"}"#;
    assert_eq!(one(bytes, b"\xff"), json!("invalid_utf8"));
    let required = r#"{"pattern": "^(?<t>\\S+)? ", "columns": {"t": {"type": "timestamp", "required": true}}}"#;
    assert_eq!(one(required, b" "), json!("missing_field"));
    assert_eq!(one(required, b"x "), json!("bad_timestamp"));
    assert_eq!(one(required, b"x"), json!("no_match"));
}

#[test]
fn long_lines_take_linear_time() {
    let config = r#"{"pattern": "^(?<a>(x+x+)+)y$"}"#;
    assert_eq!(one(config, "x".repeat(1 << 20).as_bytes()), json!("no_match"));
}

#[test]
fn configurations_that_are_refused() {
    for (config, expected) in [
        (r#"{"pattern": "("}"#, "unclosed group"),
        (r#"{"pattern": "a"}"#, "no named group"),
        (r#"{"pattern": "(?<a>a){1000}{1000}"}"#, "pattern:"),
        (r#"{"pattern": "(?<a>a)", "columns": {"b": "text"}}"#, "its groups are a"),
        (r#"{"pattern": "(?<a>a)", "columns": {"a": "txt"}}"#, "type `txt` is unknown"),
    ] {
        let Err(Fault::Config(message)) = parse::<RegexParser>(config, &[]) else {
            panic!("{config} is accepted")
        };
        assert!(message.contains(expected), "{config}: {message}");
    }
}
