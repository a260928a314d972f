//! Loads and calls WebAssembly plugins: parsers, transforms and rules.
//!
//! # What it promises
//! * A plugin is a pure function over batches. What it cannot do: read a clock, a file, a socket,
//!   or remember anything that matters from one call to the next.
//! * Whatever a plugin does (trap, loop, allocate, return nonsense), the host goes on. The records
//!   that a plugin cannot digest come back one by one as [`Poison`]; all others come through, in
//!   order, once.
//! * Nothing of what a guest returns is used before `validate` has looked at it.
//! * A deadline is charged in CPU time of the calling thread, so a stalled machine condemns nothing.
//!
//! # How it works
//! `load` reads a file, `gate` looks at it without running anything, `compile` has a child process
//! translate it, `cache` keeps the result. [`PluginVersion`] is the loaded thing; configured, it
//! becomes a [`ParserPlugin`], [`TransformPlugin`] or [`RulePlugin`], of which each worker thread
//! has its own instance. An instance survives until a call fails, until it holds too much memory or
//! until it has had enough calls; `bisect` and `rule_split` find what made a call fail.
//!
//! # What must never appear outside
//! A type of wasmtime, wasmparser or wit-component: nothing else in the host names them.

mod bindings;
mod bisect;
mod cache;
mod compile;
mod convert_in;
mod describe;
mod engine;
mod error;
mod gate;
mod inspect;
mod instance;
mod limits;
mod load;
mod log;
mod meter;
mod parser;
mod rule;
mod rule_split;
mod sample_rows;
mod schema;
mod transform;
mod validate;

#[cfg(test)]
mod tests;

pub use compile::{CompileCommand, CompileLimits, compile_child_main};
pub use describe::{Descriptor, RejectCode, Sample};
pub use engine::{PluginRuntime, RuntimeOptions};
pub use error::{CallError, Failure, PluginError, PluginId, Poison};
pub use gate::PluginKind;
pub use inspect::{Inspection, SampleResult, inspect, run_samples};
pub use load::PluginVersion;
pub use meter::Meter;
pub use parser::{ParseOutcome, ParserInstance, ParserPlugin, RecordsRef};
pub use rule::{RuleCall, RuleInstance, RuleOutcome, RulePlugin};
pub use transform::{TransformInstance, TransformOutcome, TransformPlugin};

/// The contract this host serves, as it stands in the names of a plugin's exports.
pub const API_VERSION: &str = "0.1.0";
