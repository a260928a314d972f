//! `first_value` and `last_value` by (event time, partition, position). Nulls are skipped.
//!
//! Rows equal in all three come from one record (an unnested list); they keep their order.

#![expect(clippy::indexing_slicing, reason = "groups exist by contract")]

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Int64Array};
use arrow::datatypes::DataType;

use super::{Aggregate, RowOrder, argument, column, each, peer};
use crate::window::error::WindowError;
use crate::window::values::{ByteColumn, Kind, from_bytes, from_words, mask, restore, words};

type Place = (i64, i64, i64);

/// The values of a kind, by group.
#[derive(Debug)]
enum Held {
    Words(Vec<i64>),
    Bytes(Vec<Box<[u8]>>),
}

/// The first or last value of each group.
#[derive(Debug)]
pub(super) struct Edge {
    last: bool,
    kind: Kind,
    places: Vec<Option<Place>>,
    held: Held,
    result: DataType,
}

impl Edge {
    pub(super) fn new(last: bool, kind: Kind, result: DataType) -> Self {
        let held = if kind.is_word() { Held::Words(vec![]) } else { Held::Bytes(vec![]) };
        Self { last, kind, places: Vec::new(), held, result }
    }

    fn wins(&self, group: usize, place: Place) -> bool {
        match self.places[group] {
            None => true,
            Some(mine) if self.last => place >= mine,
            Some(mine) => place < mine,
        }
    }

    fn values(&self, rows: &[u32]) -> ArrayRef {
        let present = |row: &u32| self.places[*row as usize].is_some();
        match &self.held {
            Held::Words(words) => {
                from_words(self.kind, rows.iter().map(|r| present(r).then(|| words[*r as usize])))
            }
            Held::Bytes(bytes) => from_bytes(
                self.kind,
                rows.iter().map(|r| present(r).then(|| bytes[*r as usize].as_ref())),
            ),
        }
    }
}

impl Aggregate for Edge {
    fn fresh(&self) -> Box<dyn Aggregate> {
        Box::new(Self::new(self.last, self.kind, self.result.clone()))
    }

    fn resize(&mut self, groups: usize) {
        self.places.resize(groups, None);
        match &mut self.held {
            Held::Words(words) => words.resize(groups, 0),
            Held::Bytes(bytes) => bytes.resize(groups, Box::default()),
        }
    }

    fn update(
        &mut self,
        groups: &[u32],
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
        order: RowOrder<'_>,
    ) -> Result<(), WindowError> {
        let wrong = || WindowError::Foreign { what: "an argument" };
        let array = argument(arguments, groups.len())?;
        let mask = mask(Some(&array), filter);
        let (new_words, new_bytes) = if self.kind.is_word() {
            (Some(words(&array).ok_or_else(wrong)?), None)
        } else {
            (None, Some(ByteColumn::of(&array).ok_or_else(wrong)?))
        };
        each(groups, mask.as_ref(), |row, group| {
            let place = (order.time[row], order.partition[row], order.position[row]);
            if !self.wins(group, place) {
                return;
            }
            self.places[group] = Some(place);
            match (&mut self.held, &new_words, &new_bytes) {
                (Held::Words(mine), Some(words), _) => mine[group] = words[row],
                (Held::Bytes(mine), _, Some(bytes)) => mine[group] = bytes.value(row).into(),
                _ => {}
            }
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
            let (row, group) = (*row as usize, *group as usize);
            let Some(place) = other.places[row] else { continue };
            if !self.wins(group, place) {
                continue;
            }
            self.places[group] = Some(place);
            match (&mut self.held, &other.held) {
                (Held::Words(mine), Held::Words(its)) => mine[group] = its[row],
                (Held::Bytes(mine), Held::Bytes(its)) => mine[group] = its[row].clone(),
                _ => return Err(WindowError::Foreign { what: "an aggregate's state" }),
            }
        }
        Ok(())
    }

    fn evaluate(&self, rows: &[u32]) -> Result<ArrayRef, WindowError> {
        Ok(restore(self.values(rows), &self.result)?)
    }

    fn state(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let part = |read: fn(Place) -> i64| -> ArrayRef {
            let values: Int64Array =
                rows.iter().map(|r| self.places[*r as usize].map(read)).collect();
            Arc::new(values)
        };
        let present = |row: &u32| self.places[*row as usize].is_some();
        let values: ArrayRef = match &self.held {
            Held::Words(words) => Arc::new(
                rows.iter().map(|r| present(r).then(|| words[*r as usize])).collect::<Int64Array>(),
            ),
            Held::Bytes(bytes) => Arc::new(
                rows.iter()
                    .map(|r| present(r).then(|| bytes[*r as usize].as_ref()))
                    .collect::<BinaryArray>(),
            ),
        };
        Ok(vec![part(|p| p.0), part(|p| p.1), part(|p| p.2), values])
    }

    fn restored(&self, columns: &[ArrayRef]) -> Result<Box<dyn Aggregate>, WindowError> {
        let times: &Int64Array = column(columns, 0)?;
        let partitions: &Int64Array = column(columns, 1)?;
        let positions: &Int64Array = column(columns, 2)?;
        let mut made = Self::new(self.last, self.kind, self.result.clone());
        made.places = times
            .iter()
            .zip(partitions.values().iter().zip(positions.values()))
            .map(|(time, (partition, position))| time.map(|t| (t, *partition, *position)))
            .collect();
        made.held = match made.held {
            Held::Words(_) => {
                let words: &Int64Array = column(columns, 3)?;
                Held::Words(words.values().to_vec())
            }
            Held::Bytes(_) => {
                let bytes: &BinaryArray = column(columns, 3)?;
                Held::Bytes(bytes.iter().map(|b| b.unwrap_or_default().into()).collect())
            }
        };
        Ok(Box::new(made))
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            self.places[*group as usize] = None;
            if let Held::Bytes(bytes) = &mut self.held {
                bytes[*group as usize] = Box::default();
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        let held = match &self.held {
            Held::Words(words) => words.capacity() * 8,
            Held::Bytes(bytes) => bytes.iter().map(|b| b.len() + 32).sum(),
        };
        self.places.capacity() * size_of::<Option<Place>>() + held
    }
}
