//! Why a run stops.

use arrow::error::ArrowError;

use crate::checkpoint::{AuthorityError, CommitError};
use crate::parse::ParseError;
use crate::report::bytes_text;
use crate::rules::RuleError;
use crate::sinks::SinkError;
use crate::sources::SourceError;
use crate::stream::TransformError;
use crate::window::WindowError;

/// Why a run stops before its end.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A source failed.
    #[error("source `{node}`: {source}")]
    Source {
        /// The node.
        node: String,
        /// Why.
        source: SourceError,
    },
    /// A parser failed beyond single records.
    #[error("parser `{node}`: {source}")]
    Parse {
        /// The node.
        node: String,
        /// Why.
        source: ParseError,
    },
    /// A transform failed beyond single rows.
    #[error("transform `{node}`: {source}")]
    Transform {
        /// The node.
        node: String,
        /// Why.
        source: Box<TransformError>,
    },
    /// A window failed.
    #[error("window `{node}`: {source}")]
    Window {
        /// The node.
        node: String,
        /// Why.
        source: WindowError,
    },
    /// A rule failed.
    #[error("rule `{node}`: {source}")]
    Rule {
        /// The node.
        node: String,
        /// Why.
        source: RuleError,
    },
    /// A sink failed.
    #[error("sink `{node}`: {source}")]
    Sink {
        /// The node.
        node: String,
        /// Why.
        source: SinkError,
    },
    /// The dead letters cannot be written.
    #[error("dead letters: {source}")]
    DeadLetters {
        /// Why.
        source: SinkError,
    },
    /// A columnar operation failed although types were checked at load.
    #[error("node `{node}`: columnar operation failed: {source}")]
    Columns {
        /// The node.
        node: String,
        /// Why.
        source: ArrowError,
    },
    /// The system does not give a thread.
    #[error("starting a worker thread: {source}")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
    /// A worker panicked: our bug.
    #[error("a worker panicked: {text}")]
    Panic {
        /// The panic's message.
        text: String,
    },
    /// The worker threads ended: our bug.
    #[error("the worker threads are gone")]
    WorkersGone,
    /// State has outgrown its budget.
    #[error("state takes {}, more than state.max_bytes ({}): {}", bytes_text(*bytes), bytes_text(*most), largest.join(", "))]
    StateBudget {
        /// What it takes.
        bytes: u64,
        /// What it may take.
        most: u64,
        /// The nodes that take the most, with their sizes.
        largest: Vec<String>,
    },
    /// A commit does not count.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A recorded epoch does not fit the input any more.
    #[error("epoch {epoch} cannot be replayed: {what}")]
    Replay {
        /// The epoch.
        epoch: u64,
        /// What does not fit.
        what: String,
    },
}

impl EngineError {
    /// Returns an error of a columnar operation.
    pub fn columns(node: &str, source: ArrowError) -> Self {
        Self::Columns { node: node.to_owned(), source }
    }

    /// Returns an error of a transform.
    pub fn transform(node: &str, source: TransformError) -> Self {
        Self::Transform { node: node.to_owned(), source: Box::new(source) }
    }

    /// Returns true when whoever reads our output has closed it: a clean end, not a failure.
    pub fn output_closed(&self) -> bool {
        matches!(self, Self::Sink { source, .. } if source.is_closed())
    }

    /// Returns true when another instance has the pipeline now.
    pub fn fenced(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Authority(AuthorityError::Fenced { .. })))
    }

    /// Returns why everything since the last commit is undone, when running it again may help.
    pub fn aborted(&self) -> Option<&str> {
        match self {
            Self::Commit(CommitError::Authority(AuthorityError::Aborted { what })) => Some(what),
            _ => None,
        }
    }

    /// Returns true when it is a bug of ours.
    pub fn is_bug(&self) -> bool {
        matches!(self, Self::Panic { .. } | Self::WorkersGone | Self::Columns { .. })
    }

    /// Returns advice for who must act, when there is any.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Source { source, .. } => source.help(),
            Self::Parse { source: ParseError::Plugin(error), .. } => error.help(),
            Self::Sink { source, .. } | Self::DeadLetters { source } => {
                Some(source.remedy().to_owned())
            }
            Self::Commit(error) => error.remedy(),
            Self::StateBudget { .. } => Some(
                "nothing since the last commit was published; give it more: [state] max_bytes, or \
                 let it keep less: a shorter `allowed_lateness` or watermark delay, a `state_ttl` \
                 on rules, `max_drift` on the source, fewer keys"
                    .into(),
            ),
            Self::Panic { .. } | Self::WorkersGone | Self::Columns { .. } => {
                Some("this is a bug of millstream; please report it with the pipeline file".into())
            }
            _ => None,
        }
    }
}
