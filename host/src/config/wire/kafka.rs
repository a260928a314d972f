//! Kafka in a pipeline file.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Duration, Entries, Field, Json, Key, Size, Watermark};

/// Topics of a Kafka cluster, each partition with its own order. Only committed records are read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct KafkaSource {
    /// Hosts and ports of brokers, by commas; the others are found from there.
    ///
    /// `brokers = "kafka-1:9092,kafka-2:9092"`
    #[schemars(required)]
    pub brokers: Key<String>,
    /// The topics. Either this or `topic_pattern`.
    ///
    /// `topics = ["logs"]`
    pub topics: Key<Vec<Field<String>>>,
    /// A regular expression for whole names of topics, those to come included. Either this or `topics`.
    ///
    /// `topic_pattern = "logs-.*"`
    pub topic_pattern: Key<String>,
    /// Where a run without state begins: `"earliest"`, `"latest"`, `"committed"` (where the group stands; partitions where it does not at their beginning), a time, or offsets by `topic:partition` (other partitions at their beginning). New partitions are always read from their beginning.
    ///
    /// `start_offset = { timestamp = "2025-01-01T00:00:00Z" }`
    #[schemars(extend("default" = "earliest"))]
    pub start_offset: Key<StartOffset>,
    /// With `"latest"` the source ends at the records that are there when it starts. Default: it never ends.
    ///
    /// `end_offset = "latest"`
    pub end_offset: Key<EndOffset>,
    /// The consumer group under which offsets are committed. Default: `millstream-` and the pipeline's name.
    ///
    /// `group = "log-analysis"`
    pub group: Key<String>,
    /// Stop when records are gone before they were read, because of retention or a topic made anew. Otherwise the gap is counted and reading goes on behind it.
    ///
    /// `fail_on_data_loss = false`
    #[schemars(extend("default" = true))]
    pub fail_on_data_loss: Key<bool>,
    /// The longest record; a longer one is cut out and counted as a reject.
    ///
    /// `max_record = "64 KiB"`
    #[schemars(extend("default" = "1 MiB"))]
    pub max_record: Key<Size>,
    /// The most rows of this source in one epoch. Default: what `engine.epoch_rows` allows.
    ///
    /// `max_rows_per_epoch = 10000`
    #[schemars(range(min = 1))]
    pub max_rows_per_epoch: Key<i64>,
    /// How often new partitions and topics are looked for.
    ///
    /// `discover_interval = "5 minutes"`
    #[schemars(extend("default" = "30s"))]
    pub discover_interval: Key<Duration>,
    /// Encryption, and who we are. Default: neither.
    ///
    /// `security = { tls = true, mechanism = "SCRAM-SHA-512", username = "millstream", password = { env = "KAFKA_PASSWORD" } }`
    pub security: Key<Security>,
    /// Further settings of librdkafka, as they are called there. Secrets as `{ env = "NAME" }` or `{ file = "path" }`.
    ///
    /// `properties = { "fetch.max.bytes" = 104857600 }`
    #[schemars(extend("default" = {}))]
    pub properties: Key<Entries<Json>>,
    /// How event time advances.
    ///
    /// `watermark = { delay = "10 seconds", idle_timeout = "30 seconds" }`
    pub watermark: Key<Watermark>,
}

/// Where a Kafka source begins.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum StartOffset {
    #[serde(rename = "$text")]
    Word(StartWord),
    #[serde(rename = "$table")]
    Place(StartPlace),
}

/// A beginning that needs no number.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum StartWord {
    Earliest,
    Latest,
    Committed,
}

/// A time, or an offset for each partition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct StartPlace {
    /// Begin at the first records that the brokers hold from this time on. Either this or `offsets`.
    ///
    /// `timestamp = "2025-01-01T00:00:00Z"`
    pub timestamp: Key<String>,
    /// Begin at these offsets. Either this or `timestamp`.
    ///
    /// `offsets = { "logs:0" = 1200, "logs:1" = 800 }`
    pub offsets: Key<Entries<i64>>,
}

/// Where a Kafka source ends.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum EndOffset {
    Latest,
}

/// How a client proves who it is and keeps others from listening.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Security {
    /// Encrypt the connection.
    ///
    /// `tls = true`
    #[schemars(extend("default" = false))]
    pub tls: Key<bool>,
    /// The authorities whose certificates are trusted, as a PEM file. Default: those of the system.
    ///
    /// `ca = "certs/ca.pem"`
    pub ca: Key<String>,
    /// Our certificate, as a PEM file, when brokers ask for one.
    ///
    /// `certificate = "certs/client.pem"`
    pub certificate: Key<String>,
    /// The private key of `certificate`, as a PEM file.
    ///
    /// `key = "certs/client.key"`
    pub key: Key<String>,
    /// The password of `key`.
    ///
    /// `key_password = { file = "/run/secrets/kafka-key" }`
    pub key_password: Key<SecretOrText>,
    /// Check that a broker's certificate is valid and names its host.
    ///
    /// `verify = false`
    #[schemars(extend("default" = true))]
    pub verify: Key<bool>,
    /// How user and password are proven (SASL).
    ///
    /// `mechanism = "SCRAM-SHA-512"`
    pub mechanism: Key<Mechanism>,
    /// The user.
    ///
    /// `username = "millstream"`
    pub username: Key<String>,
    /// The password.
    ///
    /// `password = { env = "KAFKA_PASSWORD" }`
    pub password: Key<SecretOrText>,
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(in crate::config) enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// A secret, or what somebody wrote in its place, which is not even looked at.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum SecretOrText {
    #[serde(rename = "$text")]
    #[schemars(skip)]
    Text(IgnoredAny),
    #[serde(rename = "$table")]
    Secret(Secret),
}

/// Something that must not stand in a pipeline file, by where it stands instead.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Secret {
    /// An environment variable. Either this or `file`.
    ///
    /// `env = "KAFKA_PASSWORD"`
    pub env: Key<String>,
    /// A file; a newline at its end does not count. Relative to the pipeline file. Either this or `env`.
    ///
    /// `file = "/run/secrets/kafka"`
    pub file: Key<String>,
}

/// Rows as JSON records in topics of a Kafka cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct KafkaSink {
    /// The node whose rows are written. Either this or `inputs`.
    ///
    /// `input = "error_rate"`
    pub input: Key<String>,
    /// Several nodes. Either this or `input`.
    ///
    /// `inputs = ["error_rate", "latency"]`
    pub inputs: Key<Vec<Field<String>>>,
    /// Hosts and ports of brokers, by commas; the others are found from there.
    ///
    /// `brokers = "kafka-1:9092,kafka-2:9092"`
    #[schemars(required)]
    pub brokers: Key<String>,
    /// The topic, which must exist. Either this or `topic_column`.
    ///
    /// `topic = "alerts"`
    pub topic: Key<String>,
    /// A column that names the topic of each row. Rows whose topic does not exist are dead letters. Either this or `topic`.
    ///
    /// `topic_column = "team"`
    pub topic_column: Key<String>,
    /// Columns that make the record's key, which chooses its partition: the value of one column as text, of several as a JSON array. Default: no key.
    ///
    /// `key = ["service"]`
    #[schemars(extend("default" = []))]
    pub key: Key<Vec<Field<String>>>,
    /// `"exactly-once"`: rows become visible with the commit, in one transaction; readers must read committed records only. `"at-least-once"`: as soon as they are made; some come again after a crash. Default: `"exactly-once"` with `[state]`, otherwise `"at-least-once"`.
    ///
    /// `delivery = "at-least-once"`
    pub delivery: Key<Delivery>,
    /// How records are compressed.
    ///
    /// `compression = "zstd"`
    #[schemars(extend("default" = "none"))]
    pub compression: Key<Compression>,
    /// The name under which another instance of this pipeline is shut out. Exactly once only. Default: `millstream-` and the pipeline's name.
    ///
    /// `transactional_id = "log-analysis"`
    pub transactional_id: Key<String>,
    /// After this time the brokers give up on a commit that does not end. Exactly once only.
    ///
    /// `transaction_timeout = "1 minute"`
    #[schemars(extend("default" = "15s"))]
    pub transaction_timeout: Key<Duration>,
    /// Encryption, and who we are. Default: neither.
    ///
    /// `security = { tls = true, ca = "certs/ca.pem" }`
    pub security: Key<Security>,
    /// Further settings of librdkafka, as they are called there. Secrets as `{ env = "NAME" }` or `{ file = "path" }`.
    ///
    /// `properties = { "message.max.bytes" = 2000000 }`
    #[schemars(extend("default" = {}))]
    pub properties: Key<Entries<Json>>,
}

/// What a Kafka sink promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Delivery {
    ExactlyOnce,
    AtLeastOnce,
}

/// How records are compressed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}
