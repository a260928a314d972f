//! Exact budgets, fair shares, replays.

use std::fs;

use super::*;

/// Files "0", "1", … with as many rows as `rows` says; a row is "file row".
fn files(rows: &[usize]) -> (tempfile::TempDir, FileSource) {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..rows.len()).map(|file| file.to_string()).collect();
    for (file, rows) in rows.iter().enumerate() {
        let content: String = (0..*rows).map(|row| format!("{file} {row}\n")).collect();
        fs::write(folder.path().join(file.to_string()), content).unwrap();
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let source = open_file(folder.path(), &names, false);
    (folder, source)
}

fn counts(records: &[Record], files: usize) -> Vec<usize> {
    (0..files)
        .map(|file| records.iter().filter(|r| r.partition == u32::try_from(file).unwrap()).count())
        .collect()
}

#[test]
fn budgets_are_exact_and_fair() {
    for rows in [1, 2, 3, 7, 100, 8192] {
        let (_folder, mut source) = files(&[20_000, 20_000, 20_000]);
        let mut all = Vec::new();
        for _ in 0..6 {
            let (mut records, state) = step(&mut source, rows, 0);
            assert_eq!(records.len(), rows);
            assert_eq!(state, ReadState::More);
            all.append(&mut records);
            let counts = counts(&all, 3);
            // One row each in turn: after n rows, the first n mod 3 files are one ahead.
            let expected: Vec<_> = (0..3).map(|file| (all.len() + 2 - file) / 3).collect();
            assert_eq!(counts, expected, "{rows} rows a read");
        }
    }
}

#[test]
fn what_a_short_partition_leaves_goes_to_the_others() {
    let (_folder, mut source) = files(&[5, 1000, 0, 1000]);
    let (records, state) = step(&mut source, 600, 0);
    assert_eq!(state, ReadState::More);
    assert_eq!(records.len(), 600);
    let found = counts(&records, 4);
    assert_eq!((found[0], found[2]), (5, 0));
    assert!(found[1].abs_diff(found[3]) <= 1, "{found:?}");
    let (records, state) = step(&mut source, 10_000, 0);
    assert_eq!(records.len(), 1405);
    assert_eq!(state, ReadState::Ended);
    assert!(source.partitions().iter().all(|partition| partition.finished));
    assert_eq!(step(&mut source, 10, 0), (vec![], ReadState::Ended));
}

#[test]
fn no_rows_are_read_for_no_budget() {
    let (_folder, mut source) = files(&[3]);
    assert_eq!(step(&mut source, 0, 0), (vec![], ReadState::More));
}

#[test]
fn chunks_are_no_longer_than_asked_and_bytes_are_kept_to() {
    let (_folder, mut source) = files(&[1000, 1000]);
    let budget = ReadBudget { rows: 500, bytes: 300, chunk_rows: 16, wait: Duration::ZERO };
    let mut all = Vec::new();
    loop {
        let mut out = ReadOutput::default();
        let state = source.read(&budget, 0, &mut out).unwrap();
        // `records` checks rows, bytes and the length of chunks.
        all.append(&mut records(&out, &budget));
        if state == ReadState::Ended {
            break;
        }
        assert!(out.bytes > 280, "a read uses its budget: {}", out.bytes);
    }
    assert_eq!(counts(&all, 2), [1000, 1000]);
}

#[test]
fn a_record_longer_than_the_budget_goes_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), [&[b'x'; 500][..], b"\ny\n"].concat()).unwrap();
    fs::write(folder.path().join("b"), [&[b'z'; 600][..], b"\n"].concat()).unwrap();
    let mut source = open_file(folder.path(), &["a", "b"], false);
    let budget = ReadBudget { rows: 10, bytes: 100, chunk_rows: 10, wait: Duration::ZERO };
    let mut lengths = Vec::new();
    loop {
        let mut out = ReadOutput::default();
        let state = source.read(&budget, 0, &mut out).unwrap();
        lengths.extend(records(&out, &budget).iter().map(|record| record.bytes.len()));
        if state == ReadState::Ended {
            break;
        }
    }
    lengths.sort_unstable();
    assert_eq!(lengths, [1, 500, 600]);
}

#[test]
fn a_recorded_epoch_is_read_again_exactly() {
    let (_folder, mut source) = files(&[100, 10, 300]);
    let start: Vec<_> = source.partitions().iter().map(|p| p.position).collect();
    let (first, _) = step(&mut source, 77, 0);
    let middle: Vec<_> = source.partitions().iter().map(|p| p.position).collect();
    let (rest, _) = step(&mut source, 8192, 0);
    for (from, to, recorded) in [(&start, &middle, &first), (&middle, &vec![i64::MAX; 3], &rest)] {
        let mut again = Vec::new();
        for partition in 0..3u32 {
            let index = usize::try_from(partition).unwrap();
            source.seek(Partition(partition), from[index]).unwrap();
            let mut out = ReadOutput::default();
            let budget = budget(8192);
            source.replay(Partition(partition), to[index], &budget, 0, &mut out).unwrap();
            again.append(&mut records(&out, &budget));
        }
        let mut recorded = recorded.clone();
        recorded.sort_by_key(|record| (record.partition, record.position));
        assert_eq!(again, recorded);
    }
}

#[test]
fn memory_of_chunks_is_used_again_unless_held() {
    let (_folder, mut source) = files(&[300]);
    let mut out = ReadOutput::default();
    source.read(&budget(100), 0, &mut out).unwrap();
    let first = out.chunks[0].data.as_ptr();
    out.clear();
    source.read(&budget(100), 0, &mut out).unwrap();
    assert_eq!(out.chunks[0].data.as_ptr(), first);
    let held = out.chunks[0].clone();
    let bytes = held.data.to_vec();
    out.clear();
    source.read(&budget(100), 0, &mut out).unwrap();
    assert_ne!(out.chunks[0].data.as_ptr(), first);
    assert_eq!(held.data.as_slice(), bytes);
}

#[test]
fn names_and_unknown_partitions() {
    let (folder, mut source) = files(&[1, 1]);
    let names: Vec<_> = source.partitions().iter().map(|p| p.name.to_string()).collect();
    assert_eq!(names, ["0", "1"].map(|name| folder.path().join(name).display().to_string()));
    assert!(matches!(
        source.seek(Partition(2), 0),
        Err(SourceError::UnknownPartition { partition: 2 })
    ));
    assert!(matches!(
        source.seek(Partition(0), 100),
        Err(SourceError::BeyondEnd { position: 100, end: 4, .. })
    ));
}

#[test]
fn progress_ends_at_its_total() {
    let (_folder, mut source) = files(&[10, 20]);
    assert_eq!(
        source.progress(),
        Progress { done: 0, total: Some(130), unit: ProgressUnit::Bytes }
    );
    drain(&mut source, 7);
    assert_eq!(source.progress().done, 130);
}

#[test]
fn a_partition_that_is_far_ahead_gives_nothing() {
    let (_folder, mut source) = files(&[10, 10, 3]);
    source.pause(&[Partition(0)]);
    let (records, state) = step(&mut source, 100, 0);
    assert_eq!((counts(&records, 3), state), (vec![0, 10, 3], ReadState::Idle));
    assert!(!source.is_drained(Partition(0)) && source.is_drained(Partition(1)));
    assert!(!source.partitions()[0].finished);
    // It is no end, and nothing is lost.
    assert_eq!(step(&mut source, 100, 0), (vec![], ReadState::Idle));
    source.pause(&[]);
    let (records, state) = step(&mut source, 100, 0);
    assert_eq!((counts(&records, 3), state), (vec![10, 0, 0], ReadState::Ended));
}

#[test]
fn a_long_record_of_a_partition_that_waits_is_not_forced() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::write(folder.path().join(name), [&[b'x'; 500][..], b"\n"].concat()).unwrap();
    }
    let mut source = open_file(folder.path(), &["a", "b"], false);
    source.pause(&[Partition(0)]);
    let budget = ReadBudget { rows: 10, bytes: 100, chunk_rows: 10, wait: Duration::ZERO };
    let mut out = ReadOutput::default();
    source.read(&budget, 0, &mut out).unwrap();
    assert_eq!(counts(&records(&out, &budget), 2), [0, 1]);
}
