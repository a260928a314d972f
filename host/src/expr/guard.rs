//! `and` and `or` that look at the right side only where the left side has not decided.
//!
//! `b <> 0 and a / b > 2` must count, and `x <> '' and f(x)` must fail, for a row exactly as if
//! the row were alone. DataFusion decides by batch whether it evaluates the right side for all
//! rows. This node evaluates it for all rows too, which is fastest, but only keeps the result when
//! nothing was made null and nothing failed; otherwise it evaluates the undecided rows alone.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::boolean::{and_kleene, is_null, not, or};
use arrow::compute::or_kleene;
use arrow::datatypes::{DataType, Schema};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Result, internal_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::expressions::BinaryExpr;
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::safe::{add_made_null, counted};
use super::typing::is_comparison;

/// Replaces each `and` and `or` whose right side can fail or count.
///
/// Plain comparisons keep DataFusion's own node.
pub(super) fn guard(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_up(|node| {
        let Some(binary) = node.downcast_ref::<BinaryExpr>() else {
            return Ok(Transformed::no(node));
        };
        let and = match binary.op() {
            Operator::And => true,
            Operator::Or => false,
            _ => return Ok(Transformed::no(node)),
        };
        if !can_fail(binary.right())? {
            return Ok(Transformed::no(node));
        }
        let (left, right) = (Arc::clone(binary.left()), Arc::clone(binary.right()));
        Ok(Transformed::yes(Arc::new(Guarded { and, left, right }) as Arc<dyn PhysicalExpr>))
    })
    .data()
}

/// Returns whether evaluating `expr` may fail, or make values null that are counted.
fn can_fail(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    expr.exists(|node| {
        let operator = node.downcast_ref::<BinaryExpr>().map(BinaryExpr::op);
        Ok(node.is::<ScalarFunctionExpr>()
            || operator
                .is_some_and(|operator| !is_comparison(*operator) && !operator.is_logic_operator()))
    })
}

#[derive(Debug, Eq)]
struct Guarded {
    and: bool,
    left: Arc<dyn PhysicalExpr>,
    right: Arc<dyn PhysicalExpr>,
}

impl PartialEq for Guarded {
    fn eq(&self, other: &Self) -> bool {
        self.and == other.and && self.left.eq(&other.left) && self.right.eq(&other.right)
    }
}

impl Hash for Guarded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.and.hash(state);
        self.left.hash(state);
        self.right.hash(state);
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = if self.and { "AND" } else { "OR" };
        write!(f, "({} {operator} {})", self.left, self.right)
    }
}

impl Guarded {
    /// Returns the rows whose result the left side leaves open.
    fn undecided(&self, left: &BooleanArray) -> Result<BooleanArray> {
        let known = if self.and { left.clone() } else { not(left)? };
        // Null leaves it open too.
        let (values, _) = known.clone().into_parts();
        Ok(or(&BooleanArray::new(values, None), &is_null(&known)?)?)
    }

    fn combine(&self, left: &BooleanArray, right: &BooleanArray) -> Result<ColumnarValue> {
        let result = if self.and { and_kleene(left, right)? } else { or_kleene(left, right)? };
        Ok(ColumnarValue::Array(Arc::new(result)))
    }
}

impl PhysicalExpr for Guarded {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        Ok(self.left.nullable(schema)? || self.right.nullable(schema)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let left = self.left.evaluate(batch)?.into_array(rows)?;
        let left = boolean(&left)?;
        let undecided = self.undecided(left)?;
        if !undecided.has_true() {
            return Ok(ColumnarValue::Array(Arc::new(left.clone())));
        }
        let all = undecided.true_count() == rows;
        // One row, or all of them: evaluating at once is the exact way.
        let (right, made_null) = counted(|| self.right.evaluate(batch));
        match right {
            Ok(right) if all || made_null == 0 => {
                add_made_null(made_null);
                self.combine(left, boolean(&right.into_array(rows)?)?)
            }
            Err(error) if all => Err(error),
            _ => {
                let right = self.right.evaluate_selection(batch, &undecided)?.into_array(rows)?;
                self.combine(left, boolean(&right)?)
            }
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let Ok([left, right]) = <[Arc<dyn PhysicalExpr>; 2]>::try_from(children) else {
            return internal_err!("a guarded operator has two children");
        };
        Ok(Arc::new(Self { and: self.and, left, right }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn boolean(array: &ArrayRef) -> Result<&BooleanArray> {
    match array.as_boolean_opt() {
        Some(array) => Ok(array),
        None => internal_err!("a condition is {}", array.data_type()),
    }
}
