//! Every window kind: one golden on one partition and on three, whatever the number of workers and
//! wherever epochs are cut.
//!
//! The goldens in `tests/data/matrix` are the naive model's answers, not the host's:
//! `MILLSTREAM_BLESS=1` writes them from the model, and both must agree with them.
//!
//! What is promised, and so compared exactly: which rows are late, which windows exist, counts,
//! whole sums, minima, maxima, distinct values. Sums and averages of doubles may differ in the last
//! digits, by the order of addition. The order of rows in a file is that in which windows closed,
//! which the cut of epochs decides; so tables are compared, not files. (`replay` compares bytes.)
//!
//! A count window takes a key's rows as they are merged, in the order of (epoch, partition,
//! position). That is the order of the log where each key keeps to one partition, and then the same
//! windows come out of any cut: so the golden has its logs dealt out by key. Where a key is spread
//! over partitions only the number of its windows is the same for every cut; `replay` shows that
//! one cut always gives the same windows.

use std::path::Path;

use serde_json::{Value, json};

use crate::made::{deal_by_service, deal_unevenly, paths, service_log, service_model, write};
use crate::model::{self, Aligned, Record, SECOND};
use crate::support::{Rows, Run, assert_table, read_jsonl, root, run, set};

/// Windows over `rows`, and a count window over `keyed`.
pub const WINDOWS: &str = r#"
[windows.tumbling]
input = "rows"
tumbling = "20 seconds"
group_by = ["service"]
aggregate = { FIGURES }

[windows.sliding]
input = "rows"
sliding = { size = "50 seconds", slide = "20 seconds" }
offset = "7 seconds"
group_by = ["user_id"]
aggregate = { FIGURES }

[windows.session]
input = "rows"
session = { gap = "12 seconds" }
group_by = ["user_id"]
aggregate = { FIGURES }

[windows.count]
input = "keyed"
count = 25
group_by = ["service"]
aggregate = { FIGURES }

[windows.global]
input = "rows"
global = true
group_by = ["status_code"]
aggregate = { FIGURES }
"#;

const FIGURES: &str = r#"rows = "count(*)", errors = "count(*) filter (where status_code >= 400)", total = "sum(status_code)", time = "sum(response_time)", mean = "avg(response_time)", least = "min(response_time)", most = "max(response_time)", deviation = "stddev(response_time)", users = "count(distinct user_id)", services = "array_agg(distinct service)", first = "first_value(request_id)", last = "last_value(request_id)""#;

/// Figures that the order of addition may change in the last digits.
const LOOSE: &[&str] = &["time", "mean", "deviation"];

pub const TUMBLING: Aligned = Aligned { size: 20 * SECOND, slide: 20 * SECOND, offset: 0 };
pub const SLIDING: Aligned = Aligned { size: 50 * SECOND, slide: 20 * SECOND, offset: 7 * SECOND };
pub const GAP: i64 = 12 * SECOND;
pub const COUNT: usize = 25;

pub fn figures(records: &[&Record]) -> Value {
    let times = model::numbers(records, "response_time");
    json!({
        "rows": records.len(),
        "errors": model::count_if(records, |row| row["status_code"].as_i64().is_some_and(|s| s >= 400)),
        "total": model::total(records, "status_code"),
        "time": model::sum(&times),
        "mean": model::mean(&times),
        "least": model::least(&times),
        "most": model::most(&times),
        "deviation": model::deviation(&times),
        "users": model::distinct(records, "user_id").len(),
        "services": model::distinct(records, "service"),
        "first": records[0].row["request_id"],
        "last": records[records.len() - 1].row["request_id"],
    })
}

/// A source and its parser.
pub fn source(name: &str, parser: &str, files: &str) -> String {
    format!(
        r#"
[sources.{name}]
type = "file"
paths = {files}
watermark = {{ delay = "1 second" }}
{}"#,
        parser_of(name, parser)
    )
}

/// A parser of service logs.
pub fn parser_of(source: &str, parser: &str) -> String {
    format!(
        r#"
[parsers.{parser}]
input = "{source}"
plugin = "json"
event_time = "timestamp"
[parsers.{parser}.config.columns]
timestamp = {{ type = "timestamp", required = true }}
service = "text"
user_id = "text"
request_id = "text"
response_time = "float64"
status_code = "int64"
"#
    )
}

pub fn windows() -> String {
    WINDOWS.replace("FIGURES", FIGURES)
}

/// The whole pipeline: `logs` dealt out in turn, `keyed_logs` by key.
pub fn pipeline(logs: &str, keyed: &str) -> String {
    let logs = source("logs", "rows", logs);
    let keyed = source("keyed_logs", "keyed", keyed);
    format!("name = \"matrix\"\n{logs}{keyed}{}", windows())
}

/// Name, and the columns that tell rows apart.
const OUTPUTS: &[(&str, &[&str])] = &[
    ("tumbling", &["window_start", "service"]),
    ("sliding", &["window_start", "user_id"]),
    ("session", &["window_start", "user_id"]),
    ("count", &["window_start", "service", "first"]),
    ("global", &["status_code"]),
    ("tumbling.late", &["source_position", "timestamp"]),
    ("sliding.late", &["source_position", "timestamp"]),
    ("session.late", &["source_position", "timestamp"]),
    ("rows.rejects", &["partition", "position"]),
];

/// What the model says of each window.
pub fn golden_rows(name: &str, dealt: &[String], by_key: &[String]) -> Rows {
    let log = service_model(dealt);
    match name {
        "tumbling" => model::rows(&TUMBLING.groups(&log, 0, "service"), "service", figures),
        "sliding" => model::rows(&SLIDING.groups(&log, 0, "user_id"), "user_id", figures),
        "session" => model::rows(&model::sessions(&log, GAP, "user_id"), "user_id", figures),
        "count" => {
            let log = service_model(by_key);
            let records: Vec<&Record> = log.records.iter().collect();
            model::rows(&model::counts(&records, COUNT, "service"), "service", figures)
        }
        _ => model::rows(&model::global(&log, "status_code"), "status_code", figures),
    }
}

/// Reads the committed golden, which the model must agree with.
pub fn golden(name: &str, dealt: &[String], by_key: &[String]) -> Rows {
    let model = golden_rows(name, dealt, by_key);
    let path = root().join(format!("tests/data/matrix/{name}-{}.jsonl", dealt.len()));
    if std::env::var_os("MILLSTREAM_BLESS").is_some() {
        let lines: String = model.iter().map(|row| format!("{row}\n")).collect();
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        std::fs::write(&path, lines).expect("write golden");
    }
    let golden = read_jsonl(&path);
    let keys = OUTPUTS.iter().find(|(output, _)| *output == name).map_or(&[][..], |(_, keys)| keys);
    assert_table(&format!("{} and the model", path.display()), &golden, &model, keys);
    golden
}

/// Late rows and rejects, which have no goldens of their own.
fn side_rows(name: &str, dealt: &[String], files: &[impl AsRef<Path>]) -> Rows {
    let log = service_model(dealt);
    match name {
        "tumbling.late" => TUMBLING.late(&log, 0),
        "sliding.late" => SLIDING.late(&log, 0),
        "session.late" => model::late_for_sessions(&log),
        _ => log
            .refused
            .iter()
            .map(|refused| {
                json!({
                    "source": "logs",
                    "partition": files[refused.partition].as_ref().display().to_string(),
                    "position": refused.position,
                    "reason": refused.reason,
                    "node": "rows",
                })
            })
            .collect(),
    }
}

fn matrix(partitions: usize) {
    let text = service_log();
    let (dealt, by_key) = (deal_unevenly(&text, partitions), deal_by_service(&text, partitions));
    let folder = tempfile::tempdir().expect("temporary folder");
    let files = write(folder.path(), "logs", &dealt);
    let keyed = write(folder.path(), "keyed", &by_key);
    let pipeline = pipeline(&paths(&files), &paths(&keyed));
    let expected: Vec<Rows> = OUTPUTS
        .iter()
        .map(|(name, _)| match name.contains('.') {
            true => side_rows(name, &dealt, &files),
            false => golden(name, &dealt, &by_key),
        })
        .collect();
    for ((name, _), rows) in OUTPUTS.iter().zip(&expected) {
        assert!(rows.len() >= 5, "{name} has {} rows and proves little", rows.len());
    }
    let outputs: Vec<&str> = OUTPUTS.iter().map(|(name, _)| *name).collect();
    let mut first: Option<Run> = None;
    for epoch_rows in [8_192, 100, 1] {
        for workers in [1, 2, 7] {
            let what =
                format!("{partitions} partitions, {workers} workers, epochs of {epoch_rows}");
            let sets = [set("engine.workers", workers), set("engine.epoch_rows", epoch_rows)];
            let run = run(&pipeline, &outputs, &sets);
            for ((name, keys), expected) in OUTPUTS.iter().zip(&expected) {
                assert_table(&format!("{what}: {name}"), expected, run.rows(name), keys);
            }
            let first = first.get_or_insert_with(|| run.clone());
            for (name, keys) in OUTPUTS {
                assert_same(&format!("{what}: {name}"), first.rows(name), run.rows(name), keys);
            }
        }
    }
}

/// Two runs agree: all columns exactly but `LOOSE` ones, those within 1e-12, and `received`, which
/// is a clock's.
fn assert_same(what: &str, a: &[Value], b: &[Value], keys: &[&str]) {
    let sorted = |rows: &[Value]| {
        let mut rows = rows.to_vec();
        let key = |row: &Value| keys.iter().map(|key| row[*key].to_string()).collect::<Vec<_>>();
        rows.sort_by_key(key);
        rows
    };
    assert_eq!(a.len(), b.len(), "{what}");
    for (mut a, mut b) in sorted(a).into_iter().zip(sorted(b)) {
        for column in LOOSE {
            let (x, y) = (a[*column].take(), b[*column].take());
            if let (Some(x), Some(y)) = (x.as_f64(), y.as_f64()) {
                assert!((x - y).abs() <= 1e-12 * x.abs().max(y.abs()), "{what}: {column} {x} {y}");
            } else {
                assert_eq!(x, y, "{what}: {column}");
            }
        }
        (a["received"], b["received"]) = (Value::Null, Value::Null);
        assert_eq!(a, b, "{what}");
    }
}

#[test]
fn one_partition() {
    matrix(1);
}

#[test]
fn three_partitions() {
    matrix(3);
}

/// A key that is spread over partitions has as many count windows, whatever the cut.
#[test]
fn count_windows_of_spread_keys_are_as_many() {
    let text = service_log();
    let dealt = deal_unevenly(&text, 3);
    let folder = tempfile::tempdir().expect("temporary folder");
    let files = paths(&write(folder.path(), "logs", &dealt));
    let log = service_model(&dealt);
    let records: Vec<&Record> = log.records.iter().collect();
    let of = |rows: &[Value]| {
        let mut keys: Vec<String> = rows.iter().map(|row| row["service"].to_string()).collect();
        keys.sort();
        keys
    };
    let rows = model::rows(&model::counts(&records, COUNT, "service"), "service", figures);
    for epoch_rows in [1, 100, 8_192] {
        let sets = [set("engine.workers", 2), set("engine.epoch_rows", epoch_rows)];
        let run = run(&pipeline(&files, &files), &["count"], &sets);
        assert_eq!(of(run.rows("count")), of(&rows), "epochs of {epoch_rows}");
        assert!(run.rows("count").iter().all(|row| row["rows"] == json!(COUNT)));
    }
}
