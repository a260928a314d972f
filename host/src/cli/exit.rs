//! How the process ends.

use std::process::ExitCode;

/// The process's exit codes; documented in `docs/operations.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is done, or a stop was asked for and done.
    Done,
    /// The command line or the pipeline file is wrong.
    Usage,
    /// A test of a pipeline file failed.
    TestFailed,
    /// Stopped on data or state: a source, sink or plugin failed.
    Stopped,
    /// Another instance has the pipeline now.
    Fenced,
    /// A bug of ours.
    Bug,
    /// The code of a child's own work.
    Code(i32),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::TestFailed => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::Stopped => Self::from(3),
            Exit::Fenced => Self::from(4),
            Exit::Bug => Self::from(70),
            Exit::Code(code) => Self::from(u8::try_from(code).unwrap_or(70)),
        }
    }
}
