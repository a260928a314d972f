//! Each aggregate against DataFusion's accumulator, under random batches, splits and merges.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{concat, filter, sort};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::AggregateUDF;
use datafusion_expr::function::AccumulatorArgs;
use datafusion_functions_aggregate::{
    approx_distinct, approx_percentile_cont, average, count, median, min_max, percentile_cont,
    stddev, sum, variance,
};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, Literal};
use proptest::prelude::*;

use super::*;
use crate::window::aggregate::{Aggregate, RowOrder, make};

/// A function, ours and DataFusion's.
struct Case {
    spec: AggregateSpec,
    theirs: Arc<AggregateUDF>,
}

fn case(function: AggregateFunction, argument: &DataType) -> Case {
    use AggregateFunction as F;
    let theirs = match function {
        F::Count => count::count_udaf(),
        F::Sum => sum::sum_udaf(),
        F::Avg => average::avg_udaf(),
        F::Min => min_max::min_udaf(),
        F::Max => min_max::max_udaf(),
        F::VarPop => variance::var_pop_udaf(),
        F::VarSamp => variance::var_samp_udaf(),
        F::StddevPop => stddev::stddev_pop_udaf(),
        F::StddevSamp => stddev::stddev_udaf(),
        F::Median => median::median_udaf(),
        F::PercentileCont => percentile_cont::percentile_cont_udaf(),
        F::ApproxDistinct => approx_distinct::approx_distinct_udaf(),
        _ => approx_percentile_cont::approx_percentile_cont_udaf(),
    };
    let parameters = match function {
        F::PercentileCont | F::ApproxPercentileCont => vec![ScalarValue::Float64(Some(0.9))],
        _ => vec![],
    };
    let mut types = vec![argument.clone()];
    types.extend(parameters.iter().map(ScalarValue::data_type));
    let result_type = theirs.return_type(&types).unwrap();
    let argument_types = vec![argument.clone()];
    let distinct = false;
    Case {
        spec: AggregateSpec { function, distinct, argument_types, parameters, result_type },
        theirs,
    }
}

impl Case {
    /// DataFusion's answer over these values.
    fn expected(&self, values: &ArrayRef, distinct: bool) -> ScalarValue {
        let field = Arc::new(Field::new("v", values.data_type().clone(), true));
        let schema = Schema::new(vec![Arc::clone(&field)]);
        let mut exprs: Vec<Arc<dyn PhysicalExpr>> = vec![Arc::new(Column::new("v", 0))];
        let mut fields = vec![field];
        for parameter in &self.spec.parameters {
            exprs.push(Arc::new(Literal::new(parameter.clone())));
            fields.push(Arc::new(Field::new("p", parameter.data_type(), true)));
        }
        let return_field = Arc::new(Field::new("r", self.spec.result_type.clone(), true));
        let mut accumulator = self
            .theirs
            .accumulator(AccumulatorArgs {
                return_field,
                schema: &schema,
                ignore_nulls: false,
                order_bys: &[],
                is_reversed: false,
                name: "r",
                is_distinct: distinct,
                exprs: &exprs,
                expr_fields: &fields,
            })
            .unwrap();
        accumulator.update_batch(&[Arc::clone(values)]).unwrap();
        accumulator.evaluate().unwrap()
    }
}

/// Batches: (group, value, passes the filter) rows.
type Batches = Vec<Vec<(u32, Option<i64>, Option<bool>)>>;

const GROUPS: u32 = 3;

fn batches() -> impl Strategy<Value = Batches> {
    let value = prop_oneof![1 => Just(None), 4 => (-20i64..20).prop_map(Some)];
    let passes = prop_oneof![4 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    prop::collection::vec(prop::collection::vec((0..GROUPS, value, passes), 0..12), 1..5)
}

/// The values of a type that stand for small integers.
fn values(data_type: &DataType, numbers: &[Option<i64>]) -> ArrayRef {
    let numbers = numbers.iter().copied();
    match data_type {
        DataType::Int64 => Arc::new(numbers.collect::<Int64Array>()),
        DataType::Float64 => {
            Arc::new(numbers.map(|n| n.map(|n| n as f64 * 1.25 + 1e6)).collect::<Float64Array>())
        }
        DataType::Boolean => Arc::new(numbers.map(|n| n.map(|n| n > 0)).collect::<BooleanArray>()),
        DataType::Utf8 => {
            Arc::new(numbers.map(|n| n.map(|n| format!("text {n}"))).collect::<StringArray>())
        }
        _ => Arc::new(numbers.collect::<TimestampMicrosecondArray>()),
    }
}

fn same(ours: &ScalarValue, theirs: &ScalarValue, tolerance: f64) -> bool {
    match (ours, theirs) {
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => {
            (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
        }
        _ => ours == theirs,
    }
}

/// Feeds batches to partials, merges those, through state columns and back, and reads.
fn ours(spec: &AggregateSpec, batches: &Batches) -> Vec<ScalarValue> {
    let empty = make("a", spec).unwrap();
    let mut state = empty.fresh();
    let all: Vec<u32> = (0..GROUPS).collect();
    state.resize(GROUPS as usize);
    let mut position = 0;
    for (at, batch) in batches.iter().enumerate() {
        let mut partial = empty.fresh();
        partial.resize(GROUPS as usize);
        let groups: Vec<u32> = batch.iter().map(|row| row.0).collect();
        let column =
            values(&spec.argument_types[0], &batch.iter().map(|row| row.1).collect::<Vec<_>>());
        let passes: BooleanArray = batch.iter().map(|row| row.2).collect();
        let positions: Vec<i64> = (position..).take(batch.len()).collect();
        position += i64::try_from(batch.len()).unwrap();
        let zeros = vec![0; batch.len()];
        let order = RowOrder { time: &zeros, partition: &zeros, position: &positions };
        partial.update(&groups, &[column], Some(&passes), order).unwrap();
        if at % 2 == 0 {
            partial.seal();
            // Group by group, as slices are merged.
            for group in 0..GROUPS {
                state.merge(partial.as_ref(), &[group], &[group]).unwrap();
            }
        } else {
            let read = partial.restored(&partial.state(&all).unwrap()).unwrap();
            state.merge(read.as_ref(), &all, &all).unwrap();
        }
    }
    // Reading changes nothing; a round trip through columns neither.
    let first = state.evaluate(&all).unwrap();
    assert_eq!(&first, &state.evaluate(&all).unwrap());
    assert_eq!(first.data_type(), &spec.result_type);
    let read = state.restored(&state.state(&[2, 0, 1]).unwrap()).unwrap();
    assert_eq!(&read.evaluate(&[1, 2, 0]).unwrap(), &first);
    // A cleared group is like new, the others stay.
    let mut cleared = state.restored(&state.state(&all).unwrap()).unwrap();
    cleared.clear(&[1]);
    let mut fresh = empty.fresh();
    fresh.resize(1);
    let after = cleared.evaluate(&all).unwrap();
    assert_eq!(&after.slice(1, 1), &fresh.evaluate(&[0]).unwrap());
    assert_eq!(&after.slice(2, 1), &first.slice(2, 1));
    // Merging within is merging.
    let mut within = state.restored(&state.state(&all).unwrap()).unwrap();
    within.merge_within(0, 1).unwrap();
    let mut across = state.restored(&state.state(&all).unwrap()).unwrap();
    across.merge(state.as_ref(), &[0], &[1]).unwrap();
    let at =
        |a: &dyn Aggregate| ScalarValue::try_from_array(&a.evaluate(&[1]).unwrap(), 0).unwrap();
    assert!(same(&at(within.as_ref()), &at(across.as_ref()), 1e-12));
    (0..GROUPS as usize).map(|row| ScalarValue::try_from_array(&first, row).unwrap()).collect()
}

fn group_values(spec: &AggregateSpec, batches: &Batches, group: u32) -> ArrayRef {
    let rows: Vec<_> = batches.iter().flatten().filter(|row| row.0 == group).collect();
    let column = values(&spec.argument_types[0], &rows.iter().map(|r| r.1).collect::<Vec<_>>());
    let keep: BooleanArray =
        rows.iter().map(|row| Some(row.2 == Some(true) && row.1.is_some())).collect();
    filter(&column, &keep).unwrap()
}

fn check(case: &Case, batches: &Batches, tolerance: f64) {
    let ours = ours(&case.spec, batches);
    for group in 0..GROUPS {
        let values = group_values(&case.spec, batches, group);
        let theirs = case.expected(&values, case.spec.distinct);
        let theirs = theirs.cast_to(&case.spec.result_type).unwrap();
        let mine = &ours[group as usize];
        assert!(
            same(mine, &theirs, tolerance),
            "{:?} of {values:?}: {mine:?}, expected {theirs:?}",
            case.spec
        );
    }
}

const TYPES: [DataType; 5] = [
    DataType::Int64,
    DataType::Float64,
    DataType::Boolean,
    DataType::Utf8,
    DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_type(batches in batches()) {
        use AggregateFunction as F;
        for data_type in &TYPES {
            for function in [F::Count, F::Min, F::Max] {
                check(&case(function, data_type), &batches, 0.0);
            }
            let mut case = case(F::Count, data_type);
            case.spec.distinct = true;
            check(&case, &batches, 0.0);
        }
    }

    #[test]
    fn numbers(batches in batches()) {
        use AggregateFunction as F;
        for function in [F::Sum, F::Median] {
            check(&case(function, &DataType::Int64), &batches, 0.0);
        }
        for function in [F::Sum, F::Avg, F::VarPop, F::VarSamp, F::StddevPop, F::StddevSamp, F::Median] {
            check(&case(function, &DataType::Float64), &batches, 1e-9);
        }
        // DataFusion interpolates with a precision of 1e-6.
        check(&case(F::PercentileCont, &DataType::Float64), &batches, 1e-5);
        let mut sum = case(F::Sum, &DataType::Int64);
        sum.spec.distinct = true;
        check(&sum, &batches, 0.0);
    }

    #[test]
    fn sketches(batches in batches()) {
        use AggregateFunction as F;
        check(&case(F::ApproxDistinct, &DataType::Utf8), &batches, 0.0);
        check(&case(F::ApproxDistinct, &DataType::Int64), &batches, 0.0);
        check(&case(F::ApproxPercentileCont, &DataType::Float64), &batches, 1e-5);
    }

    #[test]
    fn lists_and_edges(batches in batches()) {
        use AggregateFunction as F;
        for data_type in &TYPES {
            let field = Arc::new(Field::new_list_field(data_type.clone(), true));
            let over = std::slice::from_ref(data_type);
            let list = aggregate(F::ArrayAgg, false, over, DataType::List(Arc::clone(&field)));
            let set = aggregate(F::ArrayAgg, true, over, DataType::List(field));
            let first = aggregate(F::FirstValue, false, over, data_type.clone());
            let last = aggregate(F::LastValue, false, over, data_type.clone());
            let (lists, sets) = (ours(&list, &batches), ours(&set, &batches));
            let (firsts, lasts) = (ours(&first, &batches), ours(&last, &batches));
            for group in 0..GROUPS {
                let values = group_values(&list, &batches, group);
                let at = group as usize;
                let null = ScalarValue::try_from(data_type).unwrap();
                if values.is_empty() {
                    assert!(lists[at].is_null() && sets[at].is_null());
                    assert_eq!((&firsts[at], &lasts[at]), (&null, &null));
                    continue;
                }
                let of = |list: &ScalarValue| match list {
                    ScalarValue::List(list) => list.value(0),
                    other => panic!("not a list: {other:?}"),
                };
                assert_eq!(&of(&lists[at]), &values);
                let sorted = sort(&values, None).unwrap();
                let mut distinct = vec![sorted.slice(0, 1)];
                for row in 1..sorted.len() {
                    if sorted.slice(row, 1) != sorted.slice(row - 1, 1) {
                        distinct.push(sorted.slice(row, 1));
                    }
                }
                let distinct: Vec<&dyn Array> = distinct.iter().map(|a| a.as_ref()).collect();
                assert_eq!(&of(&sets[at]), &concat(&distinct).unwrap());
                assert_eq!(firsts[at], ScalarValue::try_from_array(&values, 0).unwrap());
                let end = values.len() - 1;
                assert_eq!(lasts[at], ScalarValue::try_from_array(&values, end).unwrap());
            }
        }
    }
}

fn one(spec: &AggregateSpec, column: ArrayRef) -> ScalarValue {
    let mut state = make("a", spec).unwrap();
    state.resize(1);
    let zeros = vec![0; column.len()];
    let groups = vec![0; column.len()];
    let order = RowOrder { time: &zeros, partition: &zeros, position: &zeros };
    state.update(&groups, &[column], None, order).unwrap();
    ScalarValue::try_from_array(&state.evaluate(&[0]).unwrap(), 0).unwrap()
}

#[test]
fn a_sum_that_does_not_fit_is_null() {
    let sum = aggregate(AggregateFunction::Sum, false, &[DataType::Int64], DataType::Int64);
    let of = |values: Vec<i64>| one(&sum, Arc::new(Int64Array::from(values)));
    assert_eq!(of(vec![i64::MAX, 1]), ScalarValue::Int64(None));
    assert_eq!(of(vec![i64::MAX, 1, -1]), ScalarValue::Int64(Some(i64::MAX)));
    assert_eq!(of(vec![i64::MIN, -1]), ScalarValue::Int64(None));
}

#[test]
fn doubles_are_ordered_totally_and_grouped_by_value() {
    use AggregateFunction as F;
    let float = [DataType::Float64];
    let column: ArrayRef =
        Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, 1.0, f64::INFINITY]));
    let distinct = aggregate(F::Count, true, &float, DataType::Int64);
    assert_eq!(one(&distinct, Arc::clone(&column)), ScalarValue::Int64(Some(4)));
    let max = aggregate(F::Max, false, &float, DataType::Float64);
    let ScalarValue::Float64(Some(greatest)) = one(&max, Arc::clone(&column)) else {
        panic!("a double");
    };
    assert!(greatest.is_nan());
    let min = aggregate(F::Min, false, &float, DataType::Float64);
    let zeros: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0]));
    let ScalarValue::Float64(Some(least)) = one(&min, zeros) else { panic!("a double") };
    assert!(least.is_sign_negative());
}

#[test]
fn variance_is_stable_far_from_zero() {
    use AggregateFunction as F;
    let column: Float64Array = (0..1000).map(|n| Some(1e9 + f64::from(n % 2))).collect();
    let spec = aggregate(F::VarPop, false, &[DataType::Float64], DataType::Float64);
    let ScalarValue::Float64(Some(variance)) = one(&spec, Arc::new(column)) else {
        panic!("a double");
    };
    assert!((variance - 0.25).abs() < 1e-9, "{variance}");
}

#[test]
fn what_cannot_be_aggregated_is_refused() {
    use AggregateFunction as F;
    let int = DataType::Int64;
    let cases = [
        (aggregate(F::Sum, false, &[DataType::Utf8], int.clone()), "values of type Utf8"),
        (aggregate(F::Sum, false, &[], int.clone()), "needs an argument"),
        (aggregate(F::Median, true, std::slice::from_ref(&int), int.clone()), "cannot be distinct"),
        (
            aggregate(F::PercentileCont, false, std::slice::from_ref(&int), int.clone()),
            "needs a percentile between 0 and 1",
        ),
    ];
    for (spec, expected) in cases {
        let error = make("a", &spec).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
