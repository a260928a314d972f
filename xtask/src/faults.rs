//! `cargo xtask faults` and `cargo xtask mutants`: the fault suite, long.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::shell::{build_host, run, target};
use crate::{guests, kafka};

/// How many runs, and which.
#[derive(Args)]
pub struct Options {
    /// How many disturbed runs.
    #[arg(long, default_value_t = 20)]
    runs: u64,
    /// The seed of the first; the others have the numbers behind it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Builds everything and runs the suite. Its last line is `N passed, N failed, N unfinished`.
pub fn run_faults(options: &Options) -> Result<()> {
    guests::build()?;
    build_host()?;
    run(&mut suite(options))
}

fn suite(options: &Options) -> Command {
    let built = target().join("debug");
    let mut command = Command::new(built.join("millstream-faults"));
    command
        .args(["--runs", &options.runs.to_string(), "--seed", &options.seed.to_string()])
        .arg("--program")
        .arg(built.join("millstream"))
        .arg("--plugins")
        .arg(target().join("plugins"))
        .arg("--kafka")
        .arg(kafka::folder());
    command
}

/// Safeguards that can be switched off, the faults that may show it, and what they guard. (`fsync` and
/// `higher-commits` are noticed by unit tests of `checkpoint`.)
const MUTANTS: &[(&str, &str, &str)] = &[
    ("read-committed", "", "input is read committed"),
    ("init-first", "Zombie", "others are shut out before what is committed is read"),
    ("rollback", "action: Error", "an aborted commit leads back to the last one that counts"),
    ("named-checkpoint", "manifest", "the checkpoint that is named is loaded, not the newest"),
    ("restored-watermark", "Kill", "event time goes on where it was"),
    ("all-partitions", "Kafka", "the offsets of all partitions are committed"),
    ("collect-fence", "Zombie", "nothing is deleted by a process that was taken over from"),
];

/// Switches each safeguard off in turn: the suite must fail each time.
pub fn run_mutants(options: &Options) -> Result<()> {
    guests::build()?;
    build_host()?;
    let mut alive = Vec::new();
    for (mutant, only, guards) in MUTANTS {
        let mut suite = suite(options);
        suite.args(["--until-failed", "--only", only]).env("MILLSTREAM_MUTANT", mutant);
        let output = suite.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default();
        let failed = text.lines().find(|line| line.starts_with("FAILED")).unwrap_or_default();
        let verdict = if output.status.success() { "ALIVE " } else { "killed" };
        println!("{verdict}  {mutant}: {guards} ({last}) {failed}");
        if output.status.success() {
            alive.push(*mutant);
        }
    }
    if !alive.is_empty() {
        bail!("no run noticed that these were off: {}", alive.join(", "));
    }
    Ok(())
}
