//! Raw records as a source delivers them.

use arrow::buffer::Buffer;

use super::origin::PartitionRef;

/// Framed records of one partition, in order, not yet parsed.
///
/// Record `i` is `data[offsets[i]..offsets[i + 1]]` (Arrow's layout, so that it can be handed to a
/// plugin as it is), without its terminator.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Where the records came from.
    pub from: PartitionRef,
    /// The bytes of all records.
    pub data: Buffer,
    /// One more than there are records; the first is 0.
    pub offsets: Vec<i32>,
    /// Each record's position in its partition: a byte position for files, an offset for Kafka, a
    /// running number for the rest. Ascending.
    pub positions: Vec<i64>,
    /// When the host got each record, microseconds since the Unix epoch.
    pub received_us: Vec<i64>,
    /// Where the partition goes on after this chunk: the position behind the last record and its
    /// terminator.
    pub end_position: i64,
}

impl Chunk {
    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Returns true when there is no record.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Returns the bytes of record `index`, or nothing when there is no such record.
    pub fn record(&self, index: usize) -> Option<&[u8]> {
        let from = usize::try_from(*self.offsets.get(index)?).ok()?;
        let to = usize::try_from(*self.offsets.get(index.checked_add(1)?)?).ok()?;
        self.data.as_slice().get(from..to)
    }
}
