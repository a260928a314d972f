//! Parsers, transforms and streams: what makes rows of records, and rows of rows.

use std::sync::Arc;

use arrow::datatypes::Schema;

use super::super::graph::GraphNode;
use super::super::key_path::KeyPath;
use super::super::nodes::{
    Emits, Named, NodeKind, ParserNode, Place, PlanNode, StreamNode, TransformNode,
};
use super::super::rejects::rejects_schema;
use super::Builder;
use super::sql::{schema_of, with_column};
use crate::config::model::Located;
use crate::data::timestamp_type;
use crate::diag::Diagnostic;
use crate::expr::{self, type_name};

impl Builder<'_> {
    pub(super) fn parser(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
        let config = &self.pipeline.parsers.get(index)?.config;
        let input = node.inputs.first()?;
        let source = self.done.get(input.node.0)?.as_ref()?;
        let NodeKind::Source(source_node) = &source.kind else { return None };
        let (source_id, max_ahead_us) = (source_node.id, source_node.config.watermark.max_ahead_us);
        let version = self.load(&config.plugin)?;
        let plugin = version.parser(&config.config.value.to_string());
        let plugin = self.configured(&config.plugin, &config.config.span, plugin)?;
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

    pub(super) fn transform(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
        let config = &self.pipeline.transforms.get(index)?.config;
        let input = self.input(node)?;
        self.refuse_updates(node, &input);
        let version = self.load(&config.plugin)?;
        let plugin = version.transform(&config.config.value.to_string(), &input.schema);
        let plugin = self.configured(&config.plugin, &config.config.span, plugin)?;
        Some(PlanNode {
            name: node.name.clone(),
            schema: Arc::clone(plugin.schema()),
            kind: NodeKind::Transform(TransformNode { plugin }),
            inputs: node.inputs.clone(),
            input: input.schema,
            secondary: Some(rejects_schema()),
            sources: input.sources,
            place: input.place,
            emits: Emits::Rows,
        })
    }

    pub(super) fn stream(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
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
}
