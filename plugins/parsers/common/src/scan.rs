//! Searches in a buffer between two positions. They may look at, but never report, what stands
//! behind the end.

use crate::simd::Block;

/// The 16 bytes from `at` on; `None` near the end of the buffer.
#[inline]
fn block(data: &[u8], at: usize) -> Option<Block> {
    let chunk: &[u8; 16] = data.get(at..)?.first_chunk()?;
    Some(Block::new(chunk))
}

macro_rules! search {
    ($data:expr, $at:expr, $end:expr, $block:ident => $mask:expr, $byte:ident => $test:expr) => {{
        let (data, mut at, end): (&[u8], usize, usize) = ($data, $at, $end);
        while at < end {
            let Some($block) = block(data, at) else { break };
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
#[inline]
#[must_use]
pub fn find_json_special(data: &[u8], at: usize, end: usize) -> usize {
    search!(data, at, end, b => b.json_special(), x => x == b'"' || x == b'\\' || x < 0x20)
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

/// A byte string to compare with, in blocks.
#[derive(Clone, Debug)]
pub struct Needle {
    first: [u8; 16],
    /// The bytes of the first block that count.
    mask: u32,
    len: usize,
    /// What stands behind the first block.
    rest: Vec<u8>,
}

impl Needle {
    /// Prepares a byte string.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut first = [0; 16];
        for (to, from) in first.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self {
            first,
            mask: if bytes.len() < 16 { (1 << bytes.len()) - 1 } else { 0xffff },
            len: bytes.len(),
            rest: bytes.get(16..).unwrap_or_default().to_vec(),
        }
    }

    /// Its length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it stands at `at` in `data`.
    #[inline]
    #[must_use]
    pub fn is_at(&self, data: &[u8], at: usize) -> bool {
        match block(data, at) {
            Some(found) => {
                let same = found.same(Block::new(&self.first)) & self.mask == self.mask;
                same && (self.len <= 16 || self.rest_is_at(data, at))
            }
            None => self.is_at_end(data, at),
        }
    }

    #[inline(never)]
    fn rest_is_at(&self, data: &[u8], at: usize) -> bool {
        data.get(at + 16..at + self.len) == Some(self.rest.as_slice())
    }

    /// The same near the end of the buffer, where no whole block is left.
    #[cold]
    fn is_at_end(&self, data: &[u8], at: usize) -> bool {
        self.len <= 16 && data.get(at..at + self.len) == self.first.get(..self.len)
    }
}
