//! Numbers for people.

/// Returns a number with its thousands set apart: `1,234,567`.
pub fn count_text(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a size with one digit after the point: `205.3 MB`. Units are powers of 1,000.
pub fn bytes_text(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    for (unit, size) in units {
        if bytes >= size {
            return format!("{}.{} {unit}", count_text(bytes / size), bytes % size * 10 / size);
        }
    }
    format!("{bytes} B")
}

/// Returns a duration as a pipeline file takes it, in whole units, rounded up: `61 seconds`.
pub fn duration_text(duration_us: i64) -> String {
    let duration_us = duration_us.max(0).unsigned_abs();
    let units =
        [("hours", 3_600_000_000), ("minutes", 60_000_000), ("seconds", 1_000_000), ("ms", 1_000)];
    // From two of a unit on, what rounding up adds is at most a half.
    let (unit, size) =
        units.into_iter().find(|(_, size)| duration_us > 2 * size).unwrap_or(("ms", 1_000));
    let count = duration_us.div_ceil(size);
    let space = if unit == "ms" { "" } else { " " };
    format!("{count}{space}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (count, expected) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")]
        {
            assert_eq!(count_text(count), expected);
        }
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (205_390_000, "205.3 MB"),
            (u64::MAX, "18,446,744,073.7 GB"),
        ] {
            assert_eq!(bytes_text(bytes), expected);
        }
        for (us, expected) in [
            (-1, "0ms"),
            (0, "0ms"),
            (1, "1ms"),
            (1_000_000, "1000ms"),
            (2_000_001, "3 seconds"),
            (59_000_001, "60 seconds"),
            (120_000_000, "120 seconds"),
            (120_000_001, "3 minutes"),
            (i64::MAX, "2562047789 hours"),
        ] {
            assert_eq!(duration_text(us), expected, "{us}");
        }
    }
}
