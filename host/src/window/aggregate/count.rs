//! `count(*)` and `count(x)`.

#![expect(clippy::indexing_slicing, reason = "groups exist by contract")]

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::datatypes::DataType;

use super::{Aggregate, RowOrder, column, each, peer};
use crate::window::error::WindowError;
use crate::window::values::{mask, restore};

/// One counter a group.
#[derive(Debug)]
pub(super) struct Count {
    counts: Vec<i64>,
    result: DataType,
}

impl Count {
    pub(super) fn new(result: DataType) -> Self {
        Self { counts: Vec::new(), result }
    }
}

impl Aggregate for Count {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::new(self.result.clone()))
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
        let mask = mask(arguments.first(), filter);
        let counts = self.counts.as_mut_slice();
        each(groups, mask.as_ref(), |_, group| counts[group] += 1);
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
            self.counts[*group as usize] += other.counts[*row as usize];
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let counts = Int64Array::from_iter_values(rows.iter().map(|r| self.counts[*r as usize]));
        Ok(restore(Arc::new(counts), &self.result)?)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let counts = rows.iter().map(|r| self.counts[*r as usize]);
        Ok(vec![Arc::new(Int64Array::from_iter_values(counts))])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let counts: &Int64Array = column(columns, 0)?;
        Ok(Box::new(Self { counts: counts.values().to_vec(), result: self.result.clone() }))
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|g| self.counts[*g as usize] = 0);
    }

    fn memory_bytes(&self) -> usize {
        self.counts.capacity() * 8
    }
}
