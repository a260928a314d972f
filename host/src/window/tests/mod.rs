//! Tests of the room as a whole.

mod aggregates;
mod edges;
mod model;
mod stored;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
use arrow::util::display::array_value_to_string;

use super::{PartitionTime, Window, WindowInput, WindowSpec};
use crate::config::model::{OutputMode, WindowKind};
use crate::data::{NO_TIME, Partition, PartitionRef, SourceId};
use crate::expr::{AggregateFunction, AggregateSpec};

/// A row as the tests write it: event time, key, value.
type Row = (i64, Option<&'static str>, Option<i64>);

fn aggregate(
    function: AggregateFunction,
    distinct: bool,
    arguments: &[DataType],
    result: DataType,
) -> AggregateSpec {
    AggregateSpec {
        function,
        distinct,
        argument_types: arguments.to_vec(),
        parameters: vec![],
        result_type: result,
    }
}

/// count(*), sum(v), max(v), count(distinct v), array_agg(v), count(*) filter (v > 0).
fn spec(kind: WindowKind, output: OutputMode, allowed_lateness_us: i64) -> WindowSpec {
    use AggregateFunction as F;
    let int = DataType::Int64;
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    let over = std::slice::from_ref(&int);
    WindowSpec {
        kind,
        output,
        trigger_us: None,
        allowed_lateness_us,
        key_names: vec!["key".into()],
        key_types: vec![DataType::Utf8],
        aggregates: vec![
            ("n".into(), aggregate(F::Count, false, &[], int.clone())),
            ("sum".into(), aggregate(F::Sum, false, over, int.clone())),
            ("max".into(), aggregate(F::Max, false, over, int.clone())),
            ("distinct".into(), aggregate(F::Count, true, over, int.clone())),
            ("list".into(), aggregate(F::ArrayAgg, false, over, list)),
            ("positive".into(), aggregate(F::Count, false, &[], int.clone())),
        ],
    }
}

/// Makes a batch of one partition's rows; the first has `position`.
fn input(partition: u32, position: i64, rows: &[Row]) -> WindowInput {
    let key: StringArray = rows.iter().map(|row| row.1).collect();
    let value: Int64Array = rows.iter().map(|row| row.2).collect();
    let mut latest = NO_TIME;
    let max_before: Vec<i64> = rows
        .iter()
        .map(|row| {
            let before = latest;
            latest = latest.max(row.0);
            before
        })
        .collect();
    let value: ArrayRef = Arc::new(value);
    let over = || vec![Arc::clone(&value)];
    let positive: BooleanArray = rows.iter().map(|row| row.2.map(|v| v > 0)).collect();
    WindowInput {
        keys: vec![Arc::new(key)],
        arguments: vec![vec![], over(), over(), over(), over(), vec![]],
        filters: vec![None, None, None, None, None, Some(positive)],
        time: rows.iter().map(|row| Some(row.0)).collect(),
        position: (0..).take(rows.len()).map(|at: i64| Some(position + at)).collect(),
        max_before: Int64Array::from(max_before),
        from: Some(PartitionRef { source: SourceId(0), partition: Partition(partition) }),
    }
}

fn at(max_before_chunk: i64, delay_us: i64, pipeline_watermark: i64) -> PartitionTime {
    PartitionTime { max_before_chunk, delay_us, pipeline_watermark }
}

fn window(spec: WindowSpec) -> Arc<Window> {
    Arc::new(Window::new(spec).expect("the specification is right"))
}

fn cells(batch: &RecordBatch, row: usize) -> Vec<String> {
    let column = |c: &ArrayRef| {
        // Times are read as numbers.
        let c = match c.data_type() {
            DataType::Timestamp(_, _) => arrow::compute::cast(c, &DataType::Int64).unwrap(),
            _ => Arc::clone(c),
        };
        if c.is_null(row) { "null".into() } else { array_value_to_string(&c, row).unwrap() }
    };
    batch.columns().iter().map(column).collect()
}
