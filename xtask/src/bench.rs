//! `cargo xtask bench`: whole runs of the binary, counted and timed.
//!
//! Every figure is a run of the real binary from files that were read once before, including
//! start-up, reading, parsing, windows and forming the result. Outputs are counted, and a run whose
//! counts differ from the first fails. Figures on Kafka are in `kafka`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::guests;
use crate::shell::{build_host, root, run, target};

mod kafka;

/// What to measure and how often.
#[derive(Args)]
pub struct Options {
    /// Only figures whose name contains this. `contract`: the table of what calls cost, which is
    /// no figure.
    filter: Option<String>,
    /// Runs of each figure, after one that is not counted.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Print one JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure on a real Apache Kafka, started for this: `k-consume`, `k-w1`, `k-w1-eos`, `k-lat`,
    /// `k-lat-eos` and `k-pause`.
    #[arg(long)]
    kafka: bool,
}

/// One figure with the bounds it is held against.
struct Figure {
    name: &'static str,
    unit: &'static str,
    floor: f64,
    goal: f64,
    /// True when less is better.
    at_most: bool,
    values: Vec<f64>,
}

impl Figure {
    fn sorted(&self) -> Vec<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self) -> f64 {
        let values = self.sorted();
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn to_json(&self, commit: &str) -> Value {
        let values = self.sorted();
        json!({
            "name": self.name, "value": self.median(),
            "min": values.first(), "max": values.last(),
            "unit": self.unit, "floor": self.floor, "goal": self.goal, "commit": commit,
        })
    }

    fn verdict(&self) -> &'static str {
        let reached = |bound: f64| {
            if self.at_most { self.median() <= bound } else { self.median() >= bound }
        };
        if reached(self.goal) {
            "goal"
        } else if reached(self.floor) {
            "floor"
        } else {
            "MISSED"
        }
    }
}

/// What one run of the binary did.
struct Measured {
    seconds: f64,
    peak_bytes: f64,
    rows: f64,
    rows_out: u64,
    checksum: String,
}

/// Wall time, the thing measured here.
struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

struct Bench {
    binary: PathBuf,
    folder: PathBuf,
    runs: usize,
    filter: Option<String>,
    figures: Vec<Figure>,
}

/// Measures, prints, and keeps the results.
pub fn run_bench(options: &Options) -> Result<()> {
    guests::build()?;
    let binary = build_host()?;
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let mut bench = Bench {
        binary,
        folder,
        runs: options.runs.max(1),
        filter: options.filter.clone(),
        figures: Vec::new(),
    };
    if options.filter.as_deref() == Some("contract") {
        return bench.contract();
    }
    if options.kafka {
        bench.kafka()?;
        return bench.report(options.json, "kafka-");
    }
    bench.parse()?;
    bench.w1()?;
    bench.w2()?;
    bench.wasm_ratio()?;
    bench.scale()?;
    bench.start()?;
    bench.report(options.json, "")
}

impl Bench {
    fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()))
    }

    fn add(&mut self, figure: Figure) {
        eprintln!("{}: {:.3} {} ({})", figure.name, figure.median(), figure.unit, figure.verdict());
        self.figures.push(figure);
    }

    /// Returns a generated file, made once.
    fn input(&self, name: &str, arguments: &[&str]) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if !path.exists() {
            eprintln!("generating {}", path.display());
            let part = path.with_extension("part");
            let mut command = Command::new(&self.binary);
            run(command.arg("generate").args(arguments).arg("--output").arg(&part))?;
            std::fs::rename(&part, &path)?;
        }
        // Into the page cache.
        std::io::copy(&mut std::fs::File::open(&path)?, &mut std::io::sink())?;
        Ok(path)
    }

    fn pipeline(&self, name: &str) -> PathBuf {
        root().join("tests/benches").join(name)
    }

    fn command(&self, pipeline: &Path, input: &Path, sets: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("--summary-json").arg(pipeline);
        command.arg("--set").arg(format!("sources.input.path={}", input.display()));
        for set in sets {
            command.args(["--set", set]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn once(&self, pipeline: &Path, input: &Path, sets: &[&str]) -> Result<Measured> {
        let watch = Stopwatch::start();
        let output = self.command(pipeline, input, sets).output()?;
        measured(watch.elapsed().as_secs_f64(), &output)
    }

    /// Runs a pipeline several times; all runs must give the same rows.
    fn several(&self, pipeline: &str, input: &Path, sets: &[&str]) -> Result<Vec<Measured>> {
        let pipeline = self.pipeline(pipeline);
        let first = self.once(&pipeline, input, sets)?;
        let mut all = Vec::with_capacity(self.runs);
        for _ in 0..self.runs {
            let run = self.once(&pipeline, input, sets)?;
            if run.rows_out != first.rows_out {
                bail!(
                    "two runs of {} gave {} and {} rows",
                    pipeline.display(),
                    first.rows_out,
                    run.rows_out
                );
            }
            all.push(run);
        }
        eprintln!(
            "  {}: {} rows out, checksum {}",
            pipeline.display(),
            first.rows_out,
            first.checksum
        );
        Ok(all)
    }

    fn parse(&mut self) -> Result<()> {
        if !self.wants("parse") {
            return Ok(());
        }
        let input = self.access_log()?;
        let runs = self.several("parse.toml", &input, &["engine.workers=1"])?;
        self.add(Figure {
            name: "parse",
            unit: "M lines/s",
            floor: 3.0,
            goal: 6.0,
            at_most: false,
            values: rates(&runs),
        });
        Ok(())
    }

    fn w1(&mut self) -> Result<()> {
        if !self.wants("w1") {
            return Ok(());
        }
        let input = self.record_j("record-j-2m.jsonl", "2000000")?;
        let runs = self.several("w1.toml", &input, &["engine.workers=1"])?;
        let rate = rates(&runs);
        self.add(Figure {
            name: "w1",
            unit: "M events/s",
            floor: 1.8,
            goal: 3.0,
            at_most: false,
            values: rate.clone(),
        });
        self.add(Figure {
            name: "w1-mem",
            unit: "MB",
            floor: 150.0,
            goal: 60.0,
            at_most: true,
            values: peaks(&runs),
        });
        if self.wants("w1-10x") {
            let large = self.record_j("record-j-20m.jsonl", "20000000")?;
            let runs = self.several("w1.toml", &large, &["engine.workers=1"])?;
            let mut sorted = rate;
            sorted.sort_by(f64::total_cmp);
            let base = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
            eprintln!(
                "  peak memory of 20 M events: {:.0} MB",
                peaks(&runs).into_iter().fold(0.0, f64::max)
            );
            self.add(Figure {
                name: "w1-10x",
                unit: "of w1",
                floor: 0.9,
                goal: 1.0,
                at_most: false,
                values: rates(&runs).into_iter().map(|rate| rate / base).collect(),
            });
        }
        Ok(())
    }

    fn record_j(&self, name: &str, rows: &str) -> Result<PathBuf> {
        self.input(name, &["record-j", "--rows", rows, "--late", "0.01"])
    }

    fn w2(&mut self) -> Result<()> {
        if !self.wants("w2") {
            return Ok(());
        }
        let input = self.record_j("record-j-4m.jsonl", "4000000")?;
        let runs = self.several("w2.toml", &input, &["engine.workers=1"])?;
        self.add(Figure {
            name: "w2",
            unit: "M events/s",
            floor: 0.6,
            goal: 1.5,
            at_most: false,
            values: rates(&runs),
        });
        self.add(Figure {
            name: "w2-mem",
            unit: "MB",
            floor: 400.0,
            goal: 200.0,
            at_most: true,
            values: peaks(&runs),
        });
        Ok(())
    }

    /// The same parser over the same batches, native and in the sandbox, one process.
    fn wasm_ratio(&mut self) -> Result<()> {
        if !self.wants("wasm-ratio") {
            return Ok(());
        }
        let input = self.record_j("record-j-2m.jsonl", "2000000")?;
        let output = Command::new(target().join("debug/boundary"))
            .arg(&input)
            .arg(target().join("plugins/json.wasm"))
            .arg(guests::build_native()?)
            .arg(self.runs.to_string())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            bail!("the boundary bench failed: {}", output.status);
        }
        let values: Vec<f64> = serde_json::from_slice(&output.stdout).context("ratios")?;
        self.add(Figure {
            name: "wasm-ratio",
            unit: "of native",
            floor: 0.55,
            goal: 0.70,
            at_most: false,
            values,
        });
        Ok(())
    }

    /// What a call costs at several sizes of batches, with and without SIMD. A table, no figure:
    /// it is what the contract was chosen by.
    fn contract(&self) -> Result<()> {
        let real = std::env::var_os("MILLSTREAM_DATA")
            .map_or_else(|| root().join("../shared/data"), PathBuf::from)
            .join("access-logs/apache_combined.log");
        let input = if real.is_file() { real } else { self.access_log()? };
        run(Command::new(target().join("debug/contract"))
            .arg(input)
            .arg(target().join("plugins/apache.wasm"))
            .arg(guests::build_scalar("millstream-parser-apache")?)
            .arg(guests::build_native()?))
    }

    fn access_log(&self) -> Result<PathBuf> {
        self.input("access.log", &["apache-combined", "--rows", "4000000", "--seed", "1"])
    }

    /// One process with two workers against two processes with one, side by side.
    fn scale(&mut self) -> Result<()> {
        if !self.wants("scale") {
            return Ok(());
        }
        let input = self.record_j("record-j-2m.jsonl", "2000000")?;
        let pipeline = self.pipeline("w1.toml");
        let mut values = Vec::with_capacity(self.runs);
        for round in 0..=self.runs {
            // Each is waited for by a thread of its own, so that each has its own time.
            let one = || self.once(&pipeline, &input, &["engine.workers=1"]);
            let pair = std::thread::scope(|scope| {
                let pair = [scope.spawn(one), scope.spawn(one)];
                pair.map(|run| run.join().map_err(|_| anyhow!("a measuring thread panicked"))?)
            });
            let mut rate = 0.0;
            for run in pair {
                let run = run?;
                rate += run.rows / run.seconds;
            }
            let two = self.once(&pipeline, &input, &["engine.workers=2"])?;
            if round > 0 {
                values.push(two.rows / two.seconds / rate);
            }
        }
        self.add(Figure {
            name: "scale",
            unit: "of two",
            floor: 0.85,
            goal: 0.95,
            at_most: false,
            values,
        });
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        if !self.wants("start") {
            return Ok(());
        }
        let input = self.record_j("record-j-1k.jsonl", "1000")?;
        let runs = self.several("w1.toml", &input, &["engine.workers=1"])?;
        self.add(Figure {
            name: "start",
            unit: "ms",
            floor: 150.0,
            goal: 50.0,
            at_most: true,
            values: runs.iter().map(|run| run.seconds * 1e3).collect(),
        });
        Ok(())
    }

    /// Prints the figures and keeps those of a whole series in a file.
    fn report(&self, as_json: bool, prefix: &str) -> Result<()> {
        let commit = commit();
        let lines: Vec<String> =
            self.figures.iter().map(|figure| figure.to_json(&commit).to_string()).collect();
        if as_json {
            for line in &lines {
                println!("{line}");
            }
        } else {
            println!(
                "{:<13} {:>10} {:>10} {:>10}  {:<10} {:>8} {:>8}",
                "name", "median", "min", "max", "unit", "floor", "goal"
            );
            for figure in &self.figures {
                let values = figure.sorted();
                let side = if figure.at_most { "<=" } else { ">=" };
                println!(
                    "{:<13} {:>10.3} {:>10.3} {:>10.3}  {:<10} {:>8} {:>8}  {}",
                    figure.name,
                    figure.median(),
                    values.first().copied().unwrap_or(f64::NAN),
                    values.last().copied().unwrap_or(f64::NAN),
                    figure.unit,
                    format!("{side} {}", figure.floor),
                    format!("{side} {}", figure.goal),
                    figure.verdict()
                );
            }
        }
        if self.filter.is_none() {
            let folder = root().join("tests/benches/results");
            std::fs::create_dir_all(&folder)?;
            let mut text = format!("{}\n", json!({ "machine": machine(), "commit": commit }));
            for line in lines {
                text.push_str(&line);
                text.push('\n');
            }
            std::fs::write(folder.join(format!("{prefix}{commit}.jsonl")), text)?;
        }
        Ok(())
    }
}

fn measured(seconds: f64, output: &std::process::Output) -> Result<Measured> {
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("a run ended with {}: {text}", output.status);
    }
    let line = text.lines().rev().find(|line| line.starts_with('{')).context("no summary")?;
    let summary: Value = serde_json::from_str(line)?;
    let sinks = summary.get("sinks").and_then(Value::as_array).cloned().unwrap_or_default();
    let number = |key: &str| summary.get(key).and_then(Value::as_f64);
    Ok(Measured {
        seconds,
        peak_bytes: number("peak_memory_bytes").unwrap_or(f64::NAN),
        rows: number("rows_read").context("rows_read")?,
        rows_out: sinks.iter().filter_map(|sink| sink["rows"].as_u64()).sum(),
        checksum: sinks.first().map(|sink| sink["checksum"].to_string()).unwrap_or_default(),
    })
}

fn rates(runs: &[Measured]) -> Vec<f64> {
    runs.iter().map(|run| run.rows / run.seconds / 1e6).collect()
}

fn peaks(runs: &[Measured]) -> Vec<f64> {
    runs.iter().map(|run| run.peak_bytes / 1e6).collect()
}

fn commit() -> String {
    let output =
        Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).current_dir(root()).output();
    output.ok().filter(|output| output.status.success()).map_or_else(
        || "unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{model}, {cores} cores")
}
