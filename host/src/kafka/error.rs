//! What can go wrong with a cluster, and what to do about it.

use std::io;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::reader::TopicPartition;

/// Why a cluster cannot be worked with. Names brokers, topics and offsets; never a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// Nobody answers.
    #[error("no Kafka broker answers at {brokers}: {last}")]
    Unreachable {
        /// Where they should be.
        brokers: String,
        /// The last that was heard.
        last: String,
    },
    /// User or password are wrong, or the mechanism.
    #[error("the Kafka brokers at {brokers} do not accept who we are: {what}")]
    Authentication {
        /// Where they are.
        brokers: String,
        /// What they say.
        what: String,
    },
    /// No encrypted connection.
    #[error("no encrypted connection to the Kafka brokers at {brokers}: {what}")]
    Tls {
        /// Where they are.
        brokers: String,
        /// What failed.
        what: String,
    },
    /// No such topic.
    #[error("there is no topic `{topic}` at {brokers}")]
    UnknownTopic {
        /// The topic.
        topic: String,
        /// The brokers asked.
        brokers: String,
    },
    /// No topic matches.
    #[error("no topic at {brokers} matches `{pattern}`")]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// The brokers asked.
        brokers: String,
    },
    /// Something that the user may not do.
    #[error("no right to {action}: {what}")]
    Forbidden {
        /// What was being done.
        action: String,
        /// What the brokers say.
        what: String,
    },
    /// A secret that is not where it should be.
    #[error("cannot read the secret in {place}")]
    Secret {
        /// The variable or file.
        place: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file of `security` that cannot be read.
    #[error("cannot read `{path}` of `security`")]
    SecurityFile {
        /// The file.
        path: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Settings that do not fit together.
    #[error("librdkafka refuses its settings: {what}")]
    Settings {
        /// Why.
        what: String,
    },
    /// Records that were deleted before they were read.
    #[error(
        "records are lost: partition {partition} of topic `{topic}` should be read from offset \
         {wanted}, but has {low} to {high}"
    )]
    Lost {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset of the record that should come next.
        wanted: i64,
        /// The first offset there is.
        low: i64,
        /// The offset behind the last record.
        high: i64,
    },
    /// A partition of the state that is no more.
    #[error(
        "partition {partition} of topic `{topic}` is gone; it was read up to offset {position}"
    )]
    PartitionGone {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where it was to go on.
        position: i64,
    },
    /// An offset of `start_offset` that is not there.
    #[error("`start_offset` names partition {partition} of topic `{topic}`, which is not there")]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Records that brokers did not take.
    #[error("{count} records were not written to topic `{topic}`: {what}")]
    NotWritten {
        /// The topic of the first.
        topic: String,
        /// How many.
        count: u64,
        /// Why.
        what: String,
        /// Whether trying again may work.
        retry: bool,
    },
    /// The offset asked for is not there.
    #[error("{partition} cannot be read from here: {what}")]
    OutOfRange {
        /// The partition.
        partition: String,
        /// What librdkafka says.
        what: String,
    },
    /// Anything else.
    #[error("cannot {action}: {what}")]
    Failed {
        /// What was being done.
        action: String,
        /// What librdkafka says.
        what: String,
    },
}

impl KafkaError {
    /// Returns what to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "check `brokers` and that they run; a local one: `cargo xtask kafka start`; brokers \
                 that want encryption or a user close other connections without a word"
            }
            Self::Authentication { .. } => "check mechanism, username and password in `security`",
            Self::Tls { .. } => {
                "check `ca`, `certificate` and `key` in `security`, and that this port is encrypted"
            }
            Self::UnknownTopic { .. } => {
                "create it: `kafka-topics.sh --bootstrap-server HOST:PORT --create --topic NAME \
                 --partitions N`, or with the local broker `cargo xtask kafka topic NAME`"
            }
            Self::NoMatch { .. } => "check `topic_pattern`; it must match the whole name",
            Self::Forbidden { .. } => "have the user of `security` given that right (an ACL)",
            Self::Secret { .. } => {
                "set the variable, or write the file, for the user that runs this"
            }
            Self::SecurityFile { .. } => "check the path; it is relative to the pipeline file",
            Self::Settings { .. } => "correct `properties`",
            Self::Lost { .. } => {
                "to go on with what is there, set fail_on_data_loss = false; to begin anew, run \
                 with `--reset`; keep records longer with the topic's `retention.ms`"
            }
            Self::OutOfRange { .. } => "this is a bug in millstream: please report it",
            Self::PartitionGone { .. } => {
                "was the topic deleted? to go on without it, set fail_on_data_loss = false; to \
                 begin anew, run with `--reset`"
            }
            Self::NoSuchPartition { .. } => "correct `start_offset`",
            Self::NotWritten { .. } => {
                "check that the topic exists, that we may write to it, and its `max.message.bytes`"
            }
            Self::Failed { .. } => "see what the broker says, and its log",
        }
    }

    /// Judges what a partition says instead of giving a record; none for what passes by itself.
    pub(super) fn judge(code: Code, what: String, partition: &TopicPartition) -> Option<Self> {
        let action = || format!("read {partition}");
        Some(match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                Self::OutOfRange { partition: partition.to_string(), what }
            }
            Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed => {
                Self::Forbidden { action: action(), what }
            }
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                Self::Failed { action: action(), what: format!("the topic is gone: {what}") }
            }
            Code::BadMessage | Code::BadCompression | Code::NotImplemented | Code::Fatal => {
                Self::Failed { action: action(), what }
            }
            _ => return None,
        })
    }

    /// Returns true when an offset is not, or no longer, there.
    pub fn is_out_of_range(&self) -> bool {
        matches!(self, Self::OutOfRange { .. })
    }

    /// Returns true when the same may work later.
    pub fn retry_helps(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotWritten { retry: true, .. })
    }
}
