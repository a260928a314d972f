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

/// Safeguards that can be switched off, and what they guard.
const MUTANTS: &[(&str, &str)] = &[
    ("read-committed", "input is read committed"),
    ("init-first", "others are shut out before what is committed is read"),
    ("rollback", "an aborted commit leads back to the last one that counts"),
    ("named-checkpoint", "the checkpoint that is named is loaded, not the newest"),
    ("manifest-check", "objects are those that the manifest means"),
    ("restored-watermark", "event time goes on where it was"),
    ("all-partitions", "the offsets of all partitions are committed"),
    ("higher-commits", "a commit looks for later ones"),
    ("collect-fence", "nothing is deleted by a process that was taken over from"),
    ("fsync", "checkpoints are forced to the disk"),
];

/// Switches each safeguard off in turn: the suite must fail each time.
pub fn run_mutants(options: &Options) -> Result<()> {
    guests::build()?;
    build_host()?;
    let mut alive = Vec::new();
    for (mutant, guards) in MUTANTS {
        let output = suite(options).env("MILLSTREAM_MUTANT", mutant).output()?;
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
