//! The plan in words, as `millstream check` prints it.

use std::fmt::Write as _;

use arrow::datatypes::Schema;

use super::graph::Port;
use super::nodes::{NodeKind, Plan, PlanNode, RuleBody};
use crate::config::model::{OutputMode, SinkKind, SourceKind, WindowKind};
use crate::config::units::format_duration_us;
use crate::expr::type_name;

/// Returns the nodes of a plan with what they read, what they do and the schema of what they give.
pub fn describe(plan: &Plan) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "pipeline {}: {} nodes, {} workers, epochs of {} or {} rows",
        plan.name,
        plan.nodes.len(),
        plan.engine.workers,
        format_duration_us(plan.engine.epoch_us),
        plan.engine.epoch_rows
    );
    for node in &plan.nodes {
        let _ = writeln!(out, "\n{} {}", node.kind.word(), node.name);
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|edge| format!("{}{}", plan.node(edge.node).name, edge.port.suffix()))
            .collect();
        if !inputs.is_empty() {
            let _ = writeln!(out, "  reads    {}", inputs.join(", "));
        }
        for line in details(node) {
            let _ = writeln!(out, "  {line}");
        }
        if !matches!(node.kind, NodeKind::Source(_) | NodeKind::Sink(_)) {
            let _ = writeln!(out, "  gives    {}", columns(&node.schema));
        }
        let port = match node.kind {
            NodeKind::Window(_) => Port::Late,
            NodeKind::Rule(_) => Port::Rows,
            _ => continue,
        };
        if let Some(schema) = &node.secondary {
            let _ = writeln!(out, "  gives    {}{}: {}", node.name, port.suffix(), columns(schema));
        }
    }
    out
}

fn details(node: &PlanNode) -> Vec<String> {
    match &node.kind {
        NodeKind::Source(source) => {
            let what = match &source.config.kind {
                SourceKind::File(file) => {
                    let paths: Vec<String> =
                        file.paths.iter().map(|path| path.value.display().to_string()).collect();
                    format!(
                        "file{}: {}",
                        if file.follow { ", followed" } else { "" },
                        paths.join(", ")
                    )
                }
                SourceKind::Directory(directory) => {
                    format!("directory: {}/{}", directory.path.value.display(), directory.pattern)
                }
                SourceKind::Stdin => "stdin".into(),
                SourceKind::Rate(rate) => format!("rate: {} rows a second", rate.rows_per_second),
                SourceKind::Generator(_) => "generator".into(),
            };
            let watermark = &source.config.watermark;
            let idle = watermark
                .idle_timeout_us
                .map_or("never idle".into(), |us| format!("idle after {}", format_duration_us(us)));
            vec![
                format!("from     {what}"),
                format!(
                    "time     watermark = latest event time - {}; {idle}",
                    format_duration_us(watermark.delay_us)
                ),
            ]
        }
        NodeKind::Parser(parser) => {
            let version = parser.plugin.version();
            let time = parser
                .event_time
                .and_then(|index| node.schema.fields().get(index))
                .map_or("the time of receipt".to_owned(), |field| field.name().clone());
            vec![plugin_line(version), format!("time     {time}")]
        }
        NodeKind::Stream(_) | NodeKind::Sink(_) => sink_line(node).into_iter().collect(),
        NodeKind::Window(window) => {
            let spec = window.window.spec();
            let kind = match spec.kind {
                WindowKind::Tumbling { size_us, .. } => {
                    format!("tumbling, {}", format_duration_us(size_us))
                }
                WindowKind::Sliding { size_us, slide_us, .. } => format!(
                    "sliding, {} every {}",
                    format_duration_us(size_us),
                    format_duration_us(slide_us)
                ),
                WindowKind::Session { gap_us } => {
                    format!("session, gap {}", format_duration_us(gap_us))
                }
                WindowKind::Count { rows } => format!("count, {rows} rows of a key"),
                WindowKind::Global => "global".into(),
            };
            let mode = match spec.output {
                OutputMode::Append => "append: each window once, when it closes",
                OutputMode::Update => "update: changed groups, each trigger",
                OutputMode::Complete => "complete: the whole table, each trigger",
            };
            vec![format!("window   {kind}"), format!("output   {mode}")]
        }
        NodeKind::Rule(rule) => match &rule.body {
            RuleBody::When { condition, .. } => vec![format!("when     {}", condition.sql())],
            RuleBody::Plugin { plugin, .. } => vec![plugin_line(plugin.version())],
        },
    }
}

fn sink_line(node: &PlanNode) -> Option<String> {
    let NodeKind::Sink(sink) = &node.kind else { return None };
    Some(match &sink.config {
        SinkKind::Console(_) => "to       console".into(),
        SinkKind::File(file) => format!("to       {}", file.path.display()),
        SinkKind::Discard => "to       nowhere: rows are counted".into(),
    })
}

fn plugin_line(version: &crate::plugin::PluginVersion) -> String {
    let short: String = version.id().sha256.chars().take(12).collect();
    format!("plugin   {} {} (sha256 {short}…)", version.id().name, version.id().version)
}

fn columns(schema: &Schema) -> String {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let null = if field.is_nullable() { "" } else { " not null" };
            format!("{} {}{null}", field.name(), type_name(field.data_type()))
        })
        .collect();
    columns.join(", ")
}
