//! What is wrong with a pipeline file, shown where it is wrong.
//!
//! Rooms that judge a pipeline file return `Diagnostic`s: facts with a byte range. Only this room
//! turns them into text. It promises that any span, even a nonsensical one, renders without a
//! panic. It never decides what is right or wrong.

mod render;
mod source;

use std::ops::Range;

pub use render::{Style, render};
pub use source::SourceFile;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// The pipeline runs, but perhaps not as meant.
    Warning,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The problem in one line, lower case, naming the key or node.
    pub message: String,
    /// Bytes of the source file it is about. None: the file as a whole.
    pub span: Option<Range<usize>>,
    /// Words beside the caret.
    pub label: Option<String>,
    /// What to do, one remedy each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// Returns an error about the whole file.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: None,
            label: None,
            help: Vec::new(),
        }
    }

    /// Returns a warning about the whole file.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Points at a place. An empty range at 0 means that there is none (a default, say).
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = (span != (0..0)).then_some(span);
        self
    }

    /// Puts words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds a remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds "did you mean" when a candidate is near, else the list of candidates.
    #[must_use]
    pub fn suggest<'a>(
        self,
        name: &str,
        what: &str,
        candidates: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        match nearest(name, candidates.clone()) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => {
                let list: Vec<String> =
                    candidates.into_iter().map(|name| format!("`{name}`")).collect();
                if list.is_empty() {
                    self
                } else {
                    self.help(format!("{what}: {}", list.join(", ")))
                }
            }
        }
    }
}

/// Returns the candidate that `name` is most likely a typing error of.
///
/// The distance may be a third of the longer word's letters, at least one; letter case does not
/// count. Of equally near candidates the first wins.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = candidate.to_lowercase();
        let distance = strsim::damerau_levenshtein(&wanted, &other);
        let length = wanted.chars().count().max(other.chars().count());
        let allowed = (length / 3).max(1);
        // A one-letter word is one edit away from every other: that is no hint.
        if distance > allowed || distance >= length {
            continue;
        }
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typing_errors_only() {
        let keys = ["tumbling", "sliding", "group_by", "where", "path"];
        let cases = [
            ("tumblng", Some("tumbling")),
            ("Where", Some("where")),
            ("group-by", Some("group_by")),
            ("groupby", Some("group_by")),
            ("paths", Some("path")),
            ("window", None),
            ("x", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, keys), expected, "{name}");
        }
    }
}
