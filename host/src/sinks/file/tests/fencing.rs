//! Several processes on one folder: paused ones that wake up, fenced ones, and other writers.

use super::*;

/// A sink that has committed [1] to its open part, and the recorded state.
fn one_part(config: &model::FileSink) -> (FileSink, FileState) {
    let mut sink = durable(config);
    put(&mut sink, [1]);
    let state = commit(&mut sink, 0);
    (sink, state)
}

#[test]
fn a_paused_process_that_wakes_up_writes_into_nothing() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let (mut zombie, state) = one_part(&config);
    let mut sink = try_restore(&config, &state).unwrap();
    // It wakes up before and after the other's first commit.
    put(&mut zombie, 100..600);
    zombie.commit(0).unwrap();
    put(&mut sink, [2]);
    commit(&mut sink, 0);
    put(&mut zombie, 600..900);
    zombie.commit(HOUR_US).unwrap();
    put(&mut zombie, 900..910);
    drop(zombie);
    put(&mut sink, [3]);
    let last = finish(&mut sink);
    let expected = ("part-00001.jsonl", lines([1, 2, 3]));
    let published = fs::read_to_string(config.path.join(expected.0)).unwrap();
    assert_eq!(published, expected.1);
    // Its later part is cleared away by the next run.
    let mut next = try_restore(&config, &last).unwrap();
    put(&mut next, [4]);
    finish(&mut next);
    expect_files(&config.path, &[expected, ("part-00002.jsonl", lines([4]))]);
}

#[test]
fn a_fenced_process_removes_and_publishes_nothing() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let (_old, state) = one_part(&config);
    // Both start from the same record; one of them is first to commit.
    let mut winner = try_restore(&config, &state).unwrap();
    let mut loser = try_restore(&config, &state).unwrap();
    put(&mut winner, [2]);
    put(&mut loser, [2]);
    loser.commit(HOUR_US).unwrap();
    let after = commit(&mut winner, 0);
    // The loser is told that its commit did not count, and ends.
    drop(loser);
    // Another one starts from the old record and is fenced before it commits.
    let mut late = try_restore(&config, &state).unwrap();
    put(&mut late, [7]);
    late.commit(HOUR_US).unwrap();
    late.close(HOUR_US).unwrap();
    let mut sink = try_restore(&config, &after).unwrap();
    drop(winner);
    put(&mut sink, [3]);
    finish(&mut sink);
    expect_files(&config.path, &[("part-00001.jsonl", lines([1, 2, 3]))]);
}

#[test]
fn what_the_record_names_is_there_whenever_a_start_fails() {
    let folder = TempDir::new().unwrap();
    let config = roll_config(&folder);
    let (_old, state) = one_part(&config);
    for _ in 0..3 {
        let mut sink = try_restore(&config, &state).unwrap();
        put(&mut sink, 5..900);
        // The commit is not recorded.
        sink.commit(0).unwrap();
    }
    let mut sink = try_restore(&config, &state).unwrap();
    put(&mut sink, [2]);
    let state = commit(&mut sink, 0);
    let FileState::Roll { open: Some(open), .. } = &state else { panic!("{state:?}") };
    let left = names(&config.path);
    assert_eq!(left.join(" "), open.file, "nothing else is left");
    // Told again, and without anything to do.
    sink.commit(0).unwrap();
    sink.committed().unwrap();
}

#[test]
fn a_part_is_published_with_the_commit_that_sealed_it() {
    let folder = TempDir::new().unwrap();
    let config = model::FileSink { roll_bytes: 1, ..roll_config(&folder) };
    let mut sink = durable(&config);
    for n in 1..=3 {
        put(&mut sink, [n]);
        before(&mut sink.commit(0).unwrap());
    }
    for n in 1..=3 {
        sink.committed().unwrap();
        let published = names(&config.path).into_iter().filter(|name| !name.starts_with('.'));
        assert_eq!(published.count(), n);
    }
}

#[test]
fn an_earlier_commit_can_be_gone_back_to() {
    let folder = TempDir::new().unwrap();
    let config = model::FileSink { roll_bytes: 30, ..roll_config(&folder) };
    let mut sink = durable(&config);
    put(&mut sink, [1]);
    let state = commit(&mut sink, 0);
    put(&mut sink, [2]);
    sink.commit(0).unwrap();
    // This one seals the part; the next is in a part of its own.
    put(&mut sink, [3, 4]);
    sink.commit(0).unwrap();
    put(&mut sink, [5]);
    sink.commit(0).unwrap();
    drop(sink);
    let mut sink = try_restore(&config, &state).unwrap();
    put(&mut sink, [6]);
    finish(&mut sink);
    expect_files(&config.path, &[("part-00001.jsonl", lines([1, 6]))]);
}

#[test]
fn two_runs_may_publish_the_same_recorded_part() {
    let folder = TempDir::new().unwrap();
    let config = model::FileSink { roll_bytes: 1, ..roll_config(&folder) };
    let mut sink = durable(&config);
    put(&mut sink, [1]);
    let state = sink.commit(0).unwrap().state.unwrap();
    // The commit is recorded; before the run hears of it, another one has taken over.
    try_restore(&config, &state).unwrap();
    sink.committed().unwrap();
    expect_files(&config.path, &[("part-00001.jsonl", lines([1]))]);
}

#[test]
fn the_disk_is_waited_for_by_whoever_records() {
    for visible in [Visible::Roll, Visible::Commit] {
        let folder = TempDir::new().unwrap();
        let config = config(&folder.path().join("out"), FileFormat::Jsonl, visible);
        let mut sink = durable(&config);
        assert!(sink.commit(0).unwrap().before.is_none(), "nothing was written");
        put(&mut sink, [1]);
        let mut info = sink.commit(0).unwrap();
        assert!(info.before.is_some());
        // More is written, and the sink may even be gone.
        put(&mut sink, 2..900);
        drop(sink);
        before(&mut info);
        // Where nothing is recorded, the disk is waited for when a part is full.
        let mut sink = create(&config);
        put(&mut sink, [1]);
        assert!(sink.commit(0).unwrap().before.is_none());
    }
}

#[test]
fn another_writer_of_a_plain_file_is_noticed() {
    type Case = (&'static str, fn(&Path), &'static str);
    let cases: [Case; 3] = [
        (
            "appended",
            |path| {
                OpenOptions::new().append(true).open(path).unwrap().write_all(b"mine\n").unwrap();
            },
            "it has 13 bytes, and was left with 8",
        ),
        (
            "cut",
            |path| OpenOptions::new().write(true).open(path).unwrap().set_len(3).unwrap(),
            "it has 3 bytes, and was left with 8",
        ),
        (
            "replaced",
            |path| {
                fs::rename(path, path.with_extension("old")).unwrap();
                fs::write(path, "mine\n").unwrap();
            },
            "is no longer the file that was opened there",
        ),
    ];
    for (name, change, expected) in cases {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("out");
        let config = config(&path, FileFormat::Jsonl, Visible::Commit);
        let mut sink = durable(&config);
        put(&mut sink, [1]);
        commit(&mut sink, 0);
        change(&path);
        let left = fs::read_to_string(&path).unwrap();
        put(&mut sink, [2]);
        let error = sink.commit(0).unwrap_err();
        assert!(error.to_string().ends_with(expected), "{name}: {error}");
        assert_eq!(error.who(), Who::Operator);
        assert!(error.remedy().contains("visible = \"roll\""), "{}", error.remedy());
        // What is there is another's: it stays.
        assert!(sink.abort().is_err(), "{name}");
        assert!(sink.write(&delivery("a", &rows_of([3]))).is_err(), "{name}");
        drop(sink);
        assert_eq!(fs::read_to_string(&path).unwrap(), left, "{name}");
    }
}
