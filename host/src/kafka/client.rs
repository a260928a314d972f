//! Makes clients of librdkafka, and notes what they tell.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError as RdKafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, ProducerContext};

use super::error::KafkaError;
use crate::clock::Stopwatch;
use crate::config::model::{KafkaConnection, Property, Secret};

/// A consumer that assigns partitions itself.
pub type Consumer = BaseConsumer<Context>;

/// A producer.
pub type Producer = BaseProducer<Context>;

/// How long an unknown cluster may take to answer.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// One step of waiting for it.
const CONNECT_STEP: Duration = Duration::from_millis(1_000);

/// What a client has told since it was made.
#[derive(Default)]
pub struct Context {
    /// Timeouts and lost connections so far.
    troubles: AtomicU64,
    /// All brokers are down, as far as is known.
    down: AtomicBool,
    last: Mutex<Option<(Code, String)>>,
    delivered: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<Failure>>,
}

/// A record that a broker did not take.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its topic.
    pub topic: String,
    /// Why.
    pub code: Code,
}

impl Context {
    /// Returns how many timeouts and lost connections there were.
    pub fn troubles(&self) -> u64 {
        self.troubles.load(Ordering::Relaxed)
    }

    /// Returns true when no broker is reachable.
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Notes that a broker has answered.
    pub fn answered(&self) {
        self.down.store(false, Ordering::Relaxed);
    }

    /// Returns the last trouble.
    pub fn last(&self) -> Option<(Code, String)> {
        self.last.lock().map_or(None, |last| last.clone())
    }

    /// Returns how many records were delivered, and how many were not.
    pub fn deliveries(&self) -> (u64, u64) {
        (self.delivered.load(Ordering::Acquire), self.failed.load(Ordering::Acquire))
    }

    /// Takes the first failed delivery since the last call.
    pub fn take_failure(&self) -> Option<Failure> {
        self.first_failure.lock().map_or(None, |mut first| first.take())
    }

    fn note(&self, code: Code, reason: &str) {
        if matches!(
            code,
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::MessageTimedOut
                | Code::NetworkException
        ) {
            self.troubles.fetch_add(1, Ordering::Relaxed);
        }
        if code == Code::AllBrokersDown {
            self.down.store(true, Ordering::Relaxed);
            return;
        }
        if let Ok(mut last) = self.last.lock() {
            *last = Some((code, reason.to_owned()));
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Requests that time out are told nowhere else.
        if facility.contains("REQTMOUT") {
            self.troubles.fetch_add(1, Ordering::Relaxed);
        }
        tracing::debug!(?level, facility, "librdkafka: {message}");
    }

    fn error(&self, error: RdKafkaError, reason: &str) {
        tracing::debug!(%error, "librdkafka: {reason}");
        if let Some(code) = error.rdkafka_error_code() {
            self.note(code, reason);
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Release);
            }
            Err((error, message)) => {
                if let Ok(mut first) = self.first_failure.lock()
                    && first.is_none()
                {
                    let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
                    *first = Some(Failure { topic: message.topic().to_owned(), code });
                }
                self.failed.fetch_add(1, Ordering::Release);
            }
        }
    }
}

/// Returns what all clients of a cluster have in common.
///
/// # Errors
/// When a secret cannot be read.
pub fn config(connection: &KafkaConnection) -> Result<ClientConfig, KafkaError> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &connection.brokers.value);
    config.set("client.id", "millstream");
    // A producer would create topics by asking for them, where brokers allow it.
    config.set("allow.auto.create.topics", "false");
    config.set_log_level(RDKafkaLogLevel::Warning);
    let protocol = match (&connection.tls, &connection.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(tls) = &connection.tls {
        let mut file = |name: &str, path: &std::path::Path| {
            std::fs::metadata(path).map_err(|error| KafkaError::SecurityFile {
                path: path.display().to_string(),
                error,
            })?;
            config.set(name, path.to_string_lossy());
            Ok(())
        };
        if let Some(ca) = &tls.ca {
            file("ssl.ca.location", ca)?;
        }
        if let Some((certificate, key)) = &tls.certificate {
            file("ssl.certificate.location", certificate)?;
            file("ssl.key.location", key)?;
        }
        if let Some(password) = &tls.key_password {
            config.set("ssl.key.password", secret(password)?);
        }
        if !tls.verify {
            config.set("enable.ssl.certificate.verification", "false");
            config.set("ssl.endpoint.identification.algorithm", "none");
        }
    }
    if let Some(sasl) = &connection.sasl {
        config.set("sasl.mechanisms", sasl.mechanism);
        config.set("sasl.username", &sasl.username);
        config.set("sasl.password", secret(&sasl.password)?);
    }
    for (name, property) in &connection.properties {
        match property {
            Property::Text(text) => config.set(name, text),
            Property::Secret(place) => config.set(name, secret(place)?),
        };
    }
    Ok(config)
}

/// Reads a secret from where it is.
fn secret(place: &Secret) -> Result<String, KafkaError> {
    let (shown, text) = match place {
        Secret::Env(name) => {
            let text = std::env::var(name).map_err(std::io::Error::other);
            (format!("the environment variable {name}"), text)
        }
        Secret::File(path) => (format!("`{}`", path.display()), std::fs::read_to_string(path)),
    };
    match text {
        Ok(text) => Ok(text.strip_suffix('\n').unwrap_or(&text).trim_end_matches('\r').to_owned()),
        Err(error) => Err(KafkaError::Secret { place: shown, error }),
    }
}

/// Makes a consumer for a group that it never joins. It reads committed records only.
///
/// # Errors
/// When librdkafka refuses the settings.
pub fn consumer(mut config: ClientConfig, group: &str) -> Result<Consumer, KafkaError> {
    let mutant = crate::faults::mutant("read-committed");
    let isolation = if mutant { "read_uncommitted" } else { "read_committed" };
    for (name, value) in [
        ("group.id", group),
        ("isolation.level", isolation),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
    ] {
        config.set(name, value);
    }
    // The default of a second keeps a partition waiting that was full for a moment.
    default(&mut config, "fetch.queue.backoff.ms", "20");
    // An answer with few records waits half a second otherwise.
    default(&mut config, "fetch.wait.max.ms", "100");
    default(&mut config, "reconnect.backoff.max.ms", "1000");
    config.create_with_context(Context::default()).map_err(refused)
}

/// Makes a producer. `transaction`: its id and timeout.
///
/// # Errors
/// When librdkafka refuses the settings.
pub fn producer(
    mut config: ClientConfig,
    compression: &str,
    transaction: Option<(&str, Duration)>,
) -> Result<Producer, KafkaError> {
    config.set("enable.idempotence", "true");
    config.set("compression.type", compression);
    default(&mut config, "queue.buffering.max.kbytes", "131072");
    default(&mut config, "queue.buffering.max.messages", "1000000");
    default(&mut config, "linger.ms", "2");
    default(&mut config, "reconnect.backoff.max.ms", "1000");
    if let Some((id, timeout)) = transaction {
        config.set("transactional.id", id);
        config.set("transaction.timeout.ms", timeout.as_millis().to_string());
    }
    config.create_with_context(Context::default()).map_err(refused)
}

fn default(config: &mut ClientConfig, name: &str, value: &str) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}

fn refused(error: RdKafkaError) -> KafkaError {
    KafkaError::Settings { what: error.to_string() }
}

/// Asks for metadata until a broker answers, or it is clear that none will.
///
/// `ask` asks once, `serve` lets the client tell what happened.
///
/// # Errors
/// When nobody answers in `patience`, or we are not let in.
pub fn first_answer(
    brokers: &str,
    context: &Context,
    patience: Duration,
    ask: impl Fn(Duration) -> Result<Metadata, RdKafkaError>,
    serve: impl Fn(),
) -> Result<Metadata, KafkaError> {
    let watch = Stopwatch::start();
    loop {
        let answer = ask(CONNECT_STEP.min(patience));
        serve();
        let error = match answer {
            Ok(metadata) => {
                context.answered();
                return Ok(metadata);
            }
            Err(error) => error,
        };
        let last = context.last();
        if let Some((code, what)) = &last {
            let (brokers, what) = (brokers.to_owned(), tidy(what));
            match code {
                Code::Authentication | Code::SaslAuthenticationFailed => {
                    return Err(KafkaError::Authentication { brokers, what });
                }
                Code::SSL => return Err(KafkaError::Tls { brokers, what }),
                _ => {}
            }
        }
        if watch.elapsed() >= patience {
            let last = last.map_or_else(|| error.to_string(), |(_, what)| tidy(&what));
            return Err(KafkaError::Unreachable { brokers: brokers.to_owned(), last });
        }
    }
}

/// Leaves out of librdkafka's words what only it understands.
pub fn tidy(reason: &str) -> String {
    let end = reason.find(" (after ").unwrap_or(reason.len());
    reason.get(..end).unwrap_or(reason).to_owned()
}

/// Returns our error for one of librdkafka.
pub fn failed(action: impl Into<String>, error: &RdKafkaError) -> KafkaError {
    let (action, what) = (action.into(), error.to_string());
    match error.rdkafka_error_code() {
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed,
        ) => KafkaError::Forbidden { action, what },
        _ => KafkaError::Failed { action, what },
    }
}
