//! `docs/pipeline-reference.md`, written from the doc comments of the wire types.

use std::fmt::Write as _;

use serde_json::Value;

use super::schema::{definition, json_schema};

const INTRODUCTION: &str = "\
# Pipeline file reference

Made from the source by `cargo xtask bless`; do not edit.

A pipeline file is TOML. Nodes are tables `[kind.name]`; `input` and `inputs` refer to nodes by
name, and a node's name also names its state. Unknown keys are errors. `millstream check FILE`
reports every problem at once; `millstream schema` prints this page as a JSON Schema for editors.

* **Names** are made of letters, digits, `_` and `-`, and are unique across all kinds.
* **Durations** are text with units that add up: `\"100ms\"`, `\"5 minutes\"`, `\"1h 30m\"`, `\"2 days\"`.
  Units: us, ms, s, m, h, d, w and their names.
* **Sizes** are text with a unit: `\"64 MiB\"` (1024²), `\"16 MB\"` (1000²).
* **Times** are text as in RFC 3339, `\"2025-01-01T00:00:00Z\"`; without a zone they are UTC.
* **SQL** is an expression over the columns of the input. A column whose name is not in lower case
  or has blanks is written in double quotes: `'\"Response Time\" > 5'`.
* **Tables of SQL** keep the order of the file. Column names with blanks are quoted keys:
  `aggregate = { \"p95 ms\" = \"approx_percentile_cont(ms, 0.95)\" }`.
* **Paths**, those of outputs too, are relative to the folder of the pipeline file.
* **`--set KEY=VALUE`** changes any key from the command line, as in
  `--set sources.logs.path=/tmp/app.log --set 'engine.workers=2'`. The value is TOML; what is not
  TOML is text. A relative path given so is relative to the current folder.
";

/// A part of the page: its heading, the definition it shows, and the variant by `type`.
const SECTIONS: &[(&str, &str, Option<&str>)] = &[
    ("## Top level", "", None),
    ("## `[engine]`", "Engine", None),
    ("## `[plugins]`", "Plugins", None),
    ("## `[dead_letters]`", "DeadLetters", None),
    ("## `[admin]`", "Admin", None),
    ("## `[sources.<name>]`", "Source", None),
    ("### `type = \"kafka\"`", "Source", Some("kafka")),
    ("### `start_offset` as a table", "StartPlace", None),
    ("### `security`", "Security", None),
    ("### `password`", "Secret", None),
    ("### `type = \"file\"`", "Source", Some("file")),
    ("### `type = \"directory\"`", "Source", Some("directory")),
    ("### `type = \"stdin\"`", "Source", Some("stdin")),
    ("### `type = \"rate\"`", "Source", Some("rate")),
    ("### `type = \"generator\"`", "Source", Some("generator")),
    ("### `watermark`", "Watermark", None),
    ("## `[parsers.<name>]`", "Parser", None),
    ("### `plugin` as a table", "PluginTable", None),
    ("### `limits`", "Limits", None),
    ("## `[transforms.<name>]`", "Transform", None),
    ("## `[streams.<name>]`", "Stream", None),
    ("## `[windows.<name>]`", "Window", None),
    ("### `sliding`", "Sliding", None),
    ("### `session`", "Session", None),
    ("## `[rules.<name>]`", "Rule", None),
    ("## `[sinks.<name>]`", "Sink", None),
    ("### `type = \"kafka\"`", "Sink", Some("kafka")),
    ("### `type = \"console\"`", "Sink", Some("console")),
    ("### `type = \"file\"`", "Sink", Some("file")),
    ("### `type = \"discard\"`", "Sink", Some("discard")),
    ("### `roll`", "Roll", None),
    ("## `[[tests]]`", "Test", None),
    ("### `[[tests.steps]]`", "TestStep", None),
];

const TEST_EXAMPLE: &str = "
```toml
[[tests]]
name = \"one error in two requests\"

[[tests.steps]]
source = \"logs\"
records = [
    { timestamp = \"2025-01-01T00:00:10Z\", service = \"auth\", status_code = 200 },
    { timestamp = \"2025-01-01T00:00:20Z\", service = \"auth\", status_code = 500 },
    \"not json\",
]

[[tests.steps]]
source = \"logs\"
watermark = \"2025-01-01T00:01:00Z\"

[tests.expect]
error_rate = [{ service = \"auth\", total = 2, errors = 1 }]
\"error_rate.late\" = []
\"events.rejects\" = [{ record = \"not json\" }]
```
";

/// Returns the reference of the pipeline file as Markdown.
pub fn reference_markdown() -> String {
    let schema = json_schema();
    let mut page = String::from(INTRODUCTION);
    for (heading, name, variant) in SECTIONS {
        let Some(table) = find(&schema, name, *variant) else { continue };
        let (meaning, _) = description(table);
        // Writing to a String cannot fail.
        let _ = write!(page, "\n{heading}\n\n{meaning}\n");
        page.push_str(&table_of_keys(&schema, table));
        if *name == "Test" {
            page.push_str(TEST_EXAMPLE);
        }
    }
    page
}

fn find<'a>(schema: &'a Value, name: &str, variant: Option<&str>) -> Option<&'a Value> {
    if name.is_empty() {
        return Some(schema);
    }
    let table = definition(schema, &format!("#/$defs/{name}"))?;
    let Some(variant) = variant else { return Some(table) };
    let variants = table.get("oneOf")?.as_array()?;
    let tag = |value: &Value| value.pointer("/properties/type/const").cloned();
    variants.iter().find(|one| tag(one).as_ref().and_then(Value::as_str) == Some(variant))
}

fn table_of_keys(schema: &Value, table: &Value) -> String {
    let Some(properties) = table.get("properties").and_then(Value::as_object) else {
        return String::new();
    };
    let required: Vec<&str> = table
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut out = String::from(
        "\n| key | type | default | meaning | example |\n| --- | --- | --- | --- | --- |\n",
    );
    for (key, property) in properties {
        if key == "type" {
            continue;
        }
        let (meaning, example) = description(property);
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "required".to_string(),
            Some(value) => format!("`{value}`"),
            None => String::new(),
        };
        let example = example.map(|text| format!("`{text}`")).unwrap_or_default();
        let cells = [format!("`{key}`"), type_name(schema, property), default, meaning, example];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out
}

/// Splits a doc comment into its meaning and the TOML of its last paragraph.
fn description(value: &Value) -> (String, Option<String>) {
    let text = value.get("description").and_then(Value::as_str).unwrap_or_default();
    let (meaning, example) = match text.rsplit_once("\n\n") {
        Some((meaning, last)) if last.starts_with('`') && last.ends_with('`') => {
            (meaning, Some(last.trim_matches('`').to_string()))
        }
        _ => (text, None),
    };
    (meaning.replace("\n\n", " ").replace('\n', " "), example)
}

fn type_name(schema: &Value, value: &Value) -> String {
    if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
        return definition(schema, reference).map_or_else(String::new, |to| type_name(schema, to));
    }
    if let Some(names) = constants(value) {
        return names.join(" or ");
    }
    if let Some(choices) = value.get("anyOf").and_then(Value::as_array) {
        let names: Vec<String> = choices.iter().map(|one| type_name(schema, one)).collect();
        return names.join(" or ");
    }
    match value.get("format").and_then(Value::as_str) {
        Some("millstream-duration") => return "duration".into(),
        Some("millstream-size") => return "size".into(),
        Some("millstream-sql") => return "SQL".into(),
        _ => {}
    }
    match value.get("type").and_then(Value::as_str) {
        Some("integer") => range(value),
        Some("array") => {
            let item = value.get("items").map(|item| type_name(schema, item));
            format!("array of {}", item.unwrap_or_else(|| "any".into()))
        }
        Some("object") => match value.get("additionalProperties") {
            Some(Value::Bool(true)) => "table".into(),
            Some(inner @ Value::Object(_)) => format!("table of {}", type_name(schema, inner)),
            _ => "table".into(),
        },
        Some("boolean") => "boolean".into(),
        Some(other) => other.to_string(),
        None if value.get("oneOf").is_some() => "table".into(),
        None => "any".into(),
    }
}

/// Returns the values of an enum, quoted as in TOML.
fn constants(value: &Value) -> Option<Vec<String>> {
    if let Some(names) = value.get("enum").and_then(Value::as_array) {
        return Some(names.iter().map(|name| format!("`{name}`")).collect());
    }
    let choices = value.get("oneOf")?.as_array()?;
    choices.iter().map(|one| Some(format!("`{}`", one.get("const")?))).collect()
}

fn range(value: &Value) -> String {
    let bound = |key: &str| value.get(key).and_then(Value::as_i64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!("integer, {least} to {most}"),
        (Some(least), None) => format!("integer, at least {least}"),
        _ => "integer".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_reference_page_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pipeline-reference.md");
        let page = super::reference_markdown();
        if std::env::var_os("MILLSTREAM_BLESS").is_some() {
            fs::write(&path, &page).expect("a writable folder");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == page,
            "docs/pipeline-reference.md is out of date; run with MILLSTREAM_BLESS=1"
        );
    }
}
