//! `millstream run`.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::PipelineFile;
use super::exit::Exit;
use super::load::{Loaded, load};
use super::progress::ProgressBar;
use super::watch::{Watch, WatchOptions};
use super::{summary, tell};
use crate::clock::{Stopwatch, now_us};
use crate::config::model::{FileFormat, FileSink, SinkKind, Visible};
use crate::config::units::format_duration_us;
use crate::engine::{Engine, EngineError, EngineOptions, Machine};
use crate::plan::{DEAD_LETTERS, NodeKind, Plan, rejects_schema};
use crate::sinks::{self, ConsoleOutput, Durability, Sink, SinkError, SinkInput};
use crate::sources::{self, Source, SourceError};

/// The signals that ask the run to end.
const STOP_SIGNALS: [i32; 2] = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];

/// What to run and how much to say.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    pipeline: PipelineFile,
    /// No progress bar, no warnings, no summary.
    #[arg(short, long)]
    quiet: bool,
    /// Print the summary as one JSON object.
    #[arg(long)]
    summary_json: bool,
    #[command(flatten)]
    watch: WatchOptions,
}

/// Runs a pipeline to its end or until it is told to stop.
pub fn run(options: &Options) -> Exit {
    let loaded = match load(&options.pipeline) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if !options.quiet && !loaded.warnings.is_empty() {
        tell::diagnostics(&loaded.warnings, &loaded.source);
    }
    let signals = match Signals::install(loaded.plan.engine.shutdown_timeout_us) {
        Ok(signals) => signals,
        Err(error) => {
            tell::error(&format!("cannot listen for signals: {error}"), None);
            return Exit::Stopped;
        }
    };
    let visible = !options.quiet && !tell::is_json() && std::io::stderr().is_terminal();
    let bar = ProgressBar::new(visible);
    let mut watch = match Watch::start(&options.watch, &loaded.plan) {
        Ok(watch) => watch,
        Err(exit) => return exit,
    };
    let engine = open(&loaded.plan, &bar).and_then(|opened| {
        Engine::new(Arc::clone(&loaded.plan), opened).map_err(OpenError::Engine)
    });
    match engine {
        Ok(engine) => drive(engine, options, &loaded, &signals, (bar, &mut watch)),
        Err(error) => {
            tell::error(&tell::with_causes(&error), error.help().as_deref());
            Exit::Stopped
        }
    }
}

fn drive(
    mut engine: Engine,
    options: &Options,
    loaded: &Loaded,
    signals: &Signals,
    (mut bar, served): (ProgressBar, &mut Watch),
) -> Exit {
    let watch = Stopwatch::start();
    served.begin();
    let stop = || signals.stopped();
    let result = engine.run(&Machine::new(&stop), &mut |engine| {
        bar.update(engine);
        served.epoch(engine);
    });
    bar.finish();
    served.end();
    let closed = engine.close(now_us());
    let mut exit = Exit::Done;
    for error in [result.err(), closed.err()].into_iter().flatten() {
        // A reader that has seen enough ends the run as if it were complete.
        if error.output_closed() {
            continue;
        }
        let told = format!("pipeline {} stopped: {}", loaded.plan.name, tell::with_causes(&error));
        tell::error(&told, error.help().as_deref());
        if exit == Exit::Done {
            exit = if error.is_bug() { Exit::Bug } else { Exit::Stopped };
        }
    }
    let summary = summary::of(&engine, watch.elapsed());
    if options.summary_json || (tell::is_json() && !options.quiet) {
        eprintln!("{}", summary.to_json());
    } else if !options.quiet {
        eprint!("\n{summary}");
    }
    exit
}

/// Why a pipeline cannot start.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("source `{node}`: {source}")]
    Source { node: String, source: SourceError },
    #[error("sink `{node}`: {source}")]
    Sink { node: String, source: SinkError },
    #[error(transparent)]
    Engine(EngineError),
}

impl OpenError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Source { node, source: source @ SourceError::Missing { .. } } => Some(format!(
                "{}; `--set sources.{node}.path=FILE` names another file, and \
                 `millstream generate` makes one to try with",
                source.help().unwrap_or_default()
            )),
            Self::Source { source, .. } => source.help(),
            Self::Sink { source, .. } => Some(source.remedy().to_owned()),
            Self::Engine(error) => error.help(),
        }
    }
}

/// Sources with the names of their nodes.
type NamedSources = Vec<(String, Box<dyn Source>)>;

/// Opens sources and sinks. What sinks show goes past `bar`.
fn open(plan: &Plan, bar: &ProgressBar) -> Result<EngineOptions, OpenError> {
    Ok(EngineOptions {
        sources: open_sources(plan)?,
        sinks: open_sinks(plan, bar)?,
        dead_letters: open_dead_letters(plan, bar)?,
        record_facts: false,
    })
}

fn open_sources(plan: &Plan) -> Result<NamedSources, OpenError> {
    let mut opened = Vec::with_capacity(plan.sources.len());
    for id in &plan.sources {
        let node = plan.node(*id);
        let NodeKind::Source(source) = &node.kind else { continue };
        // The configuration has made every path relative to the pipeline file's folder.
        let source = sources::open(&source.config.kind, source.id, Path::new(""), None)
            .map_err(|source| OpenError::Source { node: node.name.clone(), source })?;
        opened.push((node.name.clone(), source));
    }
    Ok(opened)
}

fn open_sinks(plan: &Plan, bar: &ProgressBar) -> Result<Vec<Option<Box<dyn Sink>>>, OpenError> {
    let mut opened = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        opened.push(match &node.kind {
            NodeKind::Sink(sink) => Some(
                sinks::build(&sink.config, &sink.inputs, || console(bar), None, Durability::AtRoll)
                    .map_err(|source| OpenError::Sink { node: node.name.clone(), source })?,
            ),
            _ => None,
        });
    }
    Ok(opened)
}

fn open_dead_letters(plan: &Plan, bar: &ProgressBar) -> Result<Option<Box<dyn Sink>>, OpenError> {
    let Some(settings) = &plan.dead_letters else { return Ok(None) };
    let kind = SinkKind::File(FileSink {
        path: settings.path.clone(),
        format: FileFormat::Jsonl,
        visible: Visible::Commit,
        roll_us: i64::MAX,
        roll_bytes: u64::MAX,
    });
    let inputs = [SinkInput { node: DEAD_LETTERS.to_owned(), schema: rejects_schema() }];
    let sink = sinks::build(&kind, &inputs, || console(bar), None, Durability::AtRoll);
    sink.map(Some).map_err(|source| OpenError::Sink { node: DEAD_LETTERS.to_owned(), source })
}

fn console(bar: &ProgressBar) -> ConsoleOutput {
    ConsoleOutput {
        writer: bar.beside(std::io::stdout()),
        colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// SIGTERM and Ctrl-C: the first ends the epoch and closes cleanly, within `shutdown_timeout`; the
/// second ends at once.
struct Signals {
    stop: Arc<AtomicBool>,
}

impl Signals {
    fn install(shutdown_timeout_us: i64) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in STOP_SIGNALS {
            // In this order: the second signal finds the flag set, and ends the process.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let mut first = signal_hook::iterator::Signals::new(STOP_SIGNALS)?;
        // Ends with the process, which it must be able to end: it waits for nobody.
        std::thread::Builder::new().name("millstream-shutdown".into()).spawn(move || {
            if first.forever().next().is_some() {
                end_after(shutdown_timeout_us);
            }
        })?;
        Ok(Self { stop })
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Ends the process when it is still there after its time: something does not come back, as a
/// write to a dead network drive. What was not committed is dropped, as after a crash.
fn end_after(shutdown_timeout_us: i64) {
    let timeout = Duration::from_micros(u64::try_from(shutdown_timeout_us).unwrap_or(0));
    std::thread::sleep(timeout);
    let within = format_duration_us(shutdown_timeout_us);
    tell::error(
        &format!("the pipeline did not end within {within} of the signal; ended by force"),
        Some("look for a sink that hangs, or give it longer: [engine] shutdown_timeout"),
    );
    std::process::exit(3);
}
