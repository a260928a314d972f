//! Rows as text: JSON lines, CSV, aligned tables and lines of alerts.
//!
//! Encoders append to a `Vec<u8>` and know nothing of files, sinks or time. What they write is the
//! same for the same rows, always. All of them see columns through `column::Column`, so a type
//! that one of them can write, all can.
//!
//! | type | JSON | CSV | table |
//! | --- | --- | --- | --- |
//! | null | `null` | nothing | `null` |
//! | boolean, int64 | `true`, `12` | the same | the same |
//! | float64 | shortest text that reads back equal; NaN and infinities `null` | the same; `NaN`, `inf`, `-inf` | as CSV |
//! | text | a string | quoted where needed | control characters as `\n`, `\x1b` |
//! | timestamp | `"2025-09-12T11:59:33.334Z"` | without quotes | as CSV |
//! | binary | a string: valid UTF-8 as it is, other bytes as `\xff` | as JSON's string | as text |
//! | list | an array | JSON text | JSON text |
//!
//! Other Arrow types are cast to the nearest of these, once a batch; those without one (decimals,
//! structs, maps) are refused by `check_schema`.

mod alert;
mod column;
mod csv;
mod error;
mod json;
mod plain;
mod table;

#[cfg(test)]
mod tests;

pub use alert::{ALERT_COLUMNS, AlertLine, alert_lines};
pub use column::check_schema;
pub(crate) use column::{Column, Value};
pub use csv::CsvEncoder;
pub use error::EncodeError;
pub(crate) use json::write_json_value;
pub use json::{JsonEncoder, Tag, row_json, write_json_string};
pub use table::{TableStyle, write_table};
