//! What derived JSON Schemas cannot know: that exactly one of some settings is given.

use schemars::{Schema, json_schema};
use serde_json::Value;

/// One place of a secret.
pub(crate) fn one_source(schema: &mut Schema) {
    one_of(schema, &["env", "value", "base64"]);
}

/// One place of a secret, or its digest.
pub(crate) fn one_source_or_digest(schema: &mut Schema) {
    one_of(schema, &["sha256", "env", "value", "base64"]);
}

/// What a property must be.
pub(crate) fn one_value(schema: &mut Schema) {
    one_of(schema, &["equals", "glob"]);
}

/// Tokens, identities, or both.
pub(crate) fn some_way_in(schema: &mut Schema) {
    schema.insert("anyOf".into(), alternatives(&["tokens", "identities"]).into());
}

/// One key, or a pool of keys.
pub(crate) fn one_key(schema: &mut Schema) {
    one_of(schema, &["key", "keys"]);
}

/// One provider, several, or no authentication.
pub(crate) fn one_handling(schema: &mut Schema) {
    one_of(schema, &["provider", "providers", "auth"]);
}

/// Makes a schema ask for exactly one of these settings.
fn one_of(schema: &mut Schema, names: &[&str]) {
    schema.insert("oneOf".into(), alternatives(names).into());
}

fn alternatives(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| Value::from(json_schema!({"required": [name]}))).collect()
}
