//! What an aggregate in a pipeline file asks for, as data.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;

/// The aggregate functions that windows know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// `count(*)` (no argument) and `count(x)` (non-null values).
    Count,
    /// Of integers an integer, of doubles a double.
    Sum,
    /// A double.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// Population and sample variance and standard deviation; the sample ones are null below two
    /// values.
    VarPop,
    /// Sample variance.
    VarSamp,
    /// Population standard deviation.
    StddevPop,
    /// Sample standard deviation.
    StddevSamp,
    /// A sketch (HyperLogLog).
    ApproxDistinct,
    /// By event time, then partition, then position.
    FirstValue,
    /// By event time, then partition, then position.
    LastValue,
    /// Ordered by event time, partition, position; `distinct`: sorted by value. Keeps nulls out.
    ArrayAgg,
    /// The exact 50th percentile, between the two middle values.
    Median,
    /// `percentile_cont(0.95) within group (order by x)` or `percentile_cont(x, 0.95)`: exact.
    PercentileCont,
    /// A sketch (t-digest).
    ApproxPercentileCont,
}

/// One aggregate: what to compute over which columns. The columns' values are computed by
/// `AggregateCall` before windows see them.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateSpec {
    /// The function.
    pub function: AggregateFunction,
    /// Over distinct values only (`count`, `sum`, `avg`, `array_agg`).
    pub distinct: bool,
    /// Types of the argument columns after coercion; empty for `count(*)`.
    pub argument_types: Vec<DataType>,
    /// Literal settings: the percentile, the number of centroids.
    pub parameters: Vec<ScalarValue>,
    /// The result's type.
    pub result_type: DataType,
}
