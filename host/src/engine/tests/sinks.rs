//! When sinks commit, and what becomes of an epoch that fails.

use super::rig::{EVENTS, Memory, Rig, Still, Told, event};

const TWO_SINKS: &str = "
[sinks.a]
inputs = [\"events\"]
type = \"discard\"
[sinks.b]
inputs = [\"events\"]
type = \"discard\"
[dead_letters]
path = \"dead.jsonl\"
";

fn told(rig: &Rig) -> Vec<(String, &'static str)> {
    let word = |told| match told {
        Told::Write { .. } => "write",
        Told::Commit => "commit",
        Told::Committed => "committed",
        Told::Abort => "abort",
        Told::Close => "close",
    };
    rig.told().into_iter().map(|(sink, told)| (sink, word(told))).collect()
}

fn run(fails: Option<(&'static str, &'static str)>) -> (Vec<(String, &'static str)>, bool) {
    let record = event(1, "a", 1);
    let records = [record.as_str(), "bad"];
    let mut rig = Rig::new(&format!("{EVENTS}{TWO_SINKS}"), vec![Memory::all(&records)], fails);
    let ok = rig.run(&Still::default()).is_ok();
    rig.engine.close(0).unwrap();
    (told(&rig), ok)
}

fn expected(words: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    words.iter().map(|(sink, word)| ((*sink).to_owned(), *word)).collect()
}

const CLOSED: [(&str, &str); 3] = [("a", "close"), ("b", "close"), ("dead_letters", "close")];
const ABORTED: [(&str, &str); 3] = [("a", "abort"), ("b", "abort"), ("dead_letters", "abort")];

#[test]
fn all_sinks_have_an_epochs_rows_before_one_commits() {
    let (told, ok) = run(None);
    assert!(ok);
    let steps = [
        ("dead_letters", "write"),
        ("a", "write"),
        ("b", "write"),
        ("a", "commit"),
        ("b", "commit"),
        ("dead_letters", "commit"),
        ("a", "committed"),
        ("b", "committed"),
        ("dead_letters", "committed"),
    ];
    assert_eq!(told, expected(&[&steps[..], &CLOSED].concat()));
}

#[test]
fn an_epoch_that_fails_is_taken_back_before_sinks_close() {
    let written = [("dead_letters", "write"), ("a", "write")];
    let (told, ok) = run(Some(("b", "write")));
    assert!(!ok);
    assert_eq!(told, expected(&[&written[..], &ABORTED, &CLOSED].concat()), "nothing is committed");
    let (told, ok) = run(Some(("b", "commit")));
    assert!(!ok);
    let steps = [&written[..], &[("b", "write"), ("a", "commit")]].concat();
    assert_eq!(told, expected(&[&steps[..], &ABORTED, &CLOSED].concat()));
}
