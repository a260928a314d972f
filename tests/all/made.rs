//! Inputs made by our own generator: the same bytes everywhere, so nothing is committed but a hash.

use std::path::{Path, PathBuf};

use millstream::generate::{Format, Generator, Settings};
use sha2::{Digest, Sha256};

use crate::model::{Log, SECOND, read, service_line};

/// The delay under which `service_log` has late rows.
pub const DELAY: i64 = SECOND;

/// The settings of [`service_log`].
pub fn service_settings() -> Settings {
    Settings {
        format: Format::ServiceJson,
        rows: Some(2_000),
        duration: Some("10 minutes".into()),
        out_of_order: 0.2,
        max_disorder: "5 seconds".into(),
        late: Some(0.05),
        max_lateness: "2 minutes".into(),
        malformed: 0.01,
        services: 4,
        users: 12,
        seed: Some(7),
        ..Settings::default()
    }
}

/// Two thousand lines of service logs with every trouble in them.
pub fn service_log() -> String {
    let text = generate(&service_settings());
    assert_input(&text, "04dcfba307040d98");
    text
}

pub fn generate(settings: &Settings) -> String {
    let mut bytes = Vec::new();
    let mut generator = Generator::new(settings).expect("settings");
    while generator.fill(&mut bytes, 1_000) > 0 {}
    String::from_utf8(bytes).expect("UTF-8")
}

/// Goldens are only goldens of this very input: its hash starts so.
pub fn assert_input(text: &str, expected: &str) {
    let hash: String =
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(hash.starts_with(expected), "the generator's bytes changed: their hash is {hash}");
}

/// Deals lines out in turn.
pub fn deal(text: &str, partitions: usize) -> Vec<String> {
    deal_by(text, partitions, |number, _| number)
}

/// Deals lines out unevenly: the last of three partitions gets every twentieth line. Read in turn, it
/// is far ahead of the others and ends early; and its watermark is further behind at its own rows.
pub fn deal_unevenly(text: &str, partitions: usize) -> Vec<String> {
    deal_by(text, partitions, |number, _| if number % 20 == 7 { 2 } else { number % 2 })
}

/// Deals lines out by service, so that a service's lines keep their order. What is no line of a
/// service is dealt out in turn.
pub fn deal_by_service(text: &str, partitions: usize) -> Vec<String> {
    deal_by(text, partitions, |number, line| match service_line(line) {
        Ok((_, row)) => row["service"].as_str().expect("a service").bytes().map(usize::from).sum(),
        Err(_) => number,
    })
}

fn deal_by(text: &str, partitions: usize, to: fn(usize, &str) -> usize) -> Vec<String> {
    let mut dealt = vec![String::new(); partitions];
    for (number, line) in text.lines().enumerate() {
        let partition = &mut dealt[to(number, line) % partitions];
        partition.push_str(line);
        partition.push('\n');
    }
    dealt
}

/// What the model reads in partitions of a service log.
pub fn service_model(partitions: &[String]) -> Log {
    let log = read(partitions, DELAY, service_line);
    assert!(!log.refused.is_empty());
    log
}

/// Writes each partition to a file.
pub fn write(folder: &Path, name: &str, partitions: &[String]) -> Vec<PathBuf> {
    let file = |(number, text): (usize, &String)| {
        let path = folder.join(format!("{name}-{number}.log"));
        std::fs::write(&path, text).expect("write input");
        path
    };
    partitions.iter().enumerate().map(file).collect()
}

/// Writes paths as TOML does.
pub fn paths(paths: &[PathBuf]) -> String {
    let quoted: Vec<String> =
        paths.iter().map(|path| format!("{:?}", path.display().to_string())).collect();
    format!("[{}]", quoted.join(", "))
}

/// The generator as a source of the lines of [`service_log`], dealt out in turn.
pub fn generator_source(partitions: usize) -> String {
    let Settings { duration, out_of_order, max_disorder, late, max_lateness, .. } =
        service_settings();
    let Settings { rows, malformed, services, users, seed, .. } = service_settings();
    let (rows, duration) = (rows.expect("rows"), duration.expect("a duration"));
    let (late, seed) = (late.expect("a share"), seed.expect("a seed"));
    format!(
        "type = \"generator\"\npartitions = {partitions}\nsettings = {{ format = \"service-json\", \
         rows = {rows}, duration = {duration:?}, out_of_order = {out_of_order:?}, \
         max_disorder = {max_disorder:?}, late = {late:?}, max_lateness = {max_lateness:?}, \
         malformed = {malformed:?}, services = {services}, users = {users}, seed = {seed} }}"
    )
}
