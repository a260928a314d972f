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
    /// The column that it fills, when it does nothing else.
    pub only: Option<usize>,
    /// Whether any column is at or below it.
    pub wanted: bool,
    /// The columns that it fills.
    pub leaves: Vec<usize>,
    /// The object below it, when columns look inside.
    pub child: Option<usize>,
    /// The key that came after it the last time.
    pub next: u32,
}

impl Key {
    /// The length of the key with its quotation marks, when it stands at `at`.
    #[inline]
    pub fn stands_at(&self, data: &[u8], at: usize) -> Option<usize> {
        let raw = self.raw.as_ref()?;
        raw.is_at(data, at).then(|| raw.len())
    }
}

/// An object with keys that columns name.
#[derive(Debug, Default)]
pub struct Node {
    keys: Vec<Key>,
    /// The key that came first the last time.
    pub first: u32,
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

    /// A key.
    #[inline]
    pub fn key(&self, key: u32) -> Option<&Key> {
        self.keys.get(key as usize)
    }

    /// Looks a key up, and learns that it came after `previous`.
    #[cold]
    pub fn look_up(&mut self, name: &[u8], previous: u32) -> u32 {
        let found = match self.find(name) {
            Some(key) => key,
            None if self.keys.len() < self.configured + MAX_LEARNED && name.len() <= 256 => {
                self.add(name)
            }
            None => NONE,
        };
        match self.keys.get_mut(previous as usize) {
            Some(key) => key.next = found,
            None if previous == NONE => self.first = found,
            None => {}
        }
        found
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
            only: None,
            wanted: false,
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
            for key in &mut node.keys {
                key.wanted = true;
                key.only = match (key.leaves.as_slice(), key.child) {
                    ([column], None) => Some(*column),
                    _ => None,
                };
            }
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

    /// Takes an object out, to be put back. Objects below it stay.
    #[inline]
    pub fn take(&mut self, node: usize) -> Node {
        self.nodes.get_mut(node).map(core::mem::take).unwrap_or_default()
    }

    /// Puts an object back.
    #[inline]
    pub fn put(&mut self, node: usize, taken: Node) {
        if let Some(place) = self.nodes.get_mut(node) {
            *place = taken;
        }
    }

    /// The columns at and below an object.
    pub fn columns(&self, node: usize) -> &[usize] {
        self.nodes.get(node).map(|n| n.columns.as_slice()).unwrap_or_default()
    }
}
