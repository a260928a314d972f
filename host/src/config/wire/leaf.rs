//! The values that tables are made of, each with its place.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::config::de::FIELD;
use crate::config::units;

/// A key that may be left out. What is there may still be unreadable: see `Field`.
pub(in crate::config) type Key<T> = Option<Field<T>>;

/// A value with its place. No value: it could not be read, and that has been reported.
#[derive(Clone, Debug)]
pub(in crate::config) struct Field<T> {
    pub span: Range<usize>,
    pub value: Option<T>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = Field<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its place")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Field<T>, A::Error> {
                let start = parts.next_element()?.unwrap_or_default();
                let end = parts.next_element()?.unwrap_or_default();
                Ok(Field { span: start..end, value: parts.next_element()? })
            }
        }
        deserializer.deserialize_newtype_struct(FIELD, Parts(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A table with keys of the user's choice, in file order.
#[derive(Clone, Debug)]
pub(in crate::config) struct Entries<T>(pub Vec<(Name, Field<T>)>);

/// A key of the user's choice and its place.
#[derive(Clone, Debug)]
pub(in crate::config) struct Name {
    pub text: String,
    pub span: Range<usize>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Field<String>>()? {
                    let name = Name { text: key.value.unwrap_or_default(), span: key.span };
                    entries.push((name, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Entries_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}

/// Microseconds, written as text with units.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Duration(pub i64);

/// Bytes, written as text with a unit.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Size(pub u64);

/// An SQL expression; what it means is judged by the plan.
#[derive(Clone, Debug)]
pub(in crate::config) struct Sql(pub String);

/// Any value, as JSON. Dates become text.
#[derive(Clone, Debug)]
pub(in crate::config) struct Json(pub serde_json::Value);

/// Reads a text through a function that may refuse it.
struct Text<T> {
    expecting: &'static str,
    /// What to write in place of a number.
    instead: &'static str,
    read: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        let help = self.instead.replace("{}", &number.max(1).to_string());
        Err(E::custom(format!("expected {}, found the integer {number}\n{help}", self.expecting)))
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<T, E> {
        Err(E::custom(format!(
            "expected {}, found the boolean {flag}\nwrite a string, with quotes",
            self.expecting
        )))
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expecting: "a duration",
            instead: "write \"{} seconds\" or \"{}ms\", with quotes and a unit",
            read: |text| match units::parse_duration_us(text) {
                Ok(us) => Ok(Self(us)),
                Err(error) => Err(format!("{error}\n{}", error.help())),
            },
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expecting: "a size",
            instead: "write \"{} MiB\" or \"{} B\", with quotes and a unit",
            read: |text| match units::parse_size(text) {
                Ok(bytes) => Ok(Self(bytes)),
                Err(error) => Err(format!("{error}\n{}", error.help())),
            },
        })
    }
}

impl<'de> Deserialize<'de> for Sql {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expecting: "an SQL expression as a string",
            instead: "write \"{}\", with quotes",
            read: |text| {
                if text.trim().is_empty() {
                    Err("expected an SQL expression, found an empty string".into())
                } else {
                    Ok(Self(text.to_string()))
                }
            },
        })
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(D::Error::custom(error)),
        }
    }
}

macro_rules! text_schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

// `duration` alone would be ISO 8601 to a validator.
text_schema!(Duration, "Duration", {
    "type": "string",
    "format": "millstream-duration",
    "pattern": r"^\s*([0-9][0-9_]*(\.[0-9]+)?\s*[a-zµ]+\s*)+$",
});
text_schema!(Size, "Size", {
    "type": "string",
    "format": "millstream-size",
    "pattern": r"^\s*([0-9][0-9_]*(\.[0-9]+)?\s*([kKmMgGtT][iI]?)?([bB]|bytes?)\s*)+$",
});
text_schema!(Sql, "Sql", { "type": "string", "format": "millstream-sql" });
text_schema!(Json, "Json", true);
