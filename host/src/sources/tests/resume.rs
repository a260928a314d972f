//! Going on from a checkpoint: files that are not followed, and sources that make their rows.

use std::fs;
use std::io::{Cursor, Write};

use super::*;

fn resume_file(
    folder: &Path,
    paths: &[&str],
    state: &SourceState,
) -> Result<FileSource, SourceError> {
    FileSource::resume(&file_config(paths, false), SourceId(3), folder, state)
}

/// Three files of different lengths, one without a last newline.
fn three_files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a", "1\n22\n333\n4444\n"), ("b", "x\n\ny"), ("c", "")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn files_give_exactly_the_rest() {
    let folder = three_files();
    let paths = ["a", "b", "c"];
    let all = sorted(drain(&mut open_file(folder.path(), &paths, false), 100));
    assert_eq!(all.len(), 7);
    for taken in 0..=all.len() {
        let mut source = open_file(folder.path(), &paths, false);
        let (mut records, _) = step(&mut source, taken, 0);
        let partitions = source.partitions().to_vec();
        // The engine has read on since, by a little or to the end.
        for ahead in [0, 1, 2, 100] {
            step(&mut source, ahead, 0);
            let state = state_at(&partitions, &source);
            let mut again = resume_file(folder.path(), &paths, &state).unwrap();
            expect_partitions(&again, &state);
            let mut together = records.clone();
            together.extend(drain(&mut again, 2));
            assert_eq!(sorted(together), all, "{taken} rows, then {ahead}");
        }
        records.clear();
    }
}

#[test]
fn what_is_finished_need_not_be_there_and_is_not_read_again() {
    let folder = three_files();
    let path = folder.path();
    let mut source = open_file(path, &["a", "b", "c"], false);
    drain(&mut source, 100);
    let state = state_of(&source);
    assert!(state.partitions.iter().all(|partition| partition.finished));
    fs::remove_file(path.join("b")).unwrap();
    fs::OpenOptions::new().append(true).open(path.join("a")).unwrap().write_all(b"more\n").unwrap();
    let mut again = resume_file(path, &["a", "b", "c"], &state).unwrap();
    expect_partitions(&again, &state);
    assert_eq!(step(&mut again, 10, 0), (vec![], ReadState::Ended));
    assert_eq!(state_of(&again).partitions, state.partitions);
}

#[test]
fn files_that_match_a_pattern_later_join_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("m.log"), "1\n2\n").unwrap();
    let mut source = open_file(path, &["*.log"], false);
    step(&mut source, 1, 0);
    let state = state_of(&source);
    fs::write(path.join("a.log"), "3\n").unwrap();
    let mut again = resume_file(path, &["*.log"], &state).unwrap();
    expect_partitions(&again, &state);
    let records = sorted(drain(&mut again, 10));
    assert_eq!(texts(&records), ["2", "3"]);
    assert_eq!((records[0].partition, records[1].partition), (0, 1));
    // When all are read, that no file matches any more is no error.
    drain(&mut again, 10);
    let state = state_of(&again);
    fs::remove_file(path.join("m.log")).unwrap();
    fs::remove_file(path.join("a.log")).unwrap();
    let mut again = resume_file(path, &["*.log"], &state).unwrap();
    assert_eq!(step(&mut again, 10, 0), (vec![], ReadState::Ended));
}

#[test]
fn the_folder_of_the_process_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/a"), "1\n2\n").unwrap();
    let mut source = open_file(folder.path(), &["data/a"], false);
    step(&mut source, 1, 0);
    let mut state = state_of(&source);
    // As if the pipeline had been started with a path relative to another folder.
    state.partitions[0].name = "a".into();
    let mut again = resume_file(&folder.path().join("data"), &["a"], &state).unwrap();
    assert_eq!(again.partitions()[0].name.to_string(), "a");
    assert_eq!(texts(&drain(&mut again, 10)), ["2"]);
    assert_eq!(again.partitions().len(), 1);
}

#[test]
fn what_changed_is_told() {
    type Case = (&'static str, fn(&Path), &'static [&'static str], &'static str);
    let cases: [Case; 4] = [
        (
            "replaced",
            |a| fs::write(a, "another\nfile\n").unwrap(),
            &["a"],
            "/a` does not begin as the file that was read up to position 8: it is another one",
        ),
        (
            "shorter",
            |a| fs::write(a, "1\n2\n3\n").unwrap(),
            &["a"],
            "/a` has no position 8: it ends at 6",
        ),
        (
            "gone",
            |a| fs::remove_file(a).unwrap(),
            &["a"],
            "/a` can no longer be read from position 8: the file is no longer there",
        ),
        (
            "not named",
            |a| fs::write(a.with_file_name("b"), "").unwrap(),
            &["b"],
            "/a` was read up to position 8, and the source no longer names it",
        ),
    ];
    for (name, change, paths, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let a = folder.path().join("a");
        fs::write(&a, "1\n2\n3\n4\n5\n").unwrap();
        let mut source = open_file(folder.path(), &["a"], false);
        step(&mut source, 4, 0);
        let state = state_of(&source);
        change(&a);
        let error = resume_file(folder.path(), paths, &state).err().unwrap();
        assert!(error.to_string().ends_with(expected), "{name}: {error}");
        assert!(error.help().unwrap().contains("start without the old state"), "{name}");
    }
    let state = SourceState { detail: serde_json::json!({ "files": 1 }), ..Default::default() };
    let folder = three_files();
    let error = resume_file(folder.path(), &["a"], &state).err().unwrap();
    assert!(matches!(error, SourceError::Detail(_)), "{error}");
}

#[test]
fn a_rate_goes_on_with_the_same_rows() {
    const SECOND: i64 = 1_000_000;
    let config = model::RateSource { rows_per_second: 10, rows: Some(40), partitions: 3 };
    let start = 1_757_678_400 * SECOND;
    let mut whole = RateSource::new(&config, SourceId(0));
    step(&mut whole, 0, start);
    let all = sorted(step(&mut whole, 100, start + 60 * SECOND).0);
    for taken in 0..=40 {
        let mut source = RateSource::new(&config, SourceId(0));
        step(&mut source, 0, start);
        let (mut records, _) = step(&mut source, taken, start + 5 * SECOND);
        let state = state_of(&source);
        let mut again = RateSource::resume(&config, SourceId(0), &state).unwrap();
        expect_partitions(&again, &state);
        // What was due while it was down comes at once, with the time at which it was due.
        records.extend(step(&mut again, 100, start + 60 * SECOND).0);
        assert_eq!(sorted(records), all);
    }
    // More rows do not wake what was finished.
    let state = state_of(&whole);
    let longer = model::RateSource { rows: Some(80), ..config.clone() };
    let mut again = RateSource::resume(&longer, SourceId(0), &state).unwrap();
    assert_eq!(step(&mut again, 9, i64::MAX), (vec![], ReadState::Ended));
    let other = model::RateSource { partitions: 2, ..config };
    let error = RateSource::resume(&other, SourceId(0), &state).err().unwrap();
    assert_eq!(error.to_string(), "the source had 3 partitions, and now has 2");
    assert!(error.help().unwrap().contains("partitions = 3"));
}

#[test]
fn a_generator_goes_on_with_the_same_rows() {
    for rows_per_second in [None, Some(100)] {
        let config = model::GeneratorSource {
            settings: serde_json::json!({ "rows": 60, "seed": 5, "late": 0.1 }),
            rows_per_second,
            partitions: 2,
        };
        let open = || GeneratorSource::new(&config, SourceId(0)).unwrap();
        let mut whole = open();
        step(&mut whole, 0, 0);
        let all = sorted(step(&mut whole, 1000, 10_000_000).0);
        assert_eq!(all.len(), 60);
        for taken in [0, 1, 7, 31, 60] {
            let mut source = open();
            step(&mut source, 0, 0);
            let (mut records, _) = step(&mut source, taken, 10_000_000);
            let state = state_of(&source);
            let mut again = GeneratorSource::resume(&config, SourceId(0), &state).unwrap();
            expect_partitions(&again, &state);
            records.extend(step(&mut again, 1000, 10_000_000).0);
            assert_eq!(sorted(records), all, "{taken}");
        }
    }
}

#[test]
fn standard_input_only_counts_on() {
    let read = |text: &'static str, state: &SourceState| {
        let input = Box::new(Cursor::new(text.as_bytes()));
        let mut source = StdinSource::resume(SourceId(0), input, state);
        let budget = ReadBudget { wait: Duration::from_secs(60), ..budget(10) };
        let mut all = Vec::new();
        loop {
            let mut out = ReadOutput::default();
            let state = source.read(&budget, 0, &mut out).unwrap();
            all.append(&mut records(&out, &budget));
            if state == ReadState::Ended {
                return (source, all);
            }
        }
    };
    let (source, records) = read("1\n2\n", &SourceState::default());
    assert_eq!(texts(&records), ["1", "2"]);
    let mut state = state_of(&source);
    state.partitions[0].finished = false;
    let (_, records) = read("3\n", &state);
    assert_eq!((texts(&records), records[0].position), (vec!["3".to_owned()], 4));
    state.partitions[0].finished = true;
    assert_eq!(read("3\n", &state).1, []);
}
