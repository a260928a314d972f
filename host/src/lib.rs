//! Millstream: a stream processor with WebAssembly plugins.

pub mod clock;
pub mod config;
pub mod data;
pub mod encode;
pub mod expr;
pub mod hash;
pub mod report;
pub mod sinks;
