//! Tables of lines and what becomes of them.

use millstream_parser_csv::Csv;
use millstream_sdk::Fault;
use millstream_sdk::testing::{check_parser, parse};
use serde_json::{Value, json};

fn one(config: &str, line: &[u8]) -> Value {
    let parsed = parse::<Csv>(config, &[line]).expect("parses");
    match (parsed.rejects.first(), parsed.rows.first()) {
        (Some((_, code)), _) => json!(code),
        (None, Some(row)) => row.clone(),
        (None, None) => json!("skipped"),
    }
}

#[test]
fn samples() {
    check_parser::<Csv>();
}

#[test]
fn lines() {
    let config = r#"{"columns": {"a": "text", "b": "int64"}}"#;
    let row = |a: Value, b: Value| json!({"a": a, "b": b});
    for (line, expected) in [
        ("x,1", row(json!("x"), json!(1))),
        ("x,1\r", row(json!("x"), json!(1))),
        (",", row(json!(null), json!(null))),
        ("\"\",1", row(json!(""), json!(1))),
        ("\"x\",\"1\"", row(json!("x"), json!(1))),
        ("\"x,\"\"y\"\"\",1", row(json!("x,\"y\""), json!(1))),
        ("\"\"\"\",1", row(json!("\""), json!(1))),
        ("x\"y,1", row(json!("x\"y"), json!(1))),
        ("x\"y\"\",1", row(json!("x\"y\"\""), json!(1))),
        ("\"x,1", json!("malformed_line")),
        ("\"x\"y,1", json!("malformed_line")),
        ("\"", json!("malformed_line")),
        ("x,\"1", json!("malformed_line")),
        ("x", json!("field_count")),
        ("", json!("field_count")),
        ("x,1,", json!("field_count")),
        ("x,1,y", json!("field_count")),
        ("x,y", json!("wrong_type")),
        ("x, 1", json!("wrong_type")),
        ("x,99999999999999999999", json!("number_out_of_range")),
        ("é,1", row(json!("é"), json!(1))),
    ] {
        assert_eq!(one(config, line.as_bytes()), expected, "{line}");
    }
    assert_eq!(one(config, b"\xff,1"), json!("invalid_utf8"));
    let long = "x".repeat(10 << 20);
    assert_eq!(one(config, format!("{long},1").as_bytes()), row(json!(long), json!(1)));
    assert_eq!(one(config, ",".repeat(1 << 20).as_bytes()), json!("field_count"));
    assert_eq!(one(config, "\"".repeat((1 << 20) + 1).as_bytes()), json!("malformed_line"));
}

#[test]
fn options() {
    for (config, line, expected) in [
        (
            r#"{"columns": {"a": "text", "b": "text"}, "flexible": true}"#,
            "x",
            json!({"a": "x", "b": null}),
        ),
        (r#"{"columns": {"a": "text"}, "flexible": true}"#, "x,y", json!({"a": "x"})),
        (r#"{"columns": {"a": "text"}, "empty_is_null": false}"#, "", json!({"a": ""})),
        (r#"{"columns": {"a": {"type": "text", "default": "d"}}}"#, "", json!({"a": "d"})),
        (r#"{"columns": {"a": {"type": "text", "required": true}}}"#, "", json!("missing_field")),
        (r#"{"columns": {"a": {"type": "int64", "trim": true}}}"#, " 7 ", json!({"a": 7})),
        (r#"{"columns": {"a": {"type": "int64", "on_error": "null"}}}"#, "x", json!({"a": null})),
        (
            r#"{"columns": {"a": "text", "b": "text"}, "delimiter": ";", "quote": "'"}"#,
            "'x;''y';\"z\"",
            json!({"a": "x;'y", "b": "\"z\""}),
        ),
        (r#"{"columns": {"a": "text"}, "quote": ""}"#, "\"x", json!({"a": "\"x"})),
        (r#"{"columns": {"b": "text"}, "header": ["a", "b"]}"#, "1,2", json!({"b": "2"})),
        (r#"{"columns": {"b": "text"}, "header": ["a", "b"]}"#, "a,b", json!("skipped")),
        (r#"{"columns": {"b": "text"}, "header": ["a", "b"]}"#, "\"a\", b", json!("skipped")),
        (r#"{"columns": {"b": "text"}, "header": ["a", "b"]}"#, "a,b,c", json!("field_count")),
        (r#"{"columns": {"b": "text"}, "header": ["a", "b"]}"#, "a", json!("field_count")),
    ] {
        assert_eq!(one(config, line.as_bytes()), expected, "{config}: {line}");
    }
}

#[test]
fn configurations_that_are_refused() {
    for (config, expected) in [
        ("{}", "missing field `columns`"),
        (r#"{"columns": {}}"#, "names no column"),
        (r#"{"columns": {"a": "text"}, "delimiter": ""}"#, "one ASCII character"),
        (r#"{"columns": {"a": "text"}, "delimiter": "ab"}"#, "one ASCII character"),
        (r#"{"columns": {"a": "text"}, "quote": ","}"#, "are the same"),
        (r#"{"columns": {"a": "text"}, "header": ["b"]}"#, "not in the header; it has b"),
        (r#"{"columns": {"a": {"type": "text", "path": "x"}}}"#, "`path` is for JSON"),
    ] {
        let Err(Fault::Config(message)) = parse::<Csv>(config, &[]) else {
            panic!("{config} is accepted")
        };
        assert!(message.contains(expected), "{config}: {message}");
    }
}
