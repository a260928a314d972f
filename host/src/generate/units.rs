//! Durations and times as text.

use chrono::DateTime;

/// Returns the microseconds of a duration such as "10 minutes" or "250ms".
pub(super) fn duration_us(text: &str) -> Option<i64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let unit_us = match unit.trim() {
        "us" | "microsecond" | "microseconds" => 1.0,
        "ms" | "millisecond" | "milliseconds" => 1e3,
        "s" | "sec" | "second" | "seconds" => 1e6,
        "m" | "min" | "minute" | "minutes" => 60e6,
        "h" | "hour" | "hours" => 3_600e6,
        "d" | "day" | "days" => 86_400e6,
        _ => return None,
    };
    let us = number * unit_us;
    (us.is_finite() && us < 9e18).then(|| super::cast::to_i64(us))
}

/// Returns the microseconds since the Unix epoch of an RFC 3339 time.
pub(super) fn time_us(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text.trim()).ok().map(|time| time.timestamp_micros())
}
