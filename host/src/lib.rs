//! Millstream: a stream processor with WebAssembly plugins.

pub mod clock;
pub mod config;
pub mod data;
pub mod expr;
pub mod generate;
pub mod hash;
pub mod sources;
