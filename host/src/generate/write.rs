//! Numbers and times as bytes, without the formatting machinery.

use crate::time::civil_from_days;

/// Appends a number.
#[inline]
pub(crate) fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut length = 0;
    for slot in digits.iter_mut().rev() {
        *slot = digit(value);
        length += 1;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

/// Appends a number that may be negative.
#[inline]
pub(crate) fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(out, value.unsigned_abs());
}

/// Appends the last `W` digits of a number, with leading zeros.
#[inline]
pub(crate) fn padded<const W: usize>(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; W];
    for slot in digits.iter_mut().rev() {
        *slot = digit(value);
        value /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Appends a number of at least `W` digits, with leading zeros.
#[inline]
pub(crate) fn at_least<const W: usize>(out: &mut Vec<u8>, value: u64) {
    if u32::try_from(W).ok().and_then(|w| 10u64.checked_pow(w)).is_some_and(|most| value >= most) {
        unsigned(out, value);
    } else {
        padded::<W>(out, value);
    }
}

/// Appends the last `W` hexadecimal digits of a number.
#[inline]
pub(crate) fn hex<const W: usize>(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; W];
    for slot in digits.iter_mut().rev() {
        let nibble = u8::try_from(value & 15).unwrap_or(0);
        *slot = if nibble < 10 { b'0' + nibble } else { b'a' + (nibble - 10) };
        value >>= 4;
    }
    out.extend_from_slice(&digits);
}

/// Appends thousandths as a decimal number with three places.
#[inline]
pub(crate) fn thousandths(out: &mut Vec<u8>, value: u64) {
    unsigned(out, value / 1000);
    out.push(b'.');
    padded::<3>(out, value % 1000);
}

/// Appends an IPv4 address.
#[inline]
pub(crate) fn address(out: &mut Vec<u8>, value: u32) {
    let [a, b, c, d] = value.to_be_bytes();
    unsigned(out, u64::from(a));
    for part in [b, c, d] {
        out.push(b'.');
        unsigned(out, u64::from(part));
    }
}

/// Appends a time as `2025-09-12T11:59:33.334Z`.
pub(crate) fn rfc3339_ms(out: &mut Vec<u8>, time_us: i64) {
    let time = Time::of(time_us);
    time.rfc3339_seconds(out);
    out.push(b'.');
    padded::<3>(out, time.micros / 1000);
    out.push(b'Z');
}

/// Appends a time as `2025-09-12T11:59:33.334000Z`.
pub(crate) fn rfc3339_us(out: &mut Vec<u8>, time_us: i64) {
    let time = Time::of(time_us);
    time.rfc3339_seconds(out);
    out.push(b'.');
    padded::<6>(out, time.micros);
    out.push(b'Z');
}

/// Appends a time as access logs have it: `12/Sep/2025:11:59:33 +0000`.
pub(crate) fn access_log_time(out: &mut Vec<u8>, time_us: i64) {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let time = Time::of(time_us);
    padded::<2>(out, time.day);
    out.push(b'/');
    out.extend_from_slice(super::random::nth(&MONTHS, time.month - 1).as_bytes());
    out.push(b'/');
    padded::<4>(out, u64::try_from(time.year).unwrap_or(0));
    out.push(b':');
    time.clock(out);
    out.extend_from_slice(b" +0000");
}

struct Time {
    year: i64,
    month: u64,
    day: u64,
    second_of_day: u64,
    micros: u64,
}

impl Time {
    fn of(time_us: i64) -> Self {
        let seconds = time_us.div_euclid(1_000_000);
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        Self {
            year,
            month: u64::try_from(month).unwrap_or(1),
            day: u64::try_from(day).unwrap_or(1),
            second_of_day: u64::try_from(seconds.rem_euclid(86_400)).unwrap_or(0),
            micros: u64::try_from(time_us.rem_euclid(1_000_000)).unwrap_or(0),
        }
    }

    fn rfc3339_seconds(&self, out: &mut Vec<u8>) {
        if self.year < 0 {
            out.push(b'-');
        }
        at_least::<4>(out, self.year.unsigned_abs());
        out.push(b'-');
        padded::<2>(out, self.month);
        out.push(b'-');
        padded::<2>(out, self.day);
        out.push(b'T');
        self.clock(out);
    }

    fn clock(&self, out: &mut Vec<u8>) {
        padded::<2>(out, self.second_of_day / 3600);
        out.push(b':');
        padded::<2>(out, self.second_of_day / 60 % 60);
        out.push(b':');
        padded::<2>(out, self.second_of_day % 60);
    }
}

#[inline]
fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value % 10).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers() {
        for value in [0, 7, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(text(|out| unsigned(out, value)), value.to_string());
        }
        assert_eq!(text(|out| signed(out, i64::MIN)), i64::MIN.to_string());
        assert_eq!(text(|out| padded::<3>(out, 7)), "007");
        assert_eq!(text(|out| padded::<3>(out, 12_345)), "345");
        assert_eq!(text(|out| at_least::<3>(out, 12_345)), "12345");
        assert_eq!(text(|out| hex::<4>(out, 0xabc)), "0abc");
        assert_eq!(text(|out| thousandths(out, 12_045)), "12.045");
        assert_eq!(text(|out| address(out, 0x0a01_02ff)), "10.1.2.255");
    }

    #[test]
    fn times() {
        for (us, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_757_678_373_334_000, "2025-09-12T11:59:33.334000Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(text(|out| rfc3339_us(out, us)), expected);
        }
        assert_eq!(text(|out| rfc3339_ms(out, 1_999)), "1970-01-01T00:00:00.001Z");
        assert_eq!(
            text(|out| access_log_time(out, 1_757_678_373_334_000)),
            "12/Sep/2025:11:59:33 +0000"
        );
    }
}
