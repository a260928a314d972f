//! The arithmetic of aligned windows and their slices.
//!
//! Windows are `[start, start + size)` with `start ≡ offset (mod slide)`. Time is cut into slices
//! of `gcd(size, slide)`, aligned likewise: every window is a whole number of slices, so each row
//! is added once. Times are within `TIME_LIMIT` and lengths within `LENGTH_LIMIT`, so that
//! nothing here overflows.

/// Sizes and alignment of a tumbling or sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slicing {
    /// Length of a window.
    pub(crate) size: i64,
    /// Distance of starts.
    pub(crate) slide: i64,
    /// Start of some window, from 0 to below `slide`.
    pub(crate) offset: i64,
    /// Length of a slice.
    pub(crate) slice: i64,
}

fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Slicing {
    /// Cuts time for windows of `size` every `slide`; both are at least 1.
    pub(crate) fn new(size: i64, slide: i64, offset: i64) -> Self {
        Self { size, slide, offset: offset.rem_euclid(slide), slice: gcd(size, slide) }
    }

    /// Returns the start of the slice that holds a time.
    pub(crate) fn slice_of(&self, time: i64) -> i64 {
        (time - self.offset).div_euclid(self.slice) * self.slice + self.offset
    }

    /// Returns the last window end at or before a time.
    fn end_at_or_before(&self, time: i64) -> i64 {
        let base = self.offset + self.size;
        (time - base).div_euclid(self.slide) * self.slide + base
    }

    /// Returns the end of the first window that holds the slice.
    pub(crate) fn first_end(&self, slice: i64) -> i64 {
        self.end_at_or_before(slice + self.slice - 1) + self.slide
    }

    /// Returns the end of the last window that holds the slice; before `first_end` when none
    /// does.
    pub(crate) fn last_end(&self, slice: i64) -> i64 {
        self.end_at_or_before(slice + self.size)
    }

    /// Returns the first window end after a time that may be any number.
    pub(crate) fn next_end(&self, after: i64) -> i64 {
        let limit = i64::MAX / 2;
        let after = after.clamp(-limit, limit);
        self.end_at_or_before(after) + self.slide
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_a_time_are_found() {
        let cases = [
            // size, slide, offset, time, slice, first end, last end
            (60, 60, 0, 59, 0, 60, 60),
            (60, 60, 0, 60, 60, 120, 120),
            (60, 60, 0, -1, -60, 0, 0),
            (60, 60, 15, 14, -45, 15, 15),
            (60, 60, -45, 15, 15, 75, 75),
            (300, 60, 0, 0, 0, 60, 300),
            (300, 60, 0, -1, -60, 0, 240),
            (10, 4, 0, 9, 8, 10, 18),
            (10, 4, 1, 0, -1, 3, 7),
            (2, 6, 0, 1, 0, 2, 2),
        ];
        for (size, slide, offset, time, slice, first, last) in cases {
            let slicing = Slicing::new(size, slide, offset);
            assert_eq!(slicing.slice_of(time), slice, "slice of {time}");
            assert_eq!(slicing.first_end(slice), first, "first end of {time}");
            assert_eq!(slicing.last_end(slice), last, "last end of {time}");
        }
    }

    #[test]
    fn a_gap_between_windows_has_no_window() {
        let slicing = Slicing::new(2, 6, 0);
        assert!(slicing.last_end(2) < slicing.first_end(2));
        assert_eq!(slicing.next_end(2), 8);
        assert_eq!(slicing.next_end(1), 2);
        assert!(slicing.next_end(i64::MIN) < 0);
        assert!(slicing.next_end(i64::MAX) > 0);
    }
}
