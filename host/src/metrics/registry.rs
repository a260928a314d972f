//! The families as Prometheus knows them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use prometheus::{
    CounterVec, Encoder, GaugeVec, Histogram, HistogramOpts, Opts, Registry, TextEncoder,
};

use super::families::{self, FAMILIES, Family, Kind};
use crate::clock;

/// Upper ends of the buckets of times, in seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Why metrics cannot be kept or shown.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    counters: BTreeMap<&'static str, CounterVec>,
    gauges: BTreeMap<&'static str, GaugeVec>,
    histograms: BTreeMap<&'static str, Histogram>,
    /// When the last commit was recorded, microseconds since the Unix epoch.
    committed_us: Mutex<Option<i64>>,
}

impl Metrics {
    /// Makes all families, at zero.
    ///
    /// # Errors
    /// Never, if their names are what Prometheus allows.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let (mut counters, mut gauges) = (BTreeMap::new(), BTreeMap::new());
        let mut histograms = BTreeMap::new();
        for Family { name, kind, labels, help } in FAMILIES {
            let options = Opts::new(*name, *help);
            match kind {
                Kind::Counter => {
                    let counter = CounterVec::new(options, labels)?;
                    registry.register(Box::new(counter.clone()))?;
                    counters.insert(*name, counter);
                }
                Kind::Gauge => {
                    let gauge = GaugeVec::new(options, labels)?;
                    registry.register(Box::new(gauge.clone()))?;
                    gauges.insert(*name, gauge);
                }
                Kind::Histogram => {
                    let options = HistogramOpts::from(options).buckets(BUCKETS.to_vec());
                    let histogram = Histogram::with_opts(options)?;
                    registry.register(Box::new(histogram.clone()))?;
                    histograms.insert(*name, histogram);
                }
            }
        }
        let metrics =
            Self { registry, counters, gauges, histograms, committed_us: Mutex::new(None) };
        // What has no labels is there from the start.
        for family in FAMILIES.iter().filter(|family| family.labels.is_empty()) {
            metrics.add(family.name, &[], 0.0);
        }
        Ok(metrics)
    }

    /// Counts a commit that was recorded: how long it took, how many bytes it wrote, and how many
    /// the whole checkpoint has.
    pub fn commit(&self, took: Duration, written: u64, checkpoint: u64) {
        self.add(families::COMMITS, &[], 1.0);
        self.observe(families::COMMIT_SECONDS, took);
        self.set(families::CHECKPOINT_BYTES, &[], float(checkpoint));
        self.add(families::CHECKPOINT_BYTES_WRITTEN, &[], float(written));
        if let Ok(mut committed) = self.committed_us.lock() {
            *committed = Some(clock::now_us());
        }
    }

    /// Counts a commit that was aborted.
    pub fn aborted(&self) {
        self.add(families::COMMIT_ABORTS, &[], 1.0);
    }

    /// Returns everything in Prometheus' text format.
    ///
    /// # Errors
    /// Never, as far as Prometheus' encoder goes.
    pub fn text(&self) -> Result<String, MetricsError> {
        self.ask_the_system();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Asks for what only a scrape wants to know.
    fn ask_the_system(&self) {
        if let Some(bytes) = crate::report::memory_bytes() {
            self.set(families::PROCESS_MEMORY, &[], float(bytes));
        }
        if let Some(cpu) = self.counters.get(families::PROCESS_CPU) {
            let cpu = cpu.with_label_values::<&str>(&[]);
            cpu.inc_by((clock::process_cpu().as_secs_f64() - cpu.get()).max(0.0));
        }
        let committed_us = self.committed_us.lock().map_or(None, |committed| *committed);
        match committed_us {
            Some(at) => {
                self.set(
                    families::CHECKPOINT_AGE,
                    &[],
                    seconds(clock::now_us().saturating_sub(at)),
                );
            }
            None => self.forget(families::CHECKPOINT_AGE, &[]),
        }
    }

    /// Adds to a counter.
    pub(super) fn add(&self, name: &str, labels: &[&str], more: f64) {
        if let Some(Ok(counter)) =
            self.counters.get(name).map(|counter| counter.get_metric_with_label_values(labels))
        {
            counter.inc_by(more.max(0.0));
        }
    }

    /// Sets a gauge.
    pub(super) fn set(&self, name: &str, labels: &[&str], value: f64) {
        if let Some(Ok(gauge)) =
            self.gauges.get(name).map(|gauge| gauge.get_metric_with_label_values(labels))
        {
            gauge.set(value);
        }
    }

    /// Takes a gauge away until it is set again.
    pub(super) fn forget(&self, name: &str, labels: &[&str]) {
        if let Some(gauge) = self.gauges.get(name) {
            // That it is not there is what is wanted.
            let _ = gauge.remove_label_values(labels);
        }
    }

    /// Adds a time to a histogram.
    pub(super) fn observe(&self, name: &str, took: Duration) {
        if let Some(histogram) = self.histograms.get(name) {
            histogram.observe(took.as_secs_f64());
        }
    }
}

/// Returns a count as Prometheus takes it. Beyond 2^53 it is not exact.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// Returns microseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only")]
pub(super) fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}
