//! Counts rows and drops them, but for a checksum.
//!
//! The checksum is the wrapping sum of one 64-bit hash a row, so the order of rows and the way
//! they are cut into batches do not matter, while a row lost, doubled or changed does. A row's
//! hash starts from its node's name and takes in each column's value in turn: numbers by their
//! bits (all NaNs the same, and 0.0 as -0.0), texts and bytes up to 16 bytes by length, first and
//! last words, longer ones by the host's stable hash, lists by length and elements, null as a
//! constant. Columns count by position, not by name. Doubles count
//! with their last digit, so sums of doubles may differ between runs with other worker counts.

use std::collections::BTreeMap;

use super::{CommitInfo, Delivery, Sink, SinkError, SinkSummary};
use crate::encode::{Column, Value};
use crate::hash;

/// Counts rows and keeps an order-independent checksum.
#[derive(Debug, Default)]
pub struct DiscardSink {
    committed: Totals,
    pending: Totals,
    /// The hash that a node's rows start from.
    seeds: BTreeMap<String, u64>,
    /// One hash a row of the batch at hand.
    hashes: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    rows: u64,
    checksum: u64,
}

impl DiscardSink {
    /// Returns a sink that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Sink for DiscardSink {
    fn write(&mut self, input: &Delivery<'_>) -> Result<(), SinkError> {
        let seed = match self.seeds.get(input.node) {
            Some(seed) => *seed,
            None => {
                let seed = hash::hash64(input.node.as_bytes());
                self.seeds.insert(input.node.to_owned(), seed);
                seed
            }
        };
        let columns = Column::of_batch(input.batch)?;
        self.hashes.clear();
        self.hashes.resize(input.batch.num_rows(), seed);
        for column in &columns {
            mix_column(&mut self.hashes, column);
        }
        let sum = self.hashes.iter().fold(0_u64, |sum, hash| sum.wrapping_add(*hash));
        self.pending.checksum = self.pending.checksum.wrapping_add(sum);
        self.pending.rows += rows(input.batch.num_rows());
        Ok(())
    }

    fn commit(&mut self, _now_us: i64) -> Result<CommitInfo, SinkError> {
        let pending = std::mem::take(&mut self.pending);
        self.committed.rows += pending.rows;
        self.committed.checksum = self.committed.checksum.wrapping_add(pending.checksum);
        Ok(CommitInfo { rows: pending.rows, ..CommitInfo::default() })
    }

    fn abort(&mut self) -> Result<(), SinkError> {
        self.pending = Totals::default();
        Ok(())
    }

    fn close(&mut self, _now_us: i64) -> Result<SinkSummary, SinkError> {
        self.pending = Totals::default();
        let Totals { rows, checksum } = self.committed;
        Ok(SinkSummary { rows, checksum: Some(checksum), ..SinkSummary::default() })
    }
}

/// Returns a number of rows as sinks count them.
pub(super) fn rows(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What a null is taken as, and what spreads small numbers over all bits: 2^64 by the golden ratio.
const NULL: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes a column's values into the rows' hashes.
fn mix_column(hashes: &mut [u64], column: &Column) {
    // Values without nulls go straight from the buffer, which the compiler unrolls.
    match (column, column.nulls()) {
        (Column::Int64(array), None) => mix_all(hashes, array.values(), |v| v.cast_unsigned()),
        (Column::Time(array), None) => mix_all(hashes, array.values(), |v| v.cast_unsigned()),
        (Column::Float64(array), None) => mix_all(hashes, array.values(), double),
        (Column::Text(array), None) => {
            for (hash, text) in hashes.iter_mut().zip(array.iter()) {
                *hash = mix(*hash, bytes(text.unwrap_or_default().as_bytes()));
            }
        }
        _ => {
            for (row, hash) in hashes.iter_mut().enumerate() {
                *hash = mix(*hash, cell(column.value(row)));
            }
        }
    }
}

fn mix_all<T: Copy>(hashes: &mut [u64], values: &[T], bits: impl Fn(T) -> u64) {
    for (hash, value) in hashes.iter_mut().zip(values) {
        *hash = mix(*hash, bits(*value));
    }
}

#[inline]
fn cell(value: Value<'_>) -> u64 {
    match value {
        Value::Null => NULL,
        Value::Boolean(value) => u64::from(value),
        Value::Int64(value) | Value::Time(value) => value.cast_unsigned(),
        Value::Float64(value) => double(value),
        Value::Text(value) => bytes(value.as_bytes()),
        Value::Binary(value) => bytes(value),
        Value::List(list) => list.iter().map(cell).fold(mix(NULL, rows(list.len())), mix),
    }
}

/// Returns the hash of a text. Most are short, and for those a call would cost more than the work.
#[inline]
fn bytes(value: &[u8]) -> u64 {
    let (first, last) = match value {
        [] => (0, 0),
        [first, .., last] if value.len() < 4 => {
            let middle = value.get(1).copied().unwrap_or(0);
            (u64::from(*first), u64::from(middle) << 8 | u64::from(*last))
        }
        [only] => (u64::from(*only), 0),
        _ if value.len() < 8 => {
            let word = |chunk: Option<&[u8; 4]>| chunk.map_or(0, |c| u32::from_le_bytes(*c).into());
            (word(value.first_chunk()), word(value.last_chunk()))
        }
        _ if value.len() <= 16 => {
            let word = |chunk: Option<&[u8; 8]>| chunk.map_or(0, |c| u64::from_le_bytes(*c));
            (word(value.first_chunk()), word(value.last_chunk()))
        }
        _ => return hash::hash64(value),
    };
    mix(first ^ rows(value.len()).wrapping_mul(NULL), last)
}

#[inline]
fn double(value: f64) -> u64 {
    if value.is_nan() {
        return f64::NAN.to_bits();
    }
    // 0.0 and -0.0 are equal; adding zero makes them the same.
    (value + 0.0).to_bits()
}

/// Folds one value into a hash: the two halves of a 128-bit product, as wyhash does.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves of the product are meant")]
fn mix(hash: u64, value: u64) -> u64 {
    let (a, b) = (hash ^ 0xa076_1d64_78bd_642f, value ^ 0xe703_7ed1_a0b4_28db);
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64) ^ hash.rotate_left(23)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, UInt32Array,
    };
    use arrow::compute::{concat_batches, take_record_batch};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;
    use crate::sinks::tests::delivery;

    fn checksum(node: &str, batches: &[RecordBatch]) -> (u64, u64) {
        let mut sink = DiscardSink::new();
        for batch in batches {
            sink.write(&delivery(node, batch)).unwrap();
            sink.commit(0).unwrap();
        }
        let summary = sink.close(0).unwrap();
        (summary.rows, summary.checksum.unwrap())
    }

    fn batch(rows: &[(Option<i64>, f64, String)]) -> RecordBatch {
        let texts: StringArray = rows.iter().map(|r| Some(r.2.as_str())).collect();
        let list = rows.iter().map(|r| Some(vec![r.0, Some(1)]));
        RecordBatch::try_from_iter_with_nullable([
            ("a", Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()) as ArrayRef, true),
            ("b", Arc::new(rows.iter().map(|r| r.1).collect::<Float64Array>()) as ArrayRef, true),
            ("c", Arc::new(texts) as ArrayRef, true),
            (
                "d",
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(list)) as ArrayRef,
                true,
            ),
        ])
        .unwrap()
    }

    proptest! {
        #[test]
        fn order_and_cuts_do_not_matter(
            rows in proptest::collection::vec(any::<(Option<i64>, f64, String)>(), 2..30),
            seed in any::<prop::sample::Index>(),
        ) {
            let whole = batch(&rows);
            let cut = seed.index(rows.len());
            let mut order: Vec<u32> = (0..u32::try_from(rows.len()).unwrap()).collect();
            order.rotate_left(cut);
            let other = take_record_batch(&whole, &UInt32Array::from(order)).unwrap();
            let parts = [other.slice(0, cut), other.slice(cut, rows.len() - cut)];
            prop_assert_eq!(concat_batches(whole.schema_ref(), &parts).unwrap().num_rows(), rows.len());
            prop_assert_eq!(checksum("n", std::slice::from_ref(&whole)), checksum("n", &parts));
            // A row less, a row twice, another node: another sum.
            let sum = checksum("n", std::slice::from_ref(&whole));
            prop_assert_ne!(sum.1, checksum("n", &[whole.slice(1, rows.len() - 1)]).1);
            prop_assert_ne!(sum.1, checksum("n", &[whole.clone(), whole.slice(0, 1)]).1);
            prop_assert_ne!(sum.1, checksum("m", &[whole]).1);
        }
    }

    #[test]
    fn changes_show() {
        let base = || vec![(Some(1), 1.0, "x".to_owned()), (None, 2.0, String::new())];
        let sum = |rows: &[_]| checksum("n", &[batch(rows)]).1;
        let mut seen = std::collections::BTreeSet::from([sum(&base())]);
        type Change = fn(&mut Vec<(Option<i64>, f64, String)>);
        let changes: [Change; 5] = [
            |rows| rows[0].0 = Some(2),
            |rows| rows[0].0 = None,
            |rows| rows[1].1 = 2.0 + f64::EPSILON * 2.0,
            |rows| rows[0].2 = "y".into(),
            |rows| {
                let text = std::mem::take(&mut rows[0].2);
                rows[1].2 = text;
            },
        ];
        for change in changes {
            let mut rows = base();
            change(&mut rows);
            assert!(seen.insert(sum(&rows)));
        }
        let zeros = |zero| checksum("n", &[batch(&[(None, zero, String::new())])]).1;
        assert_eq!(zeros(0.0), zeros(-0.0));
        // Written into results that are compared across versions: it must never change.
        assert_eq!(sum(&base()), KNOWN);
    }

    const KNOWN: u64 = 15_597_341_079_543_573_796;

    #[test]
    fn every_byte_of_a_text_counts() {
        let mut seen = std::collections::BTreeSet::new();
        for length in 0..40 {
            let text = vec![b'a'; length];
            assert!(seen.insert(bytes(&text)), "{length}");
            for at in 0..length {
                let mut changed = text.clone();
                changed[at] = b'b';
                assert!(seen.insert(bytes(&changed)), "{length} at {at}");
            }
        }
    }

    #[test]
    fn only_committed_rows_count() {
        let rows = batch(&[(Some(1), 1.0, "x".into())]);
        let mut sink = DiscardSink::new();
        sink.write(&delivery("n", &rows)).unwrap();
        assert_eq!(sink.commit(0).unwrap().rows, 1);
        sink.write(&delivery("n", &rows)).unwrap();
        sink.abort().unwrap();
        sink.write(&delivery("n", &rows)).unwrap();
        let summary = sink.close(0).unwrap();
        assert_eq!((summary.rows, summary.checksum), (1, Some(checksum("n", &[rows]).1)));
    }
}
