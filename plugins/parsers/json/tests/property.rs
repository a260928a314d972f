//! The scanner against a complete JSON parser, on generated and on damaged documents.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "in a test a missing value is a failure"
)]

use millstream_parser_json::Json;
use millstream_sdk::parser::ParserHost;
use millstream_sdk::testing::{Parsed, parse_with};
use proptest::prelude::*;
use serde_json::{Value, json};

const CONFIG: &str = r#"{"columns": {"a": "text", "b": "int64", "c": "float64", "d": "boolean",
    "e": {"type": "json", "path": "n.a"}, "f": {"type": "text", "path": "n.b.a"}},
    "on_type_error": "null"}"#;

fn host() -> ParserHost<Json> {
    ParserHost::configure(CONFIG).expect("configures")
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[abcdn]", 1 => ".{0,20}", 1 => "[a-z\"\\\\\n]{0,40}"]
}

/// The reference reads some doubles as their neighbours; those are left out.
fn read_back(value: f64) -> Option<Value> {
    let text = Value::from(value).to_string();
    (serde_json::from_str::<f64>(&text).ok()? == value).then(|| Value::from(value))
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e15..1e15).prop_filter_map("read back", read_back),
        any::<f64>().prop_filter_map("read back", read_back),
        ".{0,40}".prop_map(Value::from),
        "[a-z\"\\\\\n\u{e9}]{0,70}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    prop::collection::vec((key(), value), 0..8)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

/// What the row must be, from the whole document.
fn expected(document: &Value) -> Value {
    let float = |v: &Value| v.as_f64().filter(|_| v.is_number());
    let int = |v: &Value| {
        v.as_i64().or_else(|| {
            let f = float(v)?;
            (f.fract() == 0.0 && f.abs() < 9e15).then_some(f as i64)
        })
    };
    let text = |v: &Value| v.as_str().map(str::to_owned);
    json!({
        "a": document.get("a").and_then(text),
        "b": document.get("b").and_then(int),
        "c": document.get("c").and_then(float),
        "d": document.get("d").and_then(Value::as_bool),
        "f": document.pointer("/n/b/a").and_then(text),
    })
}

/// Compares a row with what it must be; the JSON column by meaning, not by spacing.
fn same(row: &Value, document: &Value) -> Result<(), TestCaseError> {
    let mut row = row.clone();
    let nested = row.as_object_mut().expect("a row").remove("e").expect("a column");
    let mut wanted = expected(document);
    // Doubles that are whole numbers beyond 2^53 may or may not fit an integer; not compared.
    if document.get("b").is_some_and(Value::is_f64) {
        row["b"] = wanted["b"].clone();
    }
    for name in ["c"] {
        if let (Some(a), Some(b)) = (row[name].as_f64(), wanted[name].as_f64()) {
            prop_assert!((a - b).abs() <= b.abs() * 1e-15, "{} {}", a, b);
            row[name] = Value::Null;
            wanted[name] = Value::Null;
        }
    }
    prop_assert_eq!(row, wanted);
    let nested: Value = match nested.as_str() {
        Some(text) => serde_json::from_str(text).expect("JSON"),
        None => Value::Null,
    };
    let wanted = document.pointer("/n/a").cloned().unwrap_or_default();
    prop_assert_eq!(nested, wanted);
    Ok(())
}

fn written(document: &Value, pretty: bool) -> String {
    if pretty {
        serde_json::to_string_pretty(document).expect("JSON")
    } else {
        document.to_string()
    }
}

/// Escapes every character of strings that can be, to take the slow paths.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// Keys of a record, each with the kind of its values; 10 and 11 stand for objects below.
fn shape() -> impl Strategy<Value = Vec<(String, u8)>> {
    let key =
        prop_oneof![4 => "[a-i]", 2 => "[jkl]", 1 => Just("a key longer than a block".into())];
    prop::collection::vec((key, 0_u8..12), 0..9)
}

/// A damage: where, with which byte, how.
fn damage() -> impl Strategy<Value = (prop::sample::Index, u8, u8)> {
    let byte = prop_oneof![prop::sample::select(b"\"\\{}[],:0-.e \t\n".to_vec()), any::<u8>()];
    (any::<prop::sample::Index>(), byte, 0_u8..3)
}

/// A record of a shape, with values made from `seeds`.
fn filled(shape: &[(String, u8)], seeds: [u32; 4], spaced: bool) -> String {
    let (comma, colon) = if spaced { (", ", ": ") } else { (",", ":") };
    let mut out = String::from("{");
    for (index, (key, kind)) in shape.iter().enumerate() {
        let seed = seeds[index % 4].rotate_left(u32::try_from(index).expect("few") * 5);
        let length = (seed % 40) as usize;
        let value = match kind {
            0 => format!("\"{}\"", &"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrs"[..length]),
            1 => format!("\"é{}\\n\"", "x".repeat(length)),
            2 => seed.to_string(),
            3 => format!("-{}.{:03}", seed % 100_000, seed % 1000),
            4 => format!("{}{seed}", 1_700_000_000_u64),
            5 => format!("{}.5e{}", seed % 10, seed % 20),
            6 => ["true", "false", "null"][length % 3].into(),
            7 => "[1, {\"a\": \"]\"}]".into(),
            8 => "\"2025-09-12T12:00:00Z\"".into(),
            9 => "\" padded \"".into(),
            10 => format!("{{\"a\"{colon}\"{seed}\"{comma}\"b\"{colon}{{\"a\"{colon}{length}}}}}"),
            _ => format!("{{\"b\"{colon}{{\"x\"{colon}{length}}}{comma}\"a\"{colon}null}}"),
        };
        let key = if *kind >= 10 { "n" } else { key.as_str() };
        if index > 0 {
            out.push_str(comma);
        }
        out.push_str(&format!("\"{key}\"{colon}{value}"));
    }
    out.push('}');
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents(document in document(), pretty: bool, escape: bool) {
        let mut text = written(&document, pretty);
        if escape {
            text = escaped(&text);
        }
        let parsed = parse_with(&host(), &[text.as_bytes()]).expect("parses");
        prop_assert_eq!(&parsed.rejects, &[]);
        same(&parsed.rows[0], &document)?;
    }

    /// Cut short, a byte replaced, or a byte put in: the same records are refused.
    #[test]
    fn damaged(document in document(), at: prop::sample::Index, byte in prop_oneof![
        Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b','),
        Just(b':'), Just(b'0'), Just(b'-'), Just(b'.'), Just(b'e'), Just(b' '), Just(b'u'), any::<u8>()
    ], how in 0..3) {
        let mut bytes = written(&document, false).into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes.truncate(at),
            1 => bytes[at] = byte,
            _ => bytes.insert(at, byte),
        }
        let reference = serde_json::from_slice::<Value>(&bytes);
        // The reference refuses numbers beyond the range of doubles; we do where one is wanted.
        prop_assume!(!reference.as_ref().is_err_and(|e| e.to_string().contains("out of range")));
        let parsed = parse_with(&host(), &[&bytes]).expect("parses");
        match reference {
            Ok(document) if document.is_object() => {
                prop_assert_eq!(&parsed.rejects, &[]);
                same(&parsed.rows[0], &document)?;
            }
            Ok(_) => prop_assert_eq!(&parsed.rejects, &[(0, "not_an_object")]),
            Err(_) => prop_assert_eq!(&parsed.rejects, &[(0, "invalid_json")]),
        }
    }

    /// Records of one shape or a few, as streams have them, with a damaged one here and there: each
    /// is what it would be alone, where nothing is learned yet.
    #[test]
    fn streams(
        shapes in prop::collection::vec((shape(), any::<bool>()), 1..4),
        rows in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<[u32; 4]>(), prop::option::weighted(0.2, damage())),
            1..40,
        ),
    ) {
        let texts: Vec<Vec<u8>> = rows.iter().map(|(which, seeds, damage)| {
            let (shape, spaced) = which.get(&shapes);
            let mut text = filled(shape, *seeds, *spaced).into_bytes();
            if let Some((at, byte, how)) = damage {
                let at = at.index(text.len());
                match how {
                    0 => text.truncate(at),
                    1 => text[at] = *byte,
                    _ => text.insert(at, *byte),
                }
            }
            text
        }).collect();
        let records: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let config = r#"{"columns": {"a": "text", "b": "int64", "c": "float64", "d": "boolean",
            "e": {"type": "text", "path": "n.a"}, "f": {"type": "int64", "path": "n.b.a"},
            "g": "epoch_ms", "h": {"type": "text", "trim": true}, "i": {"type": "timestamp"}}}"#;
        let host = ParserHost::<Json>::configure(config).expect("configures");
        let batch = parse_with(&host, &records).expect("parses");
        let again = parse_with(&host, &records).expect("parses");
        let mut singles = Parsed { rows: vec![], source: vec![], rejects: vec![] };
        for (record, index) in records.iter().zip(0..) {
            let alone = ParserHost::<Json>::configure(config).expect("configures");
            let single = parse_with(&alone, &[record]).expect("parses");
            let refused = single.rejects.iter()
                .any(|(_, code)| matches!(*code, "invalid_json" | "not_an_object"));
            match serde_json::from_slice::<Value>(record) {
                // The reference refuses numbers beyond the range of doubles; we do where one is
                // wanted.
                Err(error) if error.to_string().contains("out of range") => {}
                other => prop_assert_eq!(other.is_ok_and(|v| v.is_object()), !refused),
            }
            singles.rows.extend(single.rows);
            singles.source.extend(single.source.iter().map(|_| index));
            singles.rejects.extend(single.rejects.iter().map(|(_, code)| (index, *code)));
        }
        prop_assert_eq!(&batch, &singles);
        prop_assert_eq!(&again, &singles);
    }

    /// A batch is its records one by one, whatever was learned before.
    #[test]
    fn batches(documents in prop::collection::vec((document(), any::<prop::sample::Index>()), 0..20)) {
        let texts: Vec<Vec<u8>> = documents.iter().map(|(document, cut)| {
            let mut text = written(document, false).into_bytes();
            let at = cut.index(text.len() * 3);
            text.truncate(at);
            text
        }).collect();
        let records: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let batch = parse_with(&host(), &records).expect("parses");
        let mut singles = Parsed { rows: vec![], source: vec![], rejects: vec![] };
        for (record, index) in records.iter().zip(0..) {
            let single = parse_with(&host(), &[record]).expect("parses");
            singles.rows.extend(single.rows);
            singles.source.extend(single.source.iter().map(|_| index));
            singles.rejects.extend(single.rejects.iter().map(|(_, code)| (index, *code)));
        }
        prop_assert_eq!(batch, singles);
    }
}
