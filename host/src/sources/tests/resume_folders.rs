//! Going on from a checkpoint: folders.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;

fn config(per_file: bool, watch: bool) -> model::DirectorySource {
    model::DirectorySource {
        path: located("."),
        pattern: "*.log".into(),
        watch,
        max_files_per_epoch: 2,
        per_file_partitions: per_file,
        max_record_bytes: 1 << 20,
    }
}

fn put(folder: &Path, name: &str, content: &str, second: u64) {
    fs::write(folder.join(name), content).unwrap();
    touch(folder, name, second);
}

fn touch(folder: &Path, name: &str, second: u64) {
    let file = File::options().write(true).open(folder.join(name)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(second)).unwrap();
}

fn resume(
    folder: &Path,
    config: &model::DirectorySource,
    state: &SourceState,
) -> Result<DirectorySource, SourceError> {
    DirectorySource::resume(config, SourceId(0), folder, state)
}

fn open(folder: &Path, config: &model::DirectorySource) -> DirectorySource {
    DirectorySource::open(config, SourceId(0), folder).unwrap()
}

/// Reads `rows` rows, over as many epochs as that takes.
fn take(source: &mut dyn Source, rows: usize) -> Vec<Record> {
    let mut all = Vec::new();
    while all.len() < rows {
        let (mut records, state) = step(source, rows - all.len(), 0);
        all.append(&mut records);
        match state {
            ReadState::NextEpoch => source.begin_epoch(),
            ReadState::More => {}
            ReadState::Idle | ReadState::Ended => break,
        }
    }
    all
}

#[test]
fn folders_give_exactly_the_rest() {
    for (per_file, watch) in [(false, false), (false, true), (true, false), (true, true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        put(path, "z.log", "1\n2\n", 10);
        put(path, "b.log", "4\n5", 20);
        put(path, "a.log", "3\n", 20);
        put(path, "empty.log", "", 25);
        put(path, "c.log", "6\n", 30);
        let config = config(per_file, watch);
        let all = sorted(drain(&mut open(path, &config), 100));
        assert_eq!(all.len(), 6);
        for taken in 0..=all.len() {
            for ahead in [0, 1, 2, 100] {
                let mut source = open(path, &config);
                let mut records = take(&mut source, taken);
                let partitions = source.partitions().to_vec();
                take(&mut source, ahead);
                let state = state_at(&partitions, &source);
                let mut again = resume(path, &config, &state).unwrap();
                expect_partitions(&again, &state);
                records.extend(drain(&mut again, 2));
                assert_eq!(sorted(records), all, "per file: {per_file}, {taken} rows, {ahead}");
            }
        }
    }
}

#[test]
fn what_was_read_may_be_gone_or_touched_and_what_is_new_is_read() {
    for per_file in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (second, name) in (10..).zip(["a.log", "b.log", "c.log", "d.log"]) {
            put(path, name, &format!("{name}\n"), second);
        }
        let config = config(per_file, true);
        let mut source = open(path, &config);
        assert_eq!(drain(&mut source, 3).len(), 4);
        let state = state_of(&source);
        fs::remove_file(path.join("a.log")).unwrap();
        touch(path, "b.log", 99);
        put(path, "c.log", "another c\n", 50);
        // Written before what was read, and moved in later.
        put(path, "old.log", "old\n", 5);
        let mut again = resume(path, &config, &state).unwrap();
        expect_partitions(&again, &state);
        let records = drain(&mut again, 9);
        assert_eq!(texts(&records), ["old", "another c"], "per file: {per_file}");
        let mut again = resume(path, &config, &state_of(&again)).unwrap();
        assert_eq!(drain(&mut again, 9), []);
    }
}

#[test]
fn a_file_that_was_not_finished_must_be_there() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 2] = [
        ("gone", |path| fs::remove_file(path.join("b.log")).unwrap()),
        ("another one", |path| put(path, "b.log", "other\nother\n", 77)),
    ];
    for per_file in [false, true] {
        for (name, change) in changes {
            for (taken, ahead) in [(3, 0), (2, 1), (2, 9)] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path();
                put(path, "a.log", "1\n2\n", 1);
                put(path, "b.log", "3\n4\n", 2);
                let config = config(per_file, false);
                let mut source = open(path, &config);
                take(&mut source, taken);
                let partitions = source.partitions().to_vec();
                take(&mut source, ahead);
                let state = state_at(&partitions, &source);
                change(path);
                let error = resume(path, &config, &state).err().unwrap();
                assert!(
                    error.to_string().contains("b.log` can no longer be read"),
                    "{name} {error}"
                );
                assert!(error.help().is_some());
            }
        }
    }
}

#[test]
fn a_file_that_is_gone_at_its_end_is_finished() {
    for per_file in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a.log", "1\n2\n", 1);
        put(folder.path(), "b.log", "3\n", 2);
        let config = config(per_file, false);
        let mut source = open(folder.path(), &config);
        // All of the first file, without having come upon its end.
        take(&mut source, if per_file { 3 } else { 2 });
        let state = state_of(&source);
        assert!(!state.partitions[0].finished);
        fs::remove_file(folder.path().join("a.log")).unwrap();
        let mut again = resume(folder.path(), &config, &state).unwrap();
        let expected: &[&str] = if per_file { &[] } else { &["3"] };
        assert_eq!(texts(&drain(&mut again, 9)), expected);
        assert!(again.partitions().iter().all(|partition| partition.finished));
    }
}

#[test]
fn a_finished_folder_stays_finished() {
    for per_file in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a.log", "1\n", 1);
        let config = config(per_file, false);
        let mut source = open(folder.path(), &config);
        drain(&mut source, 9);
        let state = state_of(&source);
        assert!(state.partitions[0].finished);
        let mut again = resume(folder.path(), &config, &state).unwrap();
        assert_eq!(step(&mut again, 9, 0), (vec![], ReadState::Ended));
        fs::remove_file(folder.path().join("a.log")).unwrap();
        let mut again = resume(folder.path(), &config, &state).unwrap();
        assert_eq!(step(&mut again, 9, 0), (vec![], ReadState::Ended));
    }
}

#[test]
fn what_is_kept_of_a_large_folder_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for file in 0..100_u64 {
        put(path, &format!("{file:03}.log"), &format!("{file}\n"), file);
    }
    let config = config(false, true);
    let mut source = open(path, &config);
    let mut records = take(&mut source, 50);
    // A file that comes late, and waits.
    put(path, "late.log", "late\n", 3);
    step(&mut source, 0, 10_000_000);
    records.extend(take(&mut source, 10));
    let state = state_of(&source);
    let text = serde_json::to_string(&state).unwrap();
    assert!(text.len() < 6_000, "{} bytes", text.len());
    let mut again = resume(path, &config, &state).unwrap();
    records.extend(drain(&mut again, 7));
    let found: BTreeSet<String> = texts(&records).into_iter().collect();
    assert_eq!((records.len(), found.len()), (101, 101));
    // Of long ago nothing is known any more.
    let mut state = state_of(&again);
    state.partitions[0].position = 3 << 40;
    let error = resume(path, &config, &state).err().unwrap();
    assert!(error.to_string().contains("no longer known"), "{error}");
}

#[derive(Clone, Debug)]
enum Action {
    /// A new file, with so many rows and this modification time.
    Put(usize, u64),
    Read(usize),
    Commit,
    /// From the last commit.
    Restart,
    /// Remove the files that are read and committed.
    Clean,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        3 => (0usize..4, 0u64..9).prop_map(|(rows, second)| Action::Put(rows, second)),
        4 => (1usize..6).prop_map(Action::Read),
        2 => Just(Action::Commit),
        2 => Just(Action::Restart),
        1 => Just(Action::Clean),
    ];
    proptest::collection::vec(action, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_or_doubled_over_restarts(actions in actions(), per_file: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let config = config(per_file, true);
        let mut source = open(path, &config);
        let (mut found, mut written, mut now_us) = (Vec::new(), Vec::new(), 0);
        let mut kept = (source.partitions().to_vec(), 0);
        let mut files: Vec<(String, usize)> = Vec::new();
        for action in actions {
            now_us += 2_000_000;
            match action {
                Action::Put(rows, second) => {
                    let name = format!("{}.log", files.len());
                    let lines: Vec<_> = (0..rows).map(|row| format!("{name} {row}")).collect();
                    put(path, &name, &lines.iter().map(|line| format!("{line}\n")).collect::<String>(), second);
                    files.push((name, rows));
                    written.extend(lines);
                }
                Action::Read(rows) => {
                    source.begin_epoch();
                    found.extend(texts(&step(&mut source, rows, now_us).0));
                }
                Action::Commit => kept = (source.partitions().to_vec(), found.len()),
                Action::Restart => {
                    let state = state_at(&kept.0, &source);
                    source = resume(path, &config, &state).unwrap();
                    found.truncate(kept.1);
                }
                Action::Clean => {
                    let committed = &found[..kept.1];
                    for (name, rows) in &files {
                        let of_it = committed.iter().filter(|row| row.starts_with(&format!("{name} ")));
                        if *rows > 0 && of_it.count() == *rows {
                            let _ = fs::remove_file(path.join(name));
                        }
                    }
                }
            }
        }
        for _ in 0..40 {
            source.begin_epoch();
            now_us += 2_000_000;
            found.extend(texts(&step(&mut source, 100, now_us).0));
        }
        found.sort();
        written.sort();
        prop_assert_eq!(found, written);
    }
}
