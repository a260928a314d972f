//! What can go wrong with a source, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::generate::SettingsError;
use crate::kafka::KafkaError;

/// A source cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No such file.
    #[error("there is no file `{}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// No such folder.
    #[error("there is no folder `{}`", path.display())]
    MissingFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A pattern that no file matches.
    #[error("no file matches `{}`", pattern.display())]
    NoMatch {
        /// The pattern.
        pattern: PathBuf,
    },
    /// A folder where a file should be.
    #[error("`{}` is a folder, not a file", path.display())]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file where a folder should be.
    #[error("`{}` is not a folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// A pipe, socket or device.
    #[error("`{}` is not a regular file", path.display())]
    NotRegular {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The refusal.
        #[source]
        error: io::Error,
    },
    /// Standard input failed.
    #[error("cannot read standard input")]
    Stdin(#[source] io::Error),
    /// A partition that the source does not have.
    #[error("the source has no partition {partition}")]
    UnknownPartition {
        /// Its number.
        partition: u32,
    },
    /// A position that can no longer be read.
    #[error("partition `{partition}` can no longer be read from position {position}: {reason}")]
    Gone {
        /// The partition's name.
        partition: String,
        /// The position asked for.
        position: i64,
        /// Why not.
        reason: &'static str,
    },
    /// Another file in the place of the one that was read.
    #[error(
        "`{}` does not begin as the file that was read up to position {position}: it is another one",
        path.display()
    )]
    Replaced {
        /// The file.
        path: PathBuf,
        /// The position to go on from.
        position: i64,
    },
    /// A file that was compressed before it was read.
    #[error("partition `{partition}` cannot go on: `{}` was compressed before it was read", path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
        /// The partition's name.
        partition: String,
    },
    /// A partition of the checkpoint that the pipeline file no longer names.
    #[error(
        "partition `{partition}` was read up to position {position}, and the source no longer names it"
    )]
    NotNamed {
        /// The partition's name.
        partition: String,
        /// The position to go on from.
        position: i64,
    },
    /// Another number of partitions than in the checkpoint.
    #[error("the source had {recorded} partitions, and now has {configured}")]
    OtherPartitions {
        /// In the checkpoint.
        recorded: usize,
        /// In the pipeline file.
        configured: usize,
    },
    /// What the checkpoint keeps of the source cannot be understood.
    #[error("what the checkpoint keeps of the source cannot be read")]
    Detail(#[source] serde_json::Error),
    /// A position behind the end of the data.
    #[error("partition `{partition}` has no position {position}: it ends at {end}")]
    BeyondEnd {
        /// The partition's name.
        partition: String,
        /// The position asked for.
        position: i64,
        /// The end.
        end: i64,
    },
    /// A Kafka cluster, its topics or their records.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Wrong settings of the generator.
    #[error("the generator cannot start")]
    Generator(#[from] SettingsError),
}

impl SourceError {
    /// Returns what the user can do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } => {
                "check `path`; set `follow = true` to wait for a file that appears later".into()
            }
            Self::MissingFolder { .. } => "create the folder, or correct `path`".into(),
            Self::NoMatch { .. } => "check the pattern; it is relative to the pipeline file; set \
                                     `follow = true` to wait for files"
                .into(),
            Self::IsFolder { .. } => {
                "use `type = \"directory\"` to read all files of a folder".into()
            }
            Self::NotAFolder { .. } => "use `type = \"file\"` to read one file".into(),
            Self::NotRegular { .. } => {
                "use `type = \"stdin\"` and redirect it into the process".into()
            }
            Self::Io { error, path, .. } => match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    format!("give the user that runs millstream read access to `{}`", shown(path))
                }
                io::ErrorKind::NotADirectory => {
                    "a part of the path before its last name is a file; correct the path".into()
                }
                _ if error.raw_os_error() == Some(EMFILE) => {
                    "raise the limit of open files (`ulimit -n`), or read the files one after \
                     another with `type = \"directory\"`"
                        .into()
                }
                _ => return None,
            },
            Self::Gone { .. } => {
                "start without the old state, or give the source its old files back".into()
            }
            Self::BeyondEnd { .. } => {
                "the file is shorter than it was; if it was replaced on purpose, start without the \
                 old state"
                    .into()
            }
            Self::Kafka(error) => error.help().into(),
            Self::Replaced { .. } => "put the old file back under its name; if it was replaced on \
                                      purpose, start without the old state"
                .into(),
            Self::Compressed { path, .. } => format!(
                "decompress `{}` beside it under its name without the ending, with its old \
                 modification time, and start again",
                shown(path)
            ),
            Self::NotNamed { .. } => "name the file again, or start without the old state".into(),
            Self::OtherPartitions { recorded, .. } => {
                format!("set `partitions = {recorded}` again, or start without the old state")
            }
            Self::Detail(_) => {
                "start from another checkpoint, or with the version that wrote this one".into()
            }
            Self::Generator(error) => return error.help(),
            Self::Stdin(_) | Self::UnknownPartition { .. } => return None,
        })
    }

    /// Returns the error for a path that cannot be opened as a file.
    pub(super) fn opening(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path: path.into() },
            _ => Self::Io { action: "open", path: path.into(), error },
        }
    }

    /// Returns the error for a path that cannot be listed as a folder.
    pub(super) fn listing(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::MissingFolder { path: path.into() },
            io::ErrorKind::NotADirectory if path.exists() => Self::NotAFolder { path: path.into() },
            _ => Self::Io { action: "list", path: path.into(), error },
        }
    }
}

/// "Too many open files", for which `io::ErrorKind` has no name.
const EMFILE: i32 = 24;

fn shown(path: &Path) -> String {
    path.display().to_string()
}
