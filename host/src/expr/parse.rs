//! From text to syntax tree, and the checks that need the places of names.
//!
//! Names are checked here, before DataFusion plans the expression, because the syntax tree still
//! knows where each of them stands.

use std::ops::{ControlFlow, Range};

use arrow::datatypes::Schema;
use datafusion_sql::sqlparser::ast::{
    Expr, Function, Ident, Query, Spanned, Value, ValueWithSpan, Visit, Visitor,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::aggregate_call::is_aggregate;
use super::context::REGISTRY;
use super::error::{SqlError, decapitalise, nearest};

/// Nesting of parentheses and calls.
const MAX_NESTING: usize = 50;
/// Operators in a row (`a or b or c …`): each is a level of the tree, and trees are walked by
/// recursion.
const MAX_CHAIN: usize = 256;
/// Longest SQL text.
const MAX_BYTES: usize = 64 << 10;

/// Parses `sql` as one expression.
pub(super) fn parse(sql: &str) -> Result<Expr, SqlError> {
    if sql.trim().is_empty() {
        return Err(SqlError::new("the expression is empty"));
    }
    if sql.len() > MAX_BYTES {
        return Err(SqlError::new(format!("the expression is longer than {MAX_BYTES} bytes")));
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|error| {
        let at = offset(sql, error.location).map(|at| at..sql.len());
        SqlError::new(decapitalise(&error.message)).at(at)
    })?;
    let mut parser = Parser::new(&dialect)
        .with_tokens_with_locations(tokens.clone())
        .with_recursion_limit(MAX_NESTING);
    let expr = parser.parse_expr().map_err(|error| syntax_error(sql, &tokens, error))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        let error = SqlError::new(format!("unexpected `{}` after the expression", next.token))
            .at(range(sql, next.span));
        let is_as = next.token.to_string().eq_ignore_ascii_case("as");
        return Err(if is_as {
            error.help("the result is named by the key in the file")
        } else {
            error
        });
    }
    if chain(&expr) > MAX_CHAIN {
        return Err(SqlError::new(format!("more than {MAX_CHAIN} operators in a row"))
            .help("a long list of values is written `x in (1, 2, 3)`"));
    }
    Ok(expr)
}

/// Returns how deep the left side of `expr` goes.
fn chain(expr: &Expr) -> usize {
    let mut expr = expr;
    let mut depth = 0_usize;
    while let Expr::BinaryOp { left, .. } = expr {
        depth = depth.saturating_add(1);
        expr = left;
    }
    depth
}

fn syntax_error(sql: &str, tokens: &[TokenWithSpan], error: ParserError) -> SqlError {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return SqlError::new(format!("more than {MAX_NESTING} levels of nesting"));
        }
    };
    let (text, place) = match message.rsplit_once(" at Line: ") {
        Some((text, place)) => (text, place),
        None => (message.as_str(), ""),
    };
    let location = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
    });
    let span = match location {
        Some(location) => tokens
            .iter()
            .find(|token| token.span.start == location && token.token != Token::EOF)
            .and_then(|token| range(sql, token.span))
            .or_else(|| offset(sql, location).map(|at| at..at)),
        None => Some(sql.len()..sql.len()),
    };
    let text = text.replace("Expected: ", "expected ").replace("found: ", "found ");
    let text = text.replace("found EOF", "found the end of the text");
    SqlError::new(decapitalise(&text)).at(span)
}

/// Checks every name in `expr` against `schema` and the known functions, and refuses what an
/// expression may not contain.
pub(super) fn check(sql: &str, expr: &Expr, schema: &Schema) -> Result<(), SqlError> {
    match expr.visit(&mut Check { sql, schema }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Check<'a> {
    sql: &'a str,
    schema: &'a Schema,
}

impl Visitor for Check<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        ControlFlow::Break(
            SqlError::new("subqueries are not supported: an expression sees one row")
                .at(span_of(self.sql, query)),
        )
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<SqlError> {
        match &value.value {
            Value::Placeholder(name) => ControlFlow::Break(
                SqlError::new(format!("parameters such as `{name}` are not supported"))
                    .at(range(self.sql, value.span)),
            ),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        let result = match expr {
            Expr::Identifier(name) => self.column(name),
            Expr::CompoundIdentifier(names) => Err(self.compound(expr, names)),
            Expr::Function(function) => self.function(function),
            Expr::Lambda(_) => Err(SqlError::new("lambda expressions are not supported")),
            _ => Ok(()),
        };
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Check<'_> {
    fn column(&self, name: &Ident) -> Result<(), SqlError> {
        if self.schema.column_with_name(&name.value).is_some() {
            return Ok(());
        }
        let error = SqlError::new(format!("unknown column `{}`", name.value))
            .at(range(self.sql, name.span));
        let columns = || self.schema.fields().iter().map(|field| field.name().as_str());
        let mut error = match nearest(&name.value, columns()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        };
        if name.quote_style == Some('"') {
            let text = name.value.replace('\'', "''");
            error = error.help(format!("text is written in single quotes: '{text}'"));
        }
        let all: Vec<&str> = columns().collect();
        Err(match all.is_empty() {
            true => error.help("there are no columns here"),
            false => error.help(format!("columns: {}", all.join(", "))),
        })
    }

    fn compound(&self, expr: &Expr, names: &[Ident]) -> SqlError {
        let full: Vec<&str> = names.iter().map(|name| name.value.as_str()).collect();
        let full = full.join(".");
        let error = SqlError::new(format!("unknown column `{full}`")).at(span_of(self.sql, expr));
        let last = names.last().map(|name| name.value.as_str()).unwrap_or_default();
        if self.schema.column_with_name(&full).is_some() {
            error.help(format!("a name with a point is quoted: \"{full}\""))
        } else if self.schema.column_with_name(last).is_some() {
            error.help(format!("columns are named without a prefix: `{last}`"))
        } else {
            error.help("columns are named without a prefix")
        }
    }

    fn function(&self, function: &Function) -> Result<(), SqlError> {
        let name = function.name.to_string();
        let lower = function_name(function);
        let whole = || call_span(self.sql, function);
        let at_name = || span_of(self.sql, &function.name);
        if function.over.is_some() {
            return Err(SqlError::new(format!(
                "`{name}(…) over (…)`: SQL window functions are not supported"
            ))
            .at(whole())
            .help("a window is a node of its own: [windows.<name>]"));
        }
        if let Some(why) = REGISTRY.refusal(&lower) {
            return Err(SqlError::new(format!("`{name}` is not allowed: {why}"))
                .at(whole())
                .help("a result depends on its row alone, so that a run can be repeated"));
        }
        if REGISTRY.get(&lower).is_some() {
            return match (&function.filter, function.within_group.is_empty()) {
                (None, true) => Ok(()),
                _ => Err(SqlError::new(format!("`{name}` is not an aggregate")).at(whole())),
            };
        }
        if is_aggregate(&lower) {
            return Err(SqlError::new(format!("the aggregate `{name}` is not allowed here"))
                .at(whole())
                .help("aggregates belong in the `aggregate` table of a window"));
        }
        if lower == "unnest" {
            return Err(SqlError::new("`unnest` is not allowed in an expression")
                .at(whole())
                .help("a stream turns a list into rows with its `unnest` key"));
        }
        let error = SqlError::new(format!("unknown function `{name}`")).at(at_name());
        Err(match nearest(&lower, REGISTRY.names()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help("known are DataFusion's scalar functions, such as `coalesce`"),
        })
    }
}

/// Returns a function's name as it is looked up.
pub(super) fn function_name(function: &Function) -> String {
    function.name.to_string().to_lowercase()
}

/// Returns the byte range of a part of the syntax tree.
pub(super) fn span_of(sql: &str, part: &impl Spanned) -> Option<Range<usize>> {
    let found = range(sql, part.span())?;
    // The parser does not count the closing parenthesis of a call.
    let mut end = found.end;
    loop {
        let text = sql.get(found.start..end)?;
        if text.matches('(').count() <= text.matches(')').count() {
            return Some(found.start..end);
        }
        let rest = sql.get(end..)?;
        let blank = rest.len().saturating_sub(rest.trim_start().len());
        if !rest.trim_start().starts_with(')') {
            return Some(found);
        }
        end = end.saturating_add(blank).saturating_add(1);
    }
}

/// Returns the byte range of a call, from its name to its last parenthesis.
pub(super) fn call_span(sql: &str, call: &Function) -> Option<Range<usize>> {
    let name = range(sql, call.name.span())?;
    let found = span_of(sql, call).unwrap_or(name.clone());
    let end = closing(sql, name.end).unwrap_or(name.end);
    Some(name.start..end.max(found.end))
}

/// Returns where the parenthesis that opens next after `from` closes, if one does.
fn closing(sql: &str, from: usize) -> Option<usize> {
    let rest = sql.get(from..)?;
    if !rest.trim_start().starts_with('(') {
        return None;
    }
    let mut depth = 0_usize;
    let mut quote = None;
    for (at, char) in rest.char_indices() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(char),
            (None, '(') => depth = depth.saturating_add(1),
            (None, ')') if depth == 1 => return from.checked_add(at)?.checked_add(1),
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    None
}

/// Returns the byte range of a parser's span, or nothing when it is empty.
pub(super) fn range(sql: &str, span: Span) -> Option<Range<usize>> {
    let start = offset(sql, span.start)?;
    let end = offset(sql, span.end)?;
    (start < end).then_some(start..end)
}

/// Returns the byte position of a line and column, both counted from 1 in characters.
fn offset(sql: &str, location: Location) -> Option<usize> {
    let mut line = 1_u64;
    let mut column = 1_u64;
    for (at, char) in sql.char_indices() {
        if line == location.line && column == location.column {
            return Some(at);
        }
        if char == '\n' {
            line = line.saturating_add(1);
            column = 1;
        } else {
            column = column.saturating_add(1);
        }
    }
    (line == location.line && column >= location.column).then_some(sql.len())
}
