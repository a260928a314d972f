//! Partitions that are far apart in event time.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::rig::{EVENTS, Rig, Still, event};
use crate::config::model::{FileSource as Config, Located};
use crate::data::SourceId;
use crate::sources::FileSource;

/// Minutes of input.
const MINUTES: i64 = 300;

/// Two files over the same time, one with a record a minute, one with many.
fn files(folder: &Path) -> FileSource {
    for (name, each) in [("sparse.log", 1), ("dense.log", 40)] {
        let mut text = String::new();
        for minute in 0..MINUTES {
            for record in 0..each {
                let _ = writeln!(text, "{}", event(minute * 60 + record, name, record));
            }
        }
        std::fs::write(folder.join(name), text).unwrap();
    }
    let path = |name: &str| Located { value: PathBuf::from(name), span: 0..0 };
    let config = Config {
        paths: vec![path("sparse.log"), path("dense.log")],
        follow: false,
        max_record_bytes: 1 << 10,
    };
    FileSource::open(&config, SourceId(0), folder).unwrap()
}

struct Seen {
    rows: Vec<String>,
    late: u64,
    most_open: usize,
    paused: bool,
}

fn run(max_drift: &str, workers: usize) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let text = EVENTS
        .replace("workers = 1", &format!("workers = {workers}\nbatch_rows = 10\nepoch_rows = 40"))
        .replace("delay = \"1 second\"", &format!("delay = \"1 second\"{max_drift}"));
    let window = "
        [windows.w]
        input = \"events\"
        tumbling = \"1 minute\"
        group_by = [\"k\"]
        aggregate = { rows = \"count(*)\", total = \"sum(v)\" }
        [sinks.out]
        inputs = [\"w\", \"w.late\"]
        type = \"discard\"
    ";
    let mut rig = Rig::new(&format!("{text}{window}"), vec![files(folder.path())], None);
    let mut most_open = 0;
    rig.engine
        .run(&Still { tick: Duration::from_micros(1), ..Still::default() }, &mut |engine| {
            let open = engine.owner().stats().nodes.iter().map(|node| node.open_windows).sum();
            most_open = most_open.max(open);
        })
        .unwrap();
    let all = rig.rows();
    let text = |rows: &Vec<Value>| rows.iter().map(Value::to_string).collect::<Vec<_>>();
    let mut rows = all.get("w").map(text).unwrap_or_default();
    rows.sort();
    let late = all.get("w.late").map_or(0, Vec::len);
    // An epoch in which only one of two unfinished partitions is read.
    let paused = rig.facts().iter().any(|facts| {
        let dense = facts.ranges.iter().all(|range| range.from.partition.0 == 1);
        dense && !facts.ranges.is_empty() && facts.finished.is_empty()
    });
    Seen { rows, late: u64::try_from(late).unwrap(), most_open, paused }
}

#[test]
fn a_backlog_does_not_fill_the_state_and_changes_no_result() {
    let free = run(", max_drift = \"1000 days\"", 1);
    assert_eq!((free.late, free.paused), (0, false));
    assert_eq!(free.rows.len(), usize::try_from(MINUTES * 2).unwrap());
    assert!(free.most_open > 200, "{}", free.most_open);
    // The default is twice the window. Whatever is under way comes on top.
    for (max_drift, workers, most) in
        [("", 1, 40), (", max_drift = \"5 minutes\"", 1, 40), ("", 3, 120)]
    {
        let held = run(max_drift, workers);
        assert!(held.paused);
        assert_eq!((&held.rows, held.late), (&free.rows, 0), "{max_drift}");
        assert!(held.most_open <= most, "{max_drift}: {} windows", held.most_open);
    }
}
