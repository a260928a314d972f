//! Who reads what, and how nodes are called in dead letters: looked up once for a plan.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::data::{PartitionName, SourceId};
use crate::parse::RejectContext;
use crate::plan::{NodeId, NodeKind, Place, Plan, PlanNode, Port, RuleBody};

/// What is the same for every chunk.
pub struct Wiring {
    /// For each node, the outputs that the owner reads (other than through a window).
    ship: Vec<Vec<Port>>,
    /// For each node, the windows that read its rows on the worker.
    windows: Vec<Vec<NodeId>>,
    /// Keep every node's rejects as rows, for the dead letters.
    dead_letters: bool,
    names: Vec<Arc<str>>,
    versions: Vec<Option<Arc<str>>>,
    sources: Vec<Arc<str>>,
}

/// Returns a port's place in pairs by node: the main output or the secondary one.
pub fn slot(port: Port) -> usize {
    usize::from(port != Port::Main)
}

impl Wiring {
    /// Reads the wiring of a plan.
    pub fn of(plan: &Plan) -> Self {
        let mut ship = vec![Vec::new(); plan.nodes.len()];
        let mut windows: Vec<Vec<NodeId>> = vec![Vec::new(); plan.nodes.len()];
        for (index, node) in plan.nodes.iter().enumerate() {
            for edge in &node.inputs {
                let by_owner = plan.taken_at(NodeId(index), edge) == Place::Owner;
                if by_owner && let Some(ports) = ship.get_mut(edge.node.0) {
                    ports.push(edge.port);
                }
                if !by_owner
                    && matches!(node.kind, NodeKind::Window(_))
                    && let Some(list) = windows.get_mut(edge.node.0)
                {
                    list.push(NodeId(index));
                }
            }
        }
        let name = |node: &PlanNode| Arc::from(node.name.as_str());
        Self {
            ship,
            windows,
            dead_letters: plan.dead_letters.is_some(),
            names: plan.nodes.iter().map(name).collect(),
            versions: plan.nodes.iter().map(version).collect(),
            sources: plan.sources.iter().map(|id| name(plan.node(*id))).collect(),
        }
    }

    /// Returns whether the owner reads this output as rows.
    pub fn ships(&self, node: NodeId, port: Port) -> bool {
        self.ship.get(node.0).is_some_and(|ports| ports.contains(&port))
    }

    /// Returns whether rejects of a node are wanted as rows.
    pub fn keeps_rejects(&self, node: NodeId) -> bool {
        self.dead_letters || self.ships(node, Port::Rejects)
    }

    /// Returns the schema of a window's late rows when somebody reads them.
    pub fn late_schema<'a>(&self, id: NodeId, node: &'a PlanNode) -> Option<&'a SchemaRef> {
        node.secondary.as_ref().filter(|_| self.ships(id, Port::Late))
    }

    /// Returns the windows that take a node's rows on the worker.
    pub fn windows_of(&self, node: NodeId) -> &[NodeId] {
        self.windows.get(node.0).map_or(&[], Vec::as_slice)
    }

    /// Returns what all rejects of a node share that come from this source and partition.
    pub fn reject_context(
        &self,
        node: NodeId,
        source: Option<SourceId>,
        partition: PartitionName,
    ) -> RejectContext {
        let nobody = || Arc::from("");
        let source = source.and_then(|source| self.sources.get(usize::try_from(source.0).ok()?));
        RejectContext {
            source: source.cloned().unwrap_or_else(nobody),
            partition,
            node: self.names.get(node.0).cloned().unwrap_or_else(nobody),
            plugin_version: self.versions.get(node.0).cloned().flatten(),
        }
    }
}

fn version(node: &PlanNode) -> Option<Arc<str>> {
    let version = match &node.kind {
        NodeKind::Parser(parser) => parser.plugin.version(),
        NodeKind::Transform(transform) => transform.plugin.version(),
        NodeKind::Rule(rule) => match &rule.body {
            RuleBody::Plugin { plugin, .. } => plugin.version(),
            RuleBody::When { .. } => return None,
        },
        _ => return None,
    };
    Some(Arc::from(version.id().version.as_str()))
}
