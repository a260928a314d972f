//! Kafka: everything that knows librdkafka, for the source, the sink and the commit authority.

mod outgoing;

pub use outgoing::{Outgoing, OutgoingRecord};
