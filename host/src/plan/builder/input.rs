//! What a node reads: one or several outputs of others, which must look the same.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::super::graph::{Edge, GraphNode, Port};
use super::super::nodes::{Emits, NodeKind, Place, PlanNode, made_at};
use super::{Builder, Input};
use crate::diag::Diagnostic;
use crate::expr::type_name;

impl Builder<'_> {
    /// Returns what a node reads; several inputs must look the same.
    pub(super) fn input(&mut self, node: &GraphNode) -> Option<Input> {
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

    pub(super) fn edge(&mut self, edge: &Edge) -> Option<Input> {
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

    /// A transform, stream or rule over rejects or late rows is as timeless as they are.
    fn is_timeless(&self, node: &PlanNode) -> bool {
        matches!(node.kind, NodeKind::Transform(_) | NodeKind::Stream(_) | NodeKind::Rule(_))
            && node.inputs.iter().any(|edge| {
                matches!(edge.port, Port::Rejects | Port::Late)
                    || self
                        .done
                        .get(edge.node.0)
                        .and_then(Option::as_ref)
                        .is_some_and(|from| self.is_timeless(from))
            })
    }

    pub(super) fn refuse_updates(&mut self, node: &GraphNode, input: &Input) {
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
