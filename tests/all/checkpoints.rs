//! State that survives, from files to files: killed wherever a commit can be killed, started again
//! with another number of workers, the outputs are those of an undisturbed run.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::made::{deal_by_service, deal_unevenly, paths, service_log, write};
use crate::matrix::pipeline;
use crate::support::{Rows, assert_table, millstream, read_jsonl, send_signal};

/// Rules with every kind of state over the windows and rows of the matrix.
const RULES: &str = r#"
[rules.slow]
input = "tumbling"
key = ["service"]
plugin = "zscore"
config = { column = "mean", rows = 5, min_rows = 2, threshold = 1.0 }
# The last digits of a mean depend on where epochs were cut.
message = "{service} {mean:.6}"

[rules.failed]
input = "rows"
key = ["user_id"]
when = "status_code >= 500"

[rules.in_order]
input = "rows"
key = ["user_id"]
plugin = "zscore"
config = { column = "response_time", rows = 20, min_rows = 3, threshold = 2.0 }
order = "event_time"

[rules.gaussian]
input = "rows"
key = ["service"]
plugin = "windowed-gaussian"
config = { column = "response_time", threshold = 0.9, min_rows = 5 }
order = "event_time"
"#;

/// Each output with the columns that tell its rows apart.
const OUTPUTS: &[(&str, &[&str])] = &[
    ("tumbling", &["window_start", "service"]),
    ("sliding", &["window_start", "user_id"]),
    ("session", &["window_start", "user_id"]),
    ("count", &["window_start", "service", "first"]),
    ("global", &["status_code"]),
    ("tumbling.late", &["source_position", "timestamp", "request_id"]),
    ("rows.rejects", &["partition", "position"]),
    ("slow", &["alert_id"]),
    ("failed", &["alert_id"]),
    ("in_order", &["alert_id"]),
    ("gaussian", &["alert_id"]),
];

/// A pipeline with its input and one folder for state and outputs.
pub struct Trial {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Trial {
    pub fn new(roll: bool) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let text = service_log();
        let logs = write(folder.path(), "logs", &deal_unevenly(&text, 3));
        let keyed = write(folder.path(), "keyed", &deal_by_service(&text, 3));
        let mut text = pipeline(&paths(&logs), &paths(&keyed));
        text.push_str(RULES);
        // Every epoch commits, and the stream waits for each commit.
        text.push_str(
            "\n[engine]\nepoch_rows = 200\n[state]\npath = \"state\"\n\
             [commit]\ninterval = \"1ms\"\nmax_bytes = \"1 B\"\n",
        );
        for (number, (output, _)) in OUTPUTS.iter().enumerate() {
            let visible = if roll {
                format!(
                    "path = \"out/{output}\"\nroll = {{ every = \"1 hour\", max_bytes = \"20 kB\" }}"
                )
            } else {
                format!("path = \"out/{output}.jsonl\"\nvisible = \"commit\"")
            };
            text.push_str(&format!(
                "\n[sinks.out-{number}]\ninputs = [\"{output}\"]\ntype = \"file\"\n{visible}\n"
            ));
        }
        let file = folder.path().join("pipeline.toml");
        std::fs::write(&file, text).expect("write pipeline");
        Self { folder, file }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn command(&self, verb: &[&str], workers: usize) -> Command {
        let mut command = millstream();
        command.args(verb).arg(&self.file).arg("--set").arg(format!("engine.workers={workers}"));
        command
    }

    /// Has as many commits as make a compaction due.
    pub fn commit_often(&self) {
        let text = std::fs::read_to_string(&self.file).expect("pipeline");
        let often = text.replace("epoch_rows = 200", "epoch_rows = 25");
        std::fs::write(&self.file, often).expect("write pipeline");
    }

    pub fn run(&self, workers: usize, failpoints: &str) -> Output {
        let mut command = self.command(&["run", "--summary-json"], workers);
        command.env("FAILPOINTS", failpoints).output().expect("start millstream")
    }

    pub fn finish(&self, workers: usize) -> Value {
        let output = self.run(workers, "");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}\n{told}", output.status);
        let summary = told.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        summary.unwrap_or_else(|| panic!("no summary in {told}"))
    }

    /// Returns the rows that can be seen of an output.
    pub fn rows(&self, output: &str) -> Rows {
        let out = self.folder.path().join("out");
        let plain = out.join(format!("{output}.jsonl"));
        if plain.is_file() {
            return read_jsonl(&plain);
        }
        let mut parts: Vec<PathBuf> = std::fs::read_dir(out.join(output))
            .map(|entries| entries.map(|entry| entry.expect("entry").path()).collect())
            .unwrap_or_default();
        parts.retain(|path| {
            !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
        });
        parts.sort();
        parts.iter().flat_map(|part| read_jsonl(part)).collect()
    }

    pub fn assert_same(&self, what: &str, expected: &Self) {
        for (output, keys) in OUTPUTS {
            let clean = |rows: Rows| -> Rows {
                rows.into_iter()
                    .map(|mut row| {
                        row["received"] = Value::Null;
                        if let Some(partition) = row["partition"].as_str() {
                            let name = Path::new(partition).file_name().expect("a file");
                            row["partition"] = name.to_string_lossy().into();
                        }
                        row
                    })
                    .collect()
            };
            let (expected, actual) = (clean(expected.rows(output)), clean(self.rows(output)));
            assert!(expected.len() >= 3, "{output} has {} rows and proves little", expected.len());
            assert_table(&format!("{what}: {output}"), &expected, &actual, keys);
        }
    }
}

fn undisturbed() -> Trial {
    let trial = Trial::new(false);
    let summary = trial.finish(1);
    assert!(summary["commits"]["count"].as_u64() > Some(10), "{summary}");
    trial
}

/// Where a run from files to files can be killed.
const POINTS: &[&str] = &[
    "commit::begin",
    "commit::sent",
    "object::before-write",
    "object::after-write",
    "manifest::before-write",
    "manifest::after-write",
    "commit::manifest-written",
    "commit::before-create",
    "commit::after-create",
    "commit::committed",
    "collect::planned",
    "collect::manifest-deleted",
    "compact::before-read",
];

#[test]
fn killed_at_every_step_of_a_commit() {
    let expected = undisturbed();
    for (number, point) in POINTS.iter().enumerate() {
        let trial = Trial::new(number % 2 == 0);
        if point.starts_with("compact::") {
            trial.commit_often();
        }
        // How often the step is passed before the kill; each run is killed earlier or later.
        let passes: &[usize] = match *point {
            "collect::planned" | "collect::manifest-deleted" | "compact::before-read" => &[0],
            _ => &[0, 3, 6],
        };
        for passed in passes {
            let failpoints = format!("{point}={passed}*off->1*return(kill)");
            let workers = 1 + passed % 3;
            let output = trial.run(workers, &failpoints);
            assert_eq!(
                output.status.signal(),
                Some(9),
                "{failpoints} was not met: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        trial.finish(2);
        trial.assert_same(point, &expected);
    }
}

#[test]
fn compacted_on_the_way() {
    let expected = undisturbed();
    let trial = Trial::new(true);
    trial.commit_often();
    assert_eq!(trial.run(1, "commit::begin=140*off->return(kill)").status.signal(), Some(9));
    let shown = trial.command(&["checkpoints", "show"], 1).output().expect("start");
    let text = String::from_utf8(shown.stdout).expect("UTF-8");
    assert!(text.contains("  base  ") && text.contains("  state tumbling groups: "), "{text}");
    trial.finish(2);
    trial.assert_same("compacted", &expected);
}

#[test]
fn killed_while_restoring() {
    let expected = undisturbed();
    let trial = Trial::new(true);
    assert_eq!(trial.run(1, "commit::committed=9*off->return(kill)").status.signal(), Some(9));
    assert_eq!(trial.run(1, "restore::object=2*off->return(kill)").status.signal(), Some(9));
    trial.finish(7);
    trial.assert_same("restore", &expected);
}

#[test]
fn a_commit_in_doubt_leads_back_to_what_counts() {
    let expected = undisturbed();
    for point in ["commit::before-create", "commit::after-create"] {
        let trial = Trial::new(false);
        let output = trial.run(1, &format!("{point}=4*off->1*return(error)->off"));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        assert!(told.contains("\"aborted_commits\":1"), "{told}");
        trial.assert_same(point, &expected);
    }
}

#[test]
fn a_store_that_fails_lies_or_is_full() {
    let expected = undisturbed();
    // Rare enough that six tries in a row never all fail. What passes is tried again; a create whose answer was lost is found to be ours.
    let trial = Trial::new(true);
    let output = trial.run(1, "store::write=5%return(error)->5%return(lost);store::read=5%return(error);store::list=5%return(error)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    trial.assert_same("a store that fails now and then", &expected);
    // What does not pass stops the pipeline, and it goes on when there is space again.
    let trial = Trial::new(false);
    let output = trial.run(1, "store::write=30*off->return(full)");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("no space left") && told.contains("last commit"), "{told}");
    trial.finish(3);
    trial.assert_same("a store that was full", &expected);
}

#[test]
fn a_second_instance_fences_the_first() {
    let expected = undisturbed();
    for (point, roll) in
        [("commit::begin", true), ("object::after-write", false), ("commit::before-create", true)]
    {
        let trial = Trial::new(roll);
        let mut command = trial.command(&["run", "-q"], 1);
        command.env("FAILPOINTS", format!("{point}=5*off->1*return(stop)->off"));
        let mut sleeper = command.stderr(std::process::Stdio::piped()).spawn().expect("start");
        wait_until_stopped(sleeper.id());
        trial.finish(2);
        send_signal(sleeper.id(), "CONT");
        let mut told = String::new();
        let mut pipe = sleeper.stderr.take().expect("piped");
        std::io::Read::read_to_string(&mut pipe, &mut told).expect("read");
        assert_eq!(sleeper.wait().expect("wait").code(), Some(4), "{point}: {told}");
        assert!(told.contains("another instance"), "{point}: {told}");
        trial.assert_same(point, &expected);
        trial.finish(1);
        trial.assert_same(point, &expected);
    }
}

/// Waits until a process has stopped itself.
fn wait_until_stopped(pid: u32) {
    for _ in 0..3_000 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
        assert!(!matches!(state, None | Some('Z')), "it ended before it stopped");
        if state == Some('T') {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it never stopped");
}

/// The state folder, after a run that was killed in its middle.
fn half_way() -> Trial {
    let trial = Trial::new(false);
    assert_eq!(trial.run(1, "commit::begin=12*off->return(kill)").status.signal(), Some(9));
    trial
}

fn listed(trial: &Trial) -> Vec<(bool, String)> {
    let output = trial.command(&["checkpoints", "list"], 1).output().expect("start");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let rows = text.lines().skip(1);
    rows.map(|line| (line.starts_with('*'), line[2..].split(' ').next().expect("an id").to_owned()))
        .collect()
}

fn refused(trial: &Trial, verb: &[&str], wanted: &[&str]) {
    let output = trial.command(verb, 1).output().expect("start");
    let told = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{told}");
    for part in wanted {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}

#[test]
fn damage_of_any_kind_is_refused_and_named() {
    let trial = half_way();
    let current = listed(&trial).into_iter().find(|(counts, _)| *counts).expect("one counts").1;
    let state = trial.path().join("state");
    let manifest = state.join("manifests").join(&current);
    let objects: Vec<PathBuf> = std::fs::read_dir(state.join("objects"))
        .expect("objects")
        .map(|entry| entry.expect("entry").path())
        .collect();
    let needed = std::fs::read_to_string(&manifest).expect("manifest");
    let object = objects
        .iter()
        .find(|path| needed.contains(&*path.file_name().expect("name").to_string_lossy()))
        .expect("an object of the manifest");
    let object_name = object.file_name().expect("name").to_string_lossy().into_owned();
    for (path, name) in [(&manifest, current.as_str()), (object, object_name.as_str())] {
        let good = std::fs::read(path).expect("read");
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let torn: Vec<Vec<u8>> =
            (0..good.len()).step_by(4096).map(|length| good[..length].to_vec()).collect();
        for bad in torn.iter().chain([&flipped]) {
            std::fs::write(path, bad).expect("damage");
            refused(
                &trial,
                &["run", "-q"],
                &[name, "checkpoints verify", "--from-checkpoint", "--reset"],
            );
            refused(&trial, &["checkpoints", "verify"], &[name, "DAMAGED"]);
        }
        std::fs::remove_file(path).expect("remove");
        refused(&trial, &["run", "-q"], &[name, "is missing"]);
        std::fs::write(path, good).expect("repair");
    }
    let verified = trial.command(&["checkpoints", "verify"], 1).output().expect("start");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    trial.finish(1);
    trial.assert_same("repaired", &undisturbed());
}

#[test]
fn what_only_an_operator_can_decide() {
    let trial = half_way();
    let state = trial.path().join("state");
    let (good, text) = (&trial.file, std::fs::read_to_string(&trial.file).expect("pipeline"));
    // Another definition of a node with state.
    std::fs::write(good, text.replace("gap = \"12 seconds\"", "gap = \"13 seconds\""))
        .expect("write");
    refused(&trial, &["run", "-q"], &["window `session` is defined otherwise", "--reset"]);
    std::fs::write(
        good,
        text.replace("[rules.gaussian]", "[rules.other]").replace("[\"gaussian\"]", "[\"other\"]"),
    )
    .expect("write");
    refused(&trial, &["run", "-q"], &["rule `gaussian` is gone", "rule `other` is new"]);
    // Another pipeline.
    std::fs::write(good, text.replace("name = \"matrix\"", "name = \"other\"")).expect("write");
    refused(&trial, &["run", "-q"], &["belongs to pipeline `matrix`, not to `other`"]);
    std::fs::write(good, &text).expect("write");
    // The pointer is gone.
    std::fs::rename(state.join("commits"), trial.path().join("hidden")).expect("hide");
    refused(&trial, &["run", "-q"], &["names none", "recover", "--reset"]);
    let id = listed(&trial).pop().expect("a checkpoint").1;
    let output =
        trial.command(&["recover"], 1).arg("--from-checkpoint").arg(&id).output().expect("start");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(listed(&trial).into_iter().find(|(counts, _)| *counts).map(|(_, id)| id), Some(id));
    trial.finish(1);
    // A later version.
    let path = std::fs::read_dir(state.join("manifests"))
        .expect("manifests")
        .next()
        .expect("one")
        .expect("entry")
        .path();
    let manifest = std::fs::read_to_string(&path).expect("manifest");
    std::fs::write(&path, manifest.replacen("checkpoint 1 ", "checkpoint 9 ", 1)).expect("write");
    let id = path.file_name().expect("name").to_string_lossy().into_owned();
    refused(&trial, &["run", "-q", "--from-checkpoint", &id], &["format 9", "later one"]);
}

#[test]
fn begun_anew_and_from_a_savepoint() {
    let expected = undisturbed();
    let trial = half_way();
    let saved = trial.command(&["savepoint"], 1).output().expect("start");
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    let id =
        String::from_utf8(saved.stdout).expect("UTF-8").lines().next().expect("an id").to_owned();
    let rows =
        |trial: &Trial| OUTPUTS.iter().map(|(output, _)| trial.rows(output).len()).sum::<usize>();
    let before = rows(&trial);
    trial.finish(2);
    trial.assert_same("goes on", &expected);
    // Nothing new: nothing comes twice.
    trial.finish(2);
    trial.assert_same("again", &expected);
    let whole = rows(&trial);
    // From the savepoint what came after it comes again: its files are cut back to it first.
    let output =
        trial.command(&["run", "-q", "--from-checkpoint", &id], 3).output().expect("start");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(before < whole);
    trial.assert_same("from the savepoint", &expected);
    // Anew everything comes again, behind what is there.
    let output = trial.command(&["run", "-q", "--reset"], 3).output().expect("start");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(rows(&trial), 2 * whole);
}

#[test]
fn a_state_folder_that_cannot_be_written() {
    let trial = Trial::new(false);
    let file = trial.path().join("a-file");
    std::fs::write(&file, "").expect("write");
    let set = "state.path=a-file/state";
    let output = trial
        .command(&["run", "-q", "--set", set], 1)
        .current_dir(trial.path())
        .output()
        .expect("start");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("a-file/state") && told.contains("[state] path"), "{told}");
}
