//! What can go wrong in this room.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion_common::DataFusionError;

/// Why a window cannot be made, fed or read.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// An aggregate does not know its argument's type.
    #[error("aggregate {name} cannot take values of type {data_type}")]
    ArgumentType {
        /// The aggregate's output column.
        name: String,
        /// The type it was given.
        data_type: DataType,
    },
    /// An aggregate lacks an argument or a literal setting, or has a wrong one.
    #[error("aggregate {name} {problem}")]
    Aggregate {
        /// The aggregate's output column.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A column's type cannot be part of a key.
    #[error("group_by column {name} has type {data_type}, which cannot be a key")]
    KeyType {
        /// The key column.
        name: String,
        /// Its type.
        data_type: DataType,
    },
    /// A length of time or a number of rows is out of range.
    #[error("{setting} is {value}, outside {least} to {most}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: i64,
        /// The least value allowed.
        least: i64,
        /// The greatest value allowed.
        most: i64,
    },
    /// Sessions take no allowed lateness.
    #[error("allowed_lateness is not supported with session windows")]
    SessionLateness,
    /// Two columns that belong together have different lengths, or a column is missing.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// What was counted.
        what: &'static str,
        /// What it should be.
        expected: usize,
        /// What it is.
        found: usize,
    },
    /// A partial, a state column or a result was made by another window.
    #[error("{what} belongs to another window or another version")]
    Foreign {
        /// What was handed in.
        what: &'static str,
    },
    /// An Arrow kernel failed.
    #[error("a column operation of a window failed")]
    Arrow(#[from] ArrowError),
    /// An accumulator of DataFusion failed.
    #[error("an aggregate of a window failed")]
    DataFusion(#[from] DataFusionError),
}
