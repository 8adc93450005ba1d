//! Every configuration that the documentation shows goes through the filter's own loader.
//!
//! The first line of a YAML block says what it is: `# plugin configuration` for a whole one, `# plugin configuration,
//! refused` for one whose errors follow in the next block, anything else for a piece of another configuration, which may
//! hold a whole one.

use serde_json::Value;

use crate::markdown::{Fence, fences};
use crate::repository;
use realtime_byok::config::{self, Errors, Planned};

/// The environment that examples may ask for.
const VARIABLES: [&str; 11] = [
    "OPENAI_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "AZURE_KEY_A",
    "AZURE_KEY_B",
    "CUSTOM_KEY",
    "WEB_APP_TOKEN",
    "BACKEND_TOKEN",
    "CONTROL_TOKEN",
    "REALTIME_SEALING_KEY",
    "SEALING_KEY",
    "SIGNING_KEY",
];

/// Loads a configuration.
pub fn load(configuration: &Value) -> Result<Planned, Errors> {
    // 32 bytes in base64, where those are asked for.
    let value = |name: &str| match name {
        "SEALING_KEY" | "REALTIME_SEALING_KEY" => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned(),
        _ => format!("value-of-{name}"),
    };
    let variable = |name: &str| VARIABLES.contains(&name).then(|| value(name));
    config::load(configuration.to_string().as_bytes(), &variable)
}

fn yaml(fence: &Fence) -> Value {
    serde_saphyr::from_str(&fence.text).unwrap_or_else(|error| panic!("{}: {error}", fence.location))
}

fn all_fences() -> Vec<Fence> {
    repository::documents().iter().flat_map(|name| fences(name, &repository::text(name))).collect()
}

/// The plugin configurations within another one.
fn held(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values.iter().flat_map(held).collect(),
        Value::Object(fields) => {
            let kind = fields.get("@type").and_then(Value::as_str).unwrap_or_default();
            if kind.ends_with("/google.protobuf.Struct") {
                return vec![fields["value"].clone()];
            }
            let plugins = fields.get("pluginConfig").cloned();
            plugins.into_iter().chain(fields.values().flat_map(held)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_configuration_loads() {
    let mut loaded = 0;
    for fence in all_fences().iter().filter(|fence| fence.language == "yaml") {
        let configurations = match fence.text.lines().next().unwrap() {
            "# plugin configuration" => vec![yaml(fence)],
            "# plugin configuration, refused" => continue,
            _ => held(&yaml(fence)),
        };
        for configuration in configurations {
            if let Err(errors) = load(&configuration) {
                panic!("{}:\n{errors}", fence.location);
            }
            loaded += 1;
        }
    }
    assert!(loaded >= 9, "only {loaded} configurations are marked as such");
}

#[test]
fn every_block_says_what_it_is() {
    for fence in repository::pages().iter().flat_map(|name| fences(name, &repository::text(name))) {
        let is_marked = fence.text.starts_with("# plugin configuration") || fence.text.starts_with("# Envoy: ");
        assert!(fence.language != "yaml" || is_marked, "{}", fence.location);
        assert!(!fence.language.is_empty(), "{}", fence.location);
    }
}

#[test]
fn every_refused_configuration_has_exactly_the_errors_that_are_shown() {
    let fences = all_fences();
    let mut shown = 0;
    for (index, fence) in fences.iter().enumerate() {
        if fence.text.starts_with("# plugin configuration, refused") {
            let errors = load(&yaml(fence)).err().unwrap_or_default();
            assert_eq!(format!("{errors}\n"), fences[index + 1].text, "{}", fence.location);
            shown += 1;
        }
    }
    assert!(shown > 0);
}
