//! Plugins that do everything a plugin must not, for the host's tests.
//!
//! What they do is chosen by words in the configuration (when configured) and by the record or row
//! (on the data path). The plugins themselves are the examples of this crate.

use std::hint::black_box;

/// Does what the word says, when it says something that does not return.
pub fn misbehave(word: &str) {
    match word {
        "TRAP" => trap(),
        "PANIC" => panic!("as told"),
        "LOOP" => {
            let mut n = 0_u64;
            loop {
                n = black_box(n.wrapping_add(1));
            }
        }
        "ALLOC" => {
            let mut kept = Vec::new();
            loop {
                kept.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        "STACK" => {
            black_box(deep(black_box(u64::MAX)));
        }
        _ => {}
    }
}

fn trap() {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
}

fn deep(n: u64) -> u64 {
    if n == 0 { 0 } else { black_box(deep(n - 1)) + 1 }
}

/// Burns some CPU time: millions of steps.
pub fn burn(millions: u64) {
    for n in 0..millions * 1_000_000 {
        black_box(n);
    }
}

/// Makes text buffers.
#[derive(Debug)]
pub struct Text {
    /// One more than there are values.
    pub offsets: Vec<i32>,
    /// All values.
    pub data: Vec<u8>,
}

impl Default for Text {
    fn default() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }
}

impl Text {
    /// Adds a value.
    pub fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.offsets.push(self.data.len() as i32);
    }
}

/// Returns value `index` of a text buffer.
pub fn value<'a>(offsets: &[i32], data: &'a [u8], index: usize) -> &'a [u8] {
    &data[offsets[index] as usize..offsets[index + 1] as usize]
}

/// Returns a bitmap of these bits.
pub fn bitmap(bits: &[bool]) -> Vec<u8> {
    let mut bytes = vec![0_u8; bits.len().div_ceil(8)];
    for (index, bit) in bits.iter().enumerate() {
        bytes[index / 8] |= u8::from(*bit) << (index % 8);
    }
    bytes
}
