//! The one stable hash: shards, partials, alert ids and sketches.
//!
//! xxh3 with a fixed seed over our own encoding. What it returns is written into checkpoints and
//! sent to other processes, so it never changes within a format version.

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// The seed of every stable hash.
const SEED: u64 = 0x6d69_6c6c_7374_726d;

/// The name under which checkpoints record this function.
pub const NAME: &str = "xxh3-1";

/// Returns the stable 64-bit hash of `bytes`.
pub fn hash64(bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, SEED)
}

/// Returns the stable 128-bit hash of `bytes`, for ids that must not collide.
pub fn hash128(bytes: &[u8]) -> u128 {
    xxh3_128_with_seed(bytes, SEED)
}
