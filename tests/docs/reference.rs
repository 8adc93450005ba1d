//! The configuration reference, out of the JSON Schema.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::repository;

const INTRODUCTION: &str = "\
<!-- Made from src/config/raw.rs: make generate -->

# Configuration reference

The filter's configuration is one map: JSON in a `google.protobuf.StringValue`, or YAML in a `google.protobuf.Struct`
(Istio: `pluginConfig`). A setting that is not listed here is an error, and so is `null`. All errors are reported at
once, each with its path, and a configuration that has any is not loaded.

*Refused by this version* means that the setting is read and checked, and then refused, because it is not in force yet:
it is never accepted and ignored.

[`config.schema.json`](config.schema.json) says the same to editors. The YAML language server checks a file against it
whose first line is

```text
# yaml-language-server: $schema=docs/config.schema.json
```
";

/// The reference of a schema, as Markdown.
pub fn reference(schema: &Value) -> String {
    let files = ["raw.rs", "raw/identity.rs", "raw/policy.rs", "raw/session_fields.rs"];
    let source = files.map(|file| repository::text(&format!("src/config/{file}"))).concat();
    let reference = Reference { definitions: &schema["definitions"], source };
    let mut page = INTRODUCTION.to_owned();
    reference.section(&mut page, ("Raw", "Top level"), schema, &[]);
    for (name, locations) in reference.by_first_mention(schema) {
        reference.section(&mut page, (&name, &heading(&name)), &reference.definitions[&name], &locations);
    }
    page
}

struct Reference<'a> {
    definitions: &'a Value,
    source: String,
}

impl Reference<'_> {
    /// Every definition with the places that it stands at, in the order in which a reader meets them.
    fn by_first_mention(&self, schema: &Value) -> Vec<(String, Vec<String>)> {
        let mut found: Vec<(String, Vec<String>)> = Vec::new();
        let mut todo = vec![("Raw".to_owned(), String::new(), schema)];
        while let Some((owner, location, schema)) = todo.pop() {
            let mut below = Vec::new();
            for (name, property) in self.properties(&owner, schema) {
                mentions(property, &join(&location, name), &mut below);
            }
            mentions(&schema["anyOf"], &location, &mut below);
            for (name, location) in below.into_iter().rev() {
                todo.push((name.clone(), location, &self.definitions[&name]));
            }
            match found.iter_mut().find(|(name, _)| *name == owner) {
                Some((_, locations)) => locations.push(location),
                None => found.push((owner, vec![location])),
            }
        }
        found.split_off(1)
    }

    /// The properties in the order of their fields in the source.
    fn properties<'s>(&self, owner: &str, schema: &'s Value) -> Vec<(&'s String, &'s Value)> {
        let declaration = self.source.find(&format!("pub struct {owner} {{"));
        let fields = declaration.map_or("", |start| &self.source[start..]);
        let mut properties: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
        properties.sort_by_key(|(name, _)| fields.find(&format!("    pub {name}:")));
        properties
    }

    /// A definition by this name in the source, under this heading.
    fn section(&self, page: &mut String, (owner, heading): (&str, &str), schema: &Value, locations: &[String]) {
        write!(page, "\n## {heading}\n\n").unwrap();
        if let Some(description) = schema["description"].as_str() {
            write!(page, "{description}\n\n").unwrap();
        }
        if !locations.is_empty() {
            let locations: Vec<_> = locations.iter().map(|location| format!("`{location}`")).collect();
            write!(page, "At {}.\n\n", locations.join(", ")).unwrap();
        }
        self.table(page, owner, schema);
        page.truncate(page.trim_end().len());
        page.push('\n');
    }

    fn table(&self, page: &mut String, owner: &str, schema: &Value) {
        let properties = self.properties(owner, schema);
        if !properties.is_empty() {
            page.push_str("| setting | type | default | meaning |\n|---|---|---|---|\n");
        }
        for (name, property) in properties {
            let is_required = schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
            let default = match &property["default"] {
                _ if is_required => "required".to_owned(),
                Value::Null => String::new(),
                default => format!("`{default}`"),
            };
            let meaning = property["description"].as_str().unwrap_or_default();
            writeln!(page, "| `{name}` | {} | {default} | {meaning} |", kind(property)).unwrap();
        }
        if let Some(variants) = schema["oneOf"].as_array().filter(|variants| !variants[0]["const"].is_null()) {
            page.push_str("| value | meaning |\n|---|---|\n");
            for variant in variants {
                let (value, meaning) = (variant["const"].as_str().unwrap(), variant["description"].as_str().unwrap());
                writeln!(page, "| `{value}` | {meaning} |").unwrap();
            }
        }
        // A choice among its own settings is in its words.
        if !schema["anyOf"].is_null() && schema["properties"].is_null() {
            writeln!(page, "Type: {}.", kind(schema)).unwrap();
        }
    }
}

/// Adds the definitions that a schema refers to, with their places.
fn mentions(schema: &Value, location: &str, found: &mut Vec<(String, String)>) {
    match schema {
        Value::Array(schemas) => schemas.iter().for_each(|schema| mentions(schema, location, found)),
        Value::Object(fields) => {
            if let Some(name) = definition(schema) {
                found.push((name.to_owned(), location.to_owned()));
            }
            for (field, schema) in fields {
                match field.as_str() {
                    "items" => mentions(schema, &format!("{location}[]"), found),
                    "additionalProperties" => mentions(schema, &join(location, "<name>"), found),
                    "allOf" | "anyOf" => mentions(schema, location, found),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn definition(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/definitions/"))
}

fn join(location: &str, name: &str) -> String {
    if location.is_empty() { name.to_owned() } else { format!("{location}.{name}") }
}

/// The type of a setting, in words.
fn kind(schema: &Value) -> String {
    if let Some(name) = definition(schema) {
        return format!("[{}](#{})", heading(name).to_lowercase(), heading(name).to_lowercase().replace(' ', "-"));
    }
    if let Some(alternatives) = schema["anyOf"].as_array().or_else(|| schema["allOf"].as_array()) {
        return alternatives.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or ");
    }
    match schema["type"].as_str() {
        Some("string") => "text".into(),
        Some("boolean") => "`true` or `false`".into(),
        Some("number") => "number".into(),
        Some("integer") => format!("whole number from {}", schema["minimum"]),
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") if schema["additionalProperties"].is_null() => "map".into(),
        Some("object") => format!("map of names to {}", kind(&schema["additionalProperties"])),
        None if !schema["const"].is_null() => format!("`{}`", schema["const"]),
        _ => panic!("the reference has no words for the type of {schema}"),
    }
}

/// `SecretSource` as words.
fn heading(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
            words.extend(letter.to_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}

#[test]
fn every_definition_and_every_setting_has_its_path_and_its_meaning() {
    let schema = crate::schema::schema();
    let page = reference(&schema);
    let definitions: BTreeMap<String, Value> = serde_json::from_value(schema["definitions"].clone()).unwrap();
    for (name, definition) in &definitions {
        assert!(page.contains(&format!("\n## {}\n", heading(name))), "{name}");
        for (setting, property) in definition["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{name}.{setting}");
        }
    }
}
