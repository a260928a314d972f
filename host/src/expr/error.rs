//! What is wrong with an SQL text, and where.

use std::ops::Range;

use datafusion_common::DataFusionError;

/// An SQL text that cannot be used. The author of the pipeline file must act; a retry is no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// What is wrong.
    pub message: String,
    /// Byte range within the SQL text; none: the whole text.
    pub span: Option<Range<usize>>,
    /// What may help: the nearest name, the names there are.
    pub help: Vec<String>,
}

impl SqlError {
    /// Returns an error about the whole text.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, help: Vec::new() }
    }

    /// Returns the same error, pointing at `span`.
    pub(super) fn at(mut self, span: Option<Range<usize>>) -> Self {
        self.span = span;
        self
    }

    /// Returns the same error with one more hint.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// Carries our own refusals through DataFusion's tree walks.
impl From<SqlError> for DataFusionError {
    fn from(error: SqlError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        if let DataFusionError::External(inner) = error.find_root()
            && let Some(own) = inner.downcast_ref::<Self>()
        {
            return own.clone();
        }
        Self::new(message_of(&error))
    }
}

/// Returns what DataFusion says, in our manner: one line, lower case, without its prefixes.
pub(super) fn message_of(error: &DataFusionError) -> String {
    let root = error.find_root().strip_backtrace();
    let first = root.lines().next().unwrap_or_default().trim();
    // Several lines that draw the fault: the last one says what it is.
    let last = root.lines().next_back().unwrap_or_default().trim();
    let joined = match first.ends_with(':') && first.len() < root.len() {
        true => format!("{first} {}", last.trim_start_matches("error: ")),
        false => first.to_owned(),
    };
    let mut text = joined.as_str();
    loop {
        let before = text;
        for prefix in [
            "Error during planning: ",
            "Execution error: ",
            "Arrow error: ",
            "Compute error: ",
            "Parser error: ",
            "Cast error: ",
            "Invalid argument error: ",
            "Arithmetic overflow: ",
            "External error: ",
            "This feature is not implemented: ",
            "Internal error: ",
            "Optimizer rule ",
            "type_coercion caused by ",
        ] {
            text = text.strip_prefix(prefix).unwrap_or(text);
        }
        if before == text {
            break;
        }
    }
    decapitalise(text.trim_end_matches('.'))
}

/// Returns `text` with its first letter in lower case, unless it starts with an acronym.
pub(super) fn decapitalise(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// Returns the candidate that `name` was probably meant to be.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .map(|candidate| {
            let likeness = strsim::normalized_damerau_levenshtein(&name, &candidate.to_lowercase());
            (likeness, candidate)
        })
        .filter(|(likeness, _)| *likeness >= 0.55)
        // The first of equals, so that the advice does not depend on the sort.
        .fold(None, |best: Option<(f64, &str)>, next| match best {
            Some(best) if best.0 >= next.0 => Some(best),
            _ => Some(next),
        })
        .map(|(_, candidate)| candidate)
}
