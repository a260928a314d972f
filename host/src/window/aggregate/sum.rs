//! `sum` and `avg`.
//!
//! Integers are summed in 128 bits: the order of rows cannot matter, and whether the result fits
//! 64 bits is decided when it is read.

#![expect(clippy::indexing_slicing, reason = "groups exist by contract")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::{Aggregate, RowOrder, argument, column, each, peer};
use crate::window::error::WindowError;
use crate::window::values::{mask, restore};

/// Sums of integers; null when the sum does not fit 64 bits.
#[derive(Debug)]
pub(super) struct IntSum {
    sums: Vec<i128>,
    seen: Vec<bool>,
    result: DataType,
}

impl IntSum {
    pub(super) fn new(result: DataType) -> Self {
        Self { sums: Vec::new(), seen: Vec::new(), result }
    }
}

fn wrong() -> WindowError {
    WindowError::Foreign { what: "an argument" }
}

impl Aggregate for IntSum {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::new(self.result.clone()))
    }

    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
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
        let values = values.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.values();
        let (sums, seen) = (self.sums.as_mut_slice(), self.seen.as_mut_slice());
        each(groups, mask.as_ref(), |row, group| {
            sums[group] += i128::from(values[row]);
            seen[group] = true;
        });
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
            self.sums[group] += other.sums[row];
            self.seen[group] |= other.seen[row];
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let sum = |row: &u32| {
            let row = *row as usize;
            if self.seen[row] { i64::try_from(self.sums[row]).ok() } else { None }
        };
        let sums: Int64Array = rows.iter().map(sum).collect();
        Ok(cast(&sums, &self.result)?)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let sum = |row: &u32| {
            let row = *row as usize;
            self.seen[row].then_some(self.sums[row])
        };
        let sums: Decimal128Array = rows.iter().map(sum).collect();
        Ok(vec![Arc::new(sums.with_precision_and_scale(38, 0)?)])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let sums: &Decimal128Array = column(columns, 0)?;
        Ok(Box::new(Self {
            sums: sums.iter().map(Option::unwrap_or_default).collect(),
            seen: sums.iter().map(|s| s.is_some()).collect(),
            result: self.result.clone(),
        }))
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            self.sums[*group as usize] = 0;
            self.seen[*group as usize] = false;
        }
    }

    fn memory_bytes(&self) -> usize {
        self.sums.capacity() * 16 + self.seen.capacity()
    }
}

/// Sums of doubles.
#[derive(Debug)]
pub(super) struct FloatSum {
    sums: Vec<f64>,
    seen: Vec<bool>,
    result: DataType,
}

impl FloatSum {
    pub(super) fn new(result: DataType) -> Self {
        Self { sums: Vec::new(), seen: Vec::new(), result }
    }

    fn sum(&self, row: u32) -> Option<f64> {
        self.seen[row as usize].then(|| self.sums[row as usize])
    }
}

impl Aggregate for FloatSum {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::new(self.result.clone()))
    }

    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, 0.0);
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
        let values = values.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?.values();
        let (sums, seen) = (self.sums.as_mut_slice(), self.seen.as_mut_slice());
        each(groups, mask.as_ref(), |row, group| {
            sums[group] += values[row];
            seen[group] = true;
        });
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
            self.sums[group] += other.sums[row];
            self.seen[group] |= other.seen[row];
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let sums: Float64Array = rows.iter().map(|r| self.sum(*r)).collect();
        Ok(restore(Arc::new(sums), &self.result)?)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let sums: Float64Array = rows.iter().map(|r| self.sum(*r)).collect();
        Ok(vec![Arc::new(sums)])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let sums: &Float64Array = column(columns, 0)?;
        Ok(Box::new(Self {
            sums: sums.iter().map(Option::unwrap_or_default).collect(),
            seen: sums.iter().map(|s| s.is_some()).collect(),
            result: self.result.clone(),
        }))
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            self.sums[*group as usize] = 0.0;
            self.seen[*group as usize] = false;
        }
    }

    fn memory_bytes(&self) -> usize {
        self.sums.capacity() * 8 + self.seen.capacity()
    }
}

/// Sum and count.
#[derive(Debug)]
pub(super) struct Avg {
    sums: Vec<f64>,
    counts: Vec<i64>,
    result: DataType,
}

impl Avg {
    pub(super) fn new(result: DataType) -> Self {
        Self { sums: Vec::new(), counts: Vec::new(), result }
    }
}

impl Aggregate for Avg {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::new(self.result.clone()))
    }

    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, 0.0);
        self.counts.resize(groups, 0);
    }

    fn update(
        &mut self,
        groups: &[u32],
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
        _: RowOrder<'_>,
    ) -> Result<(), WindowError> {
        let values = cast(&argument(arguments, groups.len())?, &DataType::Float64)?;
        let mask = mask(Some(&values), filter);
        let values = values.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?.values();
        let (sums, counts) = (self.sums.as_mut_slice(), self.counts.as_mut_slice());
        each(groups, mask.as_ref(), |row, group| {
            sums[group] += values[row];
            counts[group] += 1;
        });
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
            self.sums[group] += other.sums[row];
            self.counts[group] += other.counts[row];
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of rows stays far below 2^53")]
    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let avg = |row: &u32| {
            let row = *row as usize;
            (self.counts[row] > 0).then(|| self.sums[row] / self.counts[row] as f64)
        };
        let averages: Float64Array = rows.iter().map(avg).collect();
        Ok(restore(Arc::new(averages), &self.result)?)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let sums = rows.iter().map(|r| self.sums[*r as usize]);
        let counts = rows.iter().map(|r| self.counts[*r as usize]);
        Ok(vec![
            Arc::new(Float64Array::from_iter_values(sums)),
            Arc::new(Int64Array::from_iter_values(counts)),
        ])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let sums: &Float64Array = column(columns, 0)?;
        let counts: &Int64Array = column(columns, 1)?;
        Ok(Box::new(Self {
            sums: sums.values().to_vec(),
            counts: counts.values().to_vec(),
            result: self.result.clone(),
        }))
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            self.sums[*group as usize] = 0.0;
            self.counts[*group as usize] = 0;
        }
    }

    fn memory_bytes(&self) -> usize {
        (self.sums.capacity() + self.counts.capacity()) * 8
    }
}
