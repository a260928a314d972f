//! The latest event time before each record of a chunk.

use arrow::array::Int64Array;

use crate::data::NO_TIME;

/// Gathers event times by record, from every parser that reads the chunk, before any filter.
pub struct MaxBefore {
    by_record: Vec<i64>,
    max: i64,
}

impl MaxBefore {
    /// Returns an empty gathering for a chunk of `records` records.
    pub fn new(records: usize) -> Self {
        Self { by_record: vec![NO_TIME; records], max: NO_TIME }
    }

    /// Adds a parser's rows: `times` of the rows, `records` the record of each.
    pub fn add(&mut self, times: &[i64], records: &[u32]) {
        for (&time, &record) in times.iter().zip(records) {
            let index = usize::try_from(record).unwrap_or(usize::MAX);
            if let Some(latest) = self.by_record.get_mut(index) {
                *latest = (*latest).max(time);
            }
            self.max = self.max.max(time);
        }
    }

    /// Returns the latest event time of the whole chunk, or `NO_TIME`.
    pub fn max(&self) -> i64 {
        self.max
    }

    /// Turns the times into running maxima: afterwards, the value of a record is the latest time
    /// of the records before it.
    pub fn finish(mut self) -> RunningMax {
        let mut running = NO_TIME;
        for latest in &mut self.by_record {
            let own = *latest;
            *latest = running;
            running = running.max(own);
        }
        RunningMax(self.by_record)
    }
}

/// For each record of a chunk, the latest event time of the records before it.
pub struct RunningMax(Vec<i64>);

impl RunningMax {
    /// Returns the values for rows that came from `records`.
    pub fn of(&self, records: &[u32]) -> Int64Array {
        let value = |&record: &u32| {
            usize::try_from(record).ok().and_then(|index| self.0.get(index)).copied()
        };
        Int64Array::from_iter_values(records.iter().map(|record| value(record).unwrap_or(NO_TIME)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_sees_the_latest_time_before_it() {
        let mut gathering = MaxBefore::new(5);
        // One parser takes records 0, 2 (two rows), 4; the other takes record 1.
        gathering.add(&[10, 30, 20, 5], &[0, 2, 2, 4]);
        gathering.add(&[50], &[1]);
        assert_eq!(gathering.max(), 50);
        let running = gathering.finish();
        let seen = running.of(&[0, 1, 2, 2, 3, 4]);
        assert_eq!(seen.values(), &[NO_TIME, 10, 50, 50, 50, 50]);
    }
}
