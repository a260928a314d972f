//! Tables of lines and what becomes of them.

#![expect(clippy::indexing_slicing, reason = "in a test a missing value is a failure")]

use millstream_parser_apache::Apache;
use millstream_sdk::Fault;
use millstream_sdk::testing::{check_parser, parse};
use serde_json::{Value, json};

fn one(config: &str, line: &[u8]) -> Value {
    let parsed = parse::<Apache>(config, &[line]).expect("parses");
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
    check_parser::<Apache>();
}

#[test]
fn request_lines() {
    let config = r#"{"format": "common", "columns": ["method", "path", "protocol", "request"]}"#;
    for (request, expected) in [
        ("GET / HTTP/1.0", json!({"method": "GET", "path": "/", "protocol": "HTTP/1.0"})),
        ("GET /a b HTTP/2", json!({"method": "GET", "path": "/a b", "protocol": "HTTP/2"})),
        ("GET /old", json!({"method": "GET", "path": "/old"})),
        (r"\x16\x03\x01", json!({"path": "\u{16}\u{3}\u{1}"})),
        (r"\x16\xff", json!({"path": r"\x16\xff"})),
        ("", json!({"path": ""})),
        ("-", json!({})),
        ("get / HTTP/1.1", json!({"path": "get / HTTP/1.1"})),
        (" HTTP/1.1", json!({"path": " HTTP/1.1"})),
        (
            r#"GET /\"q\" HTTP/1.1"#,
            json!({"method": "GET", "path": "/\"q\"", "protocol": "HTTP/1.1"}),
        ),
    ] {
        let line = format!("h - - [17/May/2015:10:05:03 +0000] \"{request}\" 200 1");
        let mut actual = one(config, line.as_bytes());
        let whole = actual.as_object_mut().expect("a row").remove("request");
        assert_eq!(whole.is_none(), request == "-", "{request}");
        assert_eq!(actual, expected, "{request}");
    }
}

#[test]
fn lines() {
    let good = r#"h i u [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "r" "a""#;
    let row = json!({"remote_host": "h", "ident": "i", "user": "u", "timestamp": 1_431_857_103_000_000_i64,
        "method": "GET", "path": "/", "protocol": "HTTP/1.1", "status": 200, "bytes": 1,
        "referer": "r", "user_agent": "a"});
    assert_eq!(one("{}", good.as_bytes()), row);
    assert_eq!(one("{}", format!("{good}\r").as_bytes()), row);
    for (from, to, expected) in [
        (" u ", " John Doe ", json!("John Doe")),
        ("[17", "17", json!("malformed_line")),
        ("17/May", "17/Mai", json!("bad_timestamp")),
        ("17/May", "32/May", json!("bad_timestamp")),
        ("200", "2x0", json!("malformed_line")),
        (" 200 1 ", " 200 99999999999999999999 ", json!("number_out_of_range")),
        (" 200 1 ", " 200 ", json!("malformed_line")),
        ("\"a\"", "\"a", json!("malformed_line")),
        ("\"a\"", "\"a\" ", json!("malformed_line")),
        ("\"a\"", "\"a\\\"", json!("malformed_line")),
        ("\"a\"", "\"a\\", json!("malformed_line")),
        ("\"r\"", "-", json!("malformed_line")),
    ] {
        let actual = one("{}", good.replacen(from, to, 1).as_bytes());
        let actual = if actual.is_object() { actual["user"].clone() } else { actual };
        assert_eq!(actual, expected, "{from} to {to}");
    }
    for line in ["", " ", "-", "\"", "[", "\\", "h", &"\"".repeat(1000), &"[] ".repeat(1000)] {
        assert_eq!(one("{}", line.as_bytes()), json!("malformed_line"), "{line}");
    }
    assert_eq!(one("{}", &good.replace("\"a\"", "\"\u{1}\"").into_bytes())["user_agent"], "\u{1}");
    let mut bad = good.as_bytes().to_vec();
    bad[good.len() - 2] = 0xff;
    assert_eq!(one("{}", &bad), json!("invalid_utf8"));
    let long = "x".repeat(10 << 20);
    let line = good.replace("\"a\"", &format!("\"{long}\""));
    assert_eq!(one("{}", line.as_bytes())["user_agent"], long);
    let line = good.replace("GET", &"\\".repeat(1 << 20));
    assert!(one("{}", line.as_bytes()).is_object());
}

#[test]
fn virtual_hosts() {
    let line = r#"example.org:443 ::1 - - [17/May/2015:10:05:03 +0000] "-" 408 - "-" "-""#;
    assert_eq!(
        one(r#"{"format": "vhost_combined"}"#, line.as_bytes()),
        json!({"vhost": "example.org", "port": 443, "remote_host": "::1",
            "timestamp": 1_431_857_103_000_000_i64, "status": 408})
    );
}

#[test]
fn error_logs() {
    let config = r#"{"format": "error", "zone": "+02:00"}"#;
    for (line, expected) in [
        (
            "[Sun May 17 12:05:03 2015] [error] [client 1.2.3.4] File does not exist: /x",
            json!({"timestamp": 1_431_857_103_000_000_i64, "level": "error", "client": "1.2.3.4",
                "message": "File does not exist: /x"}),
        ),
        (
            "[Sun May 17 12:05:03.000001 2015] [mpm:notice] [pid 1] [x] y",
            json!({"timestamp": 1_431_857_103_000_001_i64, "module": "mpm", "level": "notice",
                "pid": 1, "message": "[x] y"}),
        ),
        ("[yesterday] [error] x", json!("bad_timestamp")),
        ("x", json!("malformed_line")),
        ("[Sun May 17 12:05:03 2015] x", json!("malformed_line")),
        ("[", json!("malformed_line")),
    ] {
        assert_eq!(one(config, line.as_bytes()), expected, "{line}");
    }
    assert_eq!(one(config, b"[\xff"), json!("invalid_utf8"));
}

#[test]
fn configurations_that_are_refused() {
    for (config, expected) in [
        (r#"{"format": "combine"}"#, "unknown variant `combine`"),
        (r#"{"columns": ["statu"]}"#, "no column `statu`; there are remote_host"),
        (r#"{"columns": []}"#, "names no column"),
        (r#"{"columns": ["status", "status"]}"#, "there twice"),
        (r#"{"format": "common", "columns": ["referer"]}"#, "no column `referer`"),
        (r#"{"zone": "UTC"}"#, "for error logs"),
        (r#"{"format": "error", "zone": "Mars"}"#, "zone `Mars`"),
    ] {
        let Err(Fault::Config(message)) = parse::<Apache>(config, &[]) else {
            panic!("{config} is accepted")
        };
        assert!(message.contains(expected), "{config}: {message}");
    }
}

/// Damaged lines are refused or parsed, never a panic, and a batch is its lines one by one.
#[test]
fn damaged_lines() {
    let good = br#"h i u [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "r\x41" "a""#;
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for at in 0..good.len() {
        lines.push(good[..at].to_vec());
        for byte in [b'"', b'\\', b' ', b'-', b'[', 0, 0xff] {
            let mut line = good.to_vec();
            line[at] = byte;
            lines.push(line);
        }
    }
    let records: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    let batch = parse::<Apache>("{}", &records).expect("parses");
    let mut rows = batch.rows.iter();
    for (index, record) in (0..).zip(&records) {
        let single = parse::<Apache>("{}", &[record]).expect("parses");
        match single.rejects.first() {
            Some((_, code)) => assert!(batch.rejects.contains(&(index, code))),
            None => assert_eq!(rows.next(), Some(&single.rows[0])),
        }
    }
    assert_eq!(rows.next(), None);
}
