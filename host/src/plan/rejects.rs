//! The rows of `<parser>.rejects` and of the dead letters.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::data::timestamp_type;

/// The name under which the sink of dead letters knows its one input.
pub const DEAD_LETTERS: &str = "dead_letters";

/// Returns the schema of refused records: where each came from, why it was refused and by whom.
pub fn rejects_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("source", false),
        text("partition", false),
        Field::new("position", DataType::Int64, false),
        Field::new("received", timestamp_type(), false),
        text("reason", false),
        text("detail", true),
        text("node", false),
        text("plugin_version", true),
        text("record", true),
    ]))
}
