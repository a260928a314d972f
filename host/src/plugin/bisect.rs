//! Finds the one record that makes a plugin fail, with few calls.
//!
//! A batch that failed is tried once more whole, as the first instance may have been in a bad way.
//! Then it is halved until what fails is a single record. All others have come through by then, in
//! order, each once.

use std::ops::Range;

use super::error::{CallError, Failure, PluginError};

/// The part of a deadline that a small part of a batch gets at first, as one part in so many.
const SMALL_SHARE: i64 = 8;

/// A batch taken apart: what came out of which part, and what failed alone. Both in order.
#[derive(Debug)]
pub(super) struct Parts<O> {
    pub(super) outputs: Vec<(Range<usize>, O)>,
    pub(super) poison: Vec<(usize, Box<CallError>)>,
}

/// Calls `run` with parts of a batch of `length` inputs and a deadline until all is said.
///
/// A part gets a share of the deadline of its size, so that a record that loops does not cost the
/// whole deadline on each level; what fails alone has had the whole.
///
/// # Errors
/// When `run` cannot be called at all.
pub(super) fn bisect<O>(
    length: usize,
    deadline_us: i64,
    mut run: impl FnMut(Range<usize>, i64) -> Result<Result<O, Box<CallError>>, PluginError>,
) -> Result<Parts<O>, PluginError> {
    let mut parts = Parts { outputs: Vec::with_capacity(1), poison: Vec::new() };
    if let Ok(output) = run(0..length, deadline_us)? {
        parts.outputs.push((0..length, output));
        return Ok(parts);
    }
    // Depth first, first half first: what is pushed last is next.
    let mut todo: Vec<std::ops::Range<usize>> = Vec::new();
    todo.push(0..length);
    while let Some(range) = todo.pop() {
        let share = share(deadline_us, range.len(), length);
        let mut result = run(range.clone(), share)?;
        if let Err(error) = &result
            && range.len() <= 1
            && share < deadline_us
            && error.failure == Failure::Deadline
        {
            result = run(range.clone(), deadline_us)?;
        }
        match result {
            Ok(output) => parts.outputs.push((range, output)),
            Err(error) if range.len() <= 1 => parts.poison.push((range.start, error)),
            Err(_) => {
                let middle = range.start.midpoint(range.end);
                todo.push(middle..range.end);
                todo.push(range.start..middle);
            }
        }
    }
    Ok(parts)
}

/// Returns the deadline of `part` inputs out of `whole`: twice their share, but not too little.
pub(super) fn share(deadline_us: i64, part: usize, whole: usize) -> i64 {
    let part = i64::try_from(part).unwrap_or(i64::MAX);
    let whole = i64::try_from(whole).unwrap_or(i64::MAX).max(1);
    let fair = deadline_us.saturating_mul(2).saturating_mul(part).checked_div(whole).unwrap_or(0);
    fair.max(deadline_us.checked_div(SMALL_SHARE).unwrap_or(0)).min(deadline_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::error::PluginId;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn error(failure: Failure) -> Box<CallError> {
        let (name, version, sha256) = Default::default();
        let plugin = Arc::new(PluginId { name, version, sha256 });
        Box::new(CallError { plugin, call: "parse", failure, backtrace: String::new() })
    }

    proptest! {
        #[test]
        fn all_but_the_poison_comes_through_once_in_order(
            bad in prop::collection::btree_set(0_usize..64, 0..8),
            length in 0_usize..64,
        ) {
            let bad: Vec<_> = bad.into_iter().filter(|i| *i < length).collect();
            let mut calls = 0;
            let parts = bisect(length, 1000, |range, _| {
                calls += 1;
                let fails = bad.iter().any(|i| range.contains(i));
                Ok(if fails { Err(error(Failure::Memory)) } else { Ok(()) })
            })
            .unwrap();
            let through: Vec<_> = parts.outputs.iter().flat_map(|(r, ())| r.clone()).collect();
            let expected: Vec<_> = (0..length).filter(|i| !bad.contains(i)).collect();
            prop_assert_eq!(through, expected);
            let poison: Vec<_> = parts.poison.iter().map(|(i, _)| *i).collect();
            prop_assert!(calls <= 2 + 2 * 6 * bad.len());
            prop_assert_eq!(poison, bad);
        }
    }

    #[test]
    fn a_second_try_saves_the_batch() {
        let mut calls = 0;
        let parts = bisect(8, 1000, |range, _| {
            calls += 1;
            Ok(if calls == 1 { Err(error(Failure::Deadline)) } else { Ok(range) })
        })
        .unwrap();
        assert_eq!((calls, parts.outputs.len(), parts.poison.len()), (2, 1, 0));
    }

    #[test]
    fn a_loop_does_not_cost_the_whole_deadline_on_each_level() {
        let mut spent = 0;
        let parts = bisect(8192, 1_000_000, |range, deadline| {
            if !range.contains(&5000) {
                return Ok(Ok(()));
            }
            spent += deadline;
            Ok(Err(error(Failure::Deadline)))
        })
        .unwrap();
        assert_eq!(parts.poison[0].0, 5000);
        assert!(spent < 7_000_000, "{spent} µs");
    }

    #[test]
    fn a_record_that_needs_its_whole_deadline_alone_is_no_poison() {
        let parts = bisect(64, 1000, |range, deadline| {
            let needs = if range.contains(&9) { 900 } else { 0 };
            let fails = range.contains(&40) || needs > deadline;
            Ok(if fails { Err(error(Failure::Deadline)) } else { Ok(()) })
        })
        .unwrap();
        let poison: Vec<_> = parts.poison.iter().map(|(i, _)| *i).collect();
        assert_eq!(poison, [40]);
    }
}
