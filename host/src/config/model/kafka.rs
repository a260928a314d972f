//! Kafka sources and sinks as they are meant.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Located;

/// How a cluster is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaConnection {
    /// Hosts and ports, by commas, without blanks.
    pub brokers: Located<String>,
    /// Encryption.
    pub tls: Option<Tls>,
    /// User and password.
    pub sasl: Option<Sasl>,
    /// Further settings of librdkafka, none of which is ours to decide.
    pub properties: Vec<(String, Property)>,
}

impl KafkaConnection {
    /// Returns the brokers in order, each once: equal for two ways to write the same cluster.
    pub fn cluster(&self) -> String {
        cluster(&self.brokers.value)
    }
}

/// Returns a list of brokers in order, each once.
pub fn cluster(brokers: &str) -> String {
    let mut hosts: Vec<&str> = brokers.split(',').map(str::trim).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts.join(",")
}

/// The value of a setting of librdkafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    /// As it stands in the file.
    Text(String),
    /// Not in the file.
    Secret(Secret),
}

/// Where a secret is. The secret itself is in no model and no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// An environment variable.
    Env(String),
    /// A file.
    File(PathBuf),
}

/// An encrypted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Trusted authorities; none: those of the system.
    pub ca: Option<PathBuf>,
    /// Our certificate and its private key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The private key's password.
    pub key_password: Option<Secret>,
    /// Whether a broker's certificate is checked.
    pub verify: bool,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// As Kafka calls it.
    pub mechanism: &'static str,
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// Topics of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSource {
    /// The cluster.
    pub connection: KafkaConnection,
    /// What is read.
    pub topics: KafkaTopics,
    /// The consumer group of committed offsets.
    pub group: String,
    /// Where a run without state begins.
    pub start: StartOffset,
    /// End at what is there at the start.
    pub bounded: bool,
    /// Stop when records were deleted before they were read.
    pub fail_on_data_loss: bool,
    /// Longest record; a longer one is cut out and counted as a reject.
    pub max_record_bytes: usize,
    /// Most rows of an epoch.
    pub max_rows_per_epoch: Option<usize>,
    /// Time between two looks for new partitions.
    pub discover_us: i64,
}

/// Which topics are read.
#[derive(Clone, Debug, PartialEq)]
pub enum KafkaTopics {
    /// These. At least one; no two are the same.
    Named(Vec<Located<String>>),
    /// Those whose whole name matches this regular expression.
    Pattern(Located<String>),
}

/// Where a Kafka source without state begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartOffset {
    /// At the first records that are there.
    Earliest,
    /// Behind the last records that are there.
    Latest,
    /// Where the group stands.
    Committed,
    /// At the first records from this time on, microseconds since the Unix epoch.
    Timestamp(i64),
    /// At these offsets by topic and partition.
    Offsets(BTreeMap<(String, i32), i64>),
}

/// Rows to topics of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSink {
    /// The cluster.
    pub connection: KafkaConnection,
    /// Where rows go.
    pub topic: KafkaTopic,
    /// The columns that make the key.
    pub key: Vec<Located<String>>,
    /// What is promised.
    pub delivery: Delivery,
    /// How records are compressed, as Kafka calls it.
    pub compression: &'static str,
}

/// Where a row goes.
#[derive(Clone, Debug, PartialEq)]
pub enum KafkaTopic {
    /// All rows to one topic.
    Fixed(Located<String>),
    /// Each row to the topic that this column names.
    Column(Located<String>),
}

/// What a Kafka sink promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Rows become visible with the commit.
    ExactlyOnce {
        /// What fences other instances.
        transactional_id: String,
        /// How long brokers wait for the end of a commit.
        timeout_us: i64,
    },
    /// Rows become visible at once.
    AtLeastOnce,
}

impl super::SourceKind {
    /// Returns the settings of a Kafka source, if it is one.
    pub fn kafka(&self) -> Option<&KafkaSource> {
        match self {
            Self::Kafka(kafka) => Some(kafka),
            _ => None,
        }
    }
}

impl super::SinkKind {
    /// Returns the settings of a Kafka sink, if it is one.
    pub fn kafka(&self) -> Option<&KafkaSink> {
        match self {
            Self::Kafka(kafka) => Some(kafka),
            _ => None,
        }
    }
}
