//! The two forms in which Envoy hands a configuration over.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use realtime_byok::config::load;
use realtime_byok::credential::TokenError;
use realtime_byok::policy::Route;
use serde_json::{Value, json};

use super::{loaded, variable, with};

/// A `google.protobuf.Struct` with every number as a double, as Envoy makes it of whole numbers in YAML.
fn as_struct(value: &Value) -> Struct {
    let members = value.as_object().expect("a map");
    Struct { fields: members.iter().map(|(name, value)| (name.clone(), as_value(value))).collect::<BTreeMap<_, _>>() }
}

fn as_value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(elements) => Kind::ListValue(ListValue { values: elements.iter().map(as_value).collect() }),
        Value::Object(_) => Kind::StructValue(as_struct(value)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// What comes of a configuration: its errors, or its warnings.
fn outcome(bytes: &[u8]) -> Result<Vec<String>, String> {
    load(bytes, &variable).map(|planned| planned.warnings).map_err(|errors| errors.to_string())
}

#[test]
fn json_and_struct_come_to_the_same() {
    let pool = json!([{ "name": "a", "key": { "value": "k" }, "weight": 3 }]);
    for configuration in [
        with([]),
        with([("providers.openai", json!({ "kind": "openai", "keys": pool }))]),
        with([("providers.openai.keys", json!([{ "name": "a", "key": {}, "weight": 0.5 }]))]),
        with([("callers.web-app.limits", json!({ "cost_usd_per_day": 25, "tokens_per_day": 2_000_000 }))]),
        with([("callers.web-app.limits.cost_usd_per_day", json!(25)), ("prices.gpt*.input_text", json!(4))]),
        with([("gateway.strip_headers", json!([1.5, null, true, {}, []])), ("a", json!(1))]),
        json!({ "providers": {} }),
    ] {
        let text = configuration.to_string();
        let want = outcome(text.as_bytes());
        assert_eq!(outcome(&as_struct(&configuration).encode_to_vec()), want, "{text}");
        // Istio and people write line feeds, the first byte of a Struct.
        assert_eq!(outcome(format!("\n\n{configuration:#}\n").as_bytes()), want, "{text}");
    }
}

#[test]
fn a_struct_may_begin_as_json_does() {
    // A line feed, and then the length of the first member: 123 is an opening brace.
    let long = |length: usize| with([("callers", json!({ "a".repeat(length): { "tokens": [{ "env": "TOKEN" }] } }))]);
    let lengths = (1..100).map(|length| as_struct(&long(length)).encode_to_vec());
    let (mut braces, mut all) = (0, 0);
    for bytes in lengths {
        all += 1;
        braces += usize::from(bytes.trim_ascii_start().first() == Some(&b'{'));
        assert_eq!(outcome(&bytes), Ok(vec![]), "{bytes:?}");
    }
    assert!(braces >= 1 && braces < all);
}

#[test]
fn a_fraction_is_a_string_in_what_envoy_makes_of_yaml() {
    let prices = json!({ "gpt*": { "input_text": 4 } });
    let session = |usd: &str| with([("policies.voice.session.max_cost_usd", json!(usd)), ("prices", prices.clone())]);
    assert_eq!(outcome(&as_struct(&session("1.5")).encode_to_vec()), Ok(vec![]));
    for usd in ["much", "", "1.5 USD", "true", "[1.5]"] {
        let want = format!("policies.voice.session.max_cost_usd: found {usd:?}, expected a number");
        assert_eq!(outcome(&as_struct(&session(usd)).encode_to_vec()), Err(want), "{usd}");
    }
}

#[test]
fn what_is_neither_is_reported_without_being_quoted() {
    for (bytes, want) in [
        (b"".as_slice(), "configuration: empty; expected JSON in a StringValue, or a Struct"),
        (b" \r\n\t", "configuration: empty; expected JSON in a StringValue, or a Struct"),
        (b"{\"key\": \"sk-4242}", "configuration: not JSON, at line 1 column 17"),
        (b"{\n  \"a\": sk-4242\n}", "configuration: not JSON, at line 2 column 8"),
        (b"{} {}", "configuration: not JSON, at line 1 column 4"),
        (b"{\"a\": \"\xff\"}", "configuration: not JSON, at line 1 column 8"),
        (b"providers: sk-4242", "configuration: neither JSON nor a google.protobuf.Struct"),
        (b"\x0a\xff\xff", "configuration: neither JSON nor a google.protobuf.Struct"),
        (b"\xff\xfe", "configuration: neither JSON nor a google.protobuf.Struct"),
    ] {
        assert_eq!(outcome(bytes), Err(want.to_owned()));
    }
}

#[test]
fn a_configuration_that_nests_too_deep_is_refused() {
    let deep = format!("{{\"gateway\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(outcome(deep.as_bytes()).is_err_and(|error| error.starts_with("configuration: not JSON")));
    let mut deep = json!(1);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    let deep = as_struct(&json!({ "gateway": deep })).encode_to_vec();
    assert_eq!(outcome(&deep), Err("configuration: neither JSON nor a google.protobuf.Struct".to_owned()));
}

#[test]
fn ten_thousand_callers_load_and_are_distinguished() {
    let tokens = |number: usize| json!({ "tokens": [{ "value": format!("gateway-token-{number:06}") }] });
    let callers: Value = (0..10_000).map(|number| (format!("caller-{number}"), tokens(number))).collect();
    let planned = loaded(&with([("callers", callers)])).expect("it is good");
    let now = std::time::SystemTime::UNIX_EPOCH;
    for number in [0, 1, 4_999, 9_999] {
        let caller =
            planned.instance.plan().unwrap().callers.find(format!("gateway-token-{number:06}").as_bytes(), || now);
        assert_eq!(caller.map(|(token, _)| token.caller.name.as_str()), Ok(format!("caller-{number}").as_str()));
    }
    assert!(matches!(
        planned.instance.plan().unwrap().callers.find(b"gateway-token-010000", || now),
        Err(TokenError::Invalid)
    ));
    assert!(planned.instance.plan().unwrap().policies.find(&Route::Name(b"anything".to_vec())).is_some());
}
