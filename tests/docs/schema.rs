//! The JSON Schema of the configuration, out of its types.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use realtime_byok::config::raw::Raw;

/// The schema, in the draft that editors know best.
pub fn schema() -> Value {
    let root = SchemaSettings::draft07().into_generator().into_root_schema_for::<Raw>();
    let mut schema = root.to_value();
    tidy(&mut schema);
    schema["title"] = json!("realtime-byok");
    schema
}

/// Takes out what serde does not take here, `null` for a setting that is not given, and what only Rust knows.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(tidy),
        Value::Object(schema) => {
            refuse_null(schema);
            schema.retain(|name, value| match name.as_str() {
                "default" => !value.is_null(),
                "format" => value == "date-time",
                _ => true,
            });
            if let Some(Value::String(description)) = schema.get_mut("description") {
                *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            schema.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

fn refuse_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [kind] = types.as_slice() {
            schema["type"] = kind.clone();
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let alternatives = schema.get("anyOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let (nulls, others): (Vec<_>, Vec<_>) = alternatives.into_iter().partition(|one| one["type"] == "null");
    if !nulls.is_empty() {
        schema.remove("anyOf");
        // Draft 7 ignores what stands beside a `$ref`, hence a list.
        schema.insert(if others.len() == 1 { "allOf" } else { "anyOf" }.into(), others.into());
    }
}

#[test]
fn no_setting_can_be_null() {
    assert!(!schema().to_string().contains("null"));
}
