//! `cargo xtask faults`: many disturbed runs, one line each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use millstream_broker::install;
use millstream_faults::{Authority, Fault, Lab, Spec, check, execute};

/// Disturbs a pipeline on a real Apache Kafka, again and again, and compares what comes out with
/// what must.
#[derive(Parser)]
struct Options {
    /// How many runs.
    #[arg(long, default_value_t = 20)]
    runs: u64,
    /// The seed of the first; the others have the numbers behind it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only runs whose description has this text, such as "Zombie" or "action: Error"; others are
    /// passed over and do not count.
    #[arg(long)]
    only: Option<String>,
    /// End with the first run that fails.
    #[arg(long)]
    until_failed: bool,
    /// Rows in each of four partitions.
    #[arg(long, default_value_t = 2_000)]
    rows: usize,
    /// The host's binary.
    #[arg(long)]
    program: PathBuf,
    /// The folder of built plugins.
    #[arg(long)]
    plugins: PathBuf,
    /// The folder of the broker's jars.
    #[arg(long)]
    kafka: PathBuf,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let kafka = install(&options.kafka)?;
    let mut lab = Lab::open(&kafka, &options.program, &options.plugins, options.rows)?;
    let mut alerts = BTreeMap::new();
    let (mut passed, mut failed, mut unfinished, mut calm_runs) = (0, 0, 0, 0);
    let wanted = |spec: &Spec| {
        options.only.as_ref().is_none_or(|only| spec.to_string().contains(only.as_str()))
    };
    let specs = (options.seed..).map(Spec::of).filter(wanted);
    for spec in specs.take(usize::try_from(options.runs)?) {
        let seed = spec.seed;
        let known = lab.load(&spec).0.topic.clone();
        if !alerts.contains_key(&known) {
            let fault = Fault::Nothing;
            let quiet = Spec { authority: Authority::Kafka, fault, workers: 1, ..spec.clone() };
            let ended = execute(&mut lab, &format!("quiet-{seed}"), &quiet)?;
            let checked = check(&lab, &options.program, &quiet, &ended)?;
            let told = std::fs::read_to_string(ended.folder.join("told.log")).unwrap_or_default();
            anyhow::ensure!(checked.wrong.is_empty(), "undisturbed: {:?}\n{told}", checked.wrong);
            alerts.insert(known.clone(), checked.alerts);
        }
        let ended = execute(&mut lab, &format!("run-{seed}"), &spec)?;
        let took = format!("{} starts, {:.1} s", ended.starts, ended.elapsed.as_secs_f64());
        if let Some(why) = &ended.unfinished {
            unfinished += 1;
            println!("unfinished  {spec}: {why} ({took})");
            continue;
        }
        let mut checked = check(&lab, &options.program, &spec, &ended)
            .with_context(|| format!("{spec}: looking at what it left"))?;
        if Some(&checked.alerts) != alerts.get(&known) {
            checked.wrong.push("the alerts differ from those of an undisturbed run".into());
        }
        calm_runs += u64::from(!ended.disturbed);
        let calm = if ended.disturbed { "" } else { ", NOT DISTURBED" };
        if checked.wrong.is_empty() {
            passed += 1;
            println!("passed  {spec} ({took}{calm})");
        } else {
            failed += 1;
            println!("FAILED  {spec} ({took}{calm})");
            checked.wrong.iter().take(10).for_each(|wrong| println!("    {wrong}"));
            let told = std::fs::read_to_string(ended.folder.join("told.log")).unwrap_or_default();
            told.lines().rev().take(15).for_each(|line| println!("    | {line}"));
        }
        if options.until_failed && failed > 0 {
            break;
        }
        if checked.wrong.is_empty() {
            std::fs::remove_dir_all(&ended.folder)?;
        }
    }
    println!("{calm_runs} of them ended before their fault came");
    println!("{passed} passed, {failed} failed, {unfinished} unfinished");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
