//! `millstream test`.

use std::path::PathBuf;

use clap::Args;

use super::PipelineFile;
use super::exit::Exit;
use super::load::{read, runtime};
use super::plugins::PluginFolders;
use super::tell;
use crate::config::Loaded;
use crate::testing::{TestError, TestReport, run_test};

/// Rows of a mismatch that are shown.
const SHOWN_ROWS: usize = 10;

/// Which files to test.
#[derive(Debug, Args)]
pub struct Options {
    /// Pipeline files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only tests whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

/// Runs the tests of pipeline files and prints a line for each.
pub fn test(options: &Options) -> Exit {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let (mut passed, mut failed) = (0, 0);
    for path in &options.files {
        let file = PipelineFile { file: path.clone(), overrides: Vec::new() };
        let loaded = match read(&file) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        let plugins = PluginFolders::new(runtime.clone(), &loaded.pipeline.plugin_dirs);
        if loaded.pipeline.tests.is_empty() {
            println!("{}: no [[tests]]", path.display());
        }
        for test in &loaded.pipeline.tests {
            if options.only.as_ref().is_some_and(|only| !test.name.value.contains(only)) {
                continue;
            }
            let result = run_test(&loaded.pipeline, &loaded.file, test, &plugins);
            let name = format!("{}: {}", path.display(), test.name.value);
            if report(&name, result, &loaded) {
                passed += 1;
            } else {
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { Exit::Done } else { Exit::TestFailed }
}

fn report(name: &str, result: Result<TestReport, TestError>, loaded: &Loaded) -> bool {
    match result {
        Ok(report) if report.mismatches.is_empty() => {
            println!("ok      {name}");
            true
        }
        Ok(report) => {
            println!("FAILED  {name}");
            for (output, mismatch) in &report.mismatches {
                println!("  {output}:");
                print_rows("expected, did not come", &mismatch.missing);
                print_rows("came, not expected", &mismatch.unexpected);
            }
            false
        }
        Err(TestError::Plan(problems)) => {
            println!("FAILED  {name}");
            tell::diagnostics(&problems, &loaded.file);
            false
        }
        Err(error) => {
            println!("FAILED  {name}\n  {error}");
            false
        }
    }
}

fn print_rows(what: &str, rows: &[serde_json::Value]) {
    for row in rows.iter().take(SHOWN_ROWS) {
        println!("    {what}: {row}");
    }
    if rows.len() > SHOWN_ROWS {
        println!("    … and {} more", rows.len() - SHOWN_ROWS);
    }
}
