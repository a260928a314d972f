//! Windows over event time: which rows are late, what each window holds, when it closes.
//!
//! Data path: `Window::combine` (any worker, shares nothing) turns a batch into a `Partial`;
//! `WindowState::merge` (the shard that owns the keys) adds partials in (partition, chunk) order;
//! `WindowState::advance` closes what the watermark has reached and returns results as columns;
//! `Window::join` makes one ordered result of those of several shards.
//!
//! Promises:
//! - What a window holds depends on its rows alone, not on batches, epochs or shards. Lateness is
//!   decided per row, by the watermark of its own partition at that row.
//! - With allowed lateness, the first firing holds exactly the rows that came before the
//!   watermark of their partition passed the window's end; the others come as revisions.
//! - Results are ordered: by key up to 10,000 rows, by stable key hash above.
//! - All state is columns: keys, and per aggregate the columns of its state.
//!
//! Never here: I/O, a clock, randomness, the order of a hash map in anything that leaves.

mod aggregate;
mod combine;
mod count;
mod error;
mod fire;
mod input;
mod key_table;
mod lateness;
mod order;
mod partial;
mod session;
mod slices;
mod sliding;
mod snapshot;
mod spec;
mod state;
mod stored;
mod values;

#[cfg(test)]
mod tests;

pub use error::WindowError;
pub use fire::Fired;
pub use input::{Combined, LateRow, PartitionTime, WindowInput};
pub use key_table::Shard;
pub use order::SORTED_ROWS;
pub use partial::Partial;
pub use snapshot::Snapshot;
pub use spec::{Window, WindowSpec};
pub use state::WindowState;

/// Stands for "no group" and "no key".
const NONE: u32 = u32::MAX;

/// Event times beyond this (about 73,000 years from the epoch) count as no time: no window
/// around them could overflow.
pub const TIME_LIMIT: i64 = i64::MAX / 4;

/// The longest size, slide or gap.
pub const LENGTH_LIMIT: i64 = i64::MAX / 8;

/// Returns the number of a group, key or row.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a table holds fewer than 2^32 keys, a batch fewer rows")
}
