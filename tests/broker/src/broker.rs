//! One running node.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::install::Kafka;
use crate::request;
use crate::settings::Settings;

/// How long a start may take; seconds on a quiet machine, more while something compiles.
const START_PATIENCE: Duration = Duration::from_secs(90);

/// A node that dies with this process.
#[derive(Debug)]
pub struct Broker {
    kafka: Kafka,
    settings: Settings,
    /// The guard, which kills Java when this process ends, however it ends.
    guard: Option<Child>,
    java: u32,
}

/// What the guard runs: Java beside a reader of a pipe that only this process holds open. `$0` is
/// the file for Java's process id.
const GUARD: &str = r#"exec 3<&0; "$@" </dev/null 3<&- & java=$!; echo $java >"$0"; cat <&3 >/dev/null; kill -9 $java 2>/dev/null; wait"#;

impl Broker {
    /// Starts a node and waits until it answers. A folder that is new is formatted first.
    ///
    /// # Errors
    /// When it does not start; its log is in the folder, `broker.log`.
    pub fn start(kafka: &Kafka, settings: Settings) -> Result<Self> {
        let mut broker = Self { kafka: kafka.clone(), settings, guard: None, java: 0 };
        broker.launch(&[])?;
        Ok(broker)
    }

    /// Starts a node that leaves an archive of its classes behind when it is stopped.
    pub(crate) fn start_archiving(kafka: &Kafka, settings: Settings) -> Result<Self> {
        let mut broker = Self { kafka: kafka.clone(), settings, guard: None, java: 0 };
        let archive = format!("-XX:ArchiveClassesAtExit={}", kafka.archive().display());
        broker.launch(&[&archive])?;
        Ok(broker)
    }

    /// Starts the node again, on the same ports and data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.launch(&[])
    }

    /// Kills the node at once (`kill -9`).
    pub fn kill(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        // The guard's reader sees the end of the pipe.
        drop(guard.stdin.take());
        let _ = guard.wait();
    }

    /// Stops the node in order.
    ///
    /// # Errors
    /// When there is no way to tell it.
    pub fn stop(&mut self) -> Result<()> {
        if self.guard.is_some() {
            terminate(self.java, Duration::from_secs(30))?;
        }
        self.kill();
        Ok(())
    }

    /// Returns where clients connect.
    pub fn address(&self) -> String {
        self.settings.address()
    }

    /// Returns where clients connect that prove who they are.
    pub fn sasl_address(&self) -> String {
        format!("127.0.0.1:{}", self.settings.ports.sasl)
    }

    /// Returns the id of Java's process, for signals.
    pub fn process(&self) -> u32 {
        self.java
    }

    fn launch(&mut self, more: &[&str]) -> Result<()> {
        format_once(&self.kafka, &self.settings)?;
        let folder = &self.settings.folder;
        let log = File::options().create(true).append(true).open(folder.join("broker.log"))?;
        let pid = folder.join("java.pid");
        let _ = fs::remove_file(&pid);
        let java = java(&self.kafka, &self.settings, more);
        let mut guard = Command::new("sh");
        guard.arg("-c").arg(GUARD).arg(&pid).arg(java.get_program()).args(java.get_args());
        guard.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        self.guard = Some(guard.spawn().context("start the broker")?);
        wait_until_ready(&self.settings, START_PATIENCE)?;
        let text = fs::read_to_string(&pid).context("read the broker's process id")?;
        self.java = text.trim().parse().context("the broker's process id")?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes the properties and, into a folder without data, what a new node needs.
///
/// # Errors
/// When the storage tool fails.
pub fn format_once(kafka: &Kafka, settings: &Settings) -> Result<()> {
    let folder = &settings.folder;
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let properties = folder.join("server.properties");
    fs::write(&properties, settings.properties())?;
    if folder.join("data/meta.properties").is_file() {
        return Ok(());
    }
    let output = base(kafka)
        .args(["kafka.tools.StorageTool", "format", "--standalone", "-t", &cluster_id()?, "-c"])
        .arg(&properties)
        .stdin(Stdio::null())
        .output()
        .context("start Java")?;
    if !output.status.success() {
        bail!("cannot format {}: {}", folder.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Returns the command that runs a node, in the foreground.
pub fn java(kafka: &Kafka, settings: &Settings, more: &[&str]) -> Command {
    let mut command = Command::new("java");
    command.arg("-Xmx512m").args(more).args(flags(kafka)).arg("kafka.Kafka");
    command.arg(settings.folder.join("server.properties"));
    command
}

fn base(kafka: &Kafka) -> Command {
    let mut command = Command::new("java");
    command.args(flags(kafka));
    command
}

/// Serial collection, the quick compiler alone and archived classes: up in 1.5 s instead of 3.
fn flags(kafka: &Kafka) -> Vec<String> {
    let mut flags = vec!["-XX:+UseSerialGC".into(), "-XX:TieredStopAtLevel=1".into()];
    if kafka.archive().is_file() {
        flags.push(format!("-XX:SharedArchiveFile={}", kafka.archive().display()));
        flags.push("-Xshare:auto".into());
    }
    flags.push("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into());
    flags.push("-cp".into());
    flags.push(kafka.class_path());
    flags
}

/// Asks the node until it answers.
///
/// # Errors
/// When it does not within `patience`; with the end of its log.
pub fn wait_until_ready(settings: &Settings, patience: Duration) -> Result<()> {
    let step = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    while !request::answers(&settings.address()) {
        if waited >= patience {
            let log = fs::read_to_string(settings.folder.join("broker.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(20).collect();
            let tail: Vec<&str> = lines.into_iter().rev().collect();
            bail!("the broker does not answer at {}:\n{}", settings.address(), tail.join("\n"));
        }
        std::thread::sleep(step);
        waited += step;
    }
    Ok(())
}

/// Ends a process in order and waits until it is gone.
///
/// # Errors
/// When it stays.
pub fn terminate(process: u32, patience: Duration) -> Result<()> {
    let signal = |name: &str| {
        let mut kill = Command::new("kill");
        kill.args([name, &process.to_string()]).stderr(Stdio::null());
        kill.status().is_ok_and(|status| status.success())
    };
    if !signal("-TERM") {
        return Ok(());
    }
    let step = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    while signal("-0") && !is_zombie(process) {
        if waited >= patience {
            bail!("process {process} does not end");
        }
        std::thread::sleep(step);
        waited += step;
    }
    Ok(())
}

fn is_zombie(process: u32) -> bool {
    fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

/// Returns 16 random bytes as 22 characters of base64url.
fn cluster_id() -> Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = [0u8; 22];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random))?;
    // The last character holds the last 2 of 128 bits; a leading `-` would look like an option.
    let letter = |(at, byte): (usize, &u8)| {
        let index = match at {
            0 => byte % 26,
            21 => (byte % 4) * 16,
            _ => byte % 64,
        };
        ALPHABET.get(usize::from(index)).map_or('A', |letter| char::from(*letter))
    };
    Ok(random.iter().enumerate().map(letter).collect())
}
