//! What an error of a transaction means.

use rdkafka::error::{KafkaError as RdKafkaError, RDKafkaErrorCode as Code};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same call once more.
    Retry,
    /// Abort the transaction; the producer lives.
    Abort,
    /// The producer was fenced: by another instance, or because the transaction took too long.
    Fenced,
    /// The brokers will never allow it.
    Refuse,
    /// Nobody knows what happened. The producer is of no use any more.
    Doubt,
}

/// What librdkafka says about an error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub code: Code,
    pub fatal: bool,
    pub retriable: bool,
    pub abortable: bool,
}

impl Facts {
    pub fn of(error: &RdKafkaError) -> Self {
        match error {
            RdKafkaError::Transaction(inner) => Self {
                code: inner.code(),
                fatal: inner.is_fatal(),
                retriable: inner.is_retriable(),
                abortable: inner.txn_requires_abort(),
            },
            other => Self {
                code: other.rdkafka_error_code().unwrap_or(Code::Fail),
                fatal: false,
                retriable: false,
                abortable: false,
            },
        }
    }
}

/// Judges an error.
pub(super) fn judge(facts: Facts) -> Verdict {
    match facts.code {
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Verdict::Fenced,
        Code::TransactionalIdAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::UnsupportedFeature
        | Code::InvalidTransactionTimeout => Verdict::Refuse,
        _ if facts.fatal => Verdict::Doubt,
        _ if facts.abortable => Verdict::Abort,
        _ if facts.retriable => Verdict::Retry,
        _ => Verdict::Doubt,
    }
}

/// Returns true when a record will never be taken, however often it is sent.
pub(super) fn is_for_good(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessage
            | Code::InvalidRecord
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::TopicAuthorizationFailed
            | Code::PolicyViolation
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let facts = |code, flags: &str| Facts {
            code,
            fatal: flags.contains('f'),
            retriable: flags.contains('r'),
            abortable: flags.contains('a'),
        };
        for (code, flags, expected) in [
            (Code::OperationTimedOut, "r", Verdict::Retry),
            (Code::OperationTimedOut, "", Verdict::Doubt),
            (Code::OutOfOrderSequenceNumber, "a", Verdict::Abort),
            (Code::OffsetMetadataTooLarge, "a", Verdict::Abort),
            (Code::Fenced, "f", Verdict::Fenced),
            (Code::InvalidProducerEpoch, "a", Verdict::Fenced),
            (Code::TransactionalIdAuthorizationFailed, "f", Verdict::Refuse),
            (Code::UnknownProducerId, "f", Verdict::Doubt),
            (Code::BrokerTransportFailure, "r", Verdict::Retry),
        ] {
            assert_eq!(judge(facts(code, flags)), expected, "{code:?} {flags}");
        }
    }
}
