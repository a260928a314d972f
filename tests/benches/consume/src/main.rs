//! `millstream-bench-consume <records> <runs>`: the Kafka source against librdkafka's own batch
//! consumer, over the same topic with two partitions, records of 207 bytes.
//!
//! Prints a JSON array of the source's CPU time as a multiple of librdkafka's, one a run. CPU time is
//! that of the whole process, librdkafka's threads included; both read from the first record to the
//! last. The baseline adds up the lengths of the payloads and frees them; the source frames them
//! into chunks, with offsets, in exact budgets.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use millstream::config::model::{
    KafkaConnection, KafkaSource, KafkaTopics, Located, SourceKind, StartOffset,
};
use millstream::data::SourceId;
use millstream::sources::{self, ReadBudget, ReadOutput, ReadState};
use millstream_broker::{Broker, Settings, install, request};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rustix::time::{ClockId, clock_gettime};

mod plain;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOPIC: &str = "consume";
const PARTITIONS: i32 = 2;
const RECORD: usize = 207;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [records, runs] = arguments.as_slice() else {
        bail!("usage: millstream-bench-consume <records> <runs>");
    };
    let (records, runs): (u64, usize) = (records.parse()?, runs.parse()?);
    // target/debug/<this>
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("a target folder")?;
    let kafka = install(&target.join("kafka"))?;
    let folder = tempfile::tempdir_in(target)?;
    let broker = Broker::start(&kafka, Settings::free(folder.path())?)?;
    fill(&broker.address(), records)?;
    let mut ratios = Vec::with_capacity(runs);
    for run in 0..=runs {
        let (plain, ours) = (
            measure(|| plain::read(&broker.address(), TOPIC, PARTITIONS, records))?,
            measure(|| source(&broker.address(), records))?,
        );
        let ns = |cpu: Duration| cpu.as_secs_f64() * 1e9 / records as f64;
        eprintln!("librdkafka {:.0} ns, source {:.0} ns CPU a record", ns(plain), ns(ours));
        // The first warms the broker up.
        if run > 0 {
            ratios.push(ours.as_secs_f64() / plain.as_secs_f64());
        }
    }
    println!("{}", serde_json::to_string(&ratios)?);
    Ok(())
}

/// Returns the CPU time of the whole process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0))
}

fn measure(work: impl Fn() -> Result<()>) -> Result<Duration> {
    let before = cpu();
    work()?;
    Ok(cpu().saturating_sub(before))
}

fn fill(brokers: &str, records: u64) -> Result<()> {
    request::create_topic(brokers, TOPIC, PARTITIONS)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .create()?;
    let mut payload = vec![b'x'; RECORD];
    for number in 0..records {
        let text = number.to_string();
        payload.get_mut(..text.len()).context("a short number")?.copy_from_slice(text.as_bytes());
        let partition = i32::try_from(number % 2)?;
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(TOPIC).partition(partition).payload(&payload);
        while let Err((error, back)) = producer.send(record) {
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => record = back,
                error => bail!("{error}"),
            }
            producer.poll(Duration::from_millis(1));
        }
    }
    producer.flush(Duration::from_secs(60))?;
    Ok(())
}

/// Reads all records through the source, as the engine would.
fn source(brokers: &str, records: u64) -> Result<()> {
    let located = |text: &str| Located { value: text.to_owned(), span: 0..0 };
    let settings = KafkaSource {
        connection: KafkaConnection {
            brokers: located(brokers),
            tls: None,
            sasl: None,
            properties: Vec::new(),
        },
        topics: KafkaTopics::Named(vec![located(TOPIC)]),
        group: "bench".into(),
        start: StartOffset::Earliest,
        bounded: true,
        fail_on_data_loss: true,
        max_record_bytes: 1 << 20,
        max_rows_per_epoch: None,
        discover_us: 30_000_000,
    };
    let kind = SourceKind::Kafka(Box::new(settings));
    let mut source = sources::open(&kind, SourceId(0), Path::new(""), None)?;
    let budget = ReadBudget {
        rows: 2 * 8192,
        bytes: 8 << 20,
        chunk_rows: 8192,
        wait: Duration::from_millis(20),
    };
    let (mut out, mut rows, mut bytes) = (ReadOutput::default(), 0, 0);
    loop {
        let state = source.read(&budget, 0, &mut out)?;
        rows += out.rows;
        bytes += out.bytes;
        out.clear();
        if state == ReadState::Ended {
            break;
        }
    }
    ensure!(u64::try_from(rows)? == records && bytes == rows * RECORD, "{rows} rows came");
    Ok(())
}
