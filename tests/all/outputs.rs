//! What readers of a window see: revisions, update and complete mode, triggers; and that it does
//! not matter through which source the same logs come.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::made::{
    DELAY, deal, deal_unevenly, generator_source, paths, service_log, service_model, write,
};
use crate::matrix::{GAP, SLIDING, TUMBLING, figures, golden, parser_of, source, windows};
use crate::model::{self, Aligned, SECOND, read, service_line};
use crate::support::{Rows, assert_table, millstream, run, set};

const ALLOWED: i64 = 30 * SECOND;

/// Keeps the last row of each key, as a reader of changes does.
fn last(rows: &[Value], keys: &[&str]) -> Rows {
    let mut last = BTreeMap::new();
    for row in rows {
        let key: Vec<String> = keys.iter().map(|key| row[*key].to_string()).collect();
        last.insert(key, row.clone());
    }
    last.into_values().collect()
}

fn with(rows: &[Value], holds: impl Fn(&Value) -> bool) -> Rows {
    rows.iter().filter(|row| holds(row)).cloned().collect()
}

/// Windows that take late rows for 30 s, and what reads them.
fn revised(files: &str) -> String {
    let windows = windows()
        .replace(
            "tumbling = \"20 seconds\"",
            "tumbling = \"20 seconds\"\nallowed_lateness = \"30 seconds\"",
        )
        .replace("offset = ", "allowed_lateness = \"30 seconds\"\noffset = ")
        .replace("\"keyed\"", "\"rows\"");
    format!(
        r#"name = "revised"
{}{windows}
[windows.downstream]
input = "tumbling"
global = true
aggregate = {{ windows = "count(*)", rows = "sum(rows)" }}

[rules.first]
input = "tumbling"
key = ["service"]
when = "rows > 0"

[rules.all]
input = "tumbling"
key = ["service"]
when = "rows > 0"
revisions = true

[streams.narrow]
input = "tumbling"
select = ["window_start", "window_end", "service", "rows"]

[rules.unnumbered]
input = "narrow"
key = ["service"]
when = "rows > 0"

[rules.changes]
input = "tumbling"
key = ["service"]
plugin = "error-spike"
config = {{ column = "rows", min_change = 0 }}
state_ttl = "1 day"

[windows.judged]
input = "changes.rows"
global = true
aggregate = {{ windows = "count(*)" }}
"#,
        source("logs", "rows", files)
    )
}

/// The first firing holds what came in time; the last revision, everything that was allowed. Both
/// are the same for any cut; how many revisions lie between is not promised.
#[test]
fn revisions() {
    let text = service_log();
    for partitions in [1, 3] {
        let dealt = deal_unevenly(&text, partitions);
        let folder = tempfile::tempdir().expect("temporary folder");
        let pipeline = revised(&paths(&write(folder.path(), "logs", &dealt)));
        let log = service_model(&dealt);
        for (workers, epoch_rows) in [(1, 8_192), (2, 100), (7, 1)] {
            let outputs = [
                "tumbling",
                "sliding",
                "tumbling.late",
                "sliding.late",
                "downstream",
                "first",
                "all",
                "unnumbered",
                "changes.rows",
                "judged",
            ];
            let sets = [set("engine.workers", workers), set("engine.epoch_rows", epoch_rows)];
            let run = run(&pipeline, &outputs, &sets);
            let what = format!("{partitions} partitions, epochs of {epoch_rows}");
            for (name, window, key) in
                [("tumbling", TUMBLING, "service"), ("sliding", SLIDING, "user_id")]
            {
                let rows = run.rows(name);
                let keys = ["window_start", key];
                let of = |allowed| model::rows(&window.groups(&log, allowed, key), key, figures);
                let first = with(rows, |row| row["revision"] == 0);
                assert_table(&format!("{what}: {name}, first"), &of(0), &first, &keys);
                assert_table(
                    &format!("{what}: {name}, last"),
                    &of(ALLOWED),
                    &last(rows, &keys),
                    &keys,
                );
                assert!(rows.len() > first.len() + 10, "{what}: {name} has revisions");
                assert_rising(&format!("{what}: {name}"), rows, &keys);
                let late = run.rows(&format!("{name}.late")).to_vec();
                let keys = ["source_position", "timestamp"];
                assert_table(
                    &format!("{what}: {name}.late"),
                    &window.late(&log, ALLOWED),
                    &late,
                    &keys,
                );
            }
            let rows = run.rows("tumbling");
            let first = with(rows, |row| row["revision"] == 0);
            let counted: i64 = first.iter().map(|row| row["rows"].as_i64().expect("a count")).sum();
            let expected = json!({ "windows": first.len(), "rows": counted });
            assert_eq!(
                run.rows("downstream"),
                [expected],
                "{what}: revisions are not counted again"
            );
            assert_eq!(run.rows("first").len(), first.len(), "{what}: rules see first firings");
            assert_eq!(run.rows("unnumbered").len(), first.len(), "{what}: also by another way");
            assert_eq!(run.rows("all").len(), rows.len(), "{what}: and revisions when asked to");
            assert_same_alerts(&what, run.rows("all"));
            assert_eq!(run.rows("judged"), [json!({ "windows": first.len() })], "{what}");
            let changes = run.rows("changes.rows");
            assert_eq!(changes.len(), rows.len(), "{what}: revisions are passed on");
        }
    }
}

/// Rules know `revision` by its name, so no other column of a window may have it.
#[test]
fn revision_is_a_reserved_name() {
    let cases = [
        "aggregate = { revision = \"count(*)\" }",
        "aggregate = { rows = \"count(*)\" }\nderive = { revision = \"rows + 1\" }",
        "group_by = { revision = \"length(line)\" }\naggregate = { rows = \"count(*)\" }",
    ];
    for case in cases {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("pipeline.toml");
        let text = format!(
            "name = \"reserved\"\n[sources.text]\ntype = \"stdin\"\n[parsers.lines]\ninput = \"text\"\n\
             plugin = \"lines\"\n[windows.minutes]\ninput = \"lines\"\ntumbling = \"1 minute\"\n{case}\n"
        );
        std::fs::write(&file, text).expect("write pipeline");
        let output = millstream().arg("check").arg(&file).output().expect("start millstream");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{case}: {message}");
        assert!(message.contains("`revision` is kept for"), "{case}: {message}");
    }
}

/// In a file, the revisions of a window stand in their order.
fn assert_rising(what: &str, rows: &[Value], keys: &[&str]) {
    let mut seen: BTreeMap<Vec<String>, i64> = BTreeMap::new();
    for row in rows {
        let key = keys.iter().map(|key| row[*key].to_string()).collect();
        let number = row["revision"].as_i64().expect("a number");
        if let Some(before) = seen.insert(key, number) {
            assert!(before < number, "{what}: revision {number} after {before}: {row}");
        }
    }
}

/// An alert's revisions keep its id.
fn assert_same_alerts(what: &str, alerts: &[Value]) {
    let mut ids: BTreeMap<String, Value> = BTreeMap::new();
    let mut revised = 0;
    for alert in alerts {
        let about = format!("{} {}", alert["window_start"], alert["service"]);
        revised += usize::from(alert["revision"] != 0);
        let id = ids.entry(about).or_insert_with(|| alert["alert_id"].clone());
        assert_eq!(*id, alert["alert_id"], "{what}: {alert}");
    }
    assert!(revised > 0, "{what}: there are alerts on revisions");
}

/// The final table of update and of complete mode is the table of all rows that were not late.
#[test]
fn update_and_complete() {
    let text = service_log();
    for partitions in [1, 3] {
        let dealt = deal_unevenly(&text, partitions);
        let folder = tempfile::tempdir().expect("temporary folder");
        let files = paths(&write(folder.path(), "logs", &dealt));
        for mode in ["update", "complete"] {
            // Time windows only: a count window's key has many windows.
            let windows: String = windows()
                .split_inclusive("\n\n")
                .filter(|part| !part.contains("[windows.count]"))
                .map(|part| format!("{}\noutput = \"{mode}\"\n\n", part.trim_end()))
                .collect();
            let pipeline = format!("name = \"modes\"\n{}{windows}", source("logs", "rows", &files));
            for (workers, epoch_rows, trigger) in
                [(1, 8_192, None), (2, 100, None), (7, 100, Some("1 hour"))]
            {
                let mut sets =
                    vec![set("engine.workers", workers), set("engine.epoch_rows", epoch_rows)];
                for window in ["tumbling", "sliding", "session", "global"] {
                    sets.extend(
                        trigger.map(|every| set(&format!("windows.{window}.trigger"), every)),
                    );
                }
                let outputs = ["tumbling", "sliding", "session", "global"];
                let run = run(&pipeline, &outputs, &sets);
                let what = format!("{mode}, {partitions} partitions, epochs of {epoch_rows}");
                for (name, keys) in [
                    ("tumbling", &["window_start", "service"][..]),
                    ("sliding", &["window_start", "user_id"]),
                    ("global", &["status_code"]),
                ] {
                    let expected = golden(name, &dealt, &dealt);
                    let rows = run.rows(name);
                    assert_table(&format!("{what}: {name}"), &expected, &last(rows, keys), keys);
                    if epoch_rows == 100 && trigger.is_none() {
                        assert!(rows.len() > expected.len(), "{what}: {name} tells of changes");
                    }
                }
                assert_sessions(&what, &golden("session", &dealt, &dealt), run.rows("session"));
            }
        }
    }
}

/// A session that grows is another row; so the final ones must be there, among earlier ones.
fn assert_sessions(what: &str, expected: &[Value], rows: &[Value]) {
    let keys = ["window_start", "window_end", "user_id"];
    let known: Vec<String> =
        expected.iter().map(|row| keys.map(|key| row[key].to_string()).join(" ")).collect();
    let last = last(rows, &keys);
    let last = with(&last, |row| known.contains(&keys.map(|key| row[key].to_string()).join(" ")));
    assert_table(&format!("{what}: session"), expected, &last, &keys);
}

/// With a long trigger complete mode writes the first epoch's table, and the last.
#[test]
fn a_trigger_holds_tables_back() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let files = paths(&write(folder.path(), "logs", &[service_log()]));
    let pipeline = format!(
        "name = \"trigger\"\n{}[windows.all]\ninput = \"rows\"\nglobal = true\naggregate = {{ rows = \"count(*)\" }}\n",
        source("logs", "rows", &files)
    );
    let taken = service_model(&[service_log()]).records.len();
    let sets = |more: &[&str]| -> Vec<String> {
        let all = ["engine.epoch_rows=100", "engine.epoch=1 hour"];
        all.iter().chain(more).map(|set| (*set).to_owned()).collect()
    };
    for mode in ["update", "complete"] {
        let mode = format!("windows.all.output={mode}");
        let every = run(&pipeline, &["all"], &sets(&[&mode])).rows("all").len();
        assert!(every >= 20, "{mode}: {every} tables");
        let run = run(&pipeline, &["all"], &sets(&[&mode, "windows.all.trigger=1 hour"]));
        let counts: Vec<i64> =
            run.rows("all").iter().map(|row| row["rows"].as_i64().expect("a count")).collect();
        assert_eq!(counts.len(), 2, "{mode}: {counts:?}");
        assert!((90..=100).contains(&counts[0]), "{mode}: {counts:?}");
        assert_eq!(usize::try_from(counts[1]).expect("a count"), taken, "{mode}: {counts:?}");
    }
}

/// Windows and late rows of the same logs through other sources.
fn check_source(what: &str, source: &str, partitions: &[String]) {
    let windows = windows().replace("\"keyed\"", "\"rows\"");
    let text = format!(
        "name = \"sources\"\n[sources.logs]\n{source}\nwatermark = {{ delay = \"1 second\" }}\n{}{windows}",
        parser_of("logs", "rows")
    );
    let log = read(partitions, DELAY, service_line);
    let outputs = ["tumbling", "sliding", "session", "global", "tumbling.late"];
    let run = run(&text, &outputs, &[set("engine.workers", 2), set("engine.epoch_rows", 500)]);
    let by_service = ["window_start", "service"];
    let by_user = ["window_start", "user_id"];
    let cases: [(&str, Rows, &[&str]); 4] = [
        (
            "tumbling",
            model::rows(&TUMBLING.groups(&log, 0, "service"), "service", figures),
            &by_service,
        ),
        ("sliding", model::rows(&SLIDING.groups(&log, 0, "user_id"), "user_id", figures), &by_user),
        (
            "session",
            model::rows(&model::sessions(&log, GAP, "user_id"), "user_id", figures),
            &by_user,
        ),
        (
            "global",
            model::rows(&model::global(&log, "status_code"), "status_code", figures),
            &["status_code"],
        ),
    ];
    for (name, expected, keys) in cases {
        assert_table(&format!("{what}: {name}"), &expected, run.rows(name), keys);
    }
    // Positions are the source's own; which rows are late is not.
    let late = |rows: &[Value]| {
        let mut times: Vec<String> = rows.iter().map(|row| row["timestamp"].to_string()).collect();
        times.sort();
        times
    };
    let expected = late(&Aligned::tumbling(20 * SECOND).late(&log, 0));
    assert!(!expected.is_empty());
    let mine: Vec<Value> = run
        .rows("tumbling.late")
        .iter()
        .map(|row| json!({ "timestamp": model::text(model::micros(row["timestamp"].as_str().expect("a time"))) }))
        .collect();
    assert_eq!(late(&mine), expected, "{what}");
}

#[test]
fn the_same_logs_from_a_folder_and_from_the_generator() {
    let text = service_log();
    let dealt = deal(&text, 3);
    let folder = tempfile::tempdir().expect("temporary folder");
    let files = write(folder.path(), "logs", &dealt);
    std::fs::write(folder.path().join("notes.txt"), "not a log\n").expect("write");
    let at =
        |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + hours * 3_600);
    // The folder is read in the order of modification, which is not that of names; two files are
    // of the same time.
    for (path, hours) in files.iter().zip([2, 1, 1]) {
        set_modified(path, at(hours));
    }
    let path = folder.path().display().to_string();
    let directory = format!("type = \"directory\"\npath = {path:?}\npattern = \"*.log\"");
    let in_order = [dealt[1].clone() + &dealt[2] + &dealt[0]];
    check_source("one partition", &directory, &in_order);
    // Opening one file an epoch cuts nothing differently.
    check_source("one file an epoch", &format!("{directory}\nmax_files_per_epoch = 1"), &in_order);
    check_source("a partition a file", &format!("{directory}\npartitions = \"per-file\""), &dealt);
    check_source("the generator", &generator_source(3), &dealt);
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = std::fs::File::options().write(true).open(path).expect("open");
    file.set_modified(time).expect("set time");
}
