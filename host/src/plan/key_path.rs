//! Names of keys, as messages about them begin: `windows.w.aggregate."p95 ms"`.

use std::fmt;

use super::graph::GraphNode;

/// A key of a node's table in the pipeline file.
#[derive(Clone, Copy, Debug)]
pub struct KeyPath<'a> {
    /// The node.
    pub node: &'a GraphNode,
    /// The key.
    pub key: &'static str,
    /// The column that the key's table defines, if it is a table.
    pub column: Option<&'a str>,
}

impl<'a> KeyPath<'a> {
    /// Returns a key that has one value.
    pub fn new(node: &'a GraphNode, key: &'static str) -> Self {
        Self { node, key, column: None }
    }

    /// Returns an entry of a key that is a table.
    pub fn column(node: &'a GraphNode, key: &'static str, column: &'a str) -> Self {
        Self { node, key, column: Some(column) }
    }
}

impl fmt::Display for KeyPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s.{}.{}", self.node.role.word(), self.node.name, self.key)?;
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        match self.column {
            None => Ok(()),
            Some(column) if !column.is_empty() && column.chars().all(bare) => {
                write!(f, ".{column}")
            }
            Some(column) => write!(f, ".{column:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Role;
    use super::*;

    #[test]
    fn keys_are_named_as_toml_names_them() {
        let node = GraphNode {
            name: "slow".into(),
            role: Role::Window(0),
            span: 0..0,
            inputs: Vec::new(),
            broken: false,
        };
        let cases = [
            (KeyPath::new(&node, "where"), "windows.slow.where"),
            (KeyPath::column(&node, "aggregate", "p95"), "windows.slow.aggregate.p95"),
            (KeyPath::column(&node, "derive", "p95 \"ms\""), r#"windows.slow.derive."p95 \"ms\"""#),
        ];
        for (path, expected) in cases {
            assert_eq!(path.to_string(), expected);
        }
    }
}
