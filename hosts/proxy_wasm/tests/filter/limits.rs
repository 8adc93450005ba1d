//! What callers may use up: who is let in, and what frees a place.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{ACCEPTED, error, vm};
use crate::host::{Exchange, Vm};

/// A plugin whose caller has these limits.
fn limited(limits: Value) -> Vm {
    vm(json!({
        "callers": { "web-app": { "limits": limits } },
        "client_secrets": { "mode": "local", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }] },
        "prices": { "gpt-*": { "input_text": 1.0 } },
    }))
}

fn open(vm: &Vm) -> Exchange {
    let exchange = vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send();
    exchange.upstream();
    exchange.respond(101, ACCEPTED);
    exchange
}

/// The code and `retry-after` of the refusal of one more WebSocket.
#[track_caller]
fn refused(vm: &Vm) -> (String, String) {
    let refusal = vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send().refusal();
    let error = error(&refusal);
    assert_eq!((refusal.status(), &error["type"]), (429, &"rate_limit_error".into()));
    (error["code"].as_str().unwrap().into(), refusal.lines.all("retry-after").concat())
}

/// What an upstream says a response has used, as a frame of its own.
fn used(input: u32) -> Vec<u8> {
    let event = json!({
        "type": "response.done",
        "response": { "id": format!("resp_{input}"), "status": "completed", "usage": {
            "total_tokens": input, "input_tokens": input, "output_tokens": 0,
            "input_token_details": { "text_tokens": input }, "output_token_details": {},
        } },
    })
    .to_string();
    let length = u16::try_from(event.len()).unwrap();
    [&[0x81, 126], length.to_be_bytes().as_slice(), event.as_bytes()].concat()
}

#[test]
fn a_session_no_longer_counts_when_it_ends_however_far_it_came() {
    let vm = limited(json!({ "concurrent_sessions": 2 }));
    let first = open(&vm);
    let second = vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send();
    second.upstream();
    assert_eq!(refused(&vm), ("session_limit_exceeded".into(), "5".into()));
    second.respond(503, [("content-length", "0")]);
    drop(second);
    let third = open(&vm);
    assert_eq!(refused(&vm).0, "session_limit_exceeded");
    drop((first, third));
    drop((open(&vm), open(&vm)));
}

#[test]
fn what_is_no_session_does_not_count_as_one() {
    let vm = limited(json!({ "concurrent_sessions": 1 }));
    let _session = open(&vm);
    vm.post("/v1/responses", "{}").authenticated().send().upstream();
    assert_eq!(refused(&vm).0, "session_limit_exceeded");
}

#[test]
fn sessions_may_start_so_often_in_a_minute() {
    let vm = limited(json!({ "sessions_per_minute": 2 }));
    drop((open(&vm), open(&vm)));
    assert_eq!(refused(&vm), ("rate_limit_exceeded".into(), "60".into()));
    vm.wait(Duration::from_secs(60));
    assert_eq!(refused(&vm), ("rate_limit_exceeded".into(), "1".into()));
    vm.wait(Duration::from_secs(1));
    open(&vm);
}

#[test]
fn a_day_s_tokens_end_what_runs_and_refuse_what_comes_until_midnight() {
    a_spent_budget_holds_until_midnight(json!({ "tokens_per_day": 100 }));
}

#[test]
fn a_day_s_dollars_end_what_runs_and_refuse_what_comes_until_midnight() {
    a_spent_budget_holds_until_midnight(json!({ "cost_usd_per_day": 0.0001 }));
}

fn a_spent_budget_holds_until_midnight(limits: Value) {
    let vm = limited(limits);
    let (spender, other) = (open(&vm), open(&vm));
    spender.send_upstream(&used(99));
    assert_eq!(spender.closed_with(), None);
    spender.send_upstream(&used(1));
    assert_eq!(spender.closed_with(), Some(("budget_exceeded".into(), 4429)));
    vm.wait(Duration::from_secs(1));
    other.send_upstream(b"\x89\x00");
    assert_eq!(other.closed_with(), Some(("budget_exceeded".into(), 4429)));
    let (code, retry_after) = refused(&vm);
    assert_eq!((code.as_str(), retry_after.as_str()), ("budget_exceeded", "86399"));
    for path in ["/v1/responses", "/v1/realtime/client_secrets", "/v1/realtime/calls?model=gpt-realtime"] {
        let refusal = vm.post(path, r#"{"model":"gpt-realtime"}"#).authenticated().send().refusal();
        assert_eq!(error(&refusal)["code"], "budget_exceeded", "{path}");
    }
    drop((spender, other));
    vm.wait(Duration::from_secs(86_399));
    open(&vm);
}

#[test]
fn who_has_nothing_left_may_end_a_call() {
    let vm = vm(json!({ "callers": { "web-app": { "limits": { "tokens_per_day": 100 } } } }));
    open(&vm).send_upstream(&used(100));
    assert_eq!(refused(&vm).0, "budget_exceeded");
    vm.request("POST", "/v1/realtime/calls/rtc_1/hangup").authenticated().send().upstream();
}

#[test]
fn the_limits_come_last_of_all_checks() {
    let vm = limited(json!({ "concurrent_sessions": 1 }));
    let _session = open(&vm);
    let request = vm.upgrade("/v1/realtime?model=a&model=b").authenticated();
    assert_eq!(request.send().refused(), (400, "malformed_request".into()));
}

#[test]
fn a_call_is_limited_however_its_path_is_spelled() {
    let vm = limited(json!({ "concurrent_sessions": 1 }));
    let call = |path| vm.request("POST", path).line("content-type", "application/sdp").authenticated().body("v=0");
    for path in ["/v1/realtime/calls/", "/v1/realtime//calls", "/v1/Realtime/calls", "/v1/realtime/%63alls"] {
        assert_eq!(call(path).send().refused(), (403, "route_not_allowed".into()), "{path}");
    }
    call("/v1/realtime/calls").send().upstream();
}

#[test]
fn a_secret_cannot_have_limits_where_nothing_is_metered() {
    let vm = vm(json!({
        "policies": { "default": { "provider": "openai", "meter": false } },
        "client_secrets": { "mode": "local", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }] },
    }));
    let mint = |gateway: Value| {
        let body = json!({ "session": { "type": "realtime", "model": "gpt-realtime" }, "gateway": gateway });
        vm.post("/v1/realtime/client_secrets", body.to_string()).authenticated().send().refusal()
    };
    assert_eq!(mint(json!({ "user": "u" })).status(), 200);
    let refusal = mint(json!({ "max_duration": "5m" }));
    assert_eq!((refusal.status(), &error(&refusal)["code"]), (400, &"invalid_gateway_object".into()));
}
