//! Windows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::super::graph::GraphNode;
use super::super::key_path::KeyPath;
use super::super::nodes::{Emits, Named, NodeKind, Place, PlanNode, WindowNode};
use super::Builder;
use super::sql::with_column;
use crate::config::model::{self, OutputMode, WindowKind};
use crate::data::timestamp_type;
use crate::diag::Diagnostic;
use crate::expr;
use crate::rules::{REVISION, WINDOW_END, WINDOW_START};
use crate::window::{Window, WindowSpec};

impl Builder<'_> {
    pub(super) fn window(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
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
                definition: definition(config),
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
}

/// Returns what a window's state depends on. What is computed from results, and which rows take
/// part, can change without harm to the state.
fn definition(config: &model::Window) -> String {
    let sql = |list: &[(String, model::Located<String>)]| {
        list.iter().map(|(name, sql)| format!("{name} = {}", sql.value)).collect::<Vec<_>>()
    };
    let model::Window { kind, output, allowed_lateness_us, .. } = config;
    let (keys, aggregates) = (sql(&config.group_by), sql(&config.aggregate));
    format!("{kind:?} {output:?} lateness {allowed_lateness_us} by {keys:?} of {aggregates:?}")
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
