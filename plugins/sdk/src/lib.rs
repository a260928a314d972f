//! Write Millstream plugins in Rust.
//!
//! A plugin is a crate with `crate-type = ["cdylib"]` that implements [`Parser`],
//! [`Transform`] or [`Rule`], exports it, and is built for `wasm32-unknown-unknown`. The
//! README beside this crate shows one of each in full.
//!
//! A plugin is a pure function: it has no clock, no randomness, no input but its arguments,
//! and memory that need not survive a call. The only thing it may ask of the host is a line in
//! the log ([`log!`]).

// The macros of `bindings` name this crate by its name.
extern crate self as millstream_sdk;

#[allow(unsafe_code, missing_docs, reason = "generated")]
#[allow(clippy::all, clippy::pedantic, clippy::restriction, reason = "generated")]
#[doc(hidden)]
pub mod bindings;
pub mod column;
mod describe;
mod export;
pub mod log;
pub mod parser;
pub mod rule;
mod schema;
mod table;
pub mod testing;
pub mod transform;
mod view;

#[doc(hidden)]
pub use wit_bindgen;
pub use {postcard, serde, serde_json};

pub use describe::{Description, Fault, Reject, RejectCode, Sample};
pub use parser::{BatchBuilder, Parser};
pub use rule::{History, Output, Rule, RulePlan, Severity};
pub use schema::{ColumnRef, DataType, Field, Input, Schema, type_name};
pub use table::{RowBuilder, TableBuilder, Value};
pub use transform::Transform;
pub use view::{Records, Row};

/// What a plugin needs: `use millstream_sdk::prelude::*;`
pub mod prelude {
    pub use crate::{
        BatchBuilder, ColumnRef, DataType, Fault, Field, History, Input, Output, Parser, Records,
        Reject, RejectCode, Row, RowBuilder, Rule, RulePlan, Sample, Schema, Severity,
        TableBuilder, Transform, Value,
    };
    pub use serde::{Deserialize, Serialize};
}
