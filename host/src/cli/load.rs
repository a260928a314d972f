//! From a pipeline file to a plan, with every problem shown.

use std::sync::Arc;

use super::PipelineFile;
use super::exit::Exit;
use super::plugins::PluginFolders;
use super::tell;
use crate::config;
use crate::diag::{Diagnostic, SourceFile};
use crate::plan::{self, Plan};
use crate::plugin::{CompileCommand, PluginRuntime, RuntimeOptions};

/// A pipeline that is ready to run.
pub struct Loaded {
    /// Its text, for messages.
    pub source: SourceFile,
    /// The plan.
    pub plan: Arc<Plan>,
    /// Warnings of file and plan.
    pub warnings: Vec<Diagnostic>,
}

/// Reads, checks and plans a pipeline file. Problems are printed to standard error.
///
/// # Errors
/// The exit code, after the problems were printed.
pub fn load(file: &PipelineFile) -> Result<Loaded, Exit> {
    let config::Loaded { pipeline, file: source, mut warnings } = read(file)?;
    let runtime = runtime()?;
    let plugins = PluginFolders::new(runtime, &pipeline.plugin_dirs);
    match plan::build(&pipeline, &source, &plugins) {
        Ok((plan, more)) => {
            warnings.extend(more);
            Ok(Loaded { source, plan: Arc::new(plan), warnings })
        }
        Err(problems) => {
            tell::diagnostics(&problems, &source);
            Err(Exit::Usage)
        }
    }
}

/// Reads a pipeline file without planning it.
///
/// # Errors
/// The exit code, after the problems were printed.
pub fn read(file: &PipelineFile) -> Result<config::Loaded, Exit> {
    config::load(&file.file, &file.overrides).map_err(|refused| {
        tell::diagnostics(&refused.problems, &refused.file);
        Exit::Usage
    })
}

/// Starts the plugin runtime.
///
/// # Errors
/// The exit code, after the problem was printed.
pub fn runtime() -> Result<Arc<PluginRuntime>, Exit> {
    let program = std::env::current_exe().unwrap_or_else(|_| "millstream".into());
    let options = RuntimeOptions::new(CompileCommand::new(program));
    PluginRuntime::new(options).map_err(|error| {
        tell::error(&error, error.help().as_deref());
        Exit::Stopped
    })
}
