//! Reading RFC 3339.

use super::calendar::{days_from_civil, days_in_month};

const US_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Why a text is not a timestamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// The text is not shaped like a timestamp.
    #[error("expected a timestamp such as \"2025-09-12T11:59:33Z\", found {text:?}")]
    Shape {
        /// The text as given.
        text: String,
    },
    /// A part is beyond its range, such as month 13 or February 30.
    #[error("the {part} is out of range in the timestamp {text:?}")]
    Range {
        /// The name of the part.
        part: &'static str,
        /// The text as given.
        text: String,
    },
}

/// Returns the microseconds since the Unix epoch of an RFC 3339 text.
///
/// A text without a zone is UTC, a date alone is its midnight. `T` may be a space, years may
/// carry a sign and more than four digits, digits past the microsecond are cut off, and second
/// 60 is the first second of the next minute.
pub fn parse_timestamp_us(text: &str) -> Result<i64, TimestampError> {
    let mut scan = Scan { rest: text.trim().as_bytes() };
    let parts = scan.timestamp().ok_or_else(|| TimestampError::Shape { text: text.to_string() })?;
    parts.to_us().map_err(|part| TimestampError::Range { part, text: text.to_string() })
}

/// The numbers of a timestamp as written.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    fraction_us: i64,
    zone_sign: i64,
    zone_hours: i64,
    zone_minutes: i64,
}

impl Parts {
    fn to_us(&self) -> Result<i64, &'static str> {
        within(self.month, 1, 12, "month")?;
        within(self.day, 1, days_in_month(self.year, self.month), "day")?;
        within(self.hour, 0, 23, "hour")?;
        within(self.minute, 0, 59, "minute")?;
        within(self.second, 0, 60, "second")?;
        within(self.zone_hours, 0, 23, "zone")?;
        within(self.zone_minutes, 0, 59, "zone")?;
        let days = days_from_civil(self.year, self.month, self.day);
        let zone = self.zone_sign * (self.zone_hours * 3600 + self.zone_minutes * 60);
        let seconds = days * SECONDS_PER_DAY + self.hour * 3600 + self.minute * 60 + self.second;
        let us =
            i128::from(seconds - zone) * i128::from(US_PER_SECOND) + i128::from(self.fraction_us);
        i64::try_from(us).map_err(|_| "year")
    }
}

fn within(value: i64, low: i64, high: i64, part: &'static str) -> Result<(), &'static str> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(part) }
}

/// Reads a timestamp from the front of a text; `None` means "not shaped like one".
struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    fn timestamp(&mut self) -> Option<Parts> {
        let sign = match self.peek() {
            Some(b'+') => self.skip(1),
            Some(b'-') => -self.skip(1),
            _ => 0,
        };
        let year = if sign == 0 { self.digits(4, 4)? } else { self.digits(4, 6)? };
        self.expect(b'-')?;
        let month = self.digits(2, 2)?;
        self.expect(b'-')?;
        let day = self.digits(2, 2)?;
        let mut parts = Parts {
            year: if sign < 0 { -year } else { year },
            month,
            day,
            hour: 0,
            minute: 0,
            second: 0,
            fraction_us: 0,
            zone_sign: 1,
            zone_hours: 0,
            zone_minutes: 0,
        };
        if matches!(self.peek(), Some(b'T' | b't' | b' ')) {
            self.skip(1);
            parts.hour = self.digits(2, 2)?;
            self.expect(b':')?;
            parts.minute = self.digits(2, 2)?;
            self.expect(b':')?;
            parts.second = self.digits(2, 2)?;
            if matches!(self.peek(), Some(b'.' | b',')) {
                self.skip(1);
                parts.fraction_us = self.fraction()?;
            }
            self.zone(&mut parts)?;
        }
        self.rest.is_empty().then_some(parts)
    }

    fn zone(&mut self, parts: &mut Parts) -> Option<()> {
        match self.peek() {
            Some(b'Z' | b'z') => {
                self.skip(1);
            }
            Some(sign @ (b'+' | b'-')) => {
                self.skip(1);
                parts.zone_sign = if sign == b'-' { -1 } else { 1 };
                parts.zone_hours = self.digits(2, 2)?;
                if self.peek() == Some(b':') {
                    self.skip(1);
                }
                parts.zone_minutes = self.digits(2, 2)?;
            }
            _ => {}
        }
        Some(())
    }

    fn fraction(&mut self) -> Option<i64> {
        let mut us = 0;
        let mut unit = 100_000;
        let mut count = 0;
        while let Some(digit) = self.digit() {
            us += digit * unit;
            unit /= 10;
            count += 1;
        }
        (count > 0).then_some(us)
    }

    fn digits(&mut self, least: usize, most: usize) -> Option<i64> {
        let mut number = 0;
        let mut count = 0;
        while count < most {
            let Some(digit) = self.digit() else { break };
            number = number * 10 + digit;
            count += 1;
        }
        (count >= least).then_some(number)
    }

    fn digit(&mut self) -> Option<i64> {
        let byte = self.peek().filter(u8::is_ascii_digit)?;
        self.skip(1);
        Some(i64::from(byte - b'0'))
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| {
            self.skip(1);
        })
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn skip(&mut self, count: usize) -> i64 {
        self.rest = self.rest.get(count..).unwrap_or_default();
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::format_timestamp_us;

    #[test]
    fn reads_rfc_3339_and_naive_times() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01", 0),
            ("1970-01-01 00:00:01", US_PER_SECOND),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2025-09-12T11:59:33.334Z", 1_757_678_373_334_000),
            ("2025-09-12T13:59:33.334+02:00", 1_757_678_373_334_000),
            ("2025-09-12t06:29:33.3340009-0530", 1_757_678_373_334_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000),
            ("0000-03-01T00:00:00Z", -62_162_035_200_000_000),
            ("+10000-01-01T00:00:00Z", 253_402_300_800_000_000),
        ];
        for (text, us) in cases {
            assert_eq!(parse_timestamp_us(text), Ok(us), "{text}");
        }
    }

    #[test]
    fn says_why_a_text_is_no_time() {
        for text in [
            "",
            "now",
            "2025-9-12",
            "2025-09-12T1:00:00Z",
            "2025-09-12T01:00:00.Z",
            "20250912",
            "2025-09-12T01:00:00Zx",
        ] {
            assert_eq!(parse_timestamp_us(text), Err(TimestampError::Shape { text: text.into() }));
        }
        for (text, part) in [
            ("2025-13-01", "month"),
            ("2025-02-29", "day"),
            ("2025-01-01T24:00:00Z", "hour"),
            ("2025-01-01T00:60:00Z", "minute"),
            ("2025-01-01T00:00:61Z", "second"),
            ("2025-01-01T00:00:00+99:00", "zone"),
            ("+300000-01-01", "year"),
        ] {
            assert_eq!(
                parse_timestamp_us(text),
                Err(TimestampError::Range { part, text: text.into() })
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn every_time_survives_the_round_trip(us: i64) {
            proptest::prop_assert_eq!(parse_timestamp_us(&format_timestamp_us(us)), Ok(us));
        }
    }

    #[test]
    fn the_ends_of_time_survive_too() {
        for us in [i64::MIN, i64::MAX] {
            assert_eq!(parse_timestamp_us(&format_timestamp_us(us)), Ok(us));
        }
    }
}
