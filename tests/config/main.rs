//! What a configuration may be, and what is said of one that may not: every error at once, each with its place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking; clippy.toml excuses only what stands in a test itself"
)]

mod forms;
mod not_in_force;
mod secrets;
mod settings;
mod shape;

use serde_json::{Value, json};

use realtime_byok::config::{Planned, load};

/// The environment of the VM.
const VARIABLES: [(&str, &str); 11] = [
    ("OPENAI_API_KEY", "sk-openai-4242"),
    ("TOKEN", "gateway-token-of-4242"),
    ("EMPTY", ""),
    ("emptyOne", ""),
    ("LINE_FEED", "secret-4242\n"),
    ("BELL", "secret\u{7}4242"),
    ("SPACED", " secret-4242"),
    ("ACCENTED", "s\u{e9}cret-4242"),
    ("COMMA", "secret,4242"),
    ("SHORT", "4242-19-characters"),
    ("TOO_SHORT", "7-4242-"),
];

fn variable(name: &str) -> Option<String> {
    VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

/// A configuration that is good, with changes at places such as `policies.voice.models`.
fn with<'a>(changes: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let mut configuration = json!({
        "providers": {
            "openai": { "kind": "openai", "key": { "env": "OPENAI_API_KEY" } },
            "azure-eu": { "kind": "azure_openai", "key": { "env": "OPENAI_API_KEY" } },
        },
        "callers": { "web-app": { "tokens": [{ "env": "TOKEN" }] } },
        "policies": { "default": { "provider": "openai" }, "voice": { "providers": ["openai", "azure-eu"] } },
    });
    for (location, value) in changes {
        *location.split('.').fold(&mut configuration, |at, name| &mut at[name]) = value;
    }
    configuration
}

fn loaded(configuration: &Value) -> Result<Planned, Vec<String>> {
    load(configuration.to_string().as_bytes(), &variable)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// What is said of a configuration; none of it may show a secret.
#[track_caller]
fn errors(configuration: &Value) -> Vec<String> {
    let errors = loaded(configuration).map(|_| ()).err().unwrap_or_default();
    assert!(!errors.concat().contains("4242"), "shows a secret: {errors:?}");
    errors
}

/// Checks that these changes make exactly these errors.
#[track_caller]
fn assert_errors<const N: usize>(changes: [(&str, Value); N], want: &[&str]) {
    let locations: Vec<_> = changes.iter().map(|(location, _)| (*location).to_owned()).collect();
    assert_eq!(errors(&with(changes)), want, "{locations:?}");
}

/// The warnings of a configuration that is good; none of them may show a secret.
#[track_caller]
fn warnings(configuration: &Value) -> Vec<String> {
    let warnings = loaded(configuration).map(|planned| planned.warnings).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(!warnings.concat().contains("4242"), "shows a secret: {warnings:?}");
    warnings
}
