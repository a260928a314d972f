//! Latency in an open loop.
//!
//! Record `n` is due `n / rate` after the start, whether or not the ones before it have come out, and
//! its latency counts from that moment: a sender that falls behind, or a pipeline that stops for a
//! while, makes every record late that was due meanwhile. A record has arrived when a consumer that
//! reads committed records only is given it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

/// What to send, and where it comes out.
#[derive(Args)]
pub struct Options {
    /// The topic that is written, in turn to its partitions.
    input: String,
    /// How many partitions it has.
    partitions: u32,
    /// The topic that is read; it has one partition and is empty.
    output: String,
    /// Records a second.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Seconds before the ones that count.
    #[arg(long, default_value_t = 3)]
    warm_up: u64,
    /// Seconds that count.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// How long the last records may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What follows `due` in a record: with it, 207 bytes.
const FILLER: &str = "GET /api/v1/items/3512 200 request served by svc-012 in 245.090 ms to 10.21.222.251, 9687 bytes, nothing in the cache, one retry, two reads and a write, region north-2, zone c";

/// The clock of one measurement.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn elapsed_us(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A record that came out.
struct Arrival {
    due_us: u64,
    arrived_us: u64,
}

/// Sends, receives, and prints one JSON object: percentiles of the latency and the largest gap
/// between two arrivals, in ms, of the records that count.
pub fn measure(brokers: &str, options: &Options) -> Result<()> {
    let consumer = consumer(brokers, &options.output)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "1")
        .create()
        .context("make a producer")?;
    let records = options.rate * (options.warm_up + options.seconds);
    let clock = Clock::start();
    let arrivals = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&producer, options, records, clock));
        let arrivals = receive(&consumer, records, clock);
        sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        arrivals
    })?;
    println!("{}", summary(&arrivals, options)?);
    Ok(())
}

fn consumer(brokers: &str, topic: &str) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bench-latency")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .create()
        .context("make a consumer")?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&list)?;
    Ok(consumer)
}

/// Sends every record when it is due, or as soon after as this thread runs.
fn send(producer: &BaseProducer, options: &Options, records: u64, clock: Clock) -> Result<()> {
    let due_us = |number: u64| number * 1_000_000 / options.rate;
    let partitions = u64::from(options.partitions.max(1));
    let mut number = 0;
    while number < records {
        let now_us = clock.elapsed_us();
        while number < records && due_us(number) <= now_us {
            let partition = i32::try_from(number % partitions)?;
            let due_us = due_us(number);
            let record = format!(r#"{{"due":{due_us},"user":"probe","text":"{FILLER}"}}"#);
            crate::send(producer, &options.input, partition, record.as_bytes())?;
            number += 1;
        }
        producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_micros(due_us(number).saturating_sub(now_us).min(1000)));
    }
    producer.flush(PATIENCE).context("write the last records")
}

/// Takes what comes out until all has.
fn receive(consumer: &BaseConsumer, records: u64, clock: Clock) -> Result<Vec<Arrival>> {
    let mut arrivals = Vec::with_capacity(usize::try_from(records)?);
    for number in 0..records {
        let message = consumer
            .poll(PATIENCE)
            .with_context(|| format!("{number} of {records} records came out, then none"))??;
        let arrived_us = clock.elapsed_us();
        let row: Value = serde_json::from_slice(message.payload().context("an empty record")?)?;
        let due = row.get("due").and_then(Value::as_u64);
        let due_us = due.context("a row without `due`")?;
        arrivals.push(Arrival { due_us, arrived_us });
    }
    Ok(arrivals)
}

fn summary(arrivals: &[Arrival], options: &Options) -> Result<Value> {
    // Each record is due at another time, so this tells lost and doubled ones.
    let mut due: Vec<u64> = arrivals.iter().map(|arrival| arrival.due_us).collect();
    due.sort_unstable();
    due.dedup();
    ensure!(due.len() == arrivals.len(), "records came out twice");
    let from_us = options.warm_up * 1_000_000;
    let counting: Vec<&Arrival> =
        arrivals.iter().filter(|arrival| arrival.due_us >= from_us).collect();
    let mut latencies: Vec<u64> =
        counting.iter().map(|arrival| arrival.arrived_us.saturating_sub(arrival.due_us)).collect();
    latencies.sort_unstable();
    let at = |share: usize| {
        let index = (latencies.len() * share / 1000).min(latencies.len().saturating_sub(1));
        latencies.get(index).copied().map(milliseconds)
    };
    let gaps = counting.iter().zip(counting.iter().skip(1));
    let gap = gaps.max_by_key(|(one, next)| next.arrived_us.saturating_sub(one.arrived_us));
    let (one, next) = gap.context("no two records count")?;
    Ok(json!({
        "records": counting.len(), "p50_ms": at(500), "p99_ms": at(990), "max_ms": at(1000),
        "gap_ms": milliseconds(next.arrived_us.saturating_sub(one.arrived_us)),
        // After the start, so that one sees whether it was the commit's.
        "gap_at_s": next.arrived_us / 1_000_000,
    }))
}

fn milliseconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1e3
}
