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
/// values; doubles may differ by 1e-9 of their size.
pub fn compare(expected: &[Value], actual: &[Value]) -> Option<Mismatch> {
    let mut left: Vec<&Value> = actual.iter().collect();
    let mut mismatch = Mismatch::default();
    for row in expected {
        match left.iter().position(|candidate| fits(row, candidate)) {
            Some(at) => {
                left.remove(at);
            }
            None => mismatch.missing.push(row.clone()),
        }
    }
    mismatch.unexpected = left.into_iter().cloned().collect();
    (mismatch != Mismatch::default()).then_some(mismatch)
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
    fn doubles_fit_closely_and_integers_exactly() {
        assert_eq!(compare(&[json!({"a": 0.1})], &[json!({"a": 0.100_000_000_000_01})]), None);
        assert!(compare(&[json!({"a": 0.1})], &[json!({"a": 0.100_001})]).is_some());
        assert!(compare(&[json!({"a": 1})], &[json!({"a": 2})]).is_some());
        assert!(compare(&[json!({"a": [1, 2]})], &[json!({"a": [1]})]).is_some());
    }
}
