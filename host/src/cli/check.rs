//! `millstream check` and `millstream schema`.

use std::io::Write;

use super::PipelineFile;
use super::exit::Exit;
use super::load::load;
use super::tell;
use crate::{config, plan};

/// Prints the plan of a pipeline to standard output, warnings and problems to standard error.
pub fn check(file: &PipelineFile) -> Exit {
    let loaded = match load(file) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if !loaded.warnings.is_empty() {
        tell::diagnostics(&loaded.warnings, &loaded.source);
    }
    print(&plan::describe(&loaded.plan))
}

/// Prints the JSON Schema of pipeline files.
pub fn schema() -> Exit {
    print(&format!("{:#}\n", config::json_schema()))
}

/// Prints to standard output; a reader that has gone away is no failure.
pub fn print(text: &str) -> Exit {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            tell::error(&format!("writing to standard output: {error}"), None);
            Exit::Stopped
        }
    }
}
