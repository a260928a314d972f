//! The input: rows in disorder, late rows, poison, and records of aborted transactions between them.

use anyhow::{Result, bail};
use serde_json::json;

use crate::client::Topics;
use crate::random::Random;

/// Partitions of an input topic.
pub const PARTITIONS: i32 = 4;

/// Where event time starts: 2025-09-01, in milliseconds.
const START_MS: i64 = 1_756_684_800_000;

/// Records written in one transaction.
const BATCH: usize = 250;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Event time, milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// The key.
    pub key: String,
    /// Its number, unique in the load.
    pub seq: i64,
    /// The value that is summed.
    pub value: i64,
}

/// What a topic holds.
#[derive(Clone, Debug)]
pub struct Load {
    /// The topic.
    pub topic: String,
    /// The rows of each partition in order; none where the record is poison.
    pub partitions: Vec<Vec<Option<Row>>>,
}

impl Load {
    /// Makes a load and writes it to a new topic.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub fn write(topics: &Topics, topic: &str, seed: u64, rows: usize) -> Result<Self> {
        topics.create(topic, PARTITIONS)?;
        let mut random = Random::new(seed);
        let mut seq = 0;
        let mut partitions = Vec::new();
        for partition in 0..PARTITIONS {
            let mut all = Vec::with_capacity(rows);
            // One partition is ahead of the others, one behind.
            let mut now_ms = START_MS + 2_000 * i64::from(partition);
            let mut producer = topics.transactions(&format!("load-{topic}-{partition}"))?;
            let mut batch = Vec::new();
            for number in 0..rows {
                now_ms += i64::try_from(random.between(5, 45))?;
                let early_ms = match random.below(100) {
                    0..70 => 0,
                    70..97 => i64::try_from(random.below(3_000))?,
                    _ => i64::try_from(random.between(8_000, 40_000))?,
                };
                seq += 1;
                let row = Row {
                    time_ms: now_ms - early_ms,
                    key: format!("key-{}", random.below(12)),
                    seq,
                    value: i64::try_from(random.below(1_000))?,
                };
                let poison = random.below(150) == 0;
                batch.push(if poison { poison_text(&row, &mut random) } else { text(&row) });
                all.push((!poison).then_some(row));
                if batch.len() == BATCH || number + 1 == rows {
                    producer.commit(topic, partition, &std::mem::take(&mut batch))?;
                    // Nobody must ever see these.
                    let ghost = |n: i64| {
                        let key = format!("key-{n}");
                        text(&Row { time_ms: now_ms + 600_000, key, seq: -n, value: 1_000_000 })
                    };
                    producer.abort(topic, partition, &(1..20).map(ghost).collect::<Vec<_>>())?;
                }
            }
            partitions.push(all);
        }
        let load = Self { topic: topic.to_owned(), partitions };
        load.read_back(topics)?;
        Ok(load)
    }

    /// Makes sure that the topic shows what was committed and nothing else, before any run is judged
    /// by it: a delayed answer to one transaction can end another (KIP-890).
    fn read_back(&self, topics: &Topics) -> Result<()> {
        let written = self.partitions.iter().map(Vec::len).sum::<usize>();
        let seen = topics.read(&self.topic)?.len();
        if seen == written {
            return Ok(());
        }
        let topic = &self.topic;
        bail!("{topic} shows {seen} records of {written}: its own transactions went wrong")
    }
}

fn text(row: &Row) -> String {
    json!({ "ts": row.time_ms, "key": row.key, "seq": row.seq, "v": row.value }).to_string()
}

fn poison_text(row: &Row, random: &mut Random) -> String {
    let whole = text(row);
    match random.below(4) {
        0 => whole.get(..whole.len() / 2).unwrap_or_default().to_owned(),
        1 => String::new(),
        2 => json!({ "ts": "not a time", "key": row.key, "seq": row.seq, "v": row.value })
            .to_string(),
        _ => json!({ "key": row.key, "seq": row.seq, "v": "nine" }).to_string(),
    }
}
