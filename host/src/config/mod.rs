//! The pipeline file: from TOML to what it means.
//!
//! The way of a file: text → `tree` (every key with its place) → `overrides` (`--set`) → `wire`
//! types (what may be typed) → `validate` → `model` (what it means). All problems come out of one
//! run, each with its place. Promises: no text makes it panic; a model that comes out needs no
//! further judgement of ranges and exclusions; relative paths in the file are resolved against its
//! folder, those in `--set` stay relative to the current folder. Never here: SQL, plugins, whether
//! an input exists, or any file but the pipeline file itself.

mod de;
pub mod model;
mod overrides;
mod reference;
mod schema;
mod tree;
pub mod units;
mod validate;
mod wire;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use reference::reference_markdown;
pub use schema::json_schema;

use crate::diag::{Diagnostic, Severity, SourceFile, Style, render};
use model::Pipeline;

/// Larger files are no pipeline files.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A pipeline file that is right as far as the file alone can tell.
#[derive(Debug)]
pub struct Loaded {
    /// What it means.
    pub pipeline: Pipeline,
    /// Its text, for diagnostics of later stages.
    pub file: SourceFile,
    /// What may not be as meant.
    pub warnings: Vec<Diagnostic>,
}

/// A pipeline file that cannot run. Shows itself as its rendered diagnostics, without colour.
#[derive(Debug)]
pub struct Refused {
    /// Its text; empty when it could not be read.
    pub file: SourceFile,
    /// All errors and warnings.
    pub problems: Vec<Diagnostic>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(render(&self.problems, &self.file, Style::Plain).trim_end())
    }
}

impl std::error::Error for Refused {}

/// Reads and judges a pipeline file. `overrides` are `--set` arguments such as `engine.workers=2`.
pub fn load(path: &Path, overrides: &[String]) -> Result<Loaded, Box<Refused>> {
    parse(&read_text(path)?, path, overrides)
}

/// Judges the text of a pipeline file. `path` names it and tells what paths in it are relative to.
pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Loaded, Box<Refused>> {
    let mut file = SourceFile::new(path, text);
    let mut problems = Vec::new();
    let mut root = tree::parse(text, &mut problems);
    if !problems.is_empty() {
        return Err(Box::new(Refused { file, problems }));
    }
    for argument in overrides {
        overrides::apply(&mut root, argument, &mut file, &mut problems);
    }
    let (typed, misspelt) = de::read::<wire::Pipeline>(&root, &mut problems);
    let pipeline =
        typed.and_then(|typed| validate::validate(typed, &file, &misspelt, &mut problems));
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    match pipeline {
        Some(pipeline) if !failed => Ok(Loaded { pipeline, file, warnings: problems }),
        _ => Err(Box::new(Refused { file, problems })),
    }
}

/// Returns the text of a file, or the refusal of one that is no text.
fn read_text(path: &Path) -> Result<String, Box<Refused>> {
    let refuse = |text: String, problem: Diagnostic| {
        Box::new(Refused { file: SourceFile::new(path, text), problems: vec![problem] })
    };
    let cannot = |error: io::Error| {
        let problem = Diagnostic::error(format!("cannot read the pipeline file: {error}"));
        refuse(String::new(), problem)
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        let size = units::format_size(MAX_FILE_BYTES);
        let problem = Diagnostic::error(format!("the pipeline file is larger than {size}"));
        return Err(refuse(String::new(), problem));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let problem = Diagnostic::error("the pipeline file is not UTF-8 text")
            .at(at..at + 1)
            .label(format!("byte {at} begins no character"))
            .help("a pipeline file is TOML; is this a plugin or a data file?");
        refuse(text, problem)
    })
}
