//! Lines in the host's log. The host limits their rate; never log per record.

use core::fmt::Arguments;

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For authors.
    Debug,
    /// Worth knowing.
    Info,
    /// Odd but handled.
    Warn,
    /// Someone must act.
    Error,
}

/// Writes a line. Outside a host it goes to standard error.
pub fn write(level: Level, message: Arguments<'_>) {
    #[cfg(target_arch = "wasm32")]
    {
        use crate::bindings::host_log;
        let level = match level {
            Level::Debug => host_log::Level::Debug,
            Level::Info => host_log::Level::Info,
            Level::Warn => host_log::Level::Warn,
            Level::Error => host_log::Level::Error,
        };
        host_log::log(level, &message.to_string());
    }
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Writes a line to the host's log: `log!(Warn, "no column {name}")`.
#[macro_export]
macro_rules! log {
    ($level:ident, $($message:tt)*) => {
        $crate::log::write($crate::log::Level::$level, ::core::format_args!($($message)*))
    };
}
