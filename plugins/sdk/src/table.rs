//! Tables being built, row by row or column by column.

use crate::bindings::types::{Column, Fault, Field, Table};
use crate::column::ColumnBuilder;
use crate::schema::type_name;

/// A value for a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer; a `float64` column takes it too.
    Int64(i64),
    /// A double.
    Float64(f64),
    /// Microseconds since the Unix epoch, UTC.
    Timestamp(i64),
    /// Text; a `bytes` column takes it too.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),*) => {$(
        impl<'a> From<$type> for Value<'a> {
            fn from(value: $type) -> Self {
                Value::$variant(value.into())
            }
        }
    )*};
}
value_from!(bool => Boolean, i64 => Int64, i32 => Int64, u32 => Int64, u16 => Int64, f64 => Float64, &'a str => Text, &'a [u8] => Bytes);

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::Text(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// A table being built. Every finished row has one value in each column; the row being written
/// may have some values already.
#[derive(Debug)]
pub struct TableBuilder {
    columns: Vec<ColumnBuilder>,
    rows: usize,
    misuse: Option<String>,
}

impl TableBuilder {
    /// An empty table with room for `rows` rows.
    #[must_use]
    pub fn new(schema: &[Field], rows: usize) -> Self {
        Self::with_hints(schema, rows, &[])
    }

    /// The same; `bytes[i]` is room for the text of column i.
    #[must_use]
    pub fn with_hints(schema: &[Field], rows: usize, bytes: &[usize]) -> Self {
        let columns = schema
            .iter()
            .enumerate()
            .map(|(index, field)| {
                ColumnBuilder::new(
                    field.data_type,
                    rows,
                    bytes.get(index).copied().unwrap_or(rows * 8),
                )
            })
            .collect();
        Self { columns, rows: 0, misuse: None }
    }

    /// Finished rows.
    #[must_use]
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns, for writing whole columns or without a check of types. A column may be one
    /// value ahead of `rows`: the value of the row being written.
    #[inline]
    pub fn columns(&mut self) -> &mut [ColumnBuilder] {
        &mut self.columns
    }

    /// Writes a value of the current row. Writing a column again replaces the value.
    #[inline]
    pub fn set<'v>(&mut self, column: usize, value: impl Into<Value<'v>>) {
        let rows = self.rows;
        let Some(builder) = self.columns.get_mut(column) else {
            self.misused(column, "written, but there is no such column");
            return;
        };
        if builder.len() > rows {
            builder.truncate(rows);
        }
        match (builder, value.into()) {
            (ColumnBuilder::Boolean(b), Value::Boolean(v)) => b.push(v),
            (ColumnBuilder::Int64(b), Value::Int64(v)) => b.push(v),
            (ColumnBuilder::Timestamp(b), Value::Timestamp(v) | Value::Int64(v)) => b.push(v),
            (ColumnBuilder::Float64(b), Value::Float64(v)) => b.push(v),
            #[expect(clippy::cast_precision_loss, reason = "as SQL casts integers to doubles")]
            (ColumnBuilder::Float64(b), Value::Int64(v)) => b.push(v as f64),
            (ColumnBuilder::Text(b) | ColumnBuilder::Bytes(b), Value::Text(v)) => {
                b.push(v.as_bytes());
            }
            (ColumnBuilder::Bytes(b), Value::Bytes(v)) => b.push(v),
            (builder, Value::Null) => builder.push_null(),
            (builder, _) => {
                let expected = type_name(builder.data_type());
                builder.push_null();
                self.misused(column, expected);
            }
        }
    }

    #[cold]
    fn misused(&mut self, column: usize, expected: &str) {
        if self.misuse.is_none() {
            self.misuse = Some(format!(
                "column {column} was given a value of another type than its own ({expected})"
            ));
        }
    }

    /// Finishes the current row: columns not written become null.
    #[inline]
    pub fn finish_row(&mut self) {
        for column in &mut self.columns {
            if column.len() == self.rows {
                column.push_null();
            }
        }
        self.rows += 1;
    }

    /// Finishes the current row, in which every column has been written. Where that is not so,
    /// [`TableBuilder::finish`] returns a fault.
    #[inline]
    pub fn finish_full_row(&mut self) {
        self.rows += 1;
    }

    /// Forgets what has been written of the current row.
    #[inline]
    pub fn undo_row(&mut self) {
        self.truncate(self.rows);
    }

    /// Keeps the first `rows` rows and forgets what has been written of the next.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = self.rows.min(rows);
        for column in &mut self.columns {
            if column.len() > self.rows {
                column.truncate(self.rows);
            }
        }
    }

    /// Bytes of text in each column, as hints for the next table.
    pub(crate) fn hints(&self, into: &mut Vec<usize>) {
        into.clear();
        into.extend(self.columns.iter().map(|c| {
            let bytes = c.text_bytes();
            bytes + bytes / 16 + 64
        }));
    }

    /// The finished table.
    ///
    /// # Errors
    /// An internal fault when the plugin wrote values that do not fit the schema.
    pub fn finish(mut self, schema: &[Field]) -> Result<Table, Fault> {
        self.undo_row();
        if let Some(misuse) = self.misuse {
            return Err(Fault::Internal(misuse));
        }
        let rows = u32::try_from(self.rows)
            .map_err(|_| Fault::Internal("more than 2^32 rows in one table".into()))?;
        let mut columns: Vec<Column> = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.into_iter().enumerate() {
            let field = schema.get(index);
            if column.len() != self.rows {
                return Err(Fault::Internal(format!(
                    "column {index} has {} values, the table has {} rows",
                    column.len(),
                    self.rows
                )));
            }
            let finished = column.finish().ok_or_else(|| {
                Fault::Internal(format!("the text of column {index} is longer than 2 GiB"))
            })?;
            if let Some(field) = field
                && !field.nullable
                && finished.validity.is_some()
            {
                return Err(Fault::Internal(format!(
                    "column `{}` is declared without nulls but holds one",
                    field.name
                )));
            }
            columns.push(finished);
        }
        Ok(Table { rows, columns })
    }
}

/// What a row-wise plugin writes its rows to.
///
/// Columns are numbered as in the schema. A column that is not written is null. When the plugin
/// returns without having called [`RowBuilder::emit`] or [`RowBuilder::skip`], the row is
/// emitted; what was written after the last `emit` is dropped. When it returns a reject, all rows
/// of the record are taken back.
#[derive(Debug)]
pub struct RowBuilder<'a> {
    table: &'a mut TableBuilder,
    decided: bool,
}

impl<'a> RowBuilder<'a> {
    pub(crate) fn new(table: &'a mut TableBuilder) -> Self {
        Self { table, decided: false }
    }

    /// Writes a value of the current row; a second write replaces the first.
    #[inline]
    pub fn set<'v>(&mut self, column: usize, value: impl Into<Value<'v>>) {
        self.table.set(column, value);
    }

    /// Writes a time: microseconds since the Unix epoch, UTC.
    #[inline]
    pub fn set_timestamp(&mut self, column: usize, micros: i64) {
        self.table.set(column, Value::Timestamp(micros));
    }

    /// Finishes the row and starts the next, for inputs that become several rows.
    pub fn emit(&mut self) {
        self.table.finish_row();
        self.decided = true;
    }

    /// Emits nothing more for this input.
    pub fn skip(&mut self) {
        self.table.undo_row();
        self.decided = true;
    }

    /// The table behind, for writing columns without a check of types.
    pub fn table(&mut self) -> &mut TableBuilder {
        self.table
    }

    pub(crate) fn close(self) {
        if self.decided {
            self.table.undo_row();
        } else {
            self.table.finish_row();
        }
    }
}
