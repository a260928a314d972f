//! The figures on a real Apache Kafka.
//!
//! The broker has one core and the engine, with one worker, another; the clients that measure
//! latency run where there is room. Without `taskset`, or with one core, nobody is pinned, and the
//! figures say little. CPU time is that of the engine's whole process: user and system, start to
//! exit, librdkafka's threads included.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use millstream_broker::{Broker, Settings, install, request, terminate};
use serde_json::Value;

use super::{Bench, Figure, Stopwatch, measured};
use crate::shell::{run, target};

const BROKER_CORE: &str = "0";
const ENGINE_CORE: &str = "1";
const AT_LEAST_ONCE: &str = "at-least-once";
const EXACTLY_ONCE: &str = "exactly-once";
const W1_ROWS: f64 = 4e6;
/// How long a run of W1 may take, which takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE_KEYS: u64 = 1_000_000;
/// A commit with all keys of `k-pause` has at least so many bytes for each: so long is its text.
const PAUSE_KEY_BYTES: u64 = 8;

/// The figures that need a broker of ours.
const IN_THE_LAB: [&str; 7] =
    ["k-w1", "k-w1-eos", "k-lat-p50", "k-lat-p99", "k-lat-eos-p50", "k-lat-eos-p99", "k-pause"];

/// A broker, and where its engines keep their state.
struct Lab {
    broker: Broker,
    folder: PathBuf,
    pinned: bool,
    /// How many engines there were; each has topics and state of its own.
    engines: u32,
}

impl Lab {
    fn open(folder: &Path) -> Result<Self> {
        let kafka = install(&crate::kafka::folder())?;
        if folder.exists() {
            fs::remove_dir_all(folder).context("remove what an earlier bench left")?;
        }
        let broker = Broker::start(&kafka, Settings::free(&folder.join("node"))?)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut pin = Command::new("taskset");
        pin.args(["-a", "-c", "-p", BROKER_CORE, &broker.process().to_string()]);
        let pinned =
            cores > 1 && pin.stdout(Stdio::null()).status().is_ok_and(|status| status.success());
        if !pinned {
            eprintln!("without `taskset` and a second core, broker and engine share what there is");
        }
        Ok(Self { broker, folder: folder.to_owned(), pinned, engines: 0 })
    }

    /// Returns a command that runs on one core, if anything does.
    fn on_core(&self, core: &str, program: &Path) -> Command {
        if !self.pinned {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["-c", core]).arg(program);
        command
    }

    fn topic(&self, name: &str, partitions: i32) -> Result<()> {
        request::create_topic(&self.broker.address(), name, partitions)
    }

    fn clients<I: IntoIterator<Item = S>, S: Into<String>>(&self, arguments: I) -> Command {
        let program = target().join("debug/millstream-bench-clients");
        let mut command = Command::new(program);
        command.arg(self.broker.address()).args(arguments.into_iter().map(Into::into));
        command
    }

    /// Returns the command that runs a pipeline under a new name, with empty state of its own, and
    /// that folder. The name is that of the group and of the transactions too.
    fn engine(&mut self, bench: &Bench, pipeline: &str, sets: &[String]) -> (Command, PathBuf) {
        self.engines += 1;
        let folder = self.folder.join(format!("engine-{}", self.engines));
        let address = self.broker.address();
        let mut command = self.on_core(ENGINE_CORE, &bench.binary);
        command.arg("run").arg(bench.pipeline(pipeline));
        for set in [
            format!("name=bench-{}", self.engines),
            format!("state.path={}", folder.join("state").display()),
            format!("sources.input.brokers={address}"),
            format!("sinks.out.brokers={address}"),
            "engine.workers=1".to_owned(),
        ] {
            command.arg("--set").arg(set);
        }
        for set in sets {
            command.arg("--set").arg(set);
        }
        command.stdout(Stdio::null());
        (command, folder)
    }
}

/// An engine that runs until it is stopped.
struct Engine {
    child: Child,
    log: PathBuf,
}

impl Engine {
    fn start(mut command: Command, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let log = folder.join("log");
        let child = command.stderr(File::create(&log)?).spawn().context("start the engine")?;
        Ok(Self { child, log })
    }

    /// Stops it in order and returns what it logged.
    fn stop(mut self) -> Result<String> {
        // Were it gone already, this would say so below.
        terminate(self.child.id(), Duration::from_secs(60))?;
        let status = self.child.wait()?;
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        ensure!(status.success(), "the engine ended with {status}: {log}");
        Ok(log)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one run of W1 took.
struct W1Run {
    cpu_s_per_m: f64,
    seconds: f64,
    rows_out: u64,
}

impl Bench {
    /// Measures everything that needs Kafka.
    pub(super) fn kafka(&mut self) -> Result<()> {
        self.consume()?;
        if !IN_THE_LAB.iter().any(|name| self.wants(name)) {
            return Ok(());
        }
        let folder = self.folder.join("kafka");
        let mut lab = Lab::open(&folder)?;
        self.k_w1(&mut lab)?;
        let (p50, p99) = ((15.0, 5.0), (60.0, 20.0));
        self.k_latency(&mut lab, ["k-lat-p50", "k-lat-p99"], AT_LEAST_ONCE, [p50, p99])?;
        let (p50, p99) = ((150.0, 100.0), (400.0, 250.0));
        self.k_latency(&mut lab, ["k-lat-eos-p50", "k-lat-eos-p99"], EXACTLY_ONCE, [p50, p99])?;
        self.k_pause(&mut lab)?;
        lab.broker.kill();
        fs::remove_dir_all(&folder).context("remove the topics")
    }

    /// The Kafka source against librdkafka's own batch consumer, by turns in one process.
    fn consume(&mut self) -> Result<()> {
        if !self.wants("k-consume") {
            return Ok(());
        }
        let output = Command::new(target().join("debug/millstream-bench-consume"))
            .args(["2000000", &self.runs.to_string()])
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(output.status.success(), "the consume bench failed: {}", output.status);
        self.add(Figure {
            name: "k-consume",
            unit: "of plain",
            floor: 1.3,
            goal: 1.1,
            at_most: true,
            values: serde_json::from_slice(&output.stdout).context("ratios")?,
        });
        Ok(())
    }

    /// W1 from topic to topic, at least and exactly once by turns, each with a commit a second.
    fn k_w1(&mut self, lab: &mut Lab) -> Result<()> {
        if !self.wants("k-w1") && !self.wants("k-w1-eos") {
            return Ok(());
        }
        let input = self.record_j("record-j-4m.jsonl", "4000000")?;
        lab.topic("w1", 2)?;
        lab.topic("w1-out", 1)?;
        eprintln!("loading {} into a topic", input.display());
        run(&mut lab.clients(["load", "w1", "2", &input.display().to_string()]))?;
        let (mut plain, mut ratios, mut walls) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows_out = None;
        for round in 0..=self.runs {
            // Who is first changes, so that a machine that gets slower favours neither.
            let (once, exact) = if round % 2 == 0 {
                (self.k_once(lab, AT_LEAST_ONCE)?, self.k_once(lab, EXACTLY_ONCE)?)
            } else {
                let exact = self.k_once(lab, EXACTLY_ONCE)?;
                (self.k_once(lab, AT_LEAST_ONCE)?, exact)
            };
            for run in [&once, &exact] {
                let known = *rows_out.get_or_insert(run.rows_out);
                ensure!(run.rows_out == known, "two runs gave {known} and {} rows", run.rows_out);
            }
            eprintln!(
                "  at least once {:.3} s CPU per M in {:.1} s, exactly once {:.3} in {:.1} s{}",
                once.cpu_s_per_m,
                once.seconds,
                exact.cpu_s_per_m,
                exact.seconds,
                if round == 0 { ", not counted" } else { "" }
            );
            if round > 0 {
                plain.push(once.cpu_s_per_m);
                ratios.push(exact.cpu_s_per_m / once.cpu_s_per_m);
                walls.push(W1_ROWS / 1e6 / once.seconds);
            }
        }
        if self.wants("k-w1") {
            self.add(Figure {
                name: "k-w1",
                unit: "CPU s/M",
                floor: 1.2,
                goal: 0.8,
                at_most: true,
                values: plain,
            });
        }
        self.add(Figure {
            name: "k-w1-eos",
            unit: "of k-w1",
            floor: 1.10,
            goal: 1.05,
            at_most: true,
            values: ratios,
        });
        walls.sort_by(f64::total_cmp);
        let wall = walls.get(walls.len() / 2).copied().unwrap_or(f64::NAN);
        eprintln!("  k-w1 by the wall clock: {wall:.2} M events/s");
        Ok(())
    }

    /// Runs `k-w1.toml` from the begin to the end of its topic.
    fn k_once(&self, lab: &mut Lab, delivery: &str) -> Result<W1Run> {
        let (mut command, folder) =
            lab.engine(self, "k-w1.toml", &[format!("sinks.out.delivery={delivery}")]);
        command.arg("--summary-json");
        let before = children_cpu()?;
        let watch = Stopwatch::start();
        let mut engine = Engine::start(command, &folder)?;
        let status = loop {
            if let Some(status) = engine.child.try_wait()? {
                break status;
            }
            let log = || fs::read_to_string(&engine.log).unwrap_or_default();
            ensure!(watch.elapsed() < PATIENCE, "{delivery}: a run does not end: {}", log());
            std::thread::sleep(Duration::from_millis(2));
        };
        let seconds = watch.elapsed().as_secs_f64();
        let cpu_s = children_cpu()? - before;
        let output = Output { status, stdout: Vec::new(), stderr: fs::read(&engine.log)? };
        let run = measured(seconds, &output)?;
        ensure!(run.rows == W1_ROWS, "{} rows were read", run.rows);
        fs::remove_dir_all(folder.join("state")).context("remove the state")?;
        Ok(W1Run { cpu_s_per_m: cpu_s / (W1_ROWS / 1e6), seconds, rows_out: run.rows_out })
    }

    /// Latency of 10,000 records a second that pass through, from when each was due to when a
    /// consumer that reads committed records has it. Bounds: floor and goal of median and 99 %.
    fn k_latency(
        &mut self,
        lab: &mut Lab,
        names: [&'static str; 2],
        delivery: &str,
        bounds: [(f64, f64); 2],
    ) -> Result<()> {
        if !names.iter().any(|name| self.wants(name)) {
            return Ok(());
        }
        let mut values = [Vec::new(), Vec::new()];
        // The first warms the broker up: it is slow until Java has compiled it.
        for round in 0..=self.runs {
            let (input, output) =
                (format!("{delivery}-in-{round}"), format!("{delivery}-out-{round}"));
            lab.topic(&input, 1)?;
            lab.topic(&output, 1)?;
            let mut sets = vec![
                format!("sources.input.topics=[\"{input}\"]"),
                format!("sinks.out.topic={output}"),
                format!("sinks.out.delivery={delivery}"),
            ];
            if delivery == EXACTLY_ONCE {
                sets.push("commit.interval=100ms".to_owned());
            }
            let (command, folder) = lab.engine(self, "k-latency.toml", &sets);
            let engine = Engine::start(command, &folder)?;
            let seen = report(lab.clients(["latency", &input, "1", &output]), &engine)?;
            engine.stop()?;
            eprintln!("  latency, {delivery}: {seen}");
            if round == 0 {
                continue;
            }
            for (values, field) in values.iter_mut().zip(["p50_ms", "p99_ms"]) {
                values.push(number(&seen, field)?);
            }
        }
        for ((name, values), (floor, goal)) in names.into_iter().zip(values).zip(bounds) {
            if self.wants(name) {
                self.add(Figure { name, unit: "ms", floor, goal, at_most: true, values });
            }
        }
        Ok(())
    }

    /// How long rows stand still while a commit is made that covers a million changed keys.
    ///
    /// The keys are in the topic before the engine starts; behind them comes a record each
    /// millisecond that passes the window by, to a sink that shows rows at once. Measured is the
    /// largest gap between two of these at a consumer, from when the keys are long read until
    /// after the commit. So it is the pause, and whatever else the machine, the broker and the
    /// consumer did in that time: a bound from above.
    fn k_pause(&mut self, lab: &mut Lab) -> Result<()> {
        if !self.wants("k-pause") {
            return Ok(());
        }
        let mut values = Vec::new();
        for round in 0..self.runs {
            let (input, output) = (format!("pause-in-{round}"), format!("pause-out-{round}"));
            lab.topic(&input, 1)?;
            lab.topic(&output, 1)?;
            run(&mut lab.clients(["keys", &input, &PAUSE_KEYS.to_string()]))?;
            let sets = [
                format!("sources.input.topics=[\"{input}\"]"),
                format!("sinks.out.topic={output}"),
            ];
            let (mut command, folder) = lab.engine(self, "k-pause.toml", &sets);
            command.args(["--log", "millstream=debug", "--log-format", "json"]);
            let engine = Engine::start(command, &folder)?;
            // The commit comes 20 s after the start.
            let times = ["--rate", "1000", "--warm-up", "12", "--seconds", "16"];
            let arguments = ["latency", &input, "1", &output].into_iter().chain(times);
            let seen = report(lab.clients(arguments), &engine)?;
            let log = engine.stop()?;
            let bytes = largest_commit(&log);
            eprintln!("  k-pause: {seen}, a commit of {bytes} bytes");
            ensure!(bytes >= PAUSE_KEYS * PAUSE_KEY_BYTES, "no commit covers all keys: {log}");
            values.push(number(&seen, "gap_ms")?);
        }
        self.add(Figure {
            name: "k-pause",
            unit: "ms",
            floor: 50.0,
            goal: 10.0,
            at_most: true,
            values,
        });
        Ok(())
    }
}

/// Runs a client and returns the JSON object that it prints.
fn report(mut client: Command, engine: &Engine) -> Result<Value> {
    let output = client.stderr(Stdio::inherit()).output().context("start the clients")?;
    if !output.status.success() {
        let log = fs::read_to_string(&engine.log).unwrap_or_default();
        bail!("measuring ended with {}; the engine says: {log}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("what the clients print")
}

fn number(seen: &Value, name: &str) -> Result<f64> {
    seen.get(name).and_then(Value::as_f64).with_context(|| format!("the clients print no {name}"))
}

/// Returns the bytes of the largest commit that a log in JSON speaks of.
fn largest_commit(log: &str) -> u64 {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let bytes = lines.filter_map(|line| {
        let fields = line.get("fields").unwrap_or(&line);
        let committed = fields.get("message").is_some_and(|message| message == "committed");
        fields.get("bytes").and_then(Value::as_u64).filter(|_| committed)
    });
    bytes.max().unwrap_or(0)
}

/// Returns the CPU seconds, user and system, of all children that ended and were waited for.
fn children_cpu() -> Result<f64> {
    /// Of `/proc`, on every Linux.
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    // Behind the name in parentheses; fields 16 and 17 of proc(5), the first here is 3.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(13).take(2);
    let ticks: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>().context("CPU times")?;
    ensure!(ticks.len() == 2, "/proc/self/stat is too short");
    Ok(ticks.iter().sum::<f64>() / TICKS_A_SECOND)
}
