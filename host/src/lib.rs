//! Millstream: a stream processor whose parsers and rules are WebAssembly plugins.
//!
//! # Data path
//! ```text
//! sources ─▶ parse (plugin) ─▶ stream (SQL) ─▶ window.combine ═▶ window.merge ─▶ window.advance
//!                                                                     ─▶ stream ─▶ rules ─▶ sinks
//! ```
//! Left of the double arrow everything runs on worker threads, a chunk at a time; right of it on the
//! one owner of the state, once an epoch. See [`engine`].
//!
//! # Rooms, in the order the data flows
//! [`config`] and [`diag`] read a pipeline file; [`plan`] turns it into typed nodes; [`sources`] cut
//! bytes into records; [`plugin`] calls WebAssembly; [`parse`] makes rows; [`expr`] and [`stream`]
//! are the SQL; [`window`] and [`watermark`] are event time; [`rules`] raise alerts; [`sinks`] and
//! [`encode`] write; [`checkpoint`] keeps state; [`kafka`] is the client of all three. Beside them:
//! [`engine`] runs a plan, [`report`] sums a run up, [`metrics`] tells how it goes, [`admin`] serves
//! them, [`generate`] makes data, [`testing`] runs a pipeline file's tests, [`cli`] is the command
//! line.
//!
//! # What must never appear where
//! * wasmtime, wasmparser, wit-component: only in [`plugin`].
//! * rdkafka: only in [`kafka`].
//! * axum: only in [`admin`]; prometheus: only in [`metrics`].
//! * A clock: only in [`clock`]; decisions take time as a parameter.
//! * I/O: never in [`plan`], [`window`], [`watermark`], [`rules`], [`expr`], [`stream`], [`parse`].
//! * The order of a hash map in anything that leaves the process.

pub mod admin;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data;
pub mod diag;
pub mod encode;
pub mod engine;
pub mod expr;
pub mod faults;
pub mod generate;
pub mod hash;
pub mod kafka;
pub mod metrics;
pub mod parse;
pub mod plan;
pub mod plugin;
pub mod report;
pub mod rules;
pub mod sinks;
pub mod sources;
pub mod stream;
pub mod testing;
pub mod time;
pub mod watermark;
pub mod window;
