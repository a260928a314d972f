//! Expected rows against those that came.

use serde_json::Value;

/// The relative difference that two doubles may have.
const TOLERANCE: f64 = 1e-9;

/// What does not fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mismatch {
    /// Expected rows that did not come.
    pub missing: Vec<Value>,
    /// Rows that came and were not expected.
    pub unexpected: Vec<Value>,
}

/// Compares rows in any order. An expected row fits one that has at least its columns with equal
/// values; doubles may differ by 1e-9 of their size. Where an expected row fits several, it takes
/// one that leaves the others theirs.
pub fn compare(expected: &[Value], actual: &[Value]) -> Option<Mismatch> {
    // For each actual row the expected one that has it.
    let mut owners: Vec<Option<usize>> = vec![None; actual.len()];
    let mut mismatch = Mismatch::default();
    for (index, row) in expected.iter().enumerate() {
        let mut tried = vec![false; actual.len()];
        if !find_place(index, expected, actual, &mut owners, &mut tried) {
            mismatch.missing.push(row.clone());
        }
    }
    let free = actual.iter().zip(&owners).filter(|(_, owner)| owner.is_none());
    mismatch.unexpected = free.map(|(row, _)| row.clone()).collect();
    (mismatch != Mismatch::default()).then_some(mismatch)
}

/// Finds an actual row for an expected one; those that have one may have to take another (Kuhn's
/// algorithm for bipartite matching).
fn find_place(
    index: usize,
    expected: &[Value],
    actual: &[Value],
    owners: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    let Some(row) = expected.get(index) else { return false };
    for (at, candidate) in actual.iter().enumerate() {
        if tried.get(at) != Some(&false) || !fits(row, candidate) {
            continue;
        }
        if let Some(flag) = tried.get_mut(at) {
            *flag = true;
        }
        let owner = owners.get(at).copied().flatten();
        if owner.is_none_or(|owner| find_place(owner, expected, actual, owners, tried)) {
            if let Some(place) = owners.get_mut(at) {
                *place = Some(index);
            }
            return true;
        }
    }
    false
}

fn fits(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            expected.iter().all(|(key, value)| fits(value, actual.get(key).unwrap_or(&Value::Null)))
        }
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len()
                && expected.iter().zip(actual).all(|(expected, actual)| fits(expected, actual))
        }
        (Value::Number(expected), Value::Number(actual)) => {
            expected == actual
                || match (expected.as_f64(), actual.as_f64()) {
                    (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
                    _ => false,
                }
        }
        _ => expected == actual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_fit_in_any_order_by_the_columns_named() {
        let actual = [json!({"a": 1, "b": "x"}), json!({"a": 2.0, "b": null})];
        assert_eq!(compare(&[json!({"a": 2}), json!({"b": "x"})], &actual), None);
        assert_eq!(compare(&[json!({"a": 1}), json!({"b": null})], &actual), None);
        let mismatch = compare(&[json!({"a": 3})], &actual).unwrap();
        assert_eq!(mismatch.missing, [json!({"a": 3})]);
        assert_eq!(mismatch.unexpected.len(), 2);
    }

    #[test]
    fn a_row_that_fits_several_leaves_the_others_theirs() {
        let actual = [json!({"a": 1, "b": 1}), json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3})];
        let expected = [json!({"a": 1}), json!({"a": 1, "b": 1}), json!({"b": 2})];
        assert_eq!(compare(&expected, &actual), None);
        let one_too_many = [json!({"a": 1}), json!({"b": 2}), json!({"a": 1}), json!({"a": 1})];
        let mismatch = compare(&one_too_many, &actual).unwrap();
        assert_eq!((mismatch.missing.len(), mismatch.unexpected.len()), (1, 0));
    }

    #[test]
    fn doubles_fit_closely_and_integers_exactly() {
        assert_eq!(compare(&[json!({"a": 0.1})], &[json!({"a": 0.100_000_000_000_01})]), None);
        assert!(compare(&[json!({"a": 0.1})], &[json!({"a": 0.100_001})]).is_some());
        assert!(compare(&[json!({"a": 1})], &[json!({"a": 2})]).is_some());
        assert!(compare(&[json!({"a": [1, 2]})], &[json!({"a": [1]})]).is_some());
    }
}
