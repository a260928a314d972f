//! Going on from a checkpoint: files that grow, were rotated or truncated meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;

/// A log file, its writer, and a reader that may be down.
struct Log {
    folder: tempfile::TempDir,
    source: Option<FileSource>,
    /// What the checkpoint keeps.
    state: SourceState,
    rotations: u64,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Some(open_file(folder.path(), &["a.log"], true));
        Self { folder, source, state: SourceState::default(), rotations: 0 }
    }

    /// Returns a log that begins with `text`, of which a first line `1` was read before the reader
    /// went down.
    fn down_behind_the_first(text: &str) -> Self {
        let mut log = Self::new();
        log.write(text);
        assert_eq!(log.read(1), ["1"]);
        log.down();
        log
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, text: &str) {
        let path = self.path("a.log");
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Gives a file a modification time of its own: the clock of a file system is coarse.
    fn stamp(&mut self, name: &str) {
        self.rotations += 1;
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(self.rotations)).unwrap();
    }

    /// Renames the file, as programs do that count up.
    fn rotate(&mut self) {
        self.stamp("a.log");
        fs::rename(self.path("a.log"), self.path(&format!("a.log.{}", self.rotations))).unwrap();
    }

    fn read(&mut self, rows: usize) -> Vec<String> {
        if self.source.is_none() {
            self.source = Some(self.resume().unwrap());
        }
        let source = self.source.as_mut().unwrap();
        let mut all = step(source, rows, 0).0;
        if rows == usize::MAX {
            all.extend(step(source, rows, 0).0);
        }
        texts(&all)
    }

    fn read_all(&mut self) -> Vec<String> {
        self.read(usize::MAX)
    }

    fn resume(&self) -> Result<FileSource, SourceError> {
        let config = file_config(&["a.log"], true);
        let source = FileSource::resume(&config, SourceId(3), self.folder.path(), &self.state)?;
        expect_partitions(&source, &self.state);
        Ok(source)
    }

    /// Stops the reader where it is.
    fn down(&mut self) {
        let source = self.source.take().unwrap();
        self.state = state_of(&source);
    }

    fn expect_gone(&self, reason: &str, position: i64) {
        let error = self.resume().err().unwrap();
        let expected = format!("/a.log` can no longer be read from position {position}: {reason}");
        assert!(error.to_string().ends_with(&expected), "{error}");
        assert!(error.help().unwrap().contains("old files back"));
    }
}

#[test]
fn it_goes_on_where_it_was() {
    let mut log = Log::new();
    log.down();
    assert_eq!(log.read_all(), [""; 0], "it was never there");
    log.write("1\n2\nha");
    assert_eq!(log.read_all(), ["1", "2"]);
    log.down();
    log.write("lf\n3\n");
    assert_eq!(log.read_all(), ["half", "3"]);
}

#[test]
fn rotations_while_it_was_down_are_read_in_order() {
    for renamed in
        [["a.log.1", "a.log.2", "a.log.3"], ["a.log-20260103", "a.log-20260102", "a.log-20260101"]]
    {
        let mut log = Log::new();
        log.write("1\n2\n");
        assert_eq!(log.read(1), ["1"]);
        log.down();
        log.write("3\n");
        // As logrotate does: what is older gets a higher number.
        for line in ["4\n", "5\n", "6\n"] {
            for pair in [[2, 1], [1, 0]] {
                let _ = fs::rename(log.path(renamed[pair[1]]), log.path(renamed[pair[0]]));
            }
            log.stamp("a.log");
            fs::rename(log.path("a.log"), log.path(renamed[0])).unwrap();
            log.write(line);
        }
        assert_eq!(log.read_all(), ["2", "3", "4", "5", "6"]);
        log.down();
        assert_eq!(log.read_all(), [""; 0]);
    }
}

#[test]
fn rotations_in_one_tick_go_by_number() {
    let mut log = Log::down_behind_the_first("1\n");
    for (from, to) in [("a.log", "a.log.2"), ("a.log", "a.log.1")] {
        log.write("2\n");
        fs::rename(log.path(from), log.path(to)).unwrap();
        let file = File::options().write(true).open(log.path(to)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    log.write("3\n");
    assert_eq!(log.read_all(), ["2", "2", "3"]);
}

#[test]
fn files_beside_it_are_not_taken_for_rotated_ones() {
    let mut log = Log::down_behind_the_first("1\n");
    log.rotate();
    log.write("2\n");
    for name in ["a.log.swp", "a.log.bak", "a.log~", "b.log.1", "a.logs"] {
        fs::write(log.path(name), "other\n").unwrap();
    }
    assert_eq!(log.read_all(), ["2"]);
}

#[test]
fn a_copy_that_was_truncated_is_read_on() {
    let mut log = Log::down_behind_the_first("1\n2\n");
    log.write("3\n");
    log.stamp("a.log");
    fs::copy(log.path("a.log"), log.path("a.log.1")).unwrap();
    File::options().write(true).open(log.path("a.log")).unwrap().set_len(0).unwrap();
    log.write("4\n");
    assert_eq!(log.read_all(), ["2", "3", "4"]);
}

#[test]
fn a_truncation_is_gone_on_behind_if_all_was_read() {
    let mut log = Log::new();
    log.write("1\n2\n");
    assert_eq!(log.read_all(), ["1", "2"]);
    log.down();
    fs::write(log.path("a.log"), "3\n").unwrap();
    assert_eq!(log.read_all(), ["3"]);
    assert_eq!(log.source.as_ref().unwrap().partitions()[0].position, 6);
    log.down();
    // Longer than before: only the first bytes tell.
    fs::write(log.path("a.log"), "4 and more\n").unwrap();
    assert_eq!(log.read_all(), ["4 and more"]);
    // A line that was read in part is lost.
    log.write("half");
    assert_eq!(log.read_all(), [""; 0]);
    log.down();
    fs::write(log.path("a.log"), "5\n").unwrap();
    log.expect_gone("the file was truncated since", 17);
}

#[test]
fn what_is_gone_is_told() {
    let mut log = Log::down_behind_the_first("1\n2\n");
    // Its inode is kept from being given to the new file.
    let _old = File::open(log.path("a.log")).unwrap();
    fs::remove_file(log.path("a.log")).unwrap();
    log.expect_gone("the file that was read is no longer there", 2);
    log.write("3\n");
    log.expect_gone("the file that was read is no longer there", 2);
    for name in ["a.log.1", "a.log.2"] {
        fs::write(log.path(name), "1\n2\n3\n").unwrap();
    }
    log.expect_gone("its file was moved, and several files beside it begin alike", 2);
    fs::remove_file(log.path("a.log.2")).unwrap();
    assert_eq!(log.read_all(), ["2", "3", "3"]);
}

#[test]
fn what_was_compressed_before_it_was_read_is_told() {
    let mut log = Log::down_behind_the_first("1\n");
    log.rotate();
    log.write("2\n");
    log.stamp("a.log");
    fs::rename(log.path("a.log"), log.path("a.log.7.gz")).unwrap();
    log.write("3\n");
    let error = log.resume().err().unwrap();
    assert!(
        error.to_string().ends_with("/a.log.7.gz` was compressed before it was read"),
        "{error}"
    );
    assert!(error.help().unwrap().contains("decompress"));
}

#[test]
fn generations_read_long_ago_are_not_needed() {
    let mut log = Log::new();
    for line in 0..20 {
        log.write(&format!("{line}\n"));
        assert_eq!(log.read_all(), [line.to_string()]);
        log.rotate();
        log.write("");
    }
    for rotation in 1..20 {
        let _ = fs::remove_file(log.path(&format!("a.log.{rotation}")));
    }
    log.down();
    log.write("end\n");
    assert_eq!(log.read_all(), ["end"]);
}

#[test]
fn a_pattern_joins_partitions_again_that_joined_after_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let config = file_config(&["*.log"], true);
    let mut source = open_file(folder.path(), &["*.log"], true);
    let before = source.partitions().to_vec();
    fs::write(folder.path().join("b.log"), "1\n2\n").unwrap();
    assert_eq!(step(&mut source, 1, 2_000_000).0.len(), 1);
    let state = state_at(&before, &source);
    // Its name does not match any more, nor is it another file.
    fs::rename(folder.path().join("b.log"), folder.path().join("b.log.1")).unwrap();
    fs::write(folder.path().join("a.log"), "3\n").unwrap();
    let mut again = FileSource::resume(&config, SourceId(3), folder.path(), &state).unwrap();
    let records = sorted(drain(&mut again, 9));
    assert_eq!(texts(&records), ["1", "2", "3"]);
    assert_eq!(again.partitions().len(), 2);
    assert!(again.partitions()[0].name.ends_with("b.log"));
}

#[derive(Clone, Debug)]
enum Action {
    Write(String),
    Rotate,
    RotateEmpty,
    Read(usize),
    Commit,
    /// Stop; the next read starts again from the last commit.
    Crash,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        5 => "[a-c\n]{0,12}".prop_map(Action::Write),
        2 => Just(Action::Rotate),
        1 => Just(Action::RotateEmpty),
        4 => (1usize..5).prop_map(Action::Read),
        2 => Just(Action::Commit),
        2 => Just(Action::Crash),
    ];
    proptest::collection::vec(action, 0..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_is_lost_or_doubled_over_restarts(actions in actions()) {
        let mut log = Log::new();
        let mut kept = (log.source.as_ref().unwrap().partitions().to_vec(), 0);
        // A first file is seen: of one that comes and goes unseen nothing is known.
        let mut files = vec!["file 1\n".to_owned()];
        log.write(&files[0]);
        let mut found = log.read(1);
        for action in actions {
            match action {
                Action::Write(text) => {
                    // Contents differ, as those of logs do.
                    let text = if files.last().unwrap().is_empty() && !text.is_empty() {
                        format!("file {}\n{text}", files.len())
                    } else {
                        text
                    };
                    log.write(&text);
                    files.last_mut().unwrap().push_str(&text);
                }
                Action::Rotate | Action::RotateEmpty if log.path("a.log").exists() => {
                    // While it runs, each file is seen before the next rotation.
                    if log.source.is_some() {
                        found.extend(log.read(1));
                    }
                    log.rotate();
                    files.push(String::new());
                    if matches!(action, Action::RotateEmpty) {
                        log.write("");
                    }
                }
                Action::Rotate | Action::RotateEmpty => {}
                Action::Read(rows) => found.extend(log.read(rows)),
                Action::Commit => {
                    if let Some(source) = &log.source {
                        kept = (source.partitions().to_vec(), found.len());
                    }
                }
                Action::Crash => {
                    if let Some(source) = log.source.take() {
                        log.state = state_at(&kept.0, &source);
                        found.truncate(kept.1);
                    }
                }
            }
        }
        log.write("end\n");
        files.last_mut().unwrap().push_str("end\n");
        found.extend(log.read_all());
        let expected: Vec<_> =
            files.iter().flat_map(|file| file.lines()).map(str::to_owned).collect();
        prop_assert_eq!(found, expected);
    }
}
