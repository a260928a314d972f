//! The plan as data: what the engine runs.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::graph::{Edge, NodeId, Port};
use crate::config::model;
use crate::data::SourceId;
use crate::expr::{AggregateCall, Compiled};
use crate::plugin::{ParserPlugin, RulePlugin, TransformPlugin};
use crate::rules::{KeyedRule, WhenRule};
use crate::sinks::SinkInput;
use crate::window::Window;

/// A pipeline, ready to run.
pub struct Plan {
    /// The pipeline's name.
    pub name: String,
    /// Threads and epochs.
    pub engine: model::Engine,
    /// Where dead letters go besides being counted.
    pub dead_letters: Option<model::DeadLetters>,
    /// Where state is kept; none: nothing is.
    pub state: Option<model::State>,
    /// Where the running pipeline can be asked; none: nowhere.
    pub admin: Option<model::Admin>,
    /// Every node after its inputs.
    pub nodes: Vec<PlanNode>,
    /// The nodes that are sources, by `SourceId`.
    pub sources: Vec<NodeId>,
}

impl Plan {
    /// Returns a node.
    ///
    /// # Panics
    /// Never for ids of this plan.
    pub fn node(&self, id: NodeId) -> &PlanNode {
        #[expect(
            clippy::indexing_slicing,
            reason = "ids are made with the plan and never leave it"
        )]
        &self.nodes[id.0]
    }

    /// Returns the name of a source.
    pub fn source_name(&self, source: SourceId) -> Option<&str> {
        let node = self.sources.get(usize::try_from(source.0).ok()?)?;
        Some(&self.node(*node).name)
    }

    /// Returns the schema of an output, if the node has it.
    pub fn schema(&self, node: NodeId, port: Port) -> Option<&SchemaRef> {
        let node = self.node(node);
        match port {
            Port::Main => Some(&node.schema),
            Port::Rejects | Port::Late | Port::Rows => node.secondary.as_ref(),
        }
    }

    /// Returns where the rows of an output come out: rejects and late rows are handed out by the
    /// owner of the state, also those of nodes that run on workers.
    pub fn made_at(&self, edge: &Edge) -> Place {
        made_at(self.node(edge.node), edge.port)
    }

    /// Returns where a node takes the rows of one of its inputs. Windows and `when` rules take a
    /// worker's rows there and then; every other node takes all its inputs at its own place.
    pub fn taken_at(&self, reader: NodeId, edge: &Edge) -> Place {
        let node = self.node(reader);
        let early = match &node.kind {
            NodeKind::Window(_) => true,
            NodeKind::Rule(rule) => matches!(rule.body, RuleBody::When { .. }),
            _ => node.place == Place::Worker,
        };
        if early { self.made_at(edge) } else { Place::Owner }
    }
}

/// Returns where a node's rows come out.
pub(super) fn made_at(node: &PlanNode, port: Port) -> Place {
    match port {
        Port::Rejects | Port::Late => Place::Owner,
        Port::Main | Port::Rows => node.place,
    }
}

/// One node of a plan.
pub struct PlanNode {
    /// Its name in the pipeline file.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// What it reads.
    pub inputs: Vec<Edge>,
    /// The schema of what it reads, all inputs brought to one; empty for sources, parsers and sinks.
    pub input: SchemaRef,
    /// The schema of its main output; empty for sources and sinks.
    pub schema: SchemaRef,
    /// The schema of its secondary output (rejects, late rows, annotated rows).
    pub secondary: Option<SchemaRef>,
    /// The sources whose watermarks it follows.
    pub sources: Vec<SourceId>,
    /// Where it runs.
    pub place: Place,
    /// What its rows mean to a reader.
    pub emits: Emits,
}

/// Where a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the worker that has the chunk: needs nothing but the rows.
    Worker,
    /// On the thread that owns the state, once an epoch.
    Owner,
}

/// What rows on an edge mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emits {
    /// Each row stands for itself, for ever.
    Rows,
    /// A row replaces the one before with the same key.
    Updates,
}

/// The kinds of nodes.
pub enum NodeKind {
    /// Reads raw records.
    Source(SourceNode),
    /// Turns records into rows.
    Parser(ParserNode),
    /// Rows to rows by plugin.
    Transform(TransformNode),
    /// Rows to rows by SQL.
    Stream(StreamNode),
    /// Rows to aggregates.
    Window(WindowNode),
    /// Rows to alerts.
    Rule(RuleNode),
    /// Where rows leave.
    Sink(SinkNode),
}

impl NodeKind {
    /// Returns the word for this kind of node.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Parser(_) => "parser",
            Self::Transform(_) => "transform",
            Self::Stream(_) => "stream",
            Self::Window(_) => "window",
            Self::Rule(_) => "rule",
            Self::Sink(_) => "sink",
        }
    }
}

/// A source and its number.
pub struct SourceNode {
    /// Its number in the pipeline.
    pub id: SourceId,
    /// Its settings.
    pub config: model::Source,
}

/// A configured parser plugin.
pub struct ParserNode {
    /// The source it reads.
    pub source: SourceId,
    /// The plugin.
    pub plugin: Arc<ParserPlugin>,
    /// The index of the event time column; none: the time of receipt.
    pub event_time: Option<usize>,
    /// Rows further ahead of the clock than this are rejected.
    pub max_ahead_us: Option<i64>,
}

/// A configured transform plugin.
pub struct TransformNode {
    /// The plugin.
    pub plugin: Arc<TransformPlugin>,
}

/// A column name with its expression.
pub type Named = (String, Compiled);

/// Rows to rows by SQL, in this order.
pub struct StreamNode {
    /// One row for each element of a list.
    pub unnest: Option<Named>,
    /// Columns added, each seeing those before it.
    pub derive: Vec<Named>,
    /// Rows kept.
    pub filter: Option<Compiled>,
    /// The columns kept; none: all.
    pub select: Option<Vec<Named>>,
}

/// A window with the expressions around it.
pub struct WindowNode {
    /// Rows that take part.
    pub filter: Option<Compiled>,
    /// The key.
    pub keys: Vec<Named>,
    /// What is computed.
    pub aggregates: Vec<(String, AggregateCall)>,
    /// The window itself.
    pub window: Arc<Window>,
    /// Columns added to each result row, each seeing those before it.
    pub derive: Vec<Named>,
    /// Result rows kept.
    pub having: Option<Compiled>,
    /// Output mode.
    pub output: model::OutputMode,
    /// Windows may fire again: results say in a column `revision` which firing they are of.
    pub numbered: bool,
    /// What its state depends on, as text: kept state fits as long as this stays.
    pub definition: String,
}

/// A rule.
pub struct RuleNode {
    /// What it evaluates.
    pub body: RuleBody,
    /// Its key columns.
    pub key: Vec<String>,
    /// The order in which a plugin sees rows.
    pub order: model::RowOrder,
    /// How long a silent key's state is kept; none: for ever.
    pub state_ttl_us: Option<i64>,
    /// Also evaluate revisions of windows.
    pub revisions: bool,
    /// What its state depends on, as text: kept state fits as long as this stays.
    pub definition: String,
}

/// The two kinds of rules.
pub enum RuleBody {
    /// An alert for each row for which the condition holds.
    When {
        /// The condition.
        condition: Compiled,
        /// Makes the alerts; without state yet.
        rule: Box<WhenRule>,
    },
    /// A plugin with state by key.
    Plugin {
        /// The plugin.
        plugin: Arc<RulePlugin>,
        /// Keys, history, timers, alerts; without state yet.
        rule: Box<KeyedRule>,
    },
}

impl RuleBody {
    /// Returns the version of the rule's plugin, if it has one.
    pub fn plugin_version(&self) -> Option<&str> {
        match self {
            Self::When { .. } => None,
            Self::Plugin { plugin, .. } => Some(&plugin.version().id().version),
        }
    }
}

/// A sink.
pub struct SinkNode {
    /// Its settings.
    pub config: model::SinkKind,
    /// What it reads.
    pub inputs: Vec<SinkInput>,
}
