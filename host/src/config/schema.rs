//! The JSON Schema of the pipeline file, for editors.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::wire;

/// Returns the JSON Schema (draft 2020-12) of a pipeline file.
pub fn json_schema() -> Value {
    let generator: SchemaGenerator = SchemaSettings::draft2020_12().for_deserialize().into();
    let mut schema = generator.into_root_schema_for::<wire::Pipeline>().to_value();
    without_null(&mut schema);
    for tagged in ["Source", "Sink"] {
        inline_variants(&mut schema, tagged);
    }
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), json!("Millstream pipeline file"));
    }
    schema
}

/// Returns the definition that a `$ref` names.
pub(super) fn definition<'a>(schema: &'a Value, reference: &str) -> Option<&'a Value> {
    schema.pointer(reference.strip_prefix('#')?)
}

/// Removes `null` from all types: a key of TOML is there or not.
fn without_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type") != Some(&json!("null")));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    for (key, value) in only {
                        object.entry(key).or_insert(value);
                    }
                }
            }
            object.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// Puts the tables a tagged kind refers to in place of the references. Each of them refuses
/// unknown keys, so `type` must be among its own.
fn inline_variants(schema: &mut Value, kind: &str) {
    let Some(definitions) = schema.get("$defs").and_then(Value::as_object).cloned() else { return };
    let pointer = format!("/$defs/{kind}/oneOf");
    let Some(Value::Array(variants)) = schema.pointer_mut(&pointer) else { return };
    let mut used = Vec::new();
    for variant in variants {
        let name =
            variant.get("$ref").and_then(Value::as_str).and_then(|text| text.rsplit('/').next());
        let Some(name) = name.map(str::to_string) else { continue };
        let Some(Value::Object(table)) = definitions.get(&name) else { continue };
        *variant = Value::Object(merged(variant, table));
        used.push(name);
    }
    if let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        for name in used {
            definitions.shift_remove(&name);
        }
    }
}

/// Returns the table's schema with the variant's `type` in front.
fn merged(variant: &Value, table: &Map<String, Value>) -> Map<String, Value> {
    let mut whole = table.clone();
    let tag = variant.pointer("/properties/type").cloned().unwrap_or(Value::Null);
    let mut properties = Map::new();
    properties.insert("type".into(), tag);
    if let Some(Value::Object(own)) = table.get("properties") {
        properties.extend(own.clone());
    }
    whole.insert("properties".into(), Value::Object(properties));
    let mut required = vec![json!("type")];
    if let Some(Value::Array(own)) = table.get("required") {
        required.extend(own.iter().cloned());
    }
    whole.insert("required".into(), Value::Array(required));
    whole
}
