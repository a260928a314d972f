//! `cargo xtask kafka`: a real Apache Kafka to try things out with.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use millstream_broker::{Kafka, Settings, VERSION, format_once, install, java, request};
use millstream_broker::{terminate, wait_until_ready};

use crate::shell::target;

/// What to do with the broker.
#[derive(Subcommand)]
pub enum Command {
    /// Fetches Apache Kafka if need be, starts one node on loopback and prints its address. Does
    /// nothing more when it runs already.
    Start(Start),
    /// Stops it; its data stays.
    Stop,
    /// Says whether it runs.
    Status,
    /// Creates a topic on the broker that runs.
    Topic(Topic),
}

/// Where to listen.
#[derive(Args)]
pub struct Start {
    /// The port for clients; the two behind it are used too.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// Throw away the data of earlier starts.
    #[arg(long)]
    fresh: bool,
}

/// Which topic.
#[derive(Args)]
pub struct Topic {
    /// Its name.
    name: String,
    /// How many partitions it gets.
    #[arg(long, default_value_t = 1)]
    partitions: i32,
}

/// Runs a subcommand.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Start(options) => {
            println!("{}", start(options)?);
            Ok(())
        }
        Command::Stop => stop(),
        Command::Status => {
            match running() {
                Some(running) => {
                    println!("Apache Kafka {VERSION} runs at {}", running.settings.address());
                }
                None => println!("not running"),
            }
            Ok(())
        }
        Command::Topic(topic) => {
            let Some(running) = running() else { bail!("not running: cargo xtask kafka start") };
            request::create_topic(&running.settings.address(), &topic.name, topic.partitions)
        }
    }
}

/// Returns the folder of jars, shared with the tests.
pub fn folder() -> PathBuf {
    target().join("kafka")
}

struct Running {
    settings: Settings,
    process: u32,
}

fn node() -> PathBuf {
    folder().join("node")
}

/// Returns the node that answers, if there is one.
fn running() -> Option<Running> {
    let text = fs::read_to_string(node().join("running")).ok()?;
    let (process, port) = text.trim().split_once(' ')?;
    let settings = Settings::at(&node(), port.parse().ok()?);
    let process = process.parse().ok()?;
    request::answers(&settings.address()).then_some(Running { settings, process })
}

fn start(options: &Start) -> Result<String> {
    if let Some(running) = running() {
        if running.settings.ports.plain != options.port {
            bail!("it runs already, at {}; stop it first", running.settings.address());
        }
        return Ok(running.settings.address());
    }
    let kafka = install(&folder())?;
    if options.fresh && node().exists() {
        fs::remove_dir_all(node()).context("remove the old data")?;
    }
    let settings = Settings::at(&node(), options.port);
    if request::answers(&settings.address()) {
        bail!("something else listens at {}; choose another --port", settings.address());
    }
    format_once(&kafka, &settings)?;
    let process = launch(&kafka, &settings)?;
    fs::write(node().join("running"), format!("{process} {}\n", options.port))?;
    wait_until_ready(&settings, Duration::from_secs(90))?;
    eprintln!("log and data: {}", node().display());
    Ok(settings.address())
}

/// Starts a node that outlives this process and its terminal.
fn launch(kafka: &Kafka, settings: &Settings) -> Result<u32> {
    let log = File::options().create(true).append(true).open(node().join("broker.log"))?;
    let mut command = java(kafka, settings, &[]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    Ok(command.spawn().context("start the broker")?.id())
}

fn stop() -> Result<()> {
    let Some(running) = running() else {
        println!("not running");
        return Ok(());
    };
    terminate(running.process, Duration::from_secs(30))?;
    let _ = fs::remove_file(node().join("running"));
    println!("stopped");
    Ok(())
}
