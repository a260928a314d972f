//! Builds the nodes of a plan, one after the other, each against the schemas of those before it.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::graph::{Edge, Graph, GraphNode, NodeId, Port, Role, resolve};
use super::key_path::KeyPath;
use super::nodes::{
    Emits, Named, NodeKind, ParserNode, Place, Plan, PlanNode, RuleBody, RuleNode, SinkNode,
    SourceNode, StreamNode, WindowNode, made_at,
};
use super::rejects::rejects_schema;
use crate::config::model::{self, Located, OutputMode, Pipeline, PluginRef, WindowKind};
use crate::data::{SourceId, timestamp_type};
use crate::diag::{Diagnostic, SourceFile};
use crate::expr::{self, Compiled, SqlError, type_name};
use crate::plugin::{ParserPlugin, PluginError, PluginVersion, RulePlugin};
use crate::rules::{
    AlertSettings, KeyedRule, KeyedSettings, MessageTemplate, REVISION, RuleError, RulePlan,
    TemplateError, WINDOW_END, WINDOW_START, WhenRule,
};
use crate::sinks::{self, SinkInput};
use crate::window::{Window, WindowSpec};

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

    fn parser(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
        let config = &self.pipeline.parsers.get(index)?.config;
        let input = node.inputs.first()?;
        let source = self.done.get(input.node.0)?.as_ref()?;
        let NodeKind::Source(source_node) = &source.kind else { return None };
        let (source_id, max_ahead_us) = (source_node.id, source_node.config.watermark.max_ahead_us);
        let version = self.load(&config.plugin)?;
        let plugin: Arc<ParserPlugin> = match version.parser(&config.config.value.to_string()) {
            Ok(plugin) => plugin,
            Err(error) => {
                return self.plugin_problem(&config.plugin, &config.config.span, &error);
            }
        };
        let schema = Arc::clone(plugin.schema());
        let event_time = match &config.event_time {
            None => {
                self.warnings.push(
                    Diagnostic::warning(format!("parser `{}` names no event_time", node.name))
                        .at(node.span.clone())
                        .label("windows go by the time of receipt, and a second run differs")
                        .help("set event_time = \"<a timestamp column>\""),
                );
                None
            }
            Some(column) => Some(self.event_time(node, column, &schema)?),
        };
        Some(PlanNode {
            name: node.name.clone(),
            kind: NodeKind::Parser(ParserNode {
                source: source_id,
                plugin,
                event_time,
                max_ahead_us,
            }),
            inputs: node.inputs.clone(),
            input: Arc::new(Schema::empty()),
            schema,
            secondary: Some(rejects_schema()),
            sources: vec![source_id],
            place: Place::Worker,
            emits: Emits::Rows,
        })
    }

    fn event_time(
        &mut self,
        node: &GraphNode,
        column: &Located<String>,
        schema: &Schema,
    ) -> Option<usize> {
        let path = KeyPath::new(node, "event_time");
        let Ok(index) = schema.index_of(&column.value) else {
            self.unknown_column(path, &column.value, &column.span, schema);
            return None;
        };
        let found = schema.field(index).data_type();
        if *found != timestamp_type() {
            self.problems.push(
                Diagnostic::error(format!(
                    "`{path}` must be a timestamp, and column `{}` is {}",
                    column.value,
                    type_name(found)
                ))
                .at(column.span.clone())
                .help("give the column the type \"timestamp\" in the parser's config"),
            );
            return None;
        }
        Some(index)
    }

    fn stream(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
        let config = &self.pipeline.streams.get(index)?.config;
        let input = self.input(node)?;
        let before = self.problems.len();
        let mut schema = input.schema.clone();
        let mut unnest = None;
        if let Some((name, sql)) = &config.unnest
            && let Some((compiled, element)) =
                self.sql(KeyPath::column(node, "unnest", name), sql, &schema, expr::compile_list)
        {
            schema = with_column(&schema, name, element, true);
            unnest = Some((name.clone(), compiled));
        }
        let derive = self.chain(node, &config.derive, &mut schema);
        let filter = self.condition(KeyPath::new(node, "where"), config.filter.as_ref(), &schema);
        let select = config.select.as_ref().map(|columns| {
            let compiled: Vec<Named> = columns
                .iter()
                .filter_map(|(name, sql)| self.column(node, "select", name, sql, &schema))
                .collect();
            schema = schema_of(&compiled);
            compiled
        });
        (self.problems.len() == before).then(|| PlanNode {
            name: node.name.clone(),
            kind: NodeKind::Stream(StreamNode { unnest, derive, filter, select }),
            inputs: node.inputs.clone(),
            input: input.schema,
            schema,
            secondary: None,
            sources: input.sources,
            place: input.place,
            emits: input.emits,
        })
    }

    fn window(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
        let config = &self.pipeline.windows.get(index)?.config;
        let input = self.input(node)?;
        self.refuse_updates(node, &input);
        if input.timeless && !matches!(config.kind, WindowKind::Global | WindowKind::Count { .. }) {
            self.problems.push(
                Diagnostic::error("rejects and late rows do not follow the watermark")
                    .at(node.inputs.first().map_or(0..0, |edge| edge.span.clone()))
                    .label("a window over time would never know when to close")
                    .help("use global = true with output = \"update\", or count = n"),
            );
        }
        let before = self.problems.len();
        let filter =
            self.condition(KeyPath::new(node, "where"), config.filter.as_ref(), &input.schema);
        let keys: Vec<Named> = config
            .group_by
            .iter()
            .filter_map(|(name, sql)| self.column(node, "group_by", name, sql, &input.schema))
            .collect();
        let mut aggregates = Vec::with_capacity(config.aggregate.len());
        for (name, sql) in &config.aggregate {
            let path = KeyPath::column(node, "aggregate", name);
            if let Some(call) = self.sql(path, sql, &input.schema, expr::compile_aggregate) {
                aggregates.push((name.clone(), call));
            }
        }
        self.refuse_clashes(config);
        if self.problems.len() != before {
            return None;
        }
        let spec = WindowSpec {
            kind: config.kind,
            output: config.output,
            trigger_us: config.trigger_us,
            allowed_lateness_us: config.allowed_lateness_us,
            key_names: keys.iter().map(|(name, _)| name.clone()).collect(),
            key_types: keys.iter().map(|(_, key)| key.data_type().clone()).collect(),
            aggregates: aggregates
                .iter()
                .map(|(name, call)| (name.clone(), call.spec.clone()))
                .collect(),
        };
        let window = match Window::new(spec) {
            Ok(window) => Arc::new(window),
            Err(error) => {
                self.problems.push(Diagnostic::error(error.to_string()).at(node.span.clone()));
                return None;
            }
        };
        let mut schema = window.schema();
        let numbered = config.allowed_lateness_us > 0;
        if numbered {
            schema = with_column(&schema, REVISION, DataType::Int64, false);
        }
        let derive = self.chain(node, &config.derive, &mut schema);
        let having = self.condition(KeyPath::new(node, "having"), config.having.as_ref(), &schema);
        let late = late_schema(&input.schema);
        (self.problems.len() == before).then(|| PlanNode {
            name: node.name.clone(),
            kind: NodeKind::Window(WindowNode {
                filter,
                keys,
                aggregates,
                window,
                derive,
                having,
                output: config.output,
                numbered,
            }),
            inputs: node.inputs.clone(),
            input: input.schema,
            schema,
            secondary: Some(late),
            sources: input.sources,
            place: Place::Owner,
            emits: if config.output == OutputMode::Append { Emits::Rows } else { Emits::Updates },
        })
    }

    fn rule(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
        let config = &self.pipeline.rules.get(index)?.config;
        let input = self.input(node)?;
        self.refuse_updates(node, &input);
        let before = self.problems.len();
        for column in &config.key {
            if input.schema.index_of(&column.value).is_err() {
                let path = KeyPath::new(node, "key");
                self.unknown_column(path, &column.value, &column.span, &input.schema);
            }
        }
        if self.problems.len() != before {
            return None;
        }
        let built = match &config.kind {
            model::RuleKind::When(sql) => self.when_rule(node, config, sql, &input.schema),
            model::RuleKind::Plugin { plugin, config: settings } => {
                self.plugin_rule(node, config, plugin, settings, &input.schema)
            }
        };
        let (body, alerts, rows) = built?;
        Some(PlanNode {
            name: node.name.clone(),
            kind: NodeKind::Rule(RuleNode {
                body,
                key: config.key.iter().map(|column| column.value.clone()).collect(),
                order: config.order,
                state_ttl_us: config.state_ttl_us,
                revisions: config.revisions,
            }),
            inputs: node.inputs.clone(),
            input: input.schema,
            schema: alerts,
            secondary: rows,
            sources: input.sources,
            place: Place::Owner,
            emits: Emits::Rows,
        })
    }

    fn when_rule(
        &mut self,
        node: &GraphNode,
        config: &model::Rule,
        sql: &Located<String>,
        schema: &SchemaRef,
    ) -> Option<BuiltRule> {
        let condition = self.condition(KeyPath::new(node, "when"), Some(sql), schema);
        let settings = self.alert_settings(node, config, schema, None)?;
        match WhenRule::new(settings, &sql.value, config.revisions) {
            Ok(rule) => {
                let condition = condition?;
                let alerts = Arc::clone(rule.alert_schema());
                Some((RuleBody::When { condition, rule: Box::new(rule) }, alerts, None))
            }
            Err(error) => self.rule_problem(node, config, &error),
        }
    }

    fn plugin_rule(
        &mut self,
        node: &GraphNode,
        config: &model::Rule,
        reference: &PluginRef,
        settings: &Located<serde_json::Value>,
        schema: &SchemaRef,
    ) -> Option<BuiltRule> {
        let version = self.load(reference)?;
        let plugin: Arc<RulePlugin> = match version.rule(&settings.value.to_string(), schema) {
            Ok(plugin) => plugin,
            Err(error) => return self.plugin_problem(reference, &settings.span, &error),
        };
        let id = version.id();
        let label = format!("{} {}", id.name, id.version);
        let settings = KeyedSettings {
            alerts: self.alert_settings(node, config, schema, Some(label))?,
            plan: RulePlan {
                attributes: Arc::clone(plugin.attributes()),
                history: plugin.history(),
                history_columns: column_names(schema, plugin.history_columns()),
            },
            state_ttl_us: config.state_ttl_us,
            order: config.order,
            revisions: config.revisions,
            call_rows: self.pipeline.engine.batch_rows,
            annotate: self.is_read(node, Port::Rows),
        };
        match KeyedRule::new(settings) {
            Ok(rule) => {
                let alerts = Arc::clone(rule.alert_schema());
                let rows = Arc::clone(rule.rows_schema());
                Some((RuleBody::Plugin { plugin, rule: Box::new(rule) }, alerts, Some(rows)))
            }
            Err(error) => self.rule_problem(node, config, &error),
        }
    }

    fn alert_settings(
        &mut self,
        node: &GraphNode,
        config: &model::Rule,
        schema: &SchemaRef,
        plugin_version: Option<String>,
    ) -> Option<AlertSettings> {
        let mut message = None;
        if let Some(text) = &config.message {
            match MessageTemplate::parse(&text.value) {
                Ok(template) => message = Some(template),
                Err(error) => return self.template_problem(node, text, &error),
            }
        }
        Some(AlertSettings {
            pipeline: self.pipeline.name.clone(),
            rule: node.name.clone(),
            input: Arc::clone(schema),
            key: config.key.iter().map(|column| column.value.clone()).collect(),
            severity: config.severity,
            message,
            plugin_version,
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

    /// Returns what a node reads; several inputs must look the same.
    fn input(&mut self, node: &GraphNode) -> Option<Input> {
        let mut all: Option<Input> = None;
        for edge in &node.inputs {
            let next = self.edge(edge)?;
            let Some(first) = &mut all else {
                all = Some(next);
                continue;
            };
            if let Some(difference) = difference(&first.schema, &next.schema) {
                self.problems.push(
                    Diagnostic::error(format!(
                        "the inputs of `{}` differ: {difference}",
                        node.name
                    ))
                    .at(edge.span.clone())
                    .help("bring them to one shape with a [streams.*] `select` each"),
                );
                return None;
            }
            first.schema = with_nulls_of_both(&first.schema, &next.schema);
            if next.place == Place::Owner {
                first.place = Place::Owner;
            }
            if next.emits == Emits::Updates {
                first.emits = Emits::Updates;
            }
            first.timeless |= next.timeless;
            first.sources.extend(next.sources);
            first.sources.sort();
            first.sources.dedup();
        }
        all
    }

    fn edge(&mut self, edge: &Edge) -> Option<Input> {
        let node = self.done.get(edge.node.0)?.as_ref()?;
        if edge.port != Port::Main && node.secondary.is_none() {
            let name = node.name.clone();
            self.problems.push(
                Diagnostic::error(format!("`{name}` annotates no rows: it is a `when` rule"))
                    .at(edge.span.clone())
                    .help(format!("read what `{name}` reads, with a [streams.*] `derive`")),
            );
            return None;
        }
        let timeless = match edge.port {
            Port::Rejects | Port::Late => true,
            Port::Main | Port::Rows => self.is_timeless(node),
        };
        Some(Input {
            schema: match edge.port {
                Port::Main => node.schema.clone(),
                _ => node.secondary.clone()?,
            },
            place: made_at(node, edge.port),
            // Only results replace each other: late and annotated rows stand for themselves.
            emits: if edge.port == Port::Main { node.emits } else { Emits::Rows },
            sources: node.sources.clone(),
            timeless,
        })
    }

    /// A stream or rule over rejects or late rows is as timeless as they are.
    fn is_timeless(&self, node: &PlanNode) -> bool {
        matches!(node.kind, NodeKind::Stream(_) | NodeKind::Rule(_))
            && node.inputs.iter().any(|edge| {
                matches!(edge.port, Port::Rejects | Port::Late)
                    || self
                        .done
                        .get(edge.node.0)
                        .and_then(Option::as_ref)
                        .is_some_and(|from| self.is_timeless(from))
            })
    }

    fn refuse_updates(&mut self, node: &GraphNode, input: &Input) {
        if input.emits == Emits::Updates {
            self.problems.push(
                Diagnostic::error(format!(
                    "a {} cannot read a node in update or complete mode",
                    node.role.word()
                ))
                .at(node.inputs.first().map_or(0..0, |edge| edge.span.clone()))
                .label("its rows replace each other; they would be counted twice")
                .help("let that window write output = \"append\", or send it to a sink"),
            );
        }
    }

    fn refuse_clashes(&mut self, config: &model::Window) {
        let mut seen: Vec<&str> = vec![WINDOW_START, WINDOW_END];
        for (name, sql) in config.group_by.iter().chain(&config.aggregate).chain(&config.derive) {
            // Kept also where a window has none: rules know it by name.
            let problem = if name == REVISION {
                format!("`{name}` is kept for the number of a window's firing")
            } else if seen.contains(&name.as_str()) {
                format!("two columns of the result are called `{name}`")
            } else {
                seen.push(name);
                continue;
            };
            self.problems.push(
                Diagnostic::error(problem)
                    .at(sql.span.clone())
                    .help("give it another name: { other_name = \"…\" }"),
            );
        }
    }

    /// Compiles a column of a list of names or a table of SQL.
    fn column(
        &mut self,
        node: &GraphNode,
        key: &'static str,
        name: &str,
        sql: &Located<String>,
        schema: &Schema,
    ) -> Option<Named> {
        // In a list the text in the file, with its quotes, is the SQL: a quoted name.
        if self.file.text_at(&sql.span) == sql.value {
            if schema.index_of(name).is_err() {
                let path = KeyPath::new(node, key);
                self.unknown_column(path, name, &sql.span, schema);
                return None;
            }
            return Some((
                name.to_owned(),
                self.sql(KeyPath::new(node, key), sql, schema, expr::compile)?,
            ));
        }
        let path = KeyPath::column(node, key, name);
        Some((name.to_owned(), self.sql(path, sql, schema, expr::compile)?))
    }

    /// Compiles columns in order, each seeing those before it, and adds them to the schema.
    fn chain(
        &mut self,
        node: &GraphNode,
        columns: &[(String, Located<String>)],
        schema: &mut SchemaRef,
    ) -> Vec<Named> {
        let mut compiled = Vec::with_capacity(columns.len());
        for (name, sql) in columns {
            let path = KeyPath::column(node, "derive", name);
            if let Some(expression) = self.sql(path, sql, schema, expr::compile) {
                *schema = with_column(schema, name, expression.data_type().clone(), true);
                compiled.push((name.clone(), expression));
            }
        }
        compiled
    }

    fn condition(
        &mut self,
        path: KeyPath<'_>,
        sql: Option<&Located<String>>,
        schema: &Schema,
    ) -> Option<Compiled> {
        self.sql(path, sql?, schema, expr::compile_predicate)
    }

    fn sql<T>(
        &mut self,
        path: KeyPath<'_>,
        sql: &Located<String>,
        schema: &Schema,
        compile: fn(&str, &Schema) -> Result<T, SqlError>,
    ) -> Option<T> {
        match compile(&sql.value, schema) {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                let span = match error.span {
                    Some(part) => self.file.part_of(&sql.span, &sql.value, part),
                    None => sql.span.clone(),
                };
                let message = format!("`{path}`: {}", error.message);
                let mut problem = Diagnostic::error(message).at(span);
                problem.help = error.help;
                self.problems.push(problem);
                None
            }
        }
    }

    fn unknown_column(
        &mut self,
        path: KeyPath<'_>,
        name: &str,
        span: &Range<usize>,
        schema: &Schema,
    ) {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        self.problems.push(
            Diagnostic::error(format!("`{path}`: unknown column `{name}`"))
                .at(span.clone())
                .suggest(name, "its columns", names),
        );
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

    /// Tells of a plugin that was loaded and does not do for this node.
    fn plugin_problem<T>(
        &mut self,
        plugin: &PluginRef,
        settings: &Range<usize>,
        error: &PluginError,
    ) -> Option<T> {
        let about_settings = matches!(error, PluginError::Config { .. }) && *settings != (0..0);
        let span = if about_settings { settings } else { &plugin.source.span };
        let mut problem = Diagnostic::error(error.to_string()).at(span.clone());
        problem.help.extend(error.help());
        self.problems.push(problem);
        None
    }

    fn rule_problem<T>(
        &mut self,
        node: &GraphNode,
        config: &model::Rule,
        error: &RuleError,
    ) -> Option<T> {
        if let (RuleError::Template(error), Some(text)) = (error, &config.message) {
            return self.template_problem(node, text, error);
        }
        let named = error.column();
        let key = config.key.iter().find(|key| Some(key.value.as_str()) == named);
        let span = key.map_or(&node.span, |key| &key.span);
        let mut problem = Diagnostic::error(error.to_string()).at(span.clone());
        if named.is_some() {
            problem = problem.help("name or cast the column otherwise in a stream's `select`");
        }
        self.problems.push(problem);
        None
    }

    fn template_problem<T>(
        &mut self,
        node: &GraphNode,
        text: &Located<String>,
        error: &TemplateError,
    ) -> Option<T> {
        let span = self.file.part_of(&text.span, &text.value, error.span());
        let message = format!("`{}`: {error}", KeyPath::new(node, "message"));
        let mut problem = Diagnostic::error(message).at(span);
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

/// Returns a schema whose columns may be null where those of either schema may.
fn with_nulls_of_both(a: &SchemaRef, b: &Schema) -> SchemaRef {
    let nullable = |(a, b): (&Arc<Field>, &Arc<Field>)| {
        let nullable = a.is_nullable() || b.is_nullable();
        Arc::new(a.as_ref().clone().with_nullable(nullable))
    };
    Arc::new(Schema::new(a.fields().iter().zip(b.fields()).map(nullable).collect::<Vec<_>>()))
}

/// Returns the first difference between two schemas, in words.
fn difference(a: &Schema, b: &Schema) -> Option<String> {
    for (index, field) in a.fields().iter().enumerate() {
        match b.fields().get(index) {
            None => return Some(format!("the first has a column `{}` more", field.name())),
            Some(other) if other.name() != field.name() => {
                return Some(format!(
                    "column {} is `{}` in one and `{}` in the other",
                    index + 1,
                    field.name(),
                    other.name()
                ));
            }
            Some(other) if other.data_type() != field.data_type() => {
                return Some(format!(
                    "column `{}` is {} in one and {} in the other",
                    field.name(),
                    type_name(field.data_type()),
                    type_name(other.data_type())
                ));
            }
            Some(_) => {}
        }
    }
    b.fields()
        .get(a.fields().len())
        .map(|field| format!("the second has a column `{}` more", field.name()))
}

fn with_column(schema: &Schema, name: &str, data_type: DataType, nullable: bool) -> SchemaRef {
    let field = Arc::new(Field::new(name, data_type, nullable));
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    match fields.iter_mut().find(|old| old.name() == name) {
        Some(old) => *old = field,
        None => fields.push(field),
    }
    Arc::new(Schema::new(fields))
}

fn schema_of(columns: &[Named]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, expression)| Field::new(name, expression.data_type().clone(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// The late rows of a window: its input's columns and what became of each row.
fn late_schema(input: &Schema) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = input.fields().iter().cloned().collect();
    let extra = [
        Field::new("source_position", DataType::Int64, false),
        Field::new("watermark", timestamp_type(), false),
        Field::new("windows_dropped", DataType::Int64, false),
        Field::new("windows_kept", DataType::Int64, false),
        Field::new("first_window_dropped", timestamp_type(), true),
        Field::new("last_window_dropped", timestamp_type(), true),
    ];
    fields.extend(extra.into_iter().map(Arc::new));
    Arc::new(Schema::new(fields))
}

/// Returns the names of columns by their numbers.
fn column_names(schema: &Schema, columns: &[usize]) -> Vec<String> {
    let name = |&index: &usize| schema.fields().get(index).map(|field| field.name().clone());
    columns.iter().filter_map(name).collect()
}
