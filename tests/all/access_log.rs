//! A real web server's log.

use std::collections::BTreeMap;

use crate::support::{data, run, set};

pub const PIPELINE: &str = r#"
name = "access"

[sources.access]
type = "file"
path = "access.log"
watermark = { delay = "1 minute" }

[parsers.requests]
input = "access"
plugin = "apache"
config = { format = "combined" }
event_time = "timestamp"

[windows.statuses]
input = "requests"
global = true
group_by = ["status"]
aggregate = { requests = "count(*)" }

[windows.seconds]
input = "requests"
tumbling = "10 seconds"
aggregate = { requests = "count(*)" }
"#;

#[test]
fn one_line_is_refused_and_statuses_are_counted() {
    let Some(input) = data("access-logs/apache_combined.log") else { return };
    let text = std::fs::read_to_string(&input).expect("utf-8");
    let broken: usize = text.lines().take(8898).map(|line| line.len() + 1).sum();
    let result = run(
        PIPELINE,
        &["statuses", "requests.rejects"],
        &[set("sources.access.path", input.display())],
    );
    let counts: BTreeMap<i64, i64> = result
        .rows("statuses")
        .iter()
        .map(|row| (row["status"].as_i64().expect("int"), row["requests"].as_i64().expect("int")))
        .collect();
    let expected = BTreeMap::from([
        (200, 9126),
        (206, 45),
        (301, 164),
        (304, 445),
        (403, 2),
        (404, 213),
        (416, 2),
        (500, 3),
    ]);
    // Line 8899, which is refused, has a status too.
    let rows: i64 = counts.values().sum();
    assert_eq!(rows, 9_999);
    for (status, count) in expected {
        let mine = counts.get(&status).copied().unwrap_or_default();
        assert!(mine == count || mine + 1 == count, "status {status}: {mine}, expected {count}");
    }
    let rejects = result.rows("requests.rejects");
    assert_eq!(rejects.len(), 1);
    assert_eq!(rejects[0]["position"], broken);
}

#[test]
fn late_rows_by_delay() {
    let Some(input) = data("access-logs/apache_combined.log") else { return };
    for (delay, expected) in [(0, 8_143), (10, 6_488), (30, 3_135), (59, 0)] {
        let result = run(
            PIPELINE,
            &["seconds", "seconds.late"],
            &[
                set("sources.access.path", input.display()),
                set("sources.access.watermark.delay", format!("{delay} s")),
            ],
        );
        let late = result.rows("seconds.late").len();
        let counted: i64 =
            result.rows("seconds").iter().map(|row| row["requests"].as_i64().expect("int")).sum();
        assert_eq!(late, expected, "delay {delay} s");
        assert_eq!(usize::try_from(counted).expect("a count") + late, 9_999, "delay {delay} s");
    }
}
