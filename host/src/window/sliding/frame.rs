//! How slices lie in windows.

use super::super::partial::SliceKey;
use super::super::slices::Slicing;

/// The end of a global window: reached only when the input ends.
pub const NEVER: i64 = i64::MAX;

/// How slices lie in windows.
#[derive(Clone, Copy, Debug)]
pub enum Frame {
    Aligned(Slicing),
    Global,
}

impl Frame {
    /// Returns the first and last end of the windows that take a slice.
    pub fn ends(&self, key: &SliceKey) -> (i64, i64) {
        match self {
            Self::Aligned(slicing) => {
                (slicing.first_end(key.start).max(key.min_end), slicing.last_end(key.start))
            }
            Self::Global => (NEVER, NEVER),
        }
    }

    pub fn next_end(&self, after: i64) -> i64 {
        match self {
            Self::Aligned(slicing) => slicing.next_end(after),
            Self::Global => NEVER,
        }
    }

    pub fn each_end(&self, from: i64, to: i64) -> impl Iterator<Item = i64> + use<> {
        let slide = match self {
            Self::Aligned(slicing) => slicing.slide,
            Self::Global => i64::MAX,
        };
        std::iter::successors(Some(from), move |end| end.checked_add(slide))
            .take_while(move |end| *end <= to)
    }

    pub fn slices_of(&self, end: i64) -> std::ops::Range<SliceKey> {
        match self {
            Self::Aligned(slicing) => SliceKey::normal(end - slicing.size)..SliceKey::normal(end),
            Self::Global => SliceKey::normal(i64::MIN)..SliceKey::normal(i64::MAX),
        }
    }

    /// Returns the first slice start that a window ending after `end` can hold.
    pub fn first_slice_after(&self, end: i64) -> SliceKey {
        match self {
            Self::Aligned(slicing) => SliceKey::normal(end.saturating_sub(slicing.size)),
            Self::Global => SliceKey::normal(i64::MIN),
        }
    }
}
