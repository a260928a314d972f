//! Hands records to a producer.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError as RdKafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};

use super::client::{self, Failure, Producer};
use super::error::KafkaError;
use super::outgoing::OutgoingRecord;
use crate::clock::Stopwatch;
use crate::config::model::KafkaConnection;

/// One step of serving a producer. Its `poll` waits a step out even when something happened.
pub(super) const STEP: Duration = Duration::from_millis(1);

/// Time between two words about records that brokers do not take.
const WORD: Duration = Duration::from_secs(5);

/// So many records are handed over between two looks at what was delivered.
const SERVE_EVERY: u64 = 512;

/// Hands one record over. A full buffer is backpressure: waits until there is room.
///
/// # Errors
/// When librdkafka does not take it at all.
pub(super) fn produce(producer: &Producer, record: &OutgoingRecord<'_>) -> Result<(), Code> {
    let headers = (!record.headers.is_empty()).then(|| {
        record
            .headers
            .iter()
            .fold(OwnedHeaders::new_with_capacity(record.headers.len()), |all, (key, value)| {
                all.insert(Header { key, value: Some(*value) })
            })
    });
    let mut message: BaseRecord<'_, [u8], [u8]> =
        BaseRecord::to(record.topic).payload(record.payload);
    message.key = record.key;
    message.headers = headers;
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((RdKafkaError::MessageProduction(Code::QueueFull), back)) => {
                message = back;
                producer.poll(STEP);
            }
            Err((error, _)) => return Err(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        }
    }
}

/// Returns our error for records that were not taken.
pub(super) fn not_written(failure: &Failure, count: u64) -> KafkaError {
    let retry = matches!(
        failure.code,
        Code::MessageTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::RequestTimedOut
            | Code::NotLeaderForPartition
            | Code::PurgeInflight
            | Code::PurgeQueue
    );
    KafkaError::NotWritten {
        topic: failure.topic.clone(),
        count,
        what: RdKafkaError::MessageProduction(failure.code).to_string(),
        retry,
    }
}

/// Writes records as they come, each at least once, in order within its partition.
pub struct Writer {
    producer: Arc<Producer>,
    connection: KafkaConnection,
    compression: &'static str,
    sent: u64,
}

impl Writer {
    /// Returns a writer; nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// When librdkafka refuses the settings, or a secret is missing.
    pub fn new(
        connection: &KafkaConnection,
        compression: &'static str,
    ) -> Result<Self, KafkaError> {
        let producer = client::producer(client::config(connection)?, compression, None)?;
        let (producer, connection) = (Arc::new(producer), connection.clone());
        Ok(Self { producer, connection, compression, sent: 0 })
    }

    /// Returns the producer, for questions about topics.
    pub(super) fn producer(&self) -> &Arc<Producer> {
        &self.producer
    }

    /// Sends a record.
    ///
    /// # Errors
    /// When librdkafka does not take it.
    pub fn send(&mut self, record: &OutgoingRecord<'_>) -> Result<(), KafkaError> {
        produce(&self.producer, record)
            .map_err(|code| not_written(&Failure { topic: record.topic.to_owned(), code }, 1))?;
        self.sent += 1;
        if self.sent.is_multiple_of(SERVE_EVERY) {
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Returns what waits until all that was sent so far has arrived.
    pub fn arrived(&self) -> impl FnOnce() -> Result<(), KafkaError> + Send + use<> {
        let (producer, sent) = (Arc::clone(&self.producer), self.sent);
        move || {
            let context = Arc::clone(producer.client().context());
            let mut watch = Stopwatch::start();
            loop {
                let (delivered, failed) = context.deliveries();
                if failed > 0
                    && let Some(failure) = context.take_failure()
                {
                    return Err(not_written(&failure, failed));
                }
                if delivered.saturating_add(failed) >= sent {
                    return Ok(());
                }
                producer.poll(STEP);
                if watch.elapsed() >= WORD {
                    watch = Stopwatch::start();
                    let waiting = sent.saturating_sub(delivered.saturating_add(failed));
                    let error = context.last().map(|(_, what)| client::tidy(&what));
                    tracing::warn!(waiting, error, "Kafka takes no records; still trying");
                }
            }
        }
    }

    /// Forgets failures, after they have been reported. A producer that is beyond help is replaced.
    ///
    /// # Errors
    /// As `new`.
    pub fn forget(&mut self) -> Result<(), KafkaError> {
        let context = self.producer.client().context();
        let (_, failed) = context.deliveries();
        if failed > 0 || self.producer.client().fatal_error().is_some() {
            *self = Self::new(&self.connection, self.compression)?;
        }
        Ok(())
    }
}
