//! A window's specification, checked once, and what all workers share of it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::LENGTH_LIMIT;
use super::aggregate::{Aggregate, make};
use super::error::WindowError;
use super::key_table::{KeyTable, Shard};
use super::slices::Slicing;
use super::state::WindowState;
use super::values::Kind;
use crate::config::model::{OutputMode, WindowKind};
use crate::data::timestamp_type;
use crate::expr::AggregateSpec;

/// What a window is to compute. Filters and arguments were evaluated before.
#[derive(Clone, Debug)]
pub struct WindowSpec {
    /// Which rows belong together.
    pub kind: WindowKind,
    /// What is emitted when.
    pub output: OutputMode,
    /// Processing time between two outputs of update and complete mode; none: each advance.
    pub trigger_us: Option<i64>,
    /// How long after its end a window takes rows.
    pub allowed_lateness_us: i64,
    /// Names of the key columns in the result.
    pub key_names: Vec<String>,
    /// Types of the key columns.
    pub key_types: Vec<DataType>,
    /// Output columns and what they hold.
    pub aggregates: Vec<(String, AggregateSpec)>,
}

/// A checked window. Workers share it and combine batches with it.
#[derive(Debug)]
pub struct Window {
    pub(super) spec: WindowSpec,
    schema: SchemaRef,
    pub(super) key_kinds: Vec<Kind>,
    /// For tumbling and sliding windows.
    pub(super) slicing: Option<Slicing>,
    aggregates: Vec<Box<dyn Aggregate>>,
}

fn within(setting: &'static str, value: i64, least: i64) -> Result<(), WindowError> {
    if (least..=LENGTH_LIMIT).contains(&value) {
        return Ok(());
    }
    Err(WindowError::Setting { setting, value, least, most: LENGTH_LIMIT })
}

impl Window {
    /// Checks a specification.
    ///
    /// # Errors
    /// When a length is out of range, a key or argument has a type that cannot be used, an
    /// aggregate lacks something, or sessions have an allowed lateness.
    pub fn new(spec: WindowSpec) -> Result<Self, WindowError> {
        if spec.key_names.len() != spec.key_types.len() {
            return Err(WindowError::Shape {
                what: "names of key columns",
                expected: spec.key_types.len(),
                found: spec.key_names.len(),
            });
        }
        within("allowed_lateness", spec.allowed_lateness_us, 0)?;
        let slicing = match spec.kind {
            WindowKind::Tumbling { size_us, offset_us } => {
                within("tumbling", size_us, 1)?;
                within("offset", offset_us, -LENGTH_LIMIT)?;
                Some(Slicing::new(size_us, size_us, offset_us))
            }
            WindowKind::Sliding { size_us, slide_us, offset_us } => {
                within("size", size_us, 1)?;
                within("slide", slide_us, 1)?;
                within("offset", offset_us, -LENGTH_LIMIT)?;
                Some(Slicing::new(size_us, slide_us, offset_us))
            }
            WindowKind::Session { gap_us } => {
                within("gap", gap_us, 1)?;
                if spec.allowed_lateness_us > 0 {
                    return Err(WindowError::SessionLateness);
                }
                None
            }
            WindowKind::Count { rows } => {
                within("count", i64::try_from(rows).unwrap_or(i64::MAX), 1)?;
                None
            }
            WindowKind::Global => None,
        };
        let key_kinds = spec
            .key_names
            .iter()
            .zip(&spec.key_types)
            .map(|(name, data_type)| {
                Kind::of(data_type).ok_or_else(|| WindowError::KeyType {
                    name: name.clone(),
                    data_type: data_type.clone(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let aggregates = spec
            .aggregates
            .iter()
            .map(|(name, aggregate)| make(name, aggregate))
            .collect::<Result<Vec<_>, _>>()?;
        let schema = result_schema(&spec);
        Ok(Self { spec, schema, key_kinds, slicing, aggregates })
    }

    /// Returns the schema of results: `window_start` and `window_end` (none for global windows),
    /// keys, aggregates.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Returns the specification.
    pub fn spec(&self) -> &WindowSpec {
        &self.spec
    }

    /// Makes the empty state of one shard.
    pub fn state(self: &Arc<Self>, shard: Shard) -> WindowState {
        WindowState::new(Arc::clone(self), shard)
    }

    /// Returns how many of the first columns of a result are times.
    pub(super) fn time_columns(&self) -> usize {
        if self.spec.kind == WindowKind::Global { 0 } else { 2 }
    }

    pub(super) fn keys(&self) -> KeyTable {
        KeyTable::new(&self.key_kinds)
    }

    pub(super) fn aggregates(&self) -> Vec<Box<dyn Aggregate>> {
        self.aggregates.iter().map(|aggregate| aggregate.fresh()).collect()
    }
}

fn result_schema(spec: &WindowSpec) -> SchemaRef {
    let mut fields = Vec::new();
    if spec.kind != WindowKind::Global {
        fields.push(Field::new("window_start", timestamp_type(), false));
        fields.push(Field::new("window_end", timestamp_type(), false));
    }
    for (name, data_type) in spec.key_names.iter().zip(&spec.key_types) {
        fields.push(Field::new(name, data_type.clone(), true));
    }
    for (name, aggregate) in &spec.aggregates {
        fields.push(Field::new(name, aggregate.result_type.clone(), true));
    }
    Arc::new(Schema::new(fields))
}
