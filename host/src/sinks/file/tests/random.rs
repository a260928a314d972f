//! Random runs against a naive model: commits in flight, crashes, restarts.

use std::collections::VecDeque;

use super::*;

/// What can happen to a sink.
#[derive(Clone, Copy, Debug)]
enum Action {
    Write(u8),
    /// Enough to be written out before the commit.
    WriteMuch,
    /// Begin a commit, so many hours later.
    Commit(u8),
    /// The oldest commit that is under way is recorded.
    Record,
    /// The sink hears of it.
    Tell,
    Abort,
    /// Drop everything in memory, start again from the last recorded commit.
    Crash,
    /// End the run in good order, start again.
    Close,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0_u8..5).prop_map(Action::Write),
        1 => Just(Action::WriteMuch),
        6 => (0_u8..2).prop_map(Action::Commit),
        5 => Just(Action::Record),
        4 => Just(Action::Tell),
        2 => Just(Action::Abort),
        2 => Just(Action::Crash),
        1 => Just(Action::Close),
    ]
}

struct Run {
    folder: TempDir,
    config: model::FileSink,
    visible: Visible,
    sink: FileSink,
    /// The state of the last recorded commit, and all rows of recorded ones.
    state: Option<FileState>,
    recorded: Vec<i64>,
    /// Commits under way.
    flying: VecDeque<(Option<FileState>, Vec<i64>)>,
    /// Recorded commits that the sink has not heard of.
    untold: usize,
    pending: Vec<i64>,
    number: i64,
    now_us: i64,
    seen: BTreeMap<String, String>,
}

impl Run {
    fn new(visible: Visible) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("out");
        let config =
            model::FileSink { roll_bytes: 60, ..config(&path, FileFormat::Jsonl, visible) };
        let sink = durable(&config);
        Self {
            folder,
            config,
            visible,
            sink,
            state: None,
            recorded: Vec::new(),
            flying: VecDeque::new(),
            untold: 0,
            pending: Vec::new(),
            number: 0,
            now_us: 0,
            seen: BTreeMap::new(),
        }
    }

    fn put(&mut self, count: i64) {
        let new = self.number..self.number + count;
        self.number += count;
        put(&mut self.sink, new.clone());
        self.pending.extend(new);
    }

    fn commit(&mut self) {
        let mut info = self.sink.commit(self.now_us).unwrap();
        assert_eq!(info.rows, u64::try_from(self.pending.len()).unwrap());
        before(&mut info);
        self.flying.push_back((info.state, std::mem::take(&mut self.pending)));
    }

    fn record(&mut self) {
        if let Some((state, rows)) = self.flying.pop_front() {
            self.state = state;
            self.recorded.extend(rows);
            self.untold += 1;
        }
    }

    fn tell(&mut self) {
        if self.untold > 0 {
            self.sink.committed().unwrap();
            self.untold -= 1;
        }
    }

    fn restart(&mut self) {
        self.flying.clear();
        self.pending.clear();
        self.untold = 0;
        let path = &self.config.path;
        self.sink = match &self.state {
            Some(state) => try_restore(&self.config, state).unwrap(),
            None => {
                // No commit was ever recorded: nothing of ours may be visible, so start afresh.
                for name in if path.is_dir() { names(path) } else { Vec::new() } {
                    assert!(name.starts_with('.'), "{name}");
                }
                let _ = fs::remove_dir_all(path);
                let _ = fs::remove_file(path);
                durable(&self.config)
            }
        };
    }

    fn close(&mut self) {
        self.sink.finish();
        self.commit();
        while !self.flying.is_empty() {
            self.record();
        }
        while self.untold > 0 {
            self.tell();
        }
        self.sink.close(self.now_us).unwrap();
        if self.visible == Visible::Roll {
            assert_eq!(self.published(), lines(self.recorded.iter().copied()));
            assert!(names(&self.config.path).iter().all(|name| !name.starts_with('.')));
        }
    }

    /// The rows in published parts, in order; and that no published part ever changes.
    fn published(&mut self) -> String {
        let mut now = BTreeMap::new();
        for name in names(&self.config.path).into_iter().filter(|name| !name.starts_with('.')) {
            let text = fs::read_to_string(self.config.path.join(&name)).unwrap();
            now.insert(name, text);
        }
        for (name, text) in &self.seen {
            assert_eq!(now.get(name), Some(text), "{name} is as it was published");
        }
        self.seen = now;
        self.seen.values().map(String::as_str).collect()
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Write(count) => self.put(i64::from(count)),
            Action::WriteMuch => self.put(400),
            Action::Commit(hours) => {
                self.now_us += i64::from(hours) * HOUR_US;
                self.commit();
            }
            Action::Record => self.record(),
            Action::Tell => self.tell(),
            Action::Abort => {
                self.sink.abort().unwrap();
                self.pending.clear();
            }
            Action::Crash => self.restart(),
            Action::Close => {
                self.close();
                self.restart();
            }
        }
        let expected = lines(self.recorded.iter().copied());
        match self.visible {
            // Published rows are a prefix of the recorded ones, cut between commits.
            Visible::Roll => {
                let text = self.published();
                assert!(expected.starts_with(&text));
                assert!(text.is_empty() || text.ends_with('\n'));
            }
            Visible::Commit => {
                let text = fs::read_to_string(&self.config.path).unwrap();
                assert!(text.starts_with(&expected));
                let more = !self.pending.is_empty() || !self.flying.is_empty();
                assert!(text == expected || more);
            }
        }
    }
}

fn run(visible: Visible, actions: &[Action]) {
    let mut run = Run::new(visible);
    for action in actions {
        run.act(*action);
    }
    run.close();
    let text = match visible {
        Visible::Roll => run.published(),
        Visible::Commit => fs::read_to_string(&run.config.path).unwrap(),
    };
    assert_eq!(text, lines(run.recorded));
    drop(run.folder);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn parts_agree_with_a_model(actions in proptest::collection::vec(action(), 1..40)) {
        run(Visible::Roll, &actions);
    }

    #[test]
    fn a_plain_file_agrees_with_a_model(actions in proptest::collection::vec(action(), 1..40)) {
        run(Visible::Commit, &actions);
    }
}
