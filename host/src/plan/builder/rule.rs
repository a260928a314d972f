//! Rules: conditions and plugins.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::super::graph::{GraphNode, Port};
use super::super::key_path::KeyPath;
use super::super::nodes::{Emits, NodeKind, Place, PlanNode, RuleBody, RuleNode};
use super::{Builder, BuiltRule};
use crate::config::model::{self, Located, PluginRef};
use crate::diag::Diagnostic;
use crate::rules::{
    AlertSettings, KeyedRule, KeyedSettings, MessageTemplate, RuleError, RulePlan, TemplateError,
    WhenRule,
};

impl Builder<'_> {
    pub(super) fn rule(&mut self, node: &GraphNode, index: usize) -> Option<PlanNode> {
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
                definition: definition(config),
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
        let plugin = version.rule(&settings.value.to_string(), schema);
        let plugin = self.configured(reference, &settings.span, plugin)?;
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
}

/// Returns what a rule's state depends on. What the plugin's own state means is its affair: it has
/// a state version.
fn definition(config: &model::Rule) -> String {
    let key: Vec<&str> = config.key.iter().map(|column| column.value.as_str()).collect();
    let kind = match &config.kind {
        model::RuleKind::When(_) => "when",
        model::RuleKind::Plugin { .. } => "plugin",
    };
    format!("{kind} {:?} by {key:?}", config.order)
}

/// Returns the names of columns by their numbers.
fn column_names(schema: &Schema, columns: &[usize]) -> Vec<String> {
    let name = |&index: &usize| schema.fields().get(index).map(|field| field.name().clone());
    columns.iter().filter_map(name).collect()
}
