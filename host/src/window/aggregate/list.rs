//! `array_agg` without distinct: all non-null values, by (event time, partition, position).
//!
//! Values are interned once per table; a group holds the places and numbers of its values. Rows
//! equal in all three come from one record (an unnested list) and keep their order.

#![expect(clippy::indexing_slicing, reason = "groups exist by contract")]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::{Aggregate, RowOrder, argument, column, each, peer};
use crate::expr::AggregateSpec;
use crate::window::NONE;
use crate::window::error::WindowError;
use crate::window::key_table::KeyTable;
use crate::window::values::{Kind, mask, restore};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time: i64,
    partition: i64,
    position: i64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct List {
    kind: Kind,
    values: KeyTable,
    groups: Vec<Vec<(Place, u32)>>,
    result: DataType,
}

/// Returns the field of a list's elements.
pub(super) fn element(result: &DataType, kind: Kind) -> FieldRef {
    match result {
        DataType::List(field) => Arc::clone(field),
        _ => Arc::new(Field::new_list_field(kind.data_type(), true)),
    }
}

/// Builds a list column; groups without values are null.
pub(super) fn lists(
    result: &DataType,
    kind: Kind,
    lengths: &[usize],
    values: ArrayRef,
) -> Result<ArrayRef, WindowError> {
    let field = element(result, kind);
    let values = restore(values, field.data_type())?;
    let nulls: NullBuffer = lengths.iter().map(|length| *length > 0).collect::<Vec<_>>().into();
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Ok(Arc::new(ListArray::try_new(field, offsets, values, Some(nulls))?))
}

impl List {
    pub(super) fn new(kind: Kind, spec: &AggregateSpec) -> Self {
        Self::empty(kind, spec.result_type.clone())
    }

    fn empty(kind: Kind, result: DataType) -> Self {
        Self { kind, values: KeyTable::of_values(kind), groups: Vec::new(), result }
    }

    fn sorted(&self, row: u32) -> Vec<(Place, u32)> {
        let mut entries = self.groups[row as usize].clone();
        entries.sort_by_key(|entry| entry.0);
        entries
    }
}

impl Aggregate for List {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::empty(self.kind, self.result.clone()))
    }

    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Vec::new());
    }

    fn update(
        &mut self,
        groups: &[u32],
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
        order: RowOrder<'_>,
    ) -> Result<(), WindowError> {
        let values = argument(arguments, groups.len())?;
        let mask = mask(Some(&values), filter);
        let ids = self.values.intern(&[values], groups.len(), mask.as_ref())?;
        each(groups, mask.as_ref(), |row, group| {
            let place = Place {
                time: order.time[row],
                partition: order.partition[row],
                position: order.position[row],
            };
            self.groups[group].push((place, ids[row]));
        });
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
            let its = &other.groups[*row as usize];
            let mine = &mut self.groups[*group as usize];
            mine.reserve(its.len());
            for (place, id) in its {
                mine.push((*place, self.values.intern_from(&other.values, *id)));
            }
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        let mut lengths = Vec::with_capacity(rows.len());
        let mut ids = Vec::new();
        for row in rows {
            let entries = self.sorted(*row);
            lengths.push(entries.len());
            ids.extend(entries.iter().map(|entry| entry.1));
        }
        let values = self.values.columns(&ids).pop();
        let values = values.ok_or(WindowError::Foreign { what: "a list's values" })?;
        lists(&self.result, self.kind, &lengths, values)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let entries: Vec<Vec<(Place, u32)>> = rows.iter().map(|row| self.sorted(*row)).collect();
        let lengths: Vec<usize> = entries.iter().map(Vec::len).collect();
        let column = |read: fn(Place) -> i64| {
            let values = entries.iter().flatten().map(|entry| read(entry.0));
            let values: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
            lists(&DataType::Int64, Kind::Int, &lengths, values)
        };
        let ids: Vec<u32> = entries.iter().flatten().map(|entry| entry.1).collect();
        let values = self.values.columns(&ids).pop();
        let values = values.ok_or(WindowError::Foreign { what: "a list's values" })?;
        Ok(vec![
            column(|p| p.time)?,
            column(|p| p.partition)?,
            column(|p| p.position)?,
            lists(&self.kind.data_type(), self.kind, &lengths, values)?,
        ])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let mut made = Self::empty(self.kind, self.result.clone());
        let parts =
            (0..3).map(|i| column::<ListArray>(columns, i)).collect::<Result<Vec<_>, _>>()?;
        let values: &ListArray = column(columns, 3)?;
        for row in 0..values.len() {
            let mut entries = Vec::new();
            if values.is_valid(row) {
                let times = parts[0].value(row);
                let partitions = parts[1].value(row);
                let positions = parts[2].value(row);
                let parts = [times, partitions, positions];
                let times: &Int64Array = column(&parts, 0)?;
                let partitions: &Int64Array = column(&parts, 1)?;
                let positions: &Int64Array = column(&parts, 2)?;
                let value = values.value(row);
                let ids = made.values.intern(&[Arc::clone(&value)], value.len(), None)?;
                let places = times.values().iter().zip(partitions.values()).zip(positions.values());
                for (((time, partition), position), id) in places.zip(ids) {
                    debug_assert_ne!(id, NONE, "no value is masked");
                    let place = Place { time: *time, partition: *partition, position: *position };
                    entries.push((place, id));
                }
            }
            made.groups.push(entries);
        }
        Ok(Box::new(made))
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|g| self.groups[*g as usize] = Vec::new());
        let held: usize = self.groups.iter().map(Vec::len).sum();
        if held < self.values.len() / 2 {
            let mut kept = self.values.fresh();
            for (_, id) in self.groups.iter_mut().flatten() {
                *id = kept.intern_from(&self.values, *id);
            }
            self.values = kept;
        }
    }

    fn memory_bytes(&self) -> usize {
        let entries: usize = self.groups.iter().map(Vec::capacity).sum();
        entries * size_of::<(Place, u32)>()
            + self.groups.capacity() * 24
            + self.values.memory_bytes()
    }
}
