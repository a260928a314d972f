//! `millstream generate`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Exit;
use super::tell;
use crate::generate::{Format, Generator, Incidents, Settings};

/// Rows written in one go.
const CHUNK_ROWS: usize = 8_192;

/// What to generate.
#[derive(Debug, Args)]
pub struct Options {
    /// service-json, apache-combined, nginx-combined, user-events or record-j.
    format: Format,
    /// Where to write; standard output without it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How many rows.
    #[arg(long)]
    rows: Option<u64>,
    /// How much event time: "1 hour".
    #[arg(long, value_name = "DURATION")]
    duration: Option<String>,
    /// Event time of the start: 2025-09-12T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Mean rows a second of event time.
    #[arg(long)]
    rate: Option<f64>,
    /// How much the rate swings over the day, 0 to 1.
    #[arg(long)]
    diurnal: Option<f64>,
    /// Share of rows that come a little late.
    #[arg(long, value_name = "SHARE")]
    out_of_order: Option<f64>,
    /// Most delay of an out-of-order row: "2 seconds".
    #[arg(long, value_name = "DURATION")]
    max_disorder: Option<String>,
    /// Share of rows that come much too late.
    #[arg(long, value_name = "SHARE")]
    late: Option<f64>,
    /// Most delay of a late row: "5 minutes".
    #[arg(long, value_name = "DURATION")]
    max_lateness: Option<String>,
    /// Share of rows that no parser takes.
    #[arg(long, value_name = "SHARE")]
    malformed: Option<f64>,
    /// Number of services.
    #[arg(long)]
    services: Option<u32>,
    /// Number of users.
    #[arg(long)]
    users: Option<u32>,
    /// The same seed gives the same bytes.
    #[arg(long)]
    seed: Option<u64>,
    /// `none`, `default`, or incidents as JSON.
    #[arg(long, value_name = "INCIDENTS")]
    incidents: Option<String>,
    /// Also write what was injected, as JSON lines.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

/// Writes generated rows.
pub fn generate(options: &Options) -> Exit {
    let settings = match settings(options) {
        Ok(settings) => settings,
        Err(message) => return refuse(&message),
    };
    let mut generator = match Generator::new(&settings) {
        Ok(generator) => generator,
        Err(error) => return refuse(&error.to_string()),
    };
    let written = match &options.output {
        Some(path) => create(path).and_then(|file| write(&mut generator, file)),
        None => write(&mut generator, std::io::stdout().lock()),
    };
    let told = written.and_then(|()| match &options.truth {
        Some(path) => create(path).and_then(|mut file| {
            for truth in generator.truth() {
                serde_json::to_writer(&mut file, &truth)?;
                file.write_all(b"\n")?;
            }
            file.flush()
        }),
        None => Ok(()),
    });
    match told {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            let path = options.output.as_deref().unwrap_or(Path::new("standard output"));
            tell::error(&format!("writing {}: {error}", path.display()), None);
            Exit::Stopped
        }
    }
}

fn refuse(message: &str) -> Exit {
    tell::error(&message, None);
    Exit::Usage
}

fn settings(options: &Options) -> Result<Settings, String> {
    let mut settings = Settings { format: options.format, ..Settings::default() };
    fn set<T: Clone>(place: &mut T, value: Option<&T>) {
        if let Some(value) = value {
            value.clone_into(place);
        }
    }
    settings.rows = options.rows;
    settings.duration.clone_from(&options.duration);
    settings.start.clone_from(&options.start);
    settings.late = options.late;
    settings.seed = options.seed;
    set(&mut settings.rate, options.rate.as_ref());
    set(&mut settings.diurnal, options.diurnal.as_ref());
    set(&mut settings.out_of_order, options.out_of_order.as_ref());
    set(&mut settings.max_disorder, options.max_disorder.as_ref());
    set(&mut settings.max_lateness, options.max_lateness.as_ref());
    set(&mut settings.malformed, options.malformed.as_ref());
    set(&mut settings.services, options.services.as_ref());
    set(&mut settings.users, options.users.as_ref());
    if let Some(text) = &options.incidents {
        settings.incidents = incidents(text)?;
    }
    if settings.rows.is_none() && settings.duration.is_none() {
        return Err("say how much: --rows or --duration".to_owned());
    }
    Ok(settings)
}

fn incidents(text: &str) -> Result<Incidents, String> {
    let value = match text {
        "none" | "default" => serde_json::Value::String(text.to_owned()),
        json => serde_json::from_str(json).map_err(|error| {
            format!("--incidents: {error}; give none, default or a JSON list of incidents")
        })?,
    };
    serde_json::from_value(value).map_err(|error| format!("--incidents: {error}"))
}

fn create(path: &Path) -> std::io::Result<BufWriter<File>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::create(path).map(BufWriter::new)
}

fn write(generator: &mut Generator, mut to: impl Write) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(4 << 20);
    loop {
        buffer.clear();
        let rows = generator.fill(&mut buffer, CHUNK_ROWS);
        if rows == 0 {
            return to.flush();
        }
        to.write_all(&buffer)?;
    }
}
