//! Folders.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use super::*;

const SECOND: i64 = 1_000_000;

fn config(path: &str) -> model::DirectorySource {
    model::DirectorySource {
        path: located(path),
        pattern: "*.log".into(),
        watch: false,
        max_files_per_epoch: 1000,
        per_file_partitions: false,
        max_record_bytes: 1 << 20,
    }
}

/// Writes a file whose modification time is `second` seconds after the epoch.
fn put(folder: &Path, name: &str, content: &str, second: u64) {
    fs::write(folder.join(name), content).unwrap();
    let file = File::options().write(true).open(folder.join(name)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(second)).unwrap();
}

fn open(folder: &Path, config: &model::DirectorySource) -> DirectorySource {
    DirectorySource::open(config, SourceId(0), folder).unwrap()
}

#[test]
fn files_come_by_time_then_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    put(path, "z.log", "1\n2", 10);
    put(path, "b.log", "4\n", 20);
    put(path, "a.log", "3\n", 20);
    put(path, "empty.log", "", 25);
    put(path, "c.log", "5\n", 30);
    put(path, "c.txt", "other\n", 5);
    put(path, ".hidden.log", "other\n", 5);
    fs::create_dir(path.join("folder.log")).unwrap();
    for rows in [1, 2, 100] {
        let mut source = open(path, &config("."));
        let records = drain(&mut source, rows);
        assert_eq!(texts(&records), ["1", "2", "3", "4", "5"]);
        let positions: Vec<_> = records.iter().map(|record| record.position).collect();
        assert_eq!(positions, [0, 2, 1 << 40, 2 << 40, 4 << 40]);
        assert!(source.partitions()[0].finished);
        assert_eq!(
            source.progress(),
            Progress { done: 9, total: Some(9), unit: ProgressUnit::Bytes }
        );
        // From every position, in the same and in a fresh source.
        for (index, position) in positions.into_iter().enumerate() {
            for source in [&mut source, &mut open(path, &config("."))] {
                source.seek(Partition(0), position).unwrap();
                assert_eq!(drain(source, rows), records[index..]);
            }
        }
        source.seek(Partition(0), 5 << 40).unwrap();
        assert_eq!(drain(&mut source, rows), []);
        assert!(source.seek(Partition(0), 6 << 40).is_err());
    }
}

#[test]
fn each_file_may_be_a_partition() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "b.log", "1\n2\n", 10);
    put(folder.path(), "a.log", "3\n4\n", 20);
    let config = model::DirectorySource { per_file_partitions: true, ..config(".") };
    let mut source = open(folder.path(), &config);
    let records = drain(&mut source, 3);
    assert_eq!(texts(&records), ["1", "2", "3", "4"].map(str::to_owned), "{records:?}");
    assert_eq!(source.partitions().len(), 2);
    assert!(source.partitions()[0].name.ends_with("b.log"));
    // After a restart a partition can be gone to before it has joined.
    let mut source = open(folder.path(), &config);
    source.seek(Partition(1), 2).unwrap();
    assert_eq!(texts(&drain(&mut source, 3)), ["1", "2", "4"]);
}

#[test]
fn an_epoch_begins_only_so_many_files() {
    for per_file_partitions in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        for file in 0..5u64 {
            put(folder.path(), &format!("{file}.log"), "x\n", file);
        }
        let config =
            model::DirectorySource { max_files_per_epoch: 2, per_file_partitions, ..config(".") };
        let mut source = open(folder.path(), &config);
        for (rows, state) in
            [(2, ReadState::NextEpoch), (2, ReadState::NextEpoch), (1, ReadState::Ended)]
        {
            source.begin_epoch();
            let (records, found) = step(&mut source, 100, 0);
            assert_eq!((records.len(), found), (rows, state));
            // Asking again in the same epoch does not help.
            let (records, found) = step(&mut source, 100, 0);
            assert_eq!((records.len(), found), (0, state));
        }
    }
}

#[test]
fn watched_folders_bring_new_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let config = model::DirectorySource { watch: true, ..config(".") };
    let mut source = open(path, &config);
    assert_eq!(step(&mut source, 9, 0), (vec![], ReadState::Idle));
    put(path, "b.log", "1\n", 50);
    assert_eq!(step(&mut source, 9, 1), (vec![], ReadState::Idle), "not looked at yet");
    let (records, state) = step(&mut source, 9, SECOND);
    assert_eq!((texts(&records), state), (vec!["1".to_owned()], ReadState::Idle));
    // Older than what was read, but it came later; read once.
    put(path, "a.log", "2\n", 10);
    assert_eq!(texts(&step(&mut source, 9, 2 * SECOND).0), ["2"]);
    assert_eq!(texts(&step(&mut source, 9, 3 * SECOND).0), [""; 0]);
    // A name that went away may come again.
    fs::remove_file(path.join("b.log")).unwrap();
    step(&mut source, 9, 4 * SECOND);
    put(path, "b.log", "3\n", 60);
    let (records, _) = step(&mut source, 9, 5 * SECOND);
    assert_eq!(texts(&records), ["3"]);
    assert_eq!(records[0].position, 2 << 40);
}
