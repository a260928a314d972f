//! Rows to rows by SQL: unnest, derive, where, select, in this order.
//!
//! Pure and row-safe: a row whose expression fails leaves the stream and is told of in
//! [`RowErrors`]; its neighbours go on.

mod apply;
mod transform;
mod union;
mod unnest;

pub use apply::{RowErrors, apply, extend, filter_by};
pub use transform::{Refused, TransformError, Transformed, transform};
pub use union::union;
