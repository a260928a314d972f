//! The parser `lines`: each record whole, as one column of text.

use millstream_sdk::prelude::*;

const INVALID_UTF8: Reject = Reject(0);

/// The `config` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The name of the column; `line` unless said.
    column: Option<String>,
    /// What becomes of a record that is not UTF-8.
    invalid_utf8: InvalidUtf8,
    /// Removes white space at both ends.
    trim: bool,
    /// Leaves out records without a character.
    skip_empty: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum InvalidUtf8 {
    #[default]
    Reject,
    Replace,
}

/// The parser.
#[derive(Debug)]
pub struct Lines {
    config: Config,
}

impl Parser for Lines {
    const NAME: &'static str = "lines";
    const SUMMARY: &'static str = "each record whole, as one column of text";
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const REJECTS: &'static [RejectCode] = &[RejectCode::new(
        "invalid_utf8",
        "the record is not UTF-8 (and `invalid_utf8` is `reject`)",
    )];
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Fault> {
        if config.column.as_deref() == Some("") {
            return Err(Fault::Config("`column` is empty".into()));
        }
        Ok(Self { config })
    }

    fn schema(&self) -> Schema {
        let name = self.config.column.as_deref().unwrap_or("line");
        vec![Field::text(name).required()]
    }

    fn parse(&self, record: &[u8], row: &mut RowBuilder<'_>) -> Result<(), Reject> {
        let lossy;
        let text = match core::str::from_utf8(record) {
            Ok(text) => text,
            Err(_) => match self.config.invalid_utf8 {
                InvalidUtf8::Reject => return Err(INVALID_UTF8),
                InvalidUtf8::Replace => {
                    lossy = String::from_utf8_lossy(record);
                    &lossy
                }
            },
        };
        let text = if self.config.trim { text.trim() } else { text };
        if self.config.skip_empty && text.is_empty() {
            row.skip();
        } else {
            row.set(0, text);
        }
        Ok(())
    }

    fn samples() -> Vec<Sample> {
        vec![
            Sample::new("a line", "{}", " a b ", r#"[{"line": " a b "}]"#),
            Sample::new(
                "trimmed, in a column of another name",
                r#"{"column": "text", "trim": true}"#,
                " a b ",
                r#"[{"text": "a b"}]"#,
            ),
            Sample::new("not UTF-8", "{}", b"a\xff".to_vec(), r#"{"reject": "invalid_utf8"}"#),
            Sample::new(
                "not UTF-8, replaced",
                r#"{"invalid_utf8": "replace"}"#,
                b"a\xff".to_vec(),
                "[{\"line\": \"a\u{fffd}\"}]",
            ),
        ]
    }
}

millstream_sdk::export_parser!(Lines);

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::testing::{check_parser, parse};

    #[test]
    fn samples() {
        check_parser::<Lines>();
    }

    #[test]
    fn empty_lines_are_skipped_and_others_keep_their_number() {
        let config = r#"{"skip_empty": true, "trim": true}"#;
        let parsed = parse::<Lines>(config, &[b"a", b"", b"\xff", b" ", b"b"]).expect("parses");
        assert_eq!(parsed.source, [0, 4]);
        assert_eq!(parsed.rejects, [(2, "invalid_utf8")]);
    }

    #[test]
    fn unknown_options_are_refused() {
        let fault = parse::<Lines>(r#"{"colum": "x"}"#, &[]).expect_err("refused");
        let Fault::Config(message) = fault else { panic!("{fault:?}") };
        assert!(message.contains("unknown field `colum`"), "{message}");
    }
}
