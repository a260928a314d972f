//! Decimal numbers, exactly.

use crate::simd::Block;

/// A decimal number as written: `±digits × 10^exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'a> {
    negative: bool,
    /// The first 19 digits.
    digits: u64,
    exponent: i32,
    /// No digit other than 0 was left out of `digits`.
    exact: bool,
    text: &'a [u8],
}

/// Why a number does not become a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// A fraction where an integer is wanted.
    NotIntegral,
    /// Beyond the type's range.
    OutOfRange,
}

const MAX_DIGITS: u32 = 19;

impl<'a> Number<'a> {
    /// Reads the longest number at `at` by JSON's grammar. Returns it and where it ends.
    #[inline]
    #[must_use]
    pub fn read_json(data: &'a [u8], at: usize, end: usize) -> Option<(Self, usize)> {
        Self::read(data, at, end, false)
    }

    /// The whole text as a number. Unlike in JSON, a plus sign and leading zeros are allowed.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let start = usize::from(text.first() == Some(&b'+') && text.get(1) != Some(&b'-'));
        let (number, end) = Self::read(text, start, text.len(), true)?;
        (end == text.len()).then_some(number)
    }

    #[inline]
    fn read(data: &'a [u8], start: usize, end: usize, zeros: bool) -> Option<(Self, usize)> {
        let data = data.get(..end)?;
        let mut at = start;
        let negative = data.get(at) == Some(&b'-');
        at += usize::from(negative);
        let (mut digits, mut count, mut exponent, mut exact) = (0_u64, 0_u32, 0_i32, true);
        let first = at;
        while let Some(digit) = digit(data, at) {
            if count < MAX_DIGITS {
                digits = digits * 10 + digit;
                count += u32::from(digits != 0);
            } else {
                exact &= digit == 0;
                exponent = exponent.saturating_add(1);
            }
            at += 1;
        }
        let whole = at - first;
        if whole == 0 || (whole > 1 && !zeros && data.get(first) == Some(&b'0')) {
            return None;
        }
        if data.get(at) == Some(&b'.') {
            at += 1;
            let first = at;
            while let Some(digit) = digit(data, at) {
                if count < MAX_DIGITS {
                    digits = digits * 10 + digit;
                    count += u32::from(digits != 0);
                    exponent = exponent.saturating_sub(1);
                } else {
                    exact &= digit == 0;
                }
                at += 1;
            }
            if at == first {
                return None;
            }
        }
        if let Some(b'e' | b'E') = data.get(at) {
            at += 1;
            let minus = match data.get(at) {
                Some(b'-') => true,
                Some(b'+') => false,
                _ => {
                    at -= 1;
                    false
                }
            };
            at += 1;
            let first = at;
            let mut power = 0_i32;
            while let Some(digit) = digit(data, at) {
                power = power.saturating_mul(10).saturating_add(i32::try_from(digit).unwrap_or(0));
                at += 1;
            }
            if at == first {
                return None;
            }
            exponent =
                if minus { exponent.saturating_sub(power) } else { exponent.saturating_add(power) };
        }
        let text = data.get(start..at)?;
        let number = Self { negative, digits, exponent, exact, text };
        Some((number, at))
    }

    /// As an integer.
    ///
    /// # Errors
    /// It has a fraction, or does not fit.
    #[inline]
    pub fn to_i64(self) -> Result<i64, NumberError> {
        let mut digits = self.digits;
        if self.exponent != 0 && digits != 0 {
            let power = self.exponent.unsigned_abs();
            if self.exponent < 0 {
                // Digits left out stand behind those of `digits`, which do not end in zeros then.
                let divisor = 10_u64.checked_pow(power).ok_or(NumberError::NotIntegral)?;
                if !digits.is_multiple_of(divisor) || !self.exact {
                    return Err(NumberError::NotIntegral);
                }
                digits /= divisor;
            } else {
                digits = 10_u64
                    .checked_pow(power)
                    .and_then(|factor| digits.checked_mul(factor))
                    .ok_or(NumberError::OutOfRange)?;
            }
        }
        if !self.exact {
            return Err(NumberError::NotIntegral);
        }
        let value = if self.negative {
            0_i64.checked_sub_unsigned(digits)
        } else {
            i64::try_from(digits).ok()
        };
        value.ok_or(NumberError::OutOfRange)
    }

    /// As the nearest double.
    ///
    /// # Errors
    /// It is beyond the range of doubles.
    #[inline]
    pub fn to_f64(self) -> Result<f64, NumberError> {
        let power = self.exponent.unsigned_abs() as usize;
        if self.exact && self.digits < 1 << 53 {
            // Both operands are exact, so that the result is rounded once.
            if let Some(&power) = POWERS.get(power) {
                #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
                let digits = self.digits as f64;
                let value = if self.exponent < 0 { digits / power } else { digits * power };
                return Ok(if self.negative { -value } else { value });
            }
        }
        self.slow()
    }

    #[cold]
    fn slow(self) -> Result<f64, NumberError> {
        let value = core::str::from_utf8(self.text)
            .ok()
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(f64::INFINITY);
        if value.is_finite() { Ok(value) } else { Err(NumberError::OutOfRange) }
    }
}

/// A short number: `±digits / 10^decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    negative: bool,
    digits: u64,
    decimals: usize,
}

impl Short {
    /// Reads a number of at most 18 digits and without an exponent, eight digits at a time.
    /// `None` does not mean that there is no number, only that [`Number`] must look. What stands
    /// behind it is for the caller to check; it is no digit.
    #[inline(always)]
    #[must_use]
    pub fn read(data: &[u8], at: usize) -> Option<(Self, usize)> {
        let negative = *data.get(at)? == b'-';
        let first = at + usize::from(negative);
        let block = Block::at(data, first)?;
        let others = !block.digits() & 0xffff;
        let [low, high] = block.words();
        let count = others.trailing_zeros() as usize;
        // Sixteen digits and more, or none.
        if others == 0 || count == 0 {
            return None;
        }
        let mut digits = if count <= 8 {
            first_digits(low, count)
        } else {
            first_digits(low, 8) * *TENS.get(count - 8)? + first_digits(high, count - 8)
        };
        if count > 1 && low & 0xff == u64::from(b'0') {
            return None;
        }
        let mut at = first + count;
        let mut decimals = 0;
        if *data.get(at)? == b'.' {
            let word = u64::from_le_bytes(*data.get(at + 1..)?.first_chunk::<8>()?);
            decimals = count_first_digits(word);
            if decimals == 0 || decimals == 8 || count + decimals > 18 {
                return None;
            }
            digits = digits * *TENS.get(decimals)? + first_digits(word, decimals);
            at += 1 + decimals;
        }
        let short = Self { negative, digits, decimals };
        Some((short, at))
    }

    /// As an integer, when it has no decimals.
    #[inline(always)]
    #[must_use]
    pub fn to_i64(self) -> Option<i64> {
        // At most 18 digits.
        let digits = i64::try_from(self.digits).ok()?;
        (self.decimals == 0).then_some(if self.negative { -digits } else { digits })
    }

    /// As the nearest double, when one division finds it.
    #[inline(always)]
    #[must_use]
    pub fn to_f64(self) -> Option<f64> {
        if self.digits >= 1 << 53 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let value = self.digits as f64 / *POWERS.get(self.decimals)?;
        Some(if self.negative { -value } else { value })
    }
}

const TENS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// How many of the eight bytes are digits before the first other.
#[inline(always)]
fn count_first_digits(word: u64) -> usize {
    let word = word ^ 0x3030_3030_3030_3030;
    // The high bit of each byte that is no digit; right up to and with the first.
    let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    others.trailing_zeros() as usize / 8
}

/// The value of the first `count` bytes, which are digits; 1 to 8.
#[inline(always)]
fn first_digits(word: u64, count: usize) -> u64 {
    // Digits to the end, zeros before them; then pairs, fours, eight.
    let word = (word ^ 0x3030_3030_3030_3030) << (64 - 8 * count);
    let word = (word.wrapping_mul(10) + (word >> 8)) & 0x00ff_00ff_00ff_00ff;
    let word = (word.wrapping_mul(100) + (word >> 16)) & 0x0000_ffff_0000_ffff;
    (word.wrapping_mul(10_000) + (word >> 32)) & 0xffff_ffff
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

#[inline]
fn digit(data: &[u8], at: usize) -> Option<u64> {
    let digit = data.get(at)?.wrapping_sub(b'0');
    (digit < 10).then_some(u64::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use NumberError::{NotIntegral, OutOfRange};

    #[test]
    fn integers() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("+7", Ok(7)),
            ("007", Ok(7)),
            ("12", Ok(12)),
            ("12.0", Ok(12)),
            ("12.50", Err(NotIntegral)),
            ("1.5e1", Ok(15)),
            ("1200e-2", Ok(12)),
            ("1e3", Ok(1000)),
            ("1e-3", Err(NotIntegral)),
            ("0e999999999999", Ok(0)),
            ("1e999999999999", Err(OutOfRange)),
            ("1e-999999999999", Err(NotIntegral)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("9223372036854775808", Err(OutOfRange)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("-9223372036854775809", Err(OutOfRange)),
            ("123456789012345678901234567890", Err(OutOfRange)),
            ("100000000000000000000000000000", Err(OutOfRange)),
            ("1.00000000000000000000000000000", Ok(1)),
            ("1.00000000000000000000000000001", Err(NotIntegral)),
        ] {
            let number = Number::parse(text.as_bytes()).expect(text);
            assert_eq!(number.to_i64(), expected, "{text}");
        }
    }

    #[test]
    fn doubles_are_the_nearest() {
        for text in [
            "0",
            "-0",
            "1",
            "0.1",
            "655.35",
            "1e22",
            "1e23",
            "9007199254740993",
            "1e308",
            "2.2250738585072011e-308",
            "4.9e-324",
            "1e-400",
            "123456789012345678901234567890",
            "0.000000000000000000000000000000001",
            "1.7976931348623157e308",
            "-12.5e-3",
        ] {
            let number = Number::parse(text.as_bytes()).expect(text);
            let expected: f64 = text.parse().expect(text);
            let actual = number.to_f64().expect(text);
            assert_eq!(actual.to_bits(), expected.to_bits(), "{text}");
        }
        let huge = Number::parse(b"1e309").expect("a number");
        assert_eq!(huge.to_f64(), Err(OutOfRange));
    }

    #[test]
    fn short_numbers_are_those_of_the_long_way() {
        let behind = ",                        ";
        for text in [
            "0",
            "-0",
            "7",
            "12",
            "-345",
            "1234567",
            "12345678",
            "123456789",
            "123456789012345",
            "1234567890123456",
            "0.5",
            "-655.35",
            "12345678.1234567",
            "0.0000001",
            "1.12345678",
            "01",
            "00.5",
            "-",
            "",
            ".5",
            "5.",
            "1e5",
            "9007199254740993",
            "99999999.99999999",
        ] {
            let data = format!("{text}{behind}");
            let Some((short, end)) = Short::read(data.as_bytes(), 0) else {
                continue;
            };
            if data.as_bytes().get(end) != Some(&b',') {
                continue;
            }
            assert_eq!(end, text.len(), "{text}");
            let number = Number::parse(text.as_bytes()).expect(text);
            assert_eq!(
                short.to_i64(),
                number.to_i64().ok().filter(|_| !text.contains('.')),
                "{text}"
            );
            if let Some(value) = short.to_f64() {
                assert_eq!(value.to_bits(), number.to_f64().expect(text).to_bits(), "{text}");
            }
        }
        let taken = |text: &str| Short::read(format!("{text}{behind}").as_bytes(), 0).is_some();
        assert!(taken("1699999996488") && taken("245.090") && taken("-12"));
        assert!(!taken("01") && !taken("-") && !taken("1.12345678") && !taken("1."));
    }

    #[test]
    fn what_is_no_number() {
        for text in
            ["", "-", "+", "+-1", ".5", "5.", "1e", "1e+", "x", "1x", "0x10", "1 ", "NaN", "--1"]
        {
            assert_eq!(Number::parse(text.as_bytes()), None, "{text}");
        }
        for text in ["01", "+1", "-01"] {
            assert_eq!(Number::read_json(text.as_bytes(), 0, text.len()), None, "{text}");
        }
    }
}
