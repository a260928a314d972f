//! Recorded epochs, run again by a fresh engine, give the same bytes.
//!
//! This goes through the library: the facts of a run are kept, written as JSON and read back as a
//! checkpoint would, and replayed with other numbers of workers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use millstream::config::model::{PluginRef, PluginSource};
use millstream::diag::Diagnostic;
use millstream::engine::{Engine, EngineOptions, EpochFacts, Outcome, Outside};
use millstream::plan::{self, NodeKind, Plan, Plugins};
use millstream::plugin::{CompileCommand, PluginRuntime, PluginVersion, RuntimeOptions};
use millstream::sinks::Durability;
use millstream::{config, sinks, sources};
use serde_json::Value;

use crate::made::{
    deal_by_service, deal_unevenly, generator_source, paths, service_log, service_model, write,
};
use crate::matrix::{COUNT, figures, parser_of, pipeline, windows};
use crate::model::{self, Record};
use crate::support::{assert_table, plugins};

struct BuiltPlugins(Arc<PluginRuntime>);

impl Plugins for BuiltPlugins {
    fn load(&self, plugin: &PluginRef) -> Result<Arc<PluginVersion>, Diagnostic> {
        let PluginSource::Name(name) = &plugin.source.value else { panic!("a bare name") };
        let path = plugins().join(format!("{name}.wasm"));
        self.0
            .load(&path, name, None, &plugin.limits)
            .map_err(|error| Diagnostic::error(error.to_string()))
    }
}

/// Plans `text` with a file sink in `out` for each output.
fn plan_of(text: &str, outputs: &[&str], out: &Path, sets: &[String]) -> Arc<Plan> {
    let mut text = text.to_owned();
    for (number, output) in outputs.iter().enumerate() {
        write!(
            text,
            "\n[sinks.test-{number}]\ninputs = [\"{output}\"]\ntype = \"file\"\nvisible = \"commit\"\npath = {:?}\n",
            out.join(format!("{output}.jsonl"))
        )
        .expect("a string");
    }
    let file = out.join("pipeline.toml");
    std::fs::write(&file, text).expect("write pipeline");
    let loaded =
        config::load(&file, sets).unwrap_or_else(|refused| panic!("{:?}", refused.problems));
    let program = PathBuf::from(env!("CARGO_BIN_EXE_millstream"));
    let runtime = PluginRuntime::new(RuntimeOptions::new(CompileCommand::new(program)));
    let built = BuiltPlugins(runtime.expect("plugin runtime"));
    let planned = plan::build(&loaded.pipeline, &loaded.file, &built);
    Arc::new(planned.unwrap_or_else(|problems| panic!("{problems:?}")).0)
}

fn engine(plan: &Arc<Plan>) -> Engine {
    let mut options = EngineOptions {
        sources: Vec::new(),
        sinks: Vec::new(),
        dead_letters: None,
        record_facts: true,
        kept: None,
    };
    for node in &plan.nodes {
        options.sinks.push(match &node.kind {
            NodeKind::Sink(sink) => {
                let console = || unreachable!("only files");
                Some(
                    sinks::build(&sink.config, &sink.inputs, console, None, Durability::AtRoll)
                        .expect("sink"),
                )
            }
            _ => None,
        });
    }
    for id in &plan.sources {
        let node = plan.node(*id);
        let NodeKind::Source(source) = &node.kind else { continue };
        let opened =
            sources::open(&source.config.kind, source.id, Path::new(""), None).expect("source");
        options.sources.push((node.name.clone(), opened));
    }
    Engine::new(Arc::clone(plan), options).expect("engine")
}

/// What each sink wrote.
type Written = BTreeMap<String, String>;

fn written(outputs: &[&str], out: &Path) -> Written {
    let read = |output: &&str| {
        let path = out.join(format!("{output}.jsonl"));
        ((*output).to_owned(), std::fs::read_to_string(path).expect("output"))
    };
    outputs.iter().map(read).collect()
}

/// A clock that is never the same twice, and by which no time passes: epochs end by their rows.
struct Ticking(AtomicI64);

impl Outside for Ticking {
    fn now_us(&self) -> i64 {
        self.0.fetch_add(1_017, Ordering::Relaxed)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn pause(&self, _: Duration) {}

    fn stop(&self) -> bool {
        false
    }
}

/// Runs a pipeline and returns its facts.
fn record(text: &str, outputs: &[&str], sets: &[String]) -> (Vec<EpochFacts>, Written) {
    let out = tempfile::tempdir().expect("temporary folder");
    let mut engine = engine(&plan_of(text, outputs, out.path(), sets));
    let outside = Ticking(AtomicI64::new(1_760_000_000_000_000));
    let outcome = engine.run(&outside, &mut |_| {}).expect("run");
    assert_eq!(outcome, Outcome::Finished);
    engine.close(outside.now_us()).expect("close");
    let facts = serde_json::to_string(engine.facts()).expect("JSON");
    (serde_json::from_str(&facts).expect("facts"), written(outputs, out.path()))
}

fn replay(text: &str, outputs: &[&str], sets: &[String], facts: &[EpochFacts]) -> Written {
    let out = tempfile::tempdir().expect("temporary folder");
    let mut engine = engine(&plan_of(text, outputs, out.path(), sets));
    for facts in facts {
        engine.replay(facts).expect("replay");
    }
    engine.close(0).expect("close");
    written(outputs, out.path())
}

/// Records with each of `epoch_rows`, and replays with any number of workers.
fn check(text: &str, outputs: &[&str], epoch_rows: &[usize]) {
    for epoch_rows in epoch_rows {
        let sets = |workers: usize| {
            [format!("engine.workers={workers}"), format!("engine.epoch_rows={epoch_rows}")]
        };
        let (facts, first) = record(text, outputs, &sets(2));
        assert!(first.values().all(|text| text.len() > 500), "every output has rows");
        for workers in [1, 2, 7] {
            let again = replay(text, outputs, &sets(workers), &facts);
            for (name, text) in &first {
                assert_eq!(
                    first_difference(text, &again[name]),
                    None,
                    "{name}, epochs of {epoch_rows}, replayed by {workers} workers"
                );
            }
        }
    }
}

fn first_difference(a: &str, b: &str) -> Option<(usize, String, String)> {
    let line = |text: &str, at| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
    let same = a.lines().zip(b.lines()).take_while(|(a, b)| a == b).count();
    (a != b).then(|| (same + 1, line(a, same), line(b, same)))
}

const OUTPUTS: &[&str] = &[
    "tumbling",
    "sliding",
    "session",
    "count",
    "global",
    "tumbling.late",
    "sliding.late",
    "session.late",
    "rows.rejects",
];

#[test]
fn every_window_kind_on_one_partition() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let files = paths(&write(folder.path(), "logs", &[service_log()]));
    check(&pipeline(&files, &files), OUTPUTS, &[1, 100, 8_192]);
}

#[test]
fn every_window_kind_on_three_partitions() {
    let text = service_log();
    let folder = tempfile::tempdir().expect("temporary folder");
    let files = paths(&write(folder.path(), "logs", &deal_unevenly(&text, 3)));
    let keyed = paths(&write(folder.path(), "keyed", &deal_by_service(&text, 3)));
    check(&pipeline(&files, &keyed), OUTPUTS, &[1, 100, 8_192]);
}

/// Count windows of keys that are spread over partitions depend on the cut, and on nothing else:
/// the order of rows is that of the recorded chunks.
#[test]
fn count_windows_follow_the_recorded_cut() {
    let text = service_log();
    let dealt = deal_unevenly(&text, 3);
    let folder = tempfile::tempdir().expect("temporary folder");
    let files = paths(&write(folder.path(), "logs", &dealt));
    let text = format!(
        "name = \"cut\"\n[sources.logs]\ntype = \"file\"\npaths = {files}\n{}{}",
        parser_of("logs", "keyed"),
        windows().split("\n\n").find(|part| part.contains("[windows.count]")).expect("count")
    );
    let log = service_model(&dealt);
    for epoch_rows in [1, 100, 8_192] {
        let sets = [format!("engine.epoch_rows={epoch_rows}"), "engine.workers=2".to_owned()];
        let (facts, written) = record(&text, &["count"], &sets);
        let mut records: Vec<&Record> = Vec::new();
        for range in facts.iter().flat_map(|facts| &facts.ranges) {
            let within = |record: &&Record| {
                let position = i64::try_from(record.position).expect("a position");
                record.partition == usize::try_from(range.from.partition.0).expect("a partition")
                    && (range.start..range.end).contains(&position)
            };
            records.extend(log.records.iter().filter(within));
        }
        assert_eq!(records.len(), log.records.len());
        let expected = model::rows(&model::counts(&records, COUNT, "service"), "service", figures);
        let mine: Vec<Value> = written["count"]
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let keys = ["window_start", "window_end", "service", "first"];
        assert_table(&format!("epochs of {epoch_rows}"), &expected, &mine, &keys);
    }
}

/// Records that are too long are in no chunk; a replay still refuses them, and loses no other.
#[test]
fn records_that_are_too_long() {
    let mut text = String::new();
    let long = format!("{{\"timestamp\":\"{}\"}}\n", "x".repeat(5_000));
    for (number, line) in service_log().lines().enumerate() {
        // The first record, one in the middle of a chunk, and two in a row.
        if matches!(number, 0 | 250 | 1_200) {
            text.push_str(&long);
        }
        if number == 1_200 {
            text.push_str(&long);
        }
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&long);
    let folder = tempfile::tempdir().expect("temporary folder");
    let files = paths(&write(folder.path(), "logs", &[text]));
    let pipeline =
        pipeline(&files, &files).replace("watermark = {", "max_record = \"4 KiB\"\nwatermark = {");
    let outputs = ["rows.rejects", "global", "tumbling"];
    let sets = ["engine.epoch_rows=100".to_owned()];
    let (_, written) = record(&pipeline, &outputs, &sets);
    assert_eq!(written["rows.rejects"].matches("record_too_long").count(), 5);
    check(&pipeline, &outputs, &[1, 100, 8_192]);
}

/// Without an event time, rows have the time at which they were received: that is replayed too.
#[test]
fn time_of_receipt() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let files = paths(&write(folder.path(), "logs", &deal_unevenly(&service_log(), 3)));
    let text = format!(
        r#"
name = "received"
[sources.logs]
type = "file"
paths = {files}
[parsers.lines]
input = "logs"
plugin = "lines"
[windows.milliseconds]
input = "lines"
tumbling = "1ms"
aggregate = {{ rows = "count(*)" }}
"#
    );
    check(&text, &["milliseconds"], &[50]);
}

/// Folders and the generator are sources that can be replayed as well.
#[test]
fn folders_and_the_generator() {
    let folder = tempfile::tempdir().expect("temporary folder");
    write(folder.path(), "logs", &deal_unevenly(&service_log(), 3));
    let folder = folder.path().display().to_string();
    let cases = [
        format!("type = \"directory\"\npath = {folder:?}\nmax_files_per_epoch = 1"),
        format!(
            "type = \"directory\"\npath = {folder:?}\npartitions = \"per-file\"\nmax_files_per_epoch = 1"
        ),
        generator_source(3),
    ];
    for case in cases {
        let text = format!(
            "name = \"sources\"\n[sources.logs]\n{case}\nwatermark = {{ delay = \"1 second\" }}\n{}{}",
            parser_of("logs", "rows"),
            windows().replace("\"keyed\"", "\"rows\"")
        );
        check(&text, &OUTPUTS[..8], &[100]);
    }
}
