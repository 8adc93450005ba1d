//! The settings that are described as refused are those that the filter refuses.

use std::collections::BTreeSet;

use realtime_byok::config::Path;
use serde_json::{Value, json};

use crate::examples::load;
use crate::{repository, schema};

/// A setting that a configuration has, and what the schema says of it.
struct Given {
    path: String,
    /// Which one it is, wherever it stands: `Policy.session`.
    setting: String,
    is_refused: bool,
}

/// Collects the settings of a configuration with their schemas.
struct Walk {
    schema: Value,
    given: Vec<Given>,
}

impl Walk {
    /// A walk through `tests/docs/everything.yaml`.
    fn through_everything() -> Self {
        let mut walk = Self { schema: schema::schema(), given: Vec::new() };
        // What stands alone is in none with other settings.
        let alone = json!({ "present": { "header": "x-gateway-token" } });
        for configuration in [everything(), alone] {
            walk.step("Raw", &walk.schema.clone(), &configuration, &Path::default());
        }
        walk
    }

    fn step(&mut self, owner: &str, schema: &Value, value: &Value, path: &Path) {
        if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/definitions/")) {
            let definition = self.schema["definitions"][name].clone();
            return self.step(name, &definition, value, path);
        }
        for one in ["allOf", "anyOf"].iter().filter_map(|list| schema[list].as_array()).flatten() {
            self.step(owner, one, value, path);
        }
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    self.member(owner, schema, (name, value), &path.key(name));
                }
            }
            Value::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    self.step(owner, &schema["items"], value, &path.index(index));
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, owner: &str, schema: &Value, (name, value): (&str, &Value), path: &Path) {
        let property = &schema["properties"][name];
        if property.is_null() {
            return self.step(owner, &schema["additionalProperties"], value, path);
        }
        let is_refused = property["description"].as_str().unwrap().to_lowercase().contains("refused by this version");
        self.given.push(Given { path: path.to_string(), setting: format!("{owner}.{name}"), is_refused });
        self.step(owner, property, value, path);
    }
}

fn everything() -> Value {
    serde_saphyr::from_str(&repository::text("tests/docs/everything.yaml")).unwrap()
}

#[test]
fn everything_has_every_setting() {
    let walk = Walk::through_everything();
    let given: BTreeSet<_> = walk.given.iter().map(|given| given.setting.clone()).collect();
    let definitions = walk.schema["definitions"].as_object().unwrap().iter();
    let owners = definitions.map(|(name, schema)| (name.as_str(), schema)).chain([("Raw", &walk.schema)]);
    let known = owners.flat_map(|(owner, schema)| {
        let names = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name);
        names.map(move |name| format!("{owner}.{name}"))
    });
    assert_eq!(given, known.collect());
}

#[test]
fn what_is_described_as_refused_is_refused_and_nothing_else() {
    let walk = Walk::through_everything();
    let described: BTreeSet<_> =
        walk.given.iter().filter(|given| given.is_refused).map(|given| given.path.clone()).collect();
    let mut refused = BTreeSet::new();
    for error in load(&everything()).err().iter().flat_map(|errors| errors.iter()) {
        assert_eq!(error.message, "this version does not do this yet; remove it", "{error}");
        refused.insert(error.path.to_string());
    }
    assert_eq!(refused, described);
}
