//! The adapter for sketches: `approx_distinct` and `approx_percentile_cont`.
//!
//! DataFusion's accumulators may empty themselves when they are read, so each group keeps the
//! accumulator's state as values, and a throw-away accumulator is built from it to add, merge
//! and evaluate. Groups without rows have no state at all.

#![expect(
    clippy::indexing_slicing,
    reason = "groups exist by contract; runs are cut at bounds found in the same loop"
)]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDF};
use datafusion_functions_aggregate::approx_distinct::approx_distinct_udaf;
use datafusion_functions_aggregate::approx_percentile_cont::approx_percentile_cont_udaf;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, Literal};

use super::{Aggregate, RowOrder, each, peer};
use crate::expr::{AggregateFunction, AggregateSpec};
use crate::window::error::WindowError;
use crate::window::number;
use crate::window::values::mask;

/// How to make an accumulator.
#[derive(Debug)]
struct Recipe {
    function: Arc<AggregateUDF>,
    name: String,
    schema: Schema,
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<FieldRef>,
    return_field: FieldRef,
    state_fields: Vec<FieldRef>,
    result: DataType,
}

impl Recipe {
    fn accumulator(&self) -> Result<Box<dyn Accumulator>, WindowError> {
        Ok(self.function.accumulator(AccumulatorArgs {
            return_field: Arc::clone(&self.return_field),
            schema: &self.schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: &self.name,
            is_distinct: false,
            exprs: &self.expressions,
            expr_fields: &self.fields,
        })?)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Sketch {
    recipe: Arc<Recipe>,
    states: Vec<Option<Vec<ScalarValue>>>,
}

impl Sketch {
    pub(super) fn new(name: &str, spec: &AggregateSpec) -> Result<Self, WindowError> {
        let function = match spec.function {
            AggregateFunction::ApproxDistinct => approx_distinct_udaf(),
            _ => approx_percentile_cont_udaf(),
        };
        let Some(argument) = spec.argument_types.first() else {
            let problem = "needs an argument";
            return Err(WindowError::Aggregate { name: name.to_owned(), problem });
        };
        let field = Arc::new(Field::new("value", argument.clone(), true));
        let mut expressions: Vec<Arc<dyn PhysicalExpr>> = vec![Arc::new(Column::new("value", 0))];
        let mut fields = vec![Arc::clone(&field)];
        for parameter in &spec.parameters {
            expressions.push(Arc::new(Literal::new(parameter.clone())));
            fields.push(Arc::new(Field::new("parameter", parameter.data_type(), true)));
        }
        let types: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
        let return_type = function.return_type(&types)?;
        let return_field = Arc::new(Field::new(name, return_type, true));
        let state_fields = function.state_fields(StateFieldsArgs {
            name,
            input_fields: &fields,
            return_field: Arc::clone(&return_field),
            ordering_fields: &[],
            is_distinct: false,
        })?;
        let recipe = Recipe {
            function,
            name: name.to_owned(),
            schema: Schema::new(vec![field]),
            expressions,
            fields,
            return_field,
            state_fields,
            result: spec.result_type.clone(),
        };
        recipe.accumulator()?;
        Ok(Self { recipe: Arc::new(recipe), states: Vec::new() })
    }

    fn empty(&self) -> Self {
        Self { recipe: Arc::clone(&self.recipe), states: Vec::new() }
    }

    fn restored(
        &self,
        state: Option<&Vec<ScalarValue>>,
    ) -> Result<Box<dyn Accumulator>, WindowError> {
        let mut made = self.recipe.accumulator()?;
        if let Some(state) = state {
            let columns = state.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>, _>>()?;
            made.merge_batch(&columns)?;
        }
        Ok(made)
    }
}

impl Aggregate for Sketch {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(self.empty())
    }

    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, None);
    }

    fn update(
        &mut self,
        groups: &[u32],
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
        _: RowOrder<'_>,
    ) -> Result<(), WindowError> {
        let Some(values) = arguments.first() else {
            return Err(WindowError::Shape { what: "arguments", expected: 1, found: 0 });
        };
        let mask = mask(Some(values), filter);
        let mut rows: Vec<(u32, u32)> = Vec::with_capacity(groups.len());
        each(groups, mask.as_ref(), |row, _| rows.push((groups[row], number(row))));
        rows.sort_unstable();
        for run in rows.chunk_by(|a, b| a.0 == b.0) {
            let group = run[0].0 as usize;
            let indices = UInt32Array::from_iter_values(run.iter().map(|(_, row)| *row));
            let mut accumulator = self.restored(self.states[group].as_ref())?;
            accumulator.update_batch(&[take(values, &indices, None)?])?;
            self.states[group] = Some(accumulator.state()?);
        }
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
            let (row, group) = (*row as usize, *group as usize);
            let Some(its) = &other.states[row] else { continue };
            if self.states[group].is_none() {
                self.states[group] = Some(its.clone());
                continue;
            }
            let mut accumulator = self.restored(self.states[group].as_ref())?;
            let columns = its.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>, _>>()?;
            accumulator.merge_batch(&columns)?;
            self.states[group] = Some(accumulator.state()?);
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            values.push(self.restored(self.states[*row as usize].as_ref())?.evaluate()?);
        }
        if values.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.recipe.result));
        }
        Ok(cast(&ScalarValue::iter_to_array(values)?, &self.recipe.result)?)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let mut columns = Vec::with_capacity(self.recipe.state_fields.len());
        for (at, field) in self.recipe.state_fields.iter().enumerate() {
            let null = ScalarValue::try_from(field.data_type())?;
            let values = rows.iter().map(|row| {
                let state = self.states[*row as usize].as_ref();
                state.and_then(|s| s.get(at)).unwrap_or(&null).clone()
            });
            columns.push(if rows.is_empty() {
                arrow::array::new_empty_array(field.data_type())
            } else {
                ScalarValue::iter_to_array(values)?
            });
        }
        Ok(columns)
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let mut made = self.empty();
        let expected = self.recipe.state_fields.len();
        let found = columns.len();
        let Some(first) = columns.first().filter(|_| expected == found) else {
            return Err(WindowError::Shape { what: "state columns", expected, found });
        };
        for row in 0..first.len() {
            made.states.push(if first.is_null(row) {
                None
            } else {
                let state = columns.iter().map(|c| ScalarValue::try_from_array(c, row));
                Some(state.collect::<Result<Vec<_>, _>>()?)
            });
        }
        Ok(Box::new(made))
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|g| self.states[*g as usize] = None);
    }

    fn memory_bytes(&self) -> usize {
        self.states.iter().flatten().flatten().map(ScalarValue::size).sum::<usize>()
            + self.states.capacity() * 24
    }
}
