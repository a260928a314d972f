//! `cargo xtask test`, `ci` and `bless`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::guests;
use crate::shell::{build_host, cargo, root, target};

/// Which tests, and what absent data means.
#[derive(Args)]
pub struct Options {
    /// Fail where test data outside the repository is absent, instead of skipping.
    #[arg(long)]
    require_data: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Builds plugins and host, runs all tests and prints one closing line with the counts. Without a
/// filter, formatting, lints and docs come first, since they are quick to fix.
pub fn run(options: &Options) -> Result<()> {
    if options.filter.is_none() {
        style()?;
    }
    guests::build()?;
    build_host()?;
    let counts = run_tests(options)?;
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    if counts.failed > 0 {
        bail!("{} tests failed", counts.failed);
    }
    Ok(())
}

/// What CI runs: everything, and a test without its data fails where there is data at all.
pub fn ci() -> Result<()> {
    let require_data = root().join("../shared/data").is_dir();
    run(&Options { require_data, filter: None })
}

fn style() -> Result<()> {
    crate::shell::run(&mut cargo(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    crate::shell::run(&mut cargo(clippy))?;
    crate::shell::run(
        cargo(["doc", "--package", "millstream", "--no-deps", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Rewrites expected files.
pub fn bless() -> Result<()> {
    guests::build()?;
    build_host()?;
    run_cargo_test(&[("MILLSTREAM_BLESS", "1")], None)?;
    eprintln!("rewritten; read `git diff` line by line before committing");
    Ok(())
}

fn run_cargo_test(env: &[(&str, &str)], filter: Option<&str>) -> Result<()> {
    let mut command = cargo(["test", "--workspace"]);
    command.envs(env.iter().copied());
    command.args(filter);
    crate::shell::run(&mut command)
}

/// Runs `cargo test` over the workspace, passing its output through and adding up its counts.
fn run_tests(options: &Options) -> Result<Counts> {
    let skip_log = target().join("skipped-tests.txt");
    std::fs::write(&skip_log, "")?;
    let mut command = cargo(["test", "--workspace", "--no-fail-fast"]);
    command.env("MILLSTREAM_SKIP_LOG", &skip_log).stdout(Stdio::piped());
    if options.require_data {
        command.env("MILLSTREAM_REQUIRE_DATA", "1");
    }
    command.args(options.filter.as_deref());
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let mut counts = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            add_counts(&line, &mut counts);
        }
    }
    let status = child.wait()?;
    counts.skipped = report_skipped(&skip_log)?;
    counts.passed = counts.passed.saturating_sub(counts.skipped);
    if !status.success() && counts.failed == 0 {
        bail!("the tests did not build, or ended early: {status}");
    }
    Ok(counts)
}

/// Reads "test result: ok. 12 passed; 0 failed; …".
fn add_counts(line: &str, counts: &mut Counts) {
    let Some(rest) = line.strip_prefix("test result: ") else { return };
    for part in rest.split([';', '.']) {
        let mut words = part.split_whitespace();
        let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        match what {
            "passed" => counts.passed += number,
            "failed" => counts.failed += number,
            "ignored" => counts.skipped += number,
            _ => {}
        }
    }
}

/// Tests note there what they did not run, one line each; a passing test's own output is hidden.
fn report_skipped(log: &PathBuf) -> Result<usize> {
    let text = std::fs::read_to_string(log)?;
    let mut count = 0;
    for line in text.lines() {
        println!("SKIPPED {line}");
        count += 1;
    }
    if count > 0 {
        println!("(test data belongs at {})", root().join("../shared/data").display());
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::{Counts, add_counts};

    #[test]
    fn adds_up_result_lines() {
        let mut counts = Counts::default();
        add_counts(
            "test result: ok. 12 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.1s",
            &mut counts,
        );
        add_counts("test other ... ok", &mut counts);
        add_counts("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured", &mut counts);
        assert_eq!((counts.passed, counts.failed, counts.skipped), (15, 1, 2));
    }
}
