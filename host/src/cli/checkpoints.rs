//! `millstream checkpoints`, `savepoint` and `recover`: what is kept, and which of it counts.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};

use super::PipelineFile;
use super::check::print;
use super::exit::Exit;
use super::load::{Loaded, load};
use super::{session, tell};
use crate::checkpoint::{
    self, Authority, Catalog, CatalogError, Manifest, ObjectKind, OpenError, Pointer, Tenure,
};
use crate::clock::now_us;
use crate::report::bytes_text;
use crate::time::format_timestamp_us;

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the checkpoints of a pipeline; `*` marks the one that counts.
    List(PipelineFile),
    /// Shows what a checkpoint holds.
    Show(One),
    /// Reads every byte of one checkpoint, or of all, and says what is damaged.
    Verify(Any),
}

/// One checkpoint.
#[derive(Debug, Args)]
pub struct One {
    #[command(flatten)]
    pipeline: PipelineFile,
    /// The checkpoint; without it the one that counts.
    id: Option<String>,
}

/// One checkpoint, or all.
#[derive(Debug, Args)]
pub struct Any {
    #[command(flatten)]
    pipeline: PipelineFile,
    /// The checkpoint; without it all of them.
    id: Option<String>,
}

/// Which checkpoint is to count.
#[derive(Debug, Args)]
pub struct Recover {
    #[command(flatten)]
    pipeline: PipelineFile,
    /// The checkpoint that is to count from now on.
    #[arg(long, value_name = "ID")]
    from_checkpoint: String,
}

/// What all of these need.
struct Kept {
    loaded: Loaded,
    catalog: Catalog,
    authority: Box<dyn Authority>,
}

fn kept(file: &PipelineFile) -> Result<Kept, Exit> {
    let loaded = load(file)?;
    let Some(state) = &loaded.plan.state else {
        tell::error(
            &format!("pipeline {} keeps no state", loaded.plan.name),
            Some("add a table: [state] with path = \"state\""),
        );
        return Err(Exit::Usage);
    };
    let opened = session::catalog(state).map_err(session::OpenError::from).and_then(|catalog| {
        let tenure = Tenure { owner: checkpoint::random_id(), held: false };
        let authority = session::authority(&loaded.plan, &catalog, tenure)?;
        Ok((catalog, authority))
    });
    match opened {
        Ok((catalog, authority)) => Ok(Kept { loaded, catalog, authority }),
        Err(error) => {
            tell::error(&tell::with_causes(&error), error.help().as_deref());
            Err(Exit::Stopped)
        }
    }
}

fn told(result: Result<Exit, OpenError>) -> Exit {
    result.unwrap_or_else(|error| {
        tell::error(&tell::with_causes(&error), error.remedy().as_deref());
        Exit::Stopped
    })
}

/// Runs a command about checkpoints.
pub fn checkpoints(command: &Command) -> Exit {
    let (Command::List(file)
    | Command::Show(One { pipeline: file, .. })
    | Command::Verify(Any { pipeline: file, .. })) = command;
    let mut kept = match kept(file) {
        Ok(kept) => kept,
        Err(exit) => return exit,
    };
    told(match command {
        Command::List(_) => list(&mut kept),
        Command::Show(one) => show(&mut kept, one.id.as_deref()),
        Command::Verify(any) => verify(&mut kept, any.id.as_deref()),
    })
}

/// Returns the name of the checkpoint that counts. An authority that does not know, or cannot be
/// asked, is told and counts as none: the checkpoints can be looked at all the same.
fn current(kept: &mut Kept) -> Option<String> {
    match kept.authority.current() {
        Ok(pointer) => pointer.map(|pointer| pointer.checkpoint),
        Err(error) => {
            tell::error(&format!("which checkpoint counts is not known: {error}"), None);
            None
        }
    }
}

fn list(kept: &mut Kept) -> Result<Exit, OpenError> {
    let current = current(kept);
    let pinned = kept.catalog.pinned()?;
    let mut lines = vec![format!(
        "  {:<32}  {:>7}  {:>9}  {:<23}  {:>9}  objects",
        "checkpoint", "commit", "epoch", "written", "state"
    )];
    for listed in kept.catalog.manifests()? {
        let mark = if Some(&listed.name) == current.as_ref() { '*' } else { ' ' };
        lines.push(match kept.catalog.read_manifest(&listed.name) {
            Ok(manifest) => format!(
                "{mark} {:<32}  {:>7}  {:>9}  {:<23}  {:>9}  {}{}",
                manifest.id,
                manifest.commit,
                manifest.epoch,
                written(&manifest),
                bytes_text(manifest.state_bytes()),
                manifest.objects.len(),
                if pinned.contains(&manifest.id) { "  savepoint" } else { "" },
            ),
            Err(error) => format!("{mark} {:<32}  {error}", listed.name),
        });
    }
    if lines.len() == 1 {
        lines = vec![format!("no checkpoints in {}", kept.catalog.store().place())];
    }
    Ok(print(&(lines.join("\n") + "\n")))
}

fn written(manifest: &Manifest) -> String {
    format_timestamp_us(manifest.created_us).chars().take(23).collect()
}

fn named(kept: &mut Kept, id: Option<&str>) -> Result<Option<String>, OpenError> {
    if let Some(id) = id {
        return Ok(Some(id.to_owned()));
    }
    Ok(kept.authority.current()?.map(|pointer| pointer.checkpoint))
}

fn show(kept: &mut Kept, id: Option<&str>) -> Result<Exit, OpenError> {
    let Some(id) = named(kept, id)? else {
        return Ok(print("no checkpoint counts yet\n"));
    };
    let manifest = kept.catalog.read_manifest(&id)?;
    let mut text = format!(
        "checkpoint {} of pipeline {}\n  written by  {} at {}\n  commit      {}, epochs before {}\n  parent      {}\n",
        manifest.id,
        manifest.pipeline,
        manifest.program,
        written(&manifest),
        manifest.commit,
        manifest.epoch,
        manifest.parent.as_deref().unwrap_or("none"),
    );
    for (name, source) in &manifest.sources {
        text.push_str(&format!("  source {name}\n"));
        for partition in &source.partitions {
            let end = if partition.finished { ", read to its end" } else { "" };
            let (name, position) = (&partition.name, partition.position);
            text.push_str(&format!("    {name}: goes on at {position}{end}\n"));
        }
    }
    for (node, watermark) in &manifest.watermarks {
        let at = match *watermark {
            i64::MIN => "not yet".to_owned(),
            i64::MAX => "the end".to_owned(),
            at => format_timestamp_us(at),
        };
        text.push_str(&format!("  watermark {node}: {at}\n"));
    }
    for plugin in &manifest.plugins {
        let digest: String = plugin.sha256.chars().take(12).collect();
        let (node, name, version) = (&plugin.node, &plugin.name, &plugin.version);
        text.push_str(&format!("  plugin {node}: {name} {version} ({digest})\n"));
    }
    for object in &manifest.objects {
        let kind = if object.kind == ObjectKind::Base { "base " } else { "delta" };
        text.push_str(&format!("  {kind} {} {}\n", object.name, bytes_text(object.bytes)));
    }
    for section in sections(kept, &manifest)? {
        text.push_str(&section);
    }
    Ok(print(&text))
}

/// Returns what state each node has, from the last object of a base.
fn sections(kept: &Kept, manifest: &Manifest) -> Result<Vec<String>, CatalogError> {
    let mut lines = Vec::new();
    let base = manifest.objects.iter().filter(|object| object.kind == ObjectKind::Base);
    for object in base {
        for section in kept.catalog.read_object(object)? {
            let rows = section.batch.num_rows();
            lines.push(format!("  state {} {}: {rows} rows\n", section.node, section.part));
        }
    }
    Ok(lines)
}

fn verify(kept: &mut Kept, id: Option<&str>) -> Result<Exit, OpenError> {
    let ids = match id {
        Some(id) => vec![id.to_owned()],
        None => kept.catalog.manifests()?.into_iter().map(|listed| listed.name).collect(),
    };
    let counts = counting(kept)?;
    let (mut text, mut damaged, mut left) = (String::new(), 0, 0);
    for id in &ids {
        match verified(kept, id) {
            Ok(bytes) => text.push_str(&format!("{id}  good, {}\n", bytes_text(bytes))),
            Err(_) if ids.len() > 1 && counts.as_ref().is_some_and(|c| !c.contains(id)) => {
                left += 1;
                text.push_str(&format!("{id}  left behind: it never counted, or no longer\n"));
            }
            Err(error) => {
                damaged += 1;
                text.push_str(&format!("{id}  DAMAGED: {}\n", tell::with_causes(&error)));
            }
        }
    }
    text.push_str(&format!("{} good, {damaged} damaged\n", ids.len() - damaged - left));
    let printed = print(&text);
    Ok(if damaged > 0 { Exit::Stopped } else { printed })
}

/// Returns the checkpoint that counts, those before it, and savepoints; nothing when it is not
/// known which one counts.
fn counting(kept: &mut Kept) -> Result<Option<BTreeSet<String>>, OpenError> {
    let Ok(Some(pointer)) = kept.authority.current() else { return Ok(None) };
    let mut all = kept.catalog.pinned()?;
    let mut next = Some(pointer.checkpoint);
    while let Some(id) = next.filter(|id| all.insert(id.clone())) {
        next = kept.catalog.read_manifest(&id).ok().and_then(|manifest| manifest.parent);
    }
    Ok(Some(all))
}

/// Does what a restart would do.
fn verified(kept: &Kept, id: &str) -> Result<u64, checkpoint::RestoreError> {
    let manifest = kept.catalog.read_manifest(id)?;
    checkpoint::load(&kept.catalog, &kept.loaded.plan, &manifest)?;
    Ok(manifest.state_bytes())
}

/// Writes a savepoint of the checkpoint that counts.
pub fn savepoint(file: &PipelineFile) -> Exit {
    let mut kept = match kept(file) {
        Ok(kept) => kept,
        Err(exit) => return exit,
    };
    let plan = &kept.loaded.plan;
    let made = checkpoint::savepoint(&kept.catalog, kept.authority.as_mut(), plan, now_us());
    told(made.map(|manifest| match manifest {
        Some(manifest) => print(&format!(
            "{}\n  = {} of state; `millstream run {} --from-checkpoint {}` goes on from it\n",
            manifest.id,
            bytes_text(manifest.state_bytes()),
            file.file.display(),
            manifest.id
        )),
        None => {
            tell::error(&"nothing is committed yet, so there is nothing to save", None);
            Exit::Stopped
        }
    }))
}

/// Makes a checkpoint count again.
pub fn recover(options: &Recover) -> Exit {
    let mut kept = match kept(&options.pipeline) {
        Ok(kept) => kept,
        Err(exit) => return exit,
    };
    told(recovered(&mut kept, &options.from_checkpoint))
}

fn recovered(kept: &mut Kept, id: &str) -> Result<Exit, OpenError> {
    let manifest = kept.catalog.read_manifest(id)?;
    // A checkpoint that cannot be loaded must not come to count.
    checkpoint::load(&kept.catalog, &kept.loaded.plan, &manifest)?;
    if let Err(error) = kept.authority.take_over() {
        tracing::warn!(%error, "what the commit authority says is overruled");
    }
    let positions = checkpoint::positions(&kept.loaded.plan, &manifest.sources);
    kept.authority.send(Vec::new())?;
    let pointer = Pointer { checkpoint: manifest.id.clone(), epoch: manifest.epoch };
    kept.authority.commit(&pointer, &positions)?;
    let count: usize = positions.iter().map(|(_, list)| list.len()).sum();
    Ok(print(&format!(
        "checkpoint {} counts now ({count} Kafka offsets); the next run goes on from it, and its \
         results since then come again\n",
        manifest.id
    )))
}
