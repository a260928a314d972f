//! SQL expressions.

mod aggregate;

pub use aggregate::{AggregateFunction, AggregateSpec};
