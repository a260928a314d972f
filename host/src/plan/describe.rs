//! The plan in words, as `millstream check` prints it.

use std::fmt::Write as _;

use arrow::datatypes::Schema;

use super::graph::Port;
use super::guarantee::guarantees;
use super::nodes::{Named, NodeKind, Plan, PlanNode, RuleBody, RuleNode, SourceNode, WindowNode};
use crate::config::model::{
    KafkaSink, KafkaSource, KafkaTopic, KafkaTopics, OutputMode, RowOrder, SinkKind, SourceKind,
    WindowKind,
};
use crate::config::units::format_duration_us;
use crate::expr::type_name;
use crate::sinks;

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
            NodeKind::Parser(_) => Port::Rejects,
            NodeKind::Window(_) => Port::Late,
            NodeKind::Rule(_) => Port::Rows,
            _ => continue,
        };
        if let Some(schema) = &node.secondary {
            let _ = writeln!(out, "  gives    {}{}: {}", node.name, port.suffix(), columns(schema));
        }
    }
    let _ = writeln!(out, "\ncommits and delivery");
    for line in guarantees(plan) {
        let _ = writeln!(out, "  {line}");
    }
    out
}

fn details(node: &PlanNode) -> Vec<String> {
    match &node.kind {
        NodeKind::Source(source) => source_lines(source),
        NodeKind::Parser(parser) => {
            let time = parser
                .event_time
                .and_then(|index| node.schema.fields().get(index))
                .map_or("the time of receipt".to_owned(), |field| field.name().clone());
            vec![plugin_line(parser.plugin.version()), format!("time     {time}")]
        }
        NodeKind::Transform(transform) => vec![plugin_line(transform.plugin.version())],
        NodeKind::Stream(stream) => {
            let mut lines = Vec::new();
            if let Some((name, list)) = &stream.unnest {
                lines.push(format!("unnest   {name} = {}", list.sql()));
            }
            lines.extend(named("derive", &stream.derive));
            lines.extend(stream.filter.iter().map(|filter| format!("where    {}", filter.sql())));
            lines.extend(named("select", stream.select.as_deref().unwrap_or_default()));
            lines
        }
        NodeKind::Window(window) => window_lines(window),
        NodeKind::Rule(rule) => rule_lines(rule),
        NodeKind::Sink(sink) => {
            let to = match &sink.config {
                SinkKind::Kafka(sink) => kafka_sink(sink),
                SinkKind::Console(_) => "console".into(),
                SinkKind::File(file) => file.path.display().to_string(),
                SinkKind::Discard => "nowhere".into(),
            };
            vec![format!("to       {to}"), format!("promises {}", sinks::promise(&sink.config))]
        }
    }
}

fn named(what: &str, columns: &[Named]) -> Vec<String> {
    let line = |(name, sql): &Named| match sql.sql().trim_matches('"') {
        same if same == name => format!("{what:<8} {name}"),
        _ => format!("{what:<8} {name} = {}", sql.sql()),
    };
    columns.iter().map(line).collect()
}

fn kafka_source(source: &KafkaSource) -> String {
    let topics = match &source.topics {
        KafkaTopics::Named(names) => {
            let names: Vec<&str> = names.iter().map(|name| name.value.as_str()).collect();
            names.join(", ")
        }
        KafkaTopics::Pattern(pattern) => format!("topics that match {}", pattern.value),
    };
    let bounded = if source.bounded { ", up to what is there" } else { "" };
    format!("kafka {}: {topics}{bounded}", source.connection.brokers.value)
}

fn kafka_sink(sink: &KafkaSink) -> String {
    let topic = match &sink.topic {
        KafkaTopic::Fixed(name) => name.value.clone(),
        KafkaTopic::Column(column) => format!("the topic in column {}", column.value),
    };
    format!("kafka {}: {topic}", sink.connection.brokers.value)
}

fn source_lines(source: &SourceNode) -> Vec<String> {
    let what = match &source.config.kind {
        SourceKind::Kafka(source) => kafka_source(source),
        SourceKind::File(file) => {
            let paths: Vec<String> =
                file.paths.iter().map(|path| path.value.display().to_string()).collect();
            let followed = if file.follow { ", followed" } else { "" };
            format!("file{followed}: {}", paths.join(", "))
        }
        SourceKind::Directory(directory) => {
            let watched = if directory.watch { ", watched" } else { "" };
            let path = directory.path.value.display();
            format!("directory{watched}: {path}/{}", directory.pattern)
        }
        SourceKind::Stdin => "stdin".into(),
        SourceKind::Rate(rate) => format!("rate: {} rows a second", rate.rows_per_second),
        SourceKind::Generator(_) => "generator".into(),
    };
    let watermark = &source.config.watermark;
    let delay = format_duration_us(watermark.delay_us);
    let mut time = format!("time     watermark = latest event time - {delay}");
    match watermark.idle_timeout_us {
        Some(us) => time.push_str(&format!("; idle after {}", format_duration_us(us))),
        None => time.push_str("; never idle"),
    }
    if let Some(us) = watermark.max_ahead_us {
        let ahead = format_duration_us(us);
        time.push_str(&format!("; more than {ahead} ahead of the clock is refused"));
    }
    if let Some(us) = watermark.max_drift_us {
        let drift = format_duration_us(us);
        time.push_str(&format!("; who is more than {drift} ahead of the slowest waits"));
    }
    vec![format!("from     {what}"), time]
}

fn window_lines(window: &WindowNode) -> Vec<String> {
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
        WindowKind::Session { gap_us } => format!("session, gap {}", format_duration_us(gap_us)),
        WindowKind::Count { rows } => format!("count, {rows} rows of a key"),
        WindowKind::Global => "global".into(),
    };
    let mode = match spec.output {
        OutputMode::Append => "append: each window once, when it closes",
        OutputMode::Update => "update: changed groups, each trigger",
        OutputMode::Complete => "complete: the whole table, each trigger",
    };
    let mut lines = vec![format!("window   {kind}")];
    lines.extend(window.filter.iter().map(|filter| format!("where    {}", filter.sql())));
    lines.extend(named("key", &window.keys));
    lines.extend(named("derive", &window.derive));
    lines.extend(window.having.iter().map(|having| format!("having   {}", having.sql())));
    lines.push(format!("output   {mode}"));
    if window.numbered {
        let allowed = format_duration_us(spec.allowed_lateness_us);
        lines.push(format!("late     taken for {allowed} more, and the window is sent again"));
    }
    lines
}

fn rule_lines(rule: &RuleNode) -> Vec<String> {
    let plugin = match &rule.body {
        RuleBody::When { condition, .. } => return vec![format!("when     {}", condition.sql())],
        RuleBody::Plugin { plugin, .. } => plugin,
    };
    let key =
        if rule.key.is_empty() { "none: all rows share one".into() } else { rule.key.join(", ") };
    let order = match rule.order {
        RowOrder::Arrival => "arrival: the same in every run within a partition, not across them",
        RowOrder::EventTime => "event time: rows wait for the watermark; the same in every run",
    };
    let kept = rule.state_ttl_us.map_or("for ever".into(), format_duration_us);
    let mut lines = vec![plugin_line(plugin.version())];
    lines.push(format!("key      {key}"));
    lines.push(format!("order    {order}"));
    lines.push(format!("state    of a silent key is kept {kept}"));
    if plugin.history() > 0 {
        lines.push(format!("history  the last {} rows of the key", plugin.history()));
    }
    lines
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
