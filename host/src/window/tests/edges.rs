//! Edges, one by one.

use arrow::array::{AsArray, Float64Array};
use arrow::datatypes::Int64Type;

use super::*;
use crate::window::{LENGTH_LIMIT, SORTED_ROWS, Shard, TIME_LIMIT, WindowError};

const TUMBLING: WindowKind = WindowKind::Tumbling { size_us: 60, offset_us: 0 };

/// Runs one batch and the end of input: rows of (start, end, key, count).
fn run(spec: WindowSpec, rows: &[Row], time: PartitionTime) -> Vec<Vec<String>> {
    let window = window(spec);
    let mut state = window.state(Shard::WHOLE);
    state.merge(&window.combine(&input(0, 0, rows), &time).unwrap().partial).unwrap();
    let fired = state.advance(i64::MAX, 0).unwrap();
    let rows = fired.iter().flat_map(|f| (0..f.batch.num_rows()).map(|r| cells(&f.batch, r)));
    rows.map(|cells| cells[..4].to_vec()).collect()
}

#[test]
fn a_row_on_the_boundary_belongs_to_the_next_window() {
    let rows = [(59, Some("a"), None), (60, Some("a"), None), (-1, Some("a"), None)];
    let found = run(spec(TUMBLING, OutputMode::Append, 0), &rows, at(NO_TIME, 1_000, NO_TIME));
    let expected = [["-60", "0", "a", "1"], ["0", "60", "a", "1"], ["60", "120", "a", "1"]]
        .map(|r| r.map(String::from).to_vec());
    assert_eq!(found, expected);
}

#[test]
fn a_window_closes_exactly_at_its_end() {
    let window = window(spec(TUMBLING, OutputMode::Append, 0));
    let mut state = window.state(Shard::WHOLE);
    let time = at(NO_TIME, 0, NO_TIME);
    let combined = window.combine(&input(0, 0, &[(5, None, None)]), &time).unwrap();
    state.merge(&combined.partial).unwrap();
    assert_eq!((state.open_windows(), state.next_close()), (1, Some(60)));
    assert!(state.memory_bytes() > 0);
    assert!(state.advance(59, 0).unwrap().is_empty());
    assert_eq!(state.advance(60, 0).unwrap().len(), 1);
    assert_eq!((state.open_windows(), state.next_close()), (0, None));
    assert!(state.advance(i64::MAX, 0).unwrap().is_empty());
}

#[test]
fn lateness_is_that_of_the_row() {
    let window = window(spec(TUMBLING, OutputMode::Append, 0));
    // 70 moves the watermark to 60; the 59 after it is late, the 59 before it is not.
    let rows = [(59, None, None), (70, None, None), (59, None, None), (60, None, None)];
    let combined = window.combine(&input(0, 0, &rows), &at(NO_TIME, 10, NO_TIME)).unwrap();
    let late: Vec<_> = combined.late.iter().map(|l| (l.row, l.watermark)).collect();
    assert_eq!(late, vec![(2, 60)]);
    assert_eq!(combined.partial.rows(), 3);
    // All of them once the pipeline is past 120.
    let combined = window.combine(&input(0, 0, &rows), &at(NO_TIME, 10, 120)).unwrap();
    assert_eq!(combined.late.len(), 4);
    assert!(combined.partial.is_empty());
}

#[test]
fn extreme_times_are_counted_apart() {
    let rows: Vec<Row> = [NO_TIME, i64::MIN + 1, i64::MAX, TIME_LIMIT + 1, -TIME_LIMIT - 1]
        .into_iter()
        .map(|time| (time, None, None))
        .collect();
    let kinds = [
        TUMBLING,
        WindowKind::Sliding { size_us: LENGTH_LIMIT, slide_us: LENGTH_LIMIT / 3, offset_us: -7 },
        WindowKind::Session { gap_us: LENGTH_LIMIT },
        WindowKind::Count { rows: 1 },
        WindowKind::Global,
    ];
    for kind in kinds {
        let window = window(spec(kind, OutputMode::Append, 0));
        let time = at(NO_TIME, i64::MAX, NO_TIME);
        let combined = window.combine(&input(0, 0, &rows), &time).unwrap();
        assert_eq!(combined.without_time, vec![0, 1, 2, 3, 4], "{kind:?}");
        let mut state = window.state(Shard::WHOLE);
        state.merge(&combined.partial).unwrap();
        assert!(state.advance(i64::MAX, 0).unwrap().is_empty(), "{kind:?}");
    }
}

#[test]
fn the_farthest_times_do_not_overflow() {
    let year_9999 = 253_402_300_799_999_999;
    let rows = [TIME_LIMIT, -TIME_LIMIT, year_9999].map(|time| (time, None, None));
    let lengths = [
        (1, 1, 0),
        (LENGTH_LIMIT, LENGTH_LIMIT, -LENGTH_LIMIT),
        (LENGTH_LIMIT, LENGTH_LIMIT - 1, 5),
    ];
    for (size_us, slide_us, offset_us) in lengths {
        let kind = WindowKind::Sliding { size_us, slide_us, offset_us };
        for allowed in [0, LENGTH_LIMIT] {
            for output in [OutputMode::Append, OutputMode::Complete] {
                let found = run(spec(kind, output, allowed), &rows, at(NO_TIME, i64::MAX, NO_TIME));
                assert!(found.len() >= 3, "{found:?}");
            }
        }
    }
    let kind = WindowKind::Session { gap_us: LENGTH_LIMIT };
    assert_eq!(
        run(spec(kind, OutputMode::Append, 0), &rows, at(NO_TIME, i64::MAX, NO_TIME)).len(),
        3
    );
}

#[test]
fn null_time_is_no_time() {
    let window = window(spec(TUMBLING, OutputMode::Append, 0));
    let mut batch = input(0, 0, &[(5, None, None), (6, None, None)]);
    batch.time = Int64Array::from(vec![None, Some(6)]);
    let combined = window.combine(&batch, &at(NO_TIME, 0, NO_TIME)).unwrap();
    assert_eq!(combined.without_time, vec![0]);
    assert_eq!(combined.partial.rows(), 1);
}

#[test]
fn wrong_columns_are_refused() {
    let window = window(spec(TUMBLING, OutputMode::Append, 0));
    let time = at(NO_TIME, 0, NO_TIME);
    let good = input(0, 0, &[(5, None, None)]);
    let mut cases = vec![good.clone(), good.clone(), good.clone(), good.clone()];
    cases[0].keys.clear();
    cases[1].arguments.pop();
    cases[2].position = Int64Array::from(vec![1, 2]);
    cases[3].keys = vec![Arc::new(Float64Array::from(vec![1.0]))];
    for case in &cases {
        assert!(window.combine(case, &time).is_err());
    }
    let other = super::window(spec(WindowKind::Count { rows: 2 }, OutputMode::Append, 0));
    let partial = other.combine(&good, &time).unwrap().partial;
    let refused = window.state(Shard::WHOLE).merge(&partial);
    assert!(matches!(refused, Err(WindowError::Foreign { .. })));
}

#[test]
fn wrong_specifications_are_refused() {
    let cases = [
        (
            spec(WindowKind::Tumbling { size_us: 0, offset_us: 0 }, OutputMode::Append, 0),
            "tumbling is 0",
        ),
        (spec(TUMBLING, OutputMode::Append, -1), "allowed_lateness is -1"),
        (spec(WindowKind::Count { rows: 0 }, OutputMode::Append, 0), "count is 0"),
        (spec(WindowKind::Session { gap_us: 5 }, OutputMode::Append, 1), "session windows"),
    ];
    for (spec, expected) in cases {
        let error = Window::new(spec).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn keys_of_all_types_come_back_in_order() {
    let mut wanted = spec(TUMBLING, OutputMode::Append, 0);
    wanted.aggregates.truncate(1);
    wanted.key_names = vec!["f".into(), "i".into(), "t".into()];
    wanted.key_types = vec![DataType::Float64, DataType::Int32, DataType::Utf8];
    let window = window(wanted);
    let rows = [(1, None, None); 6];
    let mut batch = input(0, 0, &rows);
    batch.arguments.truncate(1);
    batch.filters.truncate(1);
    let floats = vec![Some(-0.0), Some(0.0), None, Some(f64::NAN), Some(-f64::NAN), Some(-1.0)];
    batch.keys = vec![
        Arc::new(Float64Array::from(floats)),
        Arc::new(arrow::array::Int32Array::from(vec![
            Some(7),
            Some(7),
            None,
            Some(1),
            Some(1),
            Some(-3),
        ])),
        Arc::new(StringArray::from(vec![Some("x"), Some("x"), Some(""), None, None, Some("y")])),
    ];
    let mut state = window.state(Shard::WHOLE);
    let combined = window.combine(&batch, &at(NO_TIME, 0, NO_TIME)).unwrap();
    state.merge(&combined.partial).unwrap();
    let fired = state.advance(i64::MAX, 0).unwrap();
    assert_eq!(fired[0].batch.schema(), window.schema());
    let found: Vec<Vec<String>> = (0..fired[0].batch.num_rows())
        .map(|row| cells(&fired[0].batch, row)[2..].to_vec())
        .collect();
    let expected = [
        ["null", "null", "", "1"],
        ["-1.0", "-3", "y", "1"],
        ["0.0", "7", "x", "2"],
        ["NaN", "1", "null", "2"],
    ];
    assert_eq!(found, expected.map(|row| row.map(String::from).to_vec()));
}

#[test]
fn large_results_are_ordered_by_hash_from_any_number_of_shards() {
    for (count, sorted) in [(SORTED_ROWS, true), (SORTED_ROWS + 1, false)] {
        let mut wanted = spec(
            WindowKind::Sliding { size_us: 120, slide_us: 60, offset_us: 0 },
            OutputMode::Append,
            0,
        );
        wanted.aggregates.truncate(1);
        wanted.key_types = vec![DataType::Int64];
        let window = window(wanted);
        let rows: Vec<Row> = (0..count).map(|_| (1, None, None)).collect();
        let mut batch = input(0, 0, &rows);
        batch.keys = vec![Arc::new(Int64Array::from_iter_values((0..).take(count)))];
        batch.arguments.truncate(1);
        batch.filters.truncate(1);
        let partial = window.combine(&batch, &at(NO_TIME, 0, NO_TIME)).unwrap().partial;
        let run = |of: u32| {
            let shards = (0..of).map(|index| {
                let mut state = window.state(Shard { index, of });
                state.merge(&partial).unwrap();
                state.advance(i64::MAX, 0).unwrap()
            });
            window.join(shards.collect()).unwrap()
        };
        let whole = run(1);
        assert_eq!(whole.len(), 2);
        let keys = whole[0].batch.column(2).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(keys.len(), count);
        assert_eq!(keys.is_sorted(), sorted);
        for of in [2, 3, 7] {
            let joined = run(of);
            assert_eq!(joined.len(), 2);
            assert_eq!(joined[1].batch, whole[1].batch, "{of} shards");
        }
    }
}

#[test]
fn keys_are_forgotten_with_their_windows() {
    let mut wanted = spec(TUMBLING, OutputMode::Append, 0);
    wanted.aggregates.truncate(1);
    wanted.key_types = vec![DataType::Int64];
    for kind in [TUMBLING, WindowKind::Session { gap_us: 60 }] {
        let window = window(WindowSpec { kind, ..wanted.clone() });
        let mut state = window.state(Shard::WHOLE);
        let mut most = 0;
        for minute in 0..40i64 {
            let rows: Vec<Row> = (0..2_000).map(|_| (minute * 60, None, None)).collect();
            let mut batch = input(0, 0, &rows);
            let first = minute * 1_500;
            batch.keys = vec![Arc::new(Int64Array::from_iter_values(first..first + 2_000))];
            batch.arguments.truncate(1);
            batch.filters.truncate(1);
            let time = at(NO_TIME, 1, NO_TIME);
            state.merge(&window.combine(&batch, &time).unwrap().partial).unwrap();
            let fired = state.advance(minute * 60, 0).unwrap();
            if minute > 2 && kind == TUMBLING {
                assert_eq!(fired[0].batch.column(3).as_primitive::<Int64Type>().len(), 2_000);
            }
            if minute == 10 {
                most = state.memory_bytes();
            }
        }
        assert!(state.memory_bytes() <= most * 2, "{} after {most}", state.memory_bytes());
    }
}
