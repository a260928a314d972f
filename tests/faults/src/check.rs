//! What must hold after every run, whatever was done to it.
//!
//! | | |
//! | --- | --- |
//! | I1 | every window exactly once |
//! | I2 | its count, sum and sequence numbers are the oracle's |
//! | I3 | the committed offsets are the ends of the input; otherwise the run is unfinished |
//! | I4 | all partitions name one checkpoint, every byte of which is as it was written, and whose positions are the committed ones |
//! | I5 | no transaction is open: the outputs can be read to their ends |
//! | I6 | the late rows are the oracle's |
//! | I7 | of checkpoints no more is left than is to be kept and may wait for collection |

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::load::Load;
use crate::oracle::{Expected, Window, WindowKey};
use crate::run::{Ended, Lab};
use crate::spec::{Authority, Spec};

/// Checkpoints that may be there: what is kept, what waits, and one whose commit failed for each
/// start.
const MOST_CHECKPOINTS: usize = 1 + 3 + 8;

/// What was found.
#[derive(Debug, Default)]
pub struct Checked {
    /// What does not hold; empty for a run that passed.
    pub wrong: Vec<String>,
    /// Rule, key and time of the alerts, sorted, to be compared with those of an undisturbed run.
    pub alerts: Vec<String>,
}

/// Looks at what a run left behind.
///
/// # Errors
/// When the suite itself fails.
pub fn check(lab: &Lab, program: &Path, spec: &Spec, ended: &Ended) -> Result<Checked> {
    let mut wrong = ended.wrong.clone();
    if !wrong.is_empty() {
        return Ok(Checked { wrong, alerts: Vec::new() });
    }
    let (load, expected) = lab.load(spec);
    let read = |output: &str| -> Result<Vec<Value>> {
        let texts = match spec.authority {
            Authority::Kafka => lab.topics.read(&format!("{}-{output}", ended.name))?,
            Authority::Store => lines(&ended.folder.join("out").join(output))?,
        };
        let rows = texts.iter().map(|text| serde_json::from_str(text));
        rows.collect::<Result<_, _>>().context("a row that is no JSON")
    };
    windows(expected, &read("windows")?, &mut wrong);
    let mut late: Vec<i64> = read("late")?.iter().filter_map(|row| row["seq"].as_i64()).collect();
    late.sort_unstable();
    if late != expected.late {
        let (found, wanted) = (late.len(), expected.late.len());
        wrong.push(format!("I6: {found} late rows, {wanted} expected, or others"));
    }
    let rows = read("alerts")?;
    let mut ids: Vec<String> = rows.iter().map(|row| row["alert_id"].to_string()).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair.first() == pair.last()) {
        wrong.push("I1: an alert came twice".into());
    }
    // Ids are made of the pipeline's name too, which differs from run to run.
    let alert = |row: &Value| format!("{} {} {}", row["rule"], row["key"], row["event_time"]);
    let mut alerts: Vec<String> = rows.iter().map(alert).collect();
    alerts.sort_unstable();
    let letters = fs::read_to_string(ended.folder.join("dead-letters.jsonl")).unwrap_or_default();
    if letters.lines().count() != expected.poison {
        let (found, wanted) = (letters.lines().count(), expected.poison);
        wrong.push(format!("I2: {found} dead letters, {wanted} expected"));
    }
    positions(lab, spec, ended, load, &mut wrong)?;
    checkpoints(program, ended, &mut wrong)?;
    Ok(Checked { wrong, alerts })
}

/// Returns the lines of the published parts of a folder.
fn lines(folder: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part-")) {
            lines.extend(fs::read_to_string(path)?.lines().map(str::to_owned));
        }
    }
    Ok(lines)
}

fn windows(expected: &Expected, rows: &[Value], wrong: &mut Vec<String>) {
    let mut found: BTreeMap<WindowKey, Window> = BTreeMap::new();
    for row in rows {
        let key = row["key"].as_str().unwrap_or_default().to_owned();
        let start = row["window_start"].as_str().unwrap_or_default();
        let seqs: Vec<i64> =
            row["seqs"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
        let mut sorted = seqs.clone();
        sorted.sort_unstable();
        let window = Window {
            count: row["n"].as_i64().unwrap_or_default(),
            total: row["total"].as_i64().unwrap_or_default(),
            xor: seqs.iter().fold(0, |all, seq| all ^ seq),
            seqs: sorted,
        };
        if found.insert((key.clone(), millis(start)), window).is_some() {
            wrong.push(format!("I1: window {start} of {key} came twice"));
        }
    }
    for (key, window) in &expected.windows {
        match found.get(key) {
            None => wrong.push(format!("I1: window {key:?} is missing")),
            Some(other) if other != window => wrong.push(format!(
                "I2: window {key:?} has {} rows, sum {}, xor {}; expected {}, {}, {}",
                other.count, other.total, other.xor, window.count, window.total, window.xor
            )),
            Some(_) => {}
        }
    }
    for key in found.keys().filter(|key| !expected.windows.contains_key(*key)) {
        wrong.push(format!("I1: window {key:?} should not be there"));
    }
}

/// Returns the milliseconds of `2025-09-01T00:00:10Z`; the suite's windows begin in 2025 or 2026.
fn millis(text: &str) -> i64 {
    let number = |from: usize, to: usize| -> i64 {
        text.get(from..to).and_then(|part| part.parse().ok()).unwrap_or_default()
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    // Days from civil, after Howard Hinnant's public-domain algorithm.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    ((days * 24 + number(11, 13)) * 60 + number(14, 16)) * 60_000 + number(17, 19) * 1_000
}

fn positions(
    lab: &Lab,
    spec: &Spec,
    ended: &Ended,
    load: &Load,
    wrong: &mut Vec<String>,
) -> Result<()> {
    if spec.authority != Authority::Kafka {
        return Ok(());
    }
    let group = format!("millstream-{}", ended.name);
    let committed = lab.topics.committed(&group, &load.topic)?;
    let mut named: Vec<&str> = committed.values().map(|(_, text)| text.as_str()).collect();
    named.dedup();
    if named.len() != 1 {
        wrong.push(format!("I4: the partitions name several checkpoints: {named:?}"));
    }
    let checkpoint = named.first().and_then(|text| text.split(';').nth(1)).unwrap_or_default();
    let manifest = ended.folder.join("state/manifests").join(checkpoint);
    let Ok(text) = fs::read_to_string(&manifest) else {
        wrong.push(format!("I4: the checkpoint {checkpoint:?} that is named is not there"));
        return Ok(());
    };
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    let manifest: Value = serde_json::from_str(body).context("the manifest")?;
    let partitions = manifest.pointer("/sources/in/partitions").and_then(Value::as_array);
    for partition in partitions.into_iter().flatten() {
        let name = partition["name"].as_str().unwrap_or_default();
        let number: i32 = name.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(-1);
        let at = partition["position"].as_i64();
        if committed.get(&number).map(|(offset, _)| *offset) != at {
            wrong.push(format!("I4: {name} is at {at:?} in the checkpoint and not so committed"));
        }
    }
    // The last records of each partition are of an aborted transaction, and its marker.
    for (partition, end) in lab.topics.ends(&load.topic)? {
        let at = committed.get(&partition).map_or(0, |(offset, _)| *offset);
        if at > end || end - at > 25 {
            wrong.push(format!("I3: partition {partition} is committed to {at} of {end}"));
        }
    }
    Ok(())
}

fn checkpoints(program: &Path, ended: &Ended, wrong: &mut Vec<String>) -> Result<()> {
    let verified = Command::new(program)
        .args(["checkpoints", "verify"])
        .arg(ended.folder.join("pipeline.toml"))
        .env("MILLSTREAM_PLUGINS", plugins(program))
        .output()?;
    if !verified.status.success() {
        let text = String::from_utf8_lossy(&verified.stdout).into_owned();
        let told = String::from_utf8_lossy(&verified.stderr).into_owned();
        wrong.push(format!("I4: {text}{told}"));
    }
    let found = fs::read_dir(ended.folder.join("state/manifests"))?.count();
    let most = MOST_CHECKPOINTS + usize::try_from(ended.starts)? * MOST_CHECKPOINTS;
    if found > most {
        wrong.push(format!("I7: {found} checkpoints are left"));
    }
    Ok(())
}

fn plugins(program: &Path) -> std::path::PathBuf {
    program.ancestors().nth(2).map(|target| target.join("plugins")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn times() {
        assert_eq!(super::millis("1970-01-01T00:00:00Z"), 0);
        assert_eq!(super::millis("2025-09-01T00:00:10Z"), 1_756_684_810_000);
        assert_eq!(super::millis("2024-02-29T23:59:59.000Z"), 1_709_251_199_000);
    }
}
