//! Fetches Java, Maven and the broker's jars, where they are missing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::broker::Broker;
use crate::settings::Settings;

/// The version of Apache Kafka.
pub const VERSION: &str = "4.4.0";

/// An installed Kafka: its jars and the archive of loaded classes that halves the start.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// The folder of everything.
    pub folder: PathBuf,
}

impl Kafka {
    /// Returns Java's class path.
    pub fn class_path(&self) -> String {
        format!("{}/*", self.folder.join("libs").display())
    }

    /// Returns the archive of loaded classes; it may be missing.
    pub fn archive(&self) -> PathBuf {
        self.folder.join("kafka.jsa")
    }

    fn done(&self) -> PathBuf {
        self.folder.join(format!("installed-{VERSION}"))
    }
}

/// Returns Kafka in `folder`, installed there if it is not yet. Several processes may ask at once.
///
/// # Errors
/// When Java, Maven or the jars cannot be had.
pub fn install(folder: &Path) -> Result<Kafka> {
    let kafka = Kafka { folder: folder.to_owned() };
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let lock = File::create(folder.join("lock")).context("create the lock file")?;
    lock.lock().context("wait for another installation")?;
    ensure_program("java", "default-jre-headless")?;
    if kafka.done().is_file() {
        return Ok(kafka);
    }
    ensure_program("mvn", "maven")?;
    eprintln!("fetching Apache Kafka {VERSION} from Maven Central (43 MB)");
    fs::write(folder.join("pom.xml"), POM.replace("VERSION", VERSION))?;
    let libs = folder.join("libs");
    if libs.exists() {
        fs::remove_dir_all(&libs)?;
    }
    run(Command::new("mvn").current_dir(folder).args([
        "-q",
        "-B",
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        "-DoutputDirectory=libs",
    ]))?;
    archive_classes(&kafka)?;
    File::create(kafka.done())?;
    Ok(kafka)
}

/// Starts and stops a node once, so that Java keeps what it loaded.
fn archive_classes(kafka: &Kafka) -> Result<()> {
    let data = kafka.folder.join("archiving");
    let settings = Settings::free(&data)?;
    let mut broker = Broker::start_archiving(kafka, settings)?;
    broker.stop()?;
    fs::remove_dir_all(&data).context("remove the data of the first start")
}

/// Installs a Debian package when a program of it is missing.
fn ensure_program(program: &str, package: &str) -> Result<()> {
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    if quiet(Command::new(program).arg("-version")) {
        return Ok(());
    }
    eprintln!("`{program}` is missing: apt-get install {package}");
    let install = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.args(["install", "-y", "-q", "--no-install-recommends", package]);
        command
    };
    if quiet(&mut install()) {
        return Ok(());
    }
    run(Command::new("apt-get").args(["update", "-q"]))
        .and_then(|()| run(&mut install()))
        .with_context(|| {
            format!("`{program}` is needed for a real Kafka; install package {package} by hand")
        })
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// Only dependencies; `slf4j-simple` gives the broker a log.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millstream</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"#;
