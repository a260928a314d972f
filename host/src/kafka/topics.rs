//! Which topics there are to write to, and how long a record each of them takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::Producer as _;

use super::client::{self, CONNECT_PATIENCE, Producer, failed, first_answer};
use super::error::KafkaError;
use super::produce::Writer;
use super::reader::{error_of, no_topic};
use crate::config::model::KafkaConnection;

/// How long a question may take.
const ASK: Duration = Duration::from_secs(10);

/// The longest record that librdkafka takes unless told otherwise.
const CLIENT_LIMIT: usize = 1_000_000;

/// What a record batch with one record needs besides key, value and headers, generously.
const OVERHEAD: usize = 128;

/// A topic that exists.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// The most bytes of key, value and headers of a record, before compression.
    pub limit: usize,
}

/// The topics of a cluster, as far as they were asked for.
pub struct Topics {
    producer: Arc<Producer>,
    config: ClientConfig,
    brokers: String,
    client_limit: usize,
    known: BTreeMap<String, Topic>,
    unknown: BTreeSet<String>,
    admin: Option<AdminClient<DefaultClientContext>>,
}

impl Topics {
    /// Connects, and makes sure that there is a cluster. `writer` is used to ask.
    ///
    /// # Errors
    /// When nobody answers, or we are not let in.
    pub fn connect(connection: &KafkaConnection, writer: &Writer) -> Result<Self, KafkaError> {
        let producer = Arc::clone(writer.producer());
        let config = client::config(connection)?;
        let brokers = connection.brokers.value.clone();
        let client = producer.client();
        first_answer(
            &brokers,
            client.context(),
            CONNECT_PATIENCE,
            // No topic has this name, so that the answer is short however many there are.
            |wait| client.fetch_metadata(Some("millstream"), wait),
            || serve(&producer),
        )?;
        let client_limit = config.get("message.max.bytes").and_then(|text| text.parse().ok());
        Ok(Self {
            config,
            brokers,
            client_limit: client_limit.unwrap_or(CLIENT_LIMIT),
            known: BTreeMap::new(),
            unknown: BTreeSet::new(),
            admin: None,
            producer,
        })
    }

    /// Returns a topic that must exist.
    ///
    /// # Errors
    /// When it does not, may not be used, or nobody answers.
    pub fn require(&mut self, name: &str) -> Result<Topic, KafkaError> {
        match self.find(name)? {
            Some(topic) => Ok(topic),
            None => Err(no_topic(name, &self.brokers, Code::UnknownTopicOrPartition)),
        }
    }

    /// Returns a topic if it exists. Asks the cluster once; see `forget`.
    ///
    /// # Errors
    /// When it may not be used, or nobody answers.
    pub fn find(&mut self, name: &str) -> Result<Option<Topic>, KafkaError> {
        if let Some(topic) = self.known.get(name) {
            return Ok(Some(topic.clone()));
        }
        if name.is_empty() || name.contains('\0') || self.unknown.contains(name) {
            return Ok(None);
        }
        let metadata = self.producer.client().fetch_metadata(Some(name), ASK);
        let metadata =
            metadata.map_err(|error| failed(format!("ask for topic `{name}`"), &error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        match topic.map_or(Some(Code::UnknownTopicOrPartition), error_of) {
            None => {}
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic) => {
                self.unknown.insert(name.to_owned());
                return Ok(None);
            }
            Some(code) => return Err(no_topic(name, &self.brokers, code)),
        }
        let theirs = self.limit(name).unwrap_or(self.client_limit);
        let limit = self.client_limit.min(theirs.saturating_sub(OVERHEAD));
        let topic = Topic { name: Arc::from(name), limit };
        self.known.insert(name.to_owned(), topic.clone());
        Ok(Some(topic))
    }

    /// Forgets which topics do not exist: they may have been created since.
    pub fn forget(&mut self) {
        self.unknown.clear();
    }

    /// Returns a topic's `max.message.bytes`; none when we may not know.
    fn limit(&mut self, name: &str) -> Option<usize> {
        if self.admin.is_none() {
            self.admin = self.config.create().ok();
        }
        let options = AdminOptions::new().request_timeout(Some(ASK));
        let asked = ResourceSpecifier::Topic(name);
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
        let answer =
            runtime.block_on(self.admin.as_ref()?.describe_configs([&asked], &options)).ok()?;
        let resource = answer.into_iter().next()?.ok()?;
        resource.get("max.message.bytes")?.value.as_ref()?.parse().ok()
    }
}

/// Lets a producer tell what happened.
pub(super) fn serve(producer: &Producer) {
    for _ in 0..8 {
        producer.poll(Duration::ZERO);
    }
}
