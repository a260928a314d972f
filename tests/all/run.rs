//! Ends, signals, overrides, exit codes, and bad input.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{millstream, read_jsonl, send_signal};

const LINES: &str = r#"
name = "lines"
[sources.text]
type = "file"
path = "input.txt"
[parsers.lines]
input = "text"
plugin = "lines"
[windows.counts]
input = "lines"
global = true
aggregate = { rows = "count(*)" }
[sinks.out]
inputs = ["counts"]
type = "console"
format = "jsonl"
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(pipeline: &str, input: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::write(folder.path().join("pipeline.toml"), pipeline).expect("pipeline");
        fs::write(folder.path().join("input.txt"), input).expect("input");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = millstream();
        command.arg("run").arg(self.path().join("pipeline.toml")).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("start millstream")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn bounded_input_ends_with_a_summary() {
    let folder = Folder::new(LINES, b"a\nb\n\nc");
    let output = folder.run(&[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "{\"rows\":4}\n");
    let summary = text(&output.stderr);
    for part in ["4 rows", "rows/s", "lines", "counts"] {
        assert!(summary.contains(part), "no {part:?} in\n{summary}");
    }
    let quiet = folder.run(&["-q"]);
    assert_eq!(text(&quiet.stderr), "");
}

#[test]
fn inputs_of_all_kinds_are_read() {
    let huge = vec![b'x'; 10 << 20];
    let cases: [(&str, &[u8], &str); 6] = [
        ("empty", b"", ""),
        ("only a newline", b"\n", "{\"rows\":1}\n"),
        ("no last newline", b"a", "{\"rows\":1}\n"),
        ("crlf", b"a\r\nb\r\n", "{\"rows\":2}\n"),
        ("nul bytes", b"a\0b\n\0\n", "{\"rows\":2}\n"),
        ("a 10 MB line", &huge, ""),
    ];
    for (name, input, expected) in cases {
        let output = Folder::new(LINES, input).run(&["--set", "sources.text.max_record=1 MB"]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stderr));
        let stdout = text(&output.stdout);
        // A global window without rows says nothing, or that there were none.
        assert!(
            stdout == expected || (expected.is_empty() && stdout.contains(":0")),
            "{name}: {stdout}"
        );
    }
}

#[test]
fn long_records_are_refused_and_counted() {
    let folder = Folder::new(LINES, b"short\nmuch too long\nok\n");
    let output = folder.run(&["--set", "sources.text.max_record=8 B"]);
    assert_eq!(text(&output.stdout), "{\"rows\":2}\n");
    assert!(text(&output.stderr).contains("record_too_long"), "{}", text(&output.stderr));
}

/// An output may be read on the worker and by the owner at once: each reader gets each row once.
#[test]
fn rows_with_several_readers_are_taken_once_by_each() {
    let pipeline = r#"
name = "readers"
[sources.text]
type = "file"
path = "input.txt"
[parsers.rows]
input = "text"
plugin = "json"
config = { columns = { a = "int64" } }
[windows.counts]
input = "rows"
global = true
aggregate = { rows = "count(*)" }
[rules.large]
input = "rows"
when = "a > 1"
[windows.refused]
input = "rows.rejects"
global = true
group_by = ["reason"]
aggregate = { records = "count(*)" }
[streams.short]
input = "rows.rejects"
select = ["reason", "record"]
[rules.any_reject]
input = "rows.rejects"
when = "reason = 'invalid_json'"
[sinks.out]
inputs = ["rows", "counts", "large", "refused", "short"]
type = "console"
format = "jsonl"
[sinks.alerts]
input = "any_reject"
type = "console"
format = "jsonl"
"#;
    let folder = Folder::new(pipeline, b"{\"a\":1}\nnonsense\n{\"a\":2}\n");
    for workers in ["engine.workers=1", "engine.workers=2"] {
        let output = folder.run(&["--set", workers]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let rows = text(&output.stdout);
        let of = |node: &str| {
            let tag = format!("{{\"node\":\"{node}\",");
            rows.lines().filter(|row| row.starts_with(&tag)).collect::<Vec<_>>()
        };
        assert_eq!(of("rows").len(), 2, "{rows}");
        assert_eq!(of("counts"), [r#"{"node":"counts","rows":2}"#], "{rows}");
        assert_eq!(of("large").len(), 1, "{rows}");
        let refused = r#"{"node":"refused","reason":"invalid_json","records":1}"#;
        assert_eq!(of("refused"), [refused], "{rows}");
        let short = r#"{"node":"short","reason":"invalid_json","record":"nonsense"}"#;
        assert_eq!(of("short"), [short], "{rows}");
        assert_eq!(rows.matches("\"rule\":\"any_reject\"").count(), 1, "{rows}");
    }
}

#[test]
fn refused_records_reach_the_dead_letters() {
    let pipeline = LINES.replace(
        "plugin = \"lines\"",
        "plugin = \"json\"\nconfig = { columns = { a = \"int64\" } }",
    );
    let pipeline = format!("{pipeline}\n[dead_letters]\npath = \"dead.jsonl\"\n");
    let folder = Folder::new(&pipeline, b"{\"a\":1}\nnonsense\n{\"a\":2}\n");
    let output = folder.run(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "{\"rows\":2}\n");
    let dead = fs::read_to_string(folder.path().join("dead.jsonl")).expect("dead letters");
    assert_eq!(dead.lines().count(), 1, "{dead}");
    for part in ["\"node\":\"lines\"", "\"position\":8", "invalid_json", "nonsense"] {
        assert!(dead.contains(part), "no {part} in {dead}");
    }
}

#[test]
fn overrides_reach_any_key() {
    let folder = Folder::new(LINES, b"a\n");
    let other = folder.path().join("other.txt");
    fs::write(&other, "1\n2\n3\n").expect("input");
    let output = folder.run(&["--set", &format!("sources.text.path={}", other.display())]);
    assert_eq!(text(&output.stdout), "{\"rows\":3}\n");
    let bad = folder.run(&["--set", "sources.text.pth=x"]);
    assert_eq!(bad.status.code(), Some(2));
    let message = text(&bad.stderr);
    assert!(message.contains("pth") && message.contains("path"), "{message}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = Folder::new(LINES, b"a\n");
    let missing = folder.run(&["--set", "sources.text.path=nowhere.txt"]);
    assert_eq!(missing.status.code(), Some(3), "{}", text(&missing.stderr));
    assert!(text(&missing.stderr).contains("nowhere.txt"), "{}", text(&missing.stderr));
    // Below a regular file nothing can be read, whoever asks.
    let below = folder.run(&["--set", "sources.text.path=input.txt/inside"]);
    assert_eq!(below.status.code(), Some(3), "{}", text(&below.stderr));
    assert!(text(&below.stderr).contains("input.txt/inside"), "{}", text(&below.stderr));
    let pipeline = millstream().args(["run", "/nowhere/pipeline.toml"]).output().expect("start");
    assert_eq!(pipeline.status.code(), Some(2));
}

#[test]
fn a_full_disk_stops_the_run() {
    assert!(fs::write("/dev/full", "x").is_err(), "/dev/full must refuse writes");
    let sink = "\n[sinks.full]\ninputs = [\"counts\"]\ntype = \"file\"\nvisible = \"commit\"\npath = \"/dev/full\"\n";
    let folder = Folder::new(&format!("{LINES}{sink}"), b"a\n");
    let output = folder.run(&[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("/dev/full"), "{}", text(&output.stderr));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let folder = Folder::new(LINES, b"a\n");
    let mut child = folder
        .command(&[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start millstream");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("wait");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// Starts a pipeline on standard input, gives it lines, and waits until it has counted them.
#[test]
fn sigterm_ends_cleanly_with_a_summary() {
    let pipeline = r#"
name = "live"
[sources.text]
type = "stdin"
[parsers.lines]
input = "text"
plugin = "lines"
[sinks.out]
inputs = ["lines"]
type = "console"
format = "jsonl"
"#;
    for signal in ["TERM", "INT"] {
        let folder = Folder::new(pipeline, b"");
        let mut child = folder
            .command(&[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start millstream");
        let mut stdin = child.stdin.take().expect("stdin");
        stdin.write_all(b"one\ntwo\n").expect("write");
        stdin.flush().expect("flush");
        // Output shows that the rows are through; then the signal cannot be too early.
        let mut reader = std::io::BufReader::new(child.stdout.take().expect("stdout"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut reader, &mut line).expect("a row");
        assert!(line.contains("one"), "{line}");
        send_signal(child.id(), signal);
        let output = child.wait_with_output().expect("wait");
        assert_eq!(output.status.code(), Some(0), "{signal}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("live: 2 rows"), "{}", text(&output.stderr));
        drop(stdin);
    }
}

/// A machine that stalls condemns no record: deadlines are charged in CPU time.
#[test]
fn a_stalled_process_loses_nothing() {
    let lines: String = (0..200_000).map(|n| format!("line number {n}\n")).collect();
    let folder = Folder::new(LINES, lines.as_bytes());
    let child = folder
        .command(&[
            "--summary-json",
            "--set",
            "parsers.lines.plugin={name=\"lines\", limits={deadline=\"50ms\"}}",
            "--set",
            "engine.epoch_rows=1000",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start millstream");
    send_signal(child.id(), "STOP");
    // Real time must pass for the process: this is what is tested.
    std::thread::sleep(std::time::Duration::from_secs(5));
    send_signal(child.id(), "CONT");
    let output = child.wait_with_output().expect("wait");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "{\"rows\":200000}\n");
}

const EVENTS: &str = r#"
name = "events"
[dead_letters]
path = "dead.jsonl"
[sources.text]
type = "file"
path = "input.txt"
[parsers.events]
input = "text"
plugin = "json"
event_time = "at"
config = { columns = { at = "timestamp", n = "int64", s = "text" } }
[streams.ratios]
input = "events"
derive = { ratio = "100 / n" }
select = ["s", "ratio"]
[windows.minutes]
input = "events"
tumbling = "1 minute"
aggregate = { rows = "count(*)" }
[sinks.out]
inputs = ["ratios"]
type = "console"
format = "jsonl"
[sinks.windows]
inputs = ["minutes"]
type = "file"
visible = "commit"
path = "windows.jsonl"
"#;

/// A record with the event time `at`, the number 4 and the text "x".
fn event(at: &str) -> String {
    format!("{{\"at\":\"{at}\",\"n\":4,\"s\":\"x\"}}\n")
}

/// Whatever a record is, it becomes rows or a reject, and its neighbours go on.
#[test]
fn bad_records_are_data() {
    const GOOD: &str = "{\"s\":\"x\",\"ratio\":25.0}\n";
    let good = event("2025-01-01T00:00:00Z");
    let with = |before: &[u8]| [before, good.as_bytes()].concat();
    let long = |bytes: usize| {
        let text = "y".repeat(bytes);
        with(format!("{{\"at\":\"2025-01-01T00:00:00Z\",\"n\":4,\"s\":\"{text}\"}}\n").as_bytes())
    };
    let deep = format!("{{\"z\":{}{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    let all_bytes: Vec<u8> = (0..=255).collect();
    // (name, input, rows, rejects by reason, values that became null)
    let cases: [(&str, Vec<u8>, &str, Value, u64); 14] = [
        ("empty file", Vec::new(), "", json!({}), 0),
        ("no last line end", good.trim_end().into(), GOOD, json!({}), 0),
        ("empty lines", with(b"\n\n"), GOOD, json!({ "invalid_json": 2 }), 0),
        ("binary", all_bytes, "", json!({ "invalid_json": 2 }), 0),
        ("nul bytes", with(b"\0\0\n"), GOOD, json!({ "invalid_json": 1 }), 0),
        ("invalid UTF-8", with(b"{\"s\":\"\xff\xfe\"}\n"), GOOD, json!({ "invalid_json": 1 }), 0),
        ("10 MB line", long(10 << 20), GOOD, json!({ "record_too_long": 1 }), 0),
        ("nested without end", with(deep.as_bytes()), GOOD, json!({ "missing_event_time": 1 }), 0),
        (
            "a number beyond 64 bits",
            with(b"{\"at\":\"2025-01-01T00:00:00Z\",\"n\":99999999999999999999}\n"),
            GOOD,
            json!({ "number_out_of_range": 1 }),
            0,
        ),
        (
            "division by zero",
            with(b"{\"at\":\"2025-01-01T00:00:00Z\",\"n\":0,\"s\":\"zero\"}\n"),
            "{\"s\":\"zero\",\"ratio\":null}\n{\"s\":\"x\",\"ratio\":25.0}\n",
            json!({}),
            1,
        ),
        ("year 9999", event("9999-12-31T23:59:59.999999Z").into(), GOOD, json!({}), 0),
        (
            "year 10000",
            with(event("10000-01-01T00:00:00Z").as_bytes()),
            GOOD,
            json!({ "bad_timestamp": 1 }),
            0,
        ),
        (
            "year -44",
            with(event("-0044-03-15T12:00:00Z").as_bytes()),
            GOOD,
            json!({ "bad_timestamp": 1 }),
            0,
        ),
        ("year 0", event("0000-01-01T00:00:00Z").into(), GOOD, json!({}), 0),
    ];
    for (name, input, rows, rejects, made_null) in cases {
        let folder = Folder::new(EVENTS, &input);
        let output = folder.run(&["--summary-json"]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), rows, "{name}");
        let said = text(&output.stderr);
        let summary = said.lines().rev().find(|line| line.starts_with('{')).expect("a summary");
        let summary: Value = serde_json::from_str(summary).expect("JSON");
        assert_eq!(summary["parsers"][0]["rejects"], rejects, "{name}");
        let nulls: u64 = summary["made_null"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, n)| n.as_u64())
            .sum();
        assert_eq!(nulls, made_null, "{name}");
        assert_eq!(summary["poison"], json!(0), "{name}");
        let count: u64 =
            rejects.as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        let dead = folder.path().join("dead.jsonl");
        let dead = if dead.exists() { read_jsonl(&dead) } else { Vec::new() };
        assert_eq!(u64::try_from(dead.len()), Ok(count), "{name}: {dead:?}");
        for letter in dead {
            assert!(rejects[letter["reason"].as_str().unwrap_or_default()].is_u64(), "{letter}");
            assert!(letter["record"].is_string(), "{name}: {letter}");
        }
    }
}

#[test]
fn the_ends_of_time_have_windows() {
    for (at, window) in [
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:00Z"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ] {
        let folder = Folder::new(EVENTS, event(at).as_bytes());
        let output = folder.run(&[]);
        assert_eq!(output.status.code(), Some(0), "{at}: {}", text(&output.stderr));
        let rows = read_jsonl(&folder.path().join("windows.jsonl"));
        let [row] = &rows[..] else { panic!("{at}: {rows:?}") };
        assert_eq!((&row["window_start"], &row["rows"]), (&json!(window), &json!(1)), "{at}");
    }
}

/// A run adds its dead letters to those of the runs before it.
#[test]
fn dead_letters_are_kept_from_run_to_run() {
    let folder = Folder::new(EVENTS, b"not JSON\n");
    for runs in 1..3 {
        let output = folder.run(&["-q"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(read_jsonl(&folder.path().join("dead.jsonl")).len(), runs);
    }
    let output = folder.run(&["-q", "--set", "dead_letters.path=/dev/full"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("/dev/full"), "{}", text(&output.stderr));
}
