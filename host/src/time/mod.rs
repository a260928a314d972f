//! Timestamps as text: RFC 3339 in, RFC 3339 out.
//!
//! All time is microseconds since the Unix epoch, UTC, proleptic Gregorian. Every `i64` has a text,
//! and every text written here is read back as the same number. No clock is read here.

mod calendar;
mod parse;
mod write;

pub use calendar::civil_from_days;
pub use parse::{TimestampError, parse_timestamp_us};
pub use write::{format_timestamp_us, write_timestamp};
