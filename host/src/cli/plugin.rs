//! `millstream plugin …`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::check::print;
use super::exit::Exit;
use super::load::runtime;
use super::plugins::standard_folders;
use super::tell;
use crate::expr::type_name;
use crate::plugin::{Inspection, inspect};
use crate::report::bytes_text;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows what a plugin is: kind, version, imports, settings, reject codes, samples.
    Inspect(Inspect),
}

/// Which plugin to show.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A .wasm file, or the bare name of a plugin in a plugin folder.
    plugin: PathBuf,
    /// Also show the columns a parser gives with these settings, as JSON.
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
}

/// Runs a command on plugins.
pub fn plugin(command: &Command) -> Exit {
    let Command::Inspect(options) = command;
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let path = find(options.plugin.clone());
    match inspect(&runtime, &path, options.config.as_deref()) {
        Ok(inspection) => print(&describe(&inspection)),
        Err(error) => {
            tell::error(&error, error.help().as_deref());
            Exit::Usage
        }
    }
}

/// A bare name is looked up; anything else is a path.
fn find(plugin: PathBuf) -> PathBuf {
    if plugin.exists() || plugin.components().count() > 1 {
        return plugin;
    }
    let file = plugin.with_extension("wasm");
    let found = standard_folders().into_iter().map(|folder| folder.join(&file));
    found.into_iter().find(|path| path.is_file()).unwrap_or(plugin)
}

fn describe(plugin: &Inspection) -> String {
    let mut out = String::new();
    let about = &plugin.descriptor;
    let _ = writeln!(out, "{} {}: {}", about.name, about.version, about.summary);
    let _ = writeln!(out, "  kind      {} (contract {})", plugin.kind.name(), plugin.api_version);
    let _ = writeln!(out, "  file      {}", plugin.path.display());
    let _ = writeln!(out, "  size      {}", bytes_text(plugin.size_bytes));
    let _ = writeln!(out, "  sha256    {}", plugin.sha256);
    let imports =
        if plugin.imports.is_empty() { "nothing".into() } else { plugin.imports.join(", ") };
    let _ = writeln!(out, "  imports   {imports}");
    let _ = writeln!(out, "  exports   {}", plugin.exports.join(", "));
    if let Some(version) = about.state_version {
        let migrates = if plugin.migrates { ", takes over older state" } else { "" };
        let _ = writeln!(out, "  state     version {version}{migrates}");
    }
    if !about.reject_codes.is_empty() {
        let _ = writeln!(out, "  rejects");
        for code in &about.reject_codes {
            let _ = writeln!(out, "    {:<20} {}", code.name, code.meaning);
        }
    }
    if let Some(schema) = &plugin.schema {
        let _ = writeln!(out, "  columns");
        for field in schema.fields() {
            let null = if field.is_nullable() { "" } else { ", never null" };
            let _ =
                writeln!(out, "    {:<20} {}{null}", field.name(), type_name(field.data_type()));
        }
    }
    if !plugin.samples.is_empty() {
        let _ = writeln!(out, "  samples");
        for sample in &plugin.samples {
            let verdict = if sample.difference.is_none() { "ok" } else { "FAILED" };
            let _ = writeln!(out, "    {verdict:<6} {}", sample.note);
            if let Some(difference) = &sample.difference {
                let _ = writeln!(out, "           {difference}");
            }
        }
    }
    let _ = writeln!(out, "  settings  (JSON Schema)\n{:#}", about.config_schema);
    out
}
