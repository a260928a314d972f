mod fencing;
mod random;

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

/// A sink of an engine that records its commits.
fn durable(config: &model::FileSink) -> FileSink {
    FileSink::create(config, Durability::EachCommit, &[input("a", &rows_of([]))]).unwrap()
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

/// All files of a folder, by name without token.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let name = plain(&entry.file_name().into_string().unwrap());
        let before = found.insert(name.clone(), fs::read_to_string(entry.path()).unwrap());
        assert_eq!(before, None, "{name} twice");
    }
    found
}

/// The names of all files of a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Takes the token out of a part's name.
fn plain(name: &str) -> String {
    match name.strip_prefix(".part-").and_then(|rest| rest.split_once('-')) {
        Some((number, rest)) => format!(".part-{number}{}", &rest[8..]),
        None => name.to_owned(),
    }
}

/// The one hidden file of a part.
fn hidden(folder: &Path, number: u64) -> std::path::PathBuf {
    let wanted = format!(".part-{number:05}.jsonl.tmp");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| plain(path.file_name().unwrap().to_str().unwrap()) == wanted)
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// What must be done before the record.
fn before(info: &mut CommitInfo) {
    if let Some(before) = info.before.take() {
        before().unwrap();
    }
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
    sink.committed().unwrap();
    assert_eq!((info.rows, info.bytes), (2, 16));
    expect_files(&config.path, &[(".part-00001.jsonl.tmp", lines([1, 2]))]);
    // Full by time, from the commit of its first rows; hidden until that commit is recorded.
    put(&mut sink, [3]);
    commit(&mut sink, HOUR_US - 1);
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
        let mut sink = create(&config);
        put(&mut sink, [1]);
        commit(&mut sink, 0);
        let on_disk = match visible {
            Visible::Roll => hidden(&config.path, 1),
            Visible::Commit => config.path.clone(),
        };
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

/// Ends a run as an engine that records its commits does.
fn finish(sink: &mut FileSink) -> FileState {
    sink.finish();
    let mut info = sink.commit(0).unwrap();
    before(&mut info);
    sink.committed().unwrap();
    sink.close(0).unwrap();
    info.state.unwrap()
}

/// A sink that committed [1] to part 1 (sealed) and [2] to part 2 (open), and the two states.
fn two_parts(config: &model::FileSink) -> (FileState, FileState) {
    let mut sink = create(config);
    put(&mut sink, [1]);
    commit(&mut sink, 0);
    let sealed = commit(&mut sink, HOUR_US);
    put(&mut sink, [2]);
    let open = commit(&mut sink, HOUR_US);
    (sealed, open)
}

#[test]
fn restore_publishes_what_was_sealed() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let (sealed, _) = two_parts(&config);
    let FileState::Roll { sealed: parts, .. } = &sealed else { unreachable!() };
    let hidden = config.path.join(&parts[0].file);
    fs::rename(config.path.join("part-00001.jsonl"), &hidden).unwrap();
    OpenOptions::new().append(true).open(&hidden).unwrap().write_all(b"{\"torn").unwrap();
    let mut sink = try_restore(&config, &sealed).unwrap();
    let leftover = (".part-00002.jsonl.tmp", lines([2]));
    expect_files(&config.path, &[("part-00001.jsonl", lines([1])), leftover]);
    finish(&mut sink);
    expect_files(&config.path, &[("part-00001.jsonl", lines([1]))]);
}

#[test]
fn restore_takes_back_what_was_not_recorded() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let (_, open) = two_parts(&config);
    let hidden = hidden(&config.path, 2);
    OpenOptions::new().append(true).open(&hidden).unwrap().write_all(b"{\"torn").unwrap();
    fs::write(config.path.join(".part-00003-0123abcd.jsonl.tmp"), "later").unwrap();
    let mut sink = try_restore(&config, &open).unwrap();
    put(&mut sink, [3]);
    finish(&mut sink);
    let expected = [("part-00001.jsonl", lines([1])), ("part-00002.jsonl", lines([2, 3]))];
    expect_files(&config.path, &expected);
}

#[test]
fn restore_after_a_close() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let (_, open) = two_parts(&config);
    finish(&mut try_restore(&config, &open).unwrap());
    let published = config.path.join("part-00002.jsonl");
    assert_eq!(fs::read_to_string(&published).unwrap(), lines([2]));
    // As it is, and after somebody has taken the part away.
    for number in [3, 4] {
        let state = match (&open, number) {
            (FileState::Roll { open, .. }, 4) => {
                FileState::Roll { next: 4, sealed: vec![], open: open.clone() }
            }
            _ => open.clone(),
        };
        let mut sink = try_restore(&config, &state).unwrap();
        put(&mut sink, [number]);
        finish(&mut sink);
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
            |folder| fs::write(hidden(folder, 2), "{").unwrap(),
            "has 1 bytes where 8 were committed",
        ),
        (
            "other length",
            |folder| {
                fs::remove_file(hidden(folder, 2)).unwrap();
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
    assert!(error.to_string().contains(".jsonl.tmp: No space left"), "{error}");
    // Half of the row got through before the disk was full.
    drop(swap(&mut sink, disk));
    let hidden = hidden(&config.path, 1);
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
    let file = ".part-00003-0123abcd.jsonl.tmp".to_owned();
    let part = PartState { number: 3, file, bytes: 8, rows: 1, opened_us: -5 };
    for state in [
        FileState::Roll { next: 4, sealed: vec![part.clone()], open: Some(part) },
        FileState::Commit { bytes: 1, rows: 2 },
    ] {
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<FileState>(&text).unwrap(), state);
    }
}
