//! Rows as JSON records in Kafka.
//!
//! `delivery = "exactly-once"`: rows are encoded and kept until the commit, whose transaction makes
//! them visible together with the input positions (`CommitInfo::outgoing`). `"at-least-once"`:
//! records leave as they are made, and a commit waits until all have arrived.
//!
//! A record that no broker would ever take is refused here, before it can hold up a commit: one
//! that is longer than its topic allows, or whose topic does not exist.

mod columns;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::columns::Columns;
use super::discard::rows;
use super::file::Encoders;
use super::{CommitInfo, Delivery, RefusedRow, Sink, SinkError, SinkInput, SinkSummary};
use crate::config::model::{self, FileFormat, KafkaTopic};
use crate::kafka::{Outgoing, Topic, Topics, Writer};

/// Writes rows to topics.
pub struct KafkaSink {
    encoders: Encoders,
    columns: Vec<(String, Columns)>,
    /// The topic of all rows; none when a column names it.
    fixed: Option<Topic>,
    topics: Topics,
    way: Way,
    /// Lines of the batch at hand.
    lines: Vec<u8>,
    refused: Vec<RefusedRow>,
    pending: SinkSummary,
    committed: SinkSummary,
}

/// How records leave.
enum Way {
    /// With the commit.
    Kept(Outgoing),
    /// At once.
    AtOnce(Box<Writer>),
}

impl KafkaSink {
    /// Connects and checks that the topic is there.
    ///
    /// # Errors
    /// When the cluster or the topic cannot be used, or a column has no text form.
    pub fn open(config: &model::KafkaSink, inputs: &[SinkInput]) -> Result<Self, SinkError> {
        let writer = Writer::new(&config.connection, config.compression)?;
        let mut topics = Topics::connect(&config.connection, &writer)?;
        let (fixed, topic_column) = match &config.topic {
            KafkaTopic::Fixed(name) => (Some(topics.require(&name.value)?), None),
            KafkaTopic::Column(column) => (None, Some(column.value.as_str())),
        };
        let key: Vec<&str> = config.key.iter().map(|name| name.value.as_str()).collect();
        let of = |input: &SinkInput| {
            (input.node.clone(), Columns::find(&input.schema, &key, topic_column))
        };
        let way = match config.delivery {
            model::Delivery::ExactlyOnce { .. } => Way::Kept(Outgoing::default()),
            model::Delivery::AtLeastOnce => Way::AtOnce(Box::new(writer)),
        };
        Ok(Self {
            encoders: Encoders::new(FileFormat::Jsonl, inputs)?,
            columns: inputs.iter().map(of).collect(),
            fixed,
            topics,
            way,
            lines: Vec::new(),
            refused: Vec::new(),
            pending: SinkSummary::default(),
            committed: SinkSummary::default(),
        })
    }
}

impl Sink for KafkaSink {
    fn write(&mut self, input: &Delivery<'_>) -> Result<(), SinkError> {
        self.lines.clear();
        self.encoders.encode(input, &mut self.lines)?;
        let columns = self.columns.iter().find(|(node, _)| node == input.node);
        let Some((_, columns)) = columns else {
            return Err(SinkError::UnknownInput { node: input.node.to_owned() });
        };
        let batch = columns.of_batch(input.batch)?;
        let mut outgoing = match &mut self.way {
            Way::Kept(outgoing) => std::mem::take(outgoing),
            Way::AtOnce(_) => Outgoing::default(),
        };
        let (mut key, mut headers) = (Vec::new(), Vec::new());
        // A newline within a text is written as `\n`, so that each line is one row.
        for (row, line) in self.lines.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let topic = match &self.fixed {
                Some(topic) => Some(topic.clone()),
                None => batch.topic(row).map_or(Ok(None), |name| self.topics.find(name))?,
            };
            let Some(topic) = topic else {
                let detail = match batch.topic(row) {
                    Some(name) => format!("there is no topic {name:?}"),
                    None => "the row names no topic".into(),
                };
                self.refused.push(RefusedRow::new(line, "unknown_topic", detail));
                continue;
            };
            key.clear();
            let has_key = batch.key(row, &mut key);
            batch.headers(row, &mut headers);
            let length = line.len()
                + if has_key { key.len() } else { 0 }
                + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
            if length > topic.limit {
                let detail =
                    format!("{length} bytes; topic `{}` takes {}", topic.name, topic.limit);
                self.refused.push(RefusedRow::new(line, "record_too_large", detail));
                continue;
            }
            outgoing.push(&topic.name, has_key.then_some(&*key), line, &headers);
            self.pending.rows += 1;
            self.pending.bytes += rows(length);
        }
        match &mut self.way {
            Way::Kept(kept) => *kept = outgoing,
            Way::AtOnce(writer) => {
                for record in outgoing.iter() {
                    writer.send(&record)?;
                }
            }
        }
        Ok(())
    }

    fn waiting_bytes(&self) -> usize {
        match &self.way {
            Way::Kept(outgoing) => outgoing.bytes(),
            Way::AtOnce(_) => 0,
        }
    }

    fn take_refused(&mut self) -> Vec<RefusedRow> {
        std::mem::take(&mut self.refused)
    }

    fn commit(&mut self, _now_us: i64) -> Result<CommitInfo, SinkError> {
        self.topics.forget();
        let pending = std::mem::take(&mut self.pending);
        self.committed.rows += pending.rows;
        self.committed.bytes += pending.bytes;
        let mut info =
            CommitInfo { rows: pending.rows, bytes: pending.bytes, ..CommitInfo::default() };
        match &mut self.way {
            Way::Kept(outgoing) => info.outgoing = Some(std::mem::take(outgoing)),
            Way::AtOnce(writer) => {
                let arrived = writer.arrived();
                info.before = Some(Box::new(move || Ok(arrived()?)));
            }
        }
        Ok(info)
    }

    fn abort(&mut self) -> Result<(), SinkError> {
        self.pending = SinkSummary::default();
        self.refused.clear();
        match &mut self.way {
            Way::Kept(outgoing) => *outgoing = Outgoing::default(),
            // What has left cannot be taken back; it comes again.
            Way::AtOnce(writer) => writer.forget()?,
        }
        Ok(())
    }

    fn close(&mut self, _now_us: i64) -> Result<SinkSummary, SinkError> {
        self.pending = SinkSummary::default();
        if let Way::AtOnce(writer) = &self.way {
            // What has left must arrive: the last commits were waited for, or it is not known.
            writer.arrived()()?;
        }
        Ok(self.committed)
    }
}

/// A header's name.
type Name = Arc<str>;
