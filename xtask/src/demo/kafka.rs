//! The demo from topic to topics: one pipeline fills `logs`, one analyses it, one shows `alerts`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use millstream_broker::{Broker, Settings, VERSION, install, request, terminate};
use serde_json::Value;

use crate::shell::{root, run};

/// Two partitions of logs, as in life: rows of different ones have no order.
const TOPICS: [(&str, i32); 3] = [("logs", 2), ("results", 1), ("alerts", 1)];
/// How long the last alerts may take to the screen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Analyses `logs.jsonl` of a folder by way of a broker of its own; leaves `alerts.jsonl` there, as
/// read from the topic, and nothing running.
pub fn analyse(millstream: &Path, folder: &Path) -> Result<()> {
    let kafka = install(&crate::kafka::folder())?;
    // State belongs to the topics, and those are new.
    for name in ["kafka", "state"] {
        let old = folder.join(name);
        if old.exists() {
            fs::remove_dir_all(&old).with_context(|| format!("remove {}", old.display()))?;
        }
    }
    let node = folder.join("kafka");
    let mut broker = Broker::start(&kafka, Settings::free(&node)?)?;
    let address = broker.address();
    eprintln!("Apache Kafka {VERSION} at {address}");
    for (topic, partitions) in TOPICS {
        request::create_topic(&address, topic, partitions)?;
    }
    let pipeline = |name: &str, brokers: &[&str]| {
        let mut command = Command::new(millstream);
        command.args(["run", name]).current_dir(root());
        for node in brokers {
            command.arg("--set").arg(format!("{node}.brokers={address}"));
        }
        command
    };
    eprintln!("\nmillstream run pipelines/feed-logs.toml");
    run(&mut pipeline("pipelines/feed-logs.toml", &["sinks.topic"]))?;

    eprintln!("\nmillstream run pipelines/watch-alerts.toml &");
    let mut command = pipeline("pipelines/watch-alerts.toml", &["sources.topic"]);
    let watch = Watch(command.arg("--quiet").spawn().context("start watching")?);
    // To the end of the topic, where it ends all windows; without the override it waits for more.
    eprintln!("millstream run pipelines/log-analysis-kafka.toml\n");
    let nodes = ["sources.logs", "sinks.results", "sinks.alerts"];
    let mut command = pipeline("pipelines/log-analysis-kafka.toml", &nodes);
    command.args(["--set", "sources.logs.end_offset=latest", "--summary-json"]);
    let output = command.stderr(Stdio::piped()).output().context("start the analysis")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the analysis ended with {}: {text}", output.status);
    let written = alerts_written(&text)?;
    watch.until(written, &folder.join("alerts.jsonl"))?;

    broker.stop()?;
    fs::remove_dir_all(&node).context("remove the topics")?;
    fs::remove_dir_all(folder.join("state")).context("remove the state")
}

/// Returns how many alerts a summary says were written.
fn alerts_written(text: &str) -> Result<u64> {
    let line = text.lines().rev().find(|line| line.starts_with('{')).context("no summary")?;
    let summary: Value = serde_json::from_str(line)?;
    let sinks =
        summary.get("sinks").and_then(Value::as_array).context("no sinks in the summary")?;
    let alerts = sinks.iter().find(|sink| sink["name"] == "alerts").context("no alerts")?;
    alerts["rows"].as_u64().context("no number of alerts")
}

/// The pipeline that shows alerts, until it is stopped.
struct Watch(Child);

impl Watch {
    /// Stops it in order once so many alerts are in its file.
    fn until(mut self, alerts: u64, file: &Path) -> Result<()> {
        let step = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        loop {
            let text = fs::read_to_string(file).unwrap_or_default();
            let seen = u64::try_from(text.lines().count())?;
            if seen >= alerts {
                break;
            }
            if waited >= PATIENCE || self.0.try_wait()?.is_some() {
                bail!("{alerts} alerts were written, {seen} came out of the topic");
            }
            std::thread::sleep(step);
            waited += step;
        }
        terminate(self.0.id(), PATIENCE)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "watching ended with {status}");
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
