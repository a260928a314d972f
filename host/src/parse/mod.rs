//! From a chunk of raw records to rows, rejects and event times.
//!
//! One parser's output for one chunk is [`parse_chunk`]; [`MaxBefore`] then finds, over all parsers
//! that read the chunk, the latest event time before each record. Both run on the worker that has
//! the chunk and know nothing of other chunks, windows or sinks.

mod chunk;
mod max_before;
mod rejects;

pub use chunk::{ParseError, Parsed, parse_chunk, remaining};
pub use max_before::{MaxBefore, RunningMax};
pub use rejects::{
    EXPRESSION_ERROR, PLUGIN_FAILURE, Reason, RejectContext, RejectedRecord, Rejects,
    plugin_failure,
};
