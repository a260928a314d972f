//! Event time over several sources and partitions.

use std::time::Duration;

use serde_json::json;

use super::rig::{Act, EVENTS, Memory, Rig, Still, column, event};

const SECOND: &str = "
[sources.other]
type = \"stdin\"
watermark = { delay = \"1 second\", idle_timeout = \"1 second\" }
[parsers.others]
input = \"other\"
plugin = \"json\"
event_time = \"t\"
[parsers.others.config.columns]
t = { type = \"timestamp\", format = \"epoch_ms\", required = true }
k = \"text\"
v = \"int64\"
[windows.w]
inputs = [\"events\", \"others\"]
tumbling = \"10 seconds\"
aggregate = { rows = \"count(*)\" }
[sinks.out]
inputs = [\"w\", \"w.late\"]
type = \"discard\"
";

fn two(first: Memory, second: Memory) -> Rig {
    Rig::new(&format!("{EVENTS}{SECOND}"), vec![first, second], None)
}

fn stop_after(seconds: u64) -> Still {
    Still { stop_at: Some(Duration::from_secs(seconds)), ..Still::default() }
}

#[test]
fn a_silent_source_holds_a_union_until_it_is_idle() {
    let records = [event(1, "a", 1), event(30, "a", 2)];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let idle = [Act::Idle; 1000];
    let script = [&[Act::Give(0, 2)], &idle[..]].concat();
    for (seconds, closed) in [(1, 0), (3, 1)] {
        let mut rig = two(Memory::new(0, &[&records], &script), Memory::new(1, &[&[]], &idle));
        // The first source is never idle: it holds the watermark at 29 s.
        let outside = Still {
            stop_at: Some(Duration::from_millis(seconds * 1000 - 200)),
            ..Still::default()
        };
        rig.run(&outside).unwrap();
        assert_eq!(rig.rows().get("w").map_or(0, Vec::len), closed, "after {seconds} s");
    }
}

#[test]
fn a_source_that_is_back_from_idleness_is_late_where_windows_have_closed() {
    let records = [event(1, "a", 1), event(30, "a", 2)];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let back = [event(2, "b", 7), event(35, "b", 8)];
    let back: Vec<&str> = back.iter().map(String::as_str).collect();
    let idle = [Act::Idle; 1000];
    let first = Memory::new(0, &[&records], &[&[Act::Give(0, 2)], &idle[..]].concat());
    let pause = [Act::Idle; 120];
    let second = Memory::new(1, &[&back], &[&pause[..], &[Act::Give(0, 2)], &idle].concat());
    let mut rig = two(first, second);
    rig.run(&stop_after(4)).unwrap();
    let rows = rig.rows();
    assert_eq!(column(&rows["w"], "rows"), [json!(1)]);
    assert_eq!(column(&rows["w.late"], "v"), [json!(7)], "8 is on time");
}

#[test]
fn an_ended_source_holds_nothing_and_the_end_closes_all() {
    let records = [event(1, "a", 1), event(30, "a", 2)];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let mut rig = two(Memory::all(&records), Memory::new(1, &[&[]], &[]));
    rig.run(&Still::default()).unwrap();
    assert_eq!(column(&rig.rows()["w"], "rows"), [json!(1), json!(1)]);
}

#[test]
fn a_row_is_late_by_its_own_partition_whatever_the_cuts_and_workers() {
    let fast = [event(1, "a", 1), event(100, "a", 2), event(5, "late", 3), event(101, "a", 4)];
    let slow = [event(2, "b", 5), event(3, "b", 6), event(30, "b", 7), event(31, "b", 8)];
    let fast: Vec<&str> = fast.iter().map(String::as_str).collect();
    let slow: Vec<&str> = slow.iter().map(String::as_str).collect();
    let nodes = "
[windows.w]
input = \"events\"
tumbling = \"10 seconds\"
aggregate = { rows = \"count(*)\", sum = \"sum(v)\" }
[sinks.out]
inputs = [\"w\", \"w.late\"]
type = \"discard\"
";
    for (epoch_rows, workers, step) in [(1, 1, 1), (3, 2, 2), (100, 1, 4), (100, 3, 1), (2, 7, 3)] {
        let text = format!("{EVENTS}{nodes}")
            .replace("workers = 1", &format!("workers = {workers}\nepoch_rows = {epoch_rows}"));
        let script: Vec<Act> =
            (0..4).step_by(step).flat_map(|_| [Act::Give(0, step), Act::Give(1, step)]).collect();
        let mut rig = Rig::new(&text, vec![Memory::new(0, &[&fast, &slow], &script)], None);
        rig.run(&Still::default()).unwrap();
        let rows = rig.rows();
        let how = format!("epochs of {epoch_rows}, {workers} workers, steps of {step}");
        assert_eq!(column(&rows["w.late"], "v"), [json!(3)], "{how}");
        assert_eq!(column(&rows["w"], "rows"), [json!(3), json!(2), json!(2)], "{how}");
        assert_eq!(column(&rows["w"], "sum"), [json!(12), json!(15), json!(6)], "{how}");
    }
}
