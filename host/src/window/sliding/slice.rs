//! One slice: its keys and their aggregates; and slices merged.

#![expect(
    clippy::indexing_slicing,
    reason = "ids and groups are numbered here and index columns of their own table"
)]

use super::super::aggregate::Aggregate;
use super::super::error::WindowError;
use super::super::spec::Window;
use super::super::{NONE, number};

const PAGE: usize = 256;

/// From key to group, in pages, so that a slice of few keys stays small.
#[derive(Debug, Default)]
pub struct Index {
    pages: Vec<Option<Box<[u32; PAGE]>>>,
}

impl Index {
    pub fn get(&self, key: u32) -> u32 {
        let key = key as usize;
        match self.pages.get(key / PAGE) {
            Some(Some(page)) => page[key % PAGE],
            _ => NONE,
        }
    }

    pub fn set(&mut self, key: u32, group: u32) {
        let key = key as usize;
        if self.pages.len() <= key / PAGE {
            self.pages.resize_with(key / PAGE + 1, || None);
        }
        let page = self.pages[key / PAGE].get_or_insert_with(|| Box::new([NONE; PAGE]));
        page[key % PAGE] = group;
    }

    pub fn memory_bytes(&self) -> usize {
        self.pages.capacity() * 8 + self.pages.iter().flatten().count() * PAGE * 4
    }
}

/// One slice.
#[derive(Debug)]
pub struct Slice {
    /// The key of each group.
    pub keys: Vec<u32>,
    pub index: Index,
    pub aggregates: Vec<Box<dyn Aggregate>>,
}

impl Slice {
    pub fn new(window: &Window) -> Self {
        Self { keys: Vec::new(), index: Index::default(), aggregates: window.aggregates() }
    }
}

pub type Merged = (Vec<u32>, Vec<Box<dyn Aggregate>>);

/// Merges slices: the keys found and their aggregates. `scratch` is left full of `NONE`.
pub fn merge_slices(
    window: &Window,
    slices: &[&Slice],
    keys: Option<Vec<u32>>,
    key_count: usize,
    scratch: &mut Vec<u32>,
) -> Result<Merged, WindowError> {
    scratch.resize(key_count, NONE);
    let mut ids = Vec::new();
    let mut places: Vec<(Vec<u32>, Vec<u32>)> = Vec::with_capacity(slices.len());
    for slice in slices {
        let expected = keys.as_ref().map_or(slice.keys.len(), Vec::len);
        let (mut rows, mut targets) = (Vec::with_capacity(expected), Vec::with_capacity(expected));
        let mut take = |row: u32, key: u32| {
            let target = &mut scratch[key as usize];
            if *target == NONE {
                *target = number(ids.len());
                ids.push(key);
            }
            rows.push(row);
            targets.push(*target);
        };
        match &keys {
            None => slice.keys.iter().enumerate().for_each(|(row, key)| take(number(row), *key)),
            Some(keys) => keys
                .iter()
                .map(|key| (slice.index.get(*key), *key))
                .filter(|(row, _)| *row != NONE)
                .for_each(|(row, key)| take(row, key)),
        }
        places.push((rows, targets));
    }
    ids.iter().for_each(|id| scratch[*id as usize] = NONE);
    let mut aggregates = window.aggregates();
    for (at, mine) in aggregates.iter_mut().enumerate() {
        mine.resize(ids.len());
        for (slice, (rows, targets)) in slices.iter().zip(&places) {
            mine.merge(slice.aggregates[at].as_ref(), rows, targets)?;
        }
    }
    Ok((ids, aggregates))
}
