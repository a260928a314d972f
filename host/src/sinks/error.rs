//! What can go wrong on the way out, who must act, and how.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::encode::EncodeError;
use crate::kafka::KafkaError;

/// Why a sink could not do its work.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb: "write", "create folder".
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Whoever read the output has gone away. The run should end as if it were complete.
    #[error("the reader of {target} has gone away")]
    Closed {
        /// What was written to.
        target: String,
    },
    /// Rows that cannot be written as text.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Rows of a node the sink was not made for.
    #[error("rows of node `{node}`, which is none of the sink's inputs")]
    UnknownInput {
        /// The node.
        node: String,
    },
    /// A file lost bytes that were committed.
    #[error("{} has {found} bytes where {committed} were committed", path.display())]
    Shorter {
        /// The file.
        path: PathBuf,
        /// Bytes the checkpoint names.
        committed: u64,
        /// Bytes there are.
        found: u64,
    },
    /// A file that this run writes is written by someone else too.
    #[error(
        "someone else writes to {}: it has {found} bytes, and was left with {expected}",
        path.display()
    )]
    AnotherWriter {
        /// The file.
        path: PathBuf,
        /// Bytes this run left it with.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// A file that this run writes is no longer at its path.
    #[error("{} is no longer the file that was opened there", path.display())]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// A published part is not what the checkpoint says, or the checkpoint does not know it.
    #[error("{} was not published from this checkpoint", path.display())]
    ForeignPart {
        /// The part.
        path: PathBuf,
    },
    /// The checkpoint was written by a sink with another `visible`.
    #[error("the checkpoint of {} was written with another `visible`", path.display())]
    OtherLayout {
        /// The sink's path.
        path: PathBuf,
    },
    /// A Kafka cluster, its topics, or records that did not arrive.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// After an error, and before `abort`.
    #[error("{} holds rows of a failed commit", path.display())]
    NotAborted {
        /// The file.
        path: PathBuf,
    },
}

/// Who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever wrote the pipeline file.
    User,
    /// Whoever runs the machine.
    Operator,
    /// Nobody: the reader has seen enough.
    Nobody,
    /// We: this is a bug.
    Us,
}

impl SinkError {
    /// Returns a function that turns a system error into ours; a broken pipe becomes `Closed`.
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed { target: path.display().to_string() },
            _ => Self::Io { operation, path: path.to_owned(), source },
        }
    }

    /// Returns true when the reader has gone away, which is a reason to stop but no failure.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Returns true when doing the same again, after `abort`, may work.
    pub fn retry_helps(&self) -> bool {
        let source = match self {
            Self::Io { source, .. } => source,
            Self::Kafka(error) => return error.retry_helps(),
            _ => return false,
        };
        use io::ErrorKind as Kind;
        matches!(
            source.kind(),
            Kind::StorageFull | Kind::QuotaExceeded | Kind::Interrupted | Kind::TimedOut
        )
    }

    /// Returns who must act.
    pub fn who(&self) -> Who {
        match self {
            Self::Io { .. }
            | Self::Kafka(_)
            | Self::Shorter { .. }
            | Self::AnotherWriter { .. }
            | Self::Moved { .. }
            | Self::ForeignPart { .. } => Who::Operator,
            Self::Encode(EncodeError::Columns { .. }) => Who::Us,
            Self::Encode(_) | Self::OtherLayout { .. } => Who::User,
            Self::Closed { .. } => Who::Nobody,
            Self::UnknownInput { .. } | Self::NotAborted { .. } => Who::Us,
        }
    }

    /// Returns what to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => io_remedy(source),
            Self::Kafka(error) => error.help(),
            Self::Closed { .. } => "nothing to do: the run ends here",
            Self::Encode(EncodeError::Columns { .. })
            | Self::UnknownInput { .. }
            | Self::NotAborted { .. } => "this is a bug in millstream: please report it",
            Self::Encode(_) => {
                "cast the column in a stream's `select`, for example `cast(x as varchar)`"
            }
            Self::Shorter { .. } => {
                "restore the file, or start from an earlier checkpoint; committed rows are missing"
            }
            Self::AnotherWriter { .. } => {
                "stop the other process, for example an older instance of this pipeline, and \
                 start again; parts (`visible = \"roll\"`) keep instances apart"
            }
            Self::Moved { .. } => {
                "rotate or remove the file only while the pipeline is stopped; parts \
                 (`visible = \"roll\"`) need no rotation"
            }
            Self::ForeignPart { .. } => {
                "move the parts that another run made out of the folder, or choose another `path`"
            }
            Self::OtherLayout { .. } => {
                "set `visible` back, or choose another `path` and start without this checkpoint"
            }
        }
    }
}

fn io_remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull => "free space on the disk, or point the sink's `path` to another one",
        Kind::QuotaExceeded => "raise the quota, or point the sink's `path` to another disk",
        Kind::PermissionDenied => {
            "give the user that runs millstream the right to write there, or change `path`"
        }
        Kind::ReadOnlyFilesystem => "the disk is mounted read-only: remount it, or change `path`",
        Kind::NotFound => "create the folder, or change the sink's `path`",
        Kind::NotADirectory => {
            "a file stands where a folder is needed: move it, or change the sink's `path`"
        }
        Kind::IsADirectory => {
            "a folder stands there: `visible = \"commit\"` needs the path of a file"
        }
        Kind::AlreadyExists => {
            "another run writes to this folder: stop it, or choose another `path`"
        }
        _ => "see the system's message; the rows of this commit were taken back",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_operation_path_and_remedy() {
        let error = |errno: rustix::io::Errno| {
            SinkError::io("write", Path::new("/data/out"))(io::Error::from_raw_os_error(
                errno.raw_os_error(),
            ))
        };
        use rustix::io::Errno;
        for (errno, remedy, retry) in [
            (Errno::NOSPC, "free space", true),
            (Errno::DQUOT, "quota", true),
            (Errno::ACCESS, "right to write", false),
            (Errno::ROFS, "read-only", false),
            (Errno::NOENT, "create the folder", false),
            (Errno::NOTDIR, "a file stands where", false),
            (Errno::ISDIR, "a folder stands there", false),
            (Errno::IO, "system's message", false),
        ] {
            let error = error(errno);
            assert!(error.to_string().starts_with("cannot write /data/out: "), "{error}");
            assert!(error.remedy().contains(remedy), "{errno}: {}", error.remedy());
            assert_eq!(error.retry_helps(), retry, "{errno}");
            assert_eq!(error.who(), Who::Operator);
        }
        assert!(error(Errno::PIPE).is_closed());
        assert_eq!(error(Errno::PIPE).who(), Who::Nobody);
    }
}
