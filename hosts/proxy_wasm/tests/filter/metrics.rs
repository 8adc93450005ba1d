//! What Envoy's statistics come to, through the ABI.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::vm;
use crate::host::Vm;

/// What is told of a model that costs a dollar for a thousand tokens.
fn priced() -> Value {
    json!({ "prices": { "gpt-*": { "input_text": 1000, "output_text": 1000 } } })
}

fn text_frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&[0x81, 126][..], &length, text.as_bytes()].concat()
}

/// The statistics of this end that are not zero, without what all names begin with.
fn counted(vm: &Vm, end: &str) -> Vec<(String, i64)> {
    let all = vm.statistics(end).into_iter().filter(|(_, value)| *value != 0);
    all.map(|(name, value)| (name.strip_prefix("realtime_byok.").unwrap().to_owned(), value)).collect()
}

fn one(name: &str, value: i64) -> Vec<(String, i64)> {
    vec![(name.to_owned(), value)]
}

#[test]
fn what_should_be_noticed_the_first_time_is_known_before() {
    let vm = vm(json!({ "policies": { "health": { "auth": "off" } } }));
    let known = vm.statistics("");
    let names = [
        "memory_bytes",
        "policy=.=default;.;kind=.=websocket;.;sessions_active",
        "provider=.=openai;.;credential=.=key;.;upstream_rejected_total",
    ];
    assert_eq!(known, names.map(|name| (format!("realtime_byok.{name}"), 0)));
}

#[test]
fn a_refusal_counts_once_whoever_refused() {
    let vm = vm(json!({}));
    vm.upgrade("/v1/realtime").send();
    assert_eq!(counted(&vm, "rejected_total"), one("code=.=missing_gateway_token;.;rejected_total", 1));
    vm.post("/v1/responses", "{}").authenticated().send().respond(401, [("x", "y")]);
    let both = [
        ("code=.=missing_gateway_token;.;rejected_total".to_owned(), 1),
        ("code=.=provider_key_rejected;.;caller=.=web-app;.;rejected_total".to_owned(), 1),
        ("provider=.=openai;.;credential=.=key;.;upstream_rejected_total".to_owned(), 1),
    ];
    assert_eq!(counted(&vm, "rejected_total"), both);
}

#[test]
fn a_session_is_active_until_it_has_ended() {
    let vm = vm(priced());
    let active = "policy=.=default;.;kind=.=websocket;.;sessions_active";
    let session = vm.upgrade("/v1/realtime?model=gpt-4.1").authenticated().send();
    session.respond(101, [("upgrade", "websocket")]);
    vm.wait(Duration::from_secs(1));
    assert_eq!(counted(&vm, "sessions_active"), one(active, 1));
    let labels = "caller=.=web-app;.;policy=.=default;.;provider=.=openai;.;kind=.=websocket;.;";
    assert_eq!(counted(&vm, "sessions_total"), one(&format!("{labels}sessions_total"), 1));

    session.send_upstream(&text_frame(
        r#"{"type":"response.done","response":{"id":"r","status":"completed","usage":{"total_tokens":12,"input_tokens":10,"output_tokens":2,"input_token_details":{"text_tokens":10,"audio_tokens":0},"output_token_details":{"text_tokens":2,"audio_tokens":0}}}}"#,
    ));
    vm.wait(Duration::from_secs(1));
    let labels = "caller=.=web-app;.;model=.=gpt-4.1;.;";
    let tokens = [("input", 10), ("output", 2)].map(|(direction, amount)| {
        (format!("{labels}direction=.={direction};.;modality=.=text;.;tokens_total"), amount)
    });
    assert_eq!(counted(&vm, "tokens_total"), tokens);
    assert_eq!(counted(&vm, "cost_micro_usd_total"), one(&format!("{labels}cost_micro_usd_total"), 12_000));

    drop(session);
    assert!(counted(&vm, "sessions_active").is_empty());
    assert_eq!(
        counted(&vm, "ended_total"),
        one("caller=.=web-app;.;policy=.=default;.;reason=.=disconnected;.;ended_total", 1)
    );
    let duration = "policy=.=default;.;kind=.=websocket;.;session_duration_ms";
    assert_eq!(counted(&vm, "session_duration_ms"), one(duration, 2_000));
}

#[test]
fn what_never_opened_was_no_session() {
    let vm = vm(json!({}));
    vm.upgrade("/v1/realtime").authenticated().send().respond(500, [("x", "y")]);
    vm.wait(Duration::from_secs(1));
    for end in ["sessions_active", "sessions_total", "ended_total"] {
        assert!(counted(&vm, end).is_empty(), "{end}");
    }
}
