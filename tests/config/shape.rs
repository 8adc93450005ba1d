//! The shape: names that are known, values of the right kind.

use serde_json::{Value, json};

use super::{assert_errors, errors, with};

#[test]
fn an_unknown_setting_is_an_error_at_every_level() {
    for (location, known) in [
        ("gatway", "gateway, providers, callers, policies, prices, client_secrets, control, quota, events"),
        ("gateway.headers", "header, subprotocol, accept_provider_slot, strip_headers"),
        ("providers.openai.keyz", "kind, key, keys, organization, project, header, query"),
        ("callers.web-app.model", "tokens, policies, models, origins, limits"),
        ("policies.voice.modles", "auth, provider, providers, models, aliases, session, lock, meter"),
        ("client_secrets.ttl", "mode, sealing_keys, max_ttl"),
    ] {
        let want = format!("{location}: unknown setting; known here: {known}");
        assert_errors([(location, json!(1))], &[&want]);
    }
    let limits = "concurrent_sessions, sessions_per_minute, tokens_per_day, cost_usd_per_day";
    let prices = "input_text, input_cached_text, input_audio, input_cached_audio, input_image, input_cached_image, \
                  output_text, output_audio";
    for (location, known) in [
        ("callers.web-app.limits.sessions", limits),
        ("policies.voice.session.duration", "max_duration, idle_timeout, max_tokens, max_cost_usd"),
        ("prices.gpt*.input", prices),
    ] {
        let found = errors(&with([(location, json!(1))]));
        assert_eq!(found[0], format!("{location}: unknown setting; known here: {known}"));
    }
}

#[test]
fn an_unknown_setting_beside_a_secret_is_reported_without_its_name() {
    let (key, token) = ("providers.openai.key", "callers.web-app.tokens");
    for (location, value, shown, known) in [
        (key, json!({ "env": "OPENAI_API_KEY", "secret-4242": 1 }), "providers.openai.key", "env, value, base64"),
        (
            token,
            json!([{ "env": "TOKEN", "secret-4242": 1 }]),
            "callers.web-app.tokens[0]",
            "sha256, env, value, base64, not_before, not_after",
        ),
    ] {
        assert_errors([(location, value)], &[&format!("{shown}: unknown setting; known here: {known}")]);
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_reported_with_what_was_expected() {
    for (location, value, want) in [
        ("gateway", json!([]), "gateway: found a list, expected a map"),
        ("gateway.header", json!(7), "gateway.header: found a number, expected a string"),
        (
            "gateway.accept_provider_slot",
            json!("no"),
            "gateway.accept_provider_slot: found a string, expected a boolean",
        ),
        ("gateway.strip_headers", json!("x"), "gateway.strip_headers: found a string, expected a list"),
        ("providers", json!("x"), "providers: found a string, expected a map"),
        ("policies.voice.aliases", json!(["a"]), "policies.voice.aliases: found a list, expected a map"),
        ("policies.voice.models", Value::Null, "policies.voice.models: found null, expected a list"),
        ("policies.voice.auth", json!(false), "policies.voice.auth: found a boolean, expected \"off\" in quotes"),
        ("policies.voice.auth", json!("on"), "policies.voice.auth: found a string, expected \"off\" in quotes"),
        ("policies.voice.meter", json!("yes"), "policies.voice.meter: found a string, expected a boolean"),
        (
            "policies.voice.session.max_duration",
            json!("soon"),
            "policies.voice.session.max_duration: found a string, expected a duration such as 90s, 30m or 2h, longer \
             than none",
        ),
        (
            "policies.voice.session.idle_timeout",
            json!(90),
            "policies.voice.session.idle_timeout: found a number, expected a duration such as 90s, 30m or 2h, longer \
             than none",
        ),
        (
            "callers.web-app.limits.tokens_per_day",
            json!(-1),
            "callers.web-app.limits.tokens_per_day: found a number, expected a whole number from 0",
        ),
    ] {
        assert_eq!(errors(&with([(location, value)]))[0], want);
    }
    let unknown_kind = errors(&with([("providers.openai.kind", json!("openia"))]));
    assert_eq!(
        unknown_kind,
        ["providers.openai.kind: found a string, expected one of openai, azure_openai, xai, gemini, anthropic, custom"]
    );
}

#[test]
fn what_must_be_given_and_is_not_is_reported() {
    assert_errors(
        [("providers.openai", json!({ "key": "external" }))],
        &["providers.openai.kind: missing; it must be given"],
    );
    assert_errors([("callers.web-app", json!({}))], &["callers.web-app.tokens: missing; it must be given"]);
    let key = json!({ "env": "OPENAI_API_KEY" });
    let keys = json!([{ "key": key }, { "name": "b" }, { "name": "c", "key": key }]);
    assert_errors(
        [("providers.openai", json!({ "kind": "openai", "keys": keys }))],
        &[
            "providers.openai.keys[0].name: missing; it must be given",
            "providers.openai.keys[1].key: missing; it must be given",
        ],
    );
    let header = json!({ "kind": "custom", "key": "external", "header": { "prefix": "Token " } });
    let found = errors(&with([("providers.openai", header)]));
    assert_eq!(found[0], "providers.openai.header.name: missing; it must be given");
}

#[test]
fn all_errors_come_at_once_with_the_indexes_that_were_written() {
    assert_errors(
        [
            ("gateway.strip_headers", json!([1, "x-a", false, "not a name", "x-b"])),
            ("providers.openai.organization", json!(" ")),
            ("providers.broken", json!({ "kind": "nobody", "key": { "env": "NOWHERE" } })),
            ("callers.web-app.tokens", json!([{ "env": 1, "value": "token-4242" }, { "env": "EMPTY" }])),
            ("policies.voice.providers", json!(["openai", "azure-us", "broken"])),
            ("policies.default.modles", json!([])),
        ],
        &[
            "callers.web-app.tokens[0].env: found a number, expected a string",
            "gateway.strip_headers[0]: found a number, expected a string",
            "gateway.strip_headers[2]: found a boolean, expected a string",
            "policies.default.modles: unknown setting; known here: auth, provider, providers, models, aliases, session, \
             lock, meter",
            "providers.broken.kind: found a string, expected one of openai, azure_openai, xai, gemini, anthropic, custom",
            "providers.openai.organization: not an identifier such as org-a1b2",
            "policies.voice.providers[1]: no provider is named \"azure-us\"; known: azure-eu, broken, openai",
            "gateway.strip_headers[3]: not a header name (RFC 9110 section 5.1)",
            "callers.web-app.tokens[1].env: the token is empty",
        ],
    );
}

#[test]
fn what_is_no_map_at_all_is_reported() {
    for (configuration, want) in [
        (json!([]), "configuration: found a list, expected a map"),
        (json!("secret-4242"), "configuration: found a string, expected a map"),
        (Value::Null, "configuration: found null, expected a map"),
    ] {
        assert_eq!(errors(&configuration), [want]);
    }
}
