//! `millstream check` and `millstream schema`.

use std::io::Write;

use clap::Args;

use super::PipelineFile;
use super::exit::Exit;
use super::load::load;
use super::{session, tell};
use crate::kafka::{KafkaError, probe};
use crate::plan::{NodeKind, Plan};
use crate::{config, plan};

/// What to check.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    pipeline: PipelineFile,
    /// Also connect to Kafka: brokers, topics, rights, transactions. Nothing is written.
    #[arg(long)]
    connect: bool,
}

/// Prints the plan of a pipeline to standard output, warnings and problems to standard error.
pub fn check(options: &Options) -> Exit {
    let loaded = match load(&options.pipeline) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if !loaded.warnings.is_empty() {
        tell::diagnostics(&loaded.warnings, &loaded.source);
    }
    match print(&plan::describe(&loaded.plan)) {
        Exit::Done if options.connect => connect(&loaded.plan),
        exit => exit,
    }
}

/// Prints a line for each thing that was looked at, and errors for what is not as it must be.
fn connect(plan: &Plan) -> Exit {
    let mut exit = Exit::Done;
    let mut tell = |node: &str, found: Result<Vec<String>, KafkaError>| match found {
        Ok(lines) => {
            let text: String = lines.iter().map(|line| format!("{node}: {line}\n")).collect();
            if print(&text) != Exit::Done {
                exit = Exit::Stopped;
            }
        }
        Err(error) => {
            tell::error(&format!("{node}: {}", tell::with_causes(&error)), Some(error.help()));
            exit = Exit::Stopped;
        }
    };
    for node in &plan.nodes {
        match &node.kind {
            NodeKind::Source(source) => {
                let Some(config) = source.config.kind.kafka() else { continue };
                tell(&node.name, probe::source(config));
            }
            NodeKind::Sink(sink) => {
                let Some(config) = sink.config.kafka() else { continue };
                tell(&node.name, probe::sink(config));
            }
            _ => {}
        }
    }
    match session::transactions(plan) {
        Ok(None) => {}
        Ok(Some(settings)) => {
            tell("commit", probe::transactions(&settings).map(|line| vec![line]));
        }
        Err(error) => tell("commit", Err(error)),
    }
    exit
}

/// Prints the JSON Schema of pipeline files.
pub fn schema() -> Exit {
    print(&format!("{:#}\n", config::json_schema()))
}

/// Prints to standard output; a reader that has gone away is no failure.
pub fn print(text: &str) -> Exit {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            tell::error(&format!("writing to standard output: {error}"), None);
            Exit::Stopped
        }
    }
}
