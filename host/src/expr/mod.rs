//! SQL expressions of pipeline files: typed when a pipeline is loaded, run on Arrow batches.
//!
//! DataFusion parses, types, simplifies and evaluates. This room adds what a stream needs: an
//! expression never stops the stream and never depends on anything but its row.
//!
//! What it promises:
//! - A wrong expression is refused at load, with the place in its text and the nearest valid name.
//! - `/` gives a double, also on integers. Division and modulo by zero, integer overflow and a
//!   failed cast give null and are counted (`Evaluated::made_null`).
//! - Whatever else fails for a row makes that row's value null and is listed in
//!   `Evaluated::errors`; the other rows keep their values.
//! - A row's value, its error and its counts do not depend on the other rows of its batch.
//! - Results are boolean, int64, float64, text, timestamp, bytes, or lists of those: see
//!   `normalize`.
//!
//! Types inside expressions, where they differ from plain SQL: names are case-sensitive; a number
//! with a point is a double; a timestamp is microseconds in UTC, and text is read as one when it
//! is compared with one; `a - b` of two timestamps is a duration, which compares with intervals
//! and numbers and otherwise acts as a number of microseconds.
//!
//! What must never appear here: a clock, randomness, I/O, subqueries, the state of windows.

mod aggregate;
mod aggregate_call;
mod compiled;
mod context;
mod error;
mod functions;
mod guard;
mod normalize;
mod parse;
mod safe;
#[cfg(test)]
mod tests;
mod typing;

pub use aggregate::{AggregateFunction, AggregateSpec};
pub use aggregate_call::{AggregateCall, SUPPORTED_AGGREGATES, compile_aggregate};
pub use compiled::{Compiled, Evaluated, RowError, compile, compile_list, compile_predicate};
pub use context::supported_functions;
pub use error::SqlError;
pub use normalize::type_name;
