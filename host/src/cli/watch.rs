//! Metrics and health of a run, for whoever asks.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;

use super::exit::Exit;
use super::tell;
use crate::admin::{Admin, Health, Readiness};
use crate::engine::Engine;
use crate::metrics::{Metrics, Publisher};
use crate::plan::Plan;

/// Where a run can be asked.
#[derive(Debug, Args)]
pub struct WatchOptions {
    /// Serve metrics and health over HTTP at this address of this machine; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

/// Keeps the metrics of a process, and serves them if they are asked for.
pub struct Watch {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    /// Of the engine that runs now.
    publisher: Publisher,
    server: Option<Admin>,
}

impl Watch {
    /// Starts to serve, if `options` or the plan say so.
    ///
    /// # Errors
    /// The exit code, after the problem was printed.
    pub fn start(options: &WatchOptions, plan: &Plan) -> Result<Self, Exit> {
        let metrics = Metrics::new().map_err(|error| {
            tell::error(&error, None);
            Exit::Bug
        })?;
        let (metrics, health) = (Arc::new(metrics), Arc::new(Health::default()));
        let address = options.admin.or(plan.admin.map(|admin| admin.listen));
        let server = address
            .map(|address| Admin::start(address, Arc::clone(&metrics), Arc::clone(&health)))
            .transpose()
            .map_err(|error| {
                tell::error(&tell::with_causes(&error), error.help());
                Exit::Stopped
            })?;
        let publisher = Publisher::new(Arc::clone(&metrics));
        Ok(Self { metrics, health, publisher, server })
    }

    /// Says that an engine begins to run; it counts from 0.
    pub fn begin(&mut self) {
        self.publisher = Publisher::new(Arc::clone(&self.metrics));
        self.health.set(Readiness::Running);
    }

    /// Publishes what an engine has done, after each epoch. Costs nothing when nobody can ask.
    pub fn epoch(&mut self, engine: &Engine) {
        if self.server.is_some() {
            self.publisher.epoch(engine);
        }
    }

    /// Says that a commit was aborted, and the run goes back to the one before.
    pub fn again(&self) {
        self.metrics.aborted();
        self.health.set(Readiness::Starting);
    }

    /// Says that an engine has ended, and publishes what it did last.
    pub fn end(&mut self, engine: &Engine) {
        self.health.set(Readiness::Stopping);
        if self.server.is_some() {
            self.publisher.publish(engine);
        }
    }
}
