//! Reads wire types from the tree and goes on after a problem.
//!
//! A plain serde reader stops at the first error. This one is made for types whose every key is a
//! `Field`: a field that cannot be read is reported and left empty, and reading goes on. It also
//! reports unknown keys itself, with the nearest known one. Conventions:
//!
//! * `Field<T>` asks for the newtype struct `FIELD` and gets (start, end, value or nothing);
//! * the enums `TAGGED` are tables that pick their variant by the key `type`;
//! * an enum whose variants are called `$text`, `$list`, `$table` picks by the value's shape;
//! * an error's message may have further lines: those are remedies.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::tree::{Entry, Kind, Value, quoted};
use crate::diag::{Diagnostic, nearest};

/// The name by which `Field` asks for a value with its place.
pub(super) const FIELD: &str = "$millstream::Field";

/// The key that chooses among the variants of a node.
const TYPE: &str = "type";

/// The node kinds that come in variants.
const TAGGED: [&str; 2] = ["Source", "Sink"];

/// Known keys that an unknown key was a typing error of, by their dotted path. They are not
/// missing a second time.
pub(super) type Misspelt = BTreeSet<String>;

/// Reads a `T`; reports what cannot be read. None only when the value as a whole is unusable.
pub(super) fn read<'de, T: de::Deserialize<'de>>(
    value: &'de Value,
    problems: &mut Vec<Diagnostic>,
) -> (Option<T>, Misspelt) {
    let sink = Sink::default();
    let reader = Reader { value, path: String::new(), tagged: false, sink: &sink };
    let result = T::deserialize(reader.clone());
    let result = result.map_err(|error| reader.report(error)).ok();
    problems.append(&mut sink.problems.borrow_mut());
    (result, sink.misspelt.take())
}

/// What reading finds besides values.
#[derive(Default)]
struct Sink {
    problems: RefCell<Vec<Diagnostic>>,
    misspelt: RefCell<Misspelt>,
}

/// Why a value cannot be read; becomes a diagnostic at the innermost `Field`.
#[derive(Debug)]
pub(super) enum Error {
    /// The reason and its remedies.
    Reason(Box<Reason>),
    /// Reported already.
    Reported,
}

#[derive(Debug)]
pub(super) struct Reason {
    message: String,
    help: Vec<String>,
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reason(reason) => f.write_str(&reason.message),
            Self::Reported => f.write_str("reported"),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        let text = message.to_string();
        let mut lines = text.lines();
        Self::Reason(Box::new(Reason {
            message: lines.next().unwrap_or_default().to_string(),
            help: lines.map(str::to_string).collect(),
        }))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = expected.to_string();
        let expected = match expected.as_str() {
            "i64" => "an integer",
            "a sequence" => "an array",
            "a map" => "a table",
            other if other.starts_with("struct ") => "a table",
            other => other,
        };
        let help = match (expected, found) {
            ("a string", Unexpected::Signed(number)) => {
                format!("\nwrite \"{number}\", with quotes")
            }
            ("a string", Unexpected::Bool(flag)) => format!("\nwrite \"{flag}\", with quotes"),
            ("a string", Unexpected::Seq) => "\nwrite one string".into(),
            ("an integer", Unexpected::Str(_)) => "\nwrite a number without quotes".into(),
            ("a boolean", _) => "\nwrite true or false, without quotes".into(),
            ("an array", Unexpected::Str(text)) => format!("\nwrite [{text:?}]"),
            ("a table", _) => "\nwrite { key = value, … }".into(),
            _ => String::new(),
        };
        Self::custom(format!("expected {expected}, found {}{help}", describe(found)))
    }
}

/// Returns the path of a key or `[index]` below a dotted path.
pub(super) fn join(path: &str, key: &str) -> String {
    match (path.is_empty(), key.starts_with('[')) {
        (true, _) => key.to_string(),
        (false, true) => format!("{path}{key}"),
        (false, false) => format!("{path}.{key}"),
    }
}

fn unexpected(kind: &Kind) -> Unexpected<'_> {
    match kind {
        Kind::String(text) | Kind::Datetime(text) => Unexpected::Str(text),
        Kind::Integer(number) => Unexpected::Signed(*number),
        Kind::Float(number) => Unexpected::Float(*number),
        Kind::Boolean(flag) => Unexpected::Bool(*flag),
        Kind::Array(_) => Unexpected::Seq,
        Kind::Table(_) => Unexpected::Map,
    }
}

fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("the string {text:?}"),
        Unexpected::Bool(flag) => format!("the boolean {flag}"),
        Unexpected::Unsigned(number) => format!("the integer {number}"),
        Unexpected::Signed(number) => format!("the integer {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Seq => "an array".into(),
        Unexpected::Map | Unexpected::Enum => "a table".into(),
        other => other.to_string(),
    }
}

/// A place in the tree that is being read.
#[derive(Clone)]
struct Reader<'de, 'p> {
    value: &'de Value,
    /// The keys that lead here, dotted.
    path: String,
    /// The table's `type` has been read.
    tagged: bool,
    sink: &'p Sink,
}

impl<'de, 'p> Reader<'de, 'p> {
    fn child(&self, value: &'de Value, key: &str) -> Self {
        Self { value, path: join(&self.path, key), tagged: false, sink: self.sink }
    }

    fn report(&self, error: Error) {
        let Error::Reason(reason) = error else { return };
        let message = if self.path.is_empty() {
            reason.message
        } else if reason.message.starts_with("missing key") {
            format!("{} in `{}`", reason.message, self.path)
        } else {
            format!("`{}`: {}", self.path, reason.message)
        };
        let mut problem = Diagnostic::error(message).at(self.value.span.clone());
        problem.help = reason.help;
        self.push(problem);
    }

    fn push(&self, problem: Diagnostic) {
        self.sink.problems.borrow_mut().push(problem);
    }

    /// Returns the entries whose key is known and reports the others.
    fn known(&self, entries: &'de [Entry], fields: &[&'static str]) -> Vec<&'de Entry> {
        let mut known = Vec::with_capacity(entries.len());
        for entry in entries {
            if self.tagged && entry.key == TYPE {
                continue;
            }
            if fields.contains(&entry.key.as_str()) {
                known.push(entry);
                continue;
            }
            let place =
                if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path) };
            let listed = self.tagged.then_some(TYPE).into_iter().chain(fields.iter().copied());
            if let Some(near) = nearest(&entry.key, listed.clone()) {
                self.sink.misspelt.borrow_mut().insert(join(&self.path, near));
            }
            self.push(
                Diagnostic::error(format!("unknown key `{}`{place}", quoted(&entry.key)))
                    .at(entry.key_span.clone())
                    .suggest(&entry.key, "known keys", listed),
            );
        }
        known
    }

    /// Returns the variant that the value chooses.
    fn variant(
        &self,
        name: &str,
        variants: &'static [&'static str],
    ) -> Result<(&'static str, Self), Error> {
        let plain = |name: &'static str| Ok((name, self.clone()));
        if variants.iter().all(|name| name.starts_with('$')) {
            let shape = match &self.value.kind {
                Kind::String(_) => "$text",
                Kind::Array(_) => "$list",
                Kind::Table(_) => "$table",
                _ => "",
            };
            return match variants.iter().find(|name| **name == shape) {
                Some(name) => plain(name),
                None => {
                    let names: Vec<&str> = variants
                        .iter()
                        .map(|name| match *name {
                            "$text" => "a string",
                            "$list" => "an array",
                            _ => "a table",
                        })
                        .collect();
                    let expected = names.join(" or ");
                    Err(Error::invalid_type(unexpected(&self.value.kind), &expected.as_str()))
                }
            };
        }
        let tagged = TAGGED.contains(&name);
        match &self.value.kind {
            Kind::String(text) if !tagged => match variants.iter().find(|name| *name == text) {
                Some(name) => plain(name),
                None => Err(unknown_value(text, variants)),
            },
            Kind::Table(entries) if tagged => {
                let Some(entry) = entries.iter().find(|entry| entry.key == TYPE) else {
                    return Err(Error::custom(format!(
                        "missing key `type`\n{}",
                        one_of("type", variants)
                    )));
                };
                let reader = self.child(&entry.value, TYPE);
                let Kind::String(text) = &entry.value.kind else {
                    reader.report(Error::custom(format!(
                        "expected a string\n{}",
                        one_of("type", variants)
                    )));
                    return Err(Error::Reported);
                };
                match variants.iter().find(|name| *name == text) {
                    Some(name) => Ok((name, Self { tagged: true, ..self.clone() })),
                    None => {
                        reader.report(unknown_value(text, variants));
                        Err(Error::Reported)
                    }
                }
            }
            other if tagged => Err(Error::invalid_type(unexpected(other), &"a table")),
            other => {
                let expected = format!("one of {}", quoted_list(variants));
                Err(Error::invalid_type(unexpected(other), &expected.as_str()))
            }
        }
    }
}

fn unknown_value(text: &str, variants: &'static [&'static str]) -> Error {
    let help = match nearest(text, variants.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("known values: {}", quoted_list(variants)),
    };
    Error::custom(format!("unknown value {text:?}\n{help}"))
}

fn one_of(key: &str, variants: &[&str]) -> String {
    let list: Vec<String> = variants.iter().map(|name| format!("{key} = {name:?}")).collect();
    format!("add one of: {}", list.join(", "))
}

fn quoted_list(variants: &[&str]) -> String {
    let list: Vec<String> = variants.iter().map(|name| format!("{name:?}")).collect();
    list.join(", ")
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value.kind {
            Kind::String(text) | Kind::Datetime(text) => visitor.visit_borrowed_str(text),
            Kind::Integer(number) => visitor.visit_i64(*number),
            Kind::Float(number) => visitor.visit_f64(*number),
            Kind::Boolean(flag) => visitor.visit_bool(*flag),
            Kind::Array(items) => {
                visitor.visit_seq(Items { items: items.iter(), index: 0, reader: &self })
            }
            Kind::Table(entries) => {
                let entries: Vec<&Entry> = entries.iter().collect();
                visitor.visit_map(Entries {
                    entries: entries.into_iter(),
                    next: None,
                    reader: &self,
                })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == FIELD {
            return visitor.visit_seq(FieldParts { reader: self, part: 0 });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Kind::Table(entries) = &self.value.kind else { return self.deserialize_any(visitor) };
        let known = self.known(entries, fields);
        visitor.visit_map(Entries { entries: known.into_iter(), next: None, reader: &self })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (name, reader) = self.variant(name, variants)?;
        visitor.visit_enum(Variant { name, reader })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// Start, end and value of a `Field`. A value that cannot be read is reported and left out.
struct FieldParts<'de, 'p> {
    reader: Reader<'de, 'p>,
    part: u8,
}

impl<'de> SeqAccess<'de> for FieldParts<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let span = &self.reader.value.span;
        self.part += 1;
        match self.part {
            1 => seed.deserialize(span.start.into_deserializer()).map(Some),
            2 => seed.deserialize(span.end.into_deserializer()).map(Some),
            _ => match seed.deserialize(self.reader.clone()) {
                Ok(value) => Ok(Some(value)),
                Err(error) => {
                    self.reader.report(error);
                    Ok(None)
                }
            },
        }
    }
}

struct Items<'de, 'r, 'p> {
    items: std::slice::Iter<'de, Value>,
    index: usize,
    reader: &'r Reader<'de, 'p>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let reader = self.reader.child(item, &format!("[{}]", self.index));
        self.index += 1;
        seed.deserialize(reader).map(Some)
    }
}

struct Entries<'de, 'r, 'p> {
    entries: std::vec::IntoIter<&'de Entry>,
    next: Option<&'de Entry>,
    reader: &'r Reader<'de, 'p>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.next = self.entries.next();
        let Some(entry) = self.next else { return Ok(None) };
        seed.deserialize(Key(entry)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self.next.take().ok_or_else(|| Error::custom("value without a key"))?;
        seed.deserialize(self.reader.child(&entry.value, &quoted(&entry.key)))
    }
}

/// A key: a string, or a `Field` of one.
struct Key<'de>(&'de Entry);

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(&self.0.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == FIELD {
            return visitor.visit_seq(KeyParts { entry: self.0, part: 0 });
        }
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct KeyParts<'de> {
    entry: &'de Entry,
    part: u8,
}

impl<'de> SeqAccess<'de> for KeyParts<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.part += 1;
        match self.part {
            1 => seed.deserialize(self.entry.key_span.start.into_deserializer()).map(Some),
            2 => seed.deserialize(self.entry.key_span.end.into_deserializer()).map(Some),
            _ => seed.deserialize(StrDeserializer::new(&self.entry.key)).map(Some),
        }
    }
}

struct Variant<'de, 'p> {
    name: &'static str,
    reader: Reader<'de, 'p>,
}

impl<'de, 'p> EnumAccess<'de> for Variant<'de, 'p> {
    type Error = Error;
    type Variant = Reader<'de, 'p>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Error> {
        let name = seed.deserialize(StrDeserializer::<Error>::new(self.name))?;
        Ok((name, self.reader))
    }
}

impl<'de> VariantAccess<'de> for Reader<'de, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_struct("", fields, visitor)
    }
}
