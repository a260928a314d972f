//! The one WebAssembly engine of the process, and the thread that makes it look at the clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, OptLevel, Strategy};

use super::bindings::Everything;
use super::cache::Cache;
use super::compile::{CompileCommand, CompileLimits};
use super::error::PluginError;
use super::instance::HostState;
use super::limits::TICK;

/// Largest plugin file, unless set otherwise.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// How plugins are loaded.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Where compiled plugins are kept. None: `$XDG_CACHE_HOME/millstream` or
    /// `~/.cache/millstream`. Only this user may have access to it.
    pub cache_dir: Option<PathBuf>,
    /// The program that compiles: it must call [`super::compile_child_main`].
    pub compile_command: CompileCommand,
    /// What compiling one plugin may take.
    pub compile_limits: CompileLimits,
    /// Largest plugin file.
    pub max_file_bytes: u64,
}

impl RuntimeOptions {
    /// Returns the usual options; `compile_command` is usually this very program.
    pub fn new(compile_command: CompileCommand) -> Self {
        Self {
            cache_dir: None,
            compile_command,
            compile_limits: CompileLimits::default(),
            max_file_bytes: MAX_FILE_BYTES,
        }
    }
}

/// The engine that all plugins of a process share. Drop it, and what it loaded, to stop its thread.
pub struct PluginRuntime {
    pub(super) engine: Engine,
    pub(super) linker: Linker<HostState>,
    pub(super) cache: Cache,
    pub(super) options: RuntimeOptions,
    _ticker: Ticker,
}

impl std::fmt::Debug for PluginRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginRuntime").field("options", &self.options).finish_non_exhaustive()
    }
}

impl PluginRuntime {
    /// Sets the engine up.
    ///
    /// # Errors
    /// When the engine refuses this machine, or the folder of compiled plugins cannot be used.
    pub fn new(options: RuntimeOptions) -> Result<Arc<Self>, PluginError> {
        let engine = new_engine()?;
        let mut linker = Linker::new(&engine);
        Everything::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)
            .map_err(|error| engine_error(&error))?;
        let cache = Cache::open(options.cache_dir.clone(), &engine)?;
        let ticker = Ticker::start(&engine)?;
        Ok(Arc::new(Self { engine, linker, cache, options, _ticker: ticker }))
    }
}

fn engine_error(error: &wasmtime::Error) -> PluginError {
    PluginError::Engine { reason: format!("{error:#}") }
}

/// Returns an engine with the settings that all plugins are compiled for and run with.
///
/// What plugins do not need is off, as most holes of the past were there: threads, 64-bit
/// memories, garbage collection, exceptions, async components, WASI.
///
/// # Errors
/// When the engine refuses this machine.
pub(super) fn new_engine() -> Result<Engine, PluginError> {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .consume_fuel(false)
        .signals_based_traps(true)
        .wasm_simd(true)
        .relaxed_simd_deterministic(true)
        .wasm_threads(false)
        .shared_memory(false)
        .wasm_memory64(false)
        .wasm_function_references(false)
        .wasm_gc(false)
        .wasm_exceptions(false)
        .gc_support(false)
        .concurrency_support(false)
        .max_wasm_stack(512 << 10)
        .memory_init_cow(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(32));
    Engine::new(&config).map_err(|error| engine_error(&error))
}

/// Advances the engine's epoch every few milliseconds until dropped.
struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &Engine) -> Result<Self, PluginError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let weak = engine.weak();
        let thread = thread::Builder::new()
            .name("plugin-ticker".into())
            .spawn(move || {
                while !stopped.load(Ordering::Acquire) {
                    thread::park_timeout(TICK);
                    match weak.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => break,
                    }
                }
            })
            .map_err(|error| PluginError::Engine { reason: error.to_string() })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Nothing in the thread can panic; and if it did, there is nothing to clean up.
            drop(thread.join());
        }
    }
}
