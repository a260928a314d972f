//! Cells as bare text: what CSV and tables share.

use super::column::Value;
use super::json::write_json_list;
use crate::time::write_timestamp;

/// Appends a cell without quotes; null is nothing.
pub(super) fn write_plain(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Null => {}
        Value::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Int64(value) => write_integer(out, value),
        Value::Float64(value) if value.is_finite() => write_finite(out, value),
        Value::Float64(value) if value.is_nan() => out.extend_from_slice(b"NaN"),
        Value::Float64(value) if value > 0.0 => out.extend_from_slice(b"inf"),
        Value::Float64(_) => out.extend_from_slice(b"-inf"),
        Value::Text(value) => out.extend_from_slice(value.as_bytes()),
        Value::Time(value) => write_timestamp(out, value),
        Value::Binary(value) => write_binary(out, value),
        Value::List(list) => write_json_list(out, list),
    }
}

/// Appends an integer in decimal.
#[inline]
pub(super) fn write_integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the shortest text that reads back as the same finite double.
#[inline]
pub(super) fn write_finite(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
}

/// Appends bytes as text: valid UTF-8 as it is, every other byte as `\xff`.
///
/// Made to be read by people; it cannot always be turned back into the bytes.
pub(super) fn write_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for &byte in chunk.invalid() {
            out.extend_from_slice(b"\\x");
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 0x0f));
        }
    }
}

/// Returns the lower-case hexadecimal digit of a number below 16.
pub(super) fn hex_digit(number: u8) -> u8 {
    if number < 10 { b'0' + number } else { b'a' + (number & 0x0f) - 10 }
}
