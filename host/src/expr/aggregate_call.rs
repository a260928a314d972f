//! Aggregates of pipeline files: one call, its arguments and its filter.
//!
//! The call is read from the syntax tree, not planned by DataFusion: windows keep their own state
//! and know the functions of `AggregateFunction`, no others.

use std::ops::{ControlFlow, Range};

use arrow::datatypes::{DataType, Schema};
use datafusion_common::ScalarValue;
use datafusion_sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    UnaryOperator, Value, Visit, Visitor,
};

use super::aggregate::{AggregateFunction, AggregateSpec};
use super::compiled::{Compiled, compile_as, compile_part, predicate_part};
use super::context::REGISTRY;
use super::error::{SqlError, nearest};
use super::normalize::{list_of, type_name};
use super::parse::{call_span, function_name, parse, span_of};

/// The aggregates that can be used, as they are written.
pub const SUPPORTED_AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "mean",
    "min",
    "max",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "var",
    "var_samp",
    "var_pop",
    "approx_distinct",
    "first_value",
    "last_value",
    "array_agg",
    "median",
    "approx_median",
    "percentile_cont",
    "approx_percentile_cont",
];

/// Aggregates of SQL that windows do not know; named to tell them from unknown functions.
const OTHER_AGGREGATES: &[&str] = &[
    "any_value",
    "approx_percentile_cont_with_weight",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "covar",
    "covar_pop",
    "covar_samp",
    "every",
    "group_concat",
    "grouping",
    "listagg",
    "mode",
    "nth_value",
    "percentile_disc",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "string_agg",
];

/// An aggregate with what it is computed over.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateCall {
    /// What windows need to know.
    pub spec: AggregateSpec,
    /// Gives the argument columns, one for each of `spec.argument_types`.
    pub arguments: Vec<Compiled>,
    /// Only rows for which this is true count.
    pub filter: Option<Compiled>,
}

/// Returns whether `name` (lower case) is an aggregate of SQL.
pub(super) fn is_aggregate(name: &str) -> bool {
    function(name).is_some() || OTHER_AGGREGATES.contains(&name)
}

fn function(name: &str) -> Option<AggregateFunction> {
    use AggregateFunction as F;
    Some(match name {
        "count" => F::Count,
        "sum" => F::Sum,
        "avg" | "mean" => F::Avg,
        "min" => F::Min,
        "max" => F::Max,
        "stddev" | "stddev_samp" => F::StddevSamp,
        "stddev_pop" => F::StddevPop,
        "var" | "var_samp" | "var_sample" | "variance" => F::VarSamp,
        "var_pop" | "var_population" => F::VarPop,
        "approx_distinct" => F::ApproxDistinct,
        "first_value" => F::FirstValue,
        "last_value" => F::LastValue,
        "array_agg" => F::ArrayAgg,
        "median" => F::Median,
        "percentile_cont" | "quantile_cont" => F::PercentileCont,
        "approx_percentile_cont" | "approx_median" => F::ApproxPercentileCont,
        _ => return None,
    })
}

/// Compiles an aggregate over rows of `schema`.
///
/// # Errors
/// When the text is not one call of a supported aggregate, or its arguments do not fit.
pub fn compile_aggregate(sql: &str, schema: &Schema) -> Result<AggregateCall, SqlError> {
    let expr = parse(sql)?;
    let mut inner = &expr;
    while let Expr::Nested(nested) = inner {
        inner = nested;
    }
    let Expr::Function(call) = inner else {
        return Err(no_aggregate(sql, inner));
    };
    let name = function_name(call);
    let Some(function) = function(&name) else {
        return Err(no_aggregate(sql, inner));
    };
    Call { sql, schema, call, name, function }.compile()
}

/// Returns why `expr` is not an aggregate.
fn no_aggregate(sql: &str, expr: &Expr) -> SqlError {
    if let Expr::Function(call) = expr {
        let name = function_name(call);
        let at = span_of(sql, &call.name);
        let list = format!("supported: {}", SUPPORTED_AGGREGATES.join(", "));
        if matches!(name.as_str(), "bool_and" | "bool_or" | "every") {
            return SqlError::new(format!("the aggregate `{name}` is not supported"))
                .at(at)
                .help("use `count(*) filter (where …)` and compare it in `derive`")
                .help(list);
        }
        if OTHER_AGGREGATES.contains(&name.as_str()) {
            return SqlError::new(format!("the aggregate `{name}` is not supported"))
                .at(at)
                .help(list);
        }
        if REGISTRY.get(&name).is_none() && REGISTRY.refusal(&name).is_none() {
            let error = SqlError::new(format!("unknown aggregate `{name}`")).at(at);
            return match nearest(&name, SUPPORTED_AGGREGATES.iter().copied()) {
                Some(near) => error.help(format!("did you mean `{near}`?")).help(list),
                None => error.help(list),
            };
        }
    }
    match first_aggregate(sql, expr) {
        Some(span) => SqlError::new("an aggregate cannot be part of a larger expression here")
            .at(span)
            .help("give each aggregate its own name and compute with the names in `derive`"),
        None => SqlError::new("this is not an aggregate")
            .at(span_of(sql, expr))
            .help(format!("supported: {}", SUPPORTED_AGGREGATES.join(", "))),
    }
}

/// Returns the place of the first aggregate within `expr`.
fn first_aggregate(sql: &str, expr: &Expr) -> Option<Option<Range<usize>>> {
    struct Find<'a>(&'a str);
    impl Visitor for Find<'_> {
        type Break = Option<Range<usize>>;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
            match expr {
                Expr::Function(call) if is_aggregate(&function_name(call)) => {
                    ControlFlow::Break(call_span(self.0, call))
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match expr.visit(&mut Find(sql)) {
        ControlFlow::Break(span) => Some(span),
        ControlFlow::Continue(()) => None,
    }
}

struct Call<'a> {
    sql: &'a str,
    schema: &'a Schema,
    call: &'a Function,
    name: String,
    function: AggregateFunction,
}

impl Call<'_> {
    fn compile(self) -> Result<AggregateCall, SqlError> {
        self.refuse_clauses()?;
        let filter = match &self.call.filter {
            Some(filter) => Some(predicate_part(self.sql, filter, self.schema)?),
            None => None,
        };
        let (mut values, distinct) = self.values()?;
        let parameters = self.parameters(&mut values)?;
        let distinct =
            distinct && !matches!(self.function, AggregateFunction::Min | AggregateFunction::Max);
        if distinct
            && !matches!(self.function, AggregateFunction::Count | AggregateFunction::ArrayAgg)
        {
            return Err(self
                .error(format!("`{}(distinct …)` is not supported", self.name))
                .help("`distinct` works with count and array_agg"));
        }
        let value = match (values.as_slice(), self.function) {
            ([], AggregateFunction::Count) if !distinct => None,
            // `count(1)` counts rows.
            ([Expr::Value(value)], AggregateFunction::Count)
                if !distinct && value.value != Value::Null =>
            {
                None
            }
            ([value], _) => Some(*value),
            _ => {
                return Err(self.error(format!(
                    "`{}` takes one value, not {}",
                    self.name,
                    values.len()
                )));
            }
        };
        let arguments = match value {
            Some(value) => vec![self.argument(value, distinct)?],
            None => Vec::new(),
        };
        let argument_types: Vec<DataType> =
            arguments.iter().map(|argument| argument.data_type().clone()).collect();
        let result_type = result_type(self.function, argument_types.first());
        let function = self.function;
        let spec = AggregateSpec { function, distinct, argument_types, parameters, result_type };
        Ok(AggregateCall { spec, arguments, filter })
    }

    fn error(&self, message: impl Into<String>) -> SqlError {
        SqlError::new(message).at(call_span(self.sql, self.call))
    }

    fn refuse_clauses(&self) -> Result<(), SqlError> {
        if self.call.over.is_some() {
            return Err(self
                .error("SQL window functions are not supported")
                .help("a window is a node of its own: [windows.<name>]"));
        }
        let clauses = match &self.call.args {
            FunctionArguments::List(list) => !list.clauses.is_empty(),
            _ => false,
        };
        if clauses || self.call.null_treatment.is_some() {
            return Err(self
                .error(format!("`{}` takes no `order by` and no null treatment", self.name))
                .help("values are in the order of event time, partition and position"));
        }
        Ok(())
    }

    /// Returns the plain arguments (none for `*`) and whether they are distinct.
    fn values(&self) -> Result<(Vec<&Expr>, bool), SqlError> {
        let FunctionArguments::List(list) = &self.call.args else {
            return Err(self.error(format!("`{}` needs an argument in parentheses", self.name)));
        };
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        let mut values = Vec::new();
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => values.push(expr),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard)
                    if self.function == AggregateFunction::Count
                        && list.args.len() == 1
                        && !distinct => {}
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {
                    return Err(self.error(format!("`*` does not go with `{}` here", self.name)));
                }
                _ => return Err(self.error("only plain arguments are supported")),
            }
        }
        if list.args.is_empty() && self.function == AggregateFunction::Count {
            return Err(self.error("`count` needs an argument").help("`count(*)` counts rows"));
        }
        Ok((values, distinct))
    }

    /// Takes the literal settings out of `values`, which keeps what is aggregated.
    fn parameters<'b>(&'b self, values: &mut Vec<&'b Expr>) -> Result<Vec<ScalarValue>, SqlError> {
        let within = &self.call.within_group;
        if self.name == "approx_median" {
            return Ok(vec![ScalarValue::Float64(Some(0.5))]);
        }
        if !matches!(
            self.function,
            AggregateFunction::PercentileCont | AggregateFunction::ApproxPercentileCont
        ) {
            return match within.is_empty() {
                true => Ok(Vec::new()),
                false => Err(self.error(format!("`{}` takes no `within group`", self.name))),
            };
        }
        let usage =
            format!("write `{0}(x, 0.95)` or `{0}(0.95) within group (order by x)`", self.name);
        let settings: Vec<&Expr> = match within.as_slice() {
            [] if !values.is_empty() => values.drain(1..).collect(),
            [order] if order.options.asc != Some(false) && order.options.nulls_first.is_none() => {
                std::mem::replace(values, vec![&order.expr])
            }
            [_] => {
                let error = self.error("`order by` is ascending here, without options");
                return Err(error.help(usage));
            }
            _ => return Err(self.error(format!("`{}` needs a value", self.name)).help(usage)),
        };
        let (percentile, centroids) = match settings.as_slice() {
            [percentile] => (*percentile, None),
            [percentile, centroids] if self.function == AggregateFunction::ApproxPercentileCont => {
                (*percentile, Some(*centroids))
            }
            _ => return Err(self.error(format!("`{}` needs a percentile", self.name)).help(usage)),
        };
        let percentile = match number(percentile) {
            Some(share) if (0.0..=1.0).contains(&share) => share,
            _ => {
                return Err(SqlError::new("the percentile must be a number from 0 to 1")
                    .at(span_of(self.sql, percentile)));
            }
        };
        let mut parameters = vec![ScalarValue::Float64(Some(percentile))];
        if let Some(centroids) = centroids {
            let count = centroids.to_string().parse::<u64>().ok();
            let Some(count) = count.filter(|count| (10..=10_000).contains(count)) else {
                return Err(SqlError::new("the number of centroids must be from 10 to 10000")
                    .at(span_of(self.sql, centroids)));
            };
            parameters.push(ScalarValue::UInt64(Some(count)));
        }
        Ok(parameters)
    }

    /// Compiles what is aggregated, with the type the function works on.
    fn argument(&self, value: &Expr, distinct: bool) -> Result<Compiled, SqlError> {
        use AggregateFunction as F;
        let compiled = compile_part(self.sql, value, self.schema)?;
        let found = compiled.data_type();
        let is_number = matches!(found, DataType::Int64 | DataType::Float64);
        let is_list = matches!(found, DataType::List(_));
        let refuse = |wants: &str| {
            let error =
                SqlError::new(format!("`{}` takes {wants}, not {}", self.name, type_name(found)))
                    .at(span_of(self.sql, value));
            Err(match found {
                DataType::Boolean => {
                    error.help("to count what is true: `count(*) filter (where …)`")
                }
                DataType::Utf8 => error.help("`cast(… as double)` reads text as a number"),
                DataType::Timestamp(..) => {
                    error.help("`to_unix_ms(…)` gives a timestamp's milliseconds")
                }
                _ => error,
            })
        };
        match self.function {
            F::Sum if is_number => Ok(compiled),
            F::Avg
            | F::VarPop
            | F::VarSamp
            | F::StddevPop
            | F::StddevSamp
            | F::Median
            | F::PercentileCont
            | F::ApproxPercentileCont
                if is_number =>
            {
                compile_as(self.sql, value, self.schema, &DataType::Float64)
            }
            F::Sum
            | F::Avg
            | F::VarPop
            | F::VarSamp
            | F::StddevPop
            | F::StddevSamp
            | F::Median
            | F::PercentileCont
            | F::ApproxPercentileCont => refuse("numbers"),
            F::Min | F::Max => match found {
                DataType::Int64 | DataType::Float64 | DataType::Utf8 | DataType::Timestamp(..) => {
                    Ok(compiled)
                }
                _ => refuse("numbers, text or timestamps"),
            },
            F::ApproxDistinct | F::ArrayAgg if is_list => refuse("single values"),
            F::Count if distinct && is_list => refuse("single values"),
            F::Count | F::ApproxDistinct | F::ArrayAgg | F::FirstValue | F::LastValue => {
                Ok(compiled)
            }
        }
    }
}

fn result_type(function: AggregateFunction, argument: Option<&DataType>) -> DataType {
    use AggregateFunction as F;
    let argument = argument.cloned().unwrap_or(DataType::Int64);
    match function {
        F::Count | F::ApproxDistinct => DataType::Int64,
        F::Sum | F::Min | F::Max | F::FirstValue | F::LastValue => argument,
        F::ArrayAgg => list_of(argument),
        F::Avg
        | F::VarPop
        | F::VarSamp
        | F::StddevPop
        | F::StddevSamp
        | F::Median
        | F::PercentileCont
        | F::ApproxPercentileCont => DataType::Float64,
    }
}

/// Returns the number a literal stands for.
fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        Expr::Nested(inner) => number(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr).map(|value| -value),
        _ => None,
    }
}
