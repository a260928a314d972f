//! Rows from a sample's JSON, with types as the values suggest.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use chrono::DateTime;
use serde_json::{Map, Value};

use super::schema::LOGICAL;

/// Returns the rows of a JSON array of objects. Columns are in the order in which they first appear.
///
/// A column is boolean, int64 or float64 when all its values are; a time when all are RFC 3339 text;
/// text otherwise, with objects and arrays as JSON text.
pub(super) fn rows_of(json: &[u8]) -> Result<RecordBatch, String> {
    let rows: Vec<Map<String, Value>> = serde_json::from_slice(json)
        .map_err(|error| format!("`input` is not a JSON array of objects: {error}"))?;
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(Map::keys) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut fields = Vec::with_capacity(names.len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(names.len());
    for name in names {
        let cells: Vec<Option<&Value>> =
            rows.iter().map(|row| row.get(name).filter(|value| !value.is_null())).collect();
        let (array, logical) = column(&cells);
        let mut field = Field::new(name, array.data_type().clone(), true);
        if let Some(logical) = logical {
            field.set_metadata(HashMap::from([(LOGICAL.to_owned(), logical.to_owned())]));
        }
        fields.push(field);
        columns.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|error| error.to_string())
}

fn column(cells: &[Option<&Value>]) -> (ArrayRef, Option<&'static str>) {
    let present = || cells.iter().flatten();
    let get = |read: fn(&Value) -> Option<i64>| cells.iter().map(move |cell| cell.and_then(read));
    let any = present().next().is_some();
    if any && present().all(|value| value.is_boolean()) {
        let values = cells.iter().map(|cell| cell.and_then(Value::as_bool));
        return (Arc::new(values.collect::<BooleanArray>()), None);
    }
    if any && present().all(|value| value.is_i64()) {
        return (Arc::new(get(Value::as_i64).collect::<Int64Array>()), None);
    }
    if any && present().all(|value| value.is_number()) {
        let values = cells.iter().map(|cell| cell.and_then(Value::as_f64));
        return (Arc::new(values.collect::<Float64Array>()), None);
    }
    if any && present().all(|value| time_us(value).is_some()) {
        return (Arc::new(get(time_us).collect::<TimestampMicrosecondArray>()), None);
    }
    let json = present().any(|value| value.is_array() || value.is_object());
    let values = cells.iter().map(|cell| {
        cell.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    });
    (Arc::new(values.collect::<StringArray>()), json.then_some("json"))
}

fn time_us(value: &Value) -> Option<i64> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|time| time.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    #[test]
    fn types_follow_the_values() {
        let rows = rows_of(
            br#"[{"t":"2024-01-01T00:00:00Z","n":1,"f":1,"s":"x","b":true,"l":[1]},
                 {"n":null,"f":0.5,"s":"2024-01-01T00:00:00Z","late":2}]"#,
        )
        .unwrap();
        let schema = rows.schema();
        let types: Vec<_> =
            schema.fields().iter().map(|f| (f.name().as_str(), f.data_type().clone())).collect();
        assert_eq!(
            types,
            [
                ("t", crate::data::timestamp_type()),
                ("n", DataType::Int64),
                ("f", DataType::Float64),
                ("s", DataType::Utf8),
                ("b", DataType::Boolean),
                ("l", DataType::Utf8),
                ("late", DataType::Int64),
            ]
        );
        assert!(rows_of(b"{}").is_err());
        assert_eq!(rows_of(b"[{},{}]").unwrap().num_rows(), 2);
    }
}
