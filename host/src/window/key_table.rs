//! An interner of keys: each distinct combination of key columns gets a small number.
//!
//! Numbers count from 0 in the order of first sight and index the state columns of aggregates.
//! Each key keeps its stable hash, so that merging tables and choosing shards hash nothing again.
//! Three layouts: one word (an integer, time, double or boolean), one run of bytes (text, bytes),
//! and, for several columns, one run of bytes per key in the encoding below.
//!
//! ```text
//! key   := column*
//! column:= 0                       null
//!        | 1 8 bytes               word, little endian
//!        | 1 length:u32 bytes      text or bytes, length little endian
//! ```
//!
//! Equality is SQL's grouping: nulls are one key, so are all NaNs, and −0 is 0.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_sign_loss,
    reason = "ids index columns of this table, all as long as `hashes`; rows are checked at the top"
)]

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::error::WindowError;
use super::values::{ByteColumn, Kind, float_to_word, from_bytes, from_words, words};
use super::{NONE, number};
use crate::hash::hash64;

#[derive(Clone, Debug, PartialEq)]
enum Layout {
    /// No key columns: one key.
    Unit,
    Word(Kind),
    Bytes(Kind),
    Row(Vec<Kind>),
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct KeyTable {
    layout: Layout,
    /// Keep doubles bit by bit: for tables that hold values, not keys.
    exact: bool,
    hashes: Vec<u64>,
    /// High half of the hash, number: growing reads nothing else.
    table: HashTable<(u32, u32)>,
    words: Vec<i64>,
    bytes: Vec<u8>,
    /// One more than there are keys, for layouts with bytes.
    ends: Vec<usize>,
    /// The null key of the one-column layouts.
    null: Option<u32>,
}

/// Rows after which the number of keys in a batch is estimated.
const SAMPLE: usize = 1024;

fn high(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The place in the hash table, from the high half of the hash. Spread, as shards share high bits.
#[inline]
fn slot(high: u32) -> u64 {
    u64::from(high).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn null_hash() -> u64 {
    hash64(&[0xff])
}

fn same_float(word: i64) -> i64 {
    let value = super::values::word_to_float(word);
    if value.is_nan() {
        float_to_word(f64::NAN)
    } else if value == 0.0 {
        float_to_word(0.0)
    } else {
        word
    }
}

impl KeyTable {
    /// Makes an empty table for keys of these columns.
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        let layout = match kinds {
            [] => Layout::Unit,
            [kind] if kind.is_word() => Layout::Word(*kind),
            [kind] => Layout::Bytes(*kind),
            _ => Layout::Row(kinds.to_vec()),
        };
        Self {
            layout,
            exact: false,
            hashes: Vec::new(),
            table: HashTable::new(),
            words: Vec::new(),
            bytes: Vec::new(),
            ends: vec![0],
            null: None,
        }
    }

    /// Makes an empty table of single values that keeps doubles bit by bit.
    pub(crate) fn of_values(kind: Kind) -> Self {
        Self { exact: true, ..Self::new(&[kind]) }
    }

    /// Makes an empty table of the same layout.
    pub(crate) fn fresh(&self) -> Self {
        let kinds: Vec<Kind> = match &self.layout {
            Layout::Unit => vec![],
            Layout::Word(kind) | Layout::Bytes(kind) => vec![*kind],
            Layout::Row(kinds) => kinds.clone(),
        };
        Self { exact: self.exact, ..Self::new(&kinds) }
    }

    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Returns the stable hash of a key.
    pub(crate) fn hash(&self, id: u32) -> u64 {
        self.hashes[id as usize]
    }

    /// Returns about how many bytes the table holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.hashes.capacity() * 8
            + self.table.allocation_size()
            + self.words.capacity() * 8
            + self.bytes.capacity()
            + self.ends.capacity() * 8
    }

    /// Numbers the keys of `rows` rows; rows outside `mask` get `NONE`.
    ///
    /// # Errors
    /// When the columns are not those of the table or have another length.
    pub(crate) fn intern(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        mask: Option<&BooleanBuffer>,
    ) -> Result<Vec<u32>, WindowError> {
        if let Some(column) = columns.iter().find(|c| c.len() != rows) {
            return Err(WindowError::Shape {
                what: "rows of a key column",
                expected: rows,
                found: column.len(),
            });
        }
        let before = self.len();
        let mut ids = vec![NONE; rows];
        let wrong = || WindowError::Foreign { what: "a key column" };
        match (&self.layout.clone(), columns) {
            (Layout::Unit, []) => {
                let id = self.unit();
                ids.fill(id);
            }
            (Layout::Word(kind), [column]) => {
                if column.data_type() != &kind.data_type() {
                    return Err(wrong());
                }
                let fold = *kind == Kind::Float && !self.exact;
                let values = words(column).ok_or_else(wrong)?;
                let nulls = column.nulls().filter(|n| n.null_count() > 0);
                for (row, id) in ids.iter_mut().enumerate() {
                    if row == SAMPLE {
                        self.expect_more(before, rows);
                    }
                    if mask.is_some_and(|m| !m.value(row)) {
                        continue;
                    }
                    *id = if nulls.is_some_and(|n| n.is_null(row)) {
                        self.null_id()
                    } else {
                        let word = if fold { same_float(values[row]) } else { values[row] };
                        self.word(hash64(&word.to_le_bytes()), word)
                    };
                }
            }
            (Layout::Bytes(kind), [column]) => {
                if column.data_type() != &kind.data_type() {
                    return Err(wrong());
                }
                let (offsets, data) = ByteColumn::of(column).ok_or_else(wrong)?.parts();
                let nulls = column.nulls().filter(|n| n.null_count() > 0);
                for (row, id) in ids.iter_mut().enumerate() {
                    if row == SAMPLE {
                        self.expect_more(before, rows);
                    }
                    if mask.is_some_and(|m| !m.value(row)) {
                        continue;
                    }
                    *id = if nulls.is_some_and(|n| n.is_null(row)) {
                        self.null_id()
                    } else {
                        let value = &data[offsets[row] as usize..offsets[row + 1] as usize];
                        self.run(hash64(value), value)
                    };
                }
            }
            (Layout::Row(kinds), columns) if kinds.len() == columns.len() => {
                let views = columns
                    .iter()
                    .zip(kinds)
                    .map(|(column, kind)| View::of(column, *kind).ok_or_else(wrong))
                    .collect::<Result<Vec<_>, _>>()?;
                let mut key = Vec::new();
                for (row, id) in ids.iter_mut().enumerate() {
                    if row == SAMPLE {
                        self.expect_more(before, rows);
                    }
                    if mask.is_some_and(|m| !m.value(row)) {
                        continue;
                    }
                    key.clear();
                    for view in &views {
                        view.encode(row, &mut key);
                    }
                    *id = self.run(hash64(&key), &key);
                }
            }
            _ => return Err(wrong()),
        }
        Ok(ids)
    }

    /// Makes room for a batch's keys after a sample of its rows.
    fn expect_more(&mut self, before: usize, rows: usize) {
        let more = (self.len() - before) * rows.saturating_sub(SAMPLE) / SAMPLE;
        self.table.reserve(more, |&(high, _)| slot(high));
        self.hashes.reserve(more);
        match self.layout {
            Layout::Unit => {}
            Layout::Word(_) => self.words.reserve(more),
            Layout::Bytes(_) | Layout::Row(_) => {
                self.ends.reserve(more);
                self.bytes.reserve(more * (self.bytes.len() / self.len().max(1)));
            }
        }
    }

    /// Numbers a key of another table of the same layout, by its stored hash.
    pub(crate) fn intern_from(&mut self, other: &Self, id: u32) -> u32 {
        match &self.layout {
            Layout::Unit => self.unit(),
            _ if other.null == Some(id) => self.null_id(),
            Layout::Word(_) => self.word(other.hash(id), other.words[id as usize]),
            Layout::Bytes(_) | Layout::Row(_) => self.run(other.hash(id), other.slice(id)),
        }
    }

    /// Returns the key columns (canonical) of these keys.
    pub(crate) fn columns(&self, ids: &[u32]) -> Vec<ArrayRef> {
        match &self.layout {
            Layout::Unit => vec![],
            Layout::Word(kind) => {
                let null = self.null;
                let word = |id: &u32| (Some(*id) != null).then(|| self.words[*id as usize]);
                vec![from_words(*kind, ids.iter().map(word))]
            }
            Layout::Bytes(kind) => {
                let null = self.null;
                let run = |id: &u32| (Some(*id) != null).then(|| self.slice(*id));
                vec![from_bytes(*kind, ids.iter().map(run))]
            }
            Layout::Row(kinds) => self.decode(kinds, ids),
        }
    }

    /// Orders keys by what they hold: null first, words by value, bytes by bytes.
    pub(crate) fn compare(&self, a: u32, b: u32) -> Ordering {
        match &self.layout {
            Layout::Unit => Ordering::Equal,
            Layout::Word(_) => {
                let key = |id: u32| (Some(id) != self.null).then(|| self.words[id as usize]);
                key(a).cmp(&key(b))
            }
            Layout::Bytes(_) | Layout::Row(_) => {
                let key = |id: u32| (Some(id) != self.null).then(|| self.slice(id));
                key(a).cmp(&key(b))
            }
        }
    }

    /// Returns a key's word (of a table of words).
    pub(crate) fn word_of(&self, id: u32) -> i64 {
        self.words.get(id as usize).copied().unwrap_or_default()
    }

    fn slice(&self, id: u32) -> &[u8] {
        let id = id as usize;
        &self.bytes[self.ends[id]..self.ends[id + 1]]
    }

    fn unit(&mut self) -> u32 {
        if self.hashes.is_empty() {
            self.hashes.push(hash64(&[]));
        }
        0
    }

    fn null_id(&mut self) -> u32 {
        if let Some(id) = self.null {
            return id;
        }
        let id = number(self.hashes.len());
        self.hashes.push(null_hash());
        match self.layout {
            Layout::Word(_) => self.words.push(0),
            _ => self.ends.push(self.bytes.len()),
        }
        self.null = Some(id);
        id
    }

    #[inline]
    fn word(&mut self, hash: u64, word: i64) -> u32 {
        let Self { table, hashes, words, .. } = self;
        let high = high(hash);
        let found = table.entry(
            slot(high),
            |&(its, id)| its == high && words[id as usize] == word,
            |&(high, _)| slot(high),
        );
        match found {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let id = number(words.len());
                entry.insert((high, id));
                hashes.push(hash);
                words.push(word);
                id
            }
        }
    }

    #[inline]
    fn run(&mut self, hash: u64, value: &[u8]) -> u32 {
        let Self { table, hashes, bytes, ends, .. } = self;
        let high = high(hash);
        let found = table.entry(
            slot(high),
            |&(its, id)| {
                let id = id as usize;
                its == high && &bytes[ends[id]..ends[id + 1]] == value
            },
            |&(high, _)| slot(high),
        );
        match found {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let id = number(hashes.len());
                entry.insert((high, id));
                hashes.push(hash);
                bytes.extend_from_slice(value);
                ends.push(bytes.len());
                id
            }
        }
    }

    fn decode(&self, kinds: &[Kind], ids: &[u32]) -> Vec<ArrayRef> {
        let mut words: Vec<Vec<Option<i64>>> = vec![Vec::new(); kinds.len()];
        let mut runs: Vec<Vec<Option<&[u8]>>> = vec![Vec::new(); kinds.len()];
        for &id in ids {
            let mut rest = self.slice(id);
            for (column, kind) in kinds.iter().enumerate() {
                let present = rest[0] == 1;
                rest = &rest[1..];
                match (kind.is_word(), present) {
                    (true, true) => {
                        let (word, after) = rest.split_at(8);
                        let word = word.try_into().map(i64::from_le_bytes).unwrap_or_default();
                        words[column].push(Some(word));
                        rest = after;
                    }
                    (true, false) => words[column].push(None),
                    (false, true) => {
                        let (length, after) = rest.split_at(4);
                        let length =
                            length.try_into().map(u32::from_le_bytes).unwrap_or_default() as usize;
                        let (run, after) = after.split_at(length);
                        runs[column].push(Some(run));
                        rest = after;
                    }
                    (false, false) => runs[column].push(None),
                }
            }
        }
        kinds
            .iter()
            .zip(words.into_iter().zip(runs))
            .map(|(kind, (words, runs))| {
                if kind.is_word() {
                    from_words(*kind, words.into_iter())
                } else {
                    from_bytes(*kind, runs.iter().copied())
                }
            })
            .collect()
    }
}

/// One key column of a table with several.
enum View<'a> {
    Words { words: std::borrow::Cow<'a, [i64]>, float: bool, array: &'a ArrayRef },
    Bytes { bytes: ByteColumn<'a>, array: &'a ArrayRef },
}

impl<'a> View<'a> {
    fn of(array: &'a ArrayRef, kind: Kind) -> Option<Self> {
        if array.data_type() != &kind.data_type() {
            return None;
        }
        if kind.is_word() {
            let float = kind == Kind::Float;
            return Some(Self::Words { words: words(array)?, float, array });
        }
        Some(Self::Bytes { bytes: ByteColumn::of(array)?, array })
    }

    fn encode(&self, row: usize, key: &mut Vec<u8>) {
        match self {
            Self::Words { array, .. } | Self::Bytes { array, .. } if array.is_null(row) => {
                key.push(0);
            }
            Self::Words { words, float, .. } => {
                let word = if *float { same_float(words[row]) } else { words[row] };
                key.push(1);
                key.extend_from_slice(&word.to_le_bytes());
            }
            Self::Bytes { bytes, .. } => {
                let value = bytes.value(row);
                key.push(1);
                key.extend_from_slice(&number(value.len()).to_le_bytes());
                key.extend_from_slice(value);
            }
        }
    }
}

/// Which part of the keys a state owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// This shard, from 0.
    pub index: u32,
    /// How many shards there are; at least 1.
    pub of: u32,
}

impl Shard {
    /// The one shard of an undivided state.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Returns true when a key with this hash belongs to the shard.
    pub fn owns(self, hash: u64) -> bool {
        self.of <= 1 || ((hash >> 32) * u64::from(self.of)) >> 32 == u64::from(self.index)
    }
}
