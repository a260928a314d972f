//! `cargo xtask demo`: from nothing to alerts.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::guests;
use crate::shell::{build_host, root, run, target};

/// How much to generate.
#[derive(Args)]
pub struct Options {
    /// How much event time.
    #[arg(long, default_value = "1 hour")]
    duration: String,
    /// Mean rows a second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
}

/// Builds everything, generates service logs with incidents in them, and analyses them.
pub fn run_demo(options: &Options) -> Result<()> {
    eprintln!("building plugins and host (the first build takes a while)");
    guests::build()?;
    let millstream = build_host()?;
    let folder = target().join("demo");
    let results = folder.join("results");
    if results.exists() {
        std::fs::remove_dir_all(&results)?;
    }
    let (logs, truth) = (folder.join("logs.jsonl"), folder.join("incidents.jsonl"));
    eprintln!("generating {} of service logs: {}", options.duration, logs.display());
    run(Command::new(&millstream)
        .args(["generate", "service-json", "--incidents", "default", "--malformed", "0.002"])
        .args(["--late", "0.001", "--duration", &options.duration])
        .args(["--rate", &options.rate.to_string()])
        .arg("--output")
        .arg(&logs)
        .arg("--truth")
        .arg(&truth))?;
    let pipeline = root().join("pipelines/log-analysis.toml");
    eprintln!("running {}", pipeline.display());
    run(Command::new(&millstream)
        .arg("run")
        .arg(&pipeline)
        .arg("--set")
        .arg(format!("sources.logs.path={}", logs.display()))
        .arg("--set")
        .arg(format!("sinks.results.path={}", results.display())))?;
    println!("\nwhat was injected ({}):", truth.display());
    print!("{}", std::fs::read_to_string(&truth)?);
    println!("window results are in {}", results.display());
    Ok(())
}
