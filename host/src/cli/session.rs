//! Opens what a run needs: the state that counts, sources and sinks at their places.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use super::progress::ProgressBar;
use crate::checkpoint::{
    self, Authority, AuthorityError, Catalog, Committer, CommitterOptions, Manifest, Start, Store,
    StoreAuthority, StoreError, Tenure,
};
use crate::config::model::{FileFormat, FileSink, SinkKind, State, Visible};
use crate::engine::{Engine, EngineError, EngineOptions, Kept};
use crate::kafka::{KafkaAuthority, KafkaError, TransactionSettings};
use crate::plan::{DEAD_LETTERS, NodeKind, Plan, rejects_schema};
use crate::sinks::{self, ConsoleOutput, Durability, Sink, SinkError, SinkInput};
use crate::sources::{self, Source, SourceError};

/// Why a pipeline cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A source cannot be opened.
    #[error("source `{node}`: {source}")]
    Source {
        /// The node.
        node: String,
        /// Why.
        source: SourceError,
    },
    /// A sink cannot be opened.
    #[error("sink `{node}`: {source}")]
    Sink {
        /// The node.
        node: String,
        /// Why.
        source: SinkError,
    },
    /// The engine cannot be started.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The state store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit authority's cluster cannot be used.
    #[error("the commit authority: {0}")]
    Kafka(#[from] KafkaError),
    /// State cannot be taken over.
    #[error(transparent)]
    State(#[from] checkpoint::OpenError),
    /// The committing thread cannot be started.
    #[error("starting the committing thread: {source}")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
}

impl OpenError {
    /// Returns what to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Source { node, source: source @ SourceError::Missing { .. } } => Some(format!(
                "{}; `--set sources.{node}.path=FILE` names another file, and \
                 `millstream generate` makes one to try with",
                source.help().unwrap_or_default()
            )),
            Self::Source { source, .. } => source.help(),
            Self::Sink { source, .. } => Some(source.remedy().to_owned()),
            Self::Engine(error) => error.help(),
            Self::Store(error) => Some(error.remedy()),
            Self::Kafka(error) => Some(error.help().to_owned()),
            Self::State(error) => error.remedy(),
            Self::Thread { .. } => None,
        }
    }

    /// Returns true when another instance has the pipeline.
    pub fn fenced(&self) -> bool {
        matches!(self, Self::State(checkpoint::OpenError::Authority(AuthorityError::Fenced { .. })))
    }

    /// Returns why it may work in a while.
    pub fn may_pass(&self) -> Option<&str> {
        match self {
            Self::State(checkpoint::OpenError::Authority(AuthorityError::Aborted { what })) => {
                Some(what)
            }
            _ => None,
        }
    }
}

/// Opens the catalog of a pipeline's checkpoints.
///
/// # Errors
/// When the store cannot be used.
pub fn catalog(state: &State) -> Result<Catalog, StoreError> {
    Ok(Catalog::new(Arc::new(Store::open(&state.store.value)?)))
}

/// Returns how the transactions of a pipeline's exactly-once Kafka sinks are made; nothing when it
/// has none.
///
/// # Errors
/// When the settings of the cluster cannot be used.
pub fn transactions(plan: &Plan) -> Result<Option<TransactionSettings>, KafkaError> {
    let (mut sources, mut sinks) = (Vec::new(), Vec::new());
    for node in &plan.nodes {
        match &node.kind {
            NodeKind::Source(source) => sources.extend(source.config.kind.kafka()),
            NodeKind::Sink(sink) => sinks.extend(sink.config.kafka()),
            _ => {}
        }
    }
    TransactionSettings::of(sources.into_iter(), sinks.into_iter())
}

/// Returns who names a pipeline's checkpoints: the cluster of its exactly-once Kafka sinks, else
/// the store.
///
/// # Errors
/// When the settings of the cluster cannot be used.
pub fn authority(
    plan: &Plan,
    catalog: &Catalog,
    tenure: Tenure,
) -> Result<Box<dyn Authority>, KafkaError> {
    Ok(match transactions(plan)? {
        Some(settings) => Box::new(KafkaAuthority::new(settings, tenure)),
        None => Box::new(StoreAuthority::new(Arc::clone(catalog.store()), tenure)),
    })
}

/// Opens a pipeline. What sinks show goes past `bar`.
///
/// # Errors
/// When anything of it cannot be opened.
pub fn open(
    plan: &Arc<Plan>,
    start: &Start,
    tenure: &mut Tenure,
    bar: &ProgressBar,
) -> Result<Engine, OpenError> {
    let Some(state) = &plan.state else {
        return Ok(Engine::new(Arc::clone(plan), options(plan, None, bar)?)?);
    };
    let catalog = catalog(state)?;
    let mut authority = authority(plan, &catalog, tenure.clone())?;
    let opened = checkpoint::open(&catalog, authority.as_mut(), plan, start)?;
    tenure.held = true;
    if let Some(manifest) = &opened.manifest {
        let (id, commit) = (&manifest.id, manifest.commit);
        tracing::info!(checkpoint = %id, commit, "going on from a checkpoint");
    }
    let options = options(plan, opened.manifest.as_ref(), bar)?;
    let committer = Committer::start(CommitterOptions {
        catalog,
        authority,
        plan: Arc::clone(plan),
        keep: state.keep,
        from: opened.manifest.clone(),
    });
    let committer = committer.map_err(|source| OpenError::Thread { source })?;
    let kept = Kept { committer, settings: state.clone(), opened };
    Ok(Engine::new(Arc::clone(plan), EngineOptions { kept: Some(kept), ..options })?)
}

fn options(
    plan: &Plan,
    from: Option<&Manifest>,
    bar: &ProgressBar,
) -> Result<EngineOptions, OpenError> {
    Ok(EngineOptions {
        sources: open_sources(plan, from)?,
        sinks: open_sinks(plan, from, bar)?,
        dead_letters: open_dead_letters(plan, from, bar)?,
        record_facts: false,
        kept: None,
    })
}

/// Sources with the names of their nodes.
type NamedSources = Vec<(String, Box<dyn Source>)>;

fn open_sources(plan: &Plan, from: Option<&Manifest>) -> Result<NamedSources, OpenError> {
    let mut opened = Vec::with_capacity(plan.sources.len());
    for id in &plan.sources {
        let node = plan.node(*id);
        let NodeKind::Source(source) = &node.kind else { continue };
        let resume = from.and_then(|from| from.sources.get(&node.name));
        // The configuration has made every path relative to the pipeline file's folder.
        let source = sources::open(&source.config.kind, source.id, Path::new(""), resume)
            .map_err(|source| OpenError::Source { node: node.name.clone(), source })?;
        opened.push((node.name.clone(), source));
    }
    Ok(opened)
}

fn open_sinks(
    plan: &Plan,
    from: Option<&Manifest>,
    bar: &ProgressBar,
) -> Result<Vec<Option<Box<dyn Sink>>>, OpenError> {
    let mut opened = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        opened.push(match &node.kind {
            NodeKind::Sink(sink) => {
                let state = from.and_then(|from| from.sinks.get(&node.name));
                let built = sinks::build(
                    &sink.config,
                    &sink.inputs,
                    || console(bar),
                    state,
                    durability(plan),
                );
                Some(built.map_err(|source| OpenError::Sink { node: node.name.clone(), source })?)
            }
            _ => None,
        });
    }
    Ok(opened)
}

fn open_dead_letters(
    plan: &Plan,
    from: Option<&Manifest>,
    bar: &ProgressBar,
) -> Result<Option<Box<dyn Sink>>, OpenError> {
    let Some(settings) = &plan.dead_letters else { return Ok(None) };
    let kind = SinkKind::File(FileSink {
        path: settings.path.clone(),
        format: FileFormat::Jsonl,
        visible: Visible::Commit,
        roll_us: i64::MAX,
        roll_bytes: u64::MAX,
    });
    let inputs = [SinkInput { node: DEAD_LETTERS.to_owned(), schema: rejects_schema() }];
    let state = from.and_then(|from| from.sinks.get(DEAD_LETTERS));
    let sink = sinks::build(&kind, &inputs, || console(bar), state, durability(plan));
    sink.map(Some).map_err(|source| OpenError::Sink { node: DEAD_LETTERS.to_owned(), source })
}

/// What a checkpoint says is in files must be there after a crash of the machine too.
fn durability(plan: &Plan) -> Durability {
    if plan.state.is_some() { Durability::EachCommit } else { Durability::AtRoll }
}

fn console(bar: &ProgressBar) -> ConsoleOutput {
    ConsoleOutput {
        writer: bar.beside(std::io::stdout()),
        colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}
