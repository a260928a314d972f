//! The order of rows in a result: the same for any number of shards and workers.
//!
//! Up to `SORTED_ROWS` rows are ordered by their key columns ascending (null first, text by
//! bytes), larger results by stable key hash, which costs far less. Sessions are ordered by end
//! and start first. Rows with the same key (count windows) keep their order.

#![expect(clippy::indexing_slicing, reason = "positions are those of the ids they came from")]

use std::cmp::Ordering;

use arrow::array::{ArrayRef, DynComparator, make_comparator};
use arrow::compute::SortOptions;

use super::error::WindowError;
use super::key_table::KeyTable;
use super::number;
use super::spec::Window;
use super::values::{Kind, restore};

/// The largest result that is sorted by its key columns.
pub const SORTED_ROWS: usize = 10_000;

/// Returns the positions of `ids` in the order of a result. `times` are (end, start) of each
/// position, for windows that differ from row to row.
pub(super) fn permutation(
    window: &Window,
    table: &KeyTable,
    ids: &[u32],
    times: Option<&[(i64, i64)]>,
) -> Result<Vec<u32>, WindowError> {
    let time = |a: u32, b: u32| match times {
        Some(times) => times[a as usize].cmp(&times[b as usize]),
        None => Ordering::Equal,
    };
    if ids.len() > SORTED_ROWS {
        let compare = |a: &(u64, u32), b: &(u64, u32)| {
            time(a.1, b.1)
                .then_with(|| a.0.cmp(&b.0))
                .then_with(|| table.compare(ids[a.1 as usize], ids[b.1 as usize]))
                .then_with(|| a.1.cmp(&b.1))
        };
        let mut keyed: Vec<(u64, u32)> =
            ids.iter().enumerate().map(|(at, id)| (table.hash(*id), number(at))).collect();
        if times.is_none() {
            keyed = spread(&keyed);
            for run in keyed.chunk_by_mut(|a, b| bucket(a.0) == bucket(b.0)) {
                run.sort_unstable_by(compare);
            }
        } else {
            keyed.sort_unstable_by(compare);
        }
        return Ok(keyed.into_iter().map(|(_, at)| at).collect());
    }
    let mut places: Vec<u32> = (0..number(ids.len())).collect();
    if simple(window) {
        places.sort_by(|a, b| {
            time(*a, *b).then_with(|| table.compare(ids[*a as usize], ids[*b as usize]))
        });
        return Ok(places);
    }
    let columns = key_columns(window, table, ids)?;
    let ascending = SortOptions { descending: false, nulls_first: true };
    let comparators = columns
        .iter()
        .map(|column| make_comparator(column, column, ascending))
        .collect::<Result<Vec<DynComparator>, _>>()?;
    places.sort_by(|a, b| {
        let keys = || {
            comparators
                .iter()
                .map(|compare| compare(*a as usize, *b as usize))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        time(*a, *b).then_with(keys)
    });
    Ok(places)
}

/// The high bits of a hash, by which large results are sorted first.
fn bucket(hash: u64) -> usize {
    (hash >> 48) as usize
}

/// Sorts by bucket, by counting: hashes are even, so that buckets stay small.
fn spread(keyed: &[(u64, u32)]) -> Vec<(u64, u32)> {
    let mut next = vec![0u32; 1 << 16];
    for (hash, _) in keyed {
        next[bucket(*hash)] += 1;
    }
    let mut start = 0;
    for count in &mut next {
        start += std::mem::replace(count, start);
    }
    let mut sorted = vec![(0, 0); keyed.len()];
    for entry in keyed {
        let at = &mut next[bucket(entry.0)];
        sorted[*at as usize] = *entry;
        *at += 1;
    }
    sorted
}

/// Returns the key columns of `ids` in their own types.
pub(super) fn key_columns(
    window: &Window,
    table: &KeyTable,
    ids: &[u32],
) -> Result<Vec<ArrayRef>, WindowError> {
    let columns = table.columns(ids).into_iter().zip(&window.spec.key_types);
    Ok(columns.map(|(c, wanted)| restore(c, wanted)).collect::<Result<Vec<_>, _>>()?)
}

/// Returns true when the table's own order is that of the one key column.
fn simple(window: &Window) -> bool {
    match (window.key_kinds.as_slice(), window.spec.key_types.as_slice()) {
        ([], _) => true,
        ([kind], [data_type]) => {
            matches!(kind, Kind::Text | Kind::Bytes | Kind::Bool | Kind::Float)
                || data_type == &kind.data_type()
        }
        _ => false,
    }
}
