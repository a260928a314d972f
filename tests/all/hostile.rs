//! Plugins that do everything wrong, in whole pipelines: the host lives, says whose fault it was,
//! and every good record arrives exactly once, in order.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{millstream, read_jsonl, root};

/// The hostile guests, built once and kept from run to run.
static GUESTS: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = root().join("target/guests");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(root())
        .args(["build", "--locked", "--profile", "guest", "--examples", "--quiet"])
        .args(["--target", "wasm32-unknown-unknown", "-p", "millstream-hostile-guests"])
        .arg("--target-dir")
        .arg(&target);
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("wasm32-unknown-unknown/guest/examples")
});

const LIMITS: &str = r#"limits = { memory = "16 MiB", deadline = "100ms", output = "8 MiB" }"#;

fn guest(name: &str) -> PathBuf {
    GUESTS.join(format!("{name}.wasm"))
}

fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(fs::read(path).expect("a guest"));
    digest.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string");
        hex
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(output: &[u8]) -> Vec<Value> {
    text(output).lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// A pipeline and its input in a folder of its own.
struct Case(tempfile::TempDir);

impl Case {
    fn new(pipeline: &str, input: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::write(folder.path().join("pipeline.toml"), pipeline).expect("pipeline");
        fs::write(folder.path().join("input.txt"), input).expect("input");
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn rows(&self, name: &str) -> Vec<Value> {
        read_jsonl(&self.file(name))
    }

    fn run(&self, workers: usize) -> Output {
        let output = millstream()
            .current_dir(self.0.path())
            .args(["run", "--summary-json", "pipeline.toml"])
            .args(["--set", &format!("engine.workers={workers}")])
            .output()
            .expect("start millstream");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        output
    }

    /// Checks the pipeline, which must be refused with one problem that points at `line`.
    fn refused(&self, line: &str) -> String {
        let mut command = millstream();
        command.current_dir(self.0.path()).args(["check", "pipeline.toml"]);
        refused(command, line)
    }
}

fn refused(mut command: Command, line: &str) -> String {
    let output = command.output().expect("start millstream");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(text(&output.stdout), "");
    assert!(said.contains("--> pipeline.toml:"), "no place in\n{said}");
    assert!(said.contains(line) && said.contains("^^^"), "no caret at {line} in\n{said}");
    assert!(said.contains("= help: "), "no remedy in\n{said}");
    assert!(said.ends_with("\n1 error\n"), "{said}");
    said
}

fn summary(output: &Output) -> Value {
    let said = text(&output.stderr);
    let line = said.lines().rev().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no summary in\n{said}"))).expect("JSON")
}

/// What each word does to a call that meets it: the reason of the reject, and what is said.
const PARSER_POISON: [(&str, &str, &str); 20] = [
    ("TRAP", "trap", "trap: unreachable"),
    ("PANIC", "trap", "trap: unreachable"),
    ("LOOP", "deadline", "deadline: it used up its CPU time"),
    ("ALLOC", "memory", "memory: it wanted more than it may have"),
    ("STACK", "trap", "trap: stack overflow"),
    ("FAULT", "fault", "fault: met FAULT"),
    ("HUGE", "output-limit", "output-limit: it returned more than it may"),
    ("BADOFFSETS", "bad-output", "bad-output: column text: the first offset is not 0"),
    ("FALLING", "bad-output", "bad-output: column text: offsets fall"),
    ("BEYOND", "bad-output", "bad-output: column text: offsets go beyond"),
    ("NONUTF8", "bad-output", "bad-output: column text: "),
    ("WRONGLEN", "bad-output", "bad-output: column length: 0 values for 1 rows"),
    ("WRONGROWS", "bad-output", "bad-output: column text: 2 offsets for 4294967295 values"),
    ("WRONGTYPE", "bad-output", "bad-output: column text: a float64 buffer"),
    ("MISSING", "bad-output", "bad-output: 1 columns where 2 were announced"),
    ("NULLS", "bad-output", "bad-output: column text: nulls where none were announced"),
    ("SHORTBITMAP", "bad-output", "bad-output: column text: a bitmap of 0 bytes"),
    ("BADCODE", "bad-output", "bad-output: column text: code 1 of a dictionary of 1 values"),
    ("BADSOURCE", "bad-output", "bad-output: sources go up to 4294967295"),
    ("BADREJECT", "bad-output", "bad-output: reject code 99"),
];

fn parser_pipeline(plugin: &Path, config: &str) -> String {
    let plugin = plugin.display();
    format!(
        r#"name = "hostile"

[engine]
batch_rows = 512

[dead_letters]
path = "dead.jsonl"

[sources.logs]
type = "file"
path = "input.txt"

[parsers.guest]
input = "logs"
plugin = {{ path = "{plugin}", {LIMITS} }}
config = {{ do = "{config}" }}

[sinks.rows]
inputs = ["guest"]
type = "console"
format = "jsonl"

[sinks.rejects]
inputs = ["guest.rejects"]
type = "file"
visible = "commit"
path = "rejects.jsonl"
"#
    )
}

#[test]
fn a_hostile_parser_costs_only_the_records_it_fails_on() {
    let plugin = guest("hostile_parser");
    let sha256 = sha256(&plugin);
    let mut input = String::new();
    let mut good = Vec::new();
    // (position, reason, what is said, record)
    let mut bad: Vec<(usize, String, String, &str)> = Vec::new();
    let mut poison = PARSER_POISON.iter().cycle();
    for number in 0..6000 {
        let position = input.len();
        if number % 150 == 149 {
            // Half of them with a second one just behind the first.
            for _ in 0..1 + number % 300 / 299 {
                let (word, reason, said) = poison.next().expect("a cycle");
                let detail = format!(
                    "plugin hostile_parser, version 1.2.3, sha256 {sha256}: parse failed: {said}"
                );
                bad.push((input.len(), format!("plugin_{reason}"), detail, word));
                writeln!(input, "{word}").expect("a string");
            }
        } else if number % 500 == 0 {
            bad.push((position, "refused".into(), String::new(), "REJECT"));
            input.push_str("REJECT\n");
        } else {
            let record = if number % 70 == 3 { "TWICE".into() } else { format!("record {number}") };
            let row = json!({ "text": record, "length": record.len() });
            good.extend(std::iter::repeat_n(row, if record == "TWICE" { 2 } else { 1 }));
            writeln!(input, "{record}").expect("a string");
        }
    }
    for workers in [1, 3] {
        let case = Case::new(&parser_pipeline(&plugin, ""), &input);
        let output = case.run(workers);
        let rows = lines(&output.stdout);
        if let Some(at) = rows.iter().zip(&good).position(|(row, good)| row != good) {
            panic!("{workers} workers, row {at}: {} where {} was due", rows[at], good[at]);
        }
        assert_eq!(rows.len(), good.len(), "{workers} workers");

        let mut rejects = case.rows("rejects.jsonl");
        assert_eq!(rejects, case.rows("dead.jsonl"), "the dead letters are the rejects");
        rejects.sort_by_key(|reject| reject["position"].as_i64());
        assert_eq!(rejects.len(), bad.len(), "{workers} workers");
        for (reject, (position, reason, detail, record)) in rejects.iter().zip(&bad) {
            assert_eq!(reject["position"], json!(position), "{reject}");
            assert_eq!(reject["reason"], json!(reason), "{reject}");
            assert_eq!(reject["record"], json!(record), "{reject}");
            assert_eq!(reject["plugin_version"], json!("1.2.3"), "{reject}");
            assert_eq!((&reject["source"], &reject["node"]), (&json!("logs"), &json!("guest")));
            let said = reject["detail"].as_str().unwrap_or_default();
            assert!(said.starts_with(detail.as_str()), "{detail}\n{reject}");
        }

        let summary = summary(&output);
        let parser = &summary["parsers"][0];
        assert_eq!(parser["parsed"], json!(good.len()), "{summary}");
        let mut counts: std::collections::BTreeMap<&str, u64> = Default::default();
        for (_, reason, _, _) in &bad {
            *counts.entry(reason).or_default() += 1;
        }
        assert_eq!(parser["rejects"], json!(counts), "{summary}");
        let poison = bad.iter().filter(|(_, reason, _, _)| reason != "refused").count();
        assert_eq!(summary["poison"], json!(poison), "{summary}");
    }
}

const RULE_POISON: [(&str, &str, &str); 10] = [
    ("TRAP", "trap", "trap: unreachable"),
    ("PANIC", "trap", "trap: unreachable"),
    ("LOOP", "deadline", "deadline: it used up its CPU time"),
    ("ALLOC", "memory", "memory: it wanted more than it may have"),
    ("STACK", "trap", "trap: stack overflow"),
    ("BADROW", "bad-output", "bad-output: "),
    ("BADSTATE", "bad-output", "bad-output: "),
    ("BADTIMER", "bad-output", "bad-output: "),
    ("BADBITS", "bad-output", "bad-output: "),
    ("BADDROP", "bad-output", "bad-output: "),
];

fn rule_pipeline(plugin: &Path, config: &str) -> String {
    let plugin = plugin.display();
    format!(
        r#"name = "hostile"

[engine]
batch_rows = 512

[dead_letters]
path = "dead.jsonl"

[sources.logs]
type = "file"
path = "input.txt"

[parsers.events]
input = "logs"
plugin = "json"
event_time = "at"
config = {{ columns = {{ word = "text", key = "text", at = "timestamp" }} }}

[rules.guest]
input = "events"
key = ["key"]
plugin = {{ path = "{plugin}", {LIMITS} }}
config = {{ do = "{config}" }}
state_ttl = "1 day"

[sinks.rows]
inputs = ["guest.rows"]
type = "console"
format = "jsonl"

[sinks.alerts]
inputs = ["guest"]
type = "file"
visible = "commit"
path = "alerts.jsonl"
"#
    )
}

#[test]
fn a_hostile_rule_costs_only_the_rows_it_fails_on() {
    let plugin = guest("hostile_rule");
    let who = format!("plugin hostile_rule, version 0.3.0, sha256 {}", sha256(&plugin));
    let mut input = String::new();
    let (mut rows, mut alerts, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    let mut poison = RULE_POISON.iter().cycle();
    let mut counts = [0_u64; 7];
    for number in 0..4000 {
        let key = number % counts.len();
        let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
        let at = format!("2025-01-01T{hour:02}:{minute:02}:{second:02}Z");
        let (word, fault) = match number {
            2000 => ("FUSE".to_owned(), None),
            _ if number % 250 == 249 => {
                let (word, reason, said) = poison.next().expect("a cycle");
                ((*word).to_owned(), Some((reason, said)))
            }
            _ if number % 100 == 50 => (format!("!{number}"), None),
            _ => (format!("word {number}"), None),
        };
        let record = json!({ "word": word, "key": format!("k{key}"), "at": at });
        match fault {
            Some((reason, said)) => bad.push((input.len(), reason, said, record.clone())),
            None => {
                counts[key] += 1;
                let count = counts[key];
                let is_alert = word.starts_with('!');
                if is_alert {
                    alerts.push((format!("{count}:{word}"), at));
                }
                // The rule is shown at most two earlier rows of the key.
                rows.push((word, count, (count - 1).min(2), is_alert));
            }
        }
        writeln!(input, "{record}").expect("a string");
    }
    for workers in [1, 3] {
        let case = Case::new(&rule_pipeline(&plugin, ""), &input);
        let output = case.run(workers);
        let found: Vec<_> = lines(&output.stdout)
            .iter()
            .map(|row| {
                let word = row["word"].as_str().unwrap_or_default().to_owned();
                let number = |column: &str| row[column].as_u64().unwrap_or(u64::MAX);
                (word, number("count"), number("seen"), row["is_alert"] == json!(true))
            })
            .collect();
        if let Some(at) = found.iter().zip(&rows).position(|(row, good)| row != good) {
            panic!("{workers} workers, row {at}: {:?} where {:?} was due", found[at], rows[at]);
        }
        assert_eq!(found.len(), rows.len(), "{workers} workers");

        let found: Vec<_> = case
            .rows("alerts.jsonl")
            .iter()
            .map(|alert| {
                let text = |column: &str| alert[column].as_str().unwrap_or_default().to_owned();
                (text("message"), text("event_time"))
            })
            .collect();
        assert_eq!(found, alerts, "{workers} workers");

        let (mut dead, timers): (Vec<_>, Vec<_>) =
            case.rows("dead.jsonl").into_iter().partition(|letter| letter["record"].is_string());
        dead.sort_by_key(|letter| letter["position"].as_i64());
        assert_eq!(dead.len(), bad.len(), "{workers} workers");
        for (letter, (position, reason, said, record)) in dead.iter().zip(&bad) {
            assert_eq!(letter["position"], json!(position), "{letter}");
            assert_eq!(letter["reason"], json!(format!("plugin_{reason}")), "{letter}");
            assert_eq!((&letter["source"], &letter["node"]), (&json!("logs"), &json!("guest")));
            assert_eq!(letter["plugin_version"], json!("0.3.0"), "{letter}");
            let row: Value =
                serde_json::from_str(letter["record"].as_str().unwrap_or_default()).expect("JSON");
            assert_eq!(&row, record);
            let said = format!("{who}: evaluate failed: {said}");
            let detail = letter["detail"].as_str().unwrap_or_default();
            assert!(detail.starts_with(&said), "{said}\n{letter}");
        }
        let [timer] = &timers[..] else { panic!("one timer failed: {timers:?}") };
        assert_eq!(timer["detail"], json!(format!("{who}: evaluate failed: trap: unreachable")));
        assert_eq!(summary(&output)["poison"], json!(bad.len() + 1), "{workers} workers");
    }
}

#[test]
fn plugins_that_fail_before_their_first_batch_are_refused() {
    for (name, expected) in [
        ("describe_trap", "describe failed: trap: unreachable"),
        ("describe_loop", "describe failed: deadline: it used up its CPU time"),
        ("describe_nonsense", "describe failed: bad-output: "),
    ] {
        let plugin = guest(name);
        let said = Case::new(&parser_pipeline(&plugin, ""), "").refused("plugin = { path = ");
        let who = format!("plugin {name}, version unknown, sha256 {}: ", sha256(&plugin));
        assert!(said.contains(&format!("error: {who}{expected}")), "{said}");
    }
    type Pipeline = fn(&Path, &str) -> String;
    let kinds: [(&str, &str, Pipeline); 2] =
        [("hostile_parser", "1.2.3", parser_pipeline), ("hostile_rule", "0.3.0", rule_pipeline)];
    for (name, version, pipeline) in kinds {
        let plugin = guest(name);
        let who = format!("plugin {name}, version {version}, sha256 {}", sha256(&plugin));
        for (word, expected) in [
            ("TRAP", "trap: unreachable"),
            ("PANIC", "trap: unreachable"),
            ("LOOP", "deadline: it used up its CPU time"),
            ("ALLOC", "memory: it wanted more than it may have"),
            ("STACK", "trap: stack overflow"),
        ] {
            let said = Case::new(&pipeline(&plugin, word), "").refused("plugin = { path = ");
            let expected = format!("error: {who}: configure failed: {expected}");
            assert!(said.contains(&expected), "{expected}\n{said}");
        }
    }
    let said = Case::new(&parser_pipeline(&guest("hostile_parser"), "REFUSE"), "")
        .refused("config = { do = \"REFUSE\" }");
    assert!(said.contains("plugin hostile_parser refused its configuration"), "{said}");
    assert!(!said.contains('\u{1b}'), "a plugin does not colour our terminal: {said:?}");
}

/// Returns a component of these exports and the core module `core`, of wrong types.
fn component(exports: &[(&str, &[&str])], core: &str) -> Vec<u8> {
    let mut text = format!(
        r#"(component
            (core module $m {core} (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))"#
    );
    for (number, (interface, functions)) in exports.iter().enumerate() {
        write!(text, "(instance $e{number}").expect("a string");
        for function in *functions {
            write!(text, "(export \"{function}\" (func $f))").expect("a string");
        }
        write!(text, ") (export \"{interface}\" (instance $e{number}))").expect("a string");
    }
    text.push(')');
    wat::parse_str(text).expect("a component")
}

const PARSER: [(&str, &[&str]); 2] = [
    ("millstream:plugin/meta@0.1.0", &["describe"]),
    ("millstream:plugin/parser@0.1.0", &["configure", "parse"]),
];

#[test]
fn files_that_are_no_plugins_are_refused() {
    let whole = fs::read(guest("hostile_parser")).expect("a guest");
    let half = whole.get(..whole.len() / 2).expect("its half");
    let import = wat::parse_str(r#"(component (import "wasi:io/poll@0.2.0" (instance)))"#);
    let other = [("wasi:cli/run@0.2.0", &["run"][..])];
    let newer = [PARSER[0], ("millstream:plugin/parser@9.0.0", PARSER[1].1)];
    let cases: [(&str, &[u8], &str); 10] = [
        ("truncated", half, "is not a valid plugin: "),
        ("not WebAssembly", b"#!/bin/sh\n", "is not a valid plugin: it is not WebAssembly"),
        ("empty", b"", "is not a valid plugin: "),
        ("a bare module", b"\0asm\x01\0\0\0", "plugin file"),
        ("extra imports", &import.expect("wat"), "imports `wasi:io/poll@0.2.0`, which this host"),
        ("another world", &component(&other, ""), "which is no world of millstream:plugin"),
        ("half a world", &component(&PARSER[..1], ""), "which is no world of millstream:plugin"),
        ("another version", &component(&newer, ""), "was built for millstream:plugin/parser@9.0.0"),
        ("wrong types", &component(&PARSER, ""), "start failed: bad-output: "),
        (
            "loops at its start",
            &component(&PARSER, "(func $s (loop (br 0))) (start $s)"),
            "start failed: deadline",
        ),
    ];
    for (name, bytes, expected) in cases {
        let case = Case::new(&parser_pipeline(Path::new("plugin.wasm"), ""), "");
        fs::write(case.file("plugin.wasm"), bytes).expect("plugin");
        let said = case.refused("plugin = { path = \"plugin.wasm\"");
        assert!(said.contains(expected), "{name}: {expected}\n{said}");
        let named = said.contains("plugin file plugin.wasm") || said.contains("plugin plugin, ");
        assert!(named, "{name} is not named:\n{said}");
    }
    let case = Case::new(&parser_pipeline(Path::new("plugin.wasm"), ""), "");
    let said = case.refused("plugin = { path = \"plugin.wasm\"");
    assert!(said.contains("reading plugin file plugin.wasm: No such file"), "{said}");
}

#[test]
fn a_compile_bomb_is_refused() {
    let step = |i: u32| {
        let (a, b, c) = (i % 499, i * 7 % 499, i * 31 % 499);
        format!("local.get {a} if local.get {b} local.get {c} i32.mul local.set {a} end ")
    };
    let steps: String = (0..150_000).map(step).collect();
    let bomb = component(&PARSER, &format!("(func (local {}) {steps})", "i32 ".repeat(499)));
    let case = Case::new(&parser_pipeline(Path::new("plugin.wasm"), ""), "");
    fs::write(case.file("plugin.wasm"), bomb).expect("plugin");
    // A minute is allowed. A shell's limit, which the compiler inherits, ends it sooner.
    let mut command = Command::new("/bin/sh");
    let program = millstream();
    command.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.current_dir(case.0.path()).args(["-c", "ulimit -t 1; exec \"$0\" \"$@\""]);
    command.arg(program.get_program()).args(["check", "pipeline.toml"]);
    let said = refused(command, "plugin = { path = \"plugin.wasm\"");
    let expected = "compiling plugin file plugin.wasm hit the limit of 1 s of CPU time";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_file_that_is_no_plugin_cannot_be_inspected() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a plugin\n").expect("a file");
    for (name, plugin, expected) in [
        ("text", text.clone(), "is not a valid plugin: it is not WebAssembly"),
        ("a folder", folder.path().to_owned(), "reading plugin file"),
        ("missing", folder.path().join("nowhere.wasm"), "No such file or directory"),
        ("unknown", "no-such-plugin".into(), "no-such-plugin"),
        ("hostile", guest("describe_trap"), "describe failed: trap: unreachable"),
    ] {
        let mut command = millstream();
        let output = command.args(["plugin", "inspect"]).arg(&plugin).output().expect("start");
        let said = self::text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{name}: {said}");
        assert!(said.starts_with("error: ") && said.contains(expected), "{name}: {said}");
        assert!(said.contains("= help: "), "{name}: {said}");
    }
}

#[test]
fn built_in_plugins_do_what_their_samples_say() {
    let plugins = crate::support::plugins();
    let mut names: Vec<String> = fs::read_dir(&plugins)
        .expect("plugins")
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".wasm").map(str::to_owned)
        })
        .collect();
    names.sort();
    for name in ["apache", "csv", "error-spike", "json", "lines", "nginx", "regex", "threshold"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing of {names:?}");
    }
    for name in names {
        let output = millstream().args(["plugin", "inspect", &name]).output().expect("start");
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stderr));
        assert!(said.starts_with(&format!("{name} ")), "{said}");
        let verdicts: Vec<&str> = said
            .lines()
            .skip_while(|line| *line != "  samples")
            .skip(1)
            .take_while(|line| line.starts_with("    "))
            .collect();
        assert!(!verdicts.is_empty(), "{name} has no samples:\n{said}");
        for verdict in verdicts {
            assert!(verdict.starts_with("    ok "), "{name}: {verdict}\n{said}");
        }
    }
}

/// A transform works on the workers, over parsed rows, and behind windows. Its rows keep their
/// event time; what it refuses or fails on is told with the record or row it came from.
#[test]
fn a_transform_runs_on_both_sides_of_a_window() {
    let plugin = format!("{{ path = {:?}, {LIMITS} }}", guest("hostile_transform"));
    let pipeline = format!(
        r#"name = "transforms"
[dead_letters]
path = "dead.jsonl"
[sources.logs]
type = "file"
path = "input.txt"
[parsers.words]
input = "logs"
plugin = "json"
event_time = "at"
config = {{ columns = {{ text = "text", at = "epoch_s" }} }}
[transforms.upper]
input = "words"
plugin = {plugin}
[windows.minutes]
input = "upper"
tumbling = "1 minute"
aggregate = {{ rows = "count(*)" }}
[windows.texts]
input = "words"
global = true
group_by = ["text"]
aggregate = {{ rows = "count(*)" }}
[streams.text]
input = "texts"
select = ["text"]
[transforms.again]
input = "text"
plugin = {plugin}
[streams.refused]
input = "upper.rejects"
select = ["reason", "record"]
[sinks.out]
inputs = ["upper", "minutes", "again", "refused"]
type = "console"
format = "jsonl"
"#
    );
    let input = [(30, "a"), (60, "TWICE"), (70, "REJECT"), (80, "TRAP"), (90, "b")]
        .map(|(at, text)| format!("{{\"text\":\"{text}\",\"at\":{at}}}\n"))
        .concat();
    for workers in [1, 2] {
        let case = Case::new(&pipeline, &input);
        let output = case.run(workers);
        let rows = lines(&output.stdout);
        let of = |node: &str| -> Vec<Value> {
            let of = |row: &&Value| row["node"] == node;
            let rows = rows.iter().filter(of).cloned();
            rows.map(|mut row| {
                row.as_object_mut().expect("an object").remove("node");
                row
            })
            .collect()
        };
        let upper = ["A", "TWICE", "TWICE", "B"].map(|text| json!({ "upper": text }));
        assert_eq!(of("upper"), upper);
        let minute = |start: &str, end: &str, rows: i64| json!({ "window_start": start, "window_end": end, "rows": rows });
        assert_eq!(
            of("minutes"),
            [
                minute("1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z", 1),
                minute("1970-01-01T00:01:00Z", "1970-01-01T00:02:00Z", 3),
            ]
        );
        let mut again = of("again");
        again.sort_by_key(|row| row["upper"].to_string());
        assert_eq!(again, ["A", "B", "TWICE", "TWICE"].map(|text| json!({ "upper": text })));
        let record = |text: &str, at: i64| format!("{{\"text\":\"{text}\",\"at\":{at}}}");
        assert_eq!(
            of("refused"),
            [
                json!({ "reason": "refused", "record": record("REJECT", 70) }),
                json!({ "reason": "plugin_trap", "record": record("TRAP", 80) }),
            ]
        );
        let dead: Vec<(Value, Value, Value)> = case
            .rows("dead.jsonl")
            .into_iter()
            .map(|row| (row["node"].clone(), row["reason"].clone(), row["record"].clone()))
            .collect();
        assert_eq!(dead.len(), 4, "{dead:?}");
        for (reason, text) in [("refused", "REJECT"), ("plugin_trap", "TRAP")] {
            let row = format!("{{\"text\":\"{text}\"}}");
            assert!(dead.contains(&(json!("again"), json!(reason), json!(row))), "{dead:?}");
        }
        let summary = summary(&output);
        assert_eq!(
            summary["transforms"],
            json!([
                { "name": "upper", "rows": 4, "rejects": { "plugin_trap": 1, "refused": 1 } },
                { "name": "again", "rows": 4, "rejects": { "plugin_trap": 1, "refused": 1 } },
            ])
        );
        assert_eq!(summary["poison"], 2);
    }
}
