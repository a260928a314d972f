//! Writing RFC 3339.

#![expect(clippy::indexing_slicing, reason = "every index is a number below 100, doubled")]

use super::calendar::civil_from_days;

const DAY_US: i64 = 86_400_000_000;

/// "00" to "99".
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Appends a time, microseconds since the Unix epoch, as RFC 3339 in UTC.
///
/// `2025-09-12T11:59:33Z`, with 3 or 6 digits of the second where it is not whole. Years beyond
/// 0000 to 9999 have a sign, as in ISO 8601: `+10000-01-01T00:00:00Z`, `-0001-12-31T00:00:00Z`.
/// Never fails and never allocates more than `out` needs.
pub fn write_timestamp(out: &mut Vec<u8>, time_us: i64) {
    let (days, of_day) = (time_us.div_euclid(DAY_US), time_us.rem_euclid(DAY_US));
    let (year, month, day) = civil_from_days(days);
    write_year(out, year);
    out.push(b'-');
    write_pair(out, month);
    out.push(b'-');
    write_pair(out, day);
    out.push(b'T');
    write_pair(out, of_day / 3_600_000_000);
    out.push(b':');
    write_pair(out, of_day / 60_000_000 % 60);
    out.push(b':');
    write_pair(out, of_day / 1_000_000 % 60);
    let micros = of_day % 1_000_000;
    if micros != 0 {
        out.push(b'.');
        write_three(out, micros / 1_000);
        if micros % 1_000 != 0 {
            write_three(out, micros % 1_000);
        }
    }
    out.push(b'Z');
}

/// Returns what [`write_timestamp`] writes.
pub fn format_timestamp_us(time_us: i64) -> String {
    let mut out = Vec::with_capacity(27);
    write_timestamp(&mut out, time_us);
    String::from_utf8(out).unwrap_or_default()
}

fn write_year(out: &mut Vec<u8>, year: i64) {
    if (0..=9_999).contains(&year) {
        write_pair(out, year / 100);
        write_pair(out, year % 100);
        return;
    }
    out.push(if year < 0 { b'-' } else { b'+' });
    let year = year.abs();
    if year > 9_999 {
        out.extend_from_slice(itoa::Buffer::new().format(year / 10_000).as_bytes());
    }
    write_pair(out, year / 100 % 100);
    write_pair(out, year % 100);
}

/// Appends a number from 0 to 99 as two digits.
fn write_pair(out: &mut Vec<u8>, number: i64) {
    let at = usize::try_from(number.clamp(0, 99) * 2).unwrap_or(0);
    out.extend_from_slice(&PAIRS[at..at + 2]);
}

/// Appends a number from 0 to 999 as three digits.
fn write_three(out: &mut Vec<u8>, number: i64) {
    let at = usize::try_from(number.clamp(0, 999) / 100 * 2).unwrap_or(0);
    out.push(PAIRS[at + 1]);
    write_pair(out, number % 100);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        for (time_us, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_757_678_373_334_000, "2025-09-12T11:59:33.334Z"),
            (1_757_678_373_334_001, "2025-09-12T11:59:33.334001Z"),
            (1_757_678_373_000_001, "2025-09-12T11:59:33.000001Z"),
            (1_757_678_373_000_000, "2025-09-12T11:59:33Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (-1_000, "1969-12-31T23:59:59.999Z"),
            (-DAY_US, "1969-12-31T00:00:00Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"),
            (-2_203_891_200_000_000, "1900-03-01T00:00:00Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
            (253_402_300_800_000_000, "+10000-01-01T00:00:00Z"),
            (-62_167_219_200_000_000, "0000-01-01T00:00:00Z"),
            (-62_167_219_200_000_001, "-0001-12-31T23:59:59.999999Z"),
            (i64::MAX, "+294247-01-10T04:00:54.775807Z"),
            (i64::MIN, "-290308-12-21T19:59:05.224192Z"),
        ] {
            assert_eq!(format_timestamp_us(time_us), expected, "{time_us}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(time_us in -8_000_000_000_000_000_000_i64..8_000_000_000_000_000_000) {
            let time = chrono::DateTime::from_timestamp_micros(time_us).unwrap();
            let expected = time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
            prop_assert_eq!(format_timestamp_us(time_us), expected);
        }
    }
}
