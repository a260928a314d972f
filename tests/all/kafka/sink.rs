//! The Kafka sink by the library's API, and whole pipelines from topic to topic.

use std::process::Output;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use millstream::config::model::{
    Delivery as Promise, KafkaSink, KafkaTopic, Located, OutputMode, SinkKind,
};
use millstream::sinks::{self, Delivery, Durability, RefusedRow, Sink, SinkError, SinkInput};

use super::broker::{Seen, address, read_all, topic, write};
use super::source::connection;
use crate::support::millstream;

fn located(text: &str) -> Located<String> {
    Located { value: text.into(), span: 0..0 }
}

fn batch(rows: &[(&str, &str, i64)]) -> RecordBatch {
    let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    let numbers: Vec<i64> = rows.iter().map(|row| row.2).collect();
    RecordBatch::try_from_iter([
        ("alert_id", text(rows.iter().map(|row| row.0).collect())),
        ("team", text(rows.iter().map(|row| row.1).collect())),
        ("n", Arc::new(Int64Array::from(numbers)) as ArrayRef),
    ])
    .expect("a batch")
}

fn open(topic: KafkaTopic, delivery: Promise) -> Result<Box<dyn Sink>, SinkError> {
    let kind = SinkKind::Kafka(Box::new(KafkaSink {
        connection: connection(&address()),
        topic,
        key: vec![located("team")],
        delivery,
        compression: "lz4",
    }));
    let inputs = [SinkInput { node: "alerts".into(), schema: batch(&[]).schema() }];
    sinks::build(&kind, &inputs, || unreachable!("no console"), None, Durability::AtRoll)
}

fn give(sink: &mut dyn Sink, rows: &RecordBatch) {
    let delivery = Delivery {
        node: "alerts",
        batch: rows,
        revision: 0,
        watermark_us: 0,
        epoch: 1,
        mode: OutputMode::Append,
    };
    sink.write(&delivery).expect("a write");
}

fn seen(id: &str, team: &str, n: i64) -> Seen {
    Seen {
        key: Some(team.into()),
        value: format!(r#"{{"alert_id":"{id}","team":"{team}","n":{n}}}"#),
        headers: vec![("alert_id".into(), id.into())],
    }
}

#[test]
fn at_least_once_a_commit_waits_until_all_have_arrived() {
    topic("alo", 1, &[]);
    let mut sink = open(KafkaTopic::Fixed(located("alo")), Promise::AtLeastOnce).expect("a sink");
    give(sink.as_mut(), &batch(&[("a", "red", 1), ("b", "blue", 2)]));
    let info = sink.commit(0).expect("a commit");
    assert_eq!((info.rows, info.outgoing.is_some()), (2, false));
    info.before.expect("something to wait for")().expect("delivery");
    assert_eq!(read_all("alo"), [seen("a", "red", 1), seen("b", "blue", 2)]);
}

#[test]
fn exactly_once_rows_are_kept_for_the_transaction() {
    topic("eos", 1, &[]);
    let exactly = Promise::ExactlyOnce { transactional_id: "eos".into(), timeout_us: 15_000_000 };
    let mut sink = open(KafkaTopic::Fixed(located("eos")), exactly).expect("a sink");
    give(sink.as_mut(), &batch(&[("a", "red", 1)]));
    sink.abort().expect("an abort");
    give(sink.as_mut(), &batch(&[("b", "red", 2)]));
    let info = sink.commit(0).expect("a commit");
    let outgoing = info.outgoing.expect("records");
    let values: Vec<_> = outgoing.iter().map(|record| record.payload.to_vec()).collect();
    assert_eq!(values, [br#"{"alert_id":"b","team":"red","n":2}"#.to_vec()]);
    assert_eq!(read_all("eos"), []);
}

#[test]
fn rows_that_no_broker_would_take_are_handed_back() {
    topic("small", 1, &[("max.message.bytes", "300")]);
    topic("red", 1, &[]);
    let mut sink = open(KafkaTopic::Fixed(located("small")), Promise::AtLeastOnce).expect("a sink");
    let long = "x".repeat(200);
    give(sink.as_mut(), &batch(&[("a", "red", 1), (&long, "red", 2)]));
    let refused = sink.take_refused();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].reason, sink.take_refused().len()), ("record_too_large", 0));
    assert!(refused[0].detail.ends_with("bytes; topic `small` takes 172"), "{}", refused[0].detail);
    let info = sink.commit(0).expect("a commit");
    info.before.expect("something to wait for")().expect("delivery");
    assert_eq!(read_all("small"), [seen("a", "red", 1)]);

    let mut sink = open(KafkaTopic::Column(located("team")), Promise::AtLeastOnce).expect("a sink");
    give(sink.as_mut(), &batch(&[("a", "red", 1), ("b", "no such team", 2), ("c", "", 3)]));
    let expected = [("b", "no such team", 2, "no such team"), ("c", "", 3, "")];
    let expected = expected.map(|(id, team, n, shown)| RefusedRow {
        row: seen(id, team, n).value.into_bytes(),
        reason: "unknown_topic",
        detail: format!("there is no topic {shown:?}"),
    });
    assert_eq!(sink.take_refused(), expected);
    sink.close(0).expect("the end");
    assert_eq!(read_all("red"), [seen("a", "red", 1)]);
}

#[test]
fn a_topic_that_is_not_there_is_named_at_the_start() {
    let error = open(KafkaTopic::Fixed(located("absent")), Promise::AtLeastOnce);
    let error = error.err().expect("a refusal");
    assert_eq!(error.to_string(), format!("there is no topic `absent` at {}", address()));
    assert!(error.remedy().contains("cargo xtask kafka topic"), "{}", error.remedy());
}

/// Runs pipeline text with the binary.
pub fn run(text: &str, command: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pipeline.toml");
    std::fs::write(&file, text).expect("a pipeline");
    millstream().args(command).arg(&file).output().expect("millstream")
}

#[test]
fn from_topic_to_topic() {
    topic("whole-in", 2, &[]);
    topic("whole-out", 1, &[]);
    let line = |n: i64| format!(r#"{{"service":"s{}","n":{n}}}"#, n % 2);
    let lines: Vec<String> = (0..1_000).map(line).collect();
    for partition in 0..2 {
        let values: Vec<Option<&str>> = lines.iter().map(|line| Some(line.as_str())).collect();
        write("whole-in", partition, &values);
    }
    let text = format!(
        r#"
        name = "whole"
        [sources.logs]
        type = "kafka"
        brokers = "{brokers}"
        topics = ["whole-in"]
        end_offset = "latest"
        [parsers.events]
        input = "logs"
        plugin = "json"
        config = {{ columns = {{ service = "text", n = "int64" }} }}
        [windows.sums]
        input = "events"
        global = true
        group_by = ["service"]
        aggregate = {{ rows = "count(*)", total = "sum(n)" }}
        [sinks.out]
        input = "sums"
        type = "kafka"
        brokers = "{brokers}"
        topic = "whole-out"
        key = ["service"]
        "#,
        brokers = address()
    );
    let output = run(&text, &["run"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rows: Vec<String> = read_all("whole-out").into_iter().map(|seen| seen.value).collect();
    rows.sort();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].contains(r#""service":"s0","rows":1000,"total":499000"#), "{}", rows[0]);
    assert!(rows[1].contains(r#""service":"s1","rows":1000,"total":500000"#), "{}", rows[1]);
}

#[test]
fn check_connects_and_says_what_it_found() {
    topic("checked-in", 2, &[]);
    topic("checked-out", 1, &[]);
    write("checked-in", 0, &[Some("1"), Some("2")]);
    let text = |output: &str| {
        format!(
            r#"
            name = "checked"
            [state]
            path = "state"
            [sources.logs]
            type = "kafka"
            brokers = "{brokers}"
            topics = ["checked-in"]
            end_offset = "latest"
            [parsers.events]
            input = "logs"
            plugin = "json"
            config = {{ columns = {{ n = "int64" }} }}
            [sinks.out]
            input = "events"
            type = "kafka"
            brokers = "{brokers}"
            topic = "{output}"
            "#,
            brokers = address()
        )
    };
    let output = run(&text("checked-out"), &["check", "--connect"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for line in [
        "promises exactly once: rows become visible with the commit",
        "logs: topic checked-in: 2 partitions, 2 offsets, may be read\n",
        "logs: group millstream-checked: has offsets for 0 of 2 partitions\n",
        "out: topic checked-out: takes records of 1000000 bytes\n",
        "commit: transactions work (tried as millstream-checked-check)",
    ] {
        assert!(stdout.contains(line), "{line}\nis not in\n{stdout}");
    }
    let output = run(&text("not-there"), &["check", "--connect"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("out: there is no topic `not-there`"), "{stderr}");
    assert!(stderr.contains("kafka-topics.sh"), "{stderr}");
}
