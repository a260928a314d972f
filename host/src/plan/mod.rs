//! From a pipeline file to something that can run: inputs resolved, SQL typed, plugins configured,
//! and the schema of every edge known before the first record is read.
//!
//! `resolve` and the node builders decide; the only thing they touch outside is the plugin
//! runtime, to load plugins. Nothing here reads data.

mod builder;
mod describe;
mod graph;
mod guarantee;
mod key_path;
mod nodes;
mod rejects;

#[cfg(test)]
mod tests;

pub use builder::{Plugins, build};
pub use describe::describe;
pub use graph::{Edge, NodeId, Port};
pub use nodes::{
    Emits, Named, NodeKind, ParserNode, Place, Plan, PlanNode, RuleBody, RuleNode, SinkNode,
    SourceNode, StreamNode, TransformNode, WindowNode,
};
pub use rejects::{DEAD_LETTERS, rejects_schema};
