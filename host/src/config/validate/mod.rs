//! From what was typed to what it means: ranges, exclusions, defaults.
//!
//! Judges only what the file alone can tell; whether an input exists and what an SQL text means is
//! the plan's affair. Every function reports all it finds and returns `None` when its part of the
//! model cannot be made, which is always reported.

mod admin;
mod kafka;
mod keys;
mod nodes;
mod sources;
mod state;
mod tests;
mod windows;

use std::collections::BTreeMap;
use std::path::Path;

use super::de::Misspelt;
use super::model;
use super::wire::{self, Entries, Field};
use crate::diag::{Diagnostic, SourceFile};
use keys::{Context, Owner};

/// Returns the model; `None` when there are problems that prevent it.
pub(super) fn validate(
    typed: wire::Pipeline,
    file: &SourceFile,
    misspelt: &Misspelt,
    problems: &mut Vec<Diagnostic>,
) -> Option<model::Pipeline> {
    let folder = file.path.parent().unwrap_or(Path::new(""));
    let keeps_state = typed.state.is_some();
    let pipeline = String::new();
    let mut cx = Context { file, folder, misspelt, pipeline, keeps_state, problems };
    let root = Owner { path: String::new(), span: 0..0 };
    let name = cx.required(typed.name, "name", "name = \"log-analysis\"", &root);
    if let Some(name) = &name {
        cx.name("pipeline name", &name.value, &name.span);
        cx.pipeline.clone_from(&name.value);
    }
    let names = node_names(&typed.sources, "sources")
        .chain(node_names(&typed.parsers, "parsers"))
        .chain(node_names(&typed.transforms, "transforms"))
        .chain(node_names(&typed.streams, "streams"))
        .chain(node_names(&typed.windows, "windows"))
        .chain(node_names(&typed.rules, "rules"))
        .chain(node_names(&typed.sinks, "sinks"))
        .collect::<Vec<_>>();
    check_names(&names, &mut cx);
    let has = |kind: &str| names.iter().any(|(_, of, _)| *of == kind);
    let absent = |key: &str, bad: bool| !has(key) && !bad && !misspelt.contains(key);
    if absent("sources", keys::is_bad(&typed.sources)) {
        cx.push(
            Diagnostic::error("the pipeline has no source")
                .help("add one: [sources.logs] with type = \"file\" and path = \"app.log\""),
        );
    }
    if absent("sinks", keys::is_bad(&typed.sinks)) {
        cx.push(
            Diagnostic::warning("the pipeline has no sink: its results go nowhere")
                .help("add one: [sinks.out] with type = \"console\" and input = \"…\""),
        );
    }
    let engine = cx.engine(typed.engine);
    let plugin_dirs = cx.plugin_dirs(typed.plugins);
    let dead_letters = cx.dead_letters(typed.dead_letters);
    let state = cx.state(typed.state, typed.commit);
    let admin = cx.admin(typed.admin);
    let tests = cx.tests(typed.tests, &names);
    let sources =
        nodes("sources", typed.sources, &mut cx, |cx, node, owner| cx.source(node, owner));
    let parsers =
        nodes("parsers", typed.parsers, &mut cx, |cx, node, owner| cx.parser(node, owner));
    let transforms =
        nodes("transforms", typed.transforms, &mut cx, |cx, node, owner| cx.transform(node, owner));
    let streams =
        nodes("streams", typed.streams, &mut cx, |cx, node, owner| cx.stream(node, owner));
    let windows =
        nodes("windows", typed.windows, &mut cx, |cx, node, owner| cx.window(node, owner));
    let rules = nodes("rules", typed.rules, &mut cx, |cx, node, owner| cx.rule(node, owner));
    let sinks = nodes("sinks", typed.sinks, &mut cx, |cx, node, owner| cx.sink(node, owner));
    if let (Some(sources), Some(sinks)) = (&sources, &sinks) {
        cx.kafka_as_a_whole(sources, sinks);
    }
    Some(model::Pipeline {
        name: name?.value,
        engine: engine?,
        plugin_dirs: plugin_dirs?,
        dead_letters: dead_letters?,
        state: state?,
        admin: admin?,
        sources: sources?,
        parsers: parsers?,
        transforms: transforms?,
        streams: streams?,
        windows: windows?,
        rules: rules?,
        sinks: sinks?,
        tests: tests?,
    })
}

/// A node's name, its kind, and where the name stands.
type NodeName = (String, &'static str, std::ops::Range<usize>);

fn node_names<T>(
    nodes: &Option<Field<Entries<T>>>,
    kind: &'static str,
) -> impl Iterator<Item = NodeName> {
    let entries = nodes.iter().filter_map(|field| field.value.as_ref()).flat_map(|all| &all.0);
    entries
        .map(move |(name, _)| (name.text.clone(), kind, name.span.clone()))
        .collect::<Vec<_>>()
        .into_iter()
}

fn check_names(names: &[NodeName], cx: &mut Context<'_>) {
    let mut in_order: Vec<&NodeName> = names.iter().collect();
    in_order.sort_by_key(|(_, _, span)| span.start);
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, kind, span) in in_order {
        cx.name("node name", name, span);
        if let Some(earlier) = first.insert(name, kind) {
            cx.push(
                Diagnostic::error(format!("the name `{name}` is used twice"))
                    .at(span.clone())
                    .label(format!("already the name of `{earlier}.{name}`"))
                    .help("node names are unique across all kinds; rename one of the two"),
            );
        }
    }
}

fn nodes<T, M>(
    kind: &str,
    typed: Option<Field<Entries<T>>>,
    cx: &mut Context<'_>,
    convert: impl Fn(&mut Context<'_>, T, &Owner) -> Option<M>,
) -> Option<Vec<model::Node<M>>> {
    let Some(field) = typed else { return Some(Vec::new()) };
    let mut all = Some(Vec::new());
    for (name, node) in field.value?.0 {
        let path = format!("{kind}.{}", super::tree::quoted(&name.text));
        let owner = Owner { path, span: name.span.clone() };
        match node.value.and_then(|node| convert(cx, node, &owner)) {
            Some(config) => {
                if let Some(all) = &mut all {
                    all.push(model::Node { name: name.text, span: name.span, config });
                }
            }
            None => all = None,
        }
    }
    all
}
