//! What can go wrong when rows become text.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use thiserror::Error;

/// Why rows cannot be written as text.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The column's type has no text form here.
    #[error("column `{column}` has type {data_type}, which cannot be written as text")]
    UnsupportedType {
        /// The column's name.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// A value does not fit the type it is written as.
    #[error("a value of column `{column}` cannot be written as {target}: {source}")]
    Value {
        /// The column's name.
        column: String,
        /// The type it was cast to.
        target: DataType,
        /// What Arrow says.
        source: ArrowError,
    },
    /// A batch has another number of columns than the schema the encoder was made for.
    #[error("rows have {found} columns where {expected} were announced")]
    Columns {
        /// Columns of the schema.
        expected: usize,
        /// Columns of the batch.
        found: usize,
    },
}
