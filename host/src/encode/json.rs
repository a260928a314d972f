//! JSON lines.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde_json::{Map, Number, Value as Json};

use super::column::{Column, List, Value, check_schema};
use super::error::EncodeError;
use super::plain::{hex_digit, write_binary, write_finite, write_integer};
use crate::time::write_timestamp;

/// A column with the same text in every row, put before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// The column's name.
    pub key: &'a str,
    /// The text.
    pub value: &'a str,
}

/// Writes rows of one schema as JSON objects, one a line.
///
/// Keys are escaped once, here; a row costs no allocation beyond the growth of the output.
#[derive(Clone, Debug)]
pub struct JsonEncoder {
    /// What stands before each value: `{"a":`, `,"b":`.
    keys: Vec<Vec<u8>>,
    /// What stands after the last value.
    end: Vec<u8>,
}

impl JsonEncoder {
    /// Returns an encoder for rows of `schema`, each starting with the `tag` if there is one.
    ///
    /// # Errors
    /// When a column's type has no text form.
    pub fn new(schema: &Schema, tag: Option<Tag<'_>>) -> Result<Self, EncodeError> {
        check_schema(schema)?;
        let mut start = vec![b'{'];
        if let Some(tag) = tag {
            write_json_string(&mut start, tag.key);
            start.push(b':');
            write_json_string(&mut start, tag.value);
            start.push(b',');
        }
        let mut keys = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let mut key = std::mem::replace(&mut start, vec![b',']);
            write_json_string(&mut key, field.name());
            key.push(b':');
            keys.push(key);
        }
        if !keys.is_empty() {
            return Ok(Self { keys, end: b"}\n".to_vec() });
        }
        // Rows without columns: only the tag, if any, and no comma after it.
        if tag.is_some() {
            start.pop();
        }
        start.extend_from_slice(b"}\n");
        Ok(Self { keys, end: start })
    }

    /// Appends every row of `batch` as one line.
    ///
    /// # Errors
    /// When the batch has another number of columns, or a value of a foreign type does not fit.
    /// Nothing was appended then.
    pub fn encode(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if batch.num_columns() != self.keys.len() {
            let (expected, found) = (self.keys.len(), batch.num_columns());
            return Err(EncodeError::Columns { expected, found });
        }
        let columns = Column::of_batch(batch)?;
        for row in 0..batch.num_rows() {
            for (key, column) in self.keys.iter().zip(&columns) {
                out.extend_from_slice(key);
                write_json_value(out, column.value(row));
            }
            out.extend_from_slice(&self.end);
        }
        Ok(())
    }
}

/// Appends a cell as JSON.
#[inline]
pub(crate) fn write_json_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Int64(value) => write_integer(out, value),
        Value::Float64(value) if value.is_finite() => write_finite(out, value),
        Value::Float64(_) => out.extend_from_slice(b"null"),
        Value::Text(value) => write_json_string(out, value),
        Value::Time(value) => {
            out.push(b'"');
            write_timestamp(out, value);
            out.push(b'"');
        }
        Value::Binary(value) => match std::str::from_utf8(value) {
            Ok(text) => write_json_string(out, text),
            Err(_) => write_json_string(out, &binary_text(value)),
        },
        Value::List(list) => write_json_list(out, list),
    }
}

/// Appends a list as a JSON array.
pub(super) fn write_json_list(out: &mut Vec<u8>, list: List<'_>) {
    out.push(b'[');
    for (index, value) in list.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json_value(out, value);
    }
    out.push(b']');
}

/// Appends `text` as a JSON string, with its quotes.
///
/// Escapes the quote, the backslash and control characters below a blank, as RFC 8259 asks;
/// everything else stays as it is.
pub fn write_json_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.push(b'"');
    // One pass that the compiler turns into vector instructions; most texts end here.
    if !bytes.iter().fold(false, |found, &byte| found | needs_escape(byte)) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    for run in bytes.chunk_by(|&a, &b| !needs_escape(a) && !needs_escape(b)) {
        match run {
            [byte] if needs_escape(*byte) => write_escape(out, *byte),
            _ => out.extend_from_slice(run),
        }
    }
    out.push(b'"');
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 0x0f));
            return;
        }
    };
    out.push(b'\\');
    out.push(short);
}

/// Returns one row as a JSON object: the value that its line has.
///
/// Nothing (`null`) when there is no such row. For tests and small things; lines are
/// `JsonEncoder`'s.
///
/// # Errors
/// When a column's type has no text form.
pub fn row_json(batch: &RecordBatch, row: usize) -> Result<Json, EncodeError> {
    if row >= batch.num_rows() {
        return Ok(Json::Null);
    }
    let columns = Column::of_batch(batch)?;
    let fields = batch.schema_ref().fields().iter();
    let members = fields.zip(&columns).map(|(f, c)| (f.name().clone(), to_json(c.value(row))));
    Ok(Json::Object(members.collect::<Map<_, _>>()))
}

fn to_json(value: Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => Json::Bool(value),
        Value::Int64(value) => Json::from(value),
        Value::Float64(value) => Number::from_f64(value).map_or(Json::Null, Json::Number),
        Value::Text(value) => Json::from(value),
        Value::Time(value) => {
            let mut text = Vec::new();
            write_timestamp(&mut text, value);
            Json::String(String::from_utf8_lossy(&text).into_owned())
        }
        Value::Binary(value) => Json::String(binary_text(value)),
        Value::List(list) => Json::Array(list.iter().map(to_json).collect()),
    }
}

fn binary_text(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    write_binary(&mut text, bytes);
    String::from_utf8_lossy(&text).into_owned()
}
