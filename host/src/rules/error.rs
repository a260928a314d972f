//! What can go wrong with a rule.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::evaluator::EvaluateError;
use super::template::TemplateError;

/// Why a rule cannot be set up, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The user must act: the pipeline file names a column the input does not have.
    #[error("no column `{column}` in the rule's input")]
    UnknownColumn {
        /// The name as typed.
        column: String,
        /// The nearest name there is.
        nearest: Option<String>,
    },
    /// The user must act: a column cannot be a key, or cannot be kept as history.
    #[error("column `{column}` of type {data_type} cannot be a key or be kept as history")]
    ColumnType {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// The user must act: two columns of a result would have the same name.
    #[error("column `{column}` of the rule's {result} clashes with {other}")]
    Clash {
        /// The name both have.
        column: String,
        /// "alerts" or "rows".
        result: &'static str,
        /// What has the name already.
        other: &'static str,
    },
    /// The user must act: the message template does not fit.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The rule itself failed.
    #[error("rule `{rule}` failed")]
    Evaluate {
        /// The rule.
        rule: String,
        /// Why.
        source: EvaluateError,
    },
    /// The rule answered nonsense.
    #[error("rule `{rule}` returned {what}")]
    Outcome {
        /// The rule.
        rule: String,
        /// What is wrong with the answer.
        what: &'static str,
    },
    /// The rule's author must act: timers set each other off without end.
    #[error("rule `{rule}` set more than {limit} timers in a row that were due at once")]
    TimerLoop {
        /// The rule.
        rule: String,
        /// The limit.
        limit: u32,
    },
    /// A checkpoint's rule state does not fit this rule.
    #[error("the stored state of rule `{rule}` does not fit: {what}")]
    State {
        /// The rule.
        rule: String,
        /// What does not fit.
        what: String,
    },
    /// Encoded rows are damaged. Our bug.
    #[error("an encoded row cannot be read back")]
    Encoding,
    /// A batch has more rows than 32-bit indices can name.
    #[error("a batch of {rows} rows is too large")]
    TooManyRows {
        /// How many.
        rows: usize,
    },
    /// A columnar operation failed.
    #[error("columnar operation failed")]
    Arrow(#[from] ArrowError),
}

impl RuleError {
    /// Returns the column of the rule's input that is at fault, if one is.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::UnknownColumn { column, .. }
            | Self::ColumnType { column, .. }
            | Self::Clash { column, .. } => Some(column),
            _ => None,
        }
    }
}
