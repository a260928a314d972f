//! What a run did, and how it is shown.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::format::{bytes_text, count_text, duration_text};
use super::lateness::Lateness;
use crate::config::model::Severity;
use crate::sinks::SinkSummary;

/// The share of rows the advice on delays aims at.
const KEEP_PER_MILLE: u16 = 999;

/// What a run did. Nodes are in the order of the pipeline file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunSummary {
    /// The pipeline's name.
    pub pipeline: String,
    /// How long the run took.
    pub elapsed: Duration,
    /// Records read from all sources.
    pub rows_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Each parser.
    pub parsers: Vec<ParserSummary>,
    /// Each transform.
    pub transforms: Vec<ParserSummary>,
    /// Each window.
    pub windows: Vec<WindowSummary>,
    /// Each rule.
    pub rules: Vec<RuleSummary>,
    /// Each sink.
    pub sinks: Vec<SinkReport>,
    /// Records that broke a plugin or an expression and went to the dead letters.
    pub poison: u64,
    /// Values that SQL made null (divisions by zero, failed casts, overflows), by node.
    pub made_null: Vec<(String, u64)>,
    /// Commits of state and outputs; none when no state is kept.
    pub commits: Option<CommitSummary>,
    /// The most memory that the state of each node took.
    pub state: Vec<(String, u64)>,
    /// Commits that were undone and run again.
    pub aborted_commits: u64,
    /// The most memory in use; none where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
}

/// What was committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommitSummary {
    /// How often.
    pub count: u64,
    /// Bytes written, all together.
    pub bytes: u64,
    /// The average time of one, from begin to end.
    pub average: Duration,
    /// The longest.
    pub longest: Duration,
    /// Bytes of the last checkpoint.
    pub state_bytes: u64,
    /// The last checkpoint.
    pub last: Option<String>,
}

/// What a parser made of its records, or a transform of its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParserSummary {
    /// The node's name.
    pub name: String,
    /// Rows.
    pub parsed: u64,
    /// Rejected records or rows by reason.
    pub rejects: BTreeMap<String, u64>,
}

/// What a window did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowSummary {
    /// The node's name.
    pub name: String,
    /// Rows that came in, late ones included.
    pub rows_in: u64,
    /// Windows that fired, of all keys.
    pub fired: u64,
    /// Result rows, revisions included.
    pub rows_out: u64,
    /// The rows that came too late.
    pub late: Lateness,
    /// The delay the run had.
    pub delay_us: i64,
}

/// What a rule did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSummary {
    /// The node's name.
    pub name: String,
    /// Alerts by severity.
    pub alerts: BTreeMap<Severity, u64>,
}

/// What a sink did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SinkReport {
    /// The node's name.
    pub name: String,
    /// Rows, bytes, files.
    pub summary: SinkSummary,
}

impl CommitSummary {
    fn to_json(&self) -> Json {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        json!({
            "count": self.count, "bytes": self.bytes, "average_us": micros(self.average),
            "longest_us": micros(self.longest), "state_bytes": self.state_bytes, "last": self.last,
        })
    }

    fn lines(&self, aborted: u64) -> Vec<Line> {
        let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
        let (average, longest) = (millis(self.average), millis(self.longest));
        let mut note = format!("{average} each, the longest {longest}");
        if aborted > 0 {
            note.push_str(&format!("; {aborted} aborted and run again"));
        }
        let cells = [count_text(self.count), bytes_text(self.bytes), "".into()];
        let mut lines = vec![Line { name: "commits".into(), cells, note }];
        if let Some(last) = &self.last {
            let cells = ["".into(), bytes_text(self.state_bytes), "".into()];
            lines.push(Line { name: "checkpoint".into(), cells, note: last.clone() });
        }
        lines
    }
}

impl WindowSummary {
    /// Returns the delay that would have kept 99.9 % of the rows, when the run's did not.
    pub fn better_delay_us(&self) -> Option<i64> {
        let longer = self.late.longer_delay_that_keeps(KEEP_PER_MILLE, self.rows_in)?;
        Some(self.delay_us.saturating_add(longer))
    }
}

impl RunSummary {
    /// Returns records read per second of the run, rounded down; 0 for a run without time.
    pub fn rows_per_second(&self) -> u64 {
        let micros = self.elapsed.as_micros();
        let rows = u128::from(self.rows_read) * 1_000_000;
        u64::try_from(rows.checked_div(micros).unwrap_or(0)).unwrap_or(u64::MAX)
    }

    /// Returns the summary as JSON.
    pub fn to_json(&self) -> Json {
        let parser =
            |p: &ParserSummary| json!({ "name": p.name, "parsed": p.parsed, "rejects": p.rejects });
        let transform =
            |t: &ParserSummary| json!({ "name": t.name, "rows": t.parsed, "rejects": t.rejects });
        let window = |w: &WindowSummary| {
            json!({
                "name": w.name, "rows_in": w.rows_in, "fired": w.fired, "rows_out": w.rows_out,
                "late": w.late.rows(), "max_lateness_us": w.late.max_us(),
                "delay_us": w.delay_us, "better_delay_us": w.better_delay_us(),
            })
        };
        let rule = |r: &RuleSummary| {
            let alerts = r.alerts.iter().map(|(s, n)| (severity(*s).to_owned(), Json::from(*n)));
            json!({ "name": r.name, "alerts": Json::Object(alerts.collect()) })
        };
        let sink = |s: &SinkReport| {
            json!({
                "name": s.name, "rows": s.summary.rows, "bytes": s.summary.bytes,
                "files": s.summary.files, "checksum": s.summary.checksum.map(checksum_text),
            })
        };
        let made_null = self.made_null.iter().map(|(name, n)| (name.clone(), Json::from(*n)));
        let made_null = Json::Object(made_null.collect());
        json!({
            "pipeline": self.pipeline,
            "elapsed_us": u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX),
            "rows_read": self.rows_read,
            "bytes_read": self.bytes_read,
            "rows_per_second": self.rows_per_second(),
            "parsers": self.parsers.iter().map(parser).collect::<Vec<_>>(),
            "transforms": self.transforms.iter().map(transform).collect::<Vec<_>>(),
            "windows": self.windows.iter().map(window).collect::<Vec<_>>(),
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "sinks": self.sinks.iter().map(sink).collect::<Vec<_>>(),
            "poison": self.poison,
            "made_null": made_null,
            "commits": self.commits.as_ref().map(CommitSummary::to_json),
            "aborted_commits": self.aborted_commits,
            "state_bytes_max": Json::Object(
                self.state.iter().map(|(name, n)| (name.clone(), Json::from(*n))).collect(),
            ),
            "peak_memory_bytes": self.peak_memory_bytes,
        })
    }

    fn headline(&self) -> String {
        let mut line = format!(
            "{}: {} rows ({}) in {:.2} s, {} rows/s",
            self.pipeline,
            count_text(self.rows_read),
            bytes_text(self.bytes_read),
            self.elapsed.as_secs_f64(),
            count_text(self.rows_per_second()),
        );
        if let Some(bytes) = self.peak_memory_bytes {
            line.push_str(&format!(", peak memory {}", bytes_text(bytes)));
        }
        line
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let made = |node: &ParserSummary| {
            let reasons = list(node.rejects.iter().map(|(reason, n)| (reason.as_str(), *n)));
            let rejected = count_text(node.rejects.values().sum());
            Line::node(&node.name, [count_text(node.parsed), rejected, "".into()], reasons)
        };
        section(&mut lines, ["parsers", "parsed", "rejected", ""], &self.parsers, made);
        section(&mut lines, ["transforms", "rows", "rejected", ""], &self.transforms, made);
        section(&mut lines, ["windows", "fired", "rows", "late"], &self.windows, |w| {
            let advice = w.better_delay_us().map(|delay_us| {
                format!("a delay of {} would have kept 99.9 %", duration_text(delay_us))
            });
            let late = count_text(w.late.rows());
            let cells = [count_text(w.fired), count_text(w.rows_out), late];
            Line::node(&w.name, cells, advice.unwrap_or_default())
        });
        section(&mut lines, ["rules", "alerts", "", ""], &self.rules, |r| {
            let severities = list(r.alerts.iter().rev().map(|(s, n)| (severity(*s), *n)));
            let alerts = count_text(r.alerts.values().sum());
            Line::node(&r.name, [alerts, "".into(), "".into()], severities)
        });
        section(&mut lines, ["sinks", "rows", "bytes", "files"], &self.sinks, |s| {
            let SinkSummary { rows, bytes, files, checksum } = s.summary;
            let checksum = checksum.map(|sum| format!("checksum {}", checksum_text(sum)));
            let optional = |count: u64, text: String| if count == 0 { "".into() } else { text };
            let cells = [
                count_text(rows),
                optional(bytes, bytes_text(bytes)),
                optional(files, count_text(files)),
            ];
            Line::node(&s.name, cells, checksum.unwrap_or_default())
        });
        if !self.state.is_empty() {
            let all = self.state.iter().map(|(_, bytes)| bytes).sum();
            let mut largest: Vec<_> = self.state.iter().collect();
            largest.sort_by_key(|node| std::cmp::Reverse(node.1));
            let shown = largest.iter().take(3);
            let nodes: Vec<String> =
                shown.map(|(name, bytes)| format!("{name} {}", bytes_text(*bytes))).collect();
            let cells = ["".into(), bytes_text(all), "".into()];
            let note = format!("at most: {}", nodes.join(", "));
            lines.push(Line { name: "state".into(), cells, note });
        }
        if let Some(commits) = &self.commits {
            lines.extend(commits.lines(self.aborted_commits));
        }
        if !self.made_null.is_empty() {
            let all = self.made_null.iter().map(|(_, n)| n).sum();
            let cells = [count_text(all), "".into(), "".into()];
            let nodes = list(self.made_null.iter().map(|(name, n)| (name.as_str(), *n)));
            let note = format!("divisions by zero, failed casts, overflows: {nodes}");
            lines.push(Line { name: "made null".into(), cells, note });
        }
        if self.poison > 0 {
            let cells = [count_text(self.poison), "".into(), "".into()];
            let note = "records that broke a plugin or an expression: see the dead letters";
            lines.push(Line { name: "poison".into(), cells, note: note.into() });
        }
        lines
    }
}

impl fmt::Display for RunSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        let lines = self.lines();
        let width = |text: &str| text.chars().count();
        let name_width = lines.iter().map(|line| width(&line.name)).max().unwrap_or(0);
        let mut widths = [0; 3];
        for line in &lines {
            for (most, cell) in widths.iter_mut().zip(&line.cells) {
                *most = width(cell).max(*most);
            }
        }
        for line in &lines {
            let mut text = format!("{:<name_width$}", line.name);
            for (cell, width) in line.cells.iter().zip(widths) {
                text.push_str(&format!("  {cell:>width$}"));
            }
            text.push_str("  ");
            text.push_str(&line.note);
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// A line of the summary: a name, three numbers to the right, a remark.
struct Line {
    name: String,
    cells: [String; 3],
    note: String,
}

impl Line {
    fn node(name: &str, cells: [String; 3], note: String) -> Self {
        Self { name: format!("  {name}"), cells, note }
    }
}

/// Appends a heading and a line for each node, if there are nodes.
fn section<T>(
    lines: &mut Vec<Line>,
    [title, a, b, c]: [&str; 4],
    nodes: &[T],
    line: impl Fn(&T) -> Line,
) {
    if !nodes.is_empty() {
        let cells = [a.to_owned(), b.to_owned(), c.to_owned()];
        lines.push(Line { name: title.to_owned(), cells, note: String::new() });
        lines.extend(nodes.iter().map(line));
    }
}

/// Returns `bad-json 900, no-timestamp 100`.
fn list<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let parts = counts.map(|(name, count)| format!("{name} {}", count_text(count)));
    parts.collect::<Vec<_>>().join(", ")
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// Returns a checksum as text; JSON numbers of 64 bits are not safe with every reader.
fn checksum_text(checksum: u64) -> String {
    format!("{checksum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> RunSummary {
        let mut late = Lateness::default();
        (0..5_000).for_each(|n| late.observe(n * 1_000));
        let window = |name: &str, late| WindowSummary {
            name: name.into(),
            rows_in: 999_000,
            fired: 60,
            rows_out: 240,
            late,
            delay_us: 10_000_000,
        };
        RunSummary {
            pipeline: "log-analysis".into(),
            elapsed: Duration::from_millis(620),
            rows_read: 1_000_000,
            bytes_read: 205_300_000,
            parsers: vec![ParserSummary {
                name: "events".into(),
                parsed: 999_000,
                rejects: [("bad-json".to_owned(), 900), ("no-time".to_owned(), 100)].into(),
            }],
            transforms: vec![ParserSummary {
                name: "places".into(),
                parsed: 998_000,
                rejects: [("no-place".to_owned(), 1_000)].into(),
            }],
            windows: vec![window("error_rate", late), window("quiet", Lateness::default())],
            rules: vec![RuleSummary {
                name: "spike".into(),
                alerts: [(Severity::Warning, 10), (Severity::Critical, 2)].into(),
            }],
            sinks: vec![
                SinkReport {
                    name: "alerts".into(),
                    summary: SinkSummary { rows: 12, bytes: 3_100, files: 1, checksum: None },
                },
                SinkReport {
                    name: "nowhere".into(),
                    summary: SinkSummary { rows: 240, checksum: Some(255), ..Default::default() },
                },
            ],
            poison: 3,
            commits: Some(CommitSummary {
                count: 31,
                bytes: 1_200_000,
                average: Duration::from_micros(4_200),
                longest: Duration::from_millis(18),
                state_bytes: 2_400_000,
                last: Some("0f".repeat(16)),
            }),
            aborted_commits: 1,
            state: vec![("error_rate".into(), 12_000), ("spike".into(), 300_000)],
            made_null: vec![("error_rate".into(), 7)],
            peak_memory_bytes: Some(58_200_000),
        }
    }

    #[test]
    fn readable() {
        let expected = "\
log-analysis: 1,000,000 rows (205.3 MB) in 0.62 s, 1,612,903 rows/s, peak memory 58.2 MB
parsers        parsed  rejected
  events      999,000     1,000         bad-json 900, no-time 100
transforms       rows  rejected
  places      998,000     1,000         no-place 1,000
windows         fired      rows   late
  error_rate       60       240  5,000  a delay of 15 seconds would have kept 99.9 %
  quiet            60       240      0
rules          alerts
  spike            12                   critical 2, warning 10
sinks            rows     bytes  files
  alerts           12    3.1 kB      1
  nowhere         240                   checksum 00000000000000ff
state                  312.0 kB         at most: spike 300.0 kB, error_rate 12.0 kB
commits            31    1.2 MB         4.2 ms each, the longest 18.0 ms; 1 aborted and run again
checkpoint               2.4 MB         0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
made null           7                   divisions by zero, failed casts, overflows: error_rate 7
poison              3                   records that broke a plugin or an expression: see the dead letters
";
        assert_eq!(example().to_string(), expected);
    }

    #[test]
    fn an_empty_run() {
        let summary = RunSummary { pipeline: "p".into(), ..RunSummary::default() };
        assert_eq!(summary.to_string(), "p: 0 rows (0 B) in 0.00 s, 0 rows/s\n");
        assert_eq!(summary.to_json()["peak_memory_bytes"], Json::Null);
    }

    #[test]
    fn processable() {
        let json = example().to_json();
        for (path, expected) in [
            ("/rows_per_second", json!(1_612_903)),
            ("/elapsed_us", json!(620_000)),
            ("/parsers/0/rejects/bad-json", json!(900)),
            ("/windows/0/late", json!(5_000)),
            ("/windows/1/better_delay_us", Json::Null),
            ("/rules/0/alerts", json!({ "warning": 10, "critical": 2 })),
            ("/sinks/0/files", json!(1)),
            ("/sinks/1/checksum", json!("00000000000000ff")),
            ("/poison", json!(3)),
            ("/made_null", json!({ "error_rate": 7 })),
        ] {
            assert_eq!(json.pointer(path), Some(&expected), "{path}");
        }
    }
}
