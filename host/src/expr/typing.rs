//! Types for every part of an expression, and the row-safe rewriting that needs them.
//!
//! One walk from the leaves up. Where our rules differ from DataFusion's (arithmetic, casts,
//! comparison with timestamps and text) we choose; for all the rest its type coercion does, and
//! the casts it inserts are made row-safe.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion_common::tree_node::{
    Transformed, TransformedResult, TreeNode, TreeNodeRecursion, TreeNodeRewriter,
};
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr::{Between, BinaryExpr, Cast, InList, TryCast};
use datafusion_expr::{Expr, ExprSchemable, Operator, lit};
use datafusion_optimizer::analyzer::type_coercion::TypeCoercionRewriter;

use super::error::SqlError;
use super::normalize::{edge_type, is_decimal, is_text, type_name};
use super::safe::{SafeOperator, safe_cast, safe_math};
use crate::data::timestamp_type;

/// Returns `expr` typed and row-safe.
pub(super) fn type_expr(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let mut typing = Typing { schema, coercion: TypeCoercionRewriter::new(schema) };
    expr.rewrite(&mut typing).data()
}

/// Returns a typed `expr` with its type on the pipeline's edges.
pub(super) fn to_edge(expr: Expr, schema: &DFSchema) -> Result<(Expr, DataType)> {
    let from = expr.get_type(schema)?;
    let to = edge_type(&from)?;
    Ok((cast(expr, &from, to.clone()), to))
}

/// Checks that a typed literal such as `timestamp '2025-01-01'` has a value.
pub(super) fn check_literal(expr: Expr, schema: &DFSchema) -> Result<()> {
    match expr {
        Expr::Cast(Cast { expr, field }) => {
            let from = expr.get_type(schema)?;
            implicit_cast(*expr, &from, &cast_target(field.data_type())).map(drop)
        }
        _ => Ok(()),
    }
}

/// Returns `expr` cast row-safely.
pub(super) fn cast(expr: Expr, from: &DataType, to: DataType) -> Expr {
    match from {
        from if *from == to => expr,
        // Durations of other units first become microseconds.
        DataType::Duration(unit) if to == DataType::Int64 && *unit != TimeUnit::Microsecond => {
            let us = DataType::Duration(TimeUnit::Microsecond);
            Expr::Cast(Cast::new(Box::new(safe_cast(expr, us)), to))
        }
        from if never_fails(from, &to) => Expr::Cast(Cast::new(Box::new(expr), to)),
        _ => safe_cast(expr, to),
    }
}

/// Returns whether every value of `from` has a value of `to`.
fn never_fails(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Duration, Float32, Float64, Int64, Null, Timestamp, UInt64};
    match (from, to) {
        _ if from == to => true,
        (Null, _) => true,
        (DataType::Dictionary(_, values), _) => never_fails(values, to),
        (DataType::List(from) | DataType::FixedSizeList(from, _), DataType::List(to)) => {
            never_fails(from.data_type(), to.data_type())
        }
        (Boolean, _) if to.is_numeric() && !is_decimal(to) => true,
        (_, Float64) => from.is_integer() || from.is_floating() || is_decimal(from),
        (_, Float32) => from.is_integer(),
        (_, Int64) if from.is_integer() => *from != UInt64,
        (Duration(TimeUnit::Microsecond), Int64) => true,
        (Timestamp(from, _), Timestamp(to, None)) => fineness(*from) >= fineness(*to),
        (_, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            is_text(from) || from.is_integer() || from.is_floating() || *from == Boolean
        }
        _ => false,
    }
}

/// Returns whether `op` compares two values of one type by Arrow's comparison kernels.
pub(super) fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn fineness(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

/// Returns the type a user means by a type name in a cast: times are microseconds in UTC, and
/// numbers with a point are doubles.
fn cast_target(to: &DataType) -> DataType {
    match to {
        DataType::Timestamp(..) => timestamp_type(),
        DataType::Float32 | DataType::Float16 => DataType::Float64,
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    }
}

struct Typing<'a> {
    schema: &'a DFSchema,
    coercion: TypeCoercionRewriter<'a>,
}

impl TreeNodeRewriter for Typing<'_> {
    type Node = Expr;

    fn f_up(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        match expr {
            // The planner names a call by its alias; a name is of no use here.
            Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
            Expr::Cast(Cast { expr, field }) => {
                let from = expr.get_type(self.schema)?;
                Ok(Transformed::yes(cast(*expr, &from, cast_target(field.data_type()))))
            }
            Expr::TryCast(TryCast { expr, field }) => {
                let to = cast_target(field.data_type());
                Ok(Transformed::yes(Expr::TryCast(TryCast::new(expr, to))))
            }
            Expr::Negative(expr) => Ok(Transformed::yes(self.negative(*expr)?)),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                self.binary(*left, op, *right).map(Transformed::yes)
            }
            Expr::Between(Between { expr, negated, low, high }) => {
                let mut parts = vec![*expr, *low, *high];
                self.unify(&mut parts)?;
                let mut parts = parts.into_iter();
                let (Some(expr), Some(low), Some(high)) =
                    (parts.next(), parts.next(), parts.next())
                else {
                    return Err(SqlError::new("`between` takes two bounds").into());
                };
                let between = Between::new(Box::new(expr), negated, Box::new(low), Box::new(high));
                self.delegate(Expr::Between(between))
            }
            Expr::InList(InList { expr, list, negated }) => {
                let mut parts = list;
                parts.insert(0, *expr);
                self.unify(&mut parts)?;
                let expr = parts.remove(0);
                self.delegate(Expr::InList(InList::new(Box::new(expr), parts, negated)))
            }
            other => self.delegate(other),
        }
    }
}

impl Typing<'_> {
    /// Leaves the types to DataFusion and makes the casts it inserts row-safe.
    fn delegate(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        let expr = self.coercion.f_up(expr)?.data;
        let expr = expr.map_children(|child| match child {
            Expr::Cast(Cast { expr, field }) => {
                let from = expr.get_type(self.schema)?;
                let to = field.data_type();
                implicit_cast(*expr, &from, to).map(Transformed::yes)
            }
            child => Ok(Transformed::no(child)),
        })?;
        Ok(Transformed::new(expr.data, true, TreeNodeRecursion::Continue))
    }

    fn negative(&mut self, expr: Expr) -> Result<Expr> {
        let from = expr.get_type(self.schema)?;
        match &from {
            from if from.is_integer() || matches!(from, DataType::Duration(_)) => {
                let expr = cast(expr, from, DataType::Int64);
                Ok(safe_math(SafeOperator::Subtract, lit(0_i64), expr))
            }
            from if is_number(from) => {
                Ok(Expr::Negative(Box::new(cast(expr, from, DataType::Float64))))
            }
            DataType::Interval(_) => Ok(Expr::Negative(Box::new(expr))),
            from => {
                Err(SqlError::new(format!("`-` cannot be applied to {}", type_name(from))).into())
            }
        }
    }

    fn binary(&mut self, left: Expr, op: Operator, right: Expr) -> Result<Expr> {
        use Operator::{Divide, Minus, Modulo, Multiply, Plus};
        let (left, right) = match op {
            Plus | Minus | Multiply | Divide | Modulo => {
                let types = (left.get_type(self.schema)?, right.get_type(self.schema)?);
                match arithmetic(left, &types.0, op, right, &types.1)? {
                    Ok(done) => return Ok(done),
                    Err(parts) => parts,
                }
            }
            op if is_comparison(op) => self.comparable(left, op, right)?,
            _ => (left, right),
        };
        let expr = BinaryExpr::new(Box::new(left), op, Box::new(right));
        self.delegate(Expr::BinaryExpr(expr)).data()
    }

    /// Makes the sides of a comparison comparable, where DataFusion would choose otherwise.
    fn comparable(&self, left: Expr, op: Operator, right: Expr) -> Result<(Expr, Expr)> {
        let mut parts = vec![left, right];
        self.unify(&mut parts)?;
        let mut parts = parts.into_iter();
        let (Some(left), Some(right)) = (parts.next(), parts.next()) else {
            return Err(SqlError::new(format!("`{op}` takes two sides")).into());
        };
        let (left_type, right_type) = (left.get_type(self.schema)?, right.get_type(self.schema)?);
        let text_and_number = (is_text(&left_type) && is_number(&right_type))
            || (is_number(&left_type) && is_text(&right_type));
        if text_and_number {
            let (text, number, number_type) = match is_text(&left_type) {
                true => (&left, &right, &right_type),
                false => (&right, &left, &left_type),
            };
            return Err(compares(op, &left_type, &right_type)
                .help(match (text, number) {
                    (Expr::Literal(..), _) => "write the number without quotes".to_owned(),
                    (_, Expr::Literal(value, _)) => {
                        format!("text is written in single quotes: '{value}'")
                    }
                    _ if number_type.is_integer() => {
                        format!("`cast({text} as bigint)` reads text as a number")
                    }
                    _ => format!("`cast({text} as double)` reads text as a number"),
                })
                .into());
        }
        if is_number(&left_type) && is_number(&right_type) {
            // Not through decimals, as DataFusion compares unsigned with signed integers.
            let unsigned = left_type == DataType::UInt64 || right_type == DataType::UInt64;
            if unsigned && left_type.is_integer() && right_type.is_integer() {
                return Ok((
                    cast(left, &left_type, DataType::Int64),
                    cast(right, &right_type, DataType::Int64),
                ));
            }
        }
        Ok((left, right))
    }

    /// Gives expressions that are compared with each other one type, when a timestamp, a duration
    /// or quoted numbers are among them.
    fn unify(&self, parts: &mut Vec<Expr>) -> Result<()> {
        let types: Vec<DataType> =
            parts.iter().map(|part| part.get_type(self.schema)).collect::<Result<_>>()?;
        let has_number = types.iter().any(is_number);
        let target = if types.iter().any(|found| matches!(found, DataType::Timestamp(..))) {
            timestamp_type()
        } else if types.iter().any(|found| matches!(found, DataType::Duration(_))) {
            DataType::Int64
        } else if has_number
            && let Some(number) = types.iter().zip(parts.iter()).find_map(|(found, part)| {
                (is_number(found) && !matches!(part, Expr::Literal(..))).then_some(found)
            })
        {
            // `status in ('500', '404')`: quoted numbers are read once, as the column's type.
            let number = number.clone();
            for part in parts.iter_mut() {
                if let Expr::Literal(value, _) = part
                    && is_text(&value.data_type())
                    && let Ok(read) = value.cast_to(&number)
                    && !read.is_null()
                {
                    *part = Expr::Literal(read, None);
                }
            }
            return Ok(());
        } else {
            return Ok(());
        };
        let taken = std::mem::take(parts);
        for (part, from) in taken.into_iter().zip(&types) {
            parts.push(unified(part, from, &target)?);
        }
        Ok(())
    }
}

fn unified(part: Expr, from: &DataType, target: &DataType) -> Result<Expr> {
    if *target == DataType::Int64 {
        return Ok(match (from, &part) {
            (DataType::Interval(_), Expr::Literal(value, _)) => lit(interval_us(value)?),
            (DataType::Duration(_), _) => cast(part, from, DataType::Int64),
            _ => part,
        });
    }
    match from {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            Ok(cast(part, from, target.clone()))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            implicit_cast(part, from, target)
        }
        _ => Ok(part),
    }
}

/// Returns the microseconds of an interval without months.
fn interval_us(value: &ScalarValue) -> Result<i64> {
    let value = value.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano))?;
    let us = match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            i64::from(interval.days)
                .checked_mul(86_400_000_000)
                .and_then(|days| days.checked_add(interval.nanoseconds.div_euclid(1000)))
        }
        _ => None,
    };
    us.ok_or_else(|| {
        SqlError::new("a duration cannot be compared with an interval of months or years")
            .help("months differ in length; use days")
            .into()
    })
}

/// Returns a cast the user did not write; a constant that cannot be cast is refused.
fn implicit_cast(expr: Expr, from: &DataType, to: &DataType) -> Result<Expr> {
    if let Expr::Literal(value, _) = &expr
        && !value.is_null()
        && !never_fails(from, to)
    {
        return match value.cast_to(to) {
            Ok(read) if !read.is_null() => Ok(Expr::Literal(read, None)),
            _ => {
                let article = if is_text(from) { format!("'{value}'") } else { value.to_string() };
                let error = SqlError::new(format!("{article} is not a valid {}", type_name(to)));
                Err(match to {
                    DataType::Timestamp(..) => {
                        error.help("a timestamp is written '2025-01-31T12:00:00Z'").into()
                    }
                    _ => error.into(),
                })
            }
        };
    }
    Ok(cast(expr, from, to.clone()))
}

fn compares(op: Operator, left: &DataType, right: &DataType) -> SqlError {
    SqlError::new(format!("`{op}` cannot compare {} with {}", type_name(left), type_name(right)))
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || is_decimal(data_type)
}

/// Returns row-safe arithmetic, or the two sides when DataFusion knows what to do with them.
fn arithmetic(
    left: Expr,
    left_type: &DataType,
    op: Operator,
    right: Expr,
    right_type: &DataType,
) -> Result<std::result::Result<Expr, (Expr, Expr)>> {
    use DataType::{Duration, Float64, Int64, Null};
    let is_duration = |found: &DataType| matches!(found, Duration(_));
    let is_time = |found: &DataType| matches!(found, DataType::Timestamp(..) | DataType::Date32);
    let numeric = |found: &DataType| is_number(found) || is_duration(found) || *found == Null;

    if is_duration(left_type)
        && is_duration(right_type)
        && matches!(op, Operator::Plus | Operator::Minus)
    {
        return Ok(Err((left, right)));
    }
    if numeric(left_type) && numeric(right_type) {
        let whole = |found: &DataType| found.is_integer() || is_duration(found) || *found == Null;
        let integers = whole(left_type) && whole(right_type) && op != Operator::Divide;
        let number = if integers { Int64 } else { Float64 };
        let number = |expr, from: &DataType| match from {
            Duration(_) => cast(cast(expr, from, Int64), &Int64, number.clone()),
            _ => cast(expr, from, number.clone()),
        };
        let (left, right) = (number(left, left_type), number(right, right_type));
        let operator = match (op, integers) {
            (Operator::Plus, true) => SafeOperator::Add,
            (Operator::Minus, true) => SafeOperator::Subtract,
            (Operator::Multiply, true) => SafeOperator::Multiply,
            (Operator::Modulo, true) => SafeOperator::Modulo,
            (Operator::Divide, _) => SafeOperator::Divide,
            (Operator::Modulo, false) => SafeOperator::FloatModulo,
            _ => {
                let expr = BinaryExpr::new(Box::new(left), op, Box::new(right));
                return Ok(Ok(Expr::BinaryExpr(expr)));
            }
        };
        return Ok(Ok(safe_math(operator, left, right)));
    }
    if is_time(left_type) && is_time(right_type) && op == Operator::Minus {
        let (left, right) =
            (cast(left, left_type, timestamp_type()), cast(right, right_type, timestamp_type()));
        return Ok(Err((left, right)));
    }
    let is_interval = |found: &DataType| matches!(found, DataType::Interval(_));
    let shift = matches!(op, Operator::Plus | Operator::Minus)
        && ((is_time(left_type) && (is_interval(right_type) || is_duration(right_type)))
            || (is_time(right_type) && is_interval(left_type) && op == Operator::Plus)
            || (is_interval(left_type) && is_interval(right_type)));
    if shift {
        // Dates become timestamps first, so that hours added to a date are not lost.
        let us = |expr, from: &DataType| match is_time(from) {
            true => cast(expr, from, timestamp_type()),
            false => expr,
        };
        return Ok(Err((us(left, left_type), us(right, right_type))));
    }
    let error = SqlError::new(format!(
        "`{op}` cannot be applied to {} and {}",
        type_name(left_type),
        type_name(right_type)
    ));
    let has = |test: fn(&DataType) -> bool| test(left_type) || test(right_type);
    Err(if has(|found| matches!(found, DataType::Timestamp(..))) && has(is_number) {
        error.help("write the time to add as an interval: `interval '5 minutes'`")
    } else if has(is_text) && op == Operator::Plus {
        error.help("`||` joins text; `cast(… as double)` reads text as a number")
    } else if has(is_text) {
        error.help("`cast(… as double)` reads text as a number")
    } else {
        error
    }
    .into())
}
