//! Variance and standard deviation.
//!
//! Welford's running mean and sum of squared differences; groups are merged by the formula of
//! Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for computing sample
//! variances", 1979). Both are stable where the mean is large against the spread.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "groups exist by contract; counts of rows stay far below 2^53"
)]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::{Aggregate, RowOrder, argument, column, each, peer};
use crate::expr::AggregateFunction;
use crate::window::error::WindowError;
use crate::window::values::{mask, restore};

#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: i64,
    mean: f64,
    /// Sum of squared differences from the mean.
    squares: f64,
}

impl Moments {
    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (mine, its) = (self.count as f64, other.count as f64);
        let all = mine + its;
        let apart = other.mean - self.mean;
        self.mean += apart * its / all;
        self.squares += other.squares + apart * apart * mine * its / all;
        self.count += other.count;
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Variance {
    function: AggregateFunction,
    moments: Vec<Moments>,
    result: DataType,
}

impl Variance {
    pub(super) fn new(function: AggregateFunction, result: DataType) -> Self {
        Self { function, moments: Vec::new(), result }
    }

    fn read(&self, moments: &Moments) -> Option<f64> {
        use AggregateFunction as F;
        let sample = matches!(self.function, F::VarSamp | F::StddevSamp);
        let divisor = moments.count - i64::from(sample);
        if divisor <= 0 {
            return None;
        }
        let variance = moments.squares / divisor as f64;
        let root = matches!(self.function, F::StddevPop | F::StddevSamp);
        Some(if root { variance.sqrt() } else { variance })
    }
}

impl Aggregate for Variance {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::new(self.function, self.result.clone()))
    }

    fn resize(&mut self, groups: usize) {
        self.moments.resize(groups, Moments::default());
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
        let values = values
            .as_primitive_opt::<Float64Type>()
            .ok_or(WindowError::Foreign { what: "an argument" })?
            .values();
        let moments = self.moments.as_mut_slice();
        each(groups, mask.as_ref(), |row, group| moments[group].add(values[row]));
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
            self.moments[*group as usize].merge(&other.moments[*row as usize]);
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let values: Float64Array =
            rows.iter().map(|r| self.read(&self.moments[*r as usize])).collect();
        Ok(restore(Arc::new(values), &self.result)?)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let of = |read: fn(&Moments) -> f64| {
            let values = rows.iter().map(|r| read(&self.moments[*r as usize]));
            Arc::new(Float64Array::from_iter_values(values))
        };
        let counts = rows.iter().map(|r| self.moments[*r as usize].count);
        Ok(vec![Arc::new(Int64Array::from_iter_values(counts)), of(|m| m.mean), of(|m| m.squares)])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let counts: &Int64Array = column(columns, 0)?;
        let means: &Float64Array = column(columns, 1)?;
        let squares: &Float64Array = column(columns, 2)?;
        let mut made = Self::new(self.function, self.result.clone());
        made.moments = counts
            .values()
            .iter()
            .zip(means.values().iter().zip(squares.values()))
            .map(|(count, (mean, squares))| Moments {
                count: *count,
                mean: *mean,
                squares: *squares,
            })
            .collect();
        Ok(Box::new(made))
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|g| self.moments[*g as usize] = Moments::default());
    }

    fn memory_bytes(&self) -> usize {
        self.moments.capacity() * size_of::<Moments>()
    }
}
