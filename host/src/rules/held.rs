//! Rows held until the watermark passes them, for `order = "event_time"`.
//!
//! A row counts as having happened at its event time, or, when it is late, at its own partition's
//! watermark at that row: both depend on the partition's log alone, so the order in which rows leave
//! does too. Rows leave by (that clock, event time, partition, position) once the watermark is
//! beyond their clock: equal times may still come until then.

#![expect(clippy::indexing_slicing, reason = "row numbers of a batch, made beside it")]

use arrow::array::{Int64Array, RecordBatch};
use arrow::compute::interleave_record_batch;

use super::error::RuleError;
use super::work::Work;
use crate::data::{NO_TIME, PartitionRef, Rows};

/// How the watermark of a partition runs at the rows of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowClock {
    /// The partition's highest event time before the chunk the rows are from, or `NO_TIME`.
    pub max_before_us: i64,
    /// The source's watermark delay.
    pub delay_us: i64,
}

impl RowClock {
    /// For rows that windows or rules made: they are never late.
    pub const NEVER_LATE: Self = Self { max_before_us: NO_TIME, delay_us: 0 };

    /// Returns the partition's watermark at a row, or `NO_TIME`.
    fn watermark(self, max_before_row_us: i64) -> i64 {
        let highest = self.max_before_us.max(max_before_row_us);
        if highest == NO_TIME { NO_TIME } else { highest.saturating_sub(self.delay_us) }
    }
}

/// Rows that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    batches: Vec<Batch>,
}

#[derive(Clone, Debug)]
struct Batch {
    work: Work,
    /// It came after fresh rows were last asked for.
    fresh: bool,
    /// About how much memory it takes; asked for each epoch, so counted once.
    bytes: usize,
    /// Rows not yet gone, in the order in which they leave, last first.
    waiting: Vec<usize>,
}

type Order = (i64, i64, Option<PartitionRef>, i64);

impl Batch {
    fn new(work: Work) -> Self {
        let fixed = work.clocks.len().saturating_mul(5 * size_of::<i64>());
        let bytes = work.rows.batch.get_array_memory_size().saturating_add(fixed);
        let mut batch = Self { waiting: (0..work.rows.len()).collect(), fresh: true, bytes, work };
        let mut waiting = std::mem::take(&mut batch.waiting);
        waiting.sort_by_key(|row| (batch.order(*row), *row));
        waiting.reverse();
        batch.waiting = waiting;
        batch
    }

    fn order(&self, row: usize) -> Order {
        let work = &self.work;
        (work.clocks[row], work.time(row), work.from(row), work.position(row))
    }
}

impl Held {
    /// Takes rows in. `released_us` is the watermark up to which rows have left already.
    pub(super) fn push(&mut self, rows: &Rows, clock: RowClock, released_us: i64) {
        if rows.is_empty() {
            return;
        }
        let mut clocks = Vec::with_capacity(rows.len());
        for (time, before) in rows.time.values().iter().zip(rows.max_before.values()) {
            // Rows that windows made stand for themselves: their chunk maxima mean nothing.
            let own = if rows.from.is_some() { clock.watermark(*before) } else { NO_TIME };
            clocks.push((*time).max(own).max(released_us));
        }
        let work = Work { rows: rows.clone(), partitions: None, clocks };
        self.batches.push(Batch::new(work));
    }

    /// Puts rows back that [`Held::all`] returned.
    pub(super) fn restore(&mut self, work: Work) {
        if !work.rows.is_empty() {
            self.batches.push(Batch { fresh: false, ..Batch::new(work) });
        }
    }

    /// Returns the rows before `watermark_us`, in order, or nothing when there are none.
    pub(super) fn release(&mut self, watermark_us: i64) -> Result<Option<Work>, RuleError> {
        let mut leaving: Vec<(Order, usize, usize)> = Vec::new();
        for (index, batch) in self.batches.iter_mut().enumerate() {
            while let Some(row) = batch.waiting.last().copied() {
                let order = batch.order(row);
                if order.0 >= watermark_us && watermark_us != i64::MAX {
                    break;
                }
                leaving.push((order, index, row));
                batch.waiting.pop();
            }
        }
        if leaving.is_empty() {
            return Ok(None);
        }
        leaving.sort();
        let picks: Vec<_> = leaving.iter().map(|(_, batch, row)| (*batch, *row)).collect();
        let work = self.gather(&picks)?;
        self.batches.retain(|batch| !batch.waiting.is_empty());
        Ok(Some(work))
    }

    /// Returns all rows that wait, in order; nothing when there are none.
    pub(super) fn all(&self) -> Result<Option<Work>, RuleError> {
        let mut copy = self.clone();
        copy.release(i64::MAX)
    }

    /// Returns the rows that came since this was last asked and still wait, in order.
    pub(super) fn take_fresh(&mut self) -> Result<Option<Work>, RuleError> {
        let fresh: Vec<Batch> = self.batches.iter().filter(|batch| batch.fresh).cloned().collect();
        self.batches.iter_mut().for_each(|batch| batch.fresh = false);
        Self { batches: fresh }.release(i64::MAX)
    }

    /// Returns the number of rows that wait.
    pub(super) fn len(&self) -> usize {
        self.batches.iter().map(|batch| batch.waiting.len()).sum()
    }

    /// Returns about how much memory the rows take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes).fold(0, usize::saturating_add)
    }

    fn gather(&self, picks: &[(usize, usize)]) -> Result<Work, RuleError> {
        let batches: Vec<&RecordBatch> = self.batches.iter().map(|b| &b.work.rows.batch).collect();
        let number = |read: fn(&Rows) -> &Int64Array| -> Int64Array {
            let value =
                |(batch, row): &(usize, usize)| read(&self.batches[*batch].work.rows).value(*row);
            Int64Array::from_iter_values(picks.iter().map(value))
        };
        let partitions: Vec<_> =
            picks.iter().map(|(batch, row)| self.batches[*batch].work.from(*row)).collect();
        let first = partitions.first().copied().flatten();
        let same = partitions.iter().all(|partition| *partition == first);
        Ok(Work {
            rows: Rows {
                batch: interleave_record_batch(&batches, picks)?,
                time: number(|rows| &rows.time),
                position: number(|rows| &rows.position),
                max_before: number(|rows| &rows.max_before),
                from: if same { first } else { None },
            },
            partitions: if same { None } else { Some(partitions) },
            clocks: picks.iter().map(|(b, row)| self.batches[*b].work.clocks[*row]).collect(),
        })
    }
}
