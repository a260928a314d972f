//! A compiled expression: from text to something that runs on batches.

use std::any::Any;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array, new_null_array,
};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::TreeNode;
use datafusion_common::{DFSchema, DataFusionError, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::{Expr as SqlExpr, Visit, Visitor};

use super::context::REGISTRY;
use super::error::{SqlError, message_of};
use super::guard::guard;
use super::normalize::type_name;
use super::parse::{self, span_of};
use super::safe::{counted, folding};
use super::typing::{cast as safe_cast, check_literal, is_comparison, to_edge, type_expr};

/// An expression ready to run. Cheap to clone, and shared freely between threads.
#[derive(Clone)]
pub struct Compiled(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    sql: Arc<str>,
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    nullable: bool,
    columns: Vec<usize>,
}

/// The values of an expression for the rows of a batch.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// One value for each row, of the expression's type.
    pub array: ArrayRef,
    /// Rows whose value could not be computed, ascending; their value is null.
    pub errors: Vec<RowError>,
    /// How many times a division or modulo by zero, an overflow or a failed cast gave null. A row
    /// counts once for each part of the expression that did, also when another part caught it.
    pub made_null: u64,
}

/// Why a row has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// The row's index in its batch.
    pub row: u32,
    /// What failed.
    pub message: String,
}

/// Compiles an expression over rows of `schema`.
///
/// # Errors
/// When the text is not one expression, names what does not exist, or its types do not fit.
pub fn compile(sql: &str, schema: &Schema) -> Result<Compiled, SqlError> {
    Ok(compile_part(sql, &parse::parse(sql)?, schema)?.with_sql(sql))
}

/// Compiles a condition.
///
/// # Errors
/// As `compile`, and when the result is not a boolean.
pub fn compile_predicate(sql: &str, schema: &Schema) -> Result<Compiled, SqlError> {
    Ok(predicate_part(sql, &parse::parse(sql)?, schema)?.with_sql(sql))
}

/// Compiles an expression whose result is a list; returns with it the type of the list's items.
///
/// # Errors
/// As `compile`, and when the result is not a list.
pub fn compile_list(sql: &str, schema: &Schema) -> Result<(Compiled, DataType), SqlError> {
    let compiled = compile(sql, schema)?;
    match compiled.data_type() {
        DataType::List(item) => {
            let item = item.data_type().clone();
            Ok((compiled, item))
        }
        other => Err(SqlError::new(format!("this must be a list, but it is {}", type_name(other)))
            .help("`split(text, ' ')` and `string_to_array` make lists from text")),
    }
}

/// Compiles a part of a larger text; spans are in that text.
pub(super) fn compile_part(
    sql: &str,
    part: &SqlExpr,
    schema: &Schema,
) -> Result<Compiled, SqlError> {
    parse::check(sql, part, schema)?;
    let df_schema = DFSchema::try_from(schema.clone())?;
    if let ControlFlow::Break(error) = part.visit(&mut Literals { sql, schema: &df_schema }) {
        return Err(error);
    }
    build(part, &df_schema).map_err(|error| locate(sql, part, &df_schema, error))
}

/// Compiles a condition that is a part of a larger text.
pub(super) fn predicate_part(
    sql: &str,
    part: &SqlExpr,
    schema: &Schema,
) -> Result<Compiled, SqlError> {
    let compiled = compile_part(sql, part, schema)?;
    match compiled.data_type() {
        DataType::Boolean => Ok(compiled),
        other => Err(SqlError::new(format!(
            "a condition must be true or false, but this is {}",
            type_name(other)
        ))
        .at(span_of(sql, part))
        .help("a condition compares, as in `x > 0` or `x is not null`")),
    }
}

/// Returns `compiled` cast row-safely to `to`, when it has another type.
pub(super) fn compile_as(
    sql: &str,
    part: &SqlExpr,
    schema: &Schema,
    to: &DataType,
) -> Result<Compiled, SqlError> {
    let compiled = compile_part(sql, part, schema)?;
    if compiled.data_type() == to {
        return Ok(compiled);
    }
    let df_schema = DFSchema::try_from(schema.clone())?;
    let (expr, from) = to_edge(type_expr(plan(part, &df_schema)?, &df_schema)?, &df_schema)?;
    finish(compiled.sql(), safe_cast(expr, &from, to.clone()), to.clone(), &df_schema)
}

/// Refuses typed literals without a value: the author of `date '2025-02-30'` meant a day.
struct Literals<'a> {
    sql: &'a str,
    schema: &'a DFSchema,
}

impl Visitor for Literals<'_> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, part: &SqlExpr) -> ControlFlow<SqlError> {
        if !matches!(part, SqlExpr::TypedString(_)) {
            return ControlFlow::Continue(());
        }
        match plan(part, self.schema).and_then(|expr| Ok(check_literal(expr, self.schema)?)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error.at(span_of(self.sql, part))),
        }
    }
}

fn build(part: &SqlExpr, schema: &DFSchema) -> Result<Compiled, SqlError> {
    let (expr, data_type) = to_edge(type_expr(plan(part, schema)?, schema)?, schema)?;
    finish(&part.to_string(), expr, data_type, schema)
}

/// Plans a part of the syntax tree, without types.
fn plan(part: &SqlExpr, schema: &DFSchema) -> Result<Expr, SqlError> {
    let options = ParserOptions::new()
        .with_enable_ident_normalization(false)
        .with_map_string_types_to_utf8view(false);
    let planner = SqlToRel::new_with_options(&*REGISTRY, options);
    Ok(planner.sql_to_expr(part.clone(), schema, &mut PlannerContext::new())?)
}

/// Simplifies a typed expression and makes it runnable.
fn finish(
    sql: &str,
    expr: Expr,
    data_type: DataType,
    schema: &DFSchema,
) -> Result<Compiled, SqlError> {
    static OPTIONS: LazyLock<Arc<ConfigOptions>> = LazyLock::new(Arc::default);
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(&OPTIONS))
        .build();
    let expr = folding(|| ExprSimplifier::new(context).simplify(expr))?;
    let mut props = ExecutionProps::new();
    props.config_options = Some(Arc::clone(&OPTIONS));
    let planning = PhysicalPlanningContext::default();
    let physical = guard(create_physical_expr(&expr, schema, &props, &planning)?)?;
    // A function may fail for a row, and whatever fails is null.
    let can_fail = expr.exists(|part| {
        Ok(!matches!(
            part,
            Expr::Column(_)
                | Expr::Literal(..)
                | Expr::Cast(_)
                | Expr::Not(_)
                | Expr::IsNull(_)
                | Expr::IsNotNull(_)
                | Expr::IsTrue(_)
                | Expr::IsFalse(_)
                | Expr::Case(_)
        ) && !matches!(part, Expr::BinaryExpr(binary)
            if is_comparison(binary.op) || binary.op.is_logic_operator()))
    })?;
    let nullable = can_fail || expr.nullable(schema)?;
    let mut columns: Vec<usize> =
        collect_columns(&physical).into_iter().map(|column| column.index()).collect();
    columns.sort_unstable();
    columns.dedup();
    let inner = Inner { sql: sql.into(), physical, data_type, nullable, columns };
    let compiled = Compiled(Arc::new(inner));
    compiled.probe(schema.as_arrow())?;
    Ok(compiled)
}

/// Returns the error of the smallest part of `whole` that is wrong by itself, pointing at it.
fn locate(sql: &str, whole: &SqlExpr, schema: &DFSchema, error: SqlError) -> SqlError {
    struct Locate<'a> {
        sql: &'a str,
        schema: &'a DFSchema,
        found: Option<SqlError>,
    }
    impl Visitor for Locate<'_> {
        type Break = ();

        fn post_visit_expr(&mut self, part: &SqlExpr) -> ControlFlow<()> {
            let built = plan(part, self.schema)
                .and_then(|expr| Ok(type_expr(expr, self.schema)?))
                .and_then(|expr| match to_edge(expr.clone(), self.schema) {
                    Ok((edge, data_type)) => finish("", edge, data_type, self.schema).map(drop),
                    // An interval is no column, but a fine part of one.
                    Err(_) => Ok(()),
                });
            match built {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    self.found = Some(error.at(span_of(self.sql, part)));
                    ControlFlow::Break(())
                }
            }
        }
    }
    if error.span.is_some() {
        return error;
    }
    let mut locate = Locate { sql, schema, found: None };
    let _ = whole.visit(&mut locate);
    locate.found.unwrap_or_else(|| error.at(span_of(sql, whole)))
}

impl Compiled {
    /// Returns the type of the result: one of the pipeline's column types.
    pub fn data_type(&self) -> &DataType {
        &self.0.data_type
    }

    /// Returns whether a result may be null.
    pub fn nullable(&self) -> bool {
        self.0.nullable
    }

    /// Returns the text it was compiled from.
    pub fn sql(&self) -> &str {
        &self.0.sql
    }

    /// Returns the indices of the columns it reads, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.0.columns
    }

    /// Returns the field for a column `name` that holds the results.
    pub fn field(&self, name: &str) -> Field {
        Field::new(name, self.0.data_type.clone(), self.0.nullable)
    }

    /// Evaluates the expression for every row of `batch`, whose columns must be those of the
    /// schema it was compiled for.
    ///
    /// Never fails as a whole: see `Evaluated::errors`.
    pub fn evaluate(&self, batch: &RecordBatch) -> Evaluated {
        let rows = batch.num_rows();
        if rows == 0 {
            let array = new_empty_array(&self.0.data_type);
            return Evaluated { array, errors: Vec::new(), made_null: 0 };
        }
        if let Ok((array, made_null)) = self.run(batch) {
            return Evaluated { array, errors: Vec::new(), made_null };
        }
        let mut halves = Bisection {
            compiled: self,
            batch,
            arrays: Vec::new(),
            errors: Vec::new(),
            made_null: 0,
        };
        halves.search(0, rows);
        let Bisection { arrays, mut errors, made_null, .. } = halves;
        let parts: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let array = concat(&parts).unwrap_or_else(|error| {
            errors = (0..rows).map(|row| row_error(row, error.to_string())).collect();
            new_null_array(&self.0.data_type, rows)
        });
        Evaluated { array, errors, made_null }
    }

    /// Returns the same expression with the text as it was typed.
    fn with_sql(self, sql: &str) -> Self {
        Self(Arc::new(Inner { sql: sql.into(), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Evaluates all rows at once, or says why that fails.
    fn run(&self, batch: &RecordBatch) -> Result<(ArrayRef, u64), String> {
        let rows = batch.num_rows();
        // A function of a library that panics must not take the host with it.
        let (result, made_null) = counted(|| {
            catch_unwind(AssertUnwindSafe(|| {
                self.0.physical.evaluate(batch).and_then(|value| value.into_array(rows))
            }))
        });
        let array = result.map_err(|panic| panic_message(&*panic))?;
        let array = array.map_err(|error| message_of(&error))?;
        if array.len() != rows {
            return Err(format!("{} results for {rows} rows", array.len()));
        }
        if array.data_type() == &self.0.data_type {
            return Ok((array, made_null));
        }
        // Only the names of a list's items differ.
        let array = cast(&array, &self.0.data_type)
            .map_err(|error| message_of(&DataFusionError::from(error)))?;
        Ok((array, made_null))
    }

    /// Refuses an expression that would fail for every row, such as one with a constant pattern
    /// that is no regular expression.
    fn probe(&self, schema: &Schema) -> Result<(), SqlError> {
        let Some(nulls) = one_row(schema, |field| new_null_array(field.data_type(), 1)) else {
            return Ok(());
        };
        let Err(message) = self.run(&nulls) else {
            return Ok(());
        };
        let plain = one_row(schema, |field| {
            ScalarValue::new_default(field.data_type())
                .and_then(|value| value.to_array())
                .unwrap_or_else(|_| new_null_array(field.data_type(), 1))
        });
        match plain.map(|plain| self.run(&plain)) {
            Some(Err(_)) => Err(SqlError::new(message)),
            _ => Ok(()),
        }
    }
}

/// Returns a batch of one row, all columns nullable.
fn one_row(schema: &Schema, value: impl Fn(&Field) -> ArrayRef) -> Option<RecordBatch> {
    let columns = schema.fields().iter().map(|field| value(field)).collect();
    let fields: Vec<Field> =
        schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).ok()
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a function panicked: {}", text.unwrap_or("no reason given"))
}

fn row_error(row: usize, message: String) -> RowError {
    RowError { row: u32::try_from(row).unwrap_or(u32::MAX), message }
}

/// Finds the rows that fail, by halves.
struct Bisection<'a> {
    compiled: &'a Compiled,
    batch: &'a RecordBatch,
    arrays: Vec<ArrayRef>,
    errors: Vec<RowError>,
    made_null: u64,
}

impl Bisection<'_> {
    /// Evaluates `rows` rows from `from`, which are known to fail together.
    fn search(&mut self, from: usize, rows: usize) {
        let half = rows.div_ceil(2);
        for (from, rows) in [(from, half), (from.saturating_add(half), rows.saturating_sub(half))] {
            if rows == 0 {
                continue;
            }
            match self.compiled.run(&self.batch.slice(from, rows)) {
                Ok((array, made_null)) => {
                    self.arrays.push(array);
                    self.made_null = self.made_null.saturating_add(made_null);
                }
                Err(message) if rows == 1 => {
                    self.arrays.push(new_null_array(&self.compiled.0.data_type, 1));
                    self.errors.push(row_error(from, message));
                }
                Err(_) => self.search(from, rows),
            }
        }
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled")
            .field("sql", &self.0.sql)
            .field("data_type", &self.0.data_type)
            .field("physical", &self.0.physical.to_string())
            .finish()
    }
}

/// Compares by text and type; use it only for expressions over the same schema.
impl PartialEq for Compiled {
    fn eq(&self, other: &Self) -> bool {
        self.0.sql == other.0.sql && self.0.data_type == other.0.data_type
    }
}
