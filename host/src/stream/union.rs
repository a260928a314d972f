//! Rows of several inputs as one batch.

use arrow::array::{Array, AsArray, Int64Array, UInt32Array};
use arrow::compute::{concat, concat_batches};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;

use crate::data::Rows;

/// Returns the rows of two inputs in the columns of `schema`, which both must fit.
///
/// Rows of a source partition come out in the order of its log, those of `first` before those of
/// `second` where they are of the same record. What reads them sees the same order, however the
/// log was cut into chunks.
///
/// # Errors
/// When the columns do not fit the schema.
pub fn union(first: &Rows, second: &Rows, schema: &SchemaRef) -> Result<Rows, ArrowError> {
    let rows = Rows {
        batch: concat_batches(schema, [&first.batch, &second.batch])?,
        time: joined(&first.time, &second.time)?,
        position: joined(&first.position, &second.position)?,
        max_before: joined(&first.max_before, &second.max_before)?,
        from: first.from,
    };
    let position = rows.position.values();
    if rows.from.is_none() || position.is_sorted() {
        return Ok(rows);
    }
    let mut order: Vec<u32> = (0u32..).take(rows.len()).collect();
    order.sort_by_key(|row| usize::try_from(*row).ok().and_then(|row| position.get(row)));
    rows.take(&UInt32Array::from(order))
}

fn joined(first: &Int64Array, second: &Int64Array) -> Result<Int64Array, ArrowError> {
    let both: [&dyn Array; 2] = [first, second];
    Ok(concat(&both)?.as_primitive::<Int64Type>().clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::data::{Partition, PartitionRef, SourceId};

    fn rows(positions: &[i64], mark: Option<i64>, nullable: bool) -> Rows {
        let position = Int64Array::from(positions.to_vec());
        let marks: ArrayRef = Arc::new(Int64Array::from(vec![mark; positions.len()]));
        let schema = Schema::new(vec![Field::new("mark", DataType::Int64, nullable)]);
        Rows {
            batch: RecordBatch::try_new(Arc::new(schema), vec![marks]).unwrap(),
            time: position.clone(),
            max_before: position.clone(),
            position,
            from: Some(PartitionRef { source: SourceId(0), partition: Partition(0) }),
        }
    }

    #[test]
    fn rows_are_in_the_order_of_the_log() {
        let schema = Arc::new(Schema::new(vec![Field::new("mark", DataType::Int64, true)]));
        let cases: [(&[i64], &[i64], &[i64]); 4] = [
            (&[1, 4], &[2, 4, 5], &[1, 2, 4, 4, 5]),
            (&[1, 2], &[3], &[1, 2, 3]),
            (&[], &[7], &[7]),
            (&[5, 5], &[1], &[1, 5, 5]),
        ];
        for (first, second, expected) in cases {
            let both = union(&rows(first, Some(1), false), &rows(second, None, true), &schema);
            let both = both.unwrap();
            assert_eq!(both.position.values(), expected);
            assert_eq!(both.time.values(), expected);
            assert_eq!(both.max_before.values(), expected);
        }
        let both = union(&rows(&[1, 4], Some(1), false), &rows(&[4], None, true), &schema).unwrap();
        let marks: Vec<_> = both.batch.column(0).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(marks, [Some(1), Some(1), None], "of one record the first input's comes first");
    }

    #[test]
    fn made_rows_stay_as_they_come() {
        let schema = Arc::new(Schema::new(vec![Field::new("mark", DataType::Int64, true)]));
        let made = |positions| Rows { from: None, ..rows(positions, Some(1), true) };
        let both = union(&made(&[5]), &made(&[0]), &schema).unwrap();
        assert_eq!(both.position.values(), &[5, 0]);
    }
}
