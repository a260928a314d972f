//! Kafka sources and sinks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::Value;

use super::keys::{Context, Owner, given};
use crate::config::model::{
    self, Delivery, KafkaConnection, KafkaTopic, KafkaTopics, Located, Property, Sasl, Secret,
    SinkKind, SourceKind, StartOffset, Tls,
};
use crate::config::wire::{self, Entries, Field, Json, Key};
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
        let timeout =
            self.duration(typed.transaction_timeout, "transaction_timeout", 1_000_000).and_then(
                |given| self.transaction_timeout(given.unwrap_or(DEFAULT_TRANSACTION_US), owner),
            );
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

    fn transaction_timeout(&mut self, us: i64, owner: &Owner) -> Option<i64> {
        if us <= LONGEST_TRANSACTION_US {
            return Some(us);
        }
        self.push(
            Diagnostic::error(format!("`transaction_timeout` is too long in `{}`", owner.path))
                .at(owner.span.clone())
                .help("brokers allow at most 15 minutes"),
        );
        None
    }

    fn connection(
        &mut self,
        brokers: Key<String>,
        security: Key<wire::Security>,
        properties: Key<Entries<Json>>,
        role: Role,
        owner: &Owner,
    ) -> Option<KafkaConnection> {
        let brokers = self
            .required(brokers, "brokers", "brokers = \"localhost:9092\"", owner)
            .and_then(|brokers| self.brokers(brokers));
        let security = match security {
            None => Some((None, None)),
            key => given(key).and_then(|field| {
                let owner = owner.inner("security", &field.span);
                self.security(field.value, &owner)
            }),
        };
        let properties = self.properties(properties, role, owner);
        let (tls, sasl) = security?;
        Some(KafkaConnection { brokers: brokers?, tls, sasl, properties: properties? })
    }

    /// Checks that each of the brokers is a host and a port.
    fn brokers(&mut self, brokers: Located<String>) -> Option<Located<String>> {
        let Located { value, span } = brokers;
        let hosts: Vec<&str> = value.split(',').map(str::trim).collect();
        let bad = hosts.iter().find(|host| {
            let port = host.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) || host.contains("://")
        });
        if let Some(bad) = bad {
            self.push(
                Diagnostic::error(format!("{bad:?} is not a broker"))
                    .at(span)
                    .label("must be a host and a port")
                    .help("write brokers = \"kafka-1:9092,kafka-2:9092\"; encryption goes into `security`"),
            );
            return None;
        }
        Some(Located { value: hosts.join(","), span })
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

    fn security(
        &mut self,
        typed: wire::Security,
        owner: &Owner,
    ) -> Option<(Option<Tls>, Option<Sasl>)> {
        let on = self.or(typed.tls, false);
        let mut fits = Some(());
        if on == Some(false) {
            let (why, help) = ("without encryption", "set tls = true");
            for refused in [
                self.refuse(&typed.ca, "ca", why, help),
                self.refuse(&typed.certificate, "certificate", why, help),
                self.refuse(&typed.key, "key", why, help),
                self.refuse(&typed.key_password, "key_password", why, help),
                self.refuse(&typed.verify, "verify", why, help),
            ] {
                fits = fits.and(refused);
            }
        }
        let ca = self.optional_path(typed.ca, "ca");
        let pair = if typed.certificate.is_some() || typed.key.is_some() {
            let certificate = self.required(
                typed.certificate,
                "certificate",
                "certificate = \"client.pem\"",
                owner,
            );
            let key = self.required(typed.key, "key", "key = \"client.key\"", owner);
            let certificate = certificate.and_then(|path| self.path("certificate", path));
            let key = key.and_then(|path| self.path("key", path));
            certificate.zip(key).map(|(certificate, key)| Some((certificate.value, key.value)))
        } else {
            Some(None)
        };
        let key_password = self.optional_secret(typed.key_password, "key_password", owner);
        let verify = self.or(typed.verify, true);
        let sasl =
            if typed.mechanism.is_some() || typed.username.is_some() || typed.password.is_some() {
                self.sasl(typed.mechanism, typed.username, typed.password, owner).map(Some)
            } else {
                Some(None)
            };
        fits?;
        let tls = Tls { ca: ca?, certificate: pair?, key_password: key_password?, verify: verify? };
        Some((on?.then_some(tls), sasl?))
    }

    fn sasl(
        &mut self,
        mechanism: Key<wire::Mechanism>,
        username: Key<String>,
        password: Key<wire::Secret>,
        owner: &Owner,
    ) -> Option<Sasl> {
        let mechanism =
            self.required(mechanism, "mechanism", "mechanism = \"SCRAM-SHA-512\"", owner);
        let username = self.required(username, "username", "username = \"millstream\"", owner);
        let example = "password = { env = \"KAFKA_PASSWORD\" }";
        let password = self.required(password, "password", example, owner).and_then(|password| {
            let owner = owner.inner("password", &password.span);
            self.secret(password.value, &owner)
        });
        Some(Sasl {
            mechanism: match mechanism?.value {
                wire::Mechanism::Plain => "PLAIN",
                wire::Mechanism::ScramSha256 => "SCRAM-SHA-256",
                wire::Mechanism::ScramSha512 => "SCRAM-SHA-512",
            },
            username: username?.value,
            password: password?,
        })
    }

    fn optional_path(&mut self, key: Key<String>, name: &str) -> Typed<PathBuf> {
        if key.is_none() {
            return Some(None);
        }
        self.path(name, given(key)?).map(|path| Some(path.value))
    }

    fn optional_secret(
        &mut self,
        key: Key<wire::Secret>,
        name: &str,
        owner: &Owner,
    ) -> Typed<Secret> {
        if key.is_none() {
            return Some(None);
        }
        let secret = given(key)?;
        self.secret(secret.value, &owner.inner(name, &secret.span)).map(Some)
    }

    fn secret(&mut self, typed: wire::Secret, owner: &Owner) -> Option<Secret> {
        let spans = [("env", span(&typed.env)), ("file", span(&typed.file))];
        let alone = self.at_most_one(owner, &spans);
        let secret = if typed.file.is_some() {
            given(typed.file)
                .and_then(|file| self.path("file", file))
                .map(|f| Secret::File(f.value))
        } else {
            let env = self.required(typed.env, "env", "env = \"KAFKA_PASSWORD\"", owner);
            env.and_then(|env| self.filled("env", env)).map(|env| Secret::Env(env.value))
        };
        secret.filter(|_| alone)
    }

    fn properties(
        &mut self,
        key: Key<Entries<Json>>,
        role: Role,
        owner: &Owner,
    ) -> Option<Vec<(String, Property)>> {
        if key.is_none() {
            return Some(Vec::new());
        }
        let field = given(key)?;
        let owner = owner.inner("properties", &field.span);
        let mut all = Some(Vec::new());
        for (name, field) in field.value.0 {
            let property = match field.value {
                Some(Json(value)) => self.property(&name.text, value, &field.span, role, &owner),
                None => None,
            };
            match (property, &mut all) {
                (Some(property), Some(all)) => all.push((name.text, property)),
                (Some(_), None) => {}
                (None, _) => all = None,
            }
        }
        all
    }

    /// Checks one setting of librdkafka: not ours to decide, known, of the right kind.
    fn property(
        &mut self,
        name: &str,
        value: Value,
        span: &Range<usize>,
        role: Role,
        owner: &Owner,
    ) -> Option<Property> {
        let place = owner.inner(&crate::config::tree::quoted(name), span);
        let text = match value {
            Value::String(text) => text,
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Object(mut table) => {
                let mut part = |key: &str| {
                    let value = table.remove(key)?;
                    let value = value.as_str().map(str::to_owned);
                    Some(Field { span: span.clone(), value })
                };
                let typed = wire::Secret { env: part("env"), file: part("file") };
                let known = table.is_empty();
                let secret = self.secret(typed, &place).filter(|_| known);
                return self.owned(name, None, span, role)?.then_some(Property::Secret(secret?));
            }
            _ => {
                self.push(
                    Diagnostic::error(format!("`{}` is not a setting's value", place.path))
                        .at(span.clone())
                        .help("write a text, a number or a boolean"),
                );
                return None;
            }
        };
        if !self.owned(name, Some(&text), span, role)? {
            return None;
        }
        if settings::is_secret(name) {
            self.push(
                Diagnostic::error(format!("`{name}` is a secret"))
                    .at(span.clone())
                    .label("must not stand in a pipeline file")
                    .help(format!(
                        "write {name:?} = {{ env = \"NAME\" }} or {{ file = \"path\" }}"
                    )),
            );
            return None;
        }
        if let Err(fault) = settings::check_property(name, &text) {
            self.push(
                Diagnostic::error(format!("librdkafka refuses `{name}`"))
                    .at(span.clone())
                    .label(fault)
                    .help("its settings: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md"),
            );
            return None;
        }
        Some(Property::Text(text))
    }

    /// Refuses settings that are ours to decide. Returns true when it is the user's.
    fn owned(
        &mut self,
        name: &str,
        value: Option<&str>,
        span: &Range<usize>,
        role: Role,
    ) -> Option<bool> {
        let Some(remedy) = settings::ours(name, value, role) else { return Some(true) };
        self.push(
            Diagnostic::error(format!("`{name}` cannot be set by `properties`"))
                .at(span.clone())
                .help(remedy),
        );
        None
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

    /// Checks what Kafka sources and sinks must have in common.
    pub fn kafka_as_a_whole(
        &mut self,
        sources: &[model::Node<model::Source>],
        sinks: &[model::Node<model::Sink>],
    ) {
        let exact: Vec<_> = sinks
            .iter()
            .filter_map(|node| match &node.config.kind {
                SinkKind::Kafka(sink) => match &sink.delivery {
                    Delivery::ExactlyOnce { transactional_id, timeout_us } => {
                        Some((node, sink, (transactional_id, *timeout_us)))
                    }
                    Delivery::AtLeastOnce => None,
                },
                _ => None,
            })
            .collect();
        let Some(((first, first_sink, first_settings), others)) = exact.split_first() else {
            return;
        };
        let cluster = first_sink.connection.cluster();
        for (node, sink, settings) in others {
            if sink.connection.cluster() != cluster {
                self.push(
                    Diagnostic::error("exactly-once sinks with different brokers")
                        .at(sink.connection.brokers.span.clone())
                        .label(format!("`{}` has {:?}", first.name, first_sink.connection.brokers.value))
                        .help("a transaction cannot span two clusters; set delivery = \"at-least-once\" for one of them, or use two pipelines"),
                );
            } else if settings != first_settings {
                self.push(
                    Diagnostic::error(
                        "exactly-once sinks with different transactional_id or transaction_timeout",
                    )
                    .at(node.span.clone())
                    .label(format!("differs from `{}`", first.name))
                    .help("a pipeline has one transaction for all its sinks; set both to the same"),
                );
            }
        }
        self.one_group(&cluster, sources);
    }

    /// All sources of the transaction's cluster commit under one group.
    fn one_group(&mut self, cluster: &str, sources: &[model::Node<model::Source>]) {
        let mut first: Option<(&str, &str)> = None;
        let mut topics: BTreeMap<&str, &str> = BTreeMap::new();
        for node in sources {
            let SourceKind::Kafka(source) = &node.config.kind else { continue };
            if source.connection.cluster() != cluster {
                continue;
            }
            let (name, group) = *first.get_or_insert((&node.name, &source.group));
            if group != source.group {
                self.push(
                    Diagnostic::error("exactly once with two groups on the same brokers")
                        .at(node.span.clone())
                        .label(format!("group {:?}, and {group:?} in `{name}`", source.group))
                        .help("set the same `group` in both"),
                );
            }
            let KafkaTopics::Named(named) = &source.topics else { continue };
            for topic in named {
                if let Some(other) = topics.insert(&topic.value, &node.name) {
                    self.push(
                        Diagnostic::error(format!("topic `{}` is read twice", topic.value))
                            .at(topic.span.clone())
                            .label(format!("also read by `{other}`"))
                            .help("exactly once, a group has one offset for each partition; read it once, with several parsers"),
                    );
                }
            }
        }
    }
}

fn span<T>(key: &Key<T>) -> Option<Range<usize>> {
    key.as_ref().map(|field| field.span.clone())
}
