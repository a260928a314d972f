//! Schemas across the boundary: the contract's fields and Arrow's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType as Arrow, Field as ArrowField, Schema, SchemaRef};

use crate::data::timestamp_type;

use super::bindings::millstream::plugin::types::{DataType, FieldResult};
use super::validate::BadOutput;

/// The key of the field metadata that says what values mean ("ip", "json").
pub(super) const LOGICAL: &str = "logical";

const MAX_COLUMNS: usize = 1_024;
const MAX_NAME_BYTES: usize = 255;

/// Returns the Arrow type of one of the contract's types.
pub(super) fn arrow_type(data_type: DataType) -> Arrow {
    match data_type {
        DataType::Boolean => Arrow::Boolean,
        DataType::Int64 => Arrow::Int64,
        DataType::Float64 => Arrow::Float64,
        DataType::TimestampUs => timestamp_type(),
        DataType::Text => Arrow::Utf8,
        DataType::Bytes => Arrow::Binary,
    }
}

/// Returns the schema that a plugin's `configure` returned, when it can be one.
pub(super) fn from_guest(fields: Vec<FieldResult>) -> Result<SchemaRef, BadOutput> {
    if fields.len() > MAX_COLUMNS {
        return Err(BadOutput(format!("{} columns, more than {MAX_COLUMNS}", fields.len())));
    }
    let mut seen = HashSet::new();
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let name = field.name;
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            let name = super::log::clean(&name);
            return Err(BadOutput(format!(
                "column name {name:?} is empty, too long or has control characters"
            )));
        }
        if !seen.insert(name.clone()) {
            return Err(BadOutput(format!("two columns are called {name:?}")));
        }
        let mut column = ArrowField::new(name, arrow_type(field.data_type), field.nullable);
        if let Some(logical) = field.logical {
            if logical.len() > MAX_NAME_BYTES {
                return Err(BadOutput("a logical type's name is too long".into()));
            }
            column.set_metadata(HashMap::from([(LOGICAL.to_owned(), logical)]));
        }
        columns.push(column);
    }
    Ok(Arc::new(Schema::new(columns)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> FieldResult {
        FieldResult {
            name: name.into(),
            data_type: DataType::Text,
            nullable: true,
            logical: Some("ip".into()),
        }
    }

    #[test]
    fn schemas_are_checked() {
        let schema = from_guest(vec![field("a"), field("b")]).unwrap();
        assert_eq!(schema.field(0).metadata().get(LOGICAL).unwrap(), "ip");
        let long = "x".repeat(256);
        for bad in
            [vec![field("a"), field("a")], vec![field("")], vec![field("a\n")], vec![field(&long)]]
        {
            from_guest(bad).unwrap_err();
        }
        from_guest((0..1025).map(|i| field(&i.to_string())).collect()).unwrap_err();
    }
}
