//! Message templates: `"error rate {error_rate:.1} on {service}"`.
//!
//! A place names a column of the rule's input or one of its attributes. `{{` and `}}` stand for
//! braces. `:.N` gives numbers N digits after the point. Parsing needs no schema; binding finds the
//! columns and refuses names that do not exist.

use std::fmt::Write as _;
use std::ops::Range;

use arrow::array::{ArrayRef, StringArray, StringBuilder};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::text::{Formatter, can_have_precision};

/// Most digits after the point a template may ask for.
const MAX_PRECISION: usize = 17;

/// Why a message template does not work. Spans are byte ranges in the template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` without `}`.
    #[error("`{{` is never closed; write `{{{{` for a brace")]
    Unclosed {
        /// From the brace to the end.
        span: Range<usize>,
    },
    /// `}` without `{`.
    #[error("`}}` closes nothing; write `}}}}` for a brace")]
    Unopened {
        /// The brace.
        span: Range<usize>,
    },
    /// `{}`.
    #[error("a place in a template must name a column")]
    Empty {
        /// The braces.
        span: Range<usize>,
    },
    /// Something else than `.N` behind the colon.
    #[error("`{found}` is not a format; write for example `:.2` for two digits after the point")]
    Format {
        /// What stands there.
        found: String,
        /// Where.
        span: Range<usize>,
    },
    /// A column that does not exist.
    #[error("no column `{column}`")]
    UnknownColumn {
        /// The name as typed.
        column: String,
        /// The nearest name there is.
        nearest: Option<String>,
        /// Where.
        span: Range<usize>,
    },
    /// `:.N` on something that is not a number.
    #[error("column `{column}` is not a number, so `:.{precision}` cannot apply")]
    NotANumber {
        /// The column.
        column: String,
        /// Digits asked for.
        precision: usize,
        /// Where.
        span: Range<usize>,
    },
}

impl TemplateError {
    /// Returns the byte range in the template.
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::Unclosed { span }
            | Self::Unopened { span }
            | Self::Empty { span }
            | Self::Format { span, .. }
            | Self::UnknownColumn { span, .. }
            | Self::NotANumber { span, .. } => span.clone(),
        }
    }

    /// Returns what to do about it, where the message does not say so.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::UnknownColumn { nearest: Some(near), .. } => {
                Some(format!("did you mean `{near}`?"))
            }
            Self::UnknownColumn { .. } => {
                Some("a message has the columns of the rule's input and the plugin's".to_owned())
            }
            Self::NotANumber { column, .. } => Some(format!("write `{{{column}}}`")),
            _ => None,
        }
    }
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Column { name: String, precision: Option<usize>, span: Range<usize> },
}

impl MessageTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// When braces do not match or a place is not `{column}` or `{column:.N}`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.char_indices().peekable();
        while let Some((at, char)) = chars.next() {
            let doubled = chars.peek().is_some_and(|(_, next)| *next == char);
            match char {
                '{' | '}' if doubled => {
                    chars.next();
                    plain.push(char);
                }
                '}' => return Err(TemplateError::Unopened { span: at..at.saturating_add(1) }),
                '{' => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    let open = TemplateError::Unclosed { span: at..text.len() };
                    let Some((end, _)) = chars.find(|(_, char)| *char == '}') else {
                        return Err(open);
                    };
                    let start = at.saturating_add(1);
                    let Some(inside) = text.get(start..end) else { return Err(open) };
                    parts.push(place(inside, start)?);
                }
                other => plain.push(other),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// Finds the columns: `schemas` in order, the first that has a name wins.
    ///
    /// # Errors
    /// When a column does not exist, or a precision is asked of a column that is not a number.
    pub fn bind(&self, schemas: &[&Schema]) -> Result<BoundTemplate, TemplateError> {
        let parts = self.parts.iter().map(|part| bind(part, schemas));
        Ok(BoundTemplate { parts: parts.collect::<Result<_, _>>()? })
    }
}

/// Parses what stands between two braces; `start` is where it starts in the template.
fn place(inside: &str, start: usize) -> Result<Part, TemplateError> {
    let end = start.saturating_add(inside.len());
    let (name, format) = match inside.split_once(':') {
        Some((name, format)) => (name, Some(format)),
        None => (inside, None),
    };
    let name_end = start.saturating_add(name.len());
    if name.trim().is_empty() {
        let span = start.saturating_sub(1)..end.saturating_add(1);
        return Err(TemplateError::Empty { span });
    }
    let precision = format.map(|format| {
        let digits = format.strip_prefix('.').and_then(|digits| digits.parse().ok());
        digits.filter(|digits| *digits <= MAX_PRECISION).ok_or_else(|| TemplateError::Format {
            found: format.to_owned(),
            span: name_end.saturating_add(1)..end,
        })
    });
    Ok(Part::Column {
        name: name.trim().to_owned(),
        precision: precision.transpose()?,
        span: start..name_end,
    })
}

fn bind(part: &Part, schemas: &[&Schema]) -> Result<BoundPart, TemplateError> {
    let (name, precision, span) = match part {
        Part::Text(text) => return Ok(BoundPart::Text(text.clone())),
        Part::Column { name, precision, span } => (name, *precision, span),
    };
    for (schema, fields) in schemas.iter().enumerate() {
        let Some((column, field)) = fields.column_with_name(name) else { continue };
        if let Some(precision) = precision.filter(|_| !can_have_precision(field.data_type())) {
            let (column, span) = (name.clone(), span.clone());
            return Err(TemplateError::NotANumber { column, precision, span });
        }
        return Ok(BoundPart::Column { schema, column, precision });
    }
    let names = schemas.iter().flat_map(|schema| schema.fields()).map(|field| field.name());
    let nearest = nearest_name(name, names.map(String::as_str)).map(str::to_owned);
    Err(TemplateError::UnknownColumn { column: name.clone(), nearest, span: span.clone() })
}

/// Returns the name most like `name`, when one is like it at all.
pub(super) fn nearest_name<'a>(
    name: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let scored = names.map(|other| (strsim::jaro_winkler(name, other), other));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)));
    best.filter(|(score, _)| *score > 0.75).map(|(_, name)| name)
}

/// A template whose columns are known.
#[derive(Clone, Debug)]
pub struct BoundTemplate {
    parts: Vec<BoundPart>,
}

#[derive(Clone, Debug)]
enum BoundPart {
    Text(String),
    Column { schema: usize, column: usize, precision: Option<usize> },
}

impl BoundTemplate {
    /// Returns the messages of `rows` rows. `columns` has one list a schema given to
    /// [`MessageTemplate::bind`].
    ///
    /// # Errors
    /// When a column cannot be formatted.
    pub fn render(&self, rows: usize, columns: &[&[ArrayRef]]) -> Result<StringArray, ArrowError> {
        let mut formatters = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            formatters.push(match part {
                BoundPart::Text(text) => Piece::Text(text),
                BoundPart::Column { schema, column, precision } => {
                    let array = columns.get(*schema).and_then(|columns| columns.get(*column));
                    let array = array.ok_or_else(|| {
                        ArrowError::InvalidArgumentError("a template's column is gone".into())
                    })?;
                    Piece::Column(Formatter::new(array, *precision)?)
                }
            });
        }
        let mut messages = StringBuilder::with_capacity(rows, rows.saturating_mul(32));
        for row in 0..rows {
            for piece in &formatters {
                let written = match piece {
                    Piece::Text(text) => messages.write_str(text),
                    Piece::Column(formatter) => formatter.write(row, &mut messages),
                };
                written.map_err(|_| ArrowError::CastError("a value cannot be formatted".into()))?;
            }
            messages.append_value("");
        }
        Ok(messages.finish())
    }
}

enum Piece<'a> {
    Text(&'a str),
    Column(Formatter<'a>),
}
