//! `cargo xtask demo`: from nothing to alerts.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::found;
use crate::guests;
use crate::shell::{build_host, root, run};

mod kafka;

/// How much to generate.
#[derive(Args)]
pub struct Options {
    /// How much event time. Incidents take their share of it: in much less than an hour they are
    /// shorter than the windows that should show them.
    #[arg(long, default_value = "1 hour")]
    duration: String,
    /// Mean rows a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// From topic to topics, on a real Apache Kafka that is started for this and stopped after it.
    #[arg(long)]
    kafka: bool,
}

/// Builds everything, generates service logs with incidents in them, and analyses them.
pub fn run_demo(options: &Options) -> Result<()> {
    eprintln!("building plugins and host (the first build takes a while)");
    guests::build()?;
    let millstream = build_host()?;
    // The folder that the pipeline file names.
    let folder = root().join("demo");
    let (logs, truth) = (folder.join("logs.jsonl"), folder.join("incidents.jsonl"));
    let (results, alerts) = (folder.join("results"), folder.join("alerts.jsonl"));
    if results.exists() {
        std::fs::remove_dir_all(&results)?;
    }
    if alerts.exists() {
        std::fs::remove_file(&alerts)?;
    }
    eprintln!("generating {} of service logs with four incidents", options.duration);
    run(Command::new(&millstream)
        .args(["generate", "service-json", "--incidents", "default", "--malformed", "0.002"])
        .args(["--late", "0.001", "--duration", &options.duration])
        .args(["--rate", &options.rate.to_string()])
        // So the busiest user sends some five requests a minute, as people do.
        .args(["--users", &options.rate.saturating_mul(20).to_string()])
        .arg("--output")
        .arg(&logs)
        .arg("--truth")
        .arg(&truth))?;
    if options.kafka {
        kafka::analyse(&millstream, &folder)?;
    } else {
        eprintln!("millstream run pipelines/log-analysis.toml\n");
        run(Command::new(&millstream)
            .args(["run", "pipelines/log-analysis.toml"])
            .current_dir(root()))?;
    }
    println!();
    let read = std::fs::read_to_string;
    print!("{}", found::report(&read(&truth)?, &read(&alerts)?)?);
    let results = if options.kafka { "" } else { ", results/" };
    println!("\nin demo/: logs.jsonl, incidents.jsonl (what was injected), alerts.jsonl{results}");
    Ok(())
}
