//! Conversions that round or cut on purpose.

/// Returns the whole part, cut to the range of the type; not a number gives 0.
#[expect(clippy::cast_possible_truncation, reason = "saturating is what is wanted")]
pub(super) fn to_i64(value: f64) -> i64 {
    value as i64
}

/// Returns the whole part, cut to the range of the type; not a number gives 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturating is what is wanted"
)]
pub(super) fn to_u64(value: f64) -> u64 {
    value as u64
}

/// Returns the nearest double.
#[expect(clippy::cast_precision_loss, reason = "rates and shares need no 53 bits")]
pub(super) fn to_f64(value: i64) -> f64 {
    value as f64
}
