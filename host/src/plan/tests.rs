//! Plans of small pipelines: what is refused, what is warned of, where nodes run.

use std::path::Path;
use std::sync::Arc;

use super::{Edge, NodeId, Place, Plan, Plugins, build, describe};
use crate::config;
use crate::config::model::PluginRef;
use crate::diag::{Diagnostic, SourceFile, Style, render};
use crate::engine::tests::rig::{Built, EVENTS};
use crate::plugin::PluginVersion;

/// No plugin is ever found.
struct Nothing;

impl Plugins for Nothing {
    fn load(&self, plugin: &PluginRef) -> Result<Arc<PluginVersion>, Diagnostic> {
        Err(Diagnostic::error("no such plugin").at(plugin.source.span.clone()))
    }
}

type Planned = Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>>;

fn planned(text: &str, plugins: &dyn Plugins) -> (Planned, SourceFile, Vec<Diagnostic>) {
    let loaded = config::parse(text, Path::new("test.toml"), &[]).unwrap();
    (build(&loaded.pipeline, &loaded.file, plugins), loaded.file, loaded.warnings)
}

fn plan(nodes: &str) -> Plan {
    let (result, ..) = planned(&format!("{EVENTS}{nodes}"), &Built);
    result.unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

fn problems(nodes: &str) -> String {
    let (result, file, _) = planned(&format!("{EVENTS}{nodes}"), &Built);
    render(&result.err().unwrap_or_default(), &file, Style::Plain)
}

const WINDOW: &str = "
[windows.w]
input = \"events\"
tumbling = \"1 minute\"
aggregate = { rows = \"count(*)\" }
";

#[test]
fn what_cannot_run_is_refused_with_its_reason() {
    let over = |input: &str| {
        format!(
            "{WINDOW}\n[windows.x]\ninput = \"{input}\"\ntumbling = \"1 minute\"\n\
             aggregate = {{ n = \"count(*)\" }}\n"
        )
    };
    let update = WINDOW.replace("aggregate", "output = \"update\"\naggregate");
    let cases = [
        (over("events.rejects"), "rejects and late rows do not follow the watermark"),
        (over("w.late"), "rejects and late rows do not follow the watermark"),
        (over("in"), "`in` is a source of raw records; a window reads rows"),
        (over("evnts"), "did you mean `events`?"),
        (over("w.rows"), "a window has no output `rows`"),
        (
            format!("{update}\n[rules.r]\ninput = \"w\"\nwhen = \"rows > 1\"\n"),
            "a rule cannot read a node in update or complete mode",
        ),
        (
            "[streams.a]\ninput = \"b\"\n[streams.b]\ninput = \"a\"\n".to_owned(),
            "nodes read from each other in a circle: b -> a -> b",
        ),
        (
            format!("{WINDOW}[streams.a]\ninputs = [\"events\", \"w\"]\n"),
            "the inputs of `a` differ: column 1 is",
        ),
        (
            "[rules.r]\ninput = \"events\"\nwhen = \"v > 1\"\n\
             [streams.a]\ninput = \"r.rows\"\n"
                .to_owned(),
            "`r` annotates no rows: it is a `when` rule",
        ),
        (
            WINDOW
                .replace("aggregate", "allowed_lateness = \"1 minute\"\naggregate")
                .replace("rows =", "revision ="),
            "`revision` is kept for the number of a window's firing",
        ),
    ];
    for (nodes, expected) in cases {
        let found = problems(&nodes);
        assert!(found.contains(expected), "no {expected:?} for\n{nodes}\nbut\n{found}");
        assert_eq!(found.matches("error: ").count(), 1, "one fault is told once:\n{found}");
    }
}

#[test]
fn late_rows_of_a_table_that_changes_stand_for_themselves() {
    let nodes = format!(
        "{}\n[rules.r]\ninput = \"w.late\"\nwhen = \"v > 1\"\n",
        WINDOW.replace("aggregate", "output = \"update\"\naggregate")
    );
    assert_eq!(problems(&nodes), "");
}

#[test]
fn a_missing_plugin_is_told_once() {
    let nodes = format!("{EVENTS}{WINDOW}[sinks.out]\ninputs = [\"w\"]\ntype = \"discard\"\n");
    let (result, file, _) = planned(&nodes, &Nothing);
    let text = render(&result.err().unwrap(), &file, Style::Plain);
    assert_eq!(text.matches("error: ").count(), 1, "{text}");
}

#[test]
fn warnings_of_file_and_plan_do_not_repeat_each_other() {
    let sink = "[sinks.out]\ninputs = [\"w\"]\ntype = \"discard\"\n";
    let unread = "[streams.s]\ninput = \"events\"\n";
    let keyed = "[rules.r]\ninput = \"events\"\nkey = [\"k\"]\nplugin = \"threshold\"\n\
                 config = { column = \"v\", bands = [{ value = 1 }] }\n\
                 [sinks.alerts]\ninputs = [\"r\"]\ntype = \"discard\"\n";
    let cases: [(&str, String, &[&str]); 5] = [
        ("nothing", format!("{EVENTS}{WINDOW}{sink}"), &[]),
        ("no sink", format!("{EVENTS}{WINDOW}"), &["no sink"]),
        ("unread", format!("{EVENTS}{WINDOW}{unread}{sink}"), &["nothing reads stream `s`"]),
        ("no state_ttl", format!("{EVENTS}{WINDOW}{sink}{keyed}"), &["for ever"]),
        (
            "followed, without event time",
            format!("{EVENTS}{WINDOW}{sink}")
                .replace("type = \"stdin\"", "type = \"file\"\npath = \"x\"\nfollow = true")
                .replace("event_time = \"t\"\n", ""),
            &["no idle_timeout", "names no event_time"],
        ),
    ];
    for (what, text, expected) in cases {
        let (result, _, mut warnings) = planned(&text, &Built);
        let (_, more) = result.unwrap_or_else(|problems| panic!("{what}: {problems:#?}"));
        warnings.extend(more);
        let found: Vec<&str> = warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{what}: {found}");
        }
    }
}

fn id(plan: &Plan, name: &str) -> NodeId {
    NodeId(plan.nodes.iter().position(|node| node.name == name).unwrap())
}

#[test]
fn rows_are_taken_where_they_are() {
    let plan = plan(&format!(
        "{WINDOW}
[streams.on_rows]
input = \"events\"
[streams.on_rejects]
input = \"events.rejects\"
[streams.on_late]
input = \"w.late\"
[streams.on_results]
input = \"w\"
[windows.on_both]
inputs = [\"events\", \"on_rows\"]
global = true
aggregate = {{ n = \"count(*)\" }}
[rules.when_rejected]
input = \"events.rejects\"
when = \"true\"
[rules.when_row]
input = \"events\"
when = \"true\"
[rules.plugin]
input = \"events\"
plugin = \"threshold\"
config = {{ column = \"v\", bands = [{{ value = 1 }}] }}
[sinks.out]
inputs = [\"events\"]
type = \"discard\"
"
    ));
    let cases = [
        ("on_rows", Place::Worker),
        ("w", Place::Worker),
        ("on_both", Place::Worker),
        ("when_row", Place::Worker),
        ("on_rejects", Place::Owner),
        ("on_late", Place::Owner),
        ("on_results", Place::Owner),
        ("when_rejected", Place::Owner),
        ("plugin", Place::Owner),
        ("out", Place::Owner),
    ];
    for (name, expected) in cases {
        let reader = id(&plan, name);
        let edges: &[Edge] = &plan.node(reader).inputs;
        assert!(!edges.is_empty());
        for edge in edges {
            assert_eq!(plan.taken_at(reader, edge), expected, "{name}");
        }
    }
    for (index, node) in plan.nodes.iter().enumerate() {
        let before = node.inputs.iter().all(|edge| edge.node.0 < index);
        assert!(before, "{} comes after what it reads", node.name);
    }
}

#[test]
fn several_inputs_may_be_null_where_one_may() {
    let plan = plan(
        "
[streams.narrow]
input = \"events\"
derive = { w = \"v + 1\" }
[streams.wide]
input = \"events\"
derive = { w = \"v + 2\", t = \"case when v > 1 then t end\" }
[streams.both]
inputs = [\"narrow\", \"wide\"]
",
    );
    let node = plan.node(id(&plan, "both"));
    let t = |schema: &arrow::datatypes::Schema| schema.field_with_name("t").unwrap().is_nullable();
    assert!(!t(&plan.node(id(&plan, "narrow")).schema), "t is required");
    assert!(t(&node.input) && t(&node.schema));
}

#[test]
fn check_tells_what_runs() {
    let plan = plan(&format!(
        "{}
[streams.s]
input = \"w\"
where = \"rows > 1\"
[rules.r]
input = \"s\"
key = [\"k\"]
plugin = \"zscore\"
order = \"event_time\"
state_ttl = \"1 day\"
config = {{ column = \"rows\" }}
[sinks.out]
inputs = [\"r\"]
type = \"discard\"
",
        WINDOW
            .replace("aggregate", "group_by = [\"k\"]\nallowed_lateness = \"1 minute\"\naggregate")
    ));
    let text = describe(&plan);
    for part in [
        "from     stdin",
        "time     watermark = latest event time - 1s; never idle",
        "gives    events.rejects: source text not null",
        "window   tumbling, 1m",
        "key      k\n",
        "late     taken for 1m more, and the window is sent again",
        "rows int64, revision int64 not null",
        "gives    w.late: ",
        "where    rows > 1",
        "plugin   zscore",
        "order    event time",
        "state    of a silent key is kept 1d",
        "promises nothing: rows are counted and dropped",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}
