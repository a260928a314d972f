//! Good pipelines and their meaning; `ui` has the bad ones.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::model::*;
use super::{Loaded, json_schema, parse, reference_markdown};

/// One node of every kind, with nothing but what must be there.
const SMALL: &str = r#"
name = "small"
[sources.logs]
type = "file"
path = "app.log"
[parsers.events]
input = "logs"
plugin = "json"
[windows.w]
input = "events"
tumbling = "1 minute"
aggregate = { total = "count(*)" }
[rules.r]
input = "w"
when = "total > 1"
[sinks.out]
input = "r"
type = "console"
"#;

fn good_with(text: &str, overrides: &[&str]) -> Loaded {
    let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
    match parse(text, Path::new("conf/p.toml"), &overrides) {
        Ok(loaded) => loaded,
        Err(refused) => panic!("{refused}"),
    }
}

fn good(text: &str) -> Pipeline {
    good_with(text, &[]).pipeline
}

/// Returns the first message of a text that must be refused.
fn bad(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
    let refused = parse(text, Path::new("conf/p.toml"), &overrides).expect_err(text);
    let errors = refused.problems.iter().filter(|one| one.severity == crate::diag::Severity::Error);
    errors.map(|one| one.message.as_str()).next().unwrap_or_default().to_string()
}

fn values<T: Clone>(all: &[Located<T>]) -> Vec<T> {
    all.iter().map(|one| one.value.clone()).collect()
}

fn pairs(all: &[(String, Located<String>)]) -> Vec<(&str, &str)> {
    all.iter().map(|(name, sql)| (name.as_str(), sql.value.as_str())).collect()
}

#[test]
fn defaults_are_what_the_reference_says() {
    let pipeline = good(SMALL);
    assert_eq!(pipeline.name, "small");
    assert_eq!(pipeline.engine, Engine::default());
    assert!(pipeline.engine.workers >= 1);
    assert_eq!(pipeline.engine.epoch_us, 100_000);
    assert_eq!(pipeline.plugin_dirs, Vec::<PathBuf>::new());
    assert_eq!(pipeline.dead_letters, None);
    let source = &pipeline.sources[0];
    assert_eq!(source.name, "logs");
    assert_eq!(SMALL.get(source.span.clone()), Some("logs"));
    let SourceKind::File(file) = &source.config.kind else { panic!("{source:?}") };
    assert_eq!(values(&file.paths), [PathBuf::from("conf/app.log")]);
    assert_eq!((file.follow, file.max_record_bytes), (false, 1 << 20));
    let none =
        Watermark { delay_us: 0, idle_timeout_us: None, max_ahead_us: None, max_drift_us: None };
    assert_eq!(source.config.watermark, none);
    let parser = &pipeline.parsers[0].config;
    assert_eq!(parser.plugin.source.value, PluginSource::Name("json".into()));
    assert_eq!(parser.plugin.limits, Limits::default());
    assert_eq!(parser.config.value, json!({}));
    assert_eq!(parser.event_time, None);
    let window = &pipeline.windows[0].config;
    assert_eq!(window.kind, WindowKind::Tumbling { size_us: 60_000_000, offset_us: 0 });
    assert_eq!(window.output, OutputMode::Append);
    assert_eq!((window.trigger_us, window.allowed_lateness_us), (None, 0));
    assert!(window.group_by.is_empty() && window.derive.is_empty() && window.having.is_none());
    let rule = &pipeline.rules[0].config;
    assert!(rule.key.is_empty() && rule.severity.is_none() && rule.message.is_none());
    assert_eq!((rule.order, rule.revisions, rule.state_ttl_us), (RowOrder::Arrival, false, None));
    let SinkKind::Console(console) = &pipeline.sinks[0].config.kind else { panic!() };
    let expected = ConsoleSink { format: ConsoleFormat::Table, truncate: 40, max_rows: 20 };
    assert_eq!(*console, expected);
    assert!(pipeline.tests.is_empty());
}

/// Every default that the schema names, set by hand, changes nothing.
#[test]
fn defaults_of_the_schema_are_those_of_the_model() {
    let nodes = [
        ("Engine", "engine", ""),
        ("Plugins", "plugins", ""),
        ("Watermark", "sources.logs.watermark", ""),
        ("Parser", "parsers.events", ""),
        ("Limits", "parsers.events.plugin.limits", "parsers.events.plugin = { path = \"x\" }"),
        ("Stream", "streams.s", "streams.s = { input = \"events\" }"),
        ("Window", "windows.w", ""),
        ("Rule", "rules.p", "rules.p = { input = \"w\", plugin = \"z\" }"),
        ("Roll", "sinks.f.roll", "sinks.f = { type = \"file\", path = \"o\", input = \"w\" }"),
        (
            "Source/kafka",
            "sources.k",
            "sources.k = { type = \"kafka\", brokers = \"a:1\", topics = [\"t\"] }",
        ),
        (
            "Sink/kafka",
            "sinks.k",
            "sinks.k = { type = \"kafka\", brokers = \"a:1\", topic = \"t\", input = \"w\" }\n\
             state.path = \"s\"",
        ),
        ("Source/file", "sources.logs", ""),
        ("Source/directory", "sources.d", "sources.d = { type = \"directory\", path = \"x\" }"),
        ("Source/rate", "sources.r8", "sources.r8 = { type = \"rate\" }"),
        ("Source/generator", "sources.g", "sources.g = { type = \"generator\" }"),
        ("Sink/console", "sinks.out", ""),
        ("Sink/file", "sinks.f", "sinks.f = { type = \"file\", path = \"o\", input = \"w\" }"),
    ];
    let schema = json_schema();
    let strip = |loaded: Loaded| {
        let text = format!("{:?}", loaded.pipeline);
        // Places differ; meanings must not.
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("span: ") {
            out.push_str(before);
            let end = after.find([',', ' ', '}']).unwrap_or(after.len());
            rest = &after[end..];
        }
        out + rest
    };
    let mut compared = 0;
    for (definition, path, setup) in nodes {
        let table = match definition.split_once('/') {
            None => &schema["$defs"][definition],
            Some((kind, variant)) => schema["$defs"][kind]["oneOf"]
                .as_array()
                .and_then(|all| {
                    all.iter().find(|one| one["properties"]["type"]["const"] == variant)
                })
                .unwrap_or_else(|| panic!("{definition} in {:#}", schema["$defs"][kind])),
        };
        let setup: Vec<&str> = setup.lines().collect();
        let plain = strip(good_with(SMALL, &setup));
        let properties = table["properties"].as_object().expect(definition);
        for (key, property) in properties {
            let Some(default) = property.get("default") else { continue };
            let mut overrides = setup.clone();
            let argument = format!("{path}.{key} = {default}");
            overrides.push(&argument);
            // `allowed_lateness` and the like are refused where they have no meaning, not here.
            assert_eq!(strip(good_with(SMALL, &overrides)), plain, "{argument}");
            compared += 1;
        }
    }
    assert!(compared >= 30, "{compared}");
}

#[test]
fn a_whole_pipeline_is_read() {
    let text = r##"
name = "whole-1_x"
[engine]
workers = 2
epoch = "1s"
epoch_rows = 10
epoch_bytes = "1 MiB"
batch_rows = 5
shutdown_timeout = "1m"
[plugins]
dirs = ["plugins", "/abs"]
[dead_letters]
path = "dead.jsonl"

[sources.files]
type = "file"
paths = ["b.log", "/abs/a.log"]
follow = true
max_record = "2 KiB"
watermark = { delay = "10 minutes", idle_timeout = "30 seconds", max_ahead = "1h", max_drift = "2h" }
[sources.dir]
type = "directory"
path = "in"
pattern = "*.jsonl"
watch = true
max_files_per_epoch = 3
partitions = "per-file"
watermark.idle_timeout = "1s"
[sources.stdin]
type = "stdin"
[sources.rate]
type = "rate"
rows_per_second = 100
rows = 1000
partitions = 3
[sources.gen]
type = "generator"
settings = { seed = 1, incidents = [{ kind = "ddos" }] }
rows_per_second = 7

[parsers.events]
input = "files"
plugin = { path = "x/json.wasm", sha256 = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08", limits = { memory = "16MB", deadline = "2s", output = "1 MiB" } }
config = { z = 1, a = [1.5, true, "x", 2025-01-01T00:00:00Z], m = { y = 1, b = 2 } }
event_time = "Time Stamp"

[streams.words]
inputs = ["events"]
unnest = { word = "string_to_array(line, ' ')" }
derive = { z = "1", a = "z + 1" }
where = "word <> ''"
select = ["word", "Response Time", 'a"b']
[streams.renamed]
input = "words"
select = { w = "word", "two words" = "\"Response Time\"" }

[windows.sliding]
inputs = ["words", "renamed"]
sliding = { size = "5 minutes", slide = "1 minute" }
offset = "15s"
where = "true"
group_by = { hour = "date_trunc('hour', t)" }
aggregate = { z = "count(*)", "p95 ms" = "median(ms)", a = "sum(x)" }
derive = { rate = "z / a" }
having = "z > 1"
allowed_lateness = "1 minute"
[windows.session]
input = "words"
session = { gap = "30 minutes" }
group_by = ["user"]
aggregate.n = "count(*)"
[windows.counted]
input = "words"
count = 100
aggregate.n = "count(*)"
output = "update"
trigger = "10s"
[windows.all]
input = "words"
global = true
aggregate.n = "count(*)"
output = "complete"

[rules.spike]
input = "sliding"
key = ["user", "hour"]
plugin = { name = "error-spike" }
config = { column = "rate" }
severity = "critical"
message = "{user}: {{{rate}}}"
state_ttl = "7 days"
order = "event_time"
revisions = true

[sinks.console]
input = "spike"
type = "console"
format = "jsonl"
truncate = 0
max_rows = 0
[sinks.parts]
inputs = ["sliding", "session"]
type = "file"
path = "out"
format = "csv"
roll = { every = "1m", max_bytes = "1 MB" }
[sinks.plain]
input = "sliding.late"
type = "file"
path = "out.jsonl"
visible = "commit"
[sinks.none]
input = "events.rejects"
type = "discard"
"##;
    let loaded = good_with(text, &[]);
    assert_eq!(loaded.warnings, []);
    let pipeline = loaded.pipeline;
    let engine = Engine {
        workers: 2,
        epoch_us: 1_000_000,
        epoch_rows: 10,
        epoch_bytes: 1 << 20,
        batch_rows: 5,
        shutdown_timeout_us: 60_000_000,
    };
    assert_eq!(pipeline.engine, engine);
    assert_eq!(pipeline.plugin_dirs, [PathBuf::from("conf/plugins"), PathBuf::from("/abs")]);
    assert_eq!(pipeline.dead_letters, Some(DeadLetters { path: "conf/dead.jsonl".into() }));

    let names: Vec<&str> = pipeline.sources.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["files", "dir", "stdin", "rate", "gen"], "file order");
    let SourceKind::File(files) = &pipeline.sources[0].config.kind else { panic!() };
    assert_eq!(values(&files.paths), [PathBuf::from("conf/b.log"), PathBuf::from("/abs/a.log")]);
    assert_eq!((files.follow, files.max_record_bytes), (true, 2048));
    let watermark = Watermark {
        delay_us: 600_000_000,
        idle_timeout_us: Some(30_000_000),
        max_ahead_us: Some(3_600_000_000),
        max_drift_us: Some(7_200_000_000),
    };
    assert_eq!(pipeline.sources[0].config.watermark, watermark);
    let SourceKind::Directory(dir) = &pipeline.sources[1].config.kind else { panic!() };
    assert_eq!((dir.pattern.as_str(), dir.watch, dir.max_files_per_epoch), ("*.jsonl", true, 3));
    assert!(dir.per_file_partitions);
    let SourceKind::Rate(rate) = &pipeline.sources[3].config.kind else { panic!() };
    assert_eq!(*rate, RateSource { rows_per_second: 100, rows: Some(1000), partitions: 3 });
    let SourceKind::Generator(generator) = &pipeline.sources[4].config.kind else { panic!() };
    let expected = GeneratorSource {
        settings: json!({ "seed": 1, "incidents": [{ "kind": "ddos" }] }),
        rows_per_second: Some(7),
        partitions: 1,
    };
    assert_eq!(*generator, expected);

    let parser = &pipeline.parsers[0].config;
    assert_eq!(parser.plugin.source.value, PluginSource::Path("conf/x/json.wasm".into()));
    let digest = parser.plugin.sha256.as_ref().map(|digest| digest.value.as_str());
    assert_eq!(digest, Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"));
    let limits = Limits { memory_bytes: 16_000_000, deadline_us: 2_000_000, output_bytes: 1 << 20 };
    assert_eq!(parser.plugin.limits, limits);
    assert_eq!(
        parser.config.value.to_string(),
        r#"{"z":1,"a":[1.5,true,"x","2025-01-01T00:00:00Z"],"m":{"y":1,"b":2}}"#,
        "keys in file order, dates as text",
    );
    assert_eq!(parser.event_time.as_ref().map(|name| name.value.as_str()), Some("Time Stamp"));

    let words = &pipeline.streams[0].config;
    let (column, sql) = words.unnest.as_ref().expect("unnest");
    assert_eq!((column.as_str(), sql.value.as_str()), ("word", "string_to_array(line, ' ')"));
    assert_eq!(text.get(sql.span.clone()), Some("\"string_to_array(line, ' ')\""));
    assert_eq!(pairs(&words.derive), [("z", "1"), ("a", "z + 1")]);
    assert_eq!(
        pairs(words.select.as_deref().expect("select")),
        [("word", "\"word\""), ("Response Time", "\"Response Time\""), ("a\"b", "\"a\"\"b\"")],
    );
    let renamed = pipeline.streams[1].config.select.as_deref().expect("select");
    assert_eq!(pairs(renamed), [("w", "word"), ("two words", "\"Response Time\"")]);

    let kinds: Vec<WindowKind> = pipeline.windows.iter().map(|node| node.config.kind).collect();
    let expected = [
        WindowKind::Sliding { size_us: 300_000_000, slide_us: 60_000_000, offset_us: 15_000_000 },
        WindowKind::Session { gap_us: 1_800_000_000 },
        WindowKind::Count { rows: 100 },
        WindowKind::Global,
    ];
    assert_eq!(kinds, expected);
    let sliding = &pipeline.windows[0].config;
    assert_eq!(values(&sliding.inputs), ["words", "renamed"]);
    assert_eq!(pairs(&sliding.group_by), [("hour", "date_trunc('hour', t)")]);
    let aggregate = [("z", "count(*)"), ("p95 ms", "median(ms)"), ("a", "sum(x)")];
    assert_eq!(pairs(&sliding.aggregate), aggregate, "file order");
    assert_eq!(sliding.allowed_lateness_us, 60_000_000);
    let outputs: Vec<_> = pipeline.windows.iter().map(|node| node.config.output).collect();
    use OutputMode::{Append, Complete, Update};
    assert_eq!(outputs, [Append, Append, Update, Complete]);
    assert_eq!(pipeline.windows[2].config.trigger_us, Some(10_000_000));

    let rule = &pipeline.rules[0].config;
    assert_eq!(values(&rule.key), ["user", "hour"]);
    assert_eq!(rule.severity, Some(Severity::Critical));
    assert_eq!((rule.order, rule.revisions), (RowOrder::EventTime, true));
    assert_eq!(rule.state_ttl_us, Some(7 * 86_400_000_000));
    let RuleKind::Plugin { plugin, config } = &rule.kind else { panic!() };
    assert_eq!(plugin.source.value, PluginSource::Name("error-spike".into()));
    assert_eq!(config.value, json!({ "column": "rate" }));

    let SinkKind::File(parts) = &pipeline.sinks[1].config.kind else { panic!() };
    let expected = FileSink {
        path: "conf/out".into(),
        format: FileFormat::Csv,
        visible: Visible::Roll,
        roll_us: 60_000_000,
        roll_bytes: 1_000_000,
    };
    assert_eq!(*parts, expected);
    let SinkKind::File(plain) = &pipeline.sinks[2].config.kind else { panic!() };
    assert_eq!(plain.visible, Visible::Commit);
    assert!(matches!(pipeline.sinks[3].config.kind, SinkKind::Discard));
}

#[test]
fn overrides_change_the_model_and_have_a_place() {
    let path = good_with(SMALL, &["sources.logs.path=/tmp/x.log", "engine.workers=3"]).pipeline;
    let SourceKind::File(file) = &path.sources[0].config.kind else { panic!() };
    assert_eq!(values(&file.paths), [PathBuf::from("/tmp/x.log")]);
    let near = good_with(SMALL, &["sources.logs.path=x.log", "plugins.dirs=[\"p\"]"]).pipeline;
    let SourceKind::File(file) = &near.sources[0].config.kind else { panic!() };
    assert_eq!(values(&file.paths), [PathBuf::from("x.log")], "relative to the current folder");
    assert_eq!(near.plugin_dirs, [PathBuf::from("p")]);
    assert_eq!(path.engine.workers, 3);
    assert!(path.sources[0].span.end < SMALL.len(), "the node keeps its place");

    let argument = ["engine.epoch=5 minits".to_string()];
    let refused = parse(SMALL, Path::new("p.toml"), &argument).expect_err("refused").to_string();
    let expected = "\
error: `engine.epoch`: \"5 minits\" is not a duration: unknown unit \"minits\"
 --> --set:1:14
  |
1 | engine.epoch=5 minits
  |              ^^^^^^^^
  |
  = help: did you mean \"minutes\"?

1 error";
    assert_eq!(refused, expected);
    assert_eq!(bad(SMALL, &["engine.wrokers=1"]), "unknown key `wrokers` in `engine`");
    assert_eq!(bad(SMALL, &["name.x=1"]), "`name` is not a table");
}

#[test]
fn tests_are_read_in_both_shapes() {
    let short = good(&format!(
        "{SMALL}
[[tests]]
name = \"short\"
records = [\"raw\", {{ b = 1, a = \"x\" }}]
expect = {{ w = [{{ total = 2 }}], events.rejects = [], \"w.late\" = [] }}
"
    ));
    let test = &short.tests[0];
    assert_eq!(test.name.value, "short");
    let TestStep::Records { source, records } = &test.steps[0] else { panic!() };
    assert_eq!((source.value.as_str(), source.span.clone()), ("logs", 0..0));
    assert_eq!(records, &["raw".to_string(), r#"{"b":1,"a":"x"}"#.to_string()]);
    let outputs: Vec<&str> = test.expect.keys().map(String::as_str).collect();
    assert_eq!(outputs, ["events.rejects", "w", "w.late"]);
    assert_eq!(test.expect["w"].value, [json!({ "total": 2 })]);

    let long = good(&format!(
        "{SMALL}
[[tests]]
name = \"long\"
[[tests.steps]]
source = \"logs\"
records = [\"raw\"]
[[tests.steps]]
watermark = 2025-01-01T00:00:00Z
[[tests.steps]]
watermark = \"1970-01-01T00:00:01\"
[tests.expect]
r = []
"
    ));
    let times: Vec<i64> = long.tests[0]
        .steps
        .iter()
        .filter_map(|step| match step {
            TestStep::Watermark { time_us, .. } => Some(*time_us),
            TestStep::Records { .. } => None,
        })
        .collect();
    assert_eq!(times, [1_735_689_600_000_000, 1_000_000]);
}

#[test]
fn warnings_do_not_refuse() {
    let cases = [
        ("sources.logs.follow=true", "`sources.logs` has no idle_timeout"),
        (
            "rules.k={ input = \"w\", plugin = \"z\", key = [\"a\"] }",
            "`rules.k` keeps the state of every key for ever",
        ),
        ("sinks={}", "the pipeline has no sink: its results go nowhere"),
    ];
    for (argument, message) in cases {
        let warnings = good_with(SMALL, &[argument]).warnings;
        let messages: Vec<&str> = warnings.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(messages, [message], "{argument}");
    }
}

/// Each option's bad case, by `--set` on the small pipeline. The `ui` pairs show them in full.
#[test]
fn bad_options_are_named() {
    let cases = [
        ("name=1", "`name`: expected a string, found the integer 1"),
        ("name=a b", "\"a b\" is not a pipeline name"),
        ("engine=1", "`engine`: expected a table, found the integer 1"),
        ("engine.workers=0", "`workers` is out of range: 0"),
        ("engine.workers=two", "`engine.workers`: expected an integer, found the string \"two\""),
        ("engine.epoch=0s", "`epoch` is out of range: 0s"),
        ("engine.epoch_rows=0", "`epoch_rows` is out of range: 0"),
        ("engine.epoch_bytes=0 B", "`epoch_bytes` is out of range: 0 B"),
        ("engine.batch_rows=9999999", "`batch_rows` is out of range: 9999999"),
        (
            "engine.shutdown_timeout=101 weeks 99999 days",
            "`shutdown_timeout` is out of range: 100706d",
        ),
        ("plugins.dirs=x", "`plugins.dirs`: expected an array, found the string \"x\""),
        ("plugins.dirs=[\"x\", \"x\"]", "the folder `x` is given twice"),
        ("dead_letters={}", "missing key `path` in `dead_letters`"),
        ("dead_letters.path=", "`path` is empty"),
        ("sources.logs.type=fiel", "`sources.logs.type`: unknown value \"fiel\""),
        ("sources.logs.paths=[\"x\"]", "`path` and `paths` exclude each other in `sources.logs`"),
        (
            "sources.logs.follow=yes",
            "`sources.logs.follow`: expected a boolean, found the string \"yes\"",
        ),
        ("sources.logs.max_record=2 GiB", "`max_record` is out of range: 2 GiB"),
        (
            "sources.logs.watermark.delay=-1",
            "`sources.logs.watermark.delay`: expected a duration, found the integer -1",
        ),
        ("sources.logs.watermark.idle_timeout=0s", "`idle_timeout` is out of range: 0s"),
        ("sources.logs={ type = \"file\", paths = [] }", "`paths` is empty"),
        ("sources.logs={ type = \"directory\" }", "missing key `path` in `sources.logs`"),
        (
            "sources.logs={ type = \"directory\", path = \"x\", pattern = \"a/*\" }",
            "`pattern` is not a pattern of file names",
        ),
        (
            "sources.logs={ type = \"directory\", path = \"x\", partitions = \"each\" }",
            "`sources.logs.partitions`: unknown value \"each\"",
        ),
        (
            "sources.logs={ type = \"rate\", rows_per_second = 0 }",
            "`rows_per_second` is out of range: 0",
        ),
        (
            "sources.logs={ type = \"generator\", settings = 1 }",
            "`sources.logs.settings`: expected a table, found the integer 1",
        ),
        ("sources.logs=1", "`sources.logs`: expected a table, found the integer 1"),
        ("sources={}", "the pipeline has no source"),
        ("parsers.events.plugin=a/b.wasm", "\"a/b.wasm\" is a path, not the bare name of a plugin"),
        (
            "parsers.events.plugin=1",
            "`parsers.events.plugin`: expected a string or a table, found the integer 1",
        ),
        ("parsers.events.plugin={}", "missing key `path` in `parsers.events.plugin`"),
        (
            "parsers.events.plugin={ path = \"x\", name = \"y\" }",
            "`path` and `name` exclude each other in `parsers.events.plugin`",
        ),
        (
            "parsers.events.plugin={ path = \"x\", sha256 = \"zz\" }",
            "`sha256` is not a SHA-256 digest",
        ),
        (
            "parsers.events.plugin={ path = \"x\", limits = { memory = \"1 B\" } }",
            "`memory` is out of range: 1 B",
        ),
        ("parsers.events.event_time=", "`event_time` is empty"),
        ("parsers.events.inputs=[]", "unknown key `inputs` in `parsers.events`"),
        (
            "streams.s={ input = \"a\", inputs = [\"b\"] }",
            "`input` and `inputs` exclude each other in `streams.s`",
        ),
        ("streams.s={ inputs = [] }", "`inputs` is empty in `streams.s`"),
        ("streams.s={ inputs = [\"a\", \"a\"] }", "the input `a` is given twice"),
        ("streams.s={}", "missing key `input` in `streams.s`"),
        (
            "streams.s={ input = \"a\", unnest = { a = \"x\", b = \"y\" } }",
            "`unnest` takes one column, found 2",
        ),
        ("streams.s={ input = \"a\", select = [] }", "`streams.s.select` keeps no column"),
        ("streams.s={ input = \"a\", select = [\"a\", \"a\"] }", "the column `a` is given twice"),
        (
            "streams.s={ input = \"a\", derive = { a = \" \" } }",
            "`streams.s.derive.a`: expected an SQL expression, found an empty string",
        ),
        ("streams.s={ input = \"a\", derive = { \"\" = \"1\" } }", "a column name is empty"),
        (
            "streams.s={ input = \"a\", where = true }",
            "`streams.s.where`: expected an SQL expression as a string, found the boolean true",
        ),
        ("windows.w.tumbling=0s", "`tumbling` is out of range: 0s"),
        ("windows.w.count=5", "`tumbling` and `count` exclude each other in `windows.w`"),
        ("windows.w.offset=1 minute", "`offset` is not shorter than the size"),
        ("windows.w.aggregate={}", "`windows.w.aggregate` is empty"),
        ("windows.w.group_by=[\"total\"]", "two columns of the result are called `total`"),
        ("windows.w.trigger=1s", "`trigger` has no meaning with output = \"append\""),
        (
            "windows.w={ input = \"events\", tumbling = \"1s\", aggregate = { n = \"count(*)\" }, output = \"update\", allowed_lateness = \"1s\" }",
            "`allowed_lateness` has no meaning with output = \"update\" or \"complete\"",
        ),
        (
            "windows.w={ input = \"events\", session = { gap = \"1s\" }, aggregate = { n = \"count(*)\" }, allowed_lateness = \"1s\" }",
            "`allowed_lateness` has no meaning with session, count and global windows",
        ),
        (
            "windows.w={ input = \"events\", count = 0, aggregate = { n = \"count(*)\" } }",
            "`count` is out of range: 0",
        ),
        (
            "windows.w={ input = \"events\", global = false, aggregate = { n = \"count(*)\" } }",
            "`global = false` chooses no window",
        ),
        (
            "windows.w={ input = \"events\", count = 1, offset = \"1s\", aggregate = { n = \"count(*)\" } }",
            "`offset` has no meaning but with tumbling and sliding windows",
        ),
        (
            "windows.w={ input = \"events\", sliding = { size = \"1s\" }, aggregate = { n = \"count(*)\" } }",
            "missing key `slide` in `windows.w.sliding`",
        ),
        (
            "windows.w={ input = \"events\", sliding = { size = \"1s\", slide = \"2s\" }, aggregate = { n = \"count(*)\" } }",
            "`slide` is longer than `size`: rows between windows would be lost",
        ),
        (
            "windows.w={ input = \"events\", sliding = { size = \"1h\", slide = \"1ms\" }, aggregate = { n = \"count(*)\" } }",
            "`slide` is too short: every row would be in 3600000 windows",
        ),
        (
            "windows.w={ input = \"events\", session = {}, aggregate = { n = \"count(*)\" } }",
            "missing key `gap` in `windows.w.session`",
        ),
        (
            "windows.w={ input = \"events\", aggregate = { n = \"count(*)\" } }",
            "`windows.w` does not say which window it is",
        ),
        (
            "windows.w={ input = \"events\", tumbling = \"1s\" }",
            "missing key `aggregate` in `windows.w`",
        ),
        ("rules.r.plugin=z", "`when` and `plugin` exclude each other in `rules.r`"),
        ("rules.r={ input = \"w\" }", "`rules.r` has no condition"),
        ("rules.r.config={}", "`config` has no meaning with `when`"),
        ("rules.r.state_ttl=1s", "`state_ttl` has no meaning with `when`"),
        ("rules.r.severity=bad", "`rules.r.severity`: unknown value \"bad\""),
        ("rules.r.message=a {b", "bad message template: an opening brace without a closing one"),
        ("rules.r.key=[\"a\", \"a\"]", "the key column `a` is given twice"),
        ("rules.r.order=time", "`rules.r.order`: unknown value \"time\""),
        ("rules.r.revisions=1", "`rules.r.revisions`: expected a boolean, found the integer 1"),
        ("sinks.out.type=fil", "`sinks.out.type`: unknown value \"fil\""),
        ("sinks.out.format=csv", "`sinks.out.format`: unknown value \"csv\""),
        ("sinks.out.truncate=-1", "`truncate` is out of range: -1"),
        ("sinks.out={ input = \"w\" }", "missing key `type` in `sinks.out`"),
        ("sinks.out={ type = \"file\", input = \"w\" }", "missing key `path` in `sinks.out`"),
        (
            "sinks.out={ type = \"file\", input = \"w\", path = \"x\", visible = \"commit\", roll = {} }",
            "`roll` has no meaning with visible = \"commit\"",
        ),
        (
            "sinks.out={ type = \"file\", input = \"w\", path = \"x\", roll = { max_bytes = \"0 B\" } }",
            "`max_bytes` is out of range: 0 B",
        ),
        ("sinks.logs={ type = \"discard\", input = \"w\" }", "the name `logs` is used twice"),
        ("sinks.\"a b\"={ type = \"discard\", input = \"w\" }", "\"a b\" is not a node name"),
        ("tests=[{ name = \"t\", expect = {} }]", "`tests[0]` reads nothing"),
        ("tests=[{ records = [], expect = {} }]", "missing key `name` in `tests[0]`"),
        ("tests=[{ name = \"t\", records = [] }]", "missing key `expect` in `tests[0]`"),
        (
            "tests=[{ name = \"t\", records = [1], expect = {} }]",
            "`tests[0].records[0]`: expected a string or a table, found the integer 1",
        ),
        (
            "tests=[{ name = \"t\", records = [], source = \"log\", expect = {} }]",
            "no source is called `log`",
        ),
        (
            "tests=[{ name = \"t\", records = [], expect = { x = [] } }]",
            "no node has the output `x`",
        ),
        (
            "tests=[{ name = \"t\", records = [], expect = { w = [1] } }]",
            "`expect.w` is not a list of rows",
        ),
        (
            "tests=[{ name = \"t\", records = [], steps = [], expect = {} }]",
            "`records` and `steps` exclude each other in `tests[0]`",
        ),
        (
            "tests=[{ name = \"t\", steps = [{}], expect = {} }]",
            "missing key `watermark` in `tests[0].steps[0]`",
        ),
    ];
    for (argument, message) in cases {
        assert_eq!(bad(SMALL, &[argument]), message, "{argument}");
    }
}

#[test]
fn a_file_that_is_no_text_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.toml");
    let overrides = [];
    let missing = super::load(&path, &overrides).expect_err("missing").to_string();
    assert!(missing.contains("cannot read the pipeline file"), "{missing}");
    std::fs::write(&path, b"name = \"\xff\"\n").expect("written");
    let binary = super::load(&path, &overrides).expect_err("binary").to_string();
    assert!(binary.contains("not UTF-8 text") && binary.contains("p.toml:1:9"), "{binary}");
    std::fs::write(&path, "").expect("written");
    let empty = super::load(&path, &overrides).expect_err("empty").to_string();
    assert!(empty.contains("missing key `name`"), "{empty}");
    assert!(empty.contains("the pipeline has no source"), "{empty}");
    std::fs::write(&path, SMALL).expect("written");
    let loaded = super::load(&path, &overrides).expect("good");
    let SourceKind::File(file) = &loaded.pipeline.sources[0].config.kind else { panic!() };
    assert_eq!(values(&file.paths), [folder.path().join("app.log")], "relative to the file");
}

#[test]
fn the_schema_describes_every_key() {
    fn walk(value: &serde_json::Value, path: &str, missing: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(object) => {
                // A key may be called `properties` too.
                if object.get("type") == Some(&json!("object"))
                    && let Some(properties) =
                        object.get("properties").and_then(|all| all.as_object())
                {
                    assert_eq!(object["additionalProperties"], json!(false), "{path}");
                    for (key, property) in properties {
                        if key != "type" && property.get("description").is_none() {
                            missing.push(format!("{path}.{key}"));
                        }
                    }
                }
                object
                    .iter()
                    .for_each(|(key, value)| walk(value, &format!("{path}/{key}"), missing));
            }
            serde_json::Value::Array(items) => {
                items.iter().for_each(|item| walk(item, path, missing));
            }
            serde_json::Value::String(text) => assert_ne!(text, "null", "{path}"),
            _ => {}
        }
    }
    let schema = json_schema();
    let mut missing = Vec::new();
    walk(&schema, "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
    assert_eq!(schema["required"], json!(["name"]));
    let kinds = schema["$defs"]["Source"]["oneOf"].as_array().unwrap();
    assert!(kinds.iter().any(|kind| kind["properties"]["type"]["const"] == "file"), "{kinds:#?}");
    assert_eq!(schema["$defs"]["Window"]["required"], json!(["aggregate"]));
}

#[test]
fn the_reference_names_every_key() {
    let page = reference_markdown();
    for key in [
        "`epoch_bytes`",
        "`idle_timeout`",
        "`\"per-file\"`",
        "`max_bytes`",
        "`[[tests.steps]]`",
        "`allowed_lateness`",
    ] {
        assert!(page.contains(key), "{key}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text: String) {
        let _ = parse(&text, Path::new("p.toml"), &[]).map_err(|refused| refused.to_string());
    }

    #[test]
    fn no_cut_or_damaged_file_panics(at in 0..SMALL.len(), byte: char) {
        let mut text = SMALL.to_string();
        text.truncate(at);
        let _ = parse(&text, Path::new("p.toml"), &[]).map_err(|refused| refused.to_string());
        text.push(byte);
        text.push_str(&SMALL[at..]);
        let _ = parse(&text, Path::new("p.toml"), &[]).map_err(|refused| refused.to_string());
    }

    #[test]
    fn no_override_panics(argument: String) {
        let overrides = [argument];
        let _ = parse(SMALL, Path::new("p.toml"), &overrides).map_err(|refused| refused.to_string());
    }
}
