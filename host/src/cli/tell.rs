//! Errors and warnings on standard error: words for people, JSON objects for machines.

use std::fmt::Display;
use std::io::IsTerminal;
use std::sync::OnceLock;

use super::LogFormat;
use crate::diag::{Diagnostic, Severity, SourceFile, Style, render};

/// As `--log-format` says. Set once, before anything is told.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Says how to tell.
pub fn set_format(format: LogFormat) {
    // A second call can only come from a second start of the command line, in the same process.
    let _ = FORMAT.set(format);
}

/// Returns true when standard error carries one JSON object a line and nothing else.
pub fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// Tells an error and what to do about it.
pub fn error(error: &dyn Display, help: Option<&str>) {
    match (is_json(), help) {
        (true, Some(help)) => tracing::error!(%help, "{error}"),
        (true, None) => tracing::error!("{error}"),
        (false, help) => {
            eprintln!("error: {error}");
            if let Some(help) = help {
                eprintln!("  = help: {help}");
            }
        }
    }
}

/// Shows what is wrong, or odd, in a pipeline file.
pub fn diagnostics(diagnostics: &[Diagnostic], source: &SourceFile) {
    if !is_json() {
        let style = if std::io::stderr().is_terminal() { Style::Coloured } else { Style::Plain };
        eprint!("{}", render(diagnostics, source, style));
        return;
    }
    for diagnostic in diagnostics {
        let text = render(std::slice::from_ref(diagnostic), source, Style::Plain);
        match diagnostic.severity {
            Severity::Error => tracing::error!(details = %text, "{}", diagnostic.message),
            Severity::Warning => tracing::warn!(details = %text, "{}", diagnostic.message),
        }
    }
}

/// Returns an error's message followed by those of its causes that it does not already tell.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let message = next.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = next.source();
    }
    text
}
