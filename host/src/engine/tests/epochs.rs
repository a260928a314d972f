//! When epochs end, what they read, and that they can be run again.

use std::time::Duration;

use super::rig::{Act, EVENTS, Memory, Rig, Still, event};
use crate::engine::{EpochFacts, Outside};

const SINK: &str = "
[windows.w]
input = \"events\"
tumbling = \"10 seconds\"
group_by = [\"k\"]
aggregate = { rows = \"count(*)\" }
[sinks.out]
inputs = [\"events\", \"w\", \"w.late\", \"events.rejects\"]
type = \"discard\"
";

fn text(settings: &str) -> String {
    format!("{EVENTS}{SINK}").replace("workers = 1", &format!("workers = 1\n{settings}"))
}

fn records(count: i64) -> Vec<String> {
    (0..count).map(|n| event(n, "a", n)).collect()
}

fn run(settings: &str, source: Memory, outside: &dyn Outside) -> Rig {
    let mut rig = Rig::new(&text(settings), vec![source], None);
    rig.run(outside).unwrap();
    rig
}

fn rows_of(facts: &[EpochFacts]) -> Vec<u64> {
    facts.iter().map(|facts| facts.ranges.iter().map(|range| range.rows).sum()).collect()
}

#[test]
fn an_epoch_ends_with_its_rows_bytes_or_the_input() {
    let owned = records(10);
    let records: Vec<&str> = owned.iter().map(String::as_str).collect();
    let length = owned[1].len();
    let bytes = format!("epoch_bytes = \"{} B\"", length * 4 + 3);
    let cases = [
        ("epoch_rows = 4", vec![4, 4, 2]),
        ("epoch_rows = 100\nbatch_rows = 3", vec![10]),
        (&*bytes, vec![10]),
    ];
    for (settings, expected) in cases {
        let rig = run(settings, Memory::all(&records), &Still::default());
        assert_eq!(rows_of(&rig.facts()), expected, "{settings}");
        assert_eq!(rig.rows()["events"].len(), 10, "{settings}");
    }
    // One record a turn: the epoch ends when a record of usual length does not fit any more.
    let script = [Act::Give(0, 1); 10];
    let rig = run(&bytes, Memory::new(0, &[&records], &script), &Still::default());
    assert_eq!(rows_of(&rig.facts()), [4, 4, 2]);
}

#[test]
fn an_epoch_ends_in_time_under_trickle_and_in_silence() {
    let owned = records(40);
    let records: Vec<&str> = owned.iter().map(String::as_str).collect();
    let trickle = [Act::Give(0, 1), Act::Idle, Act::Idle, Act::Idle].repeat(40);
    let silence = [Act::Idle; 1000];
    for (what, script) in [("trickle", &trickle[..]), ("silence", &silence[..])] {
        let stop_at = Some(Duration::from_millis(450));
        let outside = Still { tick: Duration::from_micros(200), stop_at, ..Still::default() };
        let rig = run("", Memory::new(0, &[&records], script), &outside);
        let ends: Vec<i64> = rig.facts().iter().map(|facts| facts.now_us).collect();
        // The stop cuts the last one short.
        let lengths: Vec<i64> =
            ends.windows(2).map(|pair| pair[1] - pair[0]).take(ends.len() - 2).collect();
        assert!(lengths.len() >= 2, "{what}: {lengths:?}");
        assert!(lengths.iter().all(|us| (90_000..=125_000).contains(us)), "{what}: {lengths:?}");
        let longest = outside.pauses.borrow().iter().max().copied();
        assert!(longest <= Some(Duration::from_millis(20)), "a stop is heard soon: {longest:?}");
    }
}

#[test]
fn nothing_spins_while_there_is_nothing() {
    let outside = Still { stop_at: Some(Duration::from_secs(1)), ..Still::default() };
    run("", Memory::new(0, &[&[]], &[Act::Idle; 1000]), &outside);
    let pauses = outside.pauses.borrow().len();
    assert!((50..=60).contains(&pauses), "{pauses} pauses in a second");
    assert!(outside.looks.get() <= 10 * 60, "{} looks at the clock", outside.looks.get());
}

#[test]
fn what_belongs_to_the_next_epoch_is_not_waited_for() {
    let owned = records(3);
    let records: Vec<&str> = owned.iter().map(String::as_str).collect();
    let script =
        [Act::Give(0, 1), Act::NextEpoch, Act::Give(0, 1), Act::NextEpoch, Act::Give(0, 1)];
    let outside = Still::default();
    let rig = run("", Memory::new(0, &[&records], &script), &outside);
    assert_eq!(rows_of(&rig.facts()), [1, 1, 1]);
    assert_eq!(outside.pauses.borrow().len(), 0);
}

#[test]
fn a_stop_ends_the_epoch_at_once_and_keeps_windows_open() {
    let owned = records(8);
    let records: Vec<&str> = owned.iter().map(String::as_str).collect();
    let outside = Still { stop_at: Some(Duration::ZERO), ..Still::default() };
    let script = [Act::Give(0, 4), Act::Give(0, 4)];
    let rig = run("", Memory::new(0, &[&records], &script), &outside);
    assert_eq!(rows_of(&rig.facts()), [4], "what was read is worked on");
    assert_eq!(rig.rows()["events"].len(), 4);
    assert!(!rig.rows().contains_key("w"));
}

#[test]
fn recorded_epochs_run_again_give_the_same() {
    let good: Vec<String> = (0..12).map(|n| event(n * 3, "a", n)).collect();
    let mut records: Vec<&str> = good.iter().map(String::as_str).collect();
    // Too long in the middle of a chunk, at its beginning and end, alone, and two together.
    for (at, record) in [(0, "HUGE-0"), (4, "HUGE-1"), (5, "bad"), (8, "HUGE-2"), (9, "HUGE-3")] {
        records.insert(at, record);
    }
    records.push("HUGE-4");
    let scripts: [&[Act]; 4] = [
        &[Act::Give(0, 18)],
        &[Act::Give(0, 1); 18],
        &[Act::Give(0, 5), Act::Idle, Act::Give(0, 4), Act::NextEpoch, Act::Give(0, 9)],
        &[Act::Give(0, 9), Act::NextEpoch, Act::Give(0, 1), Act::NextEpoch, Act::Give(0, 8)],
    ];
    for (settings, workers) in [("", 1), ("epoch_rows = 2", 1), ("batch_rows = 3", 2)] {
        for script in scripts {
            let text = format!("{}\n[dead_letters]\npath = \"d.jsonl\"\n", text(settings))
                .replace("workers = 1", &format!("workers = {workers}"));
            let mut rig = Rig::new(&text, vec![Memory::new(0, &[&records], script)], None);
            let outside = Still { tick: Duration::from_millis(1), ..Still::default() };
            rig.run(&outside).unwrap();
            let facts = rig.facts();
            assert_eq!(rig.rows()["events"].len(), 12);
            let refused = rig.rows()["dead_letters"].len();
            assert_eq!(refused, 6, "{settings} {script:?}");
            let mut again = Rig::new(&text, vec![Memory::new(0, &[&records], &[])], None);
            for facts in &facts {
                again.engine.replay(facts).unwrap();
            }
            assert_eq!(again.told(), rig.told(), "{settings} {script:?}");
            assert_eq!(again.facts(), facts);
        }
    }
}

#[test]
fn an_epoch_is_not_replayed_from_other_input() {
    let owned = records(4);
    let records: Vec<&str> = owned.iter().map(String::as_str).collect();
    let rig = run("", Memory::all(&records), &Still::default());
    let facts = rig.facts();
    let mut shorter = Rig::new(&text(""), vec![Memory::all(&records[..2])], None);
    let error = shorter.engine.replay(&facts[0]).unwrap_err().to_string();
    assert!(error.contains("epoch 0 cannot be replayed"), "{error}");
}
