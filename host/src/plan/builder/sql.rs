//! SQL of a pipeline file, compiled against the columns that it sees.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::super::graph::GraphNode;
use super::super::key_path::KeyPath;
use super::super::nodes::Named;
use super::Builder;
use crate::config::model::Located;
use crate::diag::Diagnostic;
use crate::expr::{self, Compiled, SqlError};

impl Builder<'_> {
    /// Compiles a column of a list of names or a table of SQL.
    pub(super) fn column(
        &mut self,
        node: &GraphNode,
        key: &'static str,
        name: &str,
        sql: &Located<String>,
        schema: &Schema,
    ) -> Option<Named> {
        // In a list the text in the file, with its quotes, is the SQL: a quoted name.
        if self.file.text_at(&sql.span) == sql.value {
            if schema.index_of(name).is_err() {
                let path = KeyPath::new(node, key);
                self.unknown_column(path, name, &sql.span, schema);
                return None;
            }
            return Some((
                name.to_owned(),
                self.sql(KeyPath::new(node, key), sql, schema, expr::compile)?,
            ));
        }
        let path = KeyPath::column(node, key, name);
        Some((name.to_owned(), self.sql(path, sql, schema, expr::compile)?))
    }

    /// Compiles columns in order, each seeing those before it, and adds them to the schema.
    pub(super) fn chain(
        &mut self,
        node: &GraphNode,
        columns: &[(String, Located<String>)],
        schema: &mut SchemaRef,
    ) -> Vec<Named> {
        let mut compiled = Vec::with_capacity(columns.len());
        for (name, sql) in columns {
            let path = KeyPath::column(node, "derive", name);
            if let Some(expression) = self.sql(path, sql, schema, expr::compile) {
                *schema = with_column(schema, name, expression.data_type().clone(), true);
                compiled.push((name.clone(), expression));
            }
        }
        compiled
    }

    pub(super) fn condition(
        &mut self,
        path: KeyPath<'_>,
        sql: Option<&Located<String>>,
        schema: &Schema,
    ) -> Option<Compiled> {
        self.sql(path, sql?, schema, expr::compile_predicate)
    }

    pub(super) fn sql<T>(
        &mut self,
        path: KeyPath<'_>,
        sql: &Located<String>,
        schema: &Schema,
        compile: fn(&str, &Schema) -> Result<T, SqlError>,
    ) -> Option<T> {
        match compile(&sql.value, schema) {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                let span = match error.span {
                    Some(part) => self.file.part_of(&sql.span, &sql.value, part),
                    None => sql.span.clone(),
                };
                let message = format!("`{path}`: {}", error.message);
                let mut problem = Diagnostic::error(message).at(span);
                problem.help = error.help;
                self.problems.push(problem);
                None
            }
        }
    }

    pub(super) fn unknown_column(
        &mut self,
        path: KeyPath<'_>,
        name: &str,
        span: &Range<usize>,
        schema: &Schema,
    ) {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        self.problems.push(
            Diagnostic::error(format!("`{path}`: unknown column `{name}`"))
                .at(span.clone())
                .suggest(name, "its columns", names),
        );
    }
}

pub(super) fn with_column(
    schema: &Schema,
    name: &str,
    data_type: DataType,
    nullable: bool,
) -> SchemaRef {
    let field = Arc::new(Field::new(name, data_type, nullable));
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    match fields.iter_mut().find(|old| old.name() == name) {
        Some(old) => *old = field,
        None => fields.push(field),
    }
    Arc::new(Schema::new(fields))
}

pub(super) fn schema_of(columns: &[Named]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, expression)| Field::new(name, expression.data_type().clone(), true))
        .collect();
    Arc::new(Schema::new(fields))
}
