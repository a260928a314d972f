//! The configured keys, as a tree of objects, and the order in which keys have been seen to come.
//!
//! Records of one stream mostly have the same keys in the same order. Each key remembers which
//! key came after it the last time; that one is tried first, with one comparison. A wrong guess
//! costs a look-up and nothing else: what is parsed never depends on guesses.

use millstream_parser_common::scan::Needle;

/// No key.
pub const NONE: u32 = u32::MAX;
/// So many keys of one object are learned that no column names.
const MAX_LEARNED: usize = 64;

/// A key of an object.
#[derive(Debug)]
pub struct Key {
    name: Vec<u8>,
    /// The key with its quotation marks, as it stands in a record when nothing is escaped.
    raw: Option<Needle>,
    /// The columns that it fills.
    pub leaves: Vec<usize>,
    /// The object below it, when columns look inside.
    pub child: Option<usize>,
    /// The key that came after it the last time.
    next: u32,
}

/// An object with keys that columns name.
#[derive(Debug)]
struct Node {
    keys: Vec<Key>,
    /// The key that came first the last time.
    first: u32,
    /// All columns at and below.
    columns: Vec<usize>,
    configured: usize,
}

/// The objects; 0 is the record.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Node {
    fn new() -> Self {
        Self { keys: Vec::new(), first: NONE, columns: Vec::new(), configured: 0 }
    }

    fn find(&self, name: &[u8]) -> Option<u32> {
        let at = self.keys.iter().position(|key| key.name == name)?;
        u32::try_from(at).ok()
    }

    fn add(&mut self, name: &[u8]) -> u32 {
        let plain = name.iter().all(|&b| b != b'"' && b != b'\\' && b >= 0x20);
        let raw = plain.then(|| Needle::new(&[b"\"", name, b"\""].concat()));
        self.keys.push(Key {
            name: name.to_vec(),
            raw,
            leaves: Vec::new(),
            child: None,
            next: NONE,
        });
        u32::try_from(self.keys.len() - 1).unwrap_or(NONE)
    }
}

impl Tree {
    /// The tree of these paths; path i belongs to column i.
    pub fn new(paths: &[Vec<String>]) -> Self {
        let mut tree = Self { nodes: vec![Node::new()] };
        for (column, path) in paths.iter().enumerate() {
            let mut at = 0;
            let mut rest = path.iter().peekable();
            while let Some(name) = rest.next() {
                at = tree.insert(at, name.as_bytes(), column, rest.peek().is_none());
            }
        }
        for node in &mut tree.nodes {
            node.configured = node.keys.len();
        }
        tree
    }

    /// Adds a key to node `at` and returns the node below it.
    fn insert(&mut self, at: usize, name: &[u8], column: usize, last: bool) -> usize {
        let count = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        node.columns.push(column);
        let key = node.find(name).unwrap_or_else(|| node.add(name));
        let Some(key) = node.keys.get_mut(key as usize) else { return at };
        if last {
            key.leaves.push(column);
            return at;
        }
        let child = *key.child.get_or_insert(count);
        if child == count {
            self.nodes.push(Node::new());
        }
        child
    }

    /// A key of an object.
    #[inline]
    pub fn key(&self, node: usize, key: u32) -> Option<&Key> {
        self.nodes.get(node)?.keys.get(key as usize)
    }

    /// The columns at and below an object.
    pub fn columns(&self, node: usize) -> &[usize] {
        self.nodes.get(node).map(|n| n.columns.as_slice()).unwrap_or_default()
    }

    /// The key likely to come after `previous`, or first.
    #[inline]
    pub fn guess(&self, node: usize, previous: u32) -> u32 {
        let Some(node) = self.nodes.get(node) else { return NONE };
        match node.keys.get(previous as usize) {
            Some(key) => key.next,
            None => node.first,
        }
    }

    /// The length of the key with its quotation marks, when it stands at `at`.
    #[inline]
    pub fn stands_at(&self, node: usize, key: u32, data: &[u8], at: usize) -> Option<usize> {
        let raw = self.key(node, key)?.raw.as_ref()?;
        raw.is_at(data, at).then(|| raw.len())
    }

    /// Looks a key up, and learns that it came after `previous`.
    pub fn look_up(&mut self, node: usize, name: &[u8], previous: u32) -> u32 {
        let Some(node) = self.nodes.get_mut(node) else { return NONE };
        let found = match node.find(name) {
            Some(key) => key,
            None if node.keys.len() < node.configured + MAX_LEARNED && name.len() <= 256 => {
                node.add(name)
            }
            None => NONE,
        };
        match node.keys.get_mut(previous as usize) {
            Some(key) => key.next = found,
            None if previous == NONE => node.first = found,
            None => {}
        }
        found
    }
}
