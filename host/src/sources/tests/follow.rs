//! Files that grow, are rotated and truncated, step by step.

use std::fs::{self, File, OpenOptions};
use std::io::Write;

use proptest::prelude::*;

use super::*;

/// A log file, its writer and its reader.
struct Log {
    folder: tempfile::TempDir,
    writer: Option<File>,
    source: FileSource,
    rotations: usize,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = open_file(folder.path(), &["a.log"], true);
        Self { folder, writer: None, source, rotations: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.log")
    }

    fn write(&mut self, text: &str) {
        let path = self.path();
        let writer = self.writer.get_or_insert_with(|| {
            OpenOptions::new().append(true).create(true).open(path).unwrap()
        });
        writer.write_all(text.as_bytes()).unwrap();
    }

    /// Renames the file; the writer goes on with a new one at its next write.
    fn rotate(&mut self) {
        self.rename();
        self.writer = None;
    }

    /// Renames the file; the writer still writes to the old one.
    fn rename(&mut self) {
        self.rotations += 1;
        let to = self.folder.path().join(format!("a.log.{}", self.rotations));
        fs::rename(self.path(), to).unwrap();
    }

    fn truncate(&mut self) {
        OpenOptions::new().write(true).open(self.path()).unwrap().set_len(0).unwrap();
    }

    /// Reads twice, as the engine would, until nothing comes.
    fn read(&mut self) -> Vec<String> {
        let mut all = drain(&mut self.source, 2);
        all.extend(drain(&mut self.source, 100));
        texts(&all)
    }
}

#[test]
fn a_file_that_appears_later_and_grows() {
    let mut log = Log::new();
    assert_eq!(log.read(), [""; 0]);
    log.write("1\n2\n");
    assert_eq!(log.read(), ["1", "2"]);
    log.write("3");
    assert_eq!(log.read(), [""; 0], "a line without its end waits");
    log.write("3\n4");
    assert_eq!(log.read(), ["33"]);
    log.write("\n");
    assert_eq!(log.read(), ["4"]);
    assert!(!log.source.partitions()[0].finished);
    assert_eq!(log.source.partitions()[0].position, 9);
}

#[test]
fn rotation_finishes_the_old_file_first() {
    let mut log = Log::new();
    log.write("1\n2\n");
    assert_eq!(log.read(), ["1", "2"]);
    log.write("3\n");
    log.rotate();
    assert_eq!(log.read(), ["3"], "between the rename and the new file");
    log.write("4\n");
    assert_eq!(log.read(), ["4"]);
    log.write("5\n");
    log.rotate();
    log.write("6\n");
    assert_eq!(log.read(), ["5", "6"]);
}

#[test]
fn a_writer_that_is_slow_to_reopen_loses_nothing() {
    let mut log = Log::new();
    log.write("1\n");
    assert_eq!(log.read(), ["1"]);
    log.rename();
    // The new file is there, empty; the writer still has the old one.
    File::create(log.path()).unwrap();
    log.write("2\n");
    assert_eq!(log.read(), ["2"]);
    log.write("3\nlast without end");
    assert_eq!(log.read(), ["3"]);
    log.writer = None;
    log.write("4\n");
    assert_eq!(log.read(), ["last without end", "4"]);
}

#[test]
fn several_rotations_behind_a_slow_reader() {
    let mut log = Log::new();
    let mut expected = Vec::new();
    for generation in 0..6 {
        for line in 0..10 {
            log.write(&format!("{generation}.{line}\n"));
            expected.push(format!("{generation}.{line}"));
        }
        // It reads less than is written, and sees each file.
        let (records, _) = step(&mut log.source, 3, 0);
        let first: Vec<_> = texts(&records);
        assert_eq!(first, expected.drain(..3).collect::<Vec<_>>());
        log.rotate();
    }
    assert_eq!(log.read(), expected);
}

#[test]
fn truncation_starts_again() {
    let mut log = Log::new();
    log.write("1\n2\n");
    assert_eq!(log.read(), ["1", "2"]);
    log.truncate();
    assert_eq!(log.read(), [""; 0]);
    log.write("3\n");
    assert_eq!(log.read(), ["3"]);
    // Longer than before at once: only the first bytes tell.
    log.truncate();
    log.write("4 and much more\n5\n");
    assert_eq!(log.read(), ["4 and much more", "5"]);
    // The line that was cut off is a record of its own.
    log.write("half");
    assert_eq!(log.read(), [""; 0]);
    log.truncate();
    log.write("6\n");
    assert_eq!(log.read(), ["half", "6"]);
}

#[test]
fn positions_rise_over_rotation_and_can_be_gone_back_to() {
    let mut log = Log::new();
    log.write("1\n2\n");
    log.read();
    log.rotate();
    log.write("3\n4\n");
    log.read();
    log.truncate();
    log.write("5\n");
    log.read();
    assert_eq!(log.source.partitions()[0].position, 10);
    // Into the rotated file, which then goes on into the truncated one.
    log.source.seek(Partition(0), 2).unwrap();
    let (records, _) = step(&mut log.source, 1, 0);
    assert_eq!(texts(&records), ["2"]);
    let mut out = ReadOutput::default();
    let error = log.source.read(&budget(9), 0, &mut out).unwrap_err();
    assert!(matches!(error, SourceError::Gone { position: 4, .. }), "{error}");
    assert!(matches!(log.source.seek(Partition(0), 6), Err(SourceError::Gone { .. })));
    // The content that is there can be read again.
    log.source.seek(Partition(0), 8).unwrap();
    assert_eq!(log.read(), ["5"]);
}

#[test]
fn going_back_does_not_see_what_came_after_the_turn() {
    let mut log = Log::new();
    log.write("1\n");
    log.read();
    log.rename();
    let mut old = log.writer.take().unwrap();
    log.write("2\n");
    assert_eq!(log.read(), ["2"]);
    old.write_all(b"too late\n").unwrap();
    log.source.seek(Partition(0), 0).unwrap();
    assert_eq!(log.read(), ["1", "2"]);
    assert_eq!(log.source.partitions()[0].position, 4);
}

#[test]
fn files_that_match_later_join() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = open_file(folder.path(), &["*.log*"], true);
    assert_eq!(step(&mut source, 9, 0), (vec![], ReadState::Idle));
    fs::write(folder.path().join("b.log"), "1\n").unwrap();
    let (records, state) = step(&mut source, 9, 2_000_000);
    assert_eq!((texts(&records), state), (vec!["1".to_owned()], ReadState::Idle));
    // A new name of a file that is read already is not a new file.
    fs::rename(folder.path().join("b.log"), folder.path().join("b.log.1")).unwrap();
    fs::write(folder.path().join("a.log"), "2\n").unwrap();
    let (records, _) = step(&mut source, 9, 4_000_000);
    assert_eq!(texts(&records), ["2"]);
    assert_eq!(records[0].partition, 1);
    assert_eq!(source.partitions().len(), 2);
}

#[derive(Clone, Debug)]
enum Action {
    Write(String),
    Rotate,
    RotateEmpty,
    Read(usize),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => "[a-c\n]{0,12}".prop_map(Action::Write),
        1 => Just(Action::Rotate),
        1 => Just(Action::RotateEmpty),
        4 => (1usize..5).prop_map(Action::Read),
    ];
    proptest::collection::vec(action, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_is_lost_or_doubled(actions in actions()) {
        let mut log = Log::new();
        // What was written to each file, in order; a file's last line needs no end.
        let mut files = vec![String::new()];
        let mut found = Vec::new();
        for action in actions {
            match action {
                Action::Write(text) => {
                    log.write(&text);
                    files.last_mut().unwrap().push_str(&text);
                }
                // Each file is seen before the next rotation.
                Action::Rotate | Action::RotateEmpty if log.path().exists() => {
                    found.extend(texts(&step(&mut log.source, 1, 0).0));
                    log.rotate();
                    files.push(String::new());
                    if matches!(action, Action::RotateEmpty) {
                        log.write("");
                    }
                }
                Action::Rotate | Action::RotateEmpty => {}
                Action::Read(rows) => found.extend(texts(&step(&mut log.source, rows, 0).0)),
            }
        }
        log.write("end\n");
        files.last_mut().unwrap().push_str("end\n");
        found.extend(log.read());
        let expected: Vec<_> =
            files.iter().flat_map(|file| file.lines()).map(str::to_owned).collect();
        prop_assert_eq!(found, expected);
    }
}
