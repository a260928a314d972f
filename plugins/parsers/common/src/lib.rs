//! What the parsers share: searches with SIMD, exact numbers, times, and typed columns.

pub mod columns;
pub mod layout;
pub mod number;
pub mod scan;
mod simd;
pub mod time;
