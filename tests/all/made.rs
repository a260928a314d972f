//! Inputs made by our own generator: the same bytes everywhere, so nothing is committed but a hash.

use millstream::generate::{Generator, Settings};
use sha2::{Digest, Sha256};

pub fn generate(settings: &Settings) -> String {
    let mut bytes = Vec::new();
    let mut generator = Generator::new(settings).expect("settings");
    while generator.fill(&mut bytes, 1_000) > 0 {}
    String::from_utf8(bytes).expect("UTF-8")
}

/// Goldens are only goldens of this very input: its hash starts so.
pub fn assert_input(text: &str, expected: &str) {
    let hash: String =
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(hash.starts_with(expected), "the generator's bytes changed: their hash is {hash}");
}
