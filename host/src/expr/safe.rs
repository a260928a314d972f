//! Row-safe arithmetic and casts: what would fail or wrap becomes null and is counted.
//!
//! The count is a thread-local that `counted` reads around one evaluation. An evaluation runs on
//! one thread from start to end, so threads that share a compiled expression never mix counts.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::FormatOptions;
use datafusion_common::{Result, ScalarValue, exec_err, internal_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

thread_local! {
    static MADE_NULL: Cell<u64> = const { Cell::new(0) };
    static FOLDING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `evaluate` and returns with its result how many values it made null.
pub(super) fn counted<T>(evaluate: impl FnOnce() -> T) -> (T, u64) {
    let before = MADE_NULL.replace(0);
    let result = evaluate();
    (result, MADE_NULL.replace(before))
}

/// Adds to the count of the evaluation that runs on this thread.
pub(super) fn add_made_null(values: u64) {
    MADE_NULL.set(MADE_NULL.get().saturating_add(values));
}

/// Runs `simplify` such that constants whose value would be made null are not folded, so that they
/// are counted when rows are evaluated.
pub(super) fn folding<T>(simplify: impl FnOnce() -> T) -> T {
    let before = FOLDING.replace(true);
    let result = simplify();
    FOLDING.set(before);
    result
}

/// Reports values made null by a function that got `args`.
pub(super) fn note(made_null: usize, scalar_rows: Option<usize>) -> Result<()> {
    if made_null == 0 {
        return Ok(());
    }
    if FOLDING.get() {
        return exec_err!("the value would be null");
    }
    // A constant stands for all rows.
    let values = scalar_rows.unwrap_or(made_null);
    add_made_null(u64::try_from(values).unwrap_or(u64::MAX));
    Ok(())
}

/// Evaluates `kernel` on the arguments as arrays; it returns the result and how many of its values
/// it made null.
pub(super) fn on_arrays(
    args: &ScalarFunctionArgs,
    kernel: impl FnOnce(&[ArrayRef]) -> Result<(ArrayRef, usize)>,
) -> Result<ColumnarValue> {
    let scalars = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let (array, made_null) = kernel(&ColumnarValue::values_to_arrays(&args.args)?)?;
    note(made_null, scalars.then_some(args.number_rows))?;
    Ok(if scalars {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
    } else {
        ColumnarValue::Array(array)
    })
}

/// A row-safe operation on two numbers of the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SafeOperator {
    /// Integers.
    Add,
    /// Integers.
    Subtract,
    /// Integers.
    Multiply,
    /// Integers.
    Modulo,
    /// Doubles.
    Divide,
    /// Doubles.
    FloatModulo,
}

impl SafeOperator {
    fn data_type(self) -> DataType {
        match self {
            Self::Add | Self::Subtract | Self::Multiply | Self::Modulo => DataType::Int64,
            Self::Divide | Self::FloatModulo => DataType::Float64,
        }
    }
}

/// Returns `left operator right`; both must have the operator's type.
pub(super) fn safe_math(operator: SafeOperator, left: Expr, right: Expr) -> Expr {
    let data_type = operator.data_type();
    let signature = Signature::exact(vec![data_type.clone(), data_type], Volatility::Immutable);
    let function = ScalarUDF::new_from_impl(SafeMath { operator, signature });
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![left, right]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SafeMath {
    operator: SafeOperator,
    signature: Signature,
}

impl ScalarUDFImpl for SafeMath {
    fn name(&self) -> &str {
        match self.operator {
            SafeOperator::Add => "add",
            SafeOperator::Subtract => "subtract",
            SafeOperator::Multiply => "multiply",
            SafeOperator::Modulo | SafeOperator::FloatModulo => "modulo",
            SafeOperator::Divide => "divide",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.operator.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        on_arrays(&args, |arrays| {
            let [left, right] = arrays else {
                return internal_err!("{} takes two arguments", self.name());
            };
            match self.operator {
                SafeOperator::Add => integers(left, right, i64::overflowing_add),
                SafeOperator::Subtract => integers(left, right, i64::overflowing_sub),
                SafeOperator::Multiply => integers(left, right, i64::overflowing_mul),
                SafeOperator::Modulo => integers(left, right, |a, b| match b {
                    0 => (0, true),
                    _ => (a.wrapping_rem(b), false),
                }),
                SafeOperator::Divide => doubles(left, right, |a, b| (a / b, b == 0.0)),
                SafeOperator::FloatModulo => doubles(left, right, |a, b| (a % b, b == 0.0)),
            }
        })
    }
}

fn integers(
    left: &ArrayRef,
    right: &ArrayRef,
    operation: impl Fn(i64, i64) -> (i64, bool),
) -> Result<(ArrayRef, usize)> {
    zip::<Int64Type>(left, right, operation)
}

fn doubles(
    left: &ArrayRef,
    right: &ArrayRef,
    operation: impl Fn(f64, f64) -> (f64, bool),
) -> Result<(ArrayRef, usize)> {
    zip::<Float64Type>(left, right, operation)
}

/// Applies `operation`, which returns a value and whether it is to be null instead.
fn zip<T: ArrowPrimitiveType>(
    left: &ArrayRef,
    right: &ArrayRef,
    operation: impl Fn(T::Native, T::Native) -> (T::Native, bool),
) -> Result<(ArrayRef, usize)> {
    let (Some(left), Some(right)) = (left.as_primitive_opt::<T>(), right.as_primitive_opt::<T>())
    else {
        return internal_err!("arguments were not coerced: {left:?} and {right:?}");
    };
    let nulls = NullBuffer::union(left.nulls(), right.nulls());
    let mut any = false;
    let values: Vec<T::Native> = left
        .values()
        .iter()
        .zip(right.values())
        .map(|(left, right)| {
            let (value, null) = operation(*left, *right);
            any |= null;
            value
        })
        .collect();
    if !any {
        return Ok((Arc::new(PrimitiveArray::<T>::new(values.into(), nulls)), 0));
    }
    // Rare: look again at which rows they are; what lies below a null does not count.
    let valid: NullBuffer = left
        .values()
        .iter()
        .zip(right.values())
        .enumerate()
        .map(|(row, (left, right))| {
            !operation(*left, *right).1 && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
        })
        .collect();
    let before = nulls.map_or(0, |nulls| nulls.null_count());
    let made_null = valid.null_count().saturating_sub(before);
    Ok((Arc::new(PrimitiveArray::<T>::new(values.into(), Some(valid))), made_null))
}

/// Returns `expr` cast to `to`; values that cannot be are null and counted.
pub(super) fn safe_cast(expr: Expr, to: DataType) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    let function = ScalarUDF::new_from_impl(SafeCast { to, signature });
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![expr]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SafeCast {
    to: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for SafeCast {
    fn name(&self) -> &str {
        "safe_cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        on_arrays(&args, |arrays| {
            let [array] = arrays else {
                return internal_err!("a cast takes one argument");
            };
            let options = CastOptions { safe: true, format_options: FormatOptions::default() };
            let result = cast_with_options(array, &self.to, &options)?;
            let made_null = result.logical_null_count().saturating_sub(array.logical_null_count());
            Ok((result, made_null))
        })
    }
}
