//! `min` and `max`.
//!
//! Doubles are compared in their total order (NaN above everything, −0 below 0), so that the
//! result depends on neither the order of rows nor of merges. Text is compared by bytes.

#![expect(clippy::indexing_slicing, reason = "groups exist by contract")]

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Int64Array};
use arrow::datatypes::DataType;

use super::{Aggregate, RowOrder, argument, column, each, peer};
use crate::window::error::WindowError;
use crate::window::values::{ByteColumn, Kind, from_bytes, from_words, mask, restore, words};

/// The least or greatest word of each group.
#[derive(Debug)]
pub(super) struct WordExtreme {
    most: bool,
    kind: Kind,
    words: Vec<i64>,
    seen: Vec<bool>,
    result: DataType,
}

impl WordExtreme {
    pub(super) fn new(most: bool, kind: Kind, result: DataType) -> Self {
        Self { most, kind, words: Vec::new(), seen: Vec::new(), result }
    }

    fn neutral(&self) -> i64 {
        if self.most { i64::MIN } else { i64::MAX }
    }

    fn word(&self, row: u32) -> Option<i64> {
        self.seen[row as usize].then(|| self.words[row as usize])
    }
}

impl Aggregate for WordExtreme {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::new(self.most, self.kind, self.result.clone()))
    }

    fn resize(&mut self, groups: usize) {
        self.words.resize(groups, self.neutral());
        self.seen.resize(groups, false);
    }

    fn update(
        &mut self,
        groups: &[u32],
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
        _: RowOrder<'_>,
    ) -> Result<(), WindowError> {
        let values = argument(arguments, groups.len())?;
        let mask = mask(Some(&values), filter);
        let values = words(&values).ok_or(WindowError::Foreign { what: "an argument" })?;
        let (mine, seen) = (self.words.as_mut_slice(), self.seen.as_mut_slice());
        if self.most {
            each(groups, mask.as_ref(), |row, group| {
                mine[group] = mine[group].max(values[row]);
                seen[group] = true;
            });
        } else {
            each(groups, mask.as_ref(), |row, group| {
                mine[group] = mine[group].min(values[row]);
                seen[group] = true;
            });
        }
        Ok(())
    }

    fn merge(
        &mut self,
        other: &dyn Aggregate,
        rows: &[u32],
        groups: &[u32],
    ) -> Result<(), WindowError> {
        let other: &Self = peer(other)?;
        for (row, group) in rows.iter().zip(groups) {
            let (row, group) = (*row as usize, *group as usize);
            let (mine, its) = (self.words[group], other.words[row]);
            self.words[group] = if self.most { mine.max(its) } else { mine.min(its) };
            self.seen[group] |= other.seen[row];
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let values = from_words(self.kind, rows.iter().map(|r| self.word(*r)));
        Ok(restore(values, &self.result)?)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let words: Int64Array = rows.iter().map(|r| self.word(*r)).collect();
        Ok(vec![Arc::new(words)])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let words: &Int64Array = column(columns, 0)?;
        let mut made = Self::new(self.most, self.kind, self.result.clone());
        made.words = words.iter().map(|w| w.unwrap_or(self.neutral())).collect();
        made.seen = words.iter().map(|w| w.is_some()).collect();
        Ok(Box::new(made))
    }

    fn clear(&mut self, groups: &[u32]) {
        let neutral = self.neutral();
        for group in groups {
            self.words[*group as usize] = neutral;
            self.seen[*group as usize] = false;
        }
    }

    fn memory_bytes(&self) -> usize {
        self.words.capacity() * 8 + self.seen.capacity()
    }
}

/// The least or greatest bytes of each group.
#[derive(Debug)]
pub(super) struct BytesExtreme {
    most: bool,
    kind: Kind,
    values: Vec<Option<Box<[u8]>>>,
    result: DataType,
}

impl BytesExtreme {
    pub(super) fn new(most: bool, kind: Kind, result: DataType) -> Self {
        Self { most, kind, values: Vec::new(), result }
    }

    fn offer(&mut self, group: usize, value: &[u8]) {
        let better = match &self.values[group] {
            None => true,
            Some(mine) if self.most => value > mine.as_ref(),
            Some(mine) => value < mine.as_ref(),
        };
        if better {
            self.values[group] = Some(value.into());
        }
    }
}

impl Aggregate for BytesExtreme {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::new(self.most, self.kind, self.result.clone()))
    }

    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, None);
    }

    fn update(
        &mut self,
        groups: &[u32],
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
        _: RowOrder<'_>,
    ) -> Result<(), WindowError> {
        let values = argument(arguments, groups.len())?;
        let mask = mask(Some(&values), filter);
        let values = ByteColumn::of(&values).ok_or(WindowError::Foreign { what: "an argument" })?;
        each(groups, mask.as_ref(), |row, group| self.offer(group, values.value(row)));
        Ok(())
    }

    fn merge(
        &mut self,
        other: &dyn Aggregate,
        rows: &[u32],
        groups: &[u32],
    ) -> Result<(), WindowError> {
        let other: &Self = peer(other)?;
        for (row, group) in rows.iter().zip(groups) {
            if let Some(value) = &other.values[*row as usize] {
                self.offer(*group as usize, value);
            }
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let values =
            from_bytes(self.kind, rows.iter().map(|r| self.values[*r as usize].as_deref()));
        Ok(restore(values, &self.result)?)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let values: BinaryArray =
            rows.iter().map(|r| self.values[*r as usize].as_deref()).collect();
        Ok(vec![Arc::new(values)])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let values: &BinaryArray = column(columns, 0)?;
        let mut made = Self::new(self.most, self.kind, self.result.clone());
        made.values = values.iter().map(|v| v.map(Into::into)).collect();
        Ok(Box::new(made))
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|g| self.values[*g as usize] = None);
    }

    fn memory_bytes(&self) -> usize {
        self.values.capacity() * 16
            + self.values.iter().flatten().map(|v| v.len() + 16).sum::<usize>()
    }
}
