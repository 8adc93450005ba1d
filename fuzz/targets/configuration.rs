//! Configurations as JSON and as a serialized Struct: the same comes of both, and no error shows a secret.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use realtime_byok::config::{Instance, Plan, load};
use realtime_byok::policy::{Guard, Route};
use serde_json::Value;

use super::holds;
use super::tree::Tree;

/// The environment.
const VARIABLES: [(&str, &str); 6] = [
    ("OPENAI_API_KEY", "sk-variable-of-a-key-0001"),
    ("WEB_APP_TOKEN", "variable-of-a-token-00002"),
    ("SEALING_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ("CONTROL_TOKEN", "variable-of-a-token-00003"),
    ("EMPTY", ""),
    ("LINE_FEED", "variable-with-a-feed-0004\n"),
];

/// Below these a text is a secret.
const PLACES: [&str; 6] = ["key", "keys", "tokens", "token", "sealing_keys", "signing_key"];

/// But not these of it.
const PLAIN: [&str; 6] = ["env", "name", "not_before", "not_after", "weight", "file"];

pub fn run(bytes: &[u8]) {
    let whole = outcome(bytes);
    let shown = said(&whole);
    for (_, value) in VARIABLES.iter().filter(|(_, value)| !value.is_empty()) {
        assert!(!holds(shown.as_bytes(), value.trim().as_bytes()) || holds(bytes, value.trim().as_bytes()), "{shown}");
    }
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else {
        return assert!(Tree::read(bytes).is_none());
    };
    assert_secrets_are_not_shown(&json, &shown);
    // In a Struct, a number is a double, and how deep it stands is bounded otherwise. One of nothing has no bytes.
    if json.as_object().is_some_and(|members| !members.is_empty()) && is_plain(&json, 0) {
        assert_eq!(outcome(&as_struct(&json).encode_to_vec()), whole);
        assert_eq!(outcome(format!("\n \n{json:#}\n").as_bytes()), whole);
    }
}

type Outcome = Result<(Vec<String>, String), Vec<String>>;

/// Warnings and what the plan says, or errors.
fn outcome(bytes: &[u8]) -> Outcome {
    let variable = |name: &str| {
        let known = VARIABLES.iter().find(|(known, _)| *known == name);
        known.map(|(_, value)| (*value).to_owned())
    };
    match load(bytes, &variable) {
        Ok(planned) => {
            let digest = match &planned.instance {
                Instance::Gateway(plan) => digest(plan),
                Instance::Presenter(presenter) => format!("into {}", presenter.header),
            };
            Ok((planned.warnings, digest))
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "it is refused, and nothing is wrong");
            Err(errors.iter().map(ToString::to_string).collect())
        }
    }
}

/// What a plan shows of itself.
fn digest(plan: &Plan) -> String {
    let policy = |name: &str| match plan.policies.find(&Route::Name(name.into())) {
        Some(Guard::On(policy)) => {
            let providers: Vec<_> = policy.providers().map(|provider| (&provider.name, &provider.kind)).collect();
            format!("{} {providers:?} {:?} {}", policy.name, policy.aliases, policy.is_metered)
        }
        Some(Guard::Off) => "off".to_owned(),
        None => "none".to_owned(),
    };
    let caller = |token: &str| {
        let found = plan.callers.find(token.as_bytes(), super::gateway::now);
        found.map(|(token, _)| token.caller.name.clone()).ok()
    };
    let policies = ["", "default", "voice", "health", "a"].map(policy);
    let callers = [VARIABLES[1].1, "a-token-in-the-configuration"].map(caller);
    let names = ["web-app", "a", "b"].map(|name| plan.callers.named(name).is_some());
    let control = plan.control.as_ref().map(|control| &control.path);
    let secrets = plan.secrets.as_ref().map(|secrets| (secrets.minting, secrets.max_ttl));
    format!("{policies:?} {callers:?} {names:?} {control:?} {secrets:?} {:?}", plan.strip.headers)
}

/// Numbers that a double tells exactly, and not too deep.
fn is_plain(json: &Value, depth: usize) -> bool {
    match json {
        Value::Number(number) => {
            number.as_i64().is_some_and(|number| number.unsigned_abs() < 1 << 40)
                || number.as_f64().is_some_and(|number| number.abs() < 1e6 && (number * 1000.0).fract() == 0.0)
        }
        Value::Array(values) => depth < 20 && values.iter().all(|value| is_plain(value, depth + 1)),
        Value::Object(members) => depth < 20 && members.values().all(|value| is_plain(value, depth + 1)),
        _ => true,
    }
}

fn as_struct(json: &Value) -> Struct {
    let members = json.as_object().into_iter().flatten();
    Struct { fields: members.map(|(name, value)| (name.clone(), as_value(value))).collect::<BTreeMap<_, _>>() }
}

fn as_value(json: &Value) -> prost_types::Value {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => Kind::ListValue(ListValue { values: values.iter().map(as_value).collect() }),
        Value::Object(_) => Kind::StructValue(as_struct(json)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// A text that stands where a secret does, and nowhere else, is in no error; unless errors say so anyway.
fn assert_secrets_are_not_shown(json: &Value, shown: &str) {
    let mut secrets = Vec::new();
    collect(json, false, &mut secrets);
    let whole = json.to_string();
    for secret in secrets.iter().filter(|secret| shown.contains(secret.as_str())) {
        let written = Value::String(secret.clone()).to_string();
        let is_once = whole.matches(written.trim_matches('"')).count() == 1;
        let other = whole.replace(written.trim_matches('"'), &"x".repeat(secret.len()));
        assert!(!is_once || said(&outcome(other.as_bytes())).contains(secret), "{secret} is shown: {shown}");
    }
}

/// All that is said of a configuration.
fn said(outcome: &Outcome) -> String {
    match outcome {
        Ok((warnings, _)) => warnings.concat(),
        Err(errors) => errors.concat(),
    }
}

fn collect(json: &Value, is_secret: bool, secrets: &mut Vec<String>) {
    match json {
        Value::String(text) if is_secret && text.len() >= 12 => secrets.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, is_secret, secrets)),
        Value::Object(members) => {
            for (name, value) in members {
                let is_secret = (is_secret || PLACES.contains(&name.as_str())) && !PLAIN.contains(&name.as_str());
                collect(value, is_secret, secrets);
            }
        }
        _ => {}
    }
}
