//! Everything one does with this repository: `cargo xtask --help`.

mod bench;
mod demo;
mod faults;
mod found;
mod guests;
mod kafka;
mod shell;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, tests, demonstrates and measures Millstream.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sets up what is missing, builds everything, and runs the log-analysis pipeline over an hour
    /// of generated service logs.
    Demo(demo::Options),
    /// Sets up what is missing, builds everything, checks formatting, lints and docs, and runs all
    /// tests.
    Test(test::Options),
    /// What CI runs: `test`, with `--require-data` where the data is.
    Ci,
    /// Builds the built-in plugins into target/plugins.
    Plugins,
    /// Rewrites expected outputs and generated pages; read the difference before committing it.
    Bless,
    /// A real Apache Kafka on loopback, to try things out with.
    #[command(subcommand)]
    Kafka(kafka::Command),
    /// Disturbs a pipeline on a real Apache Kafka, again and again, and compares what comes out with
    /// what must.
    Faults(faults::Options),
    /// Switches one safeguard of the commit off at a time; the fault suite must notice each.
    Mutants(faults::Options),
    /// Measures; results go to tests/benches/results.
    Bench(bench::Options),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Demo(options) => demo::run_demo(&options),
        Command::Test(options) => test::run(&options),
        Command::Ci => test::ci(),
        Command::Plugins => guests::build().map(|_| ()),
        Command::Bless => test::bless(),
        Command::Kafka(command) => kafka::run(&command),
        Command::Faults(options) => faults::run_faults(&options),
        Command::Mutants(options) => faults::run_mutants(&options),
        Command::Bench(options) => bench::run_bench(&options),
    }
}
