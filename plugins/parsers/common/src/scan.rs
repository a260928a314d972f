//! Searches in a buffer between two positions. They may look at, but never report, what stands
//! behind the end.

use crate::simd::Block;

macro_rules! search {
    ($data:expr, $at:expr, $end:expr, $block:ident => $mask:expr, $byte:ident => $test:expr) => {{
        let (data, mut at, end): (&[u8], usize, usize) = ($data, $at, $end);
        while at < end {
            let Some($block) = Block::at(data, at) else { break };
            let mask: u32 = $mask;
            if mask != 0 {
                return (at + mask.trailing_zeros() as usize).min(end);
            }
            at += 16;
        }
        while at < end {
            match data.get(at) {
                Some(&$byte) if $test => return at,
                Some(_) => at += 1,
                None => break,
            }
        }
        end
    }};
}

/// The first `byte` from `at` on, or `end`.
#[inline]
#[must_use]
pub fn find(data: &[u8], at: usize, end: usize, byte: u8) -> usize {
    search!(data, at, end, b => b.eq(byte), x => x == byte)
}

/// The first of either byte from `at` on, or `end`.
#[inline]
#[must_use]
pub fn find_either(data: &[u8], at: usize, end: usize, one: u8, other: u8) -> usize {
    search!(data, at, end, b => b.eq_either(one, other), x => x == one || x == other)
}

/// The first byte that ends or breaks the plain part of a JSON string: `"`, `\`, or a control
/// character; or `end`.
#[must_use]
pub fn find_json_special(data: &[u8], at: usize, end: usize) -> usize {
    search!(data, at, end, b => b.json_special(), x => x == b'"' || x == b'\\' || x < 0x20)
}

/// The same, in line and without a call. `None` when there is none with 16 bytes from its block's
/// start on.
#[inline(always)]
#[must_use]
pub fn json_special_near(data: &[u8], at: usize) -> Option<usize> {
    // Most strings are short: the first block is no loop, which would be interruptible.
    let mut at = at;
    let mut mask = Block::at(data, at)?.json_special();
    while mask == 0 {
        at += 16;
        mask = Block::at(data, at)?.json_special();
    }
    Some(at + mask.trailing_zeros() as usize)
}

/// How many digits stand at `at`: 0 to 15; `None` when there are more, or the buffer ends before
/// that can be told.
#[inline(always)]
#[must_use]
pub fn count_digits(data: &[u8], at: usize) -> Option<usize> {
    let others = !Block::at(data, at)?.digits() & 0xffff;
    (others != 0).then(|| others.trailing_zeros() as usize)
}

/// Whether all bytes are ASCII.
#[must_use]
pub fn is_ascii(data: &[u8]) -> bool {
    let (chunks, rest) = data.as_chunks::<16>();
    let mut groups = chunks.chunks_exact(4);
    for group in &mut groups {
        let high = group.iter().fold(0, |high, c| high | Block::new(c).high());
        if high != 0 {
            return false;
        }
    }
    groups.remainder().iter().all(|c| Block::new(c).high() == 0) && rest.is_ascii()
}

/// The longest [`Glue`].
pub const MAX_GLUE: usize = 32;

/// A short byte string to compare with, in blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glue {
    first: [u8; 16],
    second: [u8; 16],
    /// The bytes of each block that count.
    masks: [u32; 2],
    len: u32,
}

impl Glue {
    /// Prepares a byte string of at most [`MAX_GLUE`] bytes; of a longer one, its start.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..MAX_GLUE).unwrap_or(bytes);
        let mut both = [0; MAX_GLUE];
        for (to, from) in both.iter_mut().zip(bytes) {
            *to = *from;
        }
        let (blocks, _) = both.as_chunks::<16>();
        let mask = |from: usize| (1_u32 << bytes.len().saturating_sub(from).min(16)) - 1;
        Self {
            first: blocks.first().copied().unwrap_or_default(),
            second: blocks.get(1).copied().unwrap_or_default(),
            masks: [mask(0), mask(16)],
            len: u32::try_from(bytes.len()).unwrap_or(0),
        }
    }

    /// One that stands nowhere.
    #[must_use]
    pub fn never() -> Self {
        Self { first: [0; 16], second: [0; 16], masks: [u32::MAX, 0], len: 0 }
    }

    /// Its length in bytes.
    #[inline(always)]
    #[must_use]
    pub fn length(&self) -> usize {
        self.len as usize
    }

    /// Whether it stands at `at` in `data`. Where the buffer ends within a block behind it, that
    /// is not looked into: the answer is no.
    #[inline(always)]
    #[must_use]
    pub fn is_at(&self, data: &[u8], at: usize) -> bool {
        let [mask, more] = self.masks;
        let Some(found) = Block::at(data, at) else { return false };
        found.same(Block::new(&self.first)) & mask == mask
            && (more == 0
                || Block::at(data, at + 16)
                    .is_some_and(|found| found.same(Block::new(&self.second)) & more == more))
    }
}
