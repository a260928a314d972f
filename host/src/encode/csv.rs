//! CSV as RFC 4180 has it, with lines that end in a line feed alone.
//!
//! Null is an empty field, an empty text a quoted one (`""`). A row of one column that is null is
//! written as `""` too: readers skip empty lines.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::column::{Column, Value, check_schema};
use super::error::EncodeError;
use super::json::Tag;
use super::plain::write_plain;

/// Writes rows of one schema as CSV.
#[derive(Clone, Debug)]
pub struct CsvEncoder {
    header: Vec<u8>,
    /// What each line starts with.
    start: Vec<u8>,
    columns: usize,
}

impl CsvEncoder {
    /// Returns an encoder for rows of `schema`, each starting with the `tag` if there is one.
    ///
    /// # Errors
    /// When a column's type has no text form.
    pub fn new(schema: &Schema, tag: Option<Tag<'_>>) -> Result<Self, EncodeError> {
        check_schema(schema)?;
        let (mut header, mut start) = (Vec::new(), Vec::new());
        let names = schema.fields().iter().map(|field| field.name().as_str());
        for (index, name) in tag.iter().map(|tag| tag.key).chain(names).enumerate() {
            if index > 0 {
                header.push(b',');
            }
            write_field(&mut header, name.as_bytes());
        }
        header.push(b'\n');
        if let Some(tag) = tag {
            write_field(&mut start, tag.value.as_bytes());
        }
        Ok(Self { header, start, columns: schema.fields().len() })
    }

    /// Returns the line of column names.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Appends every row of `batch` as one record.
    ///
    /// # Errors
    /// When the batch has another number of columns, or a value of a foreign type does not fit.
    /// Nothing was appended then.
    pub fn encode(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if batch.num_columns() != self.columns {
            let (expected, found) = (self.columns, batch.num_columns());
            return Err(EncodeError::Columns { expected, found });
        }
        let columns = Column::of_batch(batch)?;
        let mut scratch = Vec::new();
        for row in 0..batch.num_rows() {
            let line = out.len();
            out.extend_from_slice(&self.start);
            for (index, column) in columns.iter().enumerate() {
                if index > 0 || !self.start.is_empty() {
                    out.push(b',');
                }
                match column.value(row) {
                    Value::Text(text) => write_field(out, text.as_bytes()),
                    value @ (Value::Binary(_) | Value::List(_)) => {
                        scratch.clear();
                        write_plain(&mut scratch, value);
                        write_field(out, &scratch);
                    }
                    value => write_plain(out, value),
                }
            }
            if out.len() == line {
                out.extend_from_slice(b"\"\"");
            }
            out.push(b'\n');
        }
        Ok(())
    }
}

/// Appends a text, in quotes where it is empty or has a comma, a quote or an end of line.
fn write_field(out: &mut Vec<u8>, text: &[u8]) {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if !text.is_empty() && !text.iter().any(special) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for (index, part) in text.split(|&byte| byte == b'"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    out.push(b'"');
}
