//! Checkpoints of every format ever written can still be read.
//!
//! `tests/data/checkpoints/1` was written by the first version with checkpoints: a run of its
//! `pipeline.toml`, killed in its middle, with all that it had shown before. It is never rewritten: a
//! new format gets a new folder. (`MILLSTREAM_BLESS=1` makes one that is missing.)

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{millstream, root};

const PIPELINE: &str = r#"
name = "kept-format"
[engine]
workers = 1
epoch_rows = 20
[state]
path = "state"
keep = 1
[commit]
interval = "1ms"
max_bytes = "1 B"
[sources.logs]
type = "generator"
partitions = 2
settings = { format = "service-json", rows = 3000, duration = "10 minutes", out_of_order = 0.2, max_disorder = "5 seconds", late = 0.05, max_lateness = "2 minutes", services = 4, users = 12, seed = 7 }
watermark = { delay = "2 seconds" }
[parsers.rows]
input = "logs"
plugin = "json"
event_time = "timestamp"
[parsers.rows.config.columns]
timestamp = { type = "timestamp", required = true }
service = "text"
user_id = "text"
response_time = "float64"
status_code = "int64"
[windows.tumbling]
input = "rows"
tumbling = "20 seconds"
group_by = ["service"]
aggregate = { n = "count(*)", errors = "count(*) filter (where status_code >= 400)", total = "sum(status_code)", least = "min(response_time)", most = "max(response_time)", deviation = "stddev(response_time)", users = "count(distinct user_id)", about = "approx_distinct(user_id)", middle = "median(response_time)", names = "array_agg(distinct user_id)", first = "first_value(user_id)" }
[windows.sliding]
input = "rows"
sliding = { size = "1 minute", slide = "20 seconds" }
group_by = ["user_id"]
aggregate = { n = "count(*)", mean = "avg(status_code)" }
[windows.session]
input = "rows"
session = { gap = "8 seconds" }
group_by = ["user_id"]
aggregate = { n = "count(*)" }
[windows.count]
input = "rows"
count = 100
group_by = ["service"]
aggregate = { total = "sum(status_code)" }
[windows.latency]
input = "rows"
tumbling = "30 seconds"
allowed_lateness = "1 minute"
group_by = ["service"]
aggregate = { n = "count(*)" }
[windows.table]
input = "rows"
global = true
output = "update"
group_by = ["status_code"]
aggregate = { n = "count(*)" }
[rules.steps]
input = "tumbling"
key = ["service"]
plugin = "zscore"
config = { column = "total", rows = 5, min_rows = 2, threshold = 1.0 }
state_ttl = "1 day"
message = "{service} {total}"
[rules.ordered]
input = "rows"
key = ["user_id"]
plugin = "zscore"
config = { column = "status_code", rows = 20, min_rows = 3, threshold = 2.0 }
order = "event_time"
state_ttl = "1 day"
message = "{user_id} {status_code}"
[rules.failed]
input = "rows"
when = "status_code >= 500"
[sinks.shown]
inputs = ["tumbling", "sliding", "session", "count", "latency", "table", "steps", "ordered", "failed", "tumbling.late"]
type = "console"
format = "jsonl"
"#;

fn run(folder: &Path, failpoints: &str) -> (Vec<String>, Option<i32>, String) {
    let output = millstream()
        .args(["run", "-q"])
        .arg(folder.join("pipeline.toml"))
        .env("FAILPOINTS", failpoints)
        .output()
        .expect("start millstream");
    let rows = String::from_utf8(output.stdout).expect("UTF-8");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || !failpoints.is_empty(), "{told}");
    (rows.lines().map(str::to_owned).collect(), output.status.signal(), told)
}

/// Writes a checkpoint of the present format.
fn make(folder: &Path) {
    std::fs::create_dir_all(folder).expect("folder");
    std::fs::write(folder.join("pipeline.toml"), PIPELINE).expect("pipeline");
    let (rows, signal, told) = run(folder, "commit::begin=90*off->return(kill)");
    assert_eq!(signal, Some(9), "{told}");
    std::fs::write(folder.join("shown-before.jsonl"), rows.join("\n") + "\n").expect("rows");
    // Only the checkpoint that counts, and what it needs.
    let listed = millstream()
        .args(["checkpoints", "show"])
        .arg(folder.join("pipeline.toml"))
        .output()
        .expect("start");
    let text = String::from_utf8(listed.stdout).expect("UTF-8");
    assert!(text.contains("  base  ") && text.contains("  delta "), "{text}");
    for kind in ["manifests", "objects"] {
        for entry in std::fs::read_dir(folder.join("state").join(kind)).expect("state") {
            let path = entry.expect("entry").path();
            let name = path.file_name().expect("name").to_string_lossy().into_owned();
            if !text.contains(&name) {
                std::fs::remove_file(path).expect("remove");
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp");
    assert!(copied.success());
}

#[test]
fn every_format_is_still_read() {
    let formats: PathBuf = root().join("tests/data/checkpoints");
    let present = formats.join("1");
    if !present.exists() && std::env::var_os("MILLSTREAM_BLESS").is_some() {
        make(&present);
    }
    let whole = tempfile::tempdir().expect("temporary folder");
    std::fs::copy(present.join("pipeline.toml"), whole.path().join("pipeline.toml")).expect("copy");
    let all: BTreeSet<String> = run(whole.path(), "").0.into_iter().collect();
    for entry in std::fs::read_dir(&formats).expect("formats") {
        let kept = entry.expect("entry").path();
        let folder = tempfile::tempdir().expect("temporary folder");
        copy(&kept, folder.path());
        let folder = folder.path().join(kept.file_name().expect("name"));
        let before = std::fs::read_to_string(folder.join("shown-before.jsonl")).expect("rows");
        let before: BTreeSet<String> = before.lines().map(str::to_owned).collect();
        let after: BTreeSet<String> = run(&folder, "").0.into_iter().collect();
        assert!(before.len() > 100 && after.len() > 100, "{} {}", before.len(), after.len());
        // Groups of update mode are shown again when they change; their last rows agree.
        let table = |row: &String| row.contains("\"node\":\"table\"");
        let lost: Vec<_> = all
            .iter()
            .filter(|row| !table(row) && !before.contains(*row) && !after.contains(*row))
            .collect();
        let made_up: Vec<_> =
            after.iter().filter(|row| !table(row) && !all.contains(*row)).collect();
        assert!(lost.is_empty(), "{}: lost {lost:#?}", kept.display());
        assert!(made_up.is_empty(), "{}: made up {made_up:#?}", kept.display());
        // What was shown since the last commit is shown again, and no more.
        let twice = before.intersection(&after).filter(|row| !table(row)).count();
        assert!(twice < 40, "{}: {twice} rows came twice", kept.display());
    }
}
