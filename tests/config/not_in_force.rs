//! Settings that are understood and not done yet: refused, never ignored.

use serde_json::json;

use super::{assert_errors, errors, with};

#[test]
fn a_setting_that_nothing_obeys_yet_is_refused() {
    let key = json!({ "env": "OPENAI_API_KEY" });
    for (place, value) in [
        ("prices", json!({ "gpt*": { "input_text": 4 } })),
        ("control", json!({ "path": "/realtime-byok", "token": { "env": "TOKEN" } })),
        ("quota", json!({ "cluster": "ratelimit", "domain": "realtime", "timeout": "100ms", "on_error": "deny" })),
        (
            "events",
            json!({ "cluster": "billing", "authority": "a", "path": "/", "interval": "10s", "signing_key": key,
                    "timeout": "1s", "on_error": "allow", "queue": 1000 }),
        ),
        ("client_secrets.mode", json!("sealed")),
        ("client_secrets.mode", json!("local")),
        ("client_secrets.sealing_keys", json!([key])),
        ("client_secrets.max_ttl", json!("10m")),
        ("callers.web-app.limits", json!({ "concurrent_sessions": 20, "cost_usd_per_day": 25.5 })),
        ("policies.voice.session", json!({ "max_duration": "30m", "max_cost_usd": 1.5 })),
        ("policies.voice.lock", json!(["instructions", "tools"])),
        ("policies.voice.meter", json!(true)),
    ] {
        assert_errors([(place, value)], &[&format!("{place}: this version does not do this yet; remove it")]);
    }
}

#[test]
fn what_it_does_by_itself_may_be_said() {
    for (place, value) in [
        ("client_secrets", json!({})),
        ("client_secrets.mode", json!("off")),
        ("policies.voice.meter", json!(false)),
        ("gateway.accept_provider_slot", json!(true)),
    ] {
        assert_errors([(place, value)], &[]);
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
            "policies.voice.session.max_duration: found a string, expected a duration such as 90s, 30m or 2h, longer \
             than none",
            "quota.on_error: found a string, expected one of deny, allow",
            "quota.cluster: missing; it must be given",
            "policies.voice.session: this version does not do this yet; remove it",
        ]
    );
}
