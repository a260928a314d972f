//! Kafka: everything that knows librdkafka, for the source, the sink and the commit authority.
//!
//! | file | what |
//! | --- | --- |
//! | `settings` | which settings are the user's, which are ours; no broker needed |
//! | `client` | consumers and producers from a pipeline file's settings, and what they tell |
//! | `native` | the calls by FFI: batches, wake-ups, metadata of offsets; the only `unsafe` |
//! | `reader` | partitions, offsets, records |
//! | `topics` | which topics can be written to, and how long a record may be |
//! | `produce` | records to a producer; at-least-once writing |
//! | `transactions` | the commit authority: outputs, positions and pointer in one transaction |
//! | `pointers`, `verdict` | what it decides, without I/O |
//! | `probe` | looks at a cluster before a pipeline runs |
//! | `outgoing` | encoded records on their way |
//!
//! Promises: no type of rdkafka leaves this room; secrets are in no message; input is read
//! committed; nothing waits for ever, and nothing tries again for ever without saying so.

mod client;
mod error;
mod native;
mod outgoing;
mod pointers;
pub mod probe;
mod produce;
mod reader;
pub mod settings;
mod topics;
mod transactions;
mod verdict;

pub use error::KafkaError;
pub use native::{Batch, Item, PartitionFault, PartitionQueue};
pub use outgoing::{Outgoing, OutgoingRecord};
pub use produce::Writer;
pub use reader::{Moment, Reader, TopicFilter, TopicPartition};
pub use topics::{Topic, Topics};
pub use transactions::{KafkaAuthority, TransactionSettings};
