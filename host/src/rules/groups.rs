//! Rows of a batch grouped by key, in stream order.
//!
//! Groups are numbered by their first row, so that nothing depends on a hash map's order.

#![expect(clippy::indexing_slicing, reason = "group numbers and spans are made here")]

use hashbrown::HashTable;

use super::codec::RowView;
use super::error::RuleError;
use crate::hash::hash64;

/// The keys of some rows and which rows each has.
#[derive(Debug, Default)]
pub(super) struct Groups {
    keys: Vec<Key>,
    bytes: Vec<u8>,
    rows: Vec<u32>,
}

#[derive(Debug)]
struct Key {
    hash: u64,
    bytes: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
}

impl Groups {
    /// Groups rows `0..rows` of `view` for which `keep` is true.
    pub(super) fn of_rows(
        view: &RowView,
        rows: usize,
        keep: impl Fn(usize) -> bool,
    ) -> Result<Self, RuleError> {
        let last = u32::try_from(rows).map_err(|_| RuleError::TooManyRows { rows })?;
        let mut groups = Self::default();
        let mut index: HashTable<usize> = HashTable::new();
        let mut group_of = Vec::with_capacity(rows);
        for row in 0..rows {
            if !keep(row) {
                group_of.push(None);
                continue;
            }
            let start = groups.bytes.len();
            view.encode(row, &mut groups.bytes);
            let key = start..groups.bytes.len();
            let hash = hash64(&groups.bytes[key.clone()]);
            let same = |group: &usize| {
                groups.bytes[groups.keys[*group].bytes.clone()] == groups.bytes[key.clone()]
            };
            let group = match index.find(hash, same) {
                Some(group) => {
                    let group = *group;
                    groups.bytes.truncate(start);
                    group
                }
                None => {
                    let group = groups.keys.len();
                    groups.keys.push(Key { hash, bytes: key, rows: 0..0 });
                    index.insert_unique(hash, group, |group| groups.keys[*group].hash);
                    group
                }
            };
            groups.keys[group].rows.end += 1;
            group_of.push(Some(group));
        }
        groups.scatter(last, &group_of);
        Ok(groups)
    }

    /// Returns groups without rows, for timers.
    pub(super) fn of_keys<'a>(keys: impl Iterator<Item = (u64, &'a [u8])>) -> Self {
        let mut groups = Self::default();
        for (hash, key) in keys {
            let start = groups.bytes.len();
            groups.bytes.extend_from_slice(key);
            groups.keys.push(Key { hash, bytes: start..groups.bytes.len(), rows: 0..0 });
        }
        groups
    }

    /// Turns counts per group into ranges and sorts the rows into them, keeping their order.
    fn scatter(&mut self, rows: u32, group_of: &[Option<usize>]) {
        let mut start = 0;
        for key in &mut self.keys {
            let count = key.rows.end;
            key.rows = start..start;
            start += count;
        }
        self.rows = vec![0; start];
        for (row, group) in (0..rows).zip(group_of) {
            if let Some(group) = group {
                let place = &mut self.keys[*group].rows.end;
                self.rows[*place] = row;
                *place += 1;
            }
        }
    }

    /// Returns the number of groups.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns the encoded key of a group.
    pub(super) fn key(&self, group: usize) -> &[u8] {
        &self.bytes[self.keys[group].bytes.clone()]
    }

    /// Returns the hash of a group's key.
    pub(super) fn hash(&self, group: usize) -> u64 {
        self.keys[group].hash
    }

    /// Returns the rows of a group, ascending.
    pub(super) fn rows(&self, group: usize) -> &[u32] {
        &self.rows[self.keys[group].rows.clone()]
    }
}
