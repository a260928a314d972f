//! From a sink of the pipeline file to one that runs.

use std::io::Write;

use super::{
    ConsoleSink, DiscardSink, Durability, FileSink, FileState, KafkaSink, Sink, SinkError,
    SinkInput,
};
use crate::config::model::SinkKind;

/// Where console sinks write, and whether there are colours.
pub struct ConsoleOutput {
    /// Standard output in real life.
    pub writer: Box<dyn Write + Send>,
    /// True on a terminal.
    pub colour: bool,
}

impl std::fmt::Debug for ConsoleOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsoleOutput").field("colour", &self.colour).finish_non_exhaustive()
    }
}

/// Returns the sink that `kind` describes, for rows of `inputs`.
///
/// `committed` is the state of the last recorded commit: files are brought back to it. Without
/// one, a file sink starts behind whatever is there. Relative paths are taken as they are.
/// `console` is asked for only by console sinks. `durability` is how safe a recorded commit must be.
///
/// # Errors
/// When the files cannot be opened or are not what `committed` says; when a cluster or topic cannot
/// be used.
pub fn build(
    kind: &SinkKind,
    inputs: &[SinkInput],
    console: impl FnOnce() -> ConsoleOutput,
    committed: Option<&FileState>,
    durability: Durability,
) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match kind {
        SinkKind::Kafka(config) => Box::new(KafkaSink::open(config, inputs)?),
        SinkKind::Console(config) => Box::new(ConsoleSink::new(config, inputs, console())?),
        SinkKind::Discard => Box::new(DiscardSink::new()),
        SinkKind::File(config) => match committed {
            Some(state) => Box::new(FileSink::restore(config, durability, inputs, state)?),
            None => Box::new(FileSink::create(config, durability, inputs)?),
        },
    })
}
