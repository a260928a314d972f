//! `median` and `percentile_cont`, exact: all values are kept.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "groups exist by contract; ranks lie between 0 and the number of values"
)]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::ScalarValue;

use super::list::lists;
use super::{Aggregate, RowOrder, argument, column, each, peer};
use crate::window::error::WindowError;
use crate::window::values::{Kind, mask, restore, word_to_float, words};

/// Returns the share (0 to 1) that a literal gives.
pub(super) fn share(literal: &ScalarValue) -> Option<f64> {
    let share = match literal {
        ScalarValue::Float64(Some(value)) => *value,
        ScalarValue::Float32(Some(value)) => f64::from(*value),
        ScalarValue::Int64(Some(value)) => *value as f64,
        ScalarValue::Decimal128(Some(value), _, scale) => {
            *value as f64 / 10f64.powi(i32::from(*scale))
        }
        _ => return None,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

/// See the module.
#[derive(Debug)]
pub(super) struct Percentile {
    share: f64,
    /// The middle value or the mean of the two middle ones, in the argument's type.
    median: bool,
    kind: Kind,
    groups: Vec<Vec<i64>>,
    result: DataType,
}

impl Percentile {
    pub(super) fn new(share: f64, median: bool, kind: Kind, result: DataType) -> Self {
        Self { share, median, kind, groups: Vec::new(), result }
    }

    fn number(&self, word: i64) -> f64 {
        if self.kind == Kind::Float { word_to_float(word) } else { word as f64 }
    }

    fn read(&self, row: u32) -> Option<f64> {
        let mut words = self.groups[row as usize].clone();
        let rank = self.share * words.len().checked_sub(1)? as f64;
        let (low, part) = (rank.floor() as usize, rank.fract());
        let (_, low_word, above) = words.select_nth_unstable(low);
        let low = self.number(*low_word);
        if part == 0.0 {
            return Some(low);
        }
        let high = self.number(above.iter().copied().min()?);
        if low == high {
            return Some(low);
        }
        Some(if self.median { low / 2.0 + high / 2.0 } else { low + (high - low) * part })
    }

    /// The median of integers as an integer, rounded towards zero.
    fn middle(&self, row: u32) -> Option<i64> {
        let mut words = self.groups[row as usize].clone();
        let last = words.len().checked_sub(1)?;
        let (_, low, above) = words.select_nth_unstable(last / 2);
        let low = *low;
        if last % 2 == 0 {
            return Some(low);
        }
        let high = above.iter().copied().min()?;
        i64::try_from((i128::from(low) + i128::from(high)) / 2).ok()
    }
}

impl Aggregate for Percentile {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::new(self.share, self.median, self.kind, self.result.clone()))
    }

    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Vec::new());
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
        let mine = self.groups.as_mut_slice();
        each(groups, mask.as_ref(), |row, group| mine[group].push(values[row]));
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
            self.groups[*group as usize].extend_from_slice(&other.groups[*row as usize]);
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let values: ArrayRef = if self.median && self.kind == Kind::Int && self.result.is_integer()
        {
            Arc::new(rows.iter().map(|r| self.middle(*r)).collect::<Int64Array>())
        } else {
            Arc::new(rows.iter().map(|r| self.read(*r)).collect::<Float64Array>())
        };
        Ok(restore(values, &self.result)?)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let lengths: Vec<usize> = rows.iter().map(|r| self.groups[*r as usize].len()).collect();
        let words = rows.iter().flat_map(|r| self.groups[*r as usize].iter().copied());
        let words: ArrayRef = Arc::new(Int64Array::from_iter_values(words));
        Ok(vec![lists(&DataType::Int64, Kind::Int, &lengths, words)?])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let lists: &ListArray = column(columns, 0)?;
        let mut made = Self::new(self.share, self.median, self.kind, self.result.clone());
        for list in lists.iter() {
            let words = match &list {
                None => Vec::new(),
                Some(list) => list
                    .as_primitive_opt::<Int64Type>()
                    .ok_or(WindowError::Foreign { what: "a state column" })?
                    .values()
                    .to_vec(),
            };
            made.groups.push(words);
        }
        Ok(Box::new(made))
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|g| self.groups[*g as usize] = Vec::new());
    }

    fn memory_bytes(&self) -> usize {
        self.groups.iter().map(|words| words.capacity() * 8 + 24).sum()
    }
}
