//! Who reads from whom: names resolved, cycles refused, nodes in an order in which data can flow.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::config::model::{Located, Pipeline};
use crate::diag::{Diagnostic, nearest};

/// The number of a node in its plan; every node comes after its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// Which of a node's outputs is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// What the node is for.
    Main,
    /// `<parser>.rejects`, `<transform>.rejects`: the records or rows that it refused.
    Rejects,
    /// `<window>.late`: the rows that came too late.
    Late,
    /// `<rule>.rows`: every input row, annotated.
    Rows,
}

impl Port {
    /// Returns the suffix that names this port in a pipeline file.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Rejects => ".rejects",
            Self::Late => ".late",
            Self::Rows => ".rows",
        }
    }
}

/// An output that a node reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The node read from.
    pub node: NodeId,
    /// Its output.
    pub port: Port,
    /// Where the pipeline file names it.
    pub span: Range<usize>,
}

/// The kinds of nodes, with the index into the pipeline's list of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `[sources.*]`
    Source(usize),
    /// `[parsers.*]`
    Parser(usize),
    /// `[transforms.*]`
    Transform(usize),
    /// `[streams.*]`
    Stream(usize),
    /// `[windows.*]`
    Window(usize),
    /// `[rules.*]`
    Rule(usize),
    /// `[sinks.*]`
    Sink(usize),
}

impl Role {
    /// Returns the word for this kind of node.
    pub fn word(self) -> &'static str {
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

    fn ports(self) -> &'static [Port] {
        match self {
            Self::Source(_) | Self::Stream(_) => &[Port::Main],
            Self::Parser(_) | Self::Transform(_) => &[Port::Main, Port::Rejects],
            Self::Window(_) => &[Port::Main, Port::Late],
            Self::Rule(_) => &[Port::Main, Port::Rows],
            Self::Sink(_) => &[],
        }
    }
}

/// A node with its inputs resolved.
#[derive(Clone, Debug)]
pub struct GraphNode {
    /// Its name.
    pub name: String,
    /// Its kind and place in the pipeline.
    pub role: Role,
    /// Where its table stands in the pipeline file.
    pub span: Range<usize>,
    /// What it reads.
    pub inputs: Vec<Edge>,
    /// One of its inputs is told to be wrong: nothing more can be said about this node.
    pub broken: bool,
}

/// Nodes in an order in which data can flow, and what is wrong with their inputs.
#[derive(Debug)]
pub struct Graph {
    /// Every node after its inputs, otherwise in file order. Nodes on a cycle, and behind one, are
    /// left out.
    pub nodes: Vec<GraphNode>,
    /// One for each unknown or unsuitable input, and one for a cycle.
    pub problems: Vec<Diagnostic>,
}

struct Draft<'a> {
    name: &'a str,
    role: Role,
    span: Range<usize>,
    inputs: Vec<&'a Located<String>>,
}

/// Returns the nodes of `pipeline` with their inputs resolved, as far as they can be.
pub fn resolve(pipeline: &Pipeline) -> Graph {
    let drafts = drafts(pipeline);
    let by_name: BTreeMap<&str, usize> =
        drafts.iter().enumerate().map(|(index, draft)| (draft.name, index)).collect();
    let mut problems = Vec::new();
    let mut edges: Vec<Vec<(usize, Port, Range<usize>)>> = Vec::with_capacity(drafts.len());
    for draft in &drafts {
        let mut resolved = Vec::with_capacity(draft.inputs.len());
        for input in &draft.inputs {
            match resolve_input(draft, input, &drafts, &by_name) {
                Ok((index, port)) => resolved.push((index, port, input.span.clone())),
                Err(problem) => problems.push(*problem),
            }
        }
        edges.push(resolved);
    }
    let order = sort(&drafts, &edges, &mut problems);
    let mut id_of = vec![NodeId(0); drafts.len()];
    for (position, &index) in order.iter().enumerate() {
        if let Some(id) = id_of.get_mut(index) {
            *id = NodeId(position);
        }
    }
    let nodes = order.into_iter().filter_map(|index| {
        let draft = drafts.get(index)?;
        let inputs = edges.get(index)?.iter().filter_map(|(from, port, span)| {
            Some(Edge { node: *id_of.get(*from)?, port: *port, span: span.clone() })
        });
        Some(GraphNode {
            name: draft.name.to_owned(),
            role: draft.role,
            span: draft.span.clone(),
            inputs: inputs.collect(),
            broken: draft.inputs.len() != edges.get(index)?.len(),
        })
    });
    Graph { nodes: nodes.collect(), problems }
}

fn drafts(pipeline: &Pipeline) -> Vec<Draft<'_>> {
    let mut drafts = Vec::new();
    for (index, node) in pipeline.sources.iter().enumerate() {
        drafts.push(Draft {
            name: &node.name,
            role: Role::Source(index),
            span: node.span.clone(),
            inputs: Vec::new(),
        });
    }
    for (index, node) in pipeline.parsers.iter().enumerate() {
        drafts.push(Draft {
            name: &node.name,
            role: Role::Parser(index),
            span: node.span.clone(),
            inputs: vec![&node.config.input],
        });
    }
    for (index, node) in pipeline.transforms.iter().enumerate() {
        drafts.push(draft(node, Role::Transform(index), &node.config.inputs));
    }
    for (index, node) in pipeline.streams.iter().enumerate() {
        drafts.push(draft(node, Role::Stream(index), &node.config.inputs));
    }
    for (index, node) in pipeline.windows.iter().enumerate() {
        drafts.push(draft(node, Role::Window(index), &node.config.inputs));
    }
    for (index, node) in pipeline.rules.iter().enumerate() {
        drafts.push(draft(node, Role::Rule(index), &node.config.inputs));
    }
    for (index, node) in pipeline.sinks.iter().enumerate() {
        drafts.push(draft(node, Role::Sink(index), &node.config.inputs));
    }
    drafts
}

fn draft<'a, T>(
    node: &'a crate::config::model::Node<T>,
    role: Role,
    inputs: &'a [Located<String>],
) -> Draft<'a> {
    Draft { name: &node.name, role, span: node.span.clone(), inputs: inputs.iter().collect() }
}

fn resolve_input(
    draft: &Draft<'_>,
    input: &Located<String>,
    drafts: &[Draft<'_>],
    by_name: &BTreeMap<&str, usize>,
) -> Result<(usize, Port), Box<Diagnostic>> {
    let (name, port) = split_port(&input.value);
    let reader = draft.role;
    let Some(&index) = by_name.get(name) else {
        let known = outputs_for(reader, drafts);
        let what = format!("{} `{}` reads `{name}`", reader.word(), draft.name);
        let mut problem = Diagnostic::error(format!("{what}, and no node is called that"))
            .at(input.span.clone())
            .label("not defined in this file");
        if let Some(near) = nearest(&input.value, known.iter().map(String::as_str)) {
            problem = problem.help(format!("did you mean `{near}`?"));
        } else if !known.is_empty() {
            problem = problem.help(format!("it can read: {}", known.join(", ")));
        }
        return Err(Box::new(problem));
    };
    let target = drafts.get(index).map_or(Role::Sink(0), |draft| draft.role);
    let refuse = |why: String, help: String| {
        Err(Box::new(Diagnostic::error(why).at(input.span.clone()).help(help)))
    };
    match (reader, target) {
        (Role::Parser(_), Role::Source(_)) => {}
        (Role::Parser(_), _) => {
            return refuse(
                format!("`{name}` is a {}; a parser reads a source", target.word()),
                "put a [streams.*] table after the parser to work on rows".to_owned(),
            );
        }
        (_, Role::Source(_)) => {
            return refuse(
                format!("`{name}` is a source of raw records; a {} reads rows", reader.word()),
                format!("put a parser between: [parsers.x] input = \"{name}\", and read `x`"),
            );
        }
        (_, Role::Sink(_)) => {
            return refuse(
                format!("`{name}` is a sink; nothing can be read from it"),
                "read what the sink reads".to_owned(),
            );
        }
        _ => {}
    }
    if !target.ports().contains(&port) {
        return refuse(
            format!(
                "a {} has no output `{}`",
                target.word(),
                port.suffix().trim_start_matches('.')
            ),
            format!("read `{name}`"),
        );
    }
    Ok((index, port))
}

fn split_port(reference: &str) -> (&str, Port) {
    for port in [Port::Rejects, Port::Late, Port::Rows] {
        if let Some(name) = reference.strip_suffix(port.suffix()) {
            return (name, port);
        }
    }
    (reference, Port::Main)
}

/// Returns the names that a node of kind `reader` could read.
fn outputs_for(reader: Role, drafts: &[Draft<'_>]) -> Vec<String> {
    let mut names = Vec::new();
    for draft in drafts {
        let fits = match reader {
            Role::Parser(_) => matches!(draft.role, Role::Source(_)),
            _ => !matches!(draft.role, Role::Source(_) | Role::Sink(_)),
        };
        if fits {
            for port in draft.role.ports() {
                names.push(format!("{}{}", draft.name, port.suffix()));
            }
        }
    }
    names
}

/// Kahn's algorithm, smallest index first. What is left over stands on a cycle or behind one.
fn sort(
    drafts: &[Draft<'_>],
    edges: &[Vec<(usize, Port, Range<usize>)>],
    problems: &mut Vec<Diagnostic>,
) -> Vec<usize> {
    let mut done = vec![false; drafts.len()];
    let mut order = Vec::with_capacity(drafts.len());
    let is_done = |done: &[bool], index: usize| done.get(index).copied().unwrap_or(true);
    while let Some(next) = (0..drafts.len()).find(|&index| {
        !is_done(&done, index)
            && edges.get(index).is_none_or(|from| from.iter().all(|edge| is_done(&done, edge.0)))
    }) {
        if let Some(flag) = done.get_mut(next) {
            *flag = true;
        }
        order.push(next);
    }
    if order.len() < drafts.len()
        && let Some(cycle) = find_cycle(&done, edges)
    {
        let names: Vec<&str> =
            cycle.iter().filter_map(|&i| drafts.get(i)).map(|d| d.name).collect();
        let first = names.first().copied().unwrap_or_default();
        let span = cycle.first().and_then(|&i| drafts.get(i)).map_or(0..0, |d| d.span.clone());
        problems.push(
            Diagnostic::error(format!(
                "nodes read from each other in a circle: {} -> {first}",
                names.join(" -> ")
            ))
            .at(span)
            .label("part of the circle")
            .help("rows flow one way, from sources to sinks: take one of these inputs out"),
        );
    }
    order
}

/// Follows inputs from a node that could not be placed until one repeats.
fn find_cycle(done: &[bool], edges: &[Vec<(usize, Port, Range<usize>)>]) -> Option<Vec<usize>> {
    let mut at = done.iter().position(|done| !done)?;
    let mut path: Vec<usize> = Vec::new();
    loop {
        if let Some(start) = path.iter().position(|&seen| seen == at) {
            let mut cycle = path.split_off(start);
            cycle.reverse();
            return Some(cycle);
        }
        path.push(at);
        at = edges
            .get(at)?
            .iter()
            .map(|edge| edge.0)
            .find(|&from| done.get(from) == Some(&false))?;
    }
}
