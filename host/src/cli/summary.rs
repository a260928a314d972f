//! What a run did, gathered from the engine's counters.

use std::time::Duration;

use crate::config::model::Severity;
use crate::engine::{CommitCounts, Engine};
use crate::parse::PLUGIN_FAILURE;
use crate::plan::{NodeId, NodeKind};
use crate::report::{
    CommitSummary, Lateness, ParserSummary, RuleSummary, RunSummary, SinkReport, WindowSummary,
    peak_memory_bytes,
};

/// Returns the summary of a run.
pub fn of(engine: &Engine, elapsed: Duration) -> RunSummary {
    let (plan, stats) = (engine.plan(), engine.owner().stats());
    let mut summary = RunSummary {
        pipeline: plan.name.clone(),
        elapsed,
        rows_read: stats.records,
        bytes_read: stats.bytes,
        peak_memory_bytes: peak_memory_bytes(),
        commits: engine.commits().map(|commits| commits_of(commits.counts())),
        ..RunSummary::default()
    };
    for (index, (node, counters)) in plan.nodes.iter().zip(&stats.nodes).enumerate() {
        let name = node.name.clone();
        let rejected: u64 = counters.rejects.values().sum();
        if counters.state_bytes_max > 0 {
            let bytes = u64::try_from(counters.state_bytes_max).unwrap_or(u64::MAX);
            summary.state.push((name.clone(), bytes));
        }
        if counters.made_null > 0 {
            summary.made_null.push((name.clone(), counters.made_null));
        }
        match &node.kind {
            NodeKind::Parser(_) | NodeKind::Transform(_) => {
                let broke =
                    counters.rejects.iter().filter(|(why, _)| why.starts_with(PLUGIN_FAILURE));
                summary.poison += broke.map(|(_, n)| n).sum::<u64>();
                let made = ParserSummary {
                    name,
                    parsed: counters.rows_out,
                    rejects: counters
                        .rejects
                        .iter()
                        .map(|(why, n)| (why.to_string(), *n))
                        .collect(),
                };
                match &node.kind {
                    NodeKind::Parser(_) => summary.parsers.push(made),
                    _ => summary.transforms.push(made),
                }
            }
            NodeKind::Window(_) => {
                summary.poison += rejected;
                let log = engine.owner().late().window(NodeId(index));
                summary.windows.push(WindowSummary {
                    name,
                    rows_in: counters.rows_in,
                    fired: counters.fired,
                    rows_out: counters.rows_out,
                    late: log.map_or_else(Lateness::default, |log| log.lateness.clone()),
                    delay_us: delay_of(engine, index),
                });
            }
            NodeKind::Rule(_) => {
                summary.poison += rejected;
                let alerts = counters
                    .alerts
                    .iter()
                    .filter_map(|(severity, count)| Some((severity_of(severity)?, *count)));
                summary.rules.push(RuleSummary { name, alerts: alerts.collect() });
            }
            NodeKind::Sink(_) => {
                if let Some(written) = stats.sinks.get(&node.name) {
                    summary.sinks.push(SinkReport { name, summary: *written });
                }
            }
            NodeKind::Stream(_) => summary.poison += rejected,
            NodeKind::Source(_) => {}
        }
    }
    summary
}

fn commits_of(counts: &CommitCounts) -> CommitSummary {
    let count = u32::try_from(counts.commits).unwrap_or(u32::MAX).max(1);
    CommitSummary {
        count: counts.commits,
        bytes: counts.bytes,
        average: counts.duration / count,
        longest: counts.longest,
        state_bytes: counts.state_bytes,
        last: counts.last.clone(),
    }
}

/// Returns the longest delay of the sources that a node follows.
fn delay_of(engine: &Engine, index: usize) -> i64 {
    let plan = engine.plan();
    let node = plan.node(NodeId(index));
    let delays = plan.sources.iter().filter_map(|source| match &plan.node(*source).kind {
        NodeKind::Source(source) if node.sources.contains(&source.id) => {
            Some(source.config.watermark.delay_us)
        }
        _ => None,
    });
    delays.max().unwrap_or(0)
}

fn severity_of(text: &str) -> Option<Severity> {
    match text {
        "info" => Some(Severity::Info),
        "warning" => Some(Severity::Warning),
        "critical" => Some(Severity::Critical),
        _ => None,
    }
}
