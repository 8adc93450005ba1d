//! Settings that are understood and not done yet: refused, never ignored.

use serde_json::json;

use super::{assert_errors, errors, with};

#[test]
fn a_setting_that_nothing_obeys_yet_is_refused() {
    let key = json!({ "env": "OPENAI_API_KEY" });
    for (location, value) in [
        ("quota", json!({ "cluster": "ratelimit", "domain": "realtime", "timeout": "100ms", "on_error": "deny" })),
        (
            "events",
            json!({ "cluster": "billing", "authority": "a", "path": "/", "interval": "10s", "signing_key": key,
                    "timeout": "1s", "on_error": "allow", "queue": 1000 }),
        ),
    ] {
        assert_errors([(location, value)], &[&format!("{location}: this version does not do this yet; remove it")]);
    }
}

#[test]
fn what_it_does_by_itself_may_be_said() {
    for (location, value) in [
        ("client_secrets", json!({})),
        ("client_secrets.mode", json!("off")),
        ("policies.voice.meter", json!(false)),
        ("policies.voice.meter", json!(true)),
        ("policies.voice.session", json!({ "max_duration": "30m", "max_tokens": 200_000 })),
        ("policies.voice.lock", json!(["instructions", "audio.output.voice"])),
        ("policies.voice.tool_types", json!(["function"])),
        ("policies.voice.preset", json!({ "instructions": "Sell shoes." })),
        ("policies.voice.hide", json!(["instructions"])),
        ("prices", json!({ "gpt*": { "input_text": 4 } })),
        ("gateway.accept_provider_slot", json!(true)),
    ] {
        assert_errors([(location, value)], &[]);
    }
}

#[test]
fn its_own_errors_come_first() {
    let found = errors(&with([
        ("quota", json!({ "domain": "realtime", "on_error": "maybe" })),
        ("policies.voice.session", json!({ "max_duration": "0s" })),
    ]));
    assert_eq!(
        found,
        [
            "policies.voice.session.max_duration: found \"0s\", expected a duration such as 90s, 30m or 2h, longer \
             than none",
            "quota.on_error: found \"maybe\", expected one of deny, allow",
            "quota.cluster: missing; it must be given",
        ]
    );
}

#[test]
fn what_limits_a_session_must_limit_it() {
    for (location, value, error) in [
        (
            "policies.voice.session",
            json!({ "max_tokens": 0 }),
            "policies.voice.session.max_tokens: found 0, expected at least 1",
        ),
        (
            "policies.voice.session",
            json!({ "max_cost_usd": -1 }),
            "policies.voice.session.max_cost_usd: found -1, expected an amount of US dollars above zero",
        ),
        (
            "policies.voice.lock",
            json!(["audio..voice"]),
            "policies.voice.lock: \"audio..voice\" is no field such as instructions or audio.output.voice",
        ),
        (
            "prices",
            json!({ "gpt*": { "output_audio": -1 } }),
            "prices.gpt*.output_audio: found -1, expected US dollars for a million tokens, from 0",
        ),
    ] {
        assert_errors([(location, value)], &[error]);
    }
    let unmetered = [
        ("policies.voice.meter", json!(false)),
        ("policies.voice.lock", json!(["tools"])),
        ("policies.voice.tool_types", json!(["function"])),
        ("policies.voice.preset", json!({ "instructions": "Sell shoes." })),
        ("policies.voice.hide", json!(["instructions"])),
        ("policies.voice.session", json!({ "max_tokens": 1 })),
    ];
    let errors = ["session", "lock", "tool_types", "preset", "hide"]
        .map(|name| format!("policies.voice.{name}: cannot be kept with meter: false"));
    assert_errors(unmetered, &errors.each_ref().map(String::as_str));
}
