//! Aggregates over distinct values: `count`, `sum`, `avg` and `array_agg`.
//!
//! Values are interned once per table; which group has seen which value is a set of pairs, each
//! packed into one word (group in the high half, value in the low). The pairs are also kept in
//! the order they came, so that no walk depends on the hash table.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "groups exist by contract; halves of packed words are 32 bits"
)]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::list::lists;
use super::{Aggregate, RowOrder, argument, column, each, peer};
use crate::expr::AggregateSpec;
use crate::window::error::WindowError;
use crate::window::key_table::KeyTable;
use crate::window::values::{Kind, mask, restore, word_to_float};
use crate::window::{NONE, number};

/// What is made of a group's distinct values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// Their number.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// Themselves, sorted by value.
    List,
}

/// Most possible pairs for which a bit each is kept: 128 KB of them.
const MAX_CELLS: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Distinct {
    finish: Finish,
    kind: Kind,
    values: KeyTable,
    pairs: Vec<u64>,
    /// All of `pairs`, or nothing until somebody needs it.
    set: HashTable<u64>,
    counts: Vec<i64>,
    /// After `seal`: where each group's pairs start, and the end; pairs are sorted by group.
    starts: Vec<u32>,
    result: DataType,
}

/// Spreads a pair over all bits: a multiplicative hash with its high half folded in.
#[inline]
fn spread(pair: u64) -> u64 {
    let product = pair.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

fn pack(group: u32, value: u32) -> u64 {
    u64::from(group) << 32 | u64::from(value)
}

fn group_of(pair: u64) -> u32 {
    (pair >> 32) as u32
}

fn value_of(pair: u64) -> u32 {
    pair as u32
}

impl Distinct {
    pub(super) fn new(finish: Finish, kind: Kind, spec: &AggregateSpec) -> Self {
        Self::empty(finish, kind, spec.result_type.clone())
    }

    fn empty(finish: Finish, kind: Kind, result: DataType) -> Self {
        Self {
            finish,
            kind,
            values: KeyTable::new(&[kind]),
            pairs: Vec::new(),
            set: HashTable::new(),
            counts: Vec::new(),
            starts: Vec::new(),
            result,
        }
    }

    /// Takes the first rows. A bit for each possible pair stands in for the set, which nobody needs
    /// when these rows stay the only ones, as in a batch's share.
    fn first(&mut self, groups: &[u32], ids: &[u32], mask: Option<&BooleanBuffer>, cells: usize) {
        let mut seen = vec![0u64; cells.div_ceil(64)];
        let values = self.values.len();
        each(groups, mask, |row, _| {
            let (group, value) = (groups[row], ids[row]);
            let cell = group as usize * values + value as usize;
            let (word, bit) = (&mut seen[cell / 64], 1 << (cell % 64));
            if *word & bit == 0 {
                *word |= bit;
                self.pairs.push(pack(group, value));
                self.counts[group as usize] += 1;
            }
        });
    }

    /// Makes the set of all pairs, where it is not there.
    fn index(&mut self) {
        if self.set.len() == self.pairs.len() {
            return;
        }
        self.set = HashTable::with_capacity(self.pairs.len());
        for pair in &self.pairs {
            self.set.insert_unique(spread(*pair), *pair, |held| spread(*held));
        }
    }

    #[inline]
    fn insert(&mut self, group: u32, value: u32) {
        let pair = pack(group, value);
        let found = self.set.entry(spread(pair), |held| *held == pair, |held| spread(*held));
        if let Entry::Vacant(entry) = found {
            entry.insert(pair);
            self.pairs.push(pair);
            self.counts[group as usize] += 1;
        }
    }

    /// Returns the values of each of these groups, sorted.
    fn sorted(&self, rows: &[u32]) -> Vec<Vec<u32>> {
        let mut place = vec![NONE; self.counts.len()];
        for (at, row) in rows.iter().enumerate() {
            place[*row as usize] = number(at);
        }
        let mut lists = vec![Vec::new(); rows.len()];
        for pair in &self.pairs {
            let at = place[group_of(*pair) as usize];
            if at != NONE {
                lists[at as usize].push(value_of(*pair));
            }
        }
        for list in &mut lists {
            list.sort_unstable_by(|a, b| self.values.compare(*a, *b));
        }
        lists
    }

    fn floats(&self, list: &[u32]) -> f64 {
        let number = |id: &u32| {
            let word = self.values.word_of(*id);
            if self.kind == Kind::Float { word_to_float(word) } else { word as f64 }
        };
        list.iter().map(number).sum()
    }
}

impl Aggregate for Distinct {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::empty(self.finish, self.kind, self.result.clone()))
    }

    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn update(
        &mut self,
        groups: &[u32],
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
        _: RowOrder<'_>,
    ) -> Result<(), WindowError> {
        self.starts.clear();
        let values = argument(arguments, groups.len())?;
        let mask = mask(Some(&values), filter);
        let ids = self.values.intern(&[values], groups.len(), mask.as_ref())?;
        let cells = self.counts.len().saturating_mul(self.values.len());
        if self.pairs.is_empty() && cells <= MAX_CELLS {
            self.first(groups, &ids, mask.as_ref(), cells);
            return Ok(());
        }
        self.index();
        let more = self.values.len().saturating_sub(self.set.len());
        self.set.reserve(more, |held| spread(*held));
        each(groups, mask.as_ref(), |row, _| self.insert(groups[row], ids[row]));
        Ok(())
    }

    /// Sorts the pairs by group, by counting.
    fn seal(&mut self) {
        let mut starts = Vec::with_capacity(self.counts.len() + 1);
        let mut end = 0;
        starts.push(0);
        for count in &self.counts {
            end += u32::try_from(*count).unwrap_or_default();
            starts.push(end);
        }
        let mut next = starts.clone();
        let mut sorted = vec![0; self.pairs.len()];
        for pair in &self.pairs {
            let at = &mut next[group_of(*pair) as usize];
            sorted[*at as usize] = *pair;
            *at += 1;
        }
        self.pairs = sorted;
        self.starts = starts;
        self.set = HashTable::new();
    }

    fn merge(
        &mut self,
        other: &dyn Aggregate,
        rows: &[u32],
        groups: &[u32],
    ) -> Result<(), WindowError> {
        let other: &Self = peer(other)?;
        self.starts.clear();
        self.index();
        let wanted: i64 = rows.iter().map(|row| other.counts[*row as usize]).sum();
        let wanted = usize::try_from(wanted).unwrap_or_default();
        // Few pairs of a large table: no map over all of its values.
        let mut numbers =
            if wanted > other.values.len() / 4 { vec![NONE; other.values.len()] } else { vec![] };
        let mut add = |mine: &mut Self, group: u32, value: u32| {
            let id = match numbers.get_mut(value as usize) {
                None => mine.values.intern_from(&other.values, value),
                Some(id) => {
                    if *id == NONE {
                        *id = mine.values.intern_from(&other.values, value);
                    }
                    *id
                }
            };
            mine.insert(group, id);
        };
        if other.starts.is_empty() {
            let mut targets = vec![NONE; other.counts.len()];
            for (row, group) in rows.iter().zip(groups) {
                targets[*row as usize] = *group;
            }
            for pair in &other.pairs {
                let group = targets[group_of(*pair) as usize];
                if group != NONE {
                    add(self, group, value_of(*pair));
                }
            }
        } else {
            for (row, group) in rows.iter().zip(groups) {
                let from = other.starts[*row as usize] as usize;
                let to = other.starts[*row as usize + 1] as usize;
                for pair in &other.pairs[from..to] {
                    add(self, *group, value_of(*pair));
                }
            }
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let count = |row: &u32| self.counts[*row as usize];
        match self.finish {
            Finish::Count => {
                let counts = Int64Array::from_iter_values(rows.iter().map(count));
                Ok(restore(Arc::new(counts), &self.result)?)
            }
            Finish::Sum if self.kind == Kind::Int => {
                let sums: Int64Array = self
                    .sorted(rows)
                    .iter()
                    .map(|list| {
                        let sum = list.iter().map(|id| i128::from(self.values.word_of(*id)));
                        if list.is_empty() { None } else { i64::try_from(sum.sum::<i128>()).ok() }
                    })
                    .collect();
                Ok(cast(&sums, &self.result)?)
            }
            Finish::Sum | Finish::Avg => {
                let values: Float64Array = self
                    .sorted(rows)
                    .iter()
                    .map(|list| {
                        let sum = (!list.is_empty()).then(|| self.floats(list))?;
                        let mean = self.finish == Finish::Avg;
                        Some(if mean { sum / list.len() as f64 } else { sum })
                    })
                    .collect();
                Ok(restore(Arc::new(values), &self.result)?)
            }
            Finish::List => {
                let sorted = self.sorted(rows);
                let lengths: Vec<usize> = sorted.iter().map(Vec::len).collect();
                let values = self.values.columns(&sorted.concat()).pop();
                let values = values.ok_or(WindowError::Foreign { what: "distinct values" })?;
                lists(&self.result, self.kind, &lengths, values)
            }
        }
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let sorted = self.sorted(rows);
        let lengths: Vec<usize> = sorted.iter().map(Vec::len).collect();
        let values = self.values.columns(&sorted.concat()).pop();
        let values = values.ok_or(WindowError::Foreign { what: "distinct values" })?;
        Ok(vec![lists(&self.kind.data_type(), self.kind, &lengths, values)?])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let lists: &ListArray = column(columns, 0)?;
        let mut made = Self::empty(self.finish, self.kind, self.result.clone());
        made.resize_to(lists.len());
        for (group, list) in lists.iter().enumerate() {
            let Some(list) = list else { continue };
            let rows = list.len();
            for id in made.values.intern(&[list], rows, None)? {
                made.insert(number(group), id);
            }
        }
        Ok(Box::new(made))
    }

    fn clear(&mut self, groups: &[u32]) {
        let mut gone = vec![false; self.counts.len()];
        let mut any = false;
        for group in groups {
            any |= self.counts[*group as usize] > 0;
            gone[*group as usize] = true;
            self.counts[*group as usize] = 0;
        }
        if !any {
            return;
        }
        self.starts.clear();
        self.pairs.retain(|pair| !gone[group_of(*pair) as usize]);
        if self.pairs.len() < self.values.len() / 2 {
            let mut kept = self.values.fresh();
            for pair in &mut self.pairs {
                let value = kept.intern_from(&self.values, value_of(*pair));
                *pair = pack(group_of(*pair), value);
            }
            self.values = kept;
        }
        self.set.clear();
        self.index();
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes()
            + self.pairs.capacity() * 8
            + self.set.allocation_size()
            + self.counts.capacity() * 8
            + self.starts.capacity() * 4
    }
}

impl Distinct {
    fn resize_to(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }
}
