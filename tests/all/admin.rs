//! A running pipeline that is asked how it goes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use crate::support::millstream;

const PIPELINE: &str = r#"
name = "asked"
[engine]
epoch = "10ms"
[sources.logs]
type = "generator"
settings = { format = "service-json", seed = 7, malformed = 0.01 }
rows_per_second = 5000
watermark = { delay = "10 seconds" }
[parsers.events]
input = "logs"
plugin = "json"
config = { columns = { timestamp = "timestamp", service = "text", response_time = "float64", status_code = "int64" } }
event_time = "timestamp"
[windows.rate]
input = "events"
tumbling = "1 second"
group_by = ["service"]
aggregate = { requests = "count(*)" }
[rules.any]
input = "rate"
when = "requests > 0"
severity = "info"
[sinks.out]
inputs = ["any"]
type = "discard"
"#;

/// Ends the process whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    answer
}

fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(-1.0)
}

#[test]
fn a_running_pipeline_is_scraped() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("pipeline.toml");
    std::fs::write(&file, PIPELINE).expect("pipeline");
    let mut child = millstream()
        .args(["--log", "info", "--log-format", "json", "run", "--admin", "127.0.0.1:0"])
        .arg(&file)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("start millstream");
    let log = BufReader::new(child.stderr.take().expect("piped"));
    let mut running = Running(child);
    let mut lines = log.lines().map(|line| line.expect("log"));
    let address = lines
        .find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            Some(line["fields"]["address"].as_str()?.to_owned())
        })
        .expect("the address is in the log");
    // The log must be read on, or the process stops at a full pipe.
    let rest = std::thread::spawn(move || lines.count());
    // Each scrape waits for nothing; the pipeline gets where we want it sooner or later.
    let text = loop {
        let text = get(&address, "/metrics");
        let alerts = sample(&text, "millstream_rule_alerts_total{rule=\"any\",severity=\"info\"}");
        if alerts > 0.0 {
            break text;
        }
    };
    for name in [
        "millstream_input_records_total",
        "millstream_input_bytes_total",
        "millstream_engine_epochs_total",
        "millstream_engine_epoch_seconds_count",
        "millstream_node_rows_total{node=\"events\"}",
        "millstream_node_rejects_total{node=\"events\",reason=\"invalid_json\"}",
        "millstream_node_state_bytes{node=\"rate\"}",
        "millstream_window_rows_total{node=\"rate\"}",
        "millstream_window_fired_total{node=\"rate\"}",
        "millstream_window_open_windows{node=\"rate\"}",
        "millstream_plugin_calls_total{plugin=\"json\"}",
        "millstream_plugin_cpu_seconds_total{plugin=\"json\"}",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ] {
        assert!(sample(&text, name) > 0.0, "{name}\n{text}");
    }
    for name in [
        "millstream_window_late_rows_total{node=\"rate\"}",
        "millstream_plugin_failures_total{plugin=\"json\"}",
        "millstream_commit_aborts_total",
    ] {
        assert!(sample(&text, name) >= 0.0, "{name}\n{text}");
    }
    assert!(text.contains("millstream_source_watermark_lag_seconds{source=\"logs\"}"), "{text}");
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200"));
    running.0.kill().expect("end");
    rest.join().expect("the log's reader");
}

#[test]
fn only_this_machine_may_ask() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("pipeline.toml");
    std::fs::write(&file, PIPELINE).expect("pipeline");
    let output = millstream()
        .args(["run", "--admin", "0.0.0.0:0"])
        .arg(&file)
        .output()
        .expect("start millstream");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("there is no authentication yet"), "{text}");
    assert!(text.contains("use 127.0.0.1"), "{text}");
}
