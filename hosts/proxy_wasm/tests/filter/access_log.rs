//! What the access log says of who was denied what, and of how sessions ended.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{ACCEPTED, vm};
use crate::host::{Exchange, Vm};

/// Every field, in the order of the documentation.
const FIELDS: [&str; 13] = [
    "id", "caller", "user", "policy", "provider", "model", "code", "limit", "close", "reason", "duration", "tokens",
    "cost",
];

/// The fields that are known of a stream, once it is over, but for those that are always others.
fn logged(exchange: &Exchange) -> Value {
    exchange.log();
    let known = FIELDS.iter().map(|field| ((*field).to_owned(), exchange.access_log_field(field)));
    let known = known.filter(|(field, value)| !value.is_empty() && field != "id" && field != "duration");
    Value::Object(known.map(|(field, value)| (field, value.into())).collect())
}

fn guarded() -> Vm {
    vm(json!({
        "callers": { "web-app": { "limits": { "concurrent_sessions": 1 } } },
        "client_secrets": { "mode": "local", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }] },
        "policies": {
            "default": { "provider": "openai", "models": ["gpt-realtime*"] },
            "brief": { "provider": "openai", "session": { "max_duration": "2s" } },
        },
    }))
}

/// A client secret of the user `u_1`.
fn secret(vm: &Vm, policy: &str, gateway: &Value) -> String {
    let session = json!({ "session": { "type": "realtime", "model": "gpt-realtime" }, "gateway": gateway });
    let mint = vm.post("/v1/realtime/client_secrets", session.to_string()).with_policy(policy).authenticated();
    let answer: Value = serde_json::from_slice(&mint.send().refusal().body).unwrap();
    format!("Bearer {}", answer["value"].as_str().unwrap())
}

fn open(vm: &Vm, policy: &str) -> Exchange {
    let session = vm.upgrade("/v1/realtime?model=gpt-realtime").with_policy(policy).authenticated().send();
    session.upstream();
    session.respond(101, ACCEPTED);
    session
}

#[test]
fn a_denial_is_logged_with_all_that_was_known_of_it() {
    let vm = guarded();
    let nobody = vm.upgrade("/v1/realtime?model=gpt-realtime").send();
    assert_eq!(logged(&nobody), json!({ "policy": "default", "code": "missing_gateway_token", "close": "gateway" }));

    let lost = vm.upgrade("/v1/realtime").with_policy("nowhere").authenticated().send();
    assert_eq!(logged(&lost), json!({ "code": "no_policy", "close": "gateway" }));

    let of_web_app = |rest: Value| {
        let mut all = json!({ "caller": "web-app", "policy": "default", "close": "gateway" });
        all.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        all
    };
    let model = vm.upgrade("/v1/realtime?model=gpt-5").authenticated().send();
    assert_eq!(logged(&model), of_web_app(json!({ "model": "gpt-5", "code": "model_not_allowed" })));
    let body = vm.post("/v1/responses", r#"{"model":"gpt-5"}"#).authenticated().send();
    assert_eq!(logged(&body), of_web_app(json!({ "model": "gpt-5", "code": "model_not_allowed" })));
    let unread = vm.post("/v1/responses", "{").authenticated().send();
    assert_eq!(logged(&unread), of_web_app(json!({ "code": "malformed_request" })));

    let bound = secret(&vm, "default", &json!({ "user": "u_1", "origin": "https://app.example.com" }));
    let page = vm.upgrade("/v1/realtime").line("authorization", &bound).line("origin", "https://evil.example").send();
    assert_eq!(logged(&page), of_web_app(json!({ "user": "u_1", "code": "origin_not_allowed" })));

    let _first = open(&vm, "default");
    let second = vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send();
    let limit = json!({
        "provider": "openai", "model": "gpt-realtime", "code": "session_limit_exceeded",
        "limit": "caller.concurrent_sessions",
    });
    assert_eq!(logged(&second), of_web_app(limit));

    let rejected = vm.post("/v1/responses", r#"{"model":"gpt-realtime"}"#).authenticated().send();
    rejected.upstream();
    rejected.respond(401, [("x", "y")]);
    let key = json!({ "provider": "openai", "model": "gpt-realtime", "code": "provider_key_rejected" });
    assert_eq!(logged(&rejected), of_web_app(key));
}

#[test]
fn a_model_of_any_length_is_logged_in_part() {
    let vm = guarded();
    let body = json!({ "model": "m\u{e9}".repeat(500) }).to_string();
    let denied = vm.post("/v1/responses", body).authenticated().send();
    denied.log();
    let model = denied.access_log_field("model");
    assert!((100..=128).contains(&model.len()) && model.starts_with("m\u{e9}m"), "{model}");
}

#[test]
fn the_limit_that_ended_a_session_is_logged() {
    for (policy, gateway, limit) in [
        ("brief", json!({}), "session.max_duration"),
        ("brief", json!({ "max_duration": "1s" }), "secret.max_duration"),
        ("brief", json!({ "max_duration": "3s" }), "session.max_duration"),
    ] {
        let vm = guarded();
        let credential = secret(&vm, policy, &gateway);
        let session = vm.upgrade("/v1/realtime").with_policy(policy).line("authorization", credential).send();
        session.upstream();
        session.respond(101, ACCEPTED);
        (0..3).for_each(|_| vm.wait(Duration::from_secs(1)));
        session.send_upstream(b"\x89\x00");
        assert_eq!(session.closed_with(), Some(("max_duration_exceeded".into(), 4408)));
        let logged = logged(&session);
        assert_eq!((&logged["code"], &logged["close"]), (&json!("4408"), &json!("gateway")));
        assert_eq!((&logged["limit"], &logged["reason"]), (&json!(limit), &json!("max_duration_exceeded")));
    }
}

#[test]
fn a_session_that_no_close_frame_ended_is_logged_by_what_envoy_says() {
    for (details, close, reason) in [
        ("downstream_remote_disconnect", "client", None),
        ("upstream_reset_after_response_started{connection_termination}", "upstream", None),
        ("stream_idle_timeout", "gateway", Some("stream_idle_timeout")),
        ("downstream_local_disconnect(filter_chain_is_being_removed)", "gateway", Some("downstream_local_disconnect")),
    ] {
        let vm = guarded();
        let session = open(&vm, "default");
        session.property("response\0code_details", details);
        let logged = logged(&session);
        assert_eq!((&logged["code"], &logged["close"]), (&json!("1006"), &json!(close)), "{details}");
        assert_eq!(logged.get("reason").and_then(Value::as_str), reason, "{details}");
    }
}
