//! The control API, and what it does to sessions.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{ACCEPTED, TOKEN, vm};
use crate::host::{Exchange, Fate, Request, Vm};

const CONTROL: &str = "token-of-the-operator";

fn controlled(patch: Value) -> Vm {
    let mut configuration = json!({
        "control": { "path": "/realtime-byok", "token": { "value": CONTROL } },
        "prices": { "gpt-*": { "input_text": 1.0 } },
    });
    configuration.as_object_mut().unwrap().extend(patch.as_object().cloned().unwrap());
    vm(configuration)
}

fn ask(vm: &Vm, method: &str, path: &str) -> (u16, Value) {
    answered(vm.request(method, format!("/realtime-byok{path}")).line("authorization", format!("Bearer {CONTROL}")))
}

fn answered(request: Request<'_>) -> (u16, Value) {
    let answer = request.send().refusal();
    assert_eq!(answer.lines.all("content-type"), ["application/json"]);
    let is_unknown = answer.status() == 401;
    let details = if is_unknown { "realtime_byok.invalid_control_token" } else { "realtime_byok.control" };
    assert_eq!(answer.details, details);
    (answer.status(), serde_json::from_slice(&answer.body).unwrap())
}

fn open(vm: &Vm) -> Exchange {
    let exchange = vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send();
    exchange.upstream();
    exchange.respond(101, ACCEPTED);
    exchange
}

#[test]
fn a_session_is_listed_from_its_101_on_and_after_its_end() {
    let vm = controlled(json!({}));
    let none = json!({ "object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false });
    assert_eq!(ask(&vm, "GET", "/sessions"), (200, none));
    let session = open(&vm);
    let (_, list) = ask(&vm, "GET", "/sessions");
    let record = &list["data"][0];
    assert_eq!(
        (&record["status"], &record["caller"], &record["model"]),
        (&"open".into(), &"web-app".into(), &"gpt-realtime".into())
    );
    let id = record["id"].as_str().unwrap().to_owned();
    session.send_upstream(b"\x89\x00");
    vm.wait(Duration::from_secs(3));
    let (status, record) = ask(&vm, "GET", &format!("/sessions/{id}"));
    assert_eq!((status, &record["frames"]["upstream"], &record["duration_ms"]), (200, &1.into(), &3000.into()));
    session.send_upstream(b"\x88\x02\x03\xe8");
    drop(session);
    let (_, record) = ask(&vm, "GET", &format!("/sessions/{id}"));
    assert_eq!(record["status"], "closed");
    assert_eq!(record["close"], json!({ "by": "upstream", "code": 1000, "reason": "" }));
    assert_eq!(ask(&vm, "DELETE", &format!("/sessions/{id}")).0, 200);
}

#[test]
fn a_session_that_one_side_has_closed_is_open_until_its_connection_is() {
    let vm = controlled(json!({}));
    let session = open(&vm);
    session.send_upstream(b"\x88\x02\x03\xe8");
    vm.wait(Duration::from_secs(1));
    let (_, list) = ask(&vm, "GET", "/sessions");
    assert_eq!((&list["data"][0]["status"], &list["data"][0]["close"]), (&"open".into(), &Value::Null));
    drop(session);
    let (_, list) = ask(&vm, "GET", "/sessions");
    assert_eq!(list["data"][0]["close"], json!({ "by": "upstream", "code": 1000, "reason": "" }));
}

#[test]
fn a_stop_reaches_the_client_and_a_client_that_does_not_close_is_cut() {
    let vm = controlled(json!({}));
    let session = open(&vm);
    let (_, list) = ask(&vm, "GET", "/sessions?caller=web-app&status=open");
    let id = list["data"][0]["id"].as_str().unwrap().to_owned();
    let (status, record) = ask(&vm, "DELETE", &format!("/sessions/{id}"));
    assert_eq!((status, &record["status"]), (202, &"stopping".into()));
    vm.wait(Duration::from_secs(1));
    session.send_upstream(b"\x89\x00");
    assert_eq!(session.closed_with(), Some(("session_stopped".into(), 4410)));
    assert_ne!(session.fate(), Fate::Reset);
    vm.wait(Duration::from_secs(3));
    assert_eq!(session.fate(), Fate::Reset);
    drop(session);
    let (status, record) = ask(&vm, "DELETE", &format!("/sessions/{id}"));
    assert_eq!((status, &record["status"]), (200, &"closed".into()));
    assert_eq!(record["close"], json!({ "by": "gateway", "code": 4410, "reason": "session_stopped" }));
}

#[test]
fn it_needs_a_token_of_its_own_and_no_route() {
    let vm = controlled(json!({ "policies": { "default": null, "voice": { "provider": "openai" } } }));
    assert_eq!(ask(&vm, "GET", "/sessions").0, 200);
    for credential in [None, Some(format!("Bearer {TOKEN}")), Some(CONTROL.to_owned()), Some("Bearer ".to_owned())] {
        let request = vm.request("GET", "/realtime-byok/sessions");
        let request = credential.iter().fold(request, |request, value| request.line("authorization", value));
        let (status, body) = answered(request);
        assert_eq!((status, &body["error"]["code"]), (401, &"invalid_control_token".into()), "{credential:?}");
    }
    let logged = vm.request("GET", "/realtime-byok/sessions?access_token=t&x=1").send();
    assert_eq!(logged.logged_path(), "/realtime-byok/sessions?x=1");
    let other = vm.request("GET", "/realtime-byokx/sessions").line("authorization", format!("Bearer {CONTROL}"));
    assert_eq!(other.send().refused(), (404, "no_policy".into()));
}

#[test]
fn what_callers_have_used_today_is_listed() {
    let vm = controlled(json!({}));
    drop((open(&vm), open(&vm)));
    vm.wait(Duration::from_secs(1));
    let (status, list) = ask(&vm, "GET", "/usage");
    assert_eq!(status, 200);
    assert_eq!((&list["data"][0]["caller"], &list["data"][0]["date"]), (&"web-app".into(), &"2026-11-15".into()));
    assert_eq!(list["data"][0]["sessions"], 2);
}

#[test]
fn a_call_is_a_session() {
    let vm = controlled(
        json!({ "callers": { "web-app": { "tokens": [{ "env": "WEB_APP_TOKEN" }], "limits": { "concurrent_sessions": 1 } } } }),
    );
    let call = vm.request("POST", "/v1/realtime/calls?model=gpt-realtime").line("content-type", "application/sdp");
    let exchange = call.clone().authenticated().body("v=0").send();
    exchange.upstream();
    exchange.respond(201, [("location", "/v1/realtime/calls/rtc_7")]);
    drop(exchange);
    let (_, list) = ask(&vm, "GET", "/sessions");
    let record = &list["data"][0];
    assert_eq!(
        (&record["kind"], &record["upstream_id"], &record["status"]),
        (&"webrtc".into(), &"rtc_7".into(), &"open".into())
    );
    assert_eq!(call.authenticated().body("v=0").send().refused(), (429, "session_limit_exceeded".into()));
}

#[test]
fn a_websocket_that_joins_a_call_needs_no_model_and_takes_the_call_with_it_when_it_is_ended() {
    let vm = controlled(json!({ "policies": { "default": { "provider": "openai", "models": ["gpt-realtime*"] } } }));
    let join = |path| vm.upgrade(path).authenticated().send();
    assert_eq!(join("/v1/realtime?call_id=a&call_id=b").refused(), (403, "route_not_allowed".into()));
    let sideband = join("/v1/realtime?call_id=rtc_7");
    assert_eq!(sideband.upstream().lines.all(":path"), ["/v1/realtime?call_id=rtc_7"]);
    sideband.respond(101, ACCEPTED);
    ask(&vm, "DELETE", "/sessions?caller=web-app");
    vm.wait(Duration::from_secs(1));
    sideband.property("xds\0cluster_name", "openai");
    sideband.property("request\0host", "api.openai.com");
    sideband.property("request\0path", "/v1/realtime?call_id=rtc_7");
    drop(sideband);
    vm.wait(Duration::from_secs(1));
    let [hangup] = vm.http_calls().try_into().unwrap();
    assert_eq!(hangup.cluster, "openai");
    assert_eq!(hangup.lines.all(":path"), ["/v1/realtime/calls/rtc_7/hangup"]);
    assert_eq!(hangup.lines.all("authorization"), ["Bearer sk-openai-provider-key"]);
    vm.answer_http_call(Some(200));
    vm.wait(Duration::from_secs(30));
    assert_eq!(vm.http_calls().len(), 1);
}
