//! The room against a naive model: a plain list of rows, each window computed anew from the
//! rule of lateness.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::watermark::Tracker;
use crate::window::{Fired, LateRow, Shard, WindowState};

const KEYS: [Option<&str>; 5] =
    [None, Some(""), Some("a"), Some("b"), Some("long key number four")];

/// A row of the log with what the model knows of it.
#[derive(Clone, Debug)]
struct Seen {
    time: i64,
    key: Option<&'static str>,
    value: Option<i64>,
    partition: u32,
    position: i64,
    /// The watermark at the row.
    watermark: i64,
}

/// What one partition does in one epoch.
#[derive(Clone, Debug)]
struct Turn {
    idle: bool,
    chunks: Vec<Vec<Row>>,
}

#[derive(Clone, Debug)]
struct Plan {
    delay: i64,
    shards: u32,
    /// A checkpoint is taken and read back, by this many shards, before this epoch.
    restore: (usize, u32),
    /// Per epoch, per partition; partitions join when their first turn comes.
    epochs: Vec<Vec<Turn>>,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (0i64..60, 0..KEYS.len(), prop_oneof![Just(None), (-3i64..4).prop_map(Some)])
        .prop_map(|(time, key, value)| (time, KEYS[key], value));
    prop::collection::vec(row, 0..8)
}

fn plan() -> impl Strategy<Value = Plan> {
    let turn = (prop::bool::weighted(0.2), prop::collection::vec(rows(), 0..3))
        .prop_map(|(idle, chunks)| Turn { idle, chunks });
    let epoch = prop::collection::vec(turn, 1..4);
    (
        prop_oneof![Just(0i64), 0i64..30],
        1u32..4,
        (0usize..8, 1u32..4),
        prop::collection::vec(epoch, 1..7),
    )
        .prop_map(|(delay, shards, restore, mut epochs)| {
            // Event time moves on by 15 an epoch, from before the Unix epoch on.
            for (number, epoch) in epochs.iter_mut().enumerate() {
                let base = 15 * i64::try_from(number).unwrap() - 50;
                for row in epoch.iter_mut().flat_map(|t| &mut t.chunks).flatten() {
                    row.0 += base;
                }
            }
            Plan { delay, shards, restore, epochs }
        })
}

struct Outcome {
    seen: Vec<Seen>,
    late: Vec<(i64, LateRow)>,
    /// Results of each advance.
    fired: Vec<Vec<Fired>>,
}

fn run(window: &Arc<Window>, plan: &Plan, shards: u32, restore: bool) -> Outcome {
    let make = |of: u32| -> Vec<WindowState> {
        (0..of).map(|index| window.state(Shard { index, of })).collect()
    };
    let mut states = make(shards);
    let mut tracker = Tracker::new();
    tracker.set_delay(SourceId(0), plan.delay);
    let mut outcome = Outcome { seen: vec![], late: vec![], fired: vec![] };
    let mut positions = BTreeMap::new();
    for (number, epoch) in plan.epochs.iter().enumerate() {
        if restore && number == plan.restore.0 {
            let snapshots: Vec<_> = states.iter_mut().map(|s| s.snapshot().unwrap()).collect();
            let of = plan.restore.1;
            states = (0..of)
                .map(|index| window.restore(Shard { index, of }, &snapshots).unwrap())
                .collect();
        }
        let pipeline = tracker.watermark();
        for (partition, turn) in (0u32..).zip(epoch) {
            let from = PartitionRef { source: SourceId(0), partition: Partition(partition) };
            tracker.join(from);
            tracker.set_idle(from, turn.idle);
            if turn.idle {
                continue;
            }
            for rows in &turn.chunks {
                let before = tracker.max_time(from);
                let position = positions.entry(partition).or_insert(0);
                let mut latest = before;
                for (row, at) in rows.iter().zip(*position..) {
                    let own = if latest == NO_TIME { NO_TIME } else { latest - plan.delay };
                    outcome.seen.push(Seen {
                        time: row.0,
                        key: row.1,
                        value: row.2,
                        partition,
                        position: at,
                        watermark: own.max(pipeline),
                    });
                    latest = latest.max(row.0);
                }
                let batch = input(partition, *position, rows);
                let combined =
                    window.combine(&batch, &super::at(before, plan.delay, pipeline)).unwrap();
                assert!(combined.without_time.is_empty());
                let times = combined.late.iter().map(|l| rows[l.row as usize].0);
                outcome.late.extend(times.zip(combined.late.iter().copied()));
                for state in &mut states {
                    state.merge(&combined.partial).unwrap();
                }
                *position += i64::try_from(rows.len()).unwrap();
                tracker.observe(from, latest);
            }
        }
        let watermark = tracker.advance();
        let now = i64::try_from(number).unwrap() * 10;
        let fired = states.iter_mut().map(|s| s.advance(watermark, now).unwrap()).collect();
        outcome.fired.push(window.join(fired).unwrap());
    }
    tracker.end();
    let fired = states.iter_mut().map(|s| s.advance(tracker.advance(), 1_000).unwrap()).collect();
    outcome.fired.push(window.join(fired).unwrap());
    for state in &states {
        if !matches!(window.spec().kind, WindowKind::Count { .. }) {
            assert_eq!(state.open_windows(), 0, "everything closes at the end");
            assert_eq!(state.next_close(), None);
        }
    }
    outcome
}

/// The aggregates of a group of rows, as text.
fn summary(rows: &[&Seen]) -> Vec<String> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| (row.time, row.partition, row.position));
    let values: Vec<i64> = rows.iter().filter_map(|row| row.value).collect();
    let or_null = |value: Option<i64>| value.map_or("null".to_owned(), |v| v.to_string());
    let some = !values.is_empty();
    vec![
        rows.len().to_string(),
        or_null(some.then(|| values.iter().sum())),
        or_null(values.iter().max().copied()),
        values.iter().collect::<BTreeSet<_>>().len().to_string(),
        if some { format!("{values:?}") } else { "null".into() },
        values.iter().filter(|v| **v > 0).count().to_string(),
    ]
}

type Table = BTreeMap<Vec<String>, Vec<String>>;

fn key_cell(key: Option<&str>) -> String {
    key.map_or("null".to_owned(), str::to_owned)
}

/// Returns a result as (window and key) → aggregates; panics when a group comes twice.
fn table<'a>(fired: impl IntoIterator<Item = &'a Fired>, keys: usize) -> Table {
    let mut table = Table::new();
    overlay(&mut table, fired, keys, true);
    table
}

fn overlay<'a>(
    table: &mut Table,
    fired: impl IntoIterator<Item = &'a Fired>,
    keys: usize,
    once: bool,
) {
    for fired in fired {
        assert_eq!(fired.batch.num_rows(), fired.time.len());
        assert!(fired.batch.num_rows() > 0, "no empty results");
        for row in 0..fired.batch.num_rows() {
            let mut cells = cells(&fired.batch, row);
            let values = cells.split_off(keys);
            if keys == 3 {
                let end: i64 = cells[1].parse().unwrap();
                assert_eq!(fired.time.value(row), end - 1);
                assert!(fired.window_end.is_none_or(|e| e == end));
            }
            let before = table.insert(cells.clone(), values);
            assert!(!(once && before.is_some()), "{cells:?} came twice");
        }
    }
}

fn windows_of(time: i64, size: i64, slide: i64, offset: i64) -> Vec<i64> {
    (time - size + 1..=time).filter(|start| (start - offset).rem_euclid(slide) == 0).collect()
}

fn aligned_model(seen: &[Seen], (size, slide, offset): (i64, i64, i64), allowed: i64) -> Table {
    let mut groups: BTreeMap<Vec<String>, Vec<&Seen>> = BTreeMap::new();
    for row in seen {
        for start in windows_of(row.time, size, slide, offset) {
            let end = start + size;
            if row.watermark == NO_TIME || end + allowed > row.watermark {
                let group = vec![start.to_string(), end.to_string(), key_cell(row.key)];
                groups.entry(group).or_default().push(row);
            }
        }
    }
    groups.into_iter().map(|(group, rows)| (group, summary(&rows))).collect()
}

fn same_fired(a: &[Vec<Fired>], b: &[Vec<Fired>]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        let of = |fired: &[Fired]| -> Vec<_> {
            fired
                .iter()
                .map(|f| (f.window_end, f.revision, f.batch.clone(), f.time.clone()))
                .collect()
        };
        let (a, b) = (of(a), of(b));
        assert_eq!(a.len(), b.len(), "results of an advance");
        for (a, b) in a.iter().zip(&b) {
            assert_eq!((a.0, a.1, &a.3), (b.0, b.1, &b.3));
            let rows = |batch: &RecordBatch| -> Vec<Vec<String>> {
                (0..batch.num_rows()).map(|row| cells(batch, row)).collect()
            };
            assert_eq!(rows(&a.2), rows(&b.2));
        }
    }
}

fn aligned() -> impl Strategy<Value = (i64, i64, i64)> {
    prop_oneof![
        (1i64..40, -50i64..50).prop_map(|(size, offset)| (size, size, offset)),
        (1i64..40, 1i64..40, -50i64..50),
        (1i64..6, 1i64..10).prop_map(|(n, slide)| (n * slide, slide, 0)),
    ]
}

fn kind((size_us, slide_us, offset_us): (i64, i64, i64)) -> WindowKind {
    if size_us == slide_us {
        WindowKind::Tumbling { size_us, offset_us }
    } else {
        WindowKind::Sliding { size_us, slide_us, offset_us }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn aligned_windows_append(
        plan in plan(),
        lengths in aligned(),
        allowed in prop_oneof![Just(0i64), 0i64..50],
    ) {
        let window = window(spec(kind(lengths), OutputMode::Append, allowed));
        let outcome = run(&window, &plan, plan.shards, true);
        let (size, slide, offset) = lengths;
        // Late rows, one by one.
        let mut late = Vec::new();
        for row in &outcome.seen {
            let all = windows_of(row.time, size, slide, offset);
            let dropped: Vec<i64> =
                all.iter().copied().filter(|s| s + size + allowed <= row.watermark).collect();
            if let (Some(first), Some(last)) = (dropped.first(), dropped.last()) {
                late.push((row.time, row.watermark, dropped.len(), all.len() - dropped.len(), *first, *last));
            }
        }
        let found: Vec<_> = outcome.late.iter().map(|(time, l)| (
            *time, l.watermark, l.windows_dropped as usize, l.windows_kept as usize,
            l.first_dropped_start, l.last_dropped_start,
        )).collect();
        prop_assert_eq!(found, late);
        // The first firing, and what the last revisions say.
        let all: Vec<&Fired> = outcome.fired.iter().flatten().collect();
        let first = table(all.iter().copied().filter(|f| f.revision == 0), 3);
        prop_assert_eq!(&first, &aligned_model(&outcome.seen, lengths, 0));
        let mut last = first;
        let mut numbers: BTreeMap<i64, u32> = BTreeMap::new();
        for fired in all.iter().filter(|f| f.revision > 0) {
            let end = fired.window_end.unwrap();
            prop_assert!(numbers.insert(end, fired.revision).is_none_or(|before| before < fired.revision));
            overlay(&mut last, [*fired], 3, false);
        }
        prop_assert_eq!(last, aligned_model(&outcome.seen, lengths, allowed));
        // Ascending window ends within an advance, and the same from any number of shards.
        for fired in &outcome.fired {
            prop_assert!(fired.is_sorted_by_key(|f| (f.window_end, f.revision)));
        }
        same_fired(&outcome.fired, &run(&window, &plan, 1, false).fired);
    }

    #[test]
    fn aligned_windows_update_and_complete(
        plan in plan(),
        lengths in aligned(),
        allowed in prop_oneof![Just(0i64), 0i64..50],
        trigger in prop_oneof![Just(None), (1i64..40).prop_map(Some)],
    ) {
        let mut wanted = spec(kind(lengths), OutputMode::Update, allowed);
        wanted.trigger_us = trigger;
        let window = super::window(wanted.clone());
        let outcome = run(&window, &plan, plan.shards, true);
        let expected = aligned_model(&outcome.seen, lengths, allowed);
        let mut last = Table::new();
        overlay(&mut last, outcome.fired.iter().flatten(), 3, false);
        prop_assert_eq!(&last, &expected);
        same_fired(&outcome.fired, &run(&window, &plan, 1, false).fired);

        wanted.output = OutputMode::Complete;
        let outcome = run(&super::window(wanted), &plan, plan.shards, true);
        let last = outcome.fired.iter().rev().find(|fired| !fired.is_empty());
        let last = last.map(|fired| table(fired, 3)).unwrap_or_default();
        prop_assert_eq!(&last, &expected);
    }

    #[test]
    fn sessions(plan in plan(), gap in 1i64..40) {
        let window = window(spec(WindowKind::Session { gap_us: gap }, OutputMode::Append, 0));
        let outcome = run(&window, &plan, plan.shards, true);
        let mut by_key: BTreeMap<Option<&str>, Vec<&Seen>> = BTreeMap::new();
        let mut late = 0;
        for row in &outcome.seen {
            if row.time <= row.watermark {
                late += 1;
            } else {
                by_key.entry(row.key).or_default().push(row);
            }
        }
        prop_assert_eq!(outcome.late.len(), late);
        let mut expected = Table::new();
        for (key, mut rows) in by_key {
            rows.sort_by_key(|row| row.time);
            for rows in rows.chunk_by(|a, b| b.time - a.time < gap) {
                let (start, end) = (rows[0].time, rows[rows.len() - 1].time + gap);
                let group = vec![start.to_string(), end.to_string(), key_cell(key)];
                expected.insert(group, summary(rows));
            }
        }
        prop_assert_eq!(table(outcome.fired.iter().flatten(), 3), expected.clone());
        same_fired(&outcome.fired, &run(&window, &plan, 1, false).fired);

        let window = super::window(spec(WindowKind::Session { gap_us: gap }, OutputMode::Update, 0));
        let outcome = run(&window, &plan, plan.shards, true);
        let mut last = Table::new();
        overlay(&mut last, outcome.fired.iter().flatten(), 3, false);
        for (group, values) in expected {
            prop_assert_eq!(last.get(&group), Some(&values));
        }
    }

    #[test]
    fn counts(plan in plan(), n in 1u64..6) {
        let window = window(spec(WindowKind::Count { rows: n }, OutputMode::Append, 0));
        let outcome = run(&window, &plan, plan.shards, true);
        let mut by_key: BTreeMap<Option<&str>, Vec<&Seen>> = BTreeMap::new();
        outcome.seen.iter().for_each(|row| by_key.entry(row.key).or_default().push(row));
        let mut expected = Vec::new();
        for (key, rows) in by_key {
            for rows in rows.chunks_exact(usize::try_from(n).unwrap()) {
                let start = rows.iter().map(|row| row.time).min().unwrap();
                let end = rows.iter().map(|row| row.time).max().unwrap() + 1;
                let mut line = vec![start.to_string(), end.to_string(), key_cell(key)];
                line.extend(summary(rows));
                expected.push(line);
            }
        }
        let mut found: Vec<Vec<String>> = outcome
            .fired
            .iter()
            .flatten()
            .flat_map(|f| (0..f.batch.num_rows()).map(|row| cells(&f.batch, row)))
            .collect();
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
        same_fired(&outcome.fired, &run(&window, &plan, 1, false).fired);
    }

    #[test]
    fn global(plan in plan(), mode in 0usize..3) {
        let mode = [OutputMode::Append, OutputMode::Update, OutputMode::Complete][mode];
        let window = window(spec(WindowKind::Global, mode, 0));
        let outcome = run(&window, &plan, plan.shards, true);
        prop_assert!(outcome.late.is_empty());
        let mut by_key: BTreeMap<Option<&str>, Vec<&Seen>> = BTreeMap::new();
        outcome.seen.iter().for_each(|row| by_key.entry(row.key).or_default().push(row));
        let expected: Table =
            by_key.iter().map(|(key, rows)| (vec![key_cell(*key)], summary(rows))).collect();
        let mut last = Table::new();
        overlay(&mut last, outcome.fired.iter().flatten(), 1, mode == OutputMode::Append);
        prop_assert_eq!(last, expected);
        same_fired(&outcome.fired, &run(&window, &plan, 1, false).fired);
    }
}
