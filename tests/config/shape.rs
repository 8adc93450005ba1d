//! The shape: names that are known, values of the right kind.

use serde_json::{Value, json};

use super::{assert_errors, errors, with};

#[test]
fn an_unknown_setting_is_an_error_at_every_level() {
    for (location, known) in [
        ("audit", "gateway, providers, callers, policies, prices, client_secrets, control, quota, events, present"),
        ("gateway.cookie", "header, subprotocol, accept_provider_slot, strip_headers"),
        ("providers.openai.url", "kind, key, keys, cool_down, organization, project, header, query"),
        ("callers.web-app.groups", "tokens, identities, user, policies, models, origins, limits"),
        (
            "policies.voice.timeout",
            "auth, provider, providers, models, aliases, session, lock, tool_types, preset, hide, calls, meter",
        ),
        ("client_secrets.ttl", "mode, sealing_keys, max_ttl"),
    ] {
        let want = format!("{location}: unknown setting; known here: {known}");
        assert_errors([(location, json!(1))], &[&want]);
    }
    let limits = "concurrent_sessions, sessions_per_minute, tokens_per_day, cost_usd_per_day";
    let prices = "input_text, input_cached_text, input_cache_write_text, input_audio, input_cached_audio, \
                  input_image, input_cached_image, output_text, output_audio, audio_minute";
    for (location, known) in [
        ("callers.web-app.limits.sessions", limits),
        ("policies.voice.session.duration", "max_duration, idle_timeout, max_tokens, max_cost_usd, outlive_token"),
        ("prices.gpt*.input", prices),
    ] {
        let found = errors(&with([(location, json!(1))]));
        assert_eq!(found[0], format!("{location}: unknown setting; known here: {known}"));
    }
}

#[test]
fn an_unknown_setting_is_told_with_the_one_that_was_meant() {
    let key = json!({ "env": "OPENAI_API_KEY" });
    for (location, value, meant) in [
        ("gatway", json!(1), "gateway"),
        ("gateway.headers", json!(1), "header"),
        ("policies.voice.Models", json!(1), "models"),
        ("policies.voice.maxTokens", json!(1), ""),
        ("providers.openai.key.file", json!(1), ""),
        ("providers.openai.key.values", json!(1), "value"),
        ("providers.openai.keys", json!([{ "name": "a", "key": key, "wieght": 1 }]), "weight"),
    ] {
        let found = errors(&with([(location, value)])).remove(0);
        let ends = if meant.is_empty() { String::new() } else { format!("; did you mean {meant}?") };
        assert!(found.starts_with(location) && found.contains(": unknown setting; known here: "), "{found}");
        assert!(found.ends_with(&ends) && found.contains('?') != meant.is_empty(), "{found}");
    }
}

#[test]
fn an_unknown_setting_beside_a_secret_is_named_if_it_looks_like_one() {
    let (key, tokens) = ("providers.openai.key", "callers.web-app.tokens");
    let known = "unknown setting; known here: ";
    assert_errors(
        [(key, json!({ "env": "OPENAI_API_KEY", "vault": 1 }))],
        &[&format!("{key}.vault: {known}env, value, base64")],
    );
    let token = json!({ "env": "TOKEN", "notAfter": 1, "sha512": 1 });
    let settings = "sha256, env, value, base64, not_before, not_after";
    assert_errors(
        [(tokens, json!([token]))],
        &[
            &format!("{tokens}[0].notAfter: {known}{settings}; did you mean not_after?"),
            &format!("{tokens}[0].sha512: {known}{settings}"),
        ],
    );
}

#[test]
fn an_unknown_setting_beside_a_secret_that_may_be_one_is_reported_without_its_name() {
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
fn a_key_for_a_settings_name_is_not_shown() {
    for key in ["sk-4242", "a-key-that-4242-is-as-long-as-keys-are"] {
        let provider = json!({ "kind": "openai", "key": "external", key: 1 });
        assert_errors(
            [("providers.openai", provider)],
            &[
                "providers.openai: unknown setting; known here: kind, key, keys, cool_down, organization, project, header, query",
            ],
        );
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_reported_with_what_was_expected() {
    for (location, value, want) in [
        ("gateway", json!([]), "gateway: found a list, expected a map"),
        ("gateway.header", json!(7), "gateway.header: found 7, expected a string"),
        ("gateway.accept_provider_slot", json!("no"), "gateway.accept_provider_slot: found \"no\", expected a boolean"),
        ("gateway.strip_headers", json!("x"), "gateway.strip_headers: found \"x\", expected a list"),
        ("providers", json!("x"), "providers: found a string, expected a map"),
        ("policies.voice.aliases", json!(["a"]), "policies.voice.aliases: found a list, expected a map"),
        ("policies.voice.models", Value::Null, "policies.voice.models: found null, expected a list"),
        ("policies.voice.auth", json!(false), "policies.voice.auth: found false, expected \"off\" in quotes"),
        ("policies.voice.auth", json!("on"), "policies.voice.auth: found \"on\", expected \"off\" in quotes"),
        ("policies.voice.meter", json!("yes"), "policies.voice.meter: found \"yes\", expected a boolean"),
        (
            "policies.voice.session.max_duration",
            json!("soon"),
            "policies.voice.session.max_duration: found \"soon\", expected a duration such as 90s, 30m or 2h, longer \
             than none",
        ),
        (
            "policies.voice.session.idle_timeout",
            json!(90),
            "policies.voice.session.idle_timeout: found 90, expected a duration such as 90s, 30m or 2h, longer \
             than none",
        ),
        (
            "callers.web-app.limits.tokens_per_day",
            json!(-1),
            "callers.web-app.limits.tokens_per_day: found -1, expected a whole number from 0",
        ),
    ] {
        assert_eq!(errors(&with([(location, value)]))[0], want);
    }
}

#[test]
fn what_was_found_is_shown_where_no_secret_stands() {
    let kinds = "expected one of openai, azure_openai, xai, gemini, anthropic, custom";
    for (location, value, want) in [
        ("providers.openai.kind", json!("cohere"), format!("found \"cohere\", {kinds}")),
        ("providers.openai.kind", json!("openia"), format!("found \"openia\", {kinds}; did you mean openai?")),
        ("providers.openai.kind", json!("OpenAI"), format!("found \"OpenAI\", {kinds}; did you mean openai?")),
        ("providers.openai.kind", json!("azure"), format!("found \"azure\", {kinds}; did you mean azure_openai?")),
        ("providers.openai.kind", json!("sk-4242"), format!("found a string of 7 characters, {kinds}")),
        ("providers.openai.kind", json!(["openai"]), format!("found a list, {kinds}")),
        ("policies.voice.auth", json!("none"), "found \"none\", expected \"off\" in quotes".to_owned()),
        ("client_secrets.mode", json!("open"), "found \"open\", expected one of off, sealed, local".to_owned()),
        (
            "client_secrets.mode",
            json!(false),
            "found false, expected one of off, sealed, local; off needs quotes".to_owned(),
        ),
        ("policies.voice.models", json!("gpt*"), "found \"gpt*\", expected a list".to_owned()),
        ("policies.voice.models", json!([4.5]), "found 4.5, expected a string".to_owned()),
    ] {
        let shown = errors(&with([(location, value)])).remove(0);
        assert!(shown.starts_with(location) && shown.ends_with(&format!(": {want}")), "{shown}");
    }
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_errors(
        [("callers.web-app.tokens", json!([{ "sha256": digest, "not_after": "May 2027" }]))],
        &["callers.web-app.tokens[0].not_after: found \"May 2027\", expected a time such as 2027-05-01T00:00:00Z"],
    );
}

#[test]
fn what_must_be_given_and_is_not_is_reported() {
    assert_errors(
        [("providers.openai", json!({ "key": "external" }))],
        &["providers.openai.kind: missing; it must be given"],
    );
    let neither = "callers.web-app.tokens: found neither a token nor an identity, expected at least one of either";
    assert_errors([("callers.web-app", json!({}))], &[neither]);
    let identity = json!([{ "equals": "a" }]);
    assert_errors(
        [("callers.web-app.identities", identity)],
        &["callers.web-app.identities[0].property: missing; it must be given"],
    );
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
            "gateway.strip_headers[0]: found 1, expected a string",
            "gateway.strip_headers[2]: found false, expected a string",
            "policies.default.modles: unknown setting; known here: auth, provider, providers, models, aliases, session, \
             lock, tool_types, preset, hide, calls, meter; did you mean models?",
            "providers.broken.kind: found \"nobody\", expected one of openai, azure_openai, xai, gemini, anthropic, custom",
            "providers.openai.organization: not an identifier such as org-a1b2",
            "policies.voice.providers[1]: no provider is named \"azure-us\"; known: azure-eu, broken, openai",
            "gateway.strip_headers[3]: not a header name (RFC 9110 section 5.1)",
            "callers.web-app.tokens[1].env: the variable EMPTY is empty",
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
