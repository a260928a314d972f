//! What of a row becomes a record's key, topic and headers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::super::SinkError;
use super::Name;
use crate::encode::{Column, EncodeError, Value, write_json_value};

/// Columns of alerts that are headers too, so that readers need not look into the value.
const HEADERS: [&str; 2] = ["alert_id", "plugin_version"];

/// Where the columns are that a record's outside is made of.
#[derive(Debug)]
pub(super) struct Columns {
    key: Vec<usize>,
    topic: Option<usize>,
    headers: Vec<(Name, usize)>,
}

impl Columns {
    /// Finds them. Those that are not there, which `check` reports, are left out.
    pub fn find(schema: &Schema, key: &[&str], topic: Option<&str>) -> Self {
        let index = |name: &str| schema.column_with_name(name).map(|(index, _)| index);
        Self {
            key: key.iter().filter_map(|name| index(name)).collect(),
            topic: topic.and_then(index),
            headers: HEADERS
                .iter()
                .filter_map(|name| Some((Arc::from(*name), index(name)?)))
                .collect(),
        }
    }

    /// Looks at the columns of a batch.
    pub fn of_batch<'a>(&'a self, batch: &RecordBatch) -> Result<Batch<'a>, SinkError> {
        let columns = Column::of_batch(batch)?;
        let known = [self.topic.unwrap_or(0)];
        let last = self.key.iter().chain(&known).chain(self.headers.iter().map(|(_, i)| i)).max();
        if let Some(last) = last
            && *last >= columns.len()
            && !columns.is_empty()
        {
            let (expected, found) = (last + 1, columns.len());
            return Err(EncodeError::Columns { expected, found }.into());
        }
        Ok(Batch { columns, places: self })
    }
}

/// A batch's columns.
pub(super) struct Batch<'a> {
    columns: Vec<Column>,
    places: &'a Columns,
}

impl Batch<'_> {
    fn value(&self, column: usize, row: usize) -> Value<'_> {
        self.columns.get(column).map_or(Value::Null, |column| column.value(row))
    }

    /// Returns the topic that a row names.
    pub fn topic(&self, row: usize) -> Option<&str> {
        match self.value(self.places.topic?, row) {
            Value::Text(name) => Some(name),
            _ => None,
        }
    }

    /// Appends a row's key; returns false when it has none.
    pub fn key(&self, row: usize, out: &mut Vec<u8>) -> bool {
        match self.places.key.as_slice() {
            [] => false,
            [only] => plain(out, self.value(*only, row)),
            several => {
                for (at, column) in several.iter().enumerate() {
                    out.push(if at == 0 { b'[' } else { b',' });
                    write_json_value(out, self.value(*column, row));
                }
                out.push(b']');
                true
            }
        }
    }

    /// Sets the row's headers.
    pub fn headers<'a>(&'a self, row: usize, out: &mut Vec<(Name, &'a [u8])>) {
        out.clear();
        for (name, column) in &self.places.headers {
            if let Value::Text(text) = self.value(*column, row) {
                out.push((Arc::clone(name), text.as_bytes()));
            }
        }
    }
}

/// Appends a value as text: a text as it is, others as in JSON. Returns false for null.
fn plain(out: &mut Vec<u8>, value: Value<'_>) -> bool {
    match value {
        Value::Null => return false,
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Binary(bytes) => out.extend_from_slice(bytes),
        Value::Time(_) => {
            let start = out.len();
            write_json_value(out, value);
            // Without the quotes.
            out.pop();
            if out.len() > start {
                out.remove(start);
            }
        }
        _ => write_json_value(out, value),
    }
    true
}
