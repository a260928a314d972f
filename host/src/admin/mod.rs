//! What operators ask a running pipeline over HTTP.
//!
//! One thread with its own small runtime answers, so that a scrape never waits for an epoch, nor
//! an epoch for a scrape. Nothing here changes the pipeline. It listens on the loopback interface
//! only: there is no authentication yet.
//!
//! axum is named here and nowhere else.

mod health;
mod server;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use health::{Health, Readiness};
pub use server::{Admin, AdminError};

/// Why an address is refused, and what to do about it.
pub const NOT_LOOPBACK: &str = "there is no authentication yet, so only this machine may ask";

/// What to do about an address that is refused.
pub const NOT_LOOPBACK_HELP: &str =
    "use 127.0.0.1 or [::1], and a proxy with authentication for other machines";

/// Returns whether a pipeline may be asked at this address.
pub fn may_listen(address: &SocketAddr) -> bool {
    address.ip().is_loopback()
}
