//! Durations and sizes as people write them: `"5 minutes"`, `"1h 30m"`, `"64 MiB"`.
//!
//! A number without a unit is refused: nobody should have to guess whether `10` is seconds.

use crate::diag::nearest;

/// Why a text is not a duration or a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text has no number where one must be.
    #[error("{text:?} is not a {what}: expected a number at {rest:?}")]
    NoNumber {
        /// "duration" or "size".
        what: &'static str,
        /// The whole text.
        text: String,
        /// What stands in the place of the number.
        rest: String,
    },
    /// A number has no unit.
    #[error("{text:?} is not a {what}: {number} needs a unit")]
    NoUnit {
        /// "duration" or "size".
        what: &'static str,
        /// The whole text.
        text: String,
        /// The number.
        number: String,
    },
    /// The unit is not one of ours.
    #[error("{text:?} is not a {what}: unknown unit {unit:?}")]
    UnknownUnit {
        /// "duration" or "size".
        what: &'static str,
        /// The whole text.
        text: String,
        /// The unit as given.
        unit: String,
    },
    /// Too large, or finer than a microsecond or a byte.
    #[error("{text:?} is not a {what}: {reason}")]
    Range {
        /// "duration" or "size".
        what: &'static str,
        /// The whole text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl UnitError {
    /// Returns what to write instead.
    pub fn help(&self) -> String {
        match self {
            Self::NoUnit { what: "duration", number, .. } => {
                format!("write \"{number} seconds\" or \"{number}ms\"")
            }
            Self::NoUnit { number, .. } => format!("write \"{number} MiB\" or \"{number} B\""),
            Self::UnknownUnit { what: "duration", unit, .. } => {
                if ["month", "months", "year", "years", "y"].contains(&unit.as_str()) {
                    return "months and years have no fixed length; write days".into();
                }
                match nearest(unit, DURATION_UNITS.iter().map(|(name, _)| *name)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "units are us, ms, s, m (minutes), h, d, w and their names".into(),
                }
            }
            Self::UnknownUnit { .. } => {
                "units are B, kB, MB, GB, TB (1000) and KiB, MiB, GiB, TiB (1024)".into()
            }
            Self::NoNumber { what: "duration", .. } => {
                "write for example \"5 minutes\", \"100ms\" or \"1h 30m\"".into()
            }
            Self::NoNumber { .. } => "write for example \"64 MiB\" or \"128 MB\"".into(),
            Self::Range { what: "duration", .. } => "the finest unit is 1us".into(),
            Self::Range { .. } => "the finest unit is 1 B".into(),
        }
    }
}

/// Full names first: of equally near names the first is suggested.
const DURATION_UNITS: &[(&str, u64)] = &[
    ("microseconds", 1),
    ("microsecond", 1),
    ("milliseconds", 1_000),
    ("millisecond", 1_000),
    ("seconds", 1_000_000),
    ("second", 1_000_000),
    ("minutes", 60_000_000),
    ("minute", 60_000_000),
    ("hours", 3_600_000_000),
    ("hour", 3_600_000_000),
    ("days", 86_400_000_000),
    ("day", 86_400_000_000),
    ("weeks", 604_800_000_000),
    ("week", 604_800_000_000),
    ("us", 1),
    ("µs", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("sec", 1_000_000),
    ("secs", 1_000_000),
    ("m", 60_000_000),
    ("min", 60_000_000),
    ("mins", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 604_800_000_000),
];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("b", 1),
    ("byte", 1),
    ("bytes", 1),
    ("kb", 1_000),
    ("kib", 1 << 10),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
    ("tb", 1_000_000_000_000),
    ("tib", 1 << 40),
];

/// Returns a duration in microseconds. Units add up: `"1h 30m"`. Fractions are exact: `"1.5s"`.
pub fn parse_duration_us(text: &str) -> Result<i64, UnitError> {
    let total = sum_of_parts("duration", text, DURATION_UNITS, str::to_string)?;
    i64::try_from(total).map_err(|_| too_large("duration", text))
}

/// Returns a size in bytes. Letters may be of either case; `MB` is 1000², `MiB` is 1024².
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let total = sum_of_parts("size", text, SIZE_UNITS, str::to_ascii_lowercase)?;
    u64::try_from(total).map_err(|_| too_large("size", text))
}

/// Returns a duration as short text that `parse_duration_us` reads back, such as `1h 30m`.
///
/// Negative durations, which no pipeline file can hold, get a leading minus.
pub fn format_duration_us(us: i64) -> String {
    const PARTS: [(&str, u64); 6] = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
        ("us", 1),
    ];
    if us == 0 {
        return "0s".into();
    }
    let mut rest = us.unsigned_abs();
    let mut parts = Vec::new();
    for (unit, size) in PARTS {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }
    let sign = if us < 0 { "-" } else { "" };
    format!("{sign}{}", parts.join(" "))
}

/// Returns a size as short text that `parse_size` reads back: the largest unit that divides it.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 8] = [
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("kB", 1_000),
    ];
    for (unit, size) in UNITS {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{} {unit}", bytes / size);
        }
    }
    format!("{bytes} B")
}

fn too_large(what: &'static str, text: &str) -> UnitError {
    UnitError::Range { what, text: text.to_string(), reason: "it is too large" }
}

/// Adds up `<number> <unit>` pairs, exactly.
fn sum_of_parts(
    what: &'static str,
    text: &str,
    units: &[(&str, u64)],
    fold: fn(&str) -> String,
) -> Result<u128, UnitError> {
    let mut total: u128 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(UnitError::NoNumber { what, text: text.into(), rest: rest.into() });
    }
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.' || c == '_');
        let (unit, after) =
            split(after.trim_start(), |c| !c.is_ascii_digit() && !c.is_whitespace());
        let Some((scaled, decimals)) = decimal(number) else {
            return Err(UnitError::NoNumber { what, text: text.into(), rest: rest.into() });
        };
        if unit.is_empty() {
            return Err(UnitError::NoUnit { what, text: text.into(), number: number.into() });
        }
        let folded = fold(unit);
        let Some((_, size)) = units.iter().find(|(name, _)| *name == folded) else {
            return Err(UnitError::UnknownUnit { what, text: text.into(), unit: unit.into() });
        };
        let scale = 10_u128.pow(decimals);
        let product = scaled.checked_mul(u128::from(*size)).ok_or_else(|| too_large(what, text))?;
        if product % scale != 0 {
            let reason = "it is finer than the smallest unit";
            return Err(UnitError::Range { what, text: text.into(), reason });
        }
        total = total.checked_add(product / scale).ok_or_else(|| too_large(what, text))?;
        rest = after.trim_start();
    }
    Ok(total)
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// Reads `12.5` as (125, 1): the digits and how many of them are decimals.
fn decimal(number: &str) -> Option<(u128, u32)> {
    let digits: String = number.chars().filter(|c| *c != '_').collect();
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits.as_str(), ""));
    if whole.is_empty() || decimals.contains('.') || (decimals.is_empty() && digits.contains('.')) {
        return None;
    }
    // Nineteen decimals are beyond any unit and keep the arithmetic within 128 bits.
    let places = u32::try_from(decimals.len()).ok().filter(|places| *places < 19)?;
    let all: u128 = format!("{whole}{decimals}").parse().ok()?;
    Some((all, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let cases = [
            ("5 minutes", 300_000_000),
            ("100ms", 100_000),
            ("1h 30m", 5_400_000_000),
            ("1h30m", 5_400_000_000),
            ("2 days", 172_800_000_000),
            ("1.5s", 1_500_000),
            ("0s", 0),
            ("1_000 us", 1_000),
            (" 1 week ", 604_800_000_000),
        ];
        for (text, us) in cases {
            assert_eq!(parse_duration_us(text), Ok(us), "{text}");
        }
    }

    #[test]
    fn refuses_bad_durations_with_a_remedy() {
        let cases = [
            ("", "write for example"),
            ("soon", "write for example"),
            ("10", "write \"10 seconds\""),
            ("-5s", "write for example"),
            ("5 minuts", "did you mean \"minutes\"?"),
            ("1 year", "months and years"),
            ("1.5us", "finest unit"),
            ("1..5s", "write for example"),
            ("999999999999 weeks", "finest"),
        ];
        for (text, help) in cases {
            let error = parse_duration_us(text).expect_err(text);
            assert!(error.help().contains(help), "{text}: {error} / {}", error.help());
        }
    }

    #[test]
    fn reads_sizes() {
        let cases = [
            ("64 MiB", 64 << 20),
            ("16MB", 16_000_000),
            ("1.5 KiB", 1536),
            ("10 b", 10),
            ("2gib", 2 << 30),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["64", "64 M", "MiB", "0.5 B", "99999999999 TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn formats_briefly_and_reads_back() {
        for (us, text) in [
            (0, "0s"),
            (100_000, "100ms"),
            (5_400_000_000, "1h 30m"),
            (86_400_000_001, "1d 1us"),
            (-60_000_000, "-1m"),
        ] {
            assert_eq!(format_duration_us(us), text);
        }
        for (bytes, text) in
            [(0, "0 B"), (64 << 20, "64 MiB"), (128_000_000, "128 MB"), (1025, "1025 B")]
        {
            assert_eq!(format_size(bytes), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_duration_survives_the_round_trip(us in 0_i64..) {
            proptest::prop_assert_eq!(parse_duration_us(&format_duration_us(us)), Ok(us));
        }

        #[test]
        fn every_size_survives_the_round_trip(bytes: u64) {
            proptest::prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = parse_duration_us(&text);
            let _ = parse_size(&text);
        }
    }
}
