//! What the benches on Kafka need beside the engine: topics are filled, and records are sent when
//! they are due and met again in another topic.
//!
//! `load` and `keys` fill topics. `latency` prints one JSON object. Topics are created by whoever
//! calls. All clients of a measurement are one process, so that there is one clock.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

mod latency;

/// Clients for the benches on Kafka.
#[derive(Parser)]
struct Cli {
    /// Where clients connect.
    brokers: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes the lines of a file into a topic, in turn to its partitions.
    Load {
        /// The topic.
        topic: String,
        /// How many partitions it has.
        partitions: u32,
        /// The file.
        file: PathBuf,
    },
    /// Writes records, each with a `user` of its own, to partition 0.
    Keys {
        /// The topic.
        topic: String,
        /// How many.
        count: u64,
    },
    /// Sends records to one topic when they are due, and says when they are seen in another.
    Latency(latency::Options),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Command::Load { topic, partitions, file } => load(&cli.brokers, &topic, partitions, &file),
        Command::Keys { topic, count } => keys(&cli.brokers, &topic, count),
        Command::Latency(options) => latency::measure(&cli.brokers, &options),
    }
}

fn load(brokers: &str, topic: &str, partitions: u32, file: &Path) -> Result<()> {
    let producer = bulk(brokers)?;
    let file = File::open(file).with_context(|| format!("read {}", file.display()))?;
    let partitions = i32::try_from(partitions.max(1))?;
    for (partition, line) in (0..partitions).cycle().zip(BufReader::new(file).lines()) {
        send(&producer, topic, partition, line?.as_bytes())?;
    }
    producer.flush(Duration::from_secs(120)).context("write the last records")
}

fn keys(brokers: &str, topic: &str, count: u64) -> Result<()> {
    let producer = bulk(brokers)?;
    for number in 0..count {
        let record = format!(r#"{{"due":0,"user":"u{number:07}"}}"#);
        send(&producer, topic, 0, record.as_bytes())?;
    }
    producer.flush(Duration::from_secs(120)).context("write the last records")
}

fn bulk(brokers: &str) -> Result<BaseProducer> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .create()
        .context("make a producer")
}

/// Hands a record to librdkafka; waits while its queue is full.
fn send(producer: &BaseProducer, topic: &str, partition: i32, payload: &[u8]) -> Result<()> {
    let mut record: BaseRecord<'_, [u8], [u8]> =
        BaseRecord::to(topic).partition(partition).payload(payload);
    while let Err((error, back)) = producer.send(record) {
        match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => record = back,
            error => bail!("cannot write to {topic}: {error}"),
        }
        producer.poll(Duration::from_millis(5));
    }
    Ok(())
}
