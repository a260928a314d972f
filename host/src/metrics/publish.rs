//! From the engine's counters to metrics, once an epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::families as f;
use super::registry::{Metrics, float, seconds};
use crate::clock::{Stopwatch, now_us};
use crate::data::NO_TIME;
use crate::engine::{CommitCounts, Commits, Engine};
use crate::plan::{NodeKind, Plan, RuleBody};
use crate::plugin::PluginVersion;
use crate::sources::ProgressUnit;

/// Publishes what one engine does.
pub struct Publisher {
    metrics: Arc<Metrics>,
    /// What each counter had when it was last published, by name and labels.
    last: BTreeMap<(&'static str, Vec<String>), u64>,
    epoch: Stopwatch,
    commits: CommitCounts,
}

impl Publisher {
    /// Returns a publisher for an engine that starts now.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            last: BTreeMap::new(),
            epoch: Stopwatch::start(),
            commits: CommitCounts::default(),
        }
    }

    /// Counts an epoch, and publishes what an engine has done so far.
    pub fn epoch(&mut self, engine: &Engine) {
        self.metrics.observe(f::EPOCH_SECONDS, self.epoch.elapsed());
        self.metrics.add(f::EPOCHS, &[], 1.0);
        self.epoch = Stopwatch::start();
        self.publish(engine);
    }

    /// Publishes what an engine has done so far.
    pub fn publish(&mut self, engine: &Engine) {
        self.commits(engine);
        self.sources(engine);
        self.nodes(engine);
        self.plugins(engine.plan());
    }

    /// There is rarely more than one commit between two epochs; of several each gets its share.
    fn commits(&mut self, engine: &Engine) {
        let Some(now) = engine.commits().map(Commits::counts) else { return };
        if now.commits == self.commits.commits {
            return;
        }
        let before = std::mem::replace(&mut self.commits, now.clone());
        let new = u32::try_from(now.commits.saturating_sub(before.commits)).unwrap_or(u32::MAX);
        for _ in 0..new {
            let took = now.duration.saturating_sub(before.duration) / new;
            let bytes = now.bytes.saturating_sub(before.bytes) / u64::from(new);
            self.metrics.commit(took, bytes, now.state_bytes);
        }
    }

    fn sources(&mut self, engine: &Engine) {
        let stats = engine.owner().stats();
        self.total(f::INPUT_RECORDS, &[], stats.records);
        self.total(f::INPUT_BYTES, &[], stats.bytes);
        let plan = engine.plan();
        let names = plan.sources.iter().map(|id| plan.node(*id).name.as_str());
        let clocks = engine.clocks();
        let lags = engine.lags();
        for (((name, progress), clock), lag) in names.zip(engine.progress()).zip(clocks).zip(lags) {
            let family = match progress.unit {
                ProgressUnit::Bytes => f::SOURCE_LAG_BYTES,
                ProgressUnit::Rows => f::SOURCE_LAG_RECORDS,
            };
            if let Some(records) = lag {
                self.metrics.set(f::SOURCE_LAG_RECORDS, &[name], float(records));
            } else if let Some(total) = progress.total {
                self.metrics.set(family, &[name], float(total.saturating_sub(progress.done)));
            }
            if clock.watermark == NO_TIME || clock.ended {
                self.metrics.forget(f::SOURCE_WATERMARK_LAG, &[name]);
            } else {
                let lag = seconds(now_us().saturating_sub(clock.watermark));
                self.metrics.set(f::SOURCE_WATERMARK_LAG, &[name], lag);
            }
        }
    }

    fn nodes(&mut self, engine: &Engine) {
        let (plan, owner) = (engine.plan(), engine.owner());
        for (index, (node, stats)) in plan.nodes.iter().zip(&owner.stats().nodes).enumerate() {
            let name = node.name.as_str();
            let (windows, rules) =
                (matches!(node.kind, NodeKind::Window(_)), matches!(node.kind, NodeKind::Rule(_)));
            if !matches!(node.kind, NodeKind::Source(_) | NodeKind::Sink(_)) {
                self.total(f::NODE_ROWS, &[name], stats.rows_out);
            }
            for (reason, count) in &stats.rejects {
                self.total(f::NODE_REJECTS, &[name, reason], *count);
            }
            if stats.made_null > 0 {
                self.total(f::NODE_NULLS, &[name], stats.made_null);
            }
            if windows || rules {
                let bytes = u64::try_from(stats.state_bytes).unwrap_or(u64::MAX);
                self.metrics.set(f::NODE_STATE, &[name], float(bytes));
            }
            if windows {
                let late = owner.late().window(crate::plan::NodeId(index));
                let open = u64::try_from(stats.open_windows).unwrap_or(u64::MAX);
                self.total(f::WINDOW_ROWS, &[name], stats.rows_in);
                self.total(f::WINDOW_LATE, &[name], late.map_or(0, |l| l.lost + l.partly_lost));
                self.total(f::WINDOW_FIRED, &[name], stats.fired);
                self.metrics.set(f::WINDOW_OPEN, &[name], float(open));
            }
            for (severity, count) in &stats.alerts {
                self.total(f::RULE_ALERTS, &[name, severity], *count);
            }
        }
    }

    /// Nodes may share a plugin; its meter counts for all of them.
    fn plugins(&mut self, plan: &Plan) {
        let mut seen = BTreeSet::new();
        for node in &plan.nodes {
            let Some(version) = plugin(&node.kind) else { continue };
            let name = version.id().name.as_str();
            if !seen.insert(name) {
                continue;
            }
            let meter = version.meter();
            self.total(f::PLUGIN_CALLS, &[name], meter.calls());
            self.total(f::PLUGIN_FAILURES, &[name], meter.failures());
            let before = self.last(f::PLUGIN_CPU, &[name], meter.cpu_ns());
            let more = float(meter.cpu_ns().saturating_sub(before)) / 1e9;
            self.metrics.add(f::PLUGIN_CPU, &[name], more);
        }
    }

    /// Brings a counter to a total of this engine.
    fn total(&mut self, name: &'static str, labels: &[&str], total: u64) {
        let before = self.last(name, labels, total);
        self.metrics.add(name, labels, float(total.saturating_sub(before)));
    }

    /// Returns the total that was published last, and remembers this one.
    fn last(&mut self, name: &'static str, labels: &[&str], total: u64) -> u64 {
        let key = (name, labels.iter().map(|label| (*label).to_owned()).collect());
        self.last.insert(key, total).unwrap_or(0)
    }
}

fn plugin(kind: &NodeKind) -> Option<&Arc<PluginVersion>> {
    match kind {
        NodeKind::Parser(parser) => Some(parser.plugin.version()),
        NodeKind::Transform(transform) => Some(transform.plugin.version()),
        NodeKind::Rule(rule) => match &rule.body {
            RuleBody::Plugin { plugin, .. } => Some(plugin.version()),
            RuleBody::When { .. } => None,
        },
        _ => None,
    }
}
