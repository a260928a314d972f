//! The thread that answers.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::oneshot;

use super::{Health, NOT_LOOPBACK, NOT_LOOPBACK_HELP, Readiness, may_listen};
use crate::metrics::Metrics;

/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why nobody can ask.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Others than this machine could ask.
    #[error("the admin address {address} is refused: {NOT_LOOPBACK}")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on the admin address {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The refusal.
        #[source]
        error: io::Error,
    },
}

impl AdminError {
    /// Returns what the user can do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::NotLoopback { .. } => Some(NOT_LOOPBACK_HELP),
            Self::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse => {
                Some("another process listens there: choose another port, or 0 for any free one")
            }
            Self::Listen { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                Some("choose a port above 1023")
            }
            Self::Listen { .. } => None,
        }
    }
}

/// What a running pipeline answers with. Dropping it ends the thread.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl Admin {
    /// Listens on `address`; port 0 is any free one.
    ///
    /// # Errors
    /// When it is not an address of this machine alone, or the system refuses.
    pub fn start(
        address: SocketAddr,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Result<Self, AdminError> {
        if !may_listen(&address) {
            return Err(AdminError::NotLoopback { address });
        }
        let failed = |error| AdminError::Listen { address, error };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let shared = Shared { metrics, health };
        let thread = std::thread::Builder::new()
            .name("millstream-admin".into())
            .spawn(move || {
                // What is not answered yet when the runtime ends is dropped.
                runtime.spawn(async move {
                    if let Err(error) = serve(listener, shared).await {
                        tracing::warn!(%error, "the admin address answers no more");
                    }
                });
                // The other end says stop, or is gone.
                let _ = runtime.block_on(stopped);
            })
            .map_err(failed)?;
        tracing::info!(address = %bound, "admin: listening on http://{bound}");
        Ok(Self { address: bound, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // When it has ended by itself, nobody hears.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the admin thread panicked");
        }
    }
}

async fn serve(listener: TcpListener, shared: Shared) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(shared);
    axum::serve(listener, routes).await
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match shared.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(shared): State<Shared>) -> Response {
    match shared.health.get() {
        Readiness::Running => "ok\n".into_response(),
        Readiness::Starting => {
            (StatusCode::SERVICE_UNAVAILABLE, "the pipeline starts\n").into_response()
        }
        Readiness::Stopping => {
            (StatusCode::SERVICE_UNAVAILABLE, "the pipeline ends\n").into_response()
        }
    }
}
