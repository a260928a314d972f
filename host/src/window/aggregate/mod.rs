//! Aggregates over groups, as columns.
//!
//! An aggregate holds one state per group, addressed by number. Reading a result never changes a
//! state, so that a window can fire again, a slice can serve many windows and a checkpoint can be
//! taken of live state. Every state can be written as Arrow columns and read back.
//!
//! Integer results don't depend on the order of rows and merges; sums of doubles do in their last
//! digits.

mod count;
mod datafusion;
mod distinct;
mod first_last;
mod list;
mod minmax;
mod percentile;
mod sum;
mod variance;

use std::any::Any;
use std::fmt::Debug;

use arrow::array::{Array, ArrayRef, BooleanArray};

use super::error::WindowError;
use super::values::{Kind, canonical};
use crate::expr::{AggregateFunction, AggregateSpec};

/// What orders rows within a group: event time, then partition, then position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowOrder<'a> {
    /// Event time of each row.
    pub(crate) time: &'a [i64],
    /// The partition all rows came from, as one number.
    pub(crate) partition: &'a [i64],
    /// Position of each row in its partition.
    pub(crate) position: &'a [i64],
}

/// States of one aggregate function for many groups.
pub(crate) trait Aggregate: Any + Debug + Send + Sync {
    /// Makes an empty aggregate of the same function.
    fn fresh(&self) -> Box<dyn Aggregate>;

    /// Adds groups without values until there are `groups`.
    fn resize(&mut self, groups: usize);

    /// Adds rows: row `i` to group `groups[i]`. Groups must exist.
    ///
    /// # Errors
    /// When an argument has another type than the specification says.
    fn update(
        &mut self,
        groups: &[u32],
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
        order: RowOrder<'_>,
    ) -> Result<(), WindowError>;

    /// Prepares for being merged from group by group, when no more rows come.
    fn seal(&mut self) {}

    /// Adds `other`'s groups `rows` to the groups `groups`, pairwise.
    ///
    /// # Errors
    /// When `other` is another function.
    fn merge(
        &mut self,
        other: &dyn Aggregate,
        rows: &[u32],
        groups: &[u32],
    ) -> Result<(), WindowError>;

    /// Returns the results of these groups.
    ///
    /// # Errors
    /// When a result cannot be given the type that the specification asks for.
    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError>;

    /// Returns the states of these groups as columns.
    ///
    /// # Errors
    /// When a column cannot be built.
    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError>;

    /// Makes an aggregate of the same function from columns that `state` returned.
    ///
    /// # Errors
    /// When the columns are not those of this function and version.
    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError>;

    /// Empties these groups, so that their numbers can be used again.
    fn clear(&mut self, groups: &[u32]);

    /// Returns about how many bytes the states hold.
    fn memory_bytes(&self) -> usize;

    /// The version of the state columns.
    fn version(&self) -> u32 {
        1
    }

    /// Adds group `from` to group `into` and empties it.
    ///
    /// # Errors
    /// As `state` and `merge`.
    fn merge_within(&mut self, from: u32, into: u32) -> Result<(), WindowError> {
        let moved = self.restored(&self.state(&[from])?)?;
        self.merge(moved.as_ref(), &[0], &[into])?;
        self.clear(&[from]);
        Ok(())
    }
}

/// Makes the empty aggregate for a specification.
///
/// # Errors
/// When the function does not know the argument's type, or lacks an argument or a setting.
pub(crate) fn make(name: &str, spec: &AggregateSpec) -> Result<Box<dyn Aggregate>, WindowError> {
    use AggregateFunction as F;
    let wrong = |problem| WindowError::Aggregate { name: name.to_owned(), problem };
    let kind = match spec.argument_types.first() {
        Some(data_type) => Kind::of(data_type).ok_or_else(|| WindowError::ArgumentType {
            name: name.to_owned(),
            data_type: data_type.clone(),
        }),
        None => Err(wrong("needs an argument")),
    };
    let numeric = |kind: Kind| match spec.argument_types.first() {
        Some(data_type) if !matches!(kind, Kind::Int | Kind::Float) => {
            Err(WindowError::ArgumentType { name: name.to_owned(), data_type: data_type.clone() })
        }
        _ => Ok(kind),
    };
    let result = spec.result_type.clone();
    Ok(match (spec.function, spec.distinct) {
        (F::Count, false) => Box::new(count::Count::new(result)),
        (F::Count, true) => Box::new(distinct::Distinct::new(distinct::Finish::Count, kind?, spec)),
        (F::Sum, false) => match numeric(kind?)? {
            Kind::Int => Box::new(sum::IntSum::new(result)),
            _ => Box::new(sum::FloatSum::new(result)),
        },
        (F::Sum, true) => {
            Box::new(distinct::Distinct::new(distinct::Finish::Sum, numeric(kind?)?, spec))
        }
        (F::Avg, false) => {
            numeric(kind?)?;
            Box::new(sum::Avg::new(result))
        }
        (F::Avg, true) => {
            Box::new(distinct::Distinct::new(distinct::Finish::Avg, numeric(kind?)?, spec))
        }
        (F::Min | F::Max, _) => {
            let most = spec.function == F::Max;
            let kind = kind?;
            if kind.is_word() {
                Box::new(minmax::WordExtreme::new(most, kind, result))
            } else {
                Box::new(minmax::BytesExtreme::new(most, kind, result))
            }
        }
        (F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp, false) => {
            numeric(kind?)?;
            Box::new(variance::Variance::new(spec.function, result))
        }
        (F::FirstValue | F::LastValue, _) => {
            Box::new(first_last::Edge::new(spec.function == F::LastValue, kind?, result))
        }
        (F::ArrayAgg, false) => Box::new(list::List::new(kind?, spec)),
        (F::ArrayAgg, true) => {
            Box::new(distinct::Distinct::new(distinct::Finish::List, kind?, spec))
        }
        (F::Median, false) => {
            Box::new(percentile::Percentile::new(0.5, true, numeric(kind?)?, result))
        }
        (F::PercentileCont, false) => {
            let share = spec
                .parameters
                .first()
                .and_then(percentile::share)
                .ok_or_else(|| wrong("needs a percentile between 0 and 1"))?;
            Box::new(percentile::Percentile::new(share, false, numeric(kind?)?, result))
        }
        (F::ApproxDistinct | F::ApproxPercentileCont, _) => {
            Box::new(datafusion::Sketch::new(name, spec)?)
        }
        (_, true) => return Err(wrong("cannot be distinct")),
    })
}

/// Returns the canonical first argument.
fn argument(arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef, WindowError> {
    let Some(first) = arguments.first() else {
        return Err(WindowError::Shape { what: "arguments", expected: 1, found: 0 });
    };
    if first.len() != rows {
        let (expected, found) = (rows, first.len());
        return Err(WindowError::Shape { what: "rows of an argument", expected, found });
    }
    Ok(canonical(first)?)
}

/// Returns the peer that is merged from, when it is the same function.
fn peer<T: Aggregate>(other: &dyn Aggregate) -> Result<&T, WindowError> {
    let other: &dyn Any = other;
    other.downcast_ref().ok_or(WindowError::Foreign { what: "an aggregate's state" })
}

/// Returns a state column in its type.
fn column<T: 'static>(columns: &[ArrayRef], index: usize) -> Result<&T, WindowError> {
    columns
        .get(index)
        .and_then(|c| c.as_any().downcast_ref())
        .ok_or(WindowError::Foreign { what: "a state column" })
}

/// Calls `f` with the row and group of each row that counts.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the mask is as long as the groups")]
fn each(
    groups: &[u32],
    mask: Option<&arrow::buffer::BooleanBuffer>,
    mut f: impl FnMut(usize, usize),
) {
    match mask {
        None => groups.iter().enumerate().for_each(|(row, group)| f(row, *group as usize)),
        Some(mask) => mask.set_indices().for_each(|row| f(row, groups[row] as usize)),
    }
}
