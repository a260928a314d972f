//! The broker of a test run, and what tests do to its topics by hand.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use millstream_broker::{Broker, Kafka, Settings, install};
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Headers;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// How long anything here may take, on a machine that does other things too.
pub const LONG: Duration = Duration::from_secs(60);

/// The folder of jars, which `cargo xtask kafka` uses too.
fn folder() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_millstream"));
    binary.ancestors().nth(2).expect("target/debug/x").join("kafka")
}

fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    KAFKA.get_or_init(|| install(&folder()).expect("Apache Kafka"))
}

/// The broker that all tests share. It dies with the process.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| {
        let nodes = folder().join("tests");
        remove_old(&nodes);
        let node = nodes.join(std::process::id().to_string());
        let settings = Settings::free(&node).expect("free ports");
        Broker::start(kafka(), settings).expect("a broker")
    })
}

/// A broker for one test, to be killed. Its data stand in `folder`.
pub fn own(folder: &Path) -> Broker {
    let settings = Settings::free(folder).expect("free ports");
    Broker::start(kafka(), settings).expect("a broker")
}

/// Removes what runs left behind whose process is no more.
fn remove_old(nodes: &Path) {
    for entry in std::fs::read_dir(nodes).into_iter().flatten().flatten() {
        let process = entry.file_name();
        if !Path::new("/proc").join(process).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

pub fn address() -> String {
    broker().address()
}

/// Settings of a client of the shared broker.
pub fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address());
    config
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

pub fn admin() -> AdminClient<DefaultClientContext> {
    client().create().expect("an admin client")
}

pub fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(LONG)).request_timeout(Some(LONG))
}

/// Creates a topic with settings such as `max.message.bytes`.
pub fn topic(name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let made = wait(admin().create_topics([&topic], &options())).expect("an answer");
    made.into_iter().for_each(|one| drop(one.expect("a new topic")));
}

pub fn add_partitions(name: &str, count: usize) {
    let more = NewPartitions::new(name, count);
    let made = wait(admin().create_partitions([&more], &options())).expect("an answer");
    made.into_iter().for_each(|one| drop(one.expect("more partitions")));
}

/// Deletes the records of a partition below an offset, as retention does.
pub fn delete_below(topic: &str, partition: i32, offset: i64) {
    let list = at(topic, partition, offset);
    let answer = wait(admin().delete_records(&list, &options())).expect("an answer");
    answer.elements().iter().for_each(|one| one.error().expect("records deleted"));
}

pub fn at(topic: &str, partition: i32, offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
    list
}

/// Writes values to a partition; `None` is a tombstone.
pub fn write(topic: &str, partition: i32, values: &[Option<&str>]) {
    let producer: BaseProducer = client().create().expect("a producer");
    put(&producer, topic, partition, values);
    producer.flush(LONG).expect("delivery");
}

pub fn put(producer: &BaseProducer, topic: &str, partition: i32, values: &[Option<&str>]) {
    for value in values {
        let mut record: BaseRecord<'_, str, str> =
            BaseRecord::to(topic).partition(partition).key("k");
        record.payload = *value;
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }
}

/// A producer within a transaction.
pub fn in_transaction(id: &str) -> BaseProducer {
    let producer: BaseProducer = client().set("transactional.id", id).create().expect("a producer");
    producer.init_transactions(LONG).expect("transactions");
    producer.begin_transaction().expect("a transaction");
    producer
}

/// A record as readers of committed records see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub key: Option<String>,
    pub value: String,
    pub headers: Vec<(String, String)>,
}

/// Reads all committed records of a topic, partition by partition.
pub fn read_all(topic: &str) -> Vec<Seen> {
    let consumer: BaseConsumer = client()
        .set("group.id", "reader-of-tests")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), LONG).expect("metadata");
    let partitions = metadata.topics()[0].partitions().len();
    let mut all = Vec::new();
    for partition in 0..i32::try_from(partitions).expect("few partitions") {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        consumer.assign(&list).expect("an assignment");
        loop {
            match consumer.poll(LONG).expect("a record or the end") {
                Ok(message) => all.push(seen(&message)),
                Err(KafkaError::PartitionEOF(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    all
}

fn seen(message: &impl Message) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message.headers().into_iter().flat_map(|headers| {
        headers.iter().map(|one| (one.key.to_owned(), text(one.value.unwrap_or_default())))
    });
    Seen {
        key: message.key().map(text),
        value: text(message.payload().unwrap_or_default()),
        headers: headers.collect(),
    }
}
