//! The command line: what is typed, and what it means. Errors become words and exit codes here.

mod check;
mod checkpoints;
mod exit;
mod generate;
mod load;
mod plugin;
mod plugins;
mod progress;
mod run;
mod session;
mod summary;
mod tell;
mod test;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use exit::Exit;

/// A stream processor whose parsers and rules are WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, about, max_term_width = 100)]
struct Cli {
    /// How much to log to standard error.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    log: String,
    /// How to log.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a pipeline. Bounded input ends by itself; Ctrl-C and SIGTERM end cleanly.
    Run(run::Options),
    /// Shows a pipeline's plan, or everything that is wrong with it.
    Check(check::Options),
    /// Runs the tests that a pipeline file carries.
    Test(test::Options),
    /// Prints the JSON Schema of pipeline files, for editors.
    Schema,
    /// Makes logs and events to try things with.
    Generate(Box<generate::Options>),
    /// Looks at the checkpoints of a pipeline.
    #[command(subcommand)]
    Checkpoints(checkpoints::Command),
    /// Keeps the checkpoint that counts, whole and for good. The pipeline may be running.
    Savepoint(PipelineFile),
    /// Makes a checkpoint count again, when the commit authority has lost which one does.
    Recover(checkpoints::Recover),
    /// Looks at plugins.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Compiles a plugin; the host calls itself with this.
    #[command(name = "__compile-plugin", hide = true, disable_help_flag = true)]
    CompilePlugin {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Which pipeline file, and what to change in it.
#[derive(Clone, Debug, Args)]
struct PipelineFile {
    /// The pipeline file.
    file: PathBuf,
    /// Overrides a key: `--set sources.logs.path=other.log`. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// Runs the command line and returns how the process should end.
pub fn main() -> Exit {
    let _faults = crate::faults::set_up();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help and errors to where they belong; only the code is ours.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    if let Err(message) = start_log(&cli.log, cli.log_format) {
        eprintln!("error: {message}");
        return Exit::Usage;
    }
    match cli.command {
        Command::Run(options) => run::run(&options),
        Command::Check(options) => check::check(&options),
        Command::Test(options) => test::test(&options),
        Command::Schema => check::schema(),
        Command::Generate(options) => generate::generate(&options),
        Command::Checkpoints(command) => checkpoints::checkpoints(&command),
        Command::Savepoint(file) => checkpoints::savepoint(&file),
        Command::Recover(options) => checkpoints::recover(&options),
        Command::Plugin(command) => plugin::plugin(&command),
        Command::CompilePlugin { .. } => Exit::Code(crate::plugin::compile_child_main()),
    }
}

fn start_log(level: &str, format: LogFormat) -> Result<(), String> {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(level)
        .map_err(|error| format!("--log {level}: {error}; try `info` or `millstream=debug`"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    tell::set_format(format);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| format!("starting the log: {error}"))
}
