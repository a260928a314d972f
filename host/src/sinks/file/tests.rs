use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::model::FileFormat;
use crate::sinks::Who;
use crate::sinks::tests::{delivery, input};

const HOUR_US: i64 = 3_600_000_000;

fn rows_of(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: Int64Array = values.into_iter().map(Some).collect();
    RecordBatch::try_from_iter([("n", Arc::new(column) as ArrayRef)]).unwrap()
}

fn config(path: &Path, format: FileFormat, visible: Visible) -> model::FileSink {
    let path = path.to_owned();
    model::FileSink { path, format, visible, roll_us: HOUR_US, roll_bytes: 1 << 30 }
}

fn roll_config(folder: &TempDir) -> model::FileSink {
    config(&folder.path().join("out"), FileFormat::Jsonl, Visible::Roll)
}

fn create(config: &model::FileSink) -> FileSink {
    FileSink::create(config, Durability::AtRoll, &[input("a", &rows_of([]))]).unwrap()
}

fn try_restore(config: &model::FileSink, state: &FileState) -> Result<FileSink, SinkError> {
    FileSink::restore(config, Durability::EachCommit, &[input("a", &rows_of([]))], state)
}

fn put(sink: &mut FileSink, values: impl IntoIterator<Item = i64>) {
    sink.write(&delivery("a", &rows_of(values))).unwrap();
}

/// Writes and commits, and lets the commit be recorded.
fn commit(sink: &mut FileSink, now_us: i64) -> FileState {
    let state = sink.commit(now_us).unwrap().state.unwrap();
    sink.committed().unwrap();
    state
}

/// All files of a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|e| (e.file_name().into_string().unwrap(), fs::read_to_string(e.path()).unwrap()))
        .collect()
}

fn lines(values: impl IntoIterator<Item = i64>) -> String {
    values.into_iter().map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

fn expect_files(folder: &Path, expected: &[(&str, String)]) {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
    assert_eq!(files(folder), expected);
}

#[test]
fn parts_are_hidden_until_full_and_recorded() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let mut sink = create(&config);
    put(&mut sink, [1, 2]);
    let info = sink.commit(0).unwrap();
    assert_eq!((info.rows, info.bytes), (2, 16));
    expect_files(&config.path, &[(".part-00001.jsonl.tmp", lines([1, 2]))]);
    // Full by time, from the commit of its first rows; hidden until that commit is recorded.
    put(&mut sink, [3]);
    sink.commit(HOUR_US - 1).unwrap();
    let info = sink.commit(HOUR_US).unwrap();
    assert_eq!((info.rows, info.bytes), (0, 0));
    expect_files(&config.path, &[(".part-00001.jsonl.tmp", lines([1, 2, 3]))]);
    sink.committed().unwrap();
    expect_files(&config.path, &[("part-00001.jsonl", lines([1, 2, 3]))]);
    // Nothing written: no part.
    commit(&mut sink, 3 * HOUR_US);
    put(&mut sink, [4]);
    commit(&mut sink, 3 * HOUR_US);
    put(&mut sink, [5]);
    let summary = sink.close(3 * HOUR_US).unwrap();
    assert_eq!(summary, SinkSummary { rows: 4, bytes: 32, files: 2, checksum: None });
    let expected = [("part-00001.jsonl", lines([1, 2, 3])), ("part-00002.jsonl", lines([4]))];
    expect_files(&config.path, &expected);
}

#[test]
fn parts_roll_by_size() {
    let folder = TempDir::new().unwrap();
    let config = model::FileSink { roll_bytes: 16, ..roll_config(&folder) };
    let mut sink = create(&config);
    for n in 1..=5 {
        put(&mut sink, [n]);
        commit(&mut sink, 0);
    }
    let summary = sink.close(0).unwrap();
    assert_eq!((summary.rows, summary.files), (5, 3));
    let expected = [
        ("part-00001.jsonl", lines([1, 2])),
        ("part-00002.jsonl", lines([3, 4])),
        ("part-00003.jsonl", lines([5])),
    ];
    expect_files(&config.path, &expected);
}

#[test]
fn a_large_commit_is_written_early_and_can_be_taken_back() {
    for visible in [Visible::Roll, Visible::Commit] {
        let folder = TempDir::new().unwrap();
        let config = config(&folder.path().join("out"), FileFormat::Jsonl, visible);
        let on_disk = match visible {
            Visible::Roll => config.path.join(".part-00001.jsonl.tmp"),
            Visible::Commit => config.path.clone(),
        };
        let mut sink = create(&config);
        put(&mut sink, [1]);
        commit(&mut sink, 0);
        put(&mut sink, 0..1_000);
        let length = usize::try_from(fs::metadata(&on_disk).unwrap().len()).unwrap();
        assert!(length > SPILL_BYTES);
        sink.abort().unwrap();
        assert_eq!(fs::read_to_string(&on_disk).unwrap(), lines([1]));
        put(&mut sink, [2]);
        commit(&mut sink, 0);
        assert_eq!(fs::read_to_string(&on_disk).unwrap(), lines([1, 2]));
    }
}

#[test]
fn a_plain_file_grows_at_commits() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("deep/er/out.jsonl");
    let config = config(&path, FileFormat::Jsonl, Visible::Commit);
    let mut sink = create(&config);
    put(&mut sink, [1]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    let state = commit(&mut sink, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), lines([1]));
    put(&mut sink, [2]);
    commit(&mut sink, 0);
    drop(sink);
    // The second commit was not recorded.
    let mut sink = try_restore(&config, &state).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), lines([1]));
    put(&mut sink, [3]);
    commit(&mut sink, 0);
    put(&mut sink, [4]);
    assert_eq!(sink.close(0).unwrap().files, 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), lines([1, 3]));
    // Without a state: behind what is there, and not into half a row.
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"n\":").unwrap();
    let mut sink = create(&config);
    put(&mut sink, [5]);
    commit(&mut sink, 0);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("{}{{\"n\":\n{}", lines([1, 3]), lines([5]))
    );
}

#[test]
fn csv_has_one_header_a_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out");
    let config = model::FileSink { roll_bytes: 1, ..config(&path, FileFormat::Csv, Visible::Roll) };
    let mut sink = create(&config);
    put(&mut sink, [0]);
    sink.abort().unwrap();
    put(&mut sink, [1]);
    put(&mut sink, [2]);
    commit(&mut sink, 0);
    put(&mut sink, [3]);
    commit(&mut sink, 0);
    sink.close(0).unwrap();
    let expected = [("part-00001.csv", "n\n1\n2\n".into()), ("part-00002.csv", "n\n3\n".into())];
    expect_files(&path, &expected);

    let path = folder.path().join("plain.csv");
    let config = super::tests::config(&path, FileFormat::Csv, Visible::Commit);
    for n in [1, 2] {
        let mut sink = create(&config);
        put(&mut sink, [n]);
        commit(&mut sink, 0);
        sink.close(0).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "n\n1\n2\n");
}

#[test]
fn several_inputs_are_told_apart() {
    for (format, expected) in [
        (FileFormat::Jsonl, "{\"node\":\"a\",\"n\":1}\n{\"node\":\"b\",\"n\":2}\n"),
        (FileFormat::Csv, "node,n\na,1\nb,2\n"),
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("out");
        let inputs = [input("a", &rows_of([])), input("b", &rows_of([]))];
        let config = config(&path, format, Visible::Commit);
        let mut sink = FileSink::create(&config, Durability::AtRoll, &inputs).unwrap();
        sink.write(&delivery("a", &rows_of([1]))).unwrap();
        sink.write(&delivery("b", &rows_of([2]))).unwrap();
        let error = sink.write(&delivery("c", &rows_of([3]))).unwrap_err();
        assert_eq!(error.who(), Who::Us);
        commit(&mut sink, 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }
}

#[test]
fn a_start_without_state_touches_nothing() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    fs::create_dir(&config.path).unwrap();
    let present = [
        ("part-00003.jsonl", "three".to_owned()),
        (".part-00007.jsonl.tmp", "half".to_owned()),
        ("part-00009.csv", "other".to_owned()),
        ("notes.txt", "mine".to_owned()),
    ];
    for (name, text) in &present {
        fs::write(config.path.join(name), text).unwrap();
    }
    let mut sink = create(&config);
    put(&mut sink, [1]);
    commit(&mut sink, 0);
    sink.close(0).unwrap();
    expect_files(&config.path, &[&present[..], &[("part-00008.jsonl", lines([1]))]].concat());
}

/// A sink that committed [1] to part 1 (sealed) and [2] to part 2 (open), and the two states.
fn two_parts(config: &model::FileSink) -> (FileState, FileState) {
    let mut sink = create(config);
    put(&mut sink, [1]);
    sink.commit(0).unwrap();
    let sealed = sink.commit(HOUR_US).unwrap().state.unwrap();
    sink.committed().unwrap();
    put(&mut sink, [2]);
    let open = commit(&mut sink, HOUR_US);
    (sealed, open)
}

#[test]
fn restore_publishes_what_was_sealed() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let (sealed, _) = two_parts(&config);
    let hidden = config.path.join(".part-00001.jsonl.tmp");
    fs::rename(config.path.join("part-00001.jsonl"), &hidden).unwrap();
    OpenOptions::new().append(true).open(&hidden).unwrap().write_all(b"{\"torn").unwrap();
    try_restore(&config, &sealed).unwrap();
    expect_files(&config.path, &[("part-00001.jsonl", lines([1]))]);
}

#[test]
fn restore_takes_back_what_was_not_recorded() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let (_, open) = two_parts(&config);
    let hidden = config.path.join(".part-00002.jsonl.tmp");
    OpenOptions::new().append(true).open(&hidden).unwrap().write_all(b"{\"torn").unwrap();
    fs::write(config.path.join(".part-00003.jsonl.tmp"), "later").unwrap();
    let mut sink = try_restore(&config, &open).unwrap();
    put(&mut sink, [3]);
    commit(&mut sink, HOUR_US);
    sink.close(0).unwrap();
    let expected = [("part-00001.jsonl", lines([1])), ("part-00002.jsonl", lines([2, 3]))];
    expect_files(&config.path, &expected);
}

#[test]
fn restore_after_a_close() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let (_, open) = two_parts(&config);
    try_restore(&config, &open).unwrap().close(0).unwrap();
    let published = config.path.join("part-00002.jsonl");
    assert_eq!(fs::read_to_string(&published).unwrap(), lines([2]));
    // As it is, and after somebody has taken the part away.
    for number in [3, 4] {
        let state = match (&open, number) {
            (FileState::Roll { open, .. }, 4) => {
                FileState::Roll { next: 4, sealed: vec![], open: *open }
            }
            _ => open.clone(),
        };
        let mut sink = try_restore(&config, &state).unwrap();
        put(&mut sink, [number]);
        commit(&mut sink, 0);
        sink.close(0).unwrap();
        let path = config.path.join(format!("part-{number:05}.jsonl"));
        assert_eq!(fs::read_to_string(path).unwrap(), lines([number]));
        let _ = fs::remove_file(&published);
    }
}

#[test]
fn restore_refuses_what_does_not_fit() {
    type Case = (&'static str, fn(&Path), &'static str);
    let cases: [Case; 3] = [
        (
            "shorter",
            |folder| fs::write(folder.join(".part-00002.jsonl.tmp"), "{").unwrap(),
            "has 1 bytes where 8 were committed",
        ),
        (
            "other length",
            |folder| {
                fs::remove_file(folder.join(".part-00002.jsonl.tmp")).unwrap();
                fs::write(folder.join("part-00002.jsonl"), "x").unwrap();
            },
            "part-00002.jsonl was not published from this checkpoint",
        ),
        (
            "later part",
            |folder| fs::write(folder.join("part-00003.jsonl"), "x").unwrap(),
            "part-00003.jsonl was not published from this checkpoint",
        ),
    ];
    for (name, damage, expected) in cases {
        let folder = TempDir::new().unwrap();
        let config = roll_config(&folder);
        let (_, open) = two_parts(&config);
        damage(&config.path);
        let before = files(&config.path);
        let error = try_restore(&config, &open).unwrap_err();
        assert!(error.to_string().ends_with(expected), "{name}: {error}");
        assert_eq!(error.who(), Who::Operator, "{name}");
        assert!(!error.remedy().is_empty(), "{name}");
        assert_eq!(files(&config.path), before, "{name}: nothing is touched");
    }
    let folder = TempDir::new().unwrap();
    let state = FileState::Commit { bytes: 1, rows: 1 };
    let error = try_restore(&roll_config(&folder), &state).unwrap_err();
    assert!(error.to_string().ends_with("was written with another `visible`"), "{error}");
}

#[test]
fn a_published_part_is_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let mut sink = create(&config);
    put(&mut sink, [1]);
    commit(&mut sink, 0);
    let published = config.path.join("part-00001.jsonl");
    fs::write(&published, "mine").unwrap();
    let error = sink.close(0).unwrap_err();
    assert!(error.to_string().starts_with("cannot publish "), "{error}");
    assert!(error.remedy().contains("another run"), "{}", error.remedy());
    assert_eq!(fs::read_to_string(&published).unwrap(), "mine");
    // The next try works once the way is free.
    fs::remove_file(&published).unwrap();
    assert_eq!(sink.close(0).unwrap().files, 1);
    expect_files(&config.path, &[("part-00001.jsonl", lines([1]))]);
}

#[test]
fn folders_that_cannot_be() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    // The fault is in force, also for root.
    let fault = fs::create_dir_all(file.join("out")).unwrap_err().kind();
    assert_eq!(fault, io::ErrorKind::NotADirectory);
    for visible in [Visible::Roll, Visible::Commit] {
        let path = file.join("out/rows");
        let config = config(&path, FileFormat::Jsonl, visible);
        let inputs = [input("a", &rows_of([]))];
        let error = FileSink::create(&config, Durability::AtRoll, &inputs).unwrap_err();
        assert!(error.to_string().starts_with("cannot create folder "), "{error}");
        assert!(error.to_string().contains("/file/out"), "{error}");
        assert!(error.remedy().contains("a file stands where a folder is needed"), "{error}");
    }
    let config = config(folder.path(), FileFormat::Jsonl, Visible::Commit);
    let inputs = [input("a", &rows_of([]))];
    let error = FileSink::create(&config, Durability::AtRoll, &inputs).unwrap_err();
    assert!(error.to_string().starts_with("cannot open "), "{error}");
    assert!(error.remedy().contains("needs the path of a file"), "{error}");
}

fn full_disk() -> fs::File {
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let fault = (&full).write(b"x").unwrap_err().kind();
    assert_eq!(fault, io::ErrorKind::StorageFull, "the fault is in force");
    full
}

#[test]
fn a_full_disk_at_a_plain_file() {
    drop(full_disk());
    let config = config(Path::new("/dev/full"), FileFormat::Jsonl, Visible::Commit);
    let mut sink = create(&config);
    put(&mut sink, [1]);
    let error = sink.commit(0).unwrap_err();
    assert!(error.to_string().starts_with("cannot write /dev/full: No space left"), "{error}");
    assert!(error.remedy().contains("free space"), "{error}");
    assert!(error.retry_helps());
    sink.abort().unwrap();
    assert_eq!(sink.close(0).unwrap(), SinkSummary::default());
}

#[test]
fn a_full_disk_in_mid_part() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let mut sink = create(&config);
    put(&mut sink, [1]);
    commit(&mut sink, 0);
    put(&mut sink, [2]);
    let swap = |sink: &mut FileSink, file| match &mut sink.target {
        Target::Parts(parts) => {
            std::mem::replace(&mut parts.open.as_mut().unwrap().file.file, file)
        }
        Target::Plain { .. } => unreachable!(),
    };
    let disk = swap(&mut sink, full_disk());
    let error = sink.commit(0).unwrap_err();
    assert!(error.to_string().contains("part-00001.jsonl.tmp: No space left"), "{error}");
    // Half of the row got through before the disk was full.
    drop(swap(&mut sink, disk));
    let hidden = config.path.join(".part-00001.jsonl.tmp");
    OpenOptions::new().append(true).open(&hidden).unwrap().write_all(b"{\"n\"").unwrap();
    // Nothing goes on before the abort.
    for error in
        [sink.write(&delivery("a", &rows_of([3]))).unwrap_err(), sink.commit(0).unwrap_err()]
    {
        assert!(error.to_string().ends_with("holds rows of a failed commit"), "{error}");
    }
    sink.abort().unwrap();
    assert_eq!(fs::read_to_string(hidden).unwrap(), lines([1]));
    put(&mut sink, [4]);
    commit(&mut sink, 0);
    assert_eq!(sink.close(0).unwrap().rows, 2);
    expect_files(&config.path, &[("part-00001.jsonl", lines([1, 4]))]);
}

#[test]
fn a_batch_that_cannot_be_encoded_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder.path().join("out.csv"), FileFormat::Csv, Visible::Commit);
    let mut sink = create(&config);
    let two = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("m", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
    ])
    .unwrap();
    assert!(sink.write(&delivery("a", &two)).is_err());
    put(&mut sink, [1]);
    commit(&mut sink, 0);
    assert_eq!(fs::read_to_string(&config.path).unwrap(), "n\n1\n");
}

#[test]
fn a_state_survives_json() {
    let part = PartState { number: 3, bytes: 8, rows: 1, opened_us: -5 };
    for state in [
        FileState::Roll { next: 4, sealed: vec![part], open: Some(part) },
        FileState::Commit { bytes: 1, rows: 2 },
    ] {
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<FileState>(&text).unwrap(), state);
    }
}

/// What can happen to a sink.
#[derive(Clone, Copy, Debug)]
enum Action {
    Write(u8),
    /// Enough to be written out before the commit.
    WriteMuch,
    /// And whether it is recorded, and whether the sink hears of that.
    Commit {
        hours: u8,
        then: Then,
    },
    Abort,
    /// Drop everything in memory, start again from the last recorded commit.
    Crash,
    /// End the run in good order, start again from the last recorded commit.
    Close,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    CrashBeforeRecord,
    Record,
    RecordAndTell,
}

fn action() -> impl Strategy<Value = Action> {
    let then = prop_oneof![1 => Just(Then::CrashBeforeRecord), 2 => Just(Then::Record), 4 => Just(Then::RecordAndTell)];
    prop_oneof![
        6 => (0_u8..5).prop_map(Action::Write),
        1 => Just(Action::WriteMuch),
        6 => (0_u8..2, then).prop_map(|(hours, then)| Action::Commit { hours, then }),
        2 => Just(Action::Abort),
        2 => Just(Action::Crash),
        1 => Just(Action::Close),
    ]
}

/// The rows in published parts, in order; and that no published part ever changes.
fn published(folder: &Path, seen: &mut BTreeMap<String, String>) -> String {
    let mut now = files(folder);
    now.retain(|name, _| !name.starts_with('.'));
    for (name, text) in seen.iter() {
        assert_eq!(now.get(name), Some(text), "{name} is as it was published");
    }
    *seen = now;
    seen.values().map(String::as_str).collect()
}

fn run(visible: Visible, actions: &[Action]) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out");
    let config = model::FileSink { roll_bytes: 60, ..config(&path, FileFormat::Jsonl, visible) };
    let mut sink = create(&config);
    let (mut recorded_state, mut seen) = (None, BTreeMap::new());
    // The model: rows of recorded commits, and rows written since.
    let (mut recorded, mut pending) = (Vec::<i64>::new(), Vec::<i64>::new());
    let (mut number, mut now_us) = (0_i64, 0_i64);
    let restart = |state: &Option<FileState>| match state {
        Some(state) => try_restore(&config, state).unwrap(),
        None => {
            // No commit was ever recorded: nothing of ours may be visible, so start afresh.
            for (name, text) in if path.is_dir() { files(&path) } else { BTreeMap::new() } {
                assert!(name.starts_with('.'), "{name}: {text}");
            }
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(&path);
            create(&config)
        }
    };
    for action in actions {
        match *action {
            Action::Write(count) => {
                let new: Vec<_> = (number..number + i64::from(count)).collect();
                number += i64::from(count);
                put(&mut sink, new.iter().copied());
                pending.extend(new);
            }
            Action::WriteMuch => {
                let new: Vec<_> = (number..number + 400).collect();
                number += 400;
                put(&mut sink, new.iter().copied());
                pending.extend(new);
            }
            Action::Commit { hours, then } => {
                now_us += i64::from(hours) * HOUR_US;
                let info = sink.commit(now_us).unwrap();
                assert_eq!(info.rows, u64::try_from(pending.len()).unwrap());
                if matches!(then, Then::CrashBeforeRecord) {
                    sink = restart(&recorded_state);
                    pending.clear();
                    continue;
                }
                recorded_state = info.state;
                recorded.append(&mut pending);
                if matches!(then, Then::RecordAndTell) {
                    sink.committed().unwrap();
                }
            }
            Action::Abort => {
                sink.abort().unwrap();
                pending.clear();
            }
            Action::Crash => {
                sink = restart(&recorded_state);
                pending.clear();
            }
            Action::Close => {
                sink.close(now_us).unwrap();
                pending.clear();
                if visible == Visible::Roll {
                    assert_eq!(published(&path, &mut seen), lines(recorded.iter().copied()));
                    assert!(files(&path).keys().all(|name| !name.starts_with('.')));
                }
                sink = restart(&recorded_state);
            }
        }
        let expected = lines(recorded.iter().copied());
        match visible {
            // Published rows are a prefix of the recorded ones, cut between commits.
            Visible::Roll => {
                let text = published(&path, &mut seen);
                assert!(expected.starts_with(&text));
                assert!(text.is_empty() || text.ends_with('\n'));
            }
            Visible::Commit => {
                let text = fs::read_to_string(&path).unwrap();
                assert!(text.starts_with(&expected));
                assert!(text == expected || !pending.is_empty());
            }
        }
    }
    sink.close(now_us).unwrap();
    let text = match visible {
        Visible::Roll => published(&path, &mut seen),
        Visible::Commit => fs::read_to_string(&path).unwrap(),
    };
    assert_eq!(text, lines(recorded));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn parts_agree_with_a_model(actions in proptest::collection::vec(action(), 1..30)) {
        run(Visible::Roll, &actions);
    }

    #[test]
    fn a_plain_file_agrees_with_a_model(actions in proptest::collection::vec(action(), 1..30)) {
        run(Visible::Commit, &actions);
    }
}
