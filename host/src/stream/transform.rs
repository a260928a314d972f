//! A transform plugin over rows.

use arrow::array::UInt32Array;
use arrow::error::ArrowError;

use crate::data::Rows;
use crate::parse::{Reason, plugin_failure, remaining};
use crate::plugin::{PluginError, TransformInstance};

/// What a transform made of rows.
pub struct Transformed {
    /// The rows that came out. They have the event time and position of those they were made of.
    pub rows: Rows,
    /// The rows that did not come through.
    pub refused: Vec<Refused>,
}

/// A row that a plugin refused, or that it failed on.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its index in the input.
    pub row: usize,
    /// Its position in its partition.
    pub position: i64,
    /// One of the plugin's own reject codes, or `plugin_` and the kind of failure.
    pub reason: Reason,
    /// What exactly went wrong, of a failure.
    pub detail: Option<String>,
}

/// Why rows could not be transformed at all.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// The plugin could not be started.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A columnar operation failed.
    #[error("columnar operation failed")]
    Arrow(#[from] ArrowError),
}

/// Calls the plugin on rows.
///
/// # Errors
/// When the plugin cannot be started; what it does with single rows is in the outcome.
pub fn transform(
    instance: &mut TransformInstance,
    rows: &Rows,
) -> Result<Transformed, TransformError> {
    let outcome = instance.apply(&rows.batch)?;
    let refused = |row: u32, reason: Reason, detail: Option<String>| {
        let row = usize::try_from(row).unwrap_or(usize::MAX);
        let position = rows.position.values().get(row).copied().unwrap_or_default();
        Refused { row, position, reason, detail }
    };
    let descriptor = instance.plugin().version().descriptor();
    let mut gone = Vec::with_capacity(outcome.rejects.len() + outcome.poison.len());
    for &(row, code) in &outcome.rejects {
        gone.push(refused(row, descriptor.reject_reason(code), None));
    }
    for poison in &outcome.poison {
        let reason = plugin_failure(poison.error.failure.label());
        gone.push(refused(poison.record, reason, Some(poison.error.to_string())));
    }
    let made = if outcome.source.is_none() && gone.is_empty() {
        rows.with_batch(outcome.rows)
    } else {
        let source = match outcome.source {
            Some(source) => UInt32Array::from(source),
            None => remaining(rows.len(), outcome.rejects.iter().map(|(row, _)| *row).collect()),
        };
        rows.made_of(outcome.rows, &source)?
    };
    gone.sort_by_key(|refused| refused.row);
    Ok(Transformed { rows: made, refused: gone })
}
