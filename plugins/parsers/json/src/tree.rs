//! The configured keys, as a tree of objects.

/// No key, object or step.
pub const NONE: u32 = u32::MAX;

/// A key that columns name, or that leads to one.
#[derive(Debug)]
pub struct Key {
    name: Vec<u8>,
    /// The columns that it fills.
    pub leaves: Vec<usize>,
    /// The object below it, when columns look inside.
    pub child: Option<u32>,
}

impl Key {
    /// The column that it fills, when it does nothing else.
    pub fn only(&self) -> Option<usize> {
        match (self.leaves.as_slice(), self.child) {
            ([column], None) => Some(*column),
            _ => None,
        }
    }
}

/// An object with keys that columns name.
#[derive(Debug)]
struct Node {
    keys: Vec<Key>,
    /// The object around it.
    parent: u32,
    /// All columns at and below.
    columns: Vec<usize>,
}

/// The objects; 0 is the record.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// The tree of these paths; path i belongs to column i.
    pub fn new(paths: &[Vec<String>]) -> Self {
        let mut tree = Self { nodes: Vec::new() };
        tree.nodes.push(Node { keys: Vec::new(), parent: NONE, columns: Vec::new() });
        for (column, path) in paths.iter().enumerate() {
            let mut at = 0;
            let mut rest = path.iter().peekable();
            while let Some(name) = rest.next() {
                at = tree.insert(at, name.as_bytes(), column, rest.peek().is_none());
            }
        }
        tree
    }

    /// Adds a key to object `at` and returns the object below it.
    fn insert(&mut self, at: u32, name: &[u8], column: usize, last: bool) -> u32 {
        let count = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let Some(node) = self.nodes.get_mut(at as usize) else { return at };
        node.columns.push(column);
        let index = match node.keys.iter().position(|key| key.name == name) {
            Some(index) => index,
            None => {
                node.keys.push(Key { name: name.to_vec(), leaves: Vec::new(), child: None });
                node.keys.len() - 1
            }
        };
        let Some(key) = node.keys.get_mut(index) else { return at };
        if last {
            key.leaves.push(column);
            return at;
        }
        let child = *key.child.get_or_insert(count);
        if child == count {
            self.nodes.push(Node { keys: Vec::new(), parent: at, columns: Vec::new() });
        }
        child
    }

    /// The number of the key with this name in an object, or [`NONE`].
    pub fn find(&self, node: u32, name: &[u8]) -> u32 {
        let keys = self.nodes.get(node as usize).map(|n| n.keys.as_slice()).unwrap_or_default();
        let at = keys.iter().position(|key| key.name == name);
        at.and_then(|at| u32::try_from(at).ok()).unwrap_or(NONE)
    }

    /// A key of an object.
    pub fn key(&self, node: u32, key: u32) -> Option<&Key> {
        self.nodes.get(node as usize)?.keys.get(key as usize)
    }

    /// The object around an object.
    pub fn parent(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).map_or(NONE, |n| n.parent)
    }

    /// The columns at and below an object.
    pub fn columns(&self, node: u32) -> &[usize] {
        self.nodes.get(node as usize).map(|n| n.columns.as_slice()).unwrap_or_default()
    }
}
