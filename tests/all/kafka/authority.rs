//! The commit authority that is a Kafka transaction.

use std::sync::Arc;
use std::time::Duration;

use millstream::checkpoint::{
    Authority, AuthorityError, CommitPositions, Pointer, Tenure, TopicPosition, random_id,
};
use millstream::kafka::{KafkaAuthority, Outgoing, TopicFilter, TransactionSettings};
use millstream_broker::request::commit_offset;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::broker::{LONG, address, client, own, read_all, topic};
use super::source::connection;

/// A pipeline that reads a topic with two partitions and writes another.
struct Pipeline {
    brokers: String,
    name: String,
    timeout: Duration,
}

impl Pipeline {
    fn new(name: &str) -> Self {
        topic(&format!("{name}-in"), 2, &[]);
        topic(&format!("{name}-out"), 1, &[]);
        Self { brokers: address(), name: name.into(), timeout: Duration::from_secs(15) }
    }

    fn instance(&self) -> KafkaAuthority {
        let settings = TransactionSettings {
            connection: connection(&self.brokers),
            compression: "none",
            transactional_id: format!("id-{}", self.name),
            timeout: self.timeout,
            group: format!("group-{}", self.name),
            topics: vec![TopicFilter::Named(vec![format!("{}-in", self.name)])],
            carrier: Some(format!("{}-out", self.name)),
        };
        KafkaAuthority::new(settings, tenure())
    }

    fn records(&self, values: &[&str]) -> Vec<Outgoing> {
        let topic: Arc<str> = format!("{}-out", self.name).into();
        let mut outgoing = Outgoing::default();
        for value in values {
            outgoing.push(&topic, Some(b"key"), value.as_bytes(), &[]);
        }
        vec![outgoing]
    }

    fn positions(&self, offset: i64) -> CommitPositions {
        let at =
            |partition| TopicPosition { topic: format!("{}-in", self.name), partition, offset };
        vec![
            (self.brokers.clone(), vec![at(0), at(1)]),
            (
                "elsewhere:9092".into(),
                vec![TopicPosition { topic: "x".into(), partition: 0, offset: 9 }],
            ),
        ]
    }

    fn out(&self) -> Vec<String> {
        read_all(&format!("{}-out", self.name)).into_iter().map(|seen| seen.value).collect()
    }

    fn tamper(&self, partition: i32, metadata: &[u8]) {
        let (group, topic) = (format!("group-{}", self.name), format!("{}-in", self.name));
        commit_offset(&self.brokers, &group, (&topic, partition), 5, metadata).expect("an offset");
    }
}

fn pointer(digit: char) -> Pointer {
    Pointer { checkpoint: digit.to_string().repeat(32), epoch: 7 }
}

#[test]
fn a_commit_shows_outputs_and_pointer_together_and_a_successor_fences() {
    let pipeline = Pipeline::new("fencing");
    let mut first = pipeline.instance();
    assert_eq!(first.take_over().expect("nothing yet"), None);
    assert!(first.holds().expect("an answer"));
    first.send(pipeline.records(&["1", "2"])).expect("delivery");
    assert_eq!(pipeline.out(), [""; 0], "not before the commit");
    first.commit(&pointer('a'), &pipeline.positions(5)).expect("a commit");
    assert_eq!(pipeline.out(), ["1", "2"]);
    // A commit without outputs.
    first.commit(&pointer('b'), &pipeline.positions(6)).expect("a commit");

    first.send(pipeline.records(&["never"])).expect("delivery");
    let mut second = pipeline.instance();
    assert_eq!(second.take_over().expect("a pointer"), Some(pointer('b')));
    assert!(second.holds().expect("an answer"));
    assert!(!first.holds().expect("an answer"));
    let error = first.commit(&pointer('c'), &pipeline.positions(7)).expect_err("fenced");
    assert!(matches!(error, AuthorityError::Fenced { .. }), "{error}");
    // It does not come back either.
    let error = first.take_over().expect_err("fenced");
    assert!(matches!(error, AuthorityError::Fenced { .. }), "{error}");
    second.send(pipeline.records(&["3"])).expect("delivery");
    second.commit(&pointer('d'), &pipeline.positions(8)).expect("a commit");
    assert_eq!(pipeline.out(), ["1", "2", "3"]);
    assert_eq!(pipeline.instance().take_over().expect("a pointer"), Some(pointer('d')));
}

#[test]
fn positions_elsewhere_need_a_carrier() {
    let pipeline = Pipeline::new("carried");
    let without = || {
        let mut settings = TransactionSettings {
            connection: connection(&pipeline.brokers),
            compression: "zstd",
            transactional_id: "id-carried".into(),
            timeout: pipeline.timeout,
            group: "group-carried".into(),
            topics: Vec::new(),
            carrier: None,
        };
        settings.carrier = Some("carried-out".into());
        KafkaAuthority::new(settings, tenure())
    };
    let mut authority = without();
    assert_eq!(authority.take_over().expect("nothing yet"), None);
    authority.send(pipeline.records(&["1"])).expect("delivery");
    authority.commit(&pointer('a'), &Vec::new()).expect("a commit");
    assert_eq!(without().take_over().expect("a pointer"), Some(pointer('a')));
    assert_eq!(pipeline.out(), ["1"]);
}

#[test]
fn offsets_that_were_tampered_with_are_refused() {
    let pipeline = Pipeline::new("tampered");
    let refused = |part: &str| match pipeline.instance().take_over() {
        Err(AuthorityError::Refused { what, remedy }) => {
            assert!(what.contains(part), "{what}");
            assert!(remedy.contains("recover --from-checkpoint"), "{remedy}");
        }
        other => panic!("{other:?}, expected {part}"),
    };
    // Another program's offsets, all of them without a text: there never was a checkpoint.
    pipeline.tamper(0, b"");
    pipeline.tamper(1, b"");
    assert_eq!(pipeline.instance().take_over().expect("nothing yet"), None);
    let mut authority = pipeline.instance();
    authority.take_over().expect("nothing yet");
    authority.commit(&pointer('a'), &pipeline.positions(5)).expect("a commit");
    pipeline.tamper(1, b"\xff\xfe no text");
    // The broker has replaced what is no UTF-8 already.
    refused("the offset of tampered-in-1 that is no checkpoint's name: \"\\xef\\xbf\\xbd");
    pipeline.tamper(1, pointer('b').to_string().as_bytes());
    refused("name different checkpoints: tampered-in-0 names aaaa");
    pipeline.tamper(1, b"");
    refused("offset of tampered-in-1 in group `group-tampered` was set by hand");
    // Whoever is told to may set them right.
    let mut authority = pipeline.instance();
    authority.take_over().expect_err("still refused");
    authority.commit(&pointer('c'), &pipeline.positions(5)).expect("a commit");
    assert_eq!(pipeline.instance().take_over().expect("a pointer"), Some(pointer('c')));
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_the_next_works() {
    let pipeline = Pipeline { timeout: Duration::from_secs(1), ..Pipeline::new("slow") };
    let mut authority = pipeline.instance();
    authority.take_over().expect("nothing yet");
    authority.commit(&pointer('a'), &pipeline.positions(1)).expect("a commit");
    authority.send(pipeline.records(&["never"])).expect("delivery");
    wait_until_ended("slow-out");
    let error = authority.commit(&pointer('b'), &pipeline.positions(2)).expect_err("too late");
    assert!(matches!(error, AuthorityError::Aborted { .. }), "{error}");
    assert_eq!(authority.take_over().expect("a pointer"), Some(pointer('a')));
    authority.send(pipeline.records(&["1"])).expect("delivery");
    authority.commit(&pointer('c'), &pipeline.positions(2)).expect("a commit");
    assert_eq!(pipeline.out(), ["1"]);
    assert!(authority.holds().expect("an answer"));
}

/// Waits until no transaction is open in a topic's partition 0.
fn wait_until_ended(topic: &str) {
    let end = |level: &str| {
        let consumer: BaseConsumer =
            client().set("isolation.level", level).create().expect("a consumer");
        consumer.fetch_watermarks(topic, 0, LONG).expect("offsets").1
    };
    for _ in 0..1_000 {
        if end("read_committed") == end("read_uncommitted") {
            return;
        }
    }
    panic!("the broker does not abort the transaction");
}

#[test]
fn a_broker_that_dies_within_a_transaction_leaves_all_or_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = own(folder.path());
    let brokers = node.address();
    for (name, partitions) in [("dying-in", 2), ("dying-out", 1)] {
        millstream_broker::request::create_topic(&brokers, name, partitions).expect("a topic");
    }
    let pipeline = Pipeline { brokers, name: "dying".into(), timeout: Duration::from_secs(10) };
    let mut authority = pipeline.instance();
    authority.take_over().expect("nothing yet");
    authority.send(pipeline.records(&["1"])).expect("delivery");
    authority.commit(&pointer('a'), &pipeline.positions(1)).expect("a commit");
    authority.send(pipeline.records(&["2"])).expect("delivery");
    node.kill();
    let restarted = std::thread::scope(|scope| {
        let restarting = scope.spawn(|| node.restart());
        let committed = authority.commit(&pointer('b'), &pipeline.positions(2));
        restarting.join().expect("no panic").expect("a restart");
        committed
    });
    let expected = match restarted {
        Ok(()) => pointer('b'),
        Err(error) => {
            assert!(matches!(error, AuthorityError::Aborted { .. }), "{error}");
            let mut found = authority.take_over();
            for _ in 0..20 {
                match found {
                    Err(AuthorityError::Aborted { .. }) => found = authority.take_over(),
                    _ => break,
                }
            }
            found.expect("an answer").expect("a pointer")
        }
    };
    assert!([pointer('a'), pointer('b')].contains(&expected), "{expected:?}");
    authority.commit(&pointer('c'), &pipeline.positions(3)).expect("a commit");
    assert_eq!(pipeline.instance().take_over().expect("a pointer"), Some(pointer('c')));
}

#[test]
fn an_authority_whose_brokers_are_away_says_so() {
    let nobody = format!("127.0.0.1:{}", millstream_broker::free_port().expect("a port"));
    let pipeline = Pipeline { brokers: nobody, name: "away".into(), timeout: LONG };
    match pipeline.instance().take_over() {
        Err(AuthorityError::Refused { what, remedy }) => {
            assert!(what.starts_with("no Kafka broker answers at "), "{what}");
            assert!(remedy.contains("check `brokers`"), "{remedy}");
        }
        other => panic!("{other:?}"),
    }
}

fn tenure() -> Tenure {
    Tenure { owner: random_id(), held: false }
}
