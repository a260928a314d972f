//! The state of a plan's nodes, to and from sections of columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

use super::manifest::{Definition, PluginNote};
use super::object::Section;
use crate::hash::hash128;
use crate::plan::{NodeId, NodeKind, Plan, PlanNode, RuleBody};
use crate::rules::{KeyedRule, RuleDelta, RuleError, RuleState, WhenRule};
use crate::window::{Partial, Shard, Snapshot, Window, WindowError, WindowState};

/// What a node remembers.
#[derive(Debug)]
pub enum NodeState {
    /// Nothing.
    None,
    /// Slices, sessions, counts.
    Window(Box<WindowState>),
    /// Alert numbers.
    When(Box<WhenRule>),
    /// State by key.
    Rule(Box<KeyedRule>),
}

/// What changed in one commit.
#[derive(Debug, Default)]
pub struct Delta {
    /// The epochs, in order.
    pub marks: Vec<Mark>,
    /// What windows merged: the node, the epoch, the partial. In the order of merging.
    pub partials: Vec<(NodeId, u64, Partial)>,
    /// What changed in keyed rules.
    pub rules: Vec<(NodeId, RuleDelta)>,
    /// Alert numbers of `when` rules, all of them.
    pub alerts: Vec<(NodeId, RecordBatch)>,
}

/// How event time moved at the end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The epoch.
    pub epoch: u64,
    /// Its clock.
    pub now_us: i64,
    /// How far each node has heard event time advance, by its number.
    pub watermarks: Arc<[i64]>,
}

/// Why state cannot be put back or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A window's state does not fit.
    #[error("the state of window `{node}`: {source}")]
    Window {
        /// The node.
        node: String,
        /// Why.
        source: WindowError,
    },
    /// A rule's state does not fit.
    #[error("the state of rule `{node}`: {source}")]
    Rule {
        /// The node.
        node: String,
        /// Why.
        source: Box<RuleError>,
    },
    /// An object has a section that nobody knows.
    #[error("a section `{part}` of `{node}` that this program does not know")]
    Unknown {
        /// The node it is of.
        node: String,
        /// What it is.
        part: String,
    },
    /// How event time moved cannot be written.
    #[error("the epochs of a commit: {source}")]
    Marks {
        /// Why.
        source: ArrowError,
    },
    /// Something small cannot be read.
    #[error("notes of `{node}`: {source}")]
    Notes {
        /// The node they are of.
        node: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl StateError {
    fn rule(node: &str) -> impl FnOnce(RuleError) -> Self + '_ {
        |source| Self::Rule { node: node.to_owned(), source: Box::new(source) }
    }

    fn window(node: &str) -> impl FnOnce(WindowError) -> Self + '_ {
        |source| Self::Window { node: node.to_owned(), source }
    }
}

const GROUPS: &str = "groups";
const PENDING: &str = "pending";
const PARTIAL: &str = "partial";
const ALERTS: &str = "alerts";
const KEYS: &str = "keys";
const HISTORY: &str = "history";
const HELD: &str = "held";
const HELD_FACTS: &str = "held_facts";
const REMOVED: &str = "removed";
const MARKS: &str = "marks";

/// The small things of a rule's state.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleNotes {
    watermark_us: i64,
    latest_us: i64,
}

/// Returns what the state of each node of a plan depends on.
pub fn definitions(plan: &Plan) -> Vec<Definition> {
    let mut all = Vec::new();
    for node in &plan.nodes {
        let text = match &node.kind {
            NodeKind::Source(_) => "",
            NodeKind::Window(window) => &window.definition,
            NodeKind::Rule(rule) => &rule.definition,
            _ => continue,
        };
        let hash = format!("{:032x}", hash128(text.as_bytes()));
        all.push(Definition { node: node.name.clone(), kind: node.kind.word().to_owned(), hash });
    }
    all
}

/// Returns the plugins in use.
pub fn plugins(plan: &Plan) -> Vec<PluginNote> {
    let of = |node: &PlanNode| {
        let id = match &node.kind {
            NodeKind::Parser(parser) => parser.plugin.version().id(),
            NodeKind::Transform(transform) => transform.plugin.version().id(),
            NodeKind::Rule(rule) => match &rule.body {
                RuleBody::Plugin { plugin, .. } => plugin.version().id(),
                RuleBody::When { .. } => return None,
            },
            _ => return None,
        };
        Some(PluginNote {
            node: node.name.clone(),
            name: id.name.clone(),
            version: id.version.clone(),
            sha256: id.sha256.clone(),
        })
    };
    plan.nodes.iter().filter_map(of).collect()
}

/// Returns the empty state of each node.
pub fn empty(plan: &Plan) -> Vec<NodeState> {
    let of = |kind: &NodeKind| match kind {
        NodeKind::Window(window) => NodeState::Window(Box::new(window.window.state(Shard::WHOLE))),
        NodeKind::Rule(rule) => match &rule.body {
            RuleBody::When { rule, .. } => NodeState::When(rule.clone()),
            RuleBody::Plugin { rule, .. } => NodeState::Rule(rule.clone()),
        },
        _ => NodeState::None,
    };
    plan.nodes.iter().map(|node| of(&node.kind)).collect()
}

fn section(node: &str, part: &str, notes: String, batch: RecordBatch) -> Section {
    Section { node: node.to_owned(), part: part.to_owned(), epoch: 0, notes, batch }
}

fn rule_sections(node: &str, state: RuleState, out: &mut Vec<Section>) -> Result<(), StateError> {
    let RuleState { watermark_us, latest_us, keys, history, held, held_facts, alerts } = state;
    let notes = serde_json::to_string(&RuleNotes { watermark_us, latest_us })
        .map_err(|source| StateError::Notes { node: node.to_owned(), source })?;
    out.push(section(node, KEYS, notes, keys));
    for (part, batch) in
        [(HISTORY, history), (HELD, held), (HELD_FACTS, held_facts), (ALERTS, alerts)]
    {
        out.push(section(node, part, String::new(), batch));
    }
    Ok(())
}

/// Returns all state as sections.
///
/// # Errors
/// When columns cannot be made.
pub fn base(plan: &Plan, states: &mut [NodeState]) -> Result<Vec<Section>, StateError> {
    let mut out = Vec::new();
    for (node, state) in plan.nodes.iter().zip(states) {
        let name = node.name.as_str();
        match state {
            NodeState::None => {}
            NodeState::Window(window) => {
                let Snapshot { groups, pending, notes } =
                    window.snapshot().map_err(StateError::window(name))?;
                out.push(section(name, GROUPS, notes, groups));
                out.push(section(name, PENDING, String::new(), pending));
            }
            NodeState::When(when) => {
                let alerts = when.state().map_err(StateError::rule(name))?;
                out.push(section(name, ALERTS, String::new(), alerts));
            }
            NodeState::Rule(rule) => {
                rule_sections(name, rule.state().map_err(StateError::rule(name))?, &mut out)?;
            }
        }
    }
    Ok(out)
}

impl Delta {
    /// Returns about how many bytes it holds.
    pub fn memory_bytes(&self) -> usize {
        self.partials.iter().map(|(_, _, partial)| partial.memory_bytes()).sum()
    }

    /// Returns the changes as sections. Partials of one window and epoch become one section.
    ///
    /// # Errors
    /// When columns cannot be made.
    pub fn sections(self, plan: &Plan) -> Result<Vec<Section>, StateError> {
        let mut out = vec![self.marks_section(plan)?];
        let name = |node: &NodeId| plan.node(*node).name.as_str();
        let mut stored: BTreeMap<(u64, NodeId), Vec<RecordBatch>> = BTreeMap::new();
        for (node, epoch, partial) in &self.partials {
            if let Some(batch) = partial.store().map_err(StateError::window(name(node)))? {
                stored.entry((*epoch, *node)).or_default().push(batch);
            }
        }
        for ((epoch, node), batches) in stored {
            let joined = Partial::join_stored(&batches).map_err(StateError::window(name(&node)))?;
            let Some(batch) = joined else { continue };
            out.push(Section { epoch, ..section(name(&node), PARTIAL, String::new(), batch) });
        }
        for (node, RuleDelta { state, removed }) in self.rules {
            out.push(section(name(&node), REMOVED, String::new(), removed));
            rule_sections(name(&node), state, &mut out)?;
        }
        for (node, alerts) in self.alerts {
            out.push(section(name(&node), ALERTS, String::new(), alerts));
        }
        Ok(out)
    }

    /// One row for each epoch: its number, its clock, the watermark of each node with state.
    fn marks_section(&self, plan: &Plan) -> Result<Section, StateError> {
        let numbers = |read: &dyn Fn(&Mark) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(self.marks.iter().map(read)))
        };
        let epoch = numbers(&|mark| i64::try_from(mark.epoch).unwrap_or(i64::MAX));
        let now = numbers(&|mark| mark.now_us);
        let mut columns = vec![(String::new(), epoch), (".now".to_owned(), now)];
        for (at, node) in plan.nodes.iter().enumerate() {
            if matches!(node.kind, NodeKind::Window(_) | NodeKind::Rule(_)) {
                let of = |mark: &Mark| mark.watermarks.get(at).copied().unwrap_or(i64::MIN);
                columns.push((node.name.clone(), numbers(&of)));
            }
        }
        let batch =
            RecordBatch::try_from_iter(columns).map_err(|source| StateError::Marks { source })?;
        Ok(section("", MARKS, String::new(), batch))
    }
}

/// The sections of one object, by node and part.
#[derive(Default)]
struct Sections<'a> {
    parts: BTreeMap<(&'a str, &'a str), &'a Section>,
    partials: BTreeMap<(u64, &'a str), &'a RecordBatch>,
}

impl<'a> Sections<'a> {
    fn of(sections: &'a [Section]) -> Result<Self, StateError> {
        let mut all = Self::default();
        for section in sections {
            match section.part.as_str() {
                PARTIAL => {
                    all.partials.insert((section.epoch, &section.node), &section.batch);
                }
                GROUPS | PENDING | ALERTS | KEYS | HISTORY | HELD | HELD_FACTS | REMOVED
                | MARKS => {
                    all.parts.insert((&section.node, &section.part), section);
                }
                _ => {
                    let (node, part) = (section.node.clone(), section.part.clone());
                    return Err(StateError::Unknown { node, part });
                }
            }
        }
        Ok(all)
    }

    fn batch(&self, node: &str, part: &str) -> Option<&'a RecordBatch> {
        self.parts.get(&(node, part)).map(|section| &section.batch)
    }

    fn rule(&self, node: &str) -> Result<Option<RuleState>, StateError> {
        let Some(keys) = self.parts.get(&(node, KEYS)) else { return Ok(None) };
        let notes: RuleNotes = serde_json::from_str(&keys.notes)
            .map_err(|source| StateError::Notes { node: node.to_owned(), source })?;
        let batch = |part: &str| {
            let missing = || StateError::Unknown { node: node.into(), part: format!("no {part}") };
            self.batch(node, part).cloned().ok_or_else(missing)
        };
        Ok(Some(RuleState {
            watermark_us: notes.watermark_us,
            latest_us: notes.latest_us,
            keys: keys.batch.clone(),
            history: batch(HISTORY)?,
            held: batch(HELD)?,
            held_facts: batch(HELD_FACTS)?,
            alerts: batch(ALERTS)?,
        }))
    }
}

/// Puts a base into empty state.
///
/// # Errors
/// When it does not fit the plan.
pub fn load(plan: &Plan, states: &mut [NodeState], base: &[Section]) -> Result<(), StateError> {
    let sections = Sections::of(base)?;
    for (node, state) in plan.nodes.iter().zip(states) {
        let name = node.name.as_str();
        match (state, &node.kind) {
            (NodeState::Window(window), NodeKind::Window(config)) => {
                let Some(groups) = sections.parts.get(&(name, GROUPS)) else { continue };
                let missing =
                    || StateError::Unknown { node: name.into(), part: "no pending".into() };
                let pending = sections.batch(name, PENDING).cloned().ok_or_else(missing)?;
                let (groups, notes) = (groups.batch.clone(), groups.notes.clone());
                let snapshot = Snapshot { groups, pending, notes };
                let shared: &Arc<Window> = &config.window;
                **window =
                    shared.restore(Shard::WHOLE, &[snapshot]).map_err(StateError::window(name))?;
            }
            (NodeState::When(when), _) => {
                if let Some(alerts) = sections.batch(name, ALERTS) {
                    when.restore(alerts).map_err(StateError::rule(name))?;
                }
            }
            (NodeState::Rule(rule), _) => {
                if let Some(state) = sections.rule(name)? {
                    rule.load(&state).map_err(StateError::rule(name))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Brings state from one commit to the next. What windows emit on the way was emitted then.
///
/// # Errors
/// When the delta does not fit the plan.
pub fn apply(plan: &Plan, states: &mut [NodeState], delta: &[Section]) -> Result<(), StateError> {
    let sections = Sections::of(delta)?;
    let marks = sections.batch("", MARKS);
    for (node, state) in plan.nodes.iter().zip(states) {
        let name = node.name.as_str();
        match state {
            NodeState::None => {}
            NodeState::Window(window) => {
                let failed = StateError::window;
                for (epoch, now_us, watermark) in marks.into_iter().flat_map(|m| steps(m, name)) {
                    if let Some(batch) = sections.partials.get(&(epoch, name)) {
                        let shared = Arc::clone(window.window());
                        let partial = shared.stored_partial(batch).map_err(failed(name))?;
                        window.merge(&partial).map_err(failed(name))?;
                    }
                    window.advance(watermark, now_us).map_err(failed(name))?;
                }
            }
            NodeState::When(when) => {
                if let Some(alerts) = sections.batch(name, ALERTS) {
                    when.restore(alerts).map_err(StateError::rule(name))?;
                }
            }
            NodeState::Rule(rule) => {
                let removed = sections.batch(name, REMOVED).cloned();
                if let (Some(state), Some(removed)) = (sections.rule(name)?, removed) {
                    rule.apply_delta(&RuleDelta { state, removed })
                        .map_err(StateError::rule(name))?;
                }
            }
        }
    }
    Ok(())
}

/// Returns epoch, clock and the node's watermark of each mark; nothing when the node is not there.
fn steps(marks: &RecordBatch, node: &str) -> Vec<(u64, i64, i64)> {
    let column = |name: &str| {
        let column = marks.column_by_name(name)?;
        column.as_any().downcast_ref::<Int64Array>()
    };
    let (Some(epochs), Some(now), Some(watermarks)) = (column(""), column(".now"), column(node))
    else {
        return Vec::new();
    };
    let rows = epochs.values().iter().zip(now.values()).zip(watermarks.values());
    rows.map(|((epoch, now), mark)| (u64::try_from(*epoch).unwrap_or(0), *now, *mark)).collect()
}
