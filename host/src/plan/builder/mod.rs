//! Builds the nodes of a plan, one after the other, each against the schemas of those before it.

mod input;
mod rows;
mod rule;
mod sql;
mod window;

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::graph::{Graph, GraphNode, NodeId, Port, Role, resolve};
use super::nodes::{Emits, NodeKind, Place, Plan, PlanNode, RuleBody, SinkNode, SourceNode};
use crate::config::model::{Pipeline, PluginRef};
use crate::data::SourceId;
use crate::diag::{Diagnostic, SourceFile};
use crate::plugin::{PluginError, PluginVersion};
use crate::sinks::{self, SinkInput};

/// Where plugins come from. The plan asks; the runtime loads.
pub trait Plugins {
    /// Returns the plugin that a node names.
    ///
    /// # Errors
    /// A diagnostic that says where the plugin was looked for, or what is wrong with it.
    fn load(&self, plugin: &PluginRef) -> Result<Arc<PluginVersion>, Diagnostic>;
}

/// Builds a plan, and returns warnings beside it.
///
/// # Errors
/// Every problem of the pipeline that can be found: a node whose input is broken is left out, and
/// what reads it too, so that one fault is told once.
pub fn build(
    pipeline: &Pipeline,
    file: &SourceFile,
    plugins: &dyn Plugins,
) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let Graph { nodes: graph, problems } = resolve(pipeline);
    let mut builder = Builder {
        pipeline,
        file,
        plugins,
        graph: &graph,
        done: Vec::with_capacity(graph.len()),
        problems,
        warnings: Vec::new(),
    };
    for node in &graph {
        let built = if node.broken { None } else { builder.node(node) };
        builder.done.push(built);
    }
    builder.warn_about_unread();
    if !builder.problems.is_empty() {
        return Err(builder.problems);
    }
    let nodes: Vec<PlanNode> = builder.done.into_iter().flatten().collect();
    let mut sources: Vec<(SourceId, NodeId)> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        if let NodeKind::Source(source) = &node.kind {
            sources.push((source.id, NodeId(index)));
        }
    }
    sources.sort();
    let plan = Plan {
        name: pipeline.name.clone(),
        engine: pipeline.engine.clone(),
        dead_letters: pipeline.dead_letters.clone(),
        state: pipeline.state.clone(),
        admin: pipeline.admin,
        nodes,
        sources: sources.into_iter().map(|(_, node)| node).collect(),
    };
    Ok((plan, builder.warnings))
}

/// A rule's body, and the schemas of its alerts and annotated rows.
type BuiltRule = (RuleBody, SchemaRef, Option<SchemaRef>);

struct Builder<'a> {
    pipeline: &'a Pipeline,
    file: &'a SourceFile,
    plugins: &'a dyn Plugins,
    graph: &'a [GraphNode],
    /// None: the node could not be built, and its problem is told.
    done: Vec<Option<PlanNode>>,
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

/// What a node's rows look like, and what their readers must know.
struct Input {
    schema: SchemaRef,
    place: Place,
    emits: Emits,
    sources: Vec<SourceId>,
    /// Rejects and late rows do not follow the watermark.
    timeless: bool,
}

impl Builder<'_> {
    fn node(&mut self, node: &GraphNode) -> Option<PlanNode> {
        match node.role {
            Role::Source(index) => self.source(node, index),
            Role::Parser(index) => self.parser(node, index),
            Role::Transform(index) => self.transform(node, index),
            Role::Stream(index) => self.stream(node, index),
            Role::Window(index) => self.window(node, index),
            Role::Rule(index) => self.rule(node, index),
            Role::Sink(index) => self.sink(node, index),
        }
    }

    fn source(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
        let config = self.pipeline.sources.get(index)?.config.clone();
        let id = SourceId(u32::try_from(index).ok()?);
        Some(PlanNode {
            name: node.name.clone(),
            kind: NodeKind::Source(SourceNode { id, config }),
            inputs: Vec::new(),
            input: Arc::new(Schema::empty()),
            schema: Arc::new(Schema::empty()),
            secondary: None,
            sources: vec![id],
            place: Place::Worker,
            emits: Emits::Rows,
        })
    }

    fn sink(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
        let config = self.pipeline.sinks.get(index)?.config.kind.clone();
        let mut inputs: Vec<SinkInput> = Vec::with_capacity(node.inputs.len());
        let mut sources: Vec<SourceId> = Vec::new();
        for edge in &node.inputs {
            let input = self.edge(edge)?;
            sources.extend(input.sources);
            let from = self.graph.get(edge.node.0).map_or("", |node| node.name.as_str());
            let node = format!("{from}{}", edge.port.suffix());
            inputs.push(SinkInput { node, schema: input.schema });
        }
        sources.sort();
        sources.dedup();
        let problems = sinks::check(&config, &inputs);
        for problem in &problems {
            let at = inputs.iter().position(|input| input.node == problem.input());
            let edge = at.and_then(|index| node.inputs.get(index));
            let span = edge.map_or(&node.span, |edge| &edge.span);
            self.problems.push(
                Diagnostic::error(problem.to_string()).at(span.clone()).help(problem.remedy()),
            );
        }
        problems.is_empty().then(|| PlanNode {
            name: node.name.clone(),
            kind: NodeKind::Sink(SinkNode { config, inputs }),
            inputs: node.inputs.clone(),
            input: Arc::new(Schema::empty()),
            schema: Arc::new(Schema::empty()),
            secondary: None,
            sources,
            place: Place::Owner,
            emits: Emits::Rows,
        })
    }

    fn is_read(&self, node: &GraphNode, port: Port) -> bool {
        self.graph.iter().any(|reader| {
            reader.inputs.iter().any(|edge| {
                edge.port == port
                    && self.graph.get(edge.node.0).is_some_and(|from| from.name == node.name)
            })
        })
    }

    fn load(&mut self, plugin: &PluginRef) -> Option<Arc<PluginVersion>> {
        match self.plugins.load(plugin) {
            Ok(version) => Some(version),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// Takes a plugin that was loaded and configured, or tells why it does not do for this node.
    fn configured<T>(
        &mut self,
        plugin: &PluginRef,
        settings: &Range<usize>,
        result: Result<T, PluginError>,
    ) -> Option<T> {
        let error = match result {
            Ok(configured) => return Some(configured),
            Err(error) => error,
        };
        let about_settings = matches!(error, PluginError::Config { .. }) && *settings != (0..0);
        let span = if about_settings { settings } else { &plugin.source.span };
        let mut problem = Diagnostic::error(error.to_string()).at(span.clone());
        problem.help.extend(error.help());
        self.problems.push(problem);
        None
    }

    /// A node that nobody reads does its work for nothing. In a pipeline without sinks that is
    /// known already.
    fn warn_about_unread(&mut self) {
        if self.pipeline.sinks.is_empty() {
            return;
        }
        for (index, node) in self.graph.iter().enumerate() {
            let read =
                self.graph.iter().any(|other| other.inputs.iter().any(|edge| edge.node.0 == index));
            if !read && !matches!(node.role, Role::Sink(_)) {
                self.warnings.push(
                    Diagnostic::warning(format!(
                        "nothing reads {} `{}`",
                        node.role.word(),
                        node.name
                    ))
                    .at(node.span.clone())
                    .help("add it to the `inputs` of a sink, or take it out"),
                );
            }
        }
    }
}
