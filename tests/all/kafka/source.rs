//! The Kafka source by the library's API.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use millstream::config::model::{
    KafkaConnection, KafkaSource as Config, KafkaTopics, Located, Sasl, Secret, SourceKind,
    StartOffset,
};
use millstream::data::{Partition, SourceId};
use millstream::sources::{
    self, PartitionState, ReadBudget, ReadOutput, ReadState, Source, SourceError, SourceState,
};
use rdkafka::producer::Producer;

use super::broker::{
    LONG, add_partitions, address, broker, delete_below, in_transaction, own, put, topic, write,
};

fn located(text: &str) -> Located<String> {
    Located { value: text.into(), span: 0..0 }
}

pub fn connection(brokers: &str) -> KafkaConnection {
    KafkaConnection { brokers: located(brokers), tls: None, sasl: None, properties: Vec::new() }
}

fn config(topics: &[&str]) -> Config {
    Config {
        connection: connection(&address()),
        topics: KafkaTopics::Named(topics.iter().map(|name| located(name)).collect()),
        group: format!("group-of-{}", topics[0]),
        start: StartOffset::Earliest,
        bounded: false,
        fail_on_data_loss: true,
        max_record_bytes: 1 << 20,
        max_rows_per_epoch: None,
        discover_us: 100_000,
    }
}

fn open(config: &Config, resume: Option<&SourceState>) -> Result<Box<dyn Source>, SourceError> {
    sources::open(&SourceKind::Kafka(Box::new(config.clone())), SourceId(0), Path::new(""), resume)
}

fn budget(rows: usize) -> ReadBudget {
    ReadBudget { rows, bytes: 1 << 20, chunk_rows: 8192, wait: Duration::from_millis(20) }
}

/// Records by partition: offset and value.
type Records = BTreeMap<u32, Vec<(i64, String)>>;

fn add(records: &mut Records, out: &ReadOutput) {
    for chunk in &out.chunks {
        let partition = records.entry(chunk.from.partition.0).or_default();
        for (at, position) in chunk.positions.iter().enumerate() {
            let value = String::from_utf8_lossy(chunk.record(at).expect("a record")).into_owned();
            partition.push((*position, value));
        }
    }
}

/// Reads until so many rows came.
fn read(source: &mut dyn Source, rows: usize) -> Records {
    let mut records = Records::new();
    let mut out = ReadOutput::default();
    let mut turns = 0;
    while out.rows < rows {
        source.read(&budget(rows - out.rows), 0, &mut out).expect("a read");
        turns += 1;
        assert!(turns < 3_000, "only {} of {rows} rows came", out.rows);
    }
    add(&mut records, &out);
    records
}

/// Reads until the source ends, or an error.
fn read_to_end(source: &mut dyn Source) -> Result<Records, SourceError> {
    let mut records = Records::new();
    let mut out = ReadOutput::default();
    for _ in 0..3_000 {
        let state = source.read(&budget(1_000), 0, &mut out)?;
        add(&mut records, &out);
        out.clear();
        if state == ReadState::Ended {
            return Ok(records);
        }
    }
    panic!("the source does not end");
}

fn state(source: &dyn Source) -> SourceState {
    let kept = source.partitions().iter().map(|info| PartitionState {
        name: info.name.to_string(),
        position: info.position,
        finished: info.finished,
    });
    SourceState { partitions: kept.collect(), ..SourceState::default() }
}

fn numbers(range: std::ops::Range<i64>) -> Vec<(i64, String)> {
    range.map(|number| (number, number.to_string())).collect()
}

fn fill(topic: &str, partition: i32, range: std::ops::Range<i64>) {
    let texts: Vec<String> = range.map(|number| number.to_string()).collect();
    let values: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
    write(topic, partition, &values);
}

#[test]
fn budgets_are_exact_and_shared_over_partitions() {
    topic("budgets", 3, &[]);
    for partition in 0..3 {
        fill("budgets", partition, 0..100);
    }
    let mut source = open(&config(&["budgets"]), None).expect("a source");
    // Until all partitions have arrived, shares are what is there.
    let mut records = read(source.as_mut(), 150);
    let rest = read(source.as_mut(), 150);
    for (partition, more) in rest {
        records.entry(partition).or_default().extend(more);
    }
    for partition in 0..3 {
        assert_eq!(records[&partition], numbers(0..100), "partition {partition}");
    }
    let names: Vec<String> = source.partitions().iter().map(|p| p.name.to_string()).collect();
    assert_eq!(names, ["budgets-0", "budgets-1", "budgets-2"]);
    let idle = source.read(&budget(10), 0, &mut ReadOutput::default()).expect("a read");
    assert_eq!(idle, ReadState::Idle);
}

#[test]
fn a_restart_goes_on_by_the_names_of_partitions() {
    topic("resume", 2, &[]);
    fill("resume", 0, 0..50);
    fill("resume", 1, 0..50);
    let mut kept = state(open(&config(&["resume"]), None).expect("a source").as_ref());
    // Numbers are kept in the order of the state, whatever the cluster says.
    kept.partitions.reverse();
    kept.partitions[0].position = 20;
    kept.partitions[1].position = 30;
    let mut source = open(&config(&["resume"]), Some(&kept)).expect("a source");
    let records = read(source.as_mut(), 50);
    assert_eq!(records[&0], numbers(20..50), "resume-1");
    assert_eq!(records[&1], numbers(30..50), "resume-0");
    source.seek(Partition(1), 45).expect("a seek");
    assert_eq!(read(source.as_mut(), 5)[&1], numbers(45..50));
}

#[test]
fn a_recorded_epoch_is_read_again_in_one_chunk() {
    topic("replayed", 1, &[]);
    fill("replayed", 0, 0..2_000);
    let mut source = open(&config(&["replayed"]), None).expect("a source");
    read(source.as_mut(), 2_000);
    source.seek(Partition(0), 100).expect("a seek");
    let mut out = ReadOutput::default();
    let exact =
        ReadBudget { rows: 1_500, bytes: usize::MAX, chunk_rows: 1_500, wait: Duration::ZERO };
    source.replay(Partition(0), 1_600, &exact, 7, &mut out).expect("a replay");
    assert_eq!((out.chunks.len(), out.rows, out.chunks[0].end_position), (1, 1_500, 1_600));
    let mut records = Records::new();
    add(&mut records, &out);
    assert_eq!(records[&0], numbers(100..1_600));
}

#[test]
fn a_bounded_run_ends_at_what_was_there() {
    topic("bounded", 2, &[]);
    fill("bounded", 0, 0..10);
    let settings = Config { bounded: true, ..config(&["bounded"]) };
    let mut source = open(&settings, None).expect("a source");
    // After the start: not for this run.
    fill("bounded", 0, 10..20);
    fill("bounded", 1, 0..10);
    let records = read_to_end(source.as_mut()).expect("records");
    assert_eq!(records, Records::from([(0, numbers(0..10))]));
    assert!(source.partitions().iter().all(|partition| partition.finished));
    assert_eq!(source.progress().total, Some(10));
}

#[test]
fn what_was_aborted_never_happened() {
    topic("aborted", 1, &[]);
    fill("aborted", 0, 0..3);
    let producer = in_transaction("aborting");
    put(&producer, "aborted", 0, &[Some("never"), Some("never")]);
    producer.flush(LONG).expect("delivery");
    producer.abort_transaction(LONG).expect("an abort");
    let producer = in_transaction("committing");
    put(&producer, "aborted", 0, &[Some("committed")]);
    producer.flush(LONG).expect("delivery");
    producer.commit_transaction(LONG).expect("a commit");
    let settings = Config { bounded: true, ..config(&["aborted"]) };
    let mut source = open(&settings, None).expect("a source");
    let records = read_to_end(source.as_mut()).expect("records");
    let values: Vec<&str> = records[&0].iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["0", "1", "2", "committed"]);
    // Two aborted records and two marks are passed over, the last mark too.
    assert_eq!(source.partitions()[0].position, 8);
}

#[test]
fn tombstones_are_passed_over_and_long_records_cut_out() {
    topic("odd", 1, &[]);
    let long = "x".repeat(300);
    write("odd", 0, &[Some("a"), None, Some(""), Some(&long), None]);
    let settings = Config { bounded: true, max_record_bytes: 299, ..config(&["odd"]) };
    let mut source = open(&settings, None).expect("a source");
    let mut out = ReadOutput::default();
    let mut turns = 0;
    while source.read(&budget(100), 0, &mut out).expect("a read") != ReadState::Ended {
        turns += 1;
        assert!(turns < 3_000);
    }
    let mut records = Records::new();
    add(&mut records, &out);
    assert_eq!(records[&0], [(0, "a".to_owned()), (2, String::new())]);
    assert_eq!(out.oversized.len(), 1);
    let one = &out.oversized[0];
    assert_eq!((one.position, one.end_position, one.length, one.prefix.len()), (3, 4, 300, 256));
    assert_eq!((out.rows, source.partitions()[0].position), (3, 5));
}

#[test]
fn lost_records_stop_the_source_or_are_counted() {
    topic("expired", 1, &[]);
    fill("expired", 0, 0..100);
    let kept = state(open(&config(&["expired"]), None).expect("a source").as_ref());
    delete_below("expired", 0, 40);
    let error = open(&config(&["expired"]), Some(&kept)).err().expect("a refusal");
    assert_eq!(
        error.to_string(),
        "records are lost: partition 0 of topic `expired` should be read from offset 0, but has \
         40 to 100"
    );
    assert!(error.help().expect("help").contains("fail_on_data_loss = false"));
    let settings = Config { fail_on_data_loss: false, bounded: true, ..config(&["expired"]) };
    let mut source = open(&settings, Some(&kept)).expect("a source");
    let records = read_to_end(source.as_mut()).expect("records");
    assert_eq!(records[&0], numbers(40..100));
    // While it runs: the same by the answer to a fetch.
    for (fail, start) in [(true, 40), (false, 70)] {
        let settings = Config { fail_on_data_loss: fail, bounded: true, ..config(&["expired"]) };
        let mut source = open(&settings, None).expect("a source");
        delete_below("expired", 0, 70);
        source.seek(Partition(0), start + 5).expect("a seek");
        source.seek(Partition(0), 10).expect("a seek");
        match read_to_end(source.as_mut()) {
            Err(error) => {
                assert!(fail && error.to_string().contains("from offset 10, but has 70 to 100"))
            }
            Ok(records) => {
                assert!(!fail);
                assert_eq!(records[&0], numbers(70..100));
            }
        }
    }
}

#[test]
fn new_partitions_join_behind_the_others() {
    topic("growing", 1, &[]);
    fill("growing", 0, 0..5);
    let settings = Config { start: StartOffset::Latest, ..config(&["growing"]) };
    let mut source = open(&settings, None).expect("a source");
    add_partitions("growing", 2);
    fill("growing", 1, 0..5);
    // `latest` is for what was there; a new partition is read from its beginning.
    assert_eq!(read(source.as_mut(), 5), Records::from([(1, numbers(0..5))]));
    assert_eq!(&*source.partitions()[1].name, "growing-1");
}

#[test]
fn topics_by_pattern_and_where_to_start() {
    for name in ["pattern-a", "pattern-b", "other-pattern-a"] {
        topic(name, 1, &[]);
        fill(name, 0, 0..10);
    }
    let base = config(&["pattern-a"]);
    let pattern = KafkaTopics::Pattern(located("pattern-.*"));
    let offsets = BTreeMap::from([(("pattern-b".to_owned(), 0), 7)]);
    for (start, first) in [
        (StartOffset::Offsets(offsets), [0, 7]),
        (StartOffset::Committed, [0, 0]),
        (StartOffset::Timestamp(0), [0, 0]),
        (StartOffset::Timestamp(i64::MAX / 2), [10, 10]),
        (StartOffset::Latest, [10, 10]),
    ] {
        let settings = Config { topics: pattern.clone(), start, bounded: true, ..base.clone() };
        let source = open(&settings, None).expect("a source");
        let found: Vec<i64> = source.partitions().iter().map(|p| p.position).collect();
        assert_eq!(found, first, "{:?}", settings.start);
    }
}

#[test]
fn rows_of_an_epoch_can_be_limited() {
    topic("limited", 1, &[]);
    fill("limited", 0, 0..100);
    let settings = Config { max_rows_per_epoch: Some(30), ..config(&["limited"]) };
    let mut source = open(&settings, None).expect("a source");
    source.begin_epoch();
    assert_eq!(read(source.as_mut(), 30)[&0], numbers(0..30));
    let mut out = ReadOutput::default();
    assert_eq!(source.read(&budget(10), 0, &mut out).expect("a read"), ReadState::NextEpoch);
    source.begin_epoch();
    assert_eq!(read(source.as_mut(), 30)[&0], numbers(30..60));
}

#[test]
fn a_start_that_cannot_work_says_why() {
    let unknown = open(&config(&["nowhere"]), None).err().expect("a refusal");
    assert_eq!(unknown.to_string(), format!("there is no topic `nowhere` at {}", address()));
    assert!(unknown.help().expect("help").contains("kafka-topics.sh"));

    let pattern = KafkaTopics::Pattern(located("no-such-.*"));
    let none = Config { topics: pattern, ..config(&["x"]) };
    let none = open(&none, None).err().expect("a refusal").to_string();
    assert!(none.ends_with("matches `no-such-.*`"), "{none}");

    let sasl = |password: &str| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), password).expect("a password");
        let sasl = Sasl {
            mechanism: "PLAIN",
            username: millstream_broker::SASL_USER.into(),
            password: Secret::File(file.path().to_owned()),
        };
        let connection =
            KafkaConnection { sasl: Some(sasl), ..connection(&broker().sasl_address()) };
        (Config { connection, ..config(&["with-user"]) }, file)
    };
    topic("with-user", 1, &[]);
    let (right, _file) = sasl(&format!("{}\n", millstream_broker::SASL_PASSWORD));
    open(&right, None).expect("a source");
    let (wrong, _file) = sasl("wrong-password");
    let refused = open(&wrong, None).err().expect("a refusal").to_string();
    assert!(refused.contains("do not accept who we are"), "{refused}");
    assert!(!refused.contains("wrong-password"), "{refused}");
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let nobody = format!("127.0.0.1:{}", millstream_broker::free_port().expect("a port"));
    let settings = Config { connection: connection(&nobody), ..config(&["x"]) };
    let error = open(&settings, None).err().expect("a refusal").to_string();
    assert!(error.starts_with(&format!("no Kafka broker answers at {nobody}: ")), "{error}");
}

#[test]
fn reading_goes_on_after_a_broker_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = own(folder.path());
    millstream_broker::request::create_topic(&node.address(), "outlives", 1).expect("a topic");
    let producer: rdkafka::producer::BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", node.address())
        .create()
        .expect("a producer");
    put(&producer, "outlives", 0, &[Some("0"), Some("1")]);
    producer.flush(LONG).expect("delivery");
    let settings = Config { connection: connection(&node.address()), ..config(&["outlives"]) };
    let mut source = open(&settings, None).expect("a source");
    assert_eq!(read(source.as_mut(), 2)[&0], numbers(0..2));
    node.kill();
    let idle = source.read(&budget(10), 0, &mut ReadOutput::default()).expect("no error");
    assert_eq!(idle, ReadState::Idle);
    node.restart().expect("a restart");
    put(&producer, "outlives", 0, &[Some("2")]);
    producer.flush(LONG).expect("delivery");
    assert_eq!(read(source.as_mut(), 1)[&0], [(2, "2".to_owned())]);
}
