//! What the generator injected against what the rules found.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::Value;

const HEADER: [&str; 7] = ["incident", "target", "from", "to", "alerts", "about", "after"];

/// Returns a table of incidents, each with the alerts of its time, and how many alerts have none.
///
/// An alert belongs to an incident when its window overlaps the incident's time. It *finds* the
/// incident when it is about the incident's target, or about the system as a whole. `after` is
/// event time, from the incident's start to the end of the first window that shows it: no rule over
/// that window can be earlier.
///
/// # Errors
/// When a line is not JSON, or a time is missing.
pub fn report(truth: &str, alerts: &str) -> Result<String> {
    let incidents: Vec<Incident> = lines(truth)?
        .iter()
        .filter(|line| text(line, "target") != "*")
        .map(Incident::read)
        .collect::<Result<_>>()?;
    let mut alerts: Vec<(Alert, bool)> =
        lines(alerts)?.iter().map(|line| Ok((Alert::read(line)?, false))).collect::<Result<_>>()?;
    let mut rows = vec![HEADER.map(str::to_owned)];
    let mut found = 0;
    for incident in &incidents {
        let mut groups: BTreeMap<(bool, &str, &str), (usize, i64)> = BTreeMap::new();
        for (alert, explained) in &mut alerts {
            if alert.from_s < incident.to_s && alert.to_s > incident.from_s {
                *explained = true;
                let aside = alert.about != incident.target && alert.about != EVERYTHING;
                let key = (aside, alert.rule.as_str(), alert.about.as_str());
                let (count, first_s) = groups.entry(key).or_insert((0, alert.to_s));
                *count += 1;
                *first_s = alert.to_s.min(*first_s);
            }
        }
        found += usize::from(groups.keys().any(|(aside, ..)| !aside));
        let mut head = [&*incident.kind, &incident.target, &incident.from, &incident.to];
        if groups.is_empty() {
            rows.push(row(head, "none", "", ""));
        }
        for ((_, rule, about), (count, first_s)) in groups {
            let after = duration(first_s - incident.from_s);
            rows.push(row(head, &format!("{count} {rule}"), about, &after));
            head = [""; 4];
        }
    }
    let outside = alerts.iter().filter(|(_, explained)| !explained).count();
    let mut out = table(&rows);
    out.push_str(
        "after: from the incident's start to the end of the first window that shows it\n\n",
    );
    writeln!(out, "{found} of {} incidents found", incidents.len())?;
    writeln!(out, "{outside} of {} alerts outside any incident", alerts.len())?;
    Ok(out)
}

/// What an alert without a key column is about.
const EVERYTHING: &str = "everything";

struct Incident {
    kind: String,
    target: String,
    /// Times of day.
    from: String,
    to: String,
    from_s: i64,
    to_s: i64,
}

impl Incident {
    fn read(line: &Value) -> Result<Self> {
        let clock = |name| text(line, name).get(11..19).unwrap_or("-").to_owned();
        Ok(Self {
            kind: text(line, "kind").to_owned(),
            target: text(line, "target").to_owned(),
            from: clock("start"),
            to: clock("end"),
            from_s: seconds(line, "start")?,
            to_s: seconds(line, "end")?,
        })
    }
}

struct Alert {
    rule: String,
    about: String,
    from_s: i64,
    to_s: i64,
}

impl Alert {
    fn read(line: &Value) -> Result<Self> {
        let key = ["service", "ip_address"].into_iter().find_map(|name| line[name].as_str());
        Ok(Self {
            rule: text(line, "rule").to_owned(),
            about: key.unwrap_or(EVERYTHING).to_owned(),
            from_s: seconds(line, "window_start")?,
            to_s: seconds(line, "window_end")?,
        })
    }
}

fn row(head: [&str; 4], alerts: &str, about: &str, after: &str) -> [String; 7] {
    let [kind, target, from, to] = head;
    [kind, target, from, to, alerts, about, after].map(str::to_owned)
}

fn lines(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| serde_json::from_str(line).context("a JSON line")).collect()
}

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap_or("-")
}

/// Returns the seconds since the Unix epoch of a time like `2025-09-12T12:24:00.000000Z`.
fn seconds(line: &Value, name: &str) -> Result<i64> {
    let time = text(line, name);
    let part = |from, to| time.get(from..to).and_then(|digits: &str| digits.parse::<i64>().ok());
    let parts = (part(0, 4), part(5, 7), part(8, 10), part(11, 13), part(14, 16), part(17, 19));
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) = parts else {
        anyhow::bail!("`{name}` is no time: {time}");
    };
    // Days since 1970 of a Gregorian date, with years that start in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    Ok(((days - 719_469) * 24 + hour) * 3_600 + minute * 60 + second)
}

/// Writes `1 min 12 s`.
fn duration(seconds: i64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{report, seconds};

    #[test]
    fn alerts_are_matched_by_time_and_target() {
        let truth = r#"{"kind":"ddos","target":"203.0.113.66","start":"2025-09-12T12:36:00.000000Z","end":"2025-09-12T12:39:00.000000Z","rows":1}
{"kind":"scanner","target":"198.51.100.23","start":"2025-09-12T12:46:48.000000Z","end":"2025-09-12T12:52:48.000000Z","rows":1}
{"kind":"error-spike","target":"cart","start":"2025-09-12T23:59:48.000000Z","end":"2025-09-13T00:02:48.000000Z","rows":1}
{"kind":"late","target":"*","start":"2025-09-12T12:00:00.000000Z","end":"2025-09-12T12:59:00.000000Z","rows":1}"#;
        let alert = |rule: &str, key: &str, about: &str, start: &str, end: &str| {
            let (start, end) = (format!("2025-09-{start}Z"), format!("2025-09-{end}Z"));
            json!({ "rule": rule, key: about, "window_start": start, "window_end": end })
                .to_string()
                + "\n"
        };
        let alerts = [
            alert("flood", "ip_address", "203.0.113.66", "12T12:37:00", "12T12:38:00"),
            alert("flood", "ip_address", "203.0.113.66", "12T12:36:00", "12T12:37:00"),
            alert("busy", "service", "cart", "12T12:38:00", "12T12:39:00"),
            alert("slow", "service", "cart", "12T12:39:00", "12T12:40:00"),
            alert("slow", "service", "cart", "12T12:35:00", "12T12:36:00"),
            alert("unhealthy", "health", "60", "13T00:00:00", "13T00:01:00"),
        ];
        let expected = "\
incident     target         from      to        alerts       about         after
ddos         203.0.113.66   12:36:00  12:39:00  2 flood      203.0.113.66  1 min
                                                1 busy       cart          3 min
scanner      198.51.100.23  12:46:48  12:52:48  none
error-spike  cart           23:59:48  00:02:48  1 unhealthy  everything    1 min 12 s
after: from the incident's start to the end of the first window that shows it

2 of 3 incidents found
2 of 6 alerts outside any incident
";
        assert_eq!(report(truth, &alerts.concat()).unwrap(), expected);
    }

    #[test]
    fn times() {
        for (time, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T23:59:59Z", Some(951_868_799)),
            ("2025-09-12T12:00:00.999999Z", Some(1_757_678_400)),
            ("soon", None),
        ] {
            assert_eq!(seconds(&json!({ "at": time }), "at").ok(), expected, "{time}");
        }
    }
}
