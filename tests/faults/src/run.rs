//! One run: a pipeline, disturbed as its spec says, started again until it is done.

#![expect(clippy::disallowed_methods, reason = "the suite measures real time")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use millstream_broker::{Broker, Kafka, Settings, free_port};

use crate::client::Topics;
use crate::load::Load;
use crate::oracle::{DELAY_MS, Expected, SIZE_MS, expect};
use crate::proxy::{Mode, Proxy};
use crate::spec::{Action, Authority, Fault, Spec};

/// A run that takes longer is unfinished, which is neither passed nor failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The most starts of a run.
const STARTS: u32 = 40;

const LOOK: Duration = Duration::from_millis(5);

/// What all runs share: a broker, a proxy before it, inputs and what must come of them.
pub struct Lab {
    broker: Broker,
    proxy: Proxy,
    /// The cluster, not through the proxy.
    pub topics: Topics,
    loads: Vec<(Load, Expected)>,
    program: PathBuf,
    plugins: PathBuf,
    folder: tempfile::TempDir,
}

impl Lab {
    /// Starts a broker and writes inputs.
    ///
    /// # Errors
    /// When the broker does not start.
    pub fn open(kafka: &Kafka, program: &Path, plugins: &Path, rows: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut settings = Settings::free(&folder.path().join("broker"))?;
        // Clients of this listener are sent to the proxy.
        let (behind, before) = (free_port()?, free_port()?);
        let ports = settings.ports;
        let (plain, sasl, controller) = (ports.plain, ports.sasl, ports.controller);
        settings.properties = [
            (
                "listeners",
                format!(
                    "PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}"
                ),
            ),
            (
                "advertised.listeners",
                format!(
                    "PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},PROXIED://127.0.0.1:{before}"
                ),
            ),
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,SASL:SASL_PLAINTEXT"
                    .into(),
            ),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec();
        let broker = Broker::start(kafka, settings)?;
        let proxy = Proxy::start(&format!("127.0.0.1:{before}"), format!("127.0.0.1:{behind}"))?;
        let topics = Topics { address: broker.address() };
        let mut loads = Vec::new();
        for seed in 0..3 {
            let load = match Load::write(&topics, &format!("in-{seed}"), seed, rows) {
                Ok(load) => load,
                Err(error) => {
                    println!("an input is written again: {error:#}");
                    Load::write(&topics, &format!("in-again-{seed}"), seed, rows)?
                }
            };
            let expected = expect(&load);
            loads.push((load, expected));
        }
        let (program, plugins) = (program.to_owned(), plugins.to_owned());
        Ok(Self { broker, proxy, topics, loads, program, plugins, folder })
    }

    /// Returns the input of a run and what must come of it.
    pub fn load(&self, spec: &Spec) -> &(Load, Expected) {
        let count = u64::try_from(self.loads.len()).unwrap_or(1);
        let at = usize::try_from(spec.seed % count.max(1)).unwrap_or(0);
        self.loads.get(at).expect("there are inputs")
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Its folder, with state, outputs and what it said.
    pub folder: PathBuf,
    /// Its name; its topics are `<name>-windows`, `-alerts`, `-late`.
    pub name: String,
    /// How often it was started.
    pub starts: u32,
    /// The place or time of the fault was reached.
    pub disturbed: bool,
    /// It did not come to its end.
    pub unfinished: Option<String>,
    /// What must not happen in any run.
    pub wrong: Vec<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// A started process.
struct Process {
    child: Child,
    since: Instant,
}

/// Runs a spec to its end.
///
/// # Errors
/// When the suite itself fails.
pub fn execute(lab: &mut Lab, name: &str, spec: &Spec) -> Result<Ended> {
    let folder = lab.folder.path().join(name);
    fs::create_dir_all(&folder)?;
    if spec.authority == Authority::Kafka {
        for output in ["windows", "alerts", "late"] {
            lab.topics.create(&format!("{name}-{output}"), 2)?;
        }
    }
    let input = lab.load(spec).0.topic.clone();
    fs::write(folder.join("pipeline.toml"), pipeline(lab, name, &input, spec))?;
    lab.proxy.set(Mode::Pass);
    let began = Instant::now();
    let mut ended = Ended {
        folder: folder.clone(),
        name: name.to_owned(),
        starts: 0,
        disturbed: false,
        unfinished: None,
        wrong: Vec::new(),
        elapsed: Duration::ZERO,
    };
    let result = attempts(lab, spec, &folder, began, &mut ended);
    lab.proxy.set(Mode::Pass);
    ended.elapsed = began.elapsed();
    result.map(|()| ended)
}

fn attempts(
    lab: &mut Lab,
    spec: &Spec,
    folder: &Path,
    began: Instant,
    ended: &mut Ended,
) -> Result<()> {
    if let Fault::Zombie { point, passes, asleep_ms } = &spec.fault {
        let failpoints = format!("{point}={passes}*off->1*return(stop)->off");
        let mut sleeper = start(lab, spec, folder, 0, &failpoints)?;
        ended.starts += 1;
        if stopped(&mut sleeper, began)? {
            ended.disturbed = true;
            std::thread::sleep(Duration::from_millis(*asleep_ms));
            to_the_end(lab, spec, folder, began, ended, 1)?;
            signal(sleeper.child.id(), "CONT")?;
            match finish(&mut sleeper, began)? {
                Some(status) if status.code() == Some(4) => {}
                status => ended.wrong.push(format!(
                    "a process that was taken over from ended with {status:?}, not with code 4"
                )),
            }
            return Ok(());
        }
    }
    to_the_end(lab, spec, folder, began, ended, 0)
}

/// Starts the pipeline until it ends by itself.
fn to_the_end(
    lab: &mut Lab,
    spec: &Spec,
    folder: &Path,
    began: Instant,
    ended: &mut Ended,
    mut attempt: u32,
) -> Result<()> {
    // A restore happens only after a commit and a kill.
    let restoring = matches!(&spec.fault, Fault::Point { point: "restore::object", .. });
    loop {
        let failpoints = match &spec.fault {
            Fault::Point { .. } if restoring && attempt == 0 => {
                "commit::committed=6*off->1*return(kill)->off".to_owned()
            }
            Fault::Point { point, passes, action } if attempt == u32::from(restoring) => {
                let action = match action {
                    Action::Kill => "kill",
                    Action::Error => "error",
                };
                format!("{point}={passes}*off->1*return({action})->off")
            }
            Fault::Store(spec) => (*spec).to_owned(),
            _ => String::new(),
        };
        let mut process = start(lab, spec, folder, attempt, &failpoints)?;
        ended.starts += 1;
        let kill_ms = match &spec.fault {
            Fault::Kills(after) => usize::try_from(attempt).ok().and_then(|at| after.get(at)),
            _ => None,
        };
        let mut outside = attempt == 0;
        let status = loop {
            let since_ms = u64::try_from(process.since.elapsed().as_millis())?;
            if let Some(status) = process.child.try_wait()? {
                break status;
            }
            if kill_ms.is_some_and(|after| since_ms >= *after) {
                process.child.kill()?;
                ended.disturbed = true;
            }
            if outside && disturb(lab, &spec.fault, since_ms)? {
                (outside, ended.disturbed) = (false, true);
            }
            if began.elapsed() > PATIENCE {
                process.child.kill()?;
                process.child.wait()?;
                ended.unfinished = Some("it took too long".into());
                return Ok(());
            }
            std::thread::sleep(LOOK);
        };
        attempt += 1;
        if let Fault::Network { .. } = spec.fault {
            // It ended before the network was whole again.
            lab.proxy.set(Mode::Pass);
        }
        let point = matches!(spec.fault, Fault::Point { .. });
        match (status.code(), status.signal()) {
            (Some(0), _) => {
                // An error that was injected is told as an aborted commit.
                let told = fs::read_to_string(folder.join("told.log")).unwrap_or_default();
                ended.disturbed |= told.contains("injected")
                    || matches!(spec.fault, Fault::Clock(_) | Fault::Store(_));
                return Ok(());
            }
            (_, Some(9)) => ended.disturbed |= point,
            // Stopped on its store, or because its broker was away.
            (Some(3), _) => {}
            _ => {
                ended.wrong.push(format!("the process ended with {status}"));
                return Ok(());
            }
        }
        if attempt >= STARTS {
            ended.unfinished = Some(format!("it was started {STARTS} times"));
            return Ok(());
        }
    }
}

/// Does to broker or network what the fault says, when it is time. Returns true when it was done.
fn disturb(lab: &mut Lab, fault: &Fault, since_ms: u64) -> Result<bool> {
    match fault {
        Fault::Broker(after_ms) if since_ms >= *after_ms => {
            lab.broker.restart()?;
            Ok(true)
        }
        Fault::Network { mode, after_ms, for_ms } if since_ms >= *after_ms => {
            lab.proxy.set(match mode {
                1 => Mode::Delay,
                2 => Mode::SwallowAnswers,
                3 => Mode::SwallowQuestions,
                _ => Mode::Cut,
            });
            std::thread::sleep(Duration::from_millis(*for_ms));
            lab.proxy.set(Mode::Pass);
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn start(lab: &Lab, spec: &Spec, folder: &Path, attempt: u32, failpoints: &str) -> Result<Process> {
    let told = fs::File::options().create(true).append(true).open(folder.join("told.log"))?;
    let workers = 1 + (spec.workers + u64::from(attempt)) % 3;
    let mut command = Command::new(&lab.program);
    command
        .arg("run")
        .arg(folder.join("pipeline.toml"))
        .arg("-q")
        .arg("--set")
        .arg(format!("engine.workers={workers}"))
        .env("MILLSTREAM_PLUGINS", &lab.plugins)
        .env("FAILPOINTS", failpoints)
        .stdin(Stdio::null())
        .stdout(told.try_clone()?)
        .stderr(told);
    if let Fault::Clock(jump_s) = spec.fault {
        command.env("MILLSTREAM_CLOCK_JUMPS", jump_s.to_string());
    }
    Ok(Process { child: command.spawn().context("start millstream")?, since: Instant::now() })
}

/// Waits until a process has stopped itself; false when it ended before.
fn stopped(process: &mut Process, began: Instant) -> Result<bool> {
    let path = format!("/proc/{}/stat", process.child.id());
    loop {
        if process.child.try_wait()?.is_some() {
            return Ok(false);
        }
        let stat = fs::read_to_string(&path).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
        if state == Some('T') {
            return Ok(true);
        }
        if began.elapsed() > PATIENCE {
            process.child.kill()?;
            bail!("it neither stopped nor ended");
        }
        std::thread::sleep(LOOK);
    }
}

fn finish(process: &mut Process, began: Instant) -> Result<Option<ExitStatus>> {
    while began.elapsed() < 2 * PATIENCE {
        if let Some(status) = process.child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK);
    }
    process.child.kill()?;
    process.child.wait()?;
    Ok(None)
}

fn signal(process: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status()?;
    if status.success() { Ok(()) } else { bail!("cannot send SIG{name}") }
}

/// The pipeline: every kind of state between a topic and three outputs.
fn pipeline(lab: &Lab, name: &str, input: &str, spec: &Spec) -> String {
    let brokers = &lab.proxy.address;
    // Collection and compaction come after many commits.
    let often = matches!(&spec.fault, Fault::Point { point, .. } if point.starts_with("co") && !point.starts_with("commit"));
    let epoch_rows = if often { 50 } else { 400 };
    let mut text = format!(
        r#"
name = "{name}"
[engine]
epoch = "20ms"
epoch_rows = {epoch_rows}
[state]
path = "state"
[commit]
interval = "20ms"
max_bytes = "1 kB"
[dead_letters]
path = "dead-letters.jsonl"
[sources.in]
type = "kafka"
brokers = "{brokers}"
topics = ["{input}"]
end_offset = "latest"
watermark = {{ delay = "{DELAY_MS}ms" }}
[parsers.rows]
input = "in"
plugin = "json"
event_time = "ts"
[parsers.rows.config.columns]
ts = {{ type = "timestamp", format = "epoch_ms", required = true }}
key = {{ type = "text", required = true }}
seq = {{ type = "int64", required = true }}
v = {{ type = "int64", required = true }}
[windows.windows]
input = "rows"
tumbling = "{SIZE_MS}ms"
group_by = ["key"]
aggregate = {{ n = "count(*)", total = "sum(v)", seqs = "array_agg(seq)" }}
[rules.steps]
input = "windows"
key = ["key"]
plugin = "zscore"
config = {{ column = "total", rows = 5, min_rows = 3, threshold = 1.0 }}
[rules.ordered]
input = "rows"
key = ["key"]
plugin = "zscore"
config = {{ column = "v", rows = 20, min_rows = 5, threshold = 1.7 }}
order = "event_time"
[rules.large]
input = "rows"
key = ["key"]
when = "v > 990"
"#
    );
    for (output, inputs) in [
        ("windows", r#"["windows"]"#),
        ("alerts", r#"["steps", "ordered", "large"]"#),
        ("late", r#"["windows.late"]"#),
    ] {
        let kind = match spec.authority {
            Authority::Kafka => format!(
                "type = \"kafka\"\nbrokers = \"{brokers}\"\ntopic = \"{name}-{output}\"\ntransaction_timeout = \"2s\"\n"
            ),
            Authority::Store => format!(
                "type = \"file\"\npath = \"out/{output}\"\nroll = {{ every = \"1 hour\", max_bytes = \"30 kB\" }}\n"
            ),
        };
        write!(text, "[sinks.to_{output}]\ninputs = {inputs}\n{kind}").expect("a string");
    }
    text
}
