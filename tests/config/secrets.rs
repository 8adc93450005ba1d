//! Keys and tokens: where they may come from, and what they may be.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{assert_errors, errors, warnings, with};

const KEY: &str = "providers.openai.key";
const TOKENS: &str = "callers.web-app.tokens";

#[test]
fn a_variable_must_be_there_and_hold_what_can_be_sent() {
    for (variable, fault) in [
        ("LINE_FEED", "holds a control character, such as a line feed"),
        ("BELL", "holds a control character, such as a line feed"),
        ("SPACED", "has white space at an end"),
        ("ACCENTED", "holds a character that is not ASCII"),
    ] {
        let source = json!({ "env": variable });
        assert_errors([(KEY, source.clone())], &[&format!("{KEY}.env: the key {fault}")]);
        assert_errors([(TOKENS, json!([source]))], &[&format!("{TOKENS}[0].env: the token {fault}")]);
    }
    let empty = "the variable EMPTY is empty";
    assert_errors([(KEY, json!({ "env": "EMPTY" }))], &[&format!("{KEY}.env: {empty}")]);
    assert_errors([(TOKENS, json!([{ "env": "EMPTY" }]))], &[&format!("{TOKENS}[0].env: {empty}")]);
    let missing = "the variable NOWHERE is not set in the VM; list it in environment_variables.host_env_keys (Istio: \
                   vmConfig.env) and set it for the proxy";
    assert_errors([(KEY, json!({ "env": "NOWHERE" }))], &[&format!("{KEY}.env: {missing}")]);
    assert_errors([(TOKENS, json!([{ "env": "NOWHERE" }]))], &[&format!("{TOKENS}[0].env: {missing}")]);
}

#[test]
fn a_variable_is_named_in_whatever_case() {
    let found = errors(&with([(KEY, json!({ "env": "openai_api_key" }))]));
    assert!(found[0].starts_with("providers.openai.key.env: the variable openai_api_key is not set"), "{found:?}");
    let found = errors(&with([(KEY, json!({ "env": "emptyOne" }))]));
    assert_eq!(found, ["providers.openai.key.env: the variable emptyOne is empty"]);
}

#[test]
fn a_secret_given_for_a_variables_name_is_not_shown() {
    for name in ["sk-4242", "secret.4242", "token4242", "token_4242", ""] {
        let found = errors(&with([(KEY, json!({ "env": name }))]));
        assert!(found[0].starts_with("providers.openai.key.env: the variable named here is not set"), "{found:?}");
    }
}

#[test]
fn a_value_of_the_configuration_is_held_to_the_same() {
    for (value, fault) in [
        ("", "is empty"),
        ("secret-4242\n", "holds a control character, such as a line feed"),
        ("secret\u{0}4242", "holds a control character, such as a line feed"),
        ("secret-4242 ", "has white space at an end"),
        ("s\u{e9}cret-4242", "holds a character that is not ASCII"),
    ] {
        assert_errors([(KEY, json!({ "value": value }))], &[&format!("{KEY}.value: the key {fault}")]);
        assert_errors([(TOKENS, json!([{ "value": value }]))], &[&format!("{TOKENS}[0].value: the token {fault}")]);
    }
    for (base64, said) in [
        ("", "the key is empty"),
        ("c2VjcmV0LTQyNDIK", "the key holds a control character, such as a line feed"),
        ("/w==", "the key holds a character that is not ASCII"),
        ("secret-4242", "not base64 (RFC 4648 section 4)"),
        ("c2VjcmV0", ""),
    ] {
        let want = format!("{KEY}.base64: {said}");
        let want: &[&str] = if said.is_empty() { &[] } else { &[&want] };
        assert_errors([(KEY, json!({ "base64": base64 }))], want);
    }
}

#[test]
fn a_token_with_a_comma_could_never_match() {
    assert_errors([(TOKENS, json!([{ "env": "COMMA" }]))], &[&format!("{TOKENS}[0].env: the token holds a comma")]);
    assert_errors([(KEY, json!({ "env": "COMMA" }))], &[]);
}

#[test]
fn a_digest_has_64_hex_digits() {
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let long = format!("{digest}00");
    for text in ["", "4242", &digest[1..], &long, &digest.replace('e', "g"), "token-4242"] {
        let want = format!("{TOKENS}[0].sha256: not 64 hex digits");
        assert_errors([(TOKENS, json!([{ "sha256": text }]))], &[&want]);
    }
    assert_errors([(TOKENS, json!([{ "sha256": digest }]))], &[]);
}

#[test]
fn a_secret_has_one_source() {
    let two = json!({ "env": "OPENAI_API_KEY", "value": "secret-4242" });
    let several = "found several of env, value and base64, expected one";
    let none = "found none of env, value and base64, expected one";
    assert_errors([(KEY, two.clone())], &[&format!("{KEY}: {several}")]);
    assert_errors([(KEY, json!({}))], &[&format!("{KEY}: {none}")]);
    let pool = json!({ "kind": "openai", "keys": [{ "name": "a", "key": two }, { "name": "b", "key": {} }] });
    assert_errors(
        [("providers.openai", pool)],
        &[&format!("providers.openai.keys[0].key: {several}"), &format!("providers.openai.keys[1].key: {none}")],
    );
    let tokens = json!([{ "env": "TOKEN", "sha256": "4242" }, { "not_after": "2027-05-01T00:00:00Z" }]);
    assert_errors(
        [(TOKENS, tokens)],
        &[
            &format!("{TOKENS}[0]: found several of sha256, env, value and base64, expected one"),
            &format!("{TOKENS}[1]: found none of sha256, env, value and base64, expected one"),
        ],
    );
}

#[test]
fn a_key_that_stands_where_its_source_should_is_refused_and_not_shown() {
    let expected = "expected \"external\", or a map of one of env, value and base64";
    for (value, found) in [
        (json!("sk-4242"), "a string"),
        (json!(["sk-4242"]), "a list"),
        (json!(4242), "a number"),
        (Value::Null, "null"),
    ] {
        assert_eq!(errors(&with([(KEY, value)]))[0], format!("{KEY}: found {found}, {expected}"));
    }
    let found = errors(&with([(TOKENS, json!(["token-4242"]))]));
    assert_eq!(found[0], format!("{TOKENS}[0]: found a string, expected a map"));
}

#[test]
fn a_secret_in_the_configuration_is_good_with_a_warning() {
    let pool = json!([{ "name": "a", "key": { "value": "a-4242" } }, { "name": "b", "key": { "base64": "Yg==" } }]);
    let configuration = with([
        ("providers.openai", json!({ "kind": "openai", "keys": pool })),
        (
            TOKENS,
            json!([{ "value": "another-token-of-4242" }, { "base64": "YS10aGlyZC10b2tlbi1vZi00MjQy" }, { "env": "TOKEN" }]),
        ),
    ]);
    let shown = "Envoy's /config_dump shows this secret; prefer env";
    let want = [
        "providers.openai.keys[0].key.value",
        "providers.openai.keys[1].key.base64",
        "callers.web-app.tokens[0].value",
        "callers.web-app.tokens[1].base64",
    ];
    assert_eq!(warnings(&configuration), want.map(|location| format!("{location}: {shown}")));
}

#[test]
fn a_short_token_can_be_guessed() {
    let warns =
        "the token has fewer than 20 characters, so that it may be guessed; openssl rand -hex 32 makes a good one";
    let fails = "the token has fewer than 8 characters; openssl rand -hex 32 makes a good one";
    let control = |token: &Value| ("control", json!({ "path": "/realtime-byok", "token": token }));
    for length in [7, 8, 19, 20] {
        let secret = "4".repeat(length);
        for (source, name) in
            [(json!({ "value": secret }), "value"), (json!({ "base64": STANDARD.encode(&secret) }), "base64")]
        {
            for (change, location) in [
                ((TOKENS, json!([source])), format!("{TOKENS}[0].{name}")),
                (control(&source), format!("control.token.{name}")),
            ] {
                let configuration = with([change]);
                match length {
                    ..8 => assert_eq!(errors(&configuration), [format!("{location}: {fails}")]),
                    8..20 => assert_eq!(warnings(&configuration)[1..], [format!("{location}: {warns}")]),
                    _ => assert_eq!(warnings(&configuration).len(), 1),
                }
            }
        }
    }
    assert_errors([(TOKENS, json!([{ "env": "TOO_SHORT" }]))], &[&format!("{TOKENS}[0].env: {fails}")]);
    assert_eq!(warnings(&with([(TOKENS, json!([{ "env": "SHORT" }]))])), [format!("{TOKENS}[0].env: {warns}")]);
    // How long a provider's key is, is the provider's affair.
    assert_errors([(KEY, json!({ "env": "TOO_SHORT" }))], &[]);
}

#[test]
fn a_key_that_a_later_filter_adds_needs_no_secret() {
    assert_errors([(KEY, json!("external"))], &[]);
}

/// Anything that has a secret somewhere, as a value or for a name.
fn with_a_secret() -> impl Strategy<Value = Value> {
    let secret = "tk-4242-5Tz6yHj3";
    let leaf = prop_oneof![
        Just(json!(secret)),
        Just(json!(42_424_242)),
        Just(json!(format!("{secret}\n"))),
        Just(Value::Null),
        Just(json!(true)),
    ];
    let names = prop::sample::select(vec![secret, "env", "value", "base64", "sha256", "key", "file", "valeu"]);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.clone(), inner, 0..4)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_stands_where_secrets_do_is_not_shown(value in with_a_secret(), index in 0..7_usize) {
        let locations =
            [KEY, TOKENS, "providers.openai.keys", "providers.openai", "callers.web-app", "client_secrets.sealing_keys",
             "control.token"];
        // Both look into what they return.
        let configuration = with([("control.path", json!("/c")), (locations[index], value)]);
        if errors(&configuration).is_empty() {
            warnings(&configuration);
        }
    }
}
