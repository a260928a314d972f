//! What can go wrong with a plugin: as a file, as a configuration, in one call.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// Which plugin something is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginId {
    /// The name under which the pipeline uses it.
    pub name: String,
    /// The version it gives itself.
    pub version: String,
    /// SHA-256 of its file, lower-case hex.
    pub sha256: String,
}

/// Why a plugin cannot be loaded, configured or used.
#[derive(Debug, Error)]
pub enum PluginError {
    /// The plugin's file cannot be read.
    #[error("reading plugin file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than allowed.
    #[error("plugin file {path} has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest size allowed.
        limit: u64,
    },
    /// The file's digest is not the one the pipeline names.
    #[error("plugin file {path} has sha256 {found}, the pipeline file says {expected}")]
    Digest {
        /// The file.
        path: PathBuf,
        /// What the pipeline file says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The file is machine code, not WebAssembly.
    #[error("plugin file {path} is precompiled machine code, not WebAssembly")]
    Precompiled {
        /// The file.
        path: PathBuf,
    },
    /// The file is not WebAssembly that this host accepts.
    #[error("plugin file {path} is not a valid plugin: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the byte offset when known.
        reason: String,
    },
    /// The plugin wants something of the host that no plugin gets.
    #[error("plugin file {path} imports `{import}`, which this host does not give to plugins")]
    Import {
        /// The file.
        path: PathBuf,
        /// What it imports.
        import: String,
    },
    /// The plugin was built for another version of the contract.
    #[error(
        "plugin file {path} was built for {interface}@{built_for} and needs a host that serves it; this host serves {serves}"
    )]
    ApiVersion {
        /// The file.
        path: PathBuf,
        /// The interface ("millstream:plugin/parser").
        interface: String,
        /// The version the plugin was built for.
        built_for: String,
        /// The version this host serves.
        serves: String,
    },
    /// The plugin is not a parser, a transform or a rule, or is several of them.
    #[error("plugin file {path} exports {exports:?}, which is no world of millstream:plugin")]
    World {
        /// The file.
        path: PathBuf,
        /// What it exports.
        exports: Vec<String>,
    },
    /// The plugin is of another kind than the node that uses it.
    #[error("plugin {name} is a {found}, where a {wanted} is needed")]
    Kind {
        /// The plugin.
        name: String,
        /// The kind the node needs.
        wanted: &'static str,
        /// The kind it is.
        found: &'static str,
    },
    /// Compiling took more than it may.
    #[error("compiling plugin file {path} hit the limit of {limit}")]
    CompileLimit {
        /// The file.
        path: PathBuf,
        /// The limit and its value ("10 s of CPU time").
        limit: String,
    },
    /// The compiler refused or failed.
    #[error("compiling plugin file {path}: {reason}")]
    Compile {
        /// The file.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// The folder of compiled plugins cannot be used.
    #[error("folder of compiled plugins {path}: {reason}")]
    Cache {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The plugin refused its configuration.
    #[error("plugin {name} refused its configuration: {reason}")]
    Config {
        /// The plugin.
        name: String,
        /// What it said.
        reason: String,
    },
    /// A column cannot be handed to a plugin.
    #[error("column {column} of type {data_type} cannot be handed to plugin {name}")]
    InputType {
        /// The plugin.
        name: String,
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
    },
    /// The plugin asks for history of a column that its input does not have.
    #[error("plugin {name} asks for the history of column {column}, which its input does not have")]
    HistoryColumn {
        /// The plugin.
        name: String,
        /// The column.
        column: String,
    },
    /// A call that is not about data failed (`describe`, `configure`, starting an instance).
    #[error("{error}")]
    Call {
        /// The failed call.
        error: Box<CallError>,
    },
    /// A worker's instance does not say what the first instance said.
    #[error("plugin {name} returned another schema for the same configuration")]
    Unstable {
        /// The plugin.
        name: String,
    },
    /// The host handed a plugin something malformed.
    #[error("calling plugin {name}: {reason}")]
    Caller {
        /// The plugin.
        name: String,
        /// What was wrong.
        reason: String,
    },
    /// The WebAssembly engine cannot be set up.
    #[error("setting up the WebAssembly engine: {reason}")]
    Engine {
        /// What it said.
        reason: String,
    },
}

impl PluginError {
    /// Returns advice for who must act, when there is any.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "check the path and that this user may read it".to_owned(),
            Self::TooLarge { .. } => {
                "build the plugin with optimisation and without debug information".to_owned()
            }
            Self::Digest { found, .. } => {
                format!("if the new file is meant, set sha256 = \"{found}\"")
            }
            Self::Precompiled { .. } => {
                "give the .wasm file; the host compiles it and keeps the result".to_owned()
            }
            Self::Invalid { .. } => {
                "build it with `cargo build --target wasm32-unknown-unknown`, or as a component"
                    .to_owned()
            }
            Self::Import { import, .. } if import.starts_with("wasi:") => {
                "plugins get no WASI: Rust plugins target wasm32-unknown-unknown, other languages \
                 stub WASI out when the component is made"
                    .to_owned()
            }
            Self::Import { .. } => {
                "the only import a plugin may have is millstream:plugin/host-log".to_owned()
            }
            Self::ApiVersion { built_for, .. } => {
                format!("upgrade the host to a release that serves {built_for}, or rebuild the plugin")
            }
            Self::World { .. } => {
                "a plugin exports `meta` and one of `parser`, `transform`, `rule`".to_owned()
            }
            Self::CompileLimit { .. } => {
                "a plugin of usual size compiles in well under a second; look for huge generated functions"
                    .to_owned()
            }
            Self::Cache { .. } => {
                "the folder must belong to this user alone (mode 0700); set XDG_CACHE_HOME to use another"
                    .to_owned()
            }
            Self::Config { .. } => {
                "`millstream plugin inspect` shows the settings that the plugin knows".to_owned()
            }
            Self::Kind { name, .. } => format!(
                "a parser belongs in [parsers.*], a transform in [transforms.*], a rule in [rules.*]; \
                 `millstream plugin inspect {name}` shows what it is"
            ),
            Self::InputType { .. } => {
                "cast the column in a stream's `select` or `derive` first".to_owned()
            }
            Self::Call { error } => match error.failure {
                Failure::Deadline | Failure::Memory | Failure::OutputLimit => {
                    "raise the plugin's `limits`, or mend the plugin".to_owned()
                }
                _ => "this is a bug of the plugin; its author needs the trace".to_owned(),
            },
            _ => return None,
        })
    }
}

/// Why one call of a plugin did not give a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The guest trapped; the text is short and stable ("unreachable", "stack overflow").
    Trap(String),
    /// The guest used up its CPU time.
    Deadline,
    /// The guest wanted more memory than it may have.
    Memory,
    /// The guest returned more bytes than it may.
    OutputLimit,
    /// What the guest returned breaks the contract.
    BadOutput(String),
    /// The guest said that it cannot go on.
    Fault(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(what) => write!(f, "trap: {what}"),
            Self::Deadline => f.write_str("deadline: it used up its CPU time"),
            Self::Memory => f.write_str("memory: it wanted more than it may have"),
            Self::OutputLimit => f.write_str("output-limit: it returned more than it may"),
            Self::BadOutput(what) => write!(f, "bad-output: {what}"),
            Self::Fault(what) => write!(f, "fault: {what}"),
        }
    }
}

impl Failure {
    /// Returns the kind of failure as a short label with few values.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::OutputLimit => "output-limit",
            Self::BadOutput(_) => "bad-output",
            Self::Fault(_) => "fault",
        }
    }
}

/// One failed call of a plugin.
#[derive(Clone, Debug, Error)]
#[error(
    "plugin {}, version {}, sha256 {}: {call} failed: {failure}",
    plugin.name, plugin.version, plugin.sha256
)]
pub struct CallError {
    /// Whose call it was.
    pub plugin: Arc<PluginId>,
    /// The function called ("parse").
    pub call: &'static str,
    /// Why it failed.
    pub failure: Failure,
    /// The guest's stack at a trap, one frame a line; empty when there was none.
    pub backtrace: String,
}

/// One input that a plugin cannot digest.
#[derive(Clone, Debug)]
pub struct Poison {
    /// The index of the record or row in the batch. A rule's timer without a row: the number of
    /// rows plus the index of its key.
    pub record: u32,
    /// What happened to it when it was given to the plugin alone.
    pub error: Box<CallError>,
}
