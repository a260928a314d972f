//! Partials that were stored and read back are merged as those that were not.

use super::*;
use crate::window::{Partial, Shard};

/// A few batches of one partition, with late rows among them.
fn batches() -> Vec<Vec<Row>> {
    let key = |n: i64| [Some("a"), Some("b"), None][usize::try_from(n % 3).unwrap()];
    let row = |n: i64| (n * 700 - 2_000 * (n % 4), key(n), (n % 5 != 0).then_some(n % 7));
    (0..4).map(|batch| (batch * 20..batch * 20 + 20).map(row).collect()).collect()
}

fn check(kind: WindowKind, output: OutputMode) {
    let window = window(spec(kind, output, 0));
    let (mut plain, mut stored) = (window.state(Shard::WHOLE), window.state(Shard::WHOLE));
    let mut max = NO_TIME;
    for (epoch, rows) in (0i64..).zip(batches().chunks(2)) {
        let mut written = Vec::new();
        for (number, rows) in (0i64..).zip(rows) {
            let batch = input(0, epoch * 100 + number * 50, rows);
            let partial = window.combine(&batch, &at(max, 1_000, NO_TIME)).unwrap().partial;
            max = rows.iter().map(|row| row.0).max().unwrap().max(max);
            written.extend(partial.store().unwrap());
            plain.merge(&partial).unwrap();
        }
        let joined = Partial::join_stored(&written).unwrap().unwrap();
        stored.merge(&window.stored_partial(&joined).unwrap()).unwrap();
        let watermark = max - 1_000;
        let shown = |fired: Vec<crate::window::Fired>| {
            fired.iter().map(|fired| format!("{:?}", fired.batch)).collect::<Vec<_>>()
        };
        let expected = shown(plain.advance(watermark, epoch).unwrap());
        assert_eq!(shown(stored.advance(watermark, epoch).unwrap()), expected, "{kind:?}");
    }
    let shown =
        |snapshot: crate::window::Snapshot| format!("{:?} {}", snapshot.groups, snapshot.notes);
    assert_eq!(shown(stored.snapshot().unwrap()), shown(plain.snapshot().unwrap()), "{kind:?}");
}

#[test]
fn stored_and_read_back() {
    for kind in [
        WindowKind::Tumbling { size_us: 10_000, offset_us: 0 },
        WindowKind::Sliding { size_us: 10_000, slide_us: 4_000, offset_us: 0 },
        WindowKind::Session { gap_us: 900 },
        WindowKind::Count { rows: 7 },
        WindowKind::Global,
    ] {
        check(kind, OutputMode::Append);
        check(kind, OutputMode::Update);
    }
}
