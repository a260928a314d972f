//! Compiling, in a child process that can be stopped.
//!
//! A compiler cannot be interrupted, and a module can be made that keeps it busy for hours or eats
//! all memory. So this program starts itself again with hard limits:
//!
//! ```text
//! parent ── stdin: one line of JSON (Request), then the wasm ──▶ child
//! child  ── exit code 0: the artefact is in Request.artefact
//!           exit code 1: the reason is on stderr
//!           a signal:    a limit was hit
//! ```
//!
//! The child starts with an empty environment, so it knows no secret.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::cache;
use super::engine::new_engine;
use super::error::PluginError;
use super::load::sha256_hex;

/// Set in the child's environment, so that a test binary can tell that it is meant.
pub(super) const CHILD_VARIABLE: &str = "MILLSTREAM_COMPILE_CHILD";
/// Most of the child's stderr that is read.
const MAX_REASON_BYTES: u64 = 16 << 10;
/// Compilers recurse.
const STACK_BYTES: usize = 64 << 20;

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// The program that compiles.
#[derive(Clone, Debug)]
pub struct CompileCommand {
    /// Its file.
    pub program: PathBuf,
    /// What it is started with.
    pub args: Vec<OsString>,
}

impl CompileCommand {
    /// Returns the command that starts `program` as `<program> __compile-plugin`.
    pub fn new(program: PathBuf) -> Self {
        Self { program, args: vec!["__compile-plugin".into()] }
    }
}

/// What compiling one plugin may take.
#[derive(Clone, Copy, Debug)]
pub struct CompileLimits {
    /// Address space.
    pub memory_bytes: u64,
    /// CPU time.
    pub cpu_seconds: u64,
    /// Time on the wall.
    pub wall: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { memory_bytes: 4 << 30, cpu_seconds: 60, wall: Duration::from_secs(120) }
    }
}

impl CompileLimits {
    /// Returns these limits, or those of this process where they are tighter: the child cannot
    /// have more.
    fn within_ours(self) -> Self {
        let ours = |resource| getrlimit(resource).current.unwrap_or(u64::MAX);
        Self {
            memory_bytes: self.memory_bytes.min(ours(Resource::As)),
            cpu_seconds: self.cpu_seconds.min(ours(Resource::Cpu)),
            wall: self.wall,
        }
    }
}

/// What the parent asks of the child.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    artefact: PathBuf,
    sha256: String,
    memory_bytes: u64,
    cpu_seconds: u64,
}

/// Compiles `wasm` to the file `artefact`. Blocks until the child has ended.
pub(super) fn compile(
    path: &Path,
    wasm: &Arc<[u8]>,
    sha256: &str,
    artefact: &Path,
    command: &CompileCommand,
    limits: &CompileLimits,
) -> Result<(), PluginError> {
    let failed = |reason: String| PluginError::Compile { path: path.to_owned(), reason };
    let limits = &limits.within_ours();
    let request = Request {
        artefact: artefact.to_owned(),
        sha256: sha256.to_owned(),
        memory_bytes: limits.memory_bytes,
        cpu_seconds: limits.cpu_seconds,
    };
    let mut header =
        serde_json::to_vec(&request).map_err(|error| failed(format!("request: {error}")))?;
    header.push(b'\n');

    let mut child = Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .env(CHILD_VARIABLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("starting {}: {error}", command.program.display())))?;

    // Both threads end with the child, when their pipes close.
    if let Some(mut stdin) = child.stdin.take() {
        let wasm = Arc::clone(wasm);
        thread::spawn(move || {
            // An error means that the child ended early: its exit code says why.
            drop(stdin.write_all(&header).and_then(|()| stdin.write_all(&wasm)));
        });
    }
    let (sender, said) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        thread::spawn(move || {
            let mut text = Vec::new();
            let mut stderr = stderr.take(MAX_REASON_BYTES);
            drop(stderr.read_to_end(&mut text));
            // Read on to the end, so that the child does not wait for us.
            drop(io::copy(&mut stderr.into_inner(), &mut io::sink()));
            drop(sender.send(text));
        });
    }
    let said = match said.recv_timeout(limits.wall) {
        Ok(text) => text,
        Err(RecvTimeoutError::Disconnected) => Vec::new(),
        Err(RecvTimeoutError::Timeout) => {
            drop(child.kill());
            drop(child.wait());
            let limit = format!("{} s on the clock", limits.wall.as_secs_f64());
            return Err(PluginError::CompileLimit { path: path.to_owned(), limit });
        }
    };
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let said = super::log::clean(String::from_utf8_lossy(&said).trim());
    Err(match limit_hit(status, &said, limits) {
        Some(limit) => PluginError::CompileLimit { path: path.to_owned(), limit },
        None if said.is_empty() => failed(format!("the compiler ended with {status}")),
        None => failed(said),
    })
}

/// Returns the limit that ended the child, when one did.
fn limit_hit(status: ExitStatus, said: &str, limits: &CompileLimits) -> Option<String> {
    match status.signal() {
        Some(SIGXCPU | SIGKILL) => Some(format!("{} s of CPU time", limits.cpu_seconds)),
        Some(SIGABRT) if said.contains("memory allocation") => {
            Some(format!("{} bytes of memory", limits.memory_bytes))
        }
        _ => None,
    }
}

/// Runs the compile child: reads a request from stdin, writes the artefact, returns the exit code.
///
/// For the hidden subcommand `__compile-plugin` only; it lowers this process's own limits.
pub fn compile_child_main() -> i32 {
    let work = thread::Builder::new().stack_size(STACK_BYTES).spawn(child);
    let result = match work.map(thread::JoinHandle::join) {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err("the compiler panicked".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    match result {
        Ok(()) => 0,
        Err(reason) => {
            drop(writeln!(io::stderr(), "{reason}"));
            1
        }
    }
}

fn child() -> Result<(), String> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut line = String::new();
    input.read_line(&mut line).map_err(|error| error.to_string())?;
    let request: Request = serde_json::from_str(&line).map_err(|error| error.to_string())?;
    lower(Resource::As, request.memory_bytes)?;
    lower(Resource::Cpu, request.cpu_seconds)?;
    lower(Resource::Core, 0)?;
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm).map_err(|error| error.to_string())?;
    if sha256_hex(&wasm) != request.sha256 {
        return Err("the plugin did not arrive whole".into());
    }
    let component = if wasmparser::Parser::is_core_wasm(&wasm) {
        encode(&wasm).map_err(|error| format!("making a component of the module: {error}"))?
    } else {
        wasm
    };
    let engine = new_engine().map_err(|error| error.to_string())?;
    let artefact = engine.precompile_component(&component).map_err(|error| format!("{error:#}"))?;
    cache::write(&request.artefact, &artefact)
        .map_err(|error| format!("writing {}: {error}", request.artefact.display()))
}

/// Returns the component that the core module `wasm` describes in its component-type section.
fn encode(wasm: &[u8]) -> Result<Vec<u8>, String> {
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(wasm)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))
}

fn lower(resource: Resource, value: u64) -> Result<(), String> {
    let limit = Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(resource, limit).map_err(|error| format!("setting a limit: {error}"))
}
