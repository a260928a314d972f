//! Looks at a cluster before a pipeline runs: are the brokers there, the topics, the rights.
//!
//! Nothing is written, and nobody is shut out.

use std::time::Duration;

use rdkafka::producer::Producer as _;

use super::client::{self, CONNECT_PATIENCE, failed, first_answer};
use super::error::KafkaError;
use super::native::{Batch, Item};
use super::produce::Writer;
use super::reader::{Moment, Reader, TopicFilter, TopicPartition};
use super::topics::{Topics, serve};
use super::transactions::TransactionSettings;
use crate::config::model::{KafkaSink, KafkaSource, KafkaTopic};

/// How long a partition may take to say whether it may be read.
const READ: Duration = Duration::from_secs(5);

/// Returns what a source finds, one line for each thing looked at.
///
/// # Errors
/// With the first thing that is not as it must be.
pub fn source(source: &KafkaSource) -> Result<Vec<String>, KafkaError> {
    let brokers = &source.connection.brokers.value;
    let topics = TopicFilter::of(&source.topics)?;
    let reader = Reader::connect(&source.connection, &source.group, topics)?;
    let mut lines = vec![format!("brokers at {brokers} answer")];
    let partitions = reader.partitions()?;
    let first = reader.offsets(&partitions, Moment::First)?;
    let end = reader.offsets(&partitions, Moment::End)?;
    let at: Vec<(TopicPartition, i64)> =
        partitions.iter().cloned().zip(end.iter().copied()).collect();
    let mut topics: Vec<&str> = partitions.iter().map(|one| &*one.topic).collect();
    topics.dedup();
    for topic in topics {
        let of = partitions.iter().zip(first.iter().zip(&end)).filter(|(p, _)| *p.topic == *topic);
        let (count, offsets) = of.fold((0_u64, 0_i64), |(count, offsets), (_, (first, end))| {
            (count + 1, offsets.saturating_add(end.saturating_sub(*first)))
        });
        if let Some(one) = at.iter().find(|(partition, _)| *partition.topic == *topic) {
            may_read(&reader, one)?;
        }
        let s = if count == 1 { "" } else { "s" };
        lines.push(format!("topic {topic}: {count} partition{s}, {offsets} offsets, may be read"));
    }
    let committed = reader.committed(&partitions)?;
    let known = committed.iter().flatten().count();
    lines.push(format!(
        "group {}: has offsets for {known} of {} partitions",
        source.group,
        partitions.len()
    ));
    Ok(lines)
}

/// Asks for records at a partition's end: what comes back tells whether we may read it.
fn may_read(reader: &Reader, at: &(TopicPartition, i64)) -> Result<(), KafkaError> {
    let mut batch = Batch::default();
    for queue in reader.assign(std::slice::from_ref(at))? {
        queue.fill(&mut batch, 1, READ);
        let fault = match batch.peek() {
            Some(Item::Failed(fault)) => fault.judge(&at.0),
            Some(Item::Record { .. } | Item::End { .. }) => None,
            None => Some(KafkaError::Failed {
                action: format!("read {}", at.0),
                what: format!("nothing came within {} seconds", READ.as_secs()),
            }),
        };
        batch.clear();
        fault.map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// Returns what a sink finds, one line for each thing looked at.
///
/// # Errors
/// With the first thing that is not as it must be.
pub fn sink(sink: &KafkaSink) -> Result<Vec<String>, KafkaError> {
    let writer = Writer::new(&sink.connection, sink.compression)?;
    let mut topics = Topics::connect(&sink.connection, &writer)?;
    let mut lines = vec![format!("brokers at {} answer", sink.connection.brokers.value)];
    match &sink.topic {
        KafkaTopic::Fixed(name) => {
            let topic = topics.require(&name.value)?;
            lines.push(format!("topic {}: takes records of {} bytes", topic.name, topic.limit));
        }
        KafkaTopic::Column(column) => {
            lines.push(format!("topics: each row names its own, in column {}", column.value));
        }
    }
    Ok(lines)
}

/// Returns whether transactions work. An id of its own is used, so that a pipeline that runs is
/// not shut out.
///
/// # Errors
/// When the brokers refuse transactions.
pub fn transactions(settings: &TransactionSettings) -> Result<String, KafkaError> {
    let id = format!("{}-check", settings.transactional_id);
    let config = client::config(&settings.connection)?;
    let producer = client::producer(config, settings.compression, Some((&id, settings.timeout)))?;
    first_answer(
        &settings.connection.brokers.value,
        producer.client().context(),
        CONNECT_PATIENCE,
        |wait| producer.client().fetch_metadata(Some("millstream"), wait),
        || serve(&producer),
    )?;
    producer
        .init_transactions(CONNECT_PATIENCE)
        .map_err(|error| failed(format!("begin transactions as `{id}`"), &error))?;
    Ok(format!(
        "transactions work (tried as {id}); the pipeline's are {}",
        settings.transactional_id
    ))
}
