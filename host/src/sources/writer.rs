//! Puts records into chunks, within a quota.

use arrow::buffer::Buffer;

use super::{Oversized, ReadOutput};
use crate::data::{Chunk, PartitionRef};

/// What one partition may take in one turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    /// Most records.
    pub rows: usize,
    /// Most bytes.
    pub bytes: usize,
    /// Whether the first record may be longer than `bytes`.
    pub force: bool,
    /// The position to stop at, if there is one.
    pub until: Option<i64>,
    /// Most records of a chunk.
    pub chunk_rows: usize,
    /// How many bytes a record is likely to have.
    pub bytes_per_row: usize,
}

/// What one partition took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub rows: usize,
    pub bytes: usize,
}

/// Collects the records of one partition into chunks.
pub(super) struct Writer<'a> {
    from: PartitionRef,
    now_us: i64,
    quota: Quota,
    taken: Taken,
    data: Vec<u8>,
    offsets: Vec<i32>,
    positions: Vec<i64>,
    end_position: i64,
    out: &'a mut ReadOutput,
}

impl<'a> Writer<'a> {
    pub fn new(from: PartitionRef, quota: Quota, now_us: i64, out: &'a mut ReadOutput) -> Self {
        Self {
            from,
            now_us,
            quota,
            taken: Taken::default(),
            data: Vec::new(),
            offsets: Vec::new(),
            positions: Vec::new(),
            end_position: 0,
            out,
        }
    }

    /// Returns true when the record at `position` may be taken, as far as rows go.
    #[inline]
    pub fn wants(&self, position: i64) -> bool {
        self.taken.rows < self.quota.rows && self.quota.until.is_none_or(|until| position < until)
    }

    /// Returns how many more rows may be taken.
    pub fn room(&self) -> usize {
        self.quota.rows.saturating_sub(self.taken.rows)
    }

    /// Returns true when a recorded epoch is done again.
    pub fn is_replay(&self) -> bool {
        self.quota.until.is_some()
    }

    /// Takes a record, or returns false when its bytes do not fit.
    #[inline]
    pub fn push(&mut self, record: &[u8], position: i64, end_position: i64) -> bool {
        let bytes = self.taken.bytes.saturating_add(record.len());
        if bytes > self.quota.bytes && !(self.quota.force && self.taken.rows == 0) {
            return false;
        }
        let full = self.positions.len() >= self.quota.chunk_rows;
        let mut end = i32::try_from(self.data.len().saturating_add(record.len()));
        if full || end.is_err() {
            self.flush();
            end = i32::try_from(record.len());
        }
        let Ok(end) = end else { return false };
        if self.offsets.is_empty() {
            self.start_chunk();
        }
        self.data.extend_from_slice(record);
        self.offsets.push(end);
        self.positions.push(position);
        self.end_position = end_position;
        self.taken.rows += 1;
        self.taken.bytes = bytes;
        true
    }

    /// Reports a record that is too long; it counts as a row.
    pub fn oversized(&mut self, position: i64, end_position: i64, length: u64, prefix: Vec<u8>) {
        self.out.oversized.push(Oversized {
            from: self.from,
            position,
            end_position,
            length,
            prefix,
        });
        self.end_position = end_position;
        self.taken.rows += 1;
    }

    /// Hands over what was collected and returns how much that was.
    pub fn finish(mut self) -> Taken {
        self.flush();
        self.out.rows += self.taken.rows;
        self.out.bytes += self.taken.bytes;
        self.taken
    }

    fn start_chunk(&mut self) {
        let rows = (self.quota.rows - self.taken.rows).min(self.quota.chunk_rows).min(1 << 16);
        let bytes = self.quota.bytes.saturating_sub(self.taken.bytes);
        if self.data.capacity() == 0
            && let Some(spare) = self.out.spare.pop()
        {
            self.data = spare;
        }
        self.data.reserve(rows.saturating_mul(self.quota.bytes_per_row).min(bytes).min(64 << 20));
        self.offsets.reserve(rows.saturating_add(1));
        self.positions.reserve(rows);
        self.offsets.push(0);
    }

    fn flush(&mut self) {
        if self.positions.is_empty() {
            return;
        }
        let positions = std::mem::take(&mut self.positions);
        self.out.chunks.push(Chunk {
            from: self.from,
            data: Buffer::from_vec(std::mem::take(&mut self.data)),
            offsets: std::mem::take(&mut self.offsets),
            received_us: vec![self.now_us; positions.len()],
            positions,
            end_position: self.end_position,
        });
    }
}
