//! Running pipelines and comparing rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// Rows as JSON objects.
pub type Rows = Vec<Value>;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("host has a parent").to_owned()
}

/// The built binary; plugins are looked up beside its folder.
pub fn millstream() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.env("MILLSTREAM_PLUGINS", plugins());
    command
}

/// The folder of built plugins. Missing plugins are a failure, never a skip.
pub fn plugins() -> PathBuf {
    static PLUGINS: OnceLock<PathBuf> = OnceLock::new();
    PLUGINS
        .get_or_init(|| {
            let target = Path::new(env!("CARGO_BIN_EXE_millstream"));
            let folder = target.ancestors().nth(2).expect("target/debug/x").join("plugins");
            let built = folder.join("json.wasm");
            assert!(built.is_file(), "{} is missing: run `cargo xtask plugins`", built.display());
            folder
        })
        .clone()
}

/// Returns a file of the shared test data, or notes that the test is skipped.
pub fn data(name: &str) -> Option<PathBuf> {
    let path = match std::env::var_os("MILLSTREAM_DATA") {
        Some(folder) => PathBuf::from(folder).join(name),
        None => root().join("../shared/data").join(name),
    };
    if path.exists() {
        return Some(path);
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(
        std::env::var_os("MILLSTREAM_REQUIRE_DATA").is_none(),
        "{} is absent, and --require-data was given",
        path.display()
    );
    let line = format!("{test}: data absent: {name}\n");
    eprint!("SKIPPED {line}");
    if let Some(log) = std::env::var_os("MILLSTREAM_SKIP_LOG") {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().append(true).create(true).open(log);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("skip log");
    }
    None
}

/// Sends a signal, such as `TERM`, to a process that must still be there.
pub fn send_signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
    assert!(sent.expect("kill").success(), "process {pid} is no longer there for SIG{signal}");
}

/// A pipeline run with a file sink on each named output.
#[derive(Clone)]
pub struct Run {
    pub rows: BTreeMap<String, Rows>,
}

impl Run {
    /// Rows of an output; none when it wrote nothing.
    pub fn rows(&self, name: &str) -> &[Value] {
        self.rows.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Runs pipeline text with a JSON lines sink for each of `outputs`, and settings by `--set`.
pub fn run(text: &str, outputs: &[&str], sets: &[String]) -> Run {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut text = text.to_owned();
    for (number, output) in outputs.iter().enumerate() {
        let path = folder.path().join(format!("{output}.jsonl"));
        write!(
            text,
            "\n[sinks.test-{number}]\ninputs = [\"{output}\"]\ntype = \"file\"\nvisible = \"commit\"\npath = \"{}\"\n",
            path.display()
        )
        .expect("a string");
    }
    let file = folder.path().join("pipeline.toml");
    std::fs::write(&file, text).expect("write pipeline");
    let mut command = millstream();
    command.arg("run").arg("--summary-json").arg(&file);
    for set in sets {
        command.arg("--set").arg(set);
    }
    let output = command.output().expect("start millstream");
    assert!(
        output.status.success(),
        "{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let rows = outputs
        .iter()
        .map(|name| {
            let path = folder.path().join(format!("{name}.jsonl"));
            let rows = if path.exists() { read_jsonl(&path) } else { Vec::new() };
            ((*name).to_owned(), rows)
        })
        .collect();
    Run { rows }
}

/// Reads a pipeline of `tests/pipelines`.
pub fn pipeline(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/pipelines").join(name)).expect("test pipeline")
}

pub fn set(key: &str, value: impl std::fmt::Display) -> String {
    format!("{key}={value}")
}

pub fn read_jsonl(path: &Path) -> Rows {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// Compares rows as tables: the same rows in any order, found by the columns that `is_key` picks.
/// Of each expected row all columns must be there and equal; doubles within a relative 1e-9.
pub fn assert_table(what: &str, expected: &[Value], actual: &[Value], keys: &[&str]) {
    let index = |rows: &[Value]| {
        let mut index = BTreeMap::new();
        for row in rows {
            let key: Vec<String> = keys.iter().map(|key| row[*key].to_string()).collect();
            let old = index.insert(key.clone(), row.clone());
            assert!(old.is_none(), "{what}: two rows of {key:?}");
        }
        index
    };
    let (expected, actual) = (index(expected), index(actual));
    let mut wrong = Vec::new();
    for (key, row) in &expected {
        match actual.get(key) {
            None => wrong.push(format!("missing {row}")),
            Some(other) if !equal(row, other) => {
                wrong.push(format!("expected {row}\n     got {other}"));
            }
            Some(_) => {}
        }
    }
    wrong.extend(
        actual
            .iter()
            .filter(|(key, _)| !expected.contains_key(*key))
            .map(|(_, row)| format!("unexpected {row}")),
    );
    let shown = wrong.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "{what}: {} of {} rows differ:\n{shown}",
        wrong.len(),
        expected.len()
    );
}

fn equal(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().expect("a number"), b.as_f64().expect("a number"));
            a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        // Whole seconds are written with and without a fraction.
        (Value::String(a), Value::String(b)) => a == b || a.replace(".000Z", "Z") == *b,
        _ => expected == actual,
    }
}
