//! Tables of records and what becomes of them.

#![expect(clippy::indexing_slicing, reason = "in a test a missing value is a failure")]

use millstream_parser_json::Json;
use millstream_sdk::Fault;
use millstream_sdk::testing::{check_parser, parse};
use serde_json::{Value, json};

/// The row, or the reject code.
fn one(config: &str, record: &[u8]) -> Value {
    let parsed = parse::<Json>(config, &[record]).expect("parses");
    match parsed.rejects.first() {
        Some((_, code)) => json!(code),
        None => parsed.rows[0].clone(),
    }
}

fn check(config: &str, cases: &[(&str, Value)]) {
    for (record, expected) in cases {
        assert_eq!(one(config, record.as_bytes()), *expected, "{record}");
    }
}

#[test]
fn samples() {
    check_parser::<Json>();
}

#[test]
fn what_is_valid_json() {
    let config = r#"{"columns": {"a": "json"}}"#;
    for record in [
        "",
        " ",
        "{",
        "}",
        "{}}",
        "{} x",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{a:1}"#,
        r#"{'a':1}"#,
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":1e}"#,
        r#"{"a":-}"#,
        r#"{"a":nul}"#,
        r#"{"a":True}"#,
        r#"{"a":NaN}"#,
        r#"{"a":"x}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12"}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\ud800\u0041"}"#,
        r#"{"a":"\udc00"}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":[}"#,
        r#"{"a":{]}"#,
        r#"{"a":[1}"#,
        r#"{"b":{"c":[{"d":"\ud800"}]}}"#,
        r#"{"b":{"c"}}"#,
        r#"{"b":{1:2}}"#,
        "{\"b\":\"a\nb\"}",
        "{\"b\":\"a\u{0}b\"}",
        "\u{feff}{}",
        "{}\u{0}",
        r#"{"a":1 "b":2}"#,
        r#"{"b":"#,
        r#"{"b":"abcdefghijklmnop"#,
        "{\"a\":1}\u{b}",
        "nul",
        "[",
        "\"",
    ] {
        assert_eq!(one(config, record.as_bytes()), json!("invalid_json"), "{record}");
        assert!(serde_json::from_str::<Value>(record).is_err(), "{record}");
    }
    for record in ["[]", "[{}]", "1", "\"a\"", "null", " true "] {
        assert_eq!(one(config, record.as_bytes()), json!("not_an_object"), "{record}");
    }
    for record in [
        "{}",
        " {\t\r\n} ",
        r#"{"b":[[],{},[{}],{"c":[]}]}"#,
        r#"{"b":-0.0e-0}"#,
        r#"{"b":"\"\\\/\b\f\n\r\t\u0000\ud83d\ude00"}"#,
        r#"{"":""}"#,
    ] {
        assert_eq!(one(config, record.as_bytes()), json!({"a": null}), "{record}");
    }
}

#[test]
fn bytes_that_are_not_utf8() {
    let config = r#"{"columns": {"a": "text"}}"#;
    let records: [&[u8]; 6] = [
        b"{\"a\":\"\xff\"}",
        b"{\"b\":\"\xc3\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\xc3\xa9\"}",
        // Together these two are UTF-8; each alone is not.
        b"{}\xc3",
        b"\xa9{}",
    ];
    let parsed = parse::<Json>(config, &records).expect("parses");
    assert_eq!(parsed.rows, [json!({"a": "é"})]);
    assert_eq!(parsed.source, [3]);
    let parsed = parse::<Json>(config, &records[3..]).expect("parses");
    assert_eq!(parsed.source, [0]);
}

#[test]
fn types() {
    let config = r#"{"columns": {"t": "text", "i": "int64", "f": "float64", "b": "boolean",
        "at": "timestamp", "ms": "epoch_ms", "j": "json"}}"#;
    let row = |name: &str, value: Value| {
        let mut row =
            json!({"t": null, "i": null, "f": null, "b": null, "at": null, "ms": null, "j": null});
        row[name] = value;
        row
    };
    check(
        config,
        &[
            (r#"{"t":"x"}"#, row("t", json!("x"))),
            (r#"{"t":"a\u00e9\n\ud83d\ude00"}"#, row("t", json!("aé\n😀"))),
            (r#"{"t":""}"#, row("t", json!(""))),
            (r#"{"t":null}"#, row("t", json!(null))),
            (r#"{"t":1}"#, json!("wrong_type")),
            (r#"{"t":[]}"#, json!("wrong_type")),
            (r#"{"i":12}"#, row("i", json!(12))),
            (r#"{"i":12.0}"#, row("i", json!(12))),
            (r#"{"i":1.2e1}"#, row("i", json!(12))),
            (r#"{"i":12.5}"#, json!("wrong_type")),
            (r#"{"i":"12"}"#, json!("wrong_type")),
            (r#"{"i":9223372036854775807}"#, row("i", json!(i64::MAX))),
            (r#"{"i":9223372036854775808}"#, json!("number_out_of_range")),
            (r#"{"i":true}"#, json!("wrong_type")),
            (r#"{"f":12}"#, row("f", json!(12.0))),
            (r#"{"f":-1.5e-3}"#, row("f", json!(-0.0015))),
            (r#"{"f":1e400}"#, json!("number_out_of_range")),
            (r#"{"f":"1"}"#, json!("wrong_type")),
            (r#"{"b":true}"#, row("b", json!(true))),
            (r#"{"b":false}"#, row("b", json!(false))),
            (r#"{"b":1}"#, json!("wrong_type")),
            (r#"{"b":"true"}"#, json!("wrong_type")),
            (r#"{"at":"1970-01-01T00:00:01Z"}"#, row("at", json!(1_000_000))),
            (r#"{"at":"1970-01-01T00:00:01\u005a"}"#, row("at", json!(1_000_000))),
            (r#"{"at":"yesterday"}"#, json!("bad_timestamp")),
            (r#"{"at":1}"#, json!("wrong_type")),
            (r#"{"ms":1}"#, row("ms", json!(1000))),
            (r#"{"ms":"1"}"#, json!("wrong_type")),
            (r#"{"ms":1e30}"#, json!("bad_timestamp")),
            (r#"{"j":{"a": [1, "x"]}}"#, row("j", json!(r#"{"a": [1, "x"]}"#))),
            (r#"{"j":"\u0041"}"#, row("j", json!(r#""\u0041""#))),
        ],
    );
}

#[test]
fn paths_duplicates_and_escaped_keys() {
    let config = r#"{"columns": {
        "c": {"type": "int64", "path": "a.b.c"}, "d": {"type": "int64", "path": "a.d"},
        "whole": {"type": "json", "path": "a"}, "dotted": {"type": "int64", "path": ["x.y"]},
        "again": {"type": "int64", "path": ["x.y"]}, "k é": "int64"}}"#;
    let row = |c: Value, d: Value, whole: Value, dotted: Value, k: Value| json!({"c": c, "d": d, "whole": whole, "dotted": dotted, "again": dotted, "k é": k});
    let none = json!(null);
    check(
        config,
        &[
            (
                r#"{"a":{"b":{"c":1,"z":{"c":9}},"d":2},"x.y":3,"x":{"y":4},"k \u00e9":5}"#,
                row(
                    json!(1),
                    json!(2),
                    json!(r#"{"b":{"c":1,"z":{"c":9}},"d":2}"#),
                    json!(3),
                    json!(5),
                ),
            ),
            // The last of the same keys wins, whole.
            (
                r#"{"a":{"b":{"c":1},"d":2},"a":{"d":3},"k é":1,"k \u00e9":"x","k é":2}"#,
                row(none.clone(), json!(3), json!(r#"{"d":3}"#), none.clone(), json!(2)),
            ),
            (
                r#"{"a":{"b":{"c":"x"}},"a":7}"#,
                row(none.clone(), none.clone(), json!("7"), none.clone(), none.clone()),
            ),
            (
                r#"{"k é":1,"k é":null}"#,
                row(none.clone(), none.clone(), none.clone(), none.clone(), none.clone()),
            ),
            (
                r#"{"a":[{"b":{"c":1}}]}"#,
                row(
                    none.clone(),
                    none.clone(),
                    json!(r#"[{"b":{"c":1}}]"#),
                    none.clone(),
                    none.clone(),
                ),
            ),
            (r#"{"a":{"b":{"c":1}}"#, json!("invalid_json")),
            (r#"{"k é":2,"k é":"x"}"#, json!("wrong_type")),
        ],
    );
}

#[test]
fn the_first_reason_wins() {
    let config = r#"{"columns": {"s": "int64", "at": {"type": "timestamp", "required": true},
        "e": {"type": "timestamp", "on_error": "null"}}}"#;
    check(
        config,
        &[
            (r#"{"s":"x","at":null}"#, json!("missing_field")),
            (r#"{"s":"x"}"#, json!("missing_field")),
            (r#"{"s":"x","at":"x"}"#, json!("wrong_type")),
            (r#"{"at":"x","s":1}"#, json!("bad_timestamp")),
            (r#"{"s":"x","at":null"#, json!("invalid_json")),
            (r#"{"s":1,"at":"1970-01-01T00:00:00Z","e":"x"}"#, json!({"s": 1, "at": 0, "e": null})),
        ],
    );
    let permissive = r#"{"columns": {"s": "int64", "at": {"type": "timestamp", "required": true}},
        "on_type_error": "null"}"#;
    check(
        permissive,
        &[
            (r#"{"s":"x","at":"1970-01-01T00:00:00Z"}"#, json!({"s": null, "at": 0})),
            (r#"{"s":1,"at":"x"}"#, json!("missing_field")),
        ],
    );
}

#[test]
fn cleaning() {
    let config = r#"{"columns": {
        "t": {"type": "text", "trim": true, "lower": true, "null_if": ["-", "n/a"], "default": "none"},
        "n": {"type": "int64", "parse_text": true, "trim": true, "null_if": "-1", "default": 0},
        "b": {"type": "boolean", "parse_text": true},
        "at": {"type": "timestamp", "format": "%d.%m.%Y %H:%M", "zone": "+01:00", "default": "01.01.1970 01:00"},
        "ms": {"type": "epoch_ms", "parse_text": true}}}"#;
    let row = |t: &str, n: i64, b: Value, at: i64, ms: Value| json!({"t": t, "n": n, "b": b, "at": at, "ms": ms});
    let none = json!(null);
    check(
        config,
        &[
            ("{}", row("none", 0, none.clone(), 0, none.clone())),
            (r#"{"t":"  ÄB ","n":" 7 "}"#, row("äb", 7, none.clone(), 0, none.clone())),
            (r#"{"t":" N/A","n":-1}"#, row("none", 0, none.clone(), 0, none.clone())),
            (r#"{"t":"x","n":5,"b":"true","ms":"2"}"#, row("x", 5, json!(true), 0, json!(2000))),
            (
                r#"{"at":"02.01.1970 01:00"}"#,
                row("none", 0, none.clone(), 86_400_000_000, none.clone()),
            ),
            (r#"{"n":"x"}"#, json!("wrong_type")),
            (r#"{"t":5}"#, json!("wrong_type")),
            (r#"{"at":5}"#, json!("wrong_type")),
        ],
    );
}

#[test]
fn unknown_keys_are_kept() {
    let config = r#"{"columns": {"a": {"type": "int64", "required": true}}, "unknown": "extra"}"#;
    let records: [&[u8]; 4] = [
        br#"{"x": [1, 2],"a":1,"y":"\u0041"}"#,
        br#"{"z":1}"#,
        br#"{"a":2}"#,
        br#"{"\u0061":3, "q" : {} }"#,
    ];
    let parsed = parse::<Json>(config, &records).expect("parses");
    assert_eq!(
        parsed.rows,
        [
            json!({"a": 1, "extra": r#"{"x":[1, 2],"y":"\u0041"}"#}),
            json!({"a": 2, "extra": null}),
            json!({"a": 3, "extra": r#"{"q":{}}"#}),
        ]
    );
    assert_eq!(parsed.source, [0, 2, 3]);
}

#[test]
fn long_and_deep_records() {
    let config = r#"{"columns": {"a": "int64", "t": "text"}}"#;
    let long = "x".repeat(10 << 20);
    let record = format!(r#"{{"z":"{long}","t":"{long}","a":1}}"#);
    assert_eq!(one(config, record.as_bytes()), json!({"a": 1, "t": long}));

    for (open, close) in [("[", "]"), ("{\"k\":", "}")] {
        let (open, close) = (open.repeat(1 << 20), close.repeat(1 << 20));
        let deep = format!(r#"{{"z":{open}1{close},"a":1}}"#);
        assert_eq!(one(config, deep.as_bytes()), json!({"a": 1, "t": null}));
        let open = format!(r#"{{"z":{open}"#);
        assert_eq!(one(config, open.as_bytes()), json!("invalid_json"));
    }
    let many: String = (0..5000).map(|i| format!("\"k{i}\":{i},")).collect();
    let record = format!(r#"{{{many}"a":1}}"#);
    assert_eq!(one(config, record.as_bytes()), json!({"a": 1, "t": null}));
}

#[test]
fn configurations_that_are_refused() {
    for (config, expected) in [
        ("{}", "missing field `columns`"),
        (r#"{"columns": {}}"#, "names no column"),
        (r#"{"columns": {"a": "integer"}}"#, "type `integer` is unknown; there are text, int64"),
        (r#"{"columns": {"a": {"type": "int64", "requird": true}}}"#, "unknown field `requird`"),
        (r#"{"columns": {"a": {"type": "int64", "format": "clf"}}}"#, "for the type `timestamp`"),
        (
            r#"{"columns": {"a": {"type": "timestamp", "format": "iso"}}}"#,
            "time format `iso` is unknown",
        ),
        (r#"{"columns": {"a": {"type": "timestamp", "zone": "Mars"}}}"#, "zone `Mars`"),
        (r#"{"columns": {"a": {"type": "epoch_s", "format": "clf"}}}"#, "cannot stand with"),
        (r#"{"columns": {"a": {"type": "int64", "default": "x"}}}"#, "default \"x\" does not fit"),
        (r#"{"columns": {"a": {"type": "int64", "path": "a..b"}}}"#, "empty key"),
        (r#"{"columns": {"a": "text", "a": "text"}}"#, "column `a` is there twice"),
        (r#"{"columns": {"a": "text"}, "unknown": "a"}"#, "a name of its own"),
        (r#"{"columns": {"a": 5}}"#, "expected a type such as"),
        (r#"{"columns": {"a": "text"}, "colums": 1}"#, "unknown field `colums`"),
    ] {
        let Err(Fault::Config(message)) = parse::<Json>(config, &[]) else {
            panic!("{config} is accepted")
        };
        assert!(message.contains(expected), "{config}: {message}");
    }
}

#[test]
fn of_a_key_that_is_there_twice_the_last_counts() {
    let config = r#"{"columns": {"a": "int64", "b": "text"}}"#;
    check(
        config,
        &[
            (r#"{"a":1,"b":"x","a":2}"#, json!({"a": 2, "b": "x"})),
            (r#"{"a":1,"b":"x","a":null}"#, json!({"a": null, "b": "x"})),
            (r#"{"a":"x","b":"x","a":2}"#, json!({"a": 2, "b": "x"})),
            (r#"{"b":"x","a":2,"a":"x"}"#, json!("wrong_type")),
            (r#"{"b":"x","b":null,"a":2,"a":3,"b":"y"}"#, json!({"a": 3, "b": "y"})),
            (r#"{"b":"x","b":{},"a":2}"#, json!("wrong_type")),
        ],
    );
}
