//! What flows between the rooms: raw records, rows, and where they came from.
//!
//! Nothing here does I/O, reads a clock or knows a plugin, a source or a sink.

mod origin;
mod records;
mod rows;

pub use origin::{Partition, PartitionName, PartitionRef, SourceId};
pub use records::Chunk;
pub use rows::{NO_TIME, Rows};

/// The Arrow type of every time column: microseconds since the Unix epoch, UTC, without a zone.
pub fn timestamp_type() -> arrow::datatypes::DataType {
    arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)
}
