//! `millstream run`.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::PipelineFile;
use super::exit::Exit;
use super::load::{Loaded, load};
use super::progress::ProgressBar;
use super::watch::{Watch, WatchOptions};
use super::{session, summary, tell};
use crate::checkpoint::{Start, Tenure, random_id};
use crate::clock::{Stopwatch, now_us};
use crate::config::units::format_duration_us;
use crate::engine::{Engine, Machine};

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
    #[command(flatten)]
    start: StartOptions,
}

/// How a pipeline that keeps state starts.
#[derive(Debug, Args)]
struct StartOptions {
    /// Go on from this checkpoint, whatever the last commit says. Results since it come again.
    #[arg(long, value_name = "ID", conflicts_with = "reset")]
    from_checkpoint: Option<String>,
    /// Begin anew, with empty state, at the sources' start.
    #[arg(long)]
    reset: bool,
}

impl StartOptions {
    fn start(&self) -> Start {
        match (&self.from_checkpoint, self.reset) {
            (Some(id), _) => Start::From(id.clone()),
            (None, true) => Start::Reset,
            (None, false) => Start::Continue,
        }
    }
}

/// Aborted commits in a row, with nothing committed between them, after which a pipeline stops:
/// it is not the moment that is bad.
const MOST_ABORTS: u32 = 3;

/// The pause before another try, and the longest: it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs a pipeline to its end or until it is told to stop.
pub fn run(options: &Options) -> Exit {
    let loaded = match load(&options.pipeline) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if !options.quiet && !loaded.warnings.is_empty() {
        tell::diagnostics(&loaded.warnings, &loaded.source);
    }
    if loaded.plan.state.is_none() && options.start.start() != Start::Continue {
        tell::error(
            &"the pipeline keeps no state: there is no checkpoint to start from or to leave",
            Some("add a table: [state] with path = \"state\""),
        );
        return Exit::Usage;
    }
    let signals = match Signals::install(loaded.plan.engine.shutdown_timeout_us) {
        Ok(signals) => signals,
        Err(error) => {
            tell::error(&format!("cannot listen for signals: {error}"), None);
            return Exit::Stopped;
        }
    };
    let visible = !options.quiet && !tell::is_json() && std::io::stderr().is_terminal();
    let watch = match Watch::start(&options.watch, &loaded.plan) {
        Ok(watch) => watch,
        Err(exit) => return exit,
    };
    let bar = ProgressBar::new(visible);
    let tenure = Tenure { owner: random_id(), held: false };
    Run { options, loaded: &loaded, signals: &signals, bar, watch, tenure }.run()
}

/// One call of `millstream run`.
struct Run<'a> {
    options: &'a Options,
    loaded: &'a Loaded,
    signals: &'a Signals,
    bar: ProgressBar,
    watch: Watch,
    tenure: Tenure,
}

/// How one try ended.
enum Try {
    Over(Exit),
    /// Everything since the last commit is undone, and may be done again. `progress`: something
    /// was committed before.
    Again {
        why: String,
        progress: bool,
    },
    /// It did not even start, for a reason that may pass.
    Later {
        why: String,
    },
}

impl Run<'_> {
    fn run(mut self) -> Exit {
        let since = Stopwatch::start();
        let mut start = self.options.start.start();
        let (mut aborts, mut in_a_row, mut pause) = (0, 0, FIRST_PAUSE);
        loop {
            let why = match self.once(&start, since, aborts) {
                Try::Over(exit) => return exit,
                Try::Again { why, progress } => {
                    aborts += 1;
                    self.watch.again();
                    in_a_row = if progress { 1 } else { in_a_row + 1 };
                    if progress {
                        pause = FIRST_PAUSE;
                    }
                    why
                }
                Try::Later { why } => why,
            };
            if in_a_row >= MOST_ABORTS {
                self.stopped(
                    &why,
                    Some("the same commit was aborted each time; nothing of it is visible"),
                );
                return Exit::Stopped;
            }
            if self.signals.stopped() {
                return Exit::Done;
            }
            tracing::warn!(%why, "going back to the last commit");
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            start = Start::Continue;
        }
    }

    fn once(&mut self, start: &Start, since: Stopwatch, aborts: u64) -> Try {
        match session::open(&self.loaded.plan, start, &mut self.tenure, &self.bar) {
            Ok(engine) => self.drive(engine, since, aborts),
            Err(error) => {
                if let Some(why) = error.may_pass() {
                    return Try::Later { why: why.to_owned() };
                }
                tell::error(&tell::with_causes(&error), error.help().as_deref());
                Try::Over(if error.fenced() { Exit::Fenced } else { Exit::Stopped })
            }
        }
    }

    fn drive(&mut self, mut engine: Engine, since: Stopwatch, aborts: u64) -> Try {
        let stop = || self.signals.stopped();
        let (bar, asked) = (&mut self.bar, &mut self.watch);
        asked.begin();
        let result = engine.run(&Machine::new(&stop), &mut |engine| {
            bar.update(engine);
            asked.epoch(engine);
        });
        self.bar.finish();
        self.watch.end(&engine);
        if let Err(error) = &result
            && let Some(why) = error.aborted()
        {
            let progress = engine.commits().is_some_and(|commits| commits.counts().commits > 0);
            return Try::Again { why: why.to_owned(), progress };
        }
        // What a failed run has not committed is the next run's, or another instance's, to publish.
        let close = result.is_ok() || engine.commits().is_none();
        let closed = if close { engine.close(now_us()) } else { Ok(()) };
        let mut exit = Exit::Done;
        for error in [result.err(), closed.err()].into_iter().flatten() {
            // A reader that has seen enough ends the run as if it were complete.
            if error.output_closed() {
                continue;
            }
            self.stopped(&tell::with_causes(&error), error.help().as_deref());
            if exit == Exit::Done {
                exit = if error.fenced() {
                    Exit::Fenced
                } else if error.is_bug() {
                    Exit::Bug
                } else {
                    Exit::Stopped
                };
            }
        }
        let mut summary = summary::of(&engine, since.elapsed());
        summary.aborted_commits = aborts;
        if self.options.summary_json || (tell::is_json() && !self.options.quiet) {
            eprintln!("{}", summary.to_json());
        } else if !self.options.quiet {
            eprint!("\n{summary}");
        }
        Try::Over(exit)
    }

    fn stopped(&self, why: &str, help: Option<&str>) {
        tell::error(&format!("pipeline {} stopped: {why}", self.loaded.plan.name), help);
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
