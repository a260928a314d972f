//! Columns by name and type.

use crate::{Fault, bindings::types};

pub use types::{DataType, Field};

impl Field {
    /// A column of this type that may hold nulls.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: true, logical: None }
    }

    /// A column of booleans.
    pub fn boolean(name: impl Into<String>) -> Self {
        Self::new(name, DataType::Boolean)
    }

    /// A column of 64-bit integers.
    pub fn int64(name: impl Into<String>) -> Self {
        Self::new(name, DataType::Int64)
    }

    /// A column of doubles.
    pub fn float64(name: impl Into<String>) -> Self {
        Self::new(name, DataType::Float64)
    }

    /// A column of times: microseconds since the Unix epoch, UTC.
    pub fn timestamp(name: impl Into<String>) -> Self {
        Self::new(name, DataType::TimestampUs)
    }

    /// A column of UTF-8 text.
    pub fn text(name: impl Into<String>) -> Self {
        Self::new(name, DataType::Text)
    }

    /// A column of bytes.
    pub fn bytes(name: impl Into<String>) -> Self {
        Self::new(name, DataType::Bytes)
    }

    /// The same column, which never holds a null.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.nullable = false;
        self
    }

    /// The same column with a meaning beyond its type, such as `ip` or `json`.
    #[must_use]
    pub fn logical(mut self, meaning: impl Into<String>) -> Self {
        self.logical = Some(meaning.into());
        self
    }
}

/// The columns of a table, in order.
pub type Schema = Vec<Field>;

/// A column of the input, looked up once in `configure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnRef {
    pub(crate) index: usize,
    pub(crate) data_type: DataType,
}

impl ColumnRef {
    /// The column's place in the input.
    #[must_use]
    pub fn index(self) -> usize {
        self.index
    }

    /// The column's type.
    #[must_use]
    pub fn data_type(self) -> DataType {
        self.data_type
    }
}

/// The columns that a transform or a rule is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    fields: Vec<Field>,
}

impl Input {
    /// Wraps the schema that the host gave.
    #[must_use]
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields }
    }

    /// The columns, in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Looks a column up.
    ///
    /// # Errors
    /// A configuration fault that names the columns there are.
    pub fn column(&self, name: &str) -> Result<ColumnRef, Fault> {
        match self.fields.iter().position(|field| field.name == name) {
            Some(index) => Ok(ColumnRef {
                index,
                data_type: self.fields.get(index).map_or(DataType::Text, |field| field.data_type),
            }),
            None => {
                let known: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
                Err(Fault::Config(format!(
                    "the input has no column `{name}`; it has {}",
                    known.join(", ")
                )))
            }
        }
    }

    /// Looks up a column that must hold numbers: `int64` or `float64`.
    ///
    /// # Errors
    /// A configuration fault when there is no such column or it holds something else.
    pub fn number(&self, name: &str) -> Result<ColumnRef, Fault> {
        let column = self.column(name)?;
        match column.data_type {
            DataType::Int64 | DataType::Float64 => Ok(column),
            other => {
                Err(Fault::Config(format!("column `{name}` is {}, not a number", type_name(other))))
            }
        }
    }
}

/// The name of a type as pipeline files write it.
#[must_use]
pub fn type_name(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int64 => "int64",
        DataType::Float64 => "float64",
        DataType::TimestampUs => "timestamp",
        DataType::Text => "text",
        DataType::Bytes => "bytes",
    }
}
