//! The built-in parsers in the sandbox, as the host runs them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use millstream::config::model::Limits;
use millstream::plugin::{
    CompileCommand, ParserInstance, PluginRuntime, RecordsRef, RuntimeOptions,
};
use millstream_bench_native::{Batch, check};

/// A running sandbox, with a cache of its own.
pub struct Sandbox {
    runtime: Arc<PluginRuntime>,
    _cache: tempfile::TempDir,
}

impl Sandbox {
    /// Starts the sandbox. The program must pass [`compile_child`] first.
    ///
    /// # Errors
    /// The engine cannot be set up.
    pub fn start() -> Result<Self> {
        let cache = tempfile::tempdir()?;
        let mut options = RuntimeOptions::new(CompileCommand::new(std::env::current_exe()?));
        // The host makes the folder, for this user alone.
        options.cache_dir = Some(cache.path().join("plugins"));
        Ok(Self { runtime: PluginRuntime::new(options)?, _cache: cache })
    }

    /// Loads and configures the parser in the file `wasm`.
    ///
    /// # Errors
    /// The file is no parser, or refuses `config`.
    pub fn parser(&self, wasm: &Path, config: &str) -> Result<ParserInstance> {
        let name = wasm.file_stem().context("no file name")?.to_string_lossy().into_owned();
        let version = self.runtime.load(wasm, &name, None, &Limits::default())?;
        Ok(version.parser(config)?.instance())
    }
}

/// Parses a batch of good records.
///
/// # Errors
/// They are not.
pub fn parse(parser: &mut ParserInstance, batch: &Batch) -> Result<()> {
    let outcome = parser.parse(RecordsRef {
        data: &batch.records.data,
        offsets: &batch.records.offsets,
        received_us: &batch.received_us,
    })?;
    check(outcome.rejects.len() + outcome.poison.len(), batch.len())?;
    std::hint::black_box(outcome.rows);
    Ok(())
}

/// Becomes the compiler when this process was started as one.
pub fn compile_child() {
    if std::env::args().nth(1).as_deref() == Some("__compile-plugin") {
        std::process::exit(millstream::plugin::compile_child_main());
    }
}
