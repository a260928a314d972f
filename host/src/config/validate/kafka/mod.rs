//! Kafka sources and sinks.

mod connection;
mod whole;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;

use super::keys::{Context, Owner, given};
use crate::config::model::{self, Delivery, KafkaTopic, KafkaTopics, Located, StartOffset};
use crate::config::units::format_duration_us;
use crate::config::wire::{self, Entries, Field, Key};
use crate::diag::Diagnostic;
use crate::kafka::settings::{self, Role};
use crate::time::parse_timestamp_us;

const DEFAULT_MAX_RECORD: usize = 1 << 20;
const DEFAULT_DISCOVER_US: i64 = 30_000_000;
const DEFAULT_TRANSACTION_US: i64 = 15_000_000;

/// Brokers refuse longer transactions unless told otherwise (`transaction.max.timeout.ms`).
const LONGEST_TRANSACTION_US: i64 = 15 * 60 * 1_000_000;

/// Brokers refuse longer names.
const LONGEST_TOPIC: usize = 249;

type Typed<T> = Option<Option<T>>;

impl Context<'_> {
    pub fn kafka_source(
        &mut self,
        typed: wire::KafkaSource,
        owner: &Owner,
    ) -> Option<model::KafkaSource> {
        let connection =
            self.connection(typed.brokers, typed.security, typed.properties, Role::Source, owner);
        let topics = self.topics(typed.topics, typed.topic_pattern, owner);
        let start = match typed.start_offset {
            None => Some(StartOffset::Earliest),
            key => given(key).and_then(|start| self.start_offset(start, owner)),
        };
        let bounded = match typed.end_offset {
            None => Some(false),
            Some(field) => field.value.map(|wire::EndOffset::Latest| true),
        };
        let group = self.default_name(typed.group, "group");
        let fail_on_data_loss = self.or(typed.fail_on_data_loss, true);
        let max_record =
            self.memory(typed.max_record, "max_record", 1..=1 << 30, DEFAULT_MAX_RECORD);
        let limited = typed.max_rows_per_epoch.is_some();
        let rows =
            self.count(typed.max_rows_per_epoch, "max_rows_per_epoch", 1..=i64::MAX, usize::MAX);
        let discover = self.duration_or(
            typed.discover_interval,
            "discover_interval",
            100_000,
            DEFAULT_DISCOVER_US,
        );
        Some(model::KafkaSource {
            connection: connection?,
            topics: topics?,
            group: group?,
            start: start?,
            bounded: bounded?,
            fail_on_data_loss: fail_on_data_loss?,
            max_record_bytes: max_record?,
            max_rows_per_epoch: rows.map(|rows| limited.then_some(rows))?,
            discover_us: discover?,
        })
    }

    pub fn kafka_sink(
        &mut self,
        typed: wire::KafkaSink,
        owner: &Owner,
    ) -> Option<model::KafkaSink> {
        let connection =
            self.connection(typed.brokers, typed.security, typed.properties, Role::Sink, owner);
        let spans = [("topic", span(&typed.topic)), ("topic_column", span(&typed.topic_column))];
        let alone = self.at_most_one(owner, &spans);
        let topic = if typed.topic_column.is_some() {
            given(typed.topic_column)
                .and_then(|column| self.filled("topic_column", column))
                .map(KafkaTopic::Column)
        } else {
            self.required(typed.topic, "topic", "topic = \"alerts\"", owner)
                .and_then(|topic| self.topic_name(topic))
                .map(KafkaTopic::Fixed)
        };
        let key = match typed.key {
            None => Some(Vec::new()),
            list => given(list).and_then(|list| self.names("key column", list.value)),
        };
        let exactly = typed.delivery.as_ref().map_or(Some(self.keeps_state), |field| {
            field.value.map(|delivery| delivery == wire::Delivery::ExactlyOnce)
        });
        let mut fits = Some(());
        if exactly == Some(true) && !self.keeps_state {
            let at = typed.delivery.map_or(owner.span.clone(), |field| field.span);
            self.push(
                Diagnostic::error("exactly once needs `[state]`, which this pipeline has not")
                    .at(at)
                    .label("a restart would not know what has been written")
                    .help("add a table: [state] with path = \"state\"")
                    .help("or set delivery = \"at-least-once\""),
            );
            fits = None;
        }
        if exactly == Some(false) {
            let (why, help) = ("at least once", "there is no transaction; remove it");
            let id = self.refuse(&typed.transactional_id, "transactional_id", why, help);
            let timeout = self.refuse(&typed.transaction_timeout, "transaction_timeout", why, help);
            fits = fits.and(id).and(timeout);
        }
        let transactional_id = self.default_name(typed.transactional_id, "transactional_id");
        let timeout = self.transaction_timeout(typed.transaction_timeout);
        let compression = match self.or(typed.compression, wire::Compression::None)? {
            wire::Compression::None => "none",
            wire::Compression::Gzip => "gzip",
            wire::Compression::Snappy => "snappy",
            wire::Compression::Lz4 => "lz4",
            wire::Compression::Zstd => "zstd",
        };
        fits?;
        let (transactional_id, timeout_us) = (transactional_id?, timeout?);
        let delivery = if exactly? {
            Delivery::ExactlyOnce { transactional_id, timeout_us }
        } else {
            Delivery::AtLeastOnce
        };
        let (connection, topic, key) = (connection?, topic?, key?);
        alone.then_some(model::KafkaSink { connection, topic, key, delivery, compression })
    }

    fn transaction_timeout(&mut self, key: Key<wire::Duration>) -> Option<i64> {
        let at = span(&key);
        let us = self.duration_or(key, "transaction_timeout", 1_000_000, DEFAULT_TRANSACTION_US)?;
        if us <= LONGEST_TRANSACTION_US {
            return Some(us);
        }
        self.push(
            Diagnostic::error(format!(
                "`transaction_timeout` is out of range: {}",
                format_duration_us(us)
            ))
            .at(at.unwrap_or_default())
            .label("must be at most 15m, which brokers allow"),
        );
        None
    }

    fn topics(
        &mut self,
        topics: Key<Vec<Field<String>>>,
        pattern: Key<String>,
        owner: &Owner,
    ) -> Option<KafkaTopics> {
        let spans = [("topics", span(&topics)), ("topic_pattern", span(&pattern))];
        let alone = self.at_most_one(owner, &spans);
        let found = if pattern.is_some() {
            let pattern = given(pattern)?;
            if let Err(error) = settings::topic_pattern(&pattern.value) {
                self.push(
                    Diagnostic::error("`topic_pattern` is not a regular expression")
                        .at(pattern.span)
                        .label(error)
                        .help("write for example \"logs-.*\"; it must match the whole name"),
                );
                return None;
            }
            KafkaTopics::Pattern(pattern)
        } else {
            let list = self.required(topics, "topics", "topics = [\"logs\"]", owner)?;
            if list.value.is_empty() {
                self.push(
                    Diagnostic::error("`topics` is empty").at(list.span).help("name a topic"),
                );
                return None;
            }
            let names = self.names("topic", list.value)?;
            let count = names.len();
            let good: Vec<_> = names.into_iter().filter_map(|name| self.topic_name(name)).collect();
            (good.len() == count).then_some(KafkaTopics::Named(good))?
        };
        alone.then_some(found)
    }

    fn topic_name(&mut self, name: Located<String>) -> Option<Located<String>> {
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let text = &name.value;
        let long = text.len() > LONGEST_TOPIC;
        if text.is_empty() || long || !text.chars().all(letter) || text == "." || text == ".." {
            self.push(
                Diagnostic::error(format!("{text:?} is not the name of a topic"))
                    .at(name.span)
                    .help("topics are made of up to 249 letters a-z and A-Z, digits, `.`, `_` and `-`"),
            );
            return None;
        }
        Some(name)
    }

    fn start_offset(
        &mut self,
        typed: Located<wire::StartOffset>,
        owner: &Owner,
    ) -> Option<StartOffset> {
        let place = match typed.value {
            wire::StartOffset::Word(wire::StartWord::Earliest) => {
                return Some(StartOffset::Earliest);
            }
            wire::StartOffset::Word(wire::StartWord::Latest) => return Some(StartOffset::Latest),
            wire::StartOffset::Word(wire::StartWord::Committed) => {
                return Some(StartOffset::Committed);
            }
            wire::StartOffset::Place(place) => place,
        };
        let owner = owner.inner("start_offset", &typed.span);
        let spans = [("timestamp", span(&place.timestamp)), ("offsets", span(&place.offsets))];
        let alone = self.at_most_one(&owner, &spans);
        let start = if place.offsets.is_some() {
            self.offsets(given(place.offsets)?.value)?
        } else {
            let example = "timestamp = \"2025-01-01T00:00:00Z\"";
            let text = self.required(place.timestamp, "timestamp", example, &owner)?;
            match parse_timestamp_us(&text.value) {
                Ok(us) => StartOffset::Timestamp(us),
                Err(error) => {
                    self.push(
                        Diagnostic::error(format!("`timestamp`: {error}"))
                            .at(text.span)
                            .help("write a time as \"2025-01-01T00:00:00Z\""),
                    );
                    return None;
                }
            }
        };
        alone.then_some(start)
    }

    fn offsets(&mut self, entries: Entries<i64>) -> Option<StartOffset> {
        let mut offsets = Some(BTreeMap::new());
        for (name, field) in entries.0 {
            let place = name.text.rsplit_once(':').and_then(|(topic, partition)| {
                let partition = partition.parse::<i32>().ok().filter(|number| *number >= 0)?;
                (!topic.is_empty()).then(|| (topic.to_owned(), partition))
            });
            let Some(place) = place else {
                self.push(
                    Diagnostic::error(format!("{:?} is not a partition", name.text))
                        .at(name.span)
                        .help("write \"topic:partition\", for example \"logs:0\" = 1200"),
                );
                offsets = None;
                continue;
            };
            let fault = match field.value {
                None => Some(None),
                Some(offset) if offset < 0 => Some(Some(offset)),
                Some(_) => None,
            };
            if let Some(negative) = fault {
                if let Some(offset) = negative {
                    self.push(
                        Diagnostic::error(format!("offset {offset} is out of range"))
                            .at(field.span)
                            .label("must be at least 0"),
                    );
                }
                offsets = None;
                continue;
            }
            if let (Some(all), Some(offset)) = (&mut offsets, field.value) {
                all.insert(place, offset);
            }
        }
        offsets.map(StartOffset::Offsets)
    }

    fn filled(&mut self, name: &str, text: Located<String>) -> Option<Located<String>> {
        if text.value.is_empty() {
            self.push(Diagnostic::error(format!("`{name}` is empty")).at(text.span));
            return None;
        }
        Some(text)
    }

    /// Asks for a name whose default is made from the pipeline's.
    fn default_name(&mut self, key: Key<String>, name: &str) -> Option<String> {
        if key.is_none() {
            return Some(format!("millstream-{}", self.pipeline));
        }
        let text = given(key)?;
        self.filled(name, text).map(|text| text.value)
    }
}

fn span<T>(key: &Key<T>) -> Option<Range<usize>> {
    key.as_ref().map(|field| field.span.clone())
}
