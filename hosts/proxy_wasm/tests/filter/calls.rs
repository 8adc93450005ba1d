//! WebRTC calls: begun, joined and ended through the filter, and ended by it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{ACCEPTED, TOKEN, refusal, vm};
use crate::host::{Exchange, Level, Vm};

const CALLS: &str = "/v1/realtime/calls?model=gpt-realtime";
const OPERATOR: &str = "token-of-the-operator";
const OTHER: &str = "token-of-another-caller";

fn calling(patch: Value) -> Vm {
    let mut configuration = json!({
        "control": { "path": "/realtime-byok", "token": { "value": OPERATOR } },
        "callers": { "web-app": { "limits": { "concurrent_sessions": 1 } }, "other": { "tokens": [{ "value": OTHER }] } },
        "policies": { "brief": { "provider": "openai", "session": { "max_duration": "5s" } } },
    });
    configuration.as_object_mut().unwrap().extend(patch.as_object().cloned().unwrap());
    vm(configuration)
}

/// A call of web-app's that has begun, and whose stream is not over yet.
fn started_call(vm: &Vm, policy: &str, path: &str, id: &str) -> Exchange {
    let request = vm.request("POST", path).line("content-type", "application/sdp").with_policy(policy);
    let exchange = request.authenticated().body("v=0").send();
    located(&exchange, &exchange.upstream().lines.all(":path").concat());
    exchange.respond(201, [("location", format!("/v1/realtime/calls/{id}"))]);
    exchange
}

/// Envoy knows where a request has gone, and by which path.
pub fn located(exchange: &Exchange, path: &str) {
    exchange.property("xds\0cluster_name", "cluster");
    exchange.property("request\0host", "api.example.com");
    exchange.property("request\0path", path);
}

/// Status, close reason and code of every session, the newest first.
fn listed(vm: &Vm) -> Vec<(String, String, u64)> {
    let request = vm.request("GET", "/realtime-byok/sessions").line("authorization", format!("Bearer {OPERATOR}"));
    let list: Value = serde_json::from_slice(&request.send().refusal().body).unwrap();
    let shown = |record: &Value| {
        let close = &record["close"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&record["status"]), text(&close["by"]), close["code"].as_u64().unwrap_or_default())
    };
    list["data"].as_array().unwrap().iter().map(shown).collect()
}

fn session(status: &str, by: &str, code: u64) -> Vec<(String, String, u64)> {
    vec![(status.into(), by.into(), code)]
}

#[test]
fn a_call_is_ended_by_the_key_and_the_account_that_it_began_with() {
    let keys = json!([
        { "name": "a", "key": { "env": "AZURE_KEY" } },
        { "name": "b", "key": { "env": "AZURE_KEY_B" } },
    ]);
    let openai = json!({ "kind": "openai", "key": null, "keys": keys, "organization": "org_1", "project": "proj_1" });
    let vm = calling(json!({ "providers": { "openai": openai }, "callers": { "web-app": { "limits": null } } }));
    let path = format!("{CALLS}&api-version=1");
    let began = (0..32).map(|number| {
        let call = started_call(&vm, "brief", &path, &format!("rtc_{number}"));
        call.upstream().lines.all("authorization").concat()
    });
    let began: Vec<_> = began.collect();
    vm.wait(Duration::from_secs(5));
    let hangups = vm.http_calls();
    let ended: Vec<_> = hangups.iter().map(|hangup| hangup.lines.all("authorization").concat()).collect();
    assert_eq!(ended, began);
    assert!(began.iter().any(|key| *key != began[0]), "both keys were used");
    assert_eq!(hangups[0].lines.all(":path"), ["/v1/realtime/calls/rtc_0/hangup?api-version=1"]);
    assert_eq!(hangups[0].lines.all("openai-organization"), ["org_1"]);
    assert_eq!(hangups[0].lines.all("openai-project"), ["proj_1"]);
}

#[test]
fn a_call_that_must_end_is_asked_to_until_it_has() {
    let vm = calling(json!({}));
    drop(started_call(&vm, "brief", CALLS, "rtc_1"));
    vm.wait(Duration::from_secs(6));
    assert_eq!((vm.http_calls().len(), listed(&vm)), (1, session("stopping", "", 0)));
    vm.answer_http_call(Some(503));
    vm.wait(Duration::from_secs(1));
    vm.answer_http_call(None);
    let again = vm.request("POST", CALLS).authenticated().line("content-type", "application/sdp").body("v=0").send();
    assert_eq!(again.refused(), refusal(429, "session_limit_exceeded"));
    vm.wait(Duration::from_secs(2));
    assert_eq!(vm.http_calls().len(), 3);
    vm.answer_http_call(Some(200));
    vm.wait(Duration::from_secs(60));
    assert_eq!((vm.http_calls().len(), listed(&vm)), (3, session("closed", "gateway", 4408)));
    let warnings: Vec<_> = vm.log().into_iter().filter(|(_, line)| line.contains("rtc_1")).collect();
    let [(Level::Warn, warning)] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.ends_with("has not ended call rtc_1 yet, and is asked again; its status: 503"), "{warning}");
}

#[test]
fn a_client_that_leaves_the_answer_unread_has_no_call_without_limits() {
    let vm = calling(json!({}));
    let unread = started_call(&vm, "brief", CALLS, "rtc_1");
    vm.wait(Duration::from_secs(6));
    assert_eq!((vm.http_calls().len(), listed(&vm)), (1, session("stopping", "", 0)));
    vm.answer_http_call(Some(200));
    drop(unread);
    vm.wait(Duration::from_secs(6));
    assert_eq!((vm.http_calls().len(), listed(&vm)), (1, session("closed", "gateway", 4408)));
}

#[test]
fn a_call_without_an_offer_is_refused() {
    let vm = calling(json!({}));
    for path in [CALLS, "/v1/realtime/translations/calls", "/v1/live/sessions"] {
        for content_type in ["application/sdp", "application/json", "multipart/form-data; boundary=x"] {
            let request = vm.request("POST", path).line("content-type", content_type).authenticated();
            assert_eq!(request.send().refused(), refusal(400, "malformed_request"), "{path} {content_type}");
        }
    }
}

#[test]
fn a_hangup_through_the_filter_ends_the_session_when_the_upstream_agrees() {
    let vm = calling(json!({}));
    drop(started_call(&vm, "default", CALLS, "rtc_1"));
    let hang_up = |status| {
        let request = vm.request("POST", "/v1/realtime/calls/rtc_1/hangup").authenticated();
        request.send().respond(status, [("content-length", "0")]);
    };
    hang_up(503);
    vm.request("POST", "/v1/realtime/calls/rtc_2/hangup").authenticated().send().respond(200, ACCEPTED);
    assert_eq!(listed(&vm), session("open", "", 0));
    hang_up(200);
    assert_eq!(listed(&vm), session("closed", "client", 1000));
    let next = started_call(&vm, "default", CALLS, "rtc_3");
    vm.request("POST", "/v1/realtime/calls/rtc_3/hangup").authenticated().send().respond(200, ACCEPTED);
    drop(next);
    vm.wait(Duration::from_secs(1));
    assert_eq!(listed(&vm), [session("closed", "client", 1000), session("closed", "client", 1000)].concat());
    assert_eq!(vm.http_calls().len(), 0);
}

#[test]
fn a_call_of_this_process_is_its_callers_whatever_is_done_to_it() {
    let vm = calling(json!({}));
    drop(started_call(&vm, "default", CALLS, "rtc_1"));
    for action in ["hangup", "refer", "accept", "reject"] {
        let path = format!("/v1/realtime/calls/rtc_1/{action}");
        let request = |token: &str| vm.request("POST", &path).line("authorization", format!("Bearer {token}")).send();
        assert_eq!(request(OTHER).refused(), refusal(403, "route_not_allowed"), "{action}");
        request(TOKEN).upstream();
    }
    assert_eq!(listed(&vm), session("open", "", 0));
}

#[test]
fn a_websocket_joins_its_callers_call_and_is_one_session_with_it() {
    let vm = calling(json!({}));
    let join =
        |token: &str| vm.upgrade("/v1/realtime?call_id=rtc_1").line("authorization", format!("Bearer {token}")).send();
    let call = started_call(&vm, "default", CALLS, "rtc_1");
    assert_eq!(join(OTHER).refused(), refusal(403, "route_not_allowed"));
    let sideband = join(TOKEN);
    sideband.upstream();
    sideband.respond(101, ACCEPTED);
    drop(call);
    assert_eq!(listed(&vm), session("open", "", 0));
    drop(sideband);
    let second = vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send();
    assert_eq!(second.refused(), refusal(429, "session_limit_exceeded"), "the call still counts");
    assert_eq!(join(TOKEN).upstream().lines.all(":path"), ["/v1/realtime?call_id=rtc_1"]);
}

#[test]
fn a_call_is_in_the_access_log_of_the_request_that_began_it() {
    let vm = calling(json!({}));
    let call = started_call(&vm, "default", CALLS, "rtc_1");
    call.log();
    let fields = ["caller", "policy", "provider", "model", "user", "duration", "tokens"];
    let logged = fields.map(|field| call.access_log_field(field));
    assert_eq!(logged, ["web-app", "default", "openai", "gpt-realtime", "", "", ""]);
    assert!(call.access_log_field("id").starts_with("rb_"));
}

#[test]
fn no_call_begins_where_nothing_would_be_known_of_it() {
    let vm = calling(json!({}));
    for path in ["/v1/realtime?model=gpt-realtime", "/v1/Realtime", "/v1/realtime/", "/v1/realtime/calls/"] {
        let request = vm.request("POST", path).authenticated().line("content-type", "application/sdp").body("v=0");
        assert_eq!(request.send().refused(), refusal(403, "route_not_allowed"), "{path}");
    }
}

#[test]
fn a_call_that_the_upstream_does_not_name_is_not_passed_on_and_reported() {
    for location in [None, Some(("location", "/v1/realtime/calls/a%2Fb"))] {
        let vm = calling(json!({}));
        let request = vm.request("POST", CALLS).authenticated().line("content-type", "application/sdp").body("v=0");
        let exchange = request.send();
        let answer = exchange.respond(201, location);
        assert_eq!(answer.status(), 502);
        assert!(String::from_utf8(answer.body).unwrap().contains("invalid_upstream_response"));
        drop(exchange);
        assert!(vm.log().iter().any(|(level, line)| *level == Level::Warn && line.contains("`location`")));
        assert_eq!(listed(&vm), []);
        vm.request("POST", CALLS).authenticated().line("content-type", "application/sdp").body("v=0").send().upstream();
    }
}

#[test]
fn every_way_to_begin_a_call_is_one_of_its_callers_sessions_and_ended_by_its_own_path() {
    for (path, location, hangup) in [
        ("/v1/realtime/calls", "/v1/realtime/calls/rtc_1", "/v1/realtime/calls/rtc_1/hangup"),
        (
            "/v1/realtime/translations/calls",
            "/v1/realtime/translations/calls/rtc_1",
            "/v1/realtime/translations/calls/rtc_1/hangup",
        ),
        (
            "/openai/v1/realtimertc?api-version=preview&model=gpt-realtime",
            "https://eastus2.example.com/openai/v1/realtime/calls/rtc_1",
            "/openai/v1/realtime/calls/rtc_1/hangup?api-version=preview",
        ),
    ] {
        let vm = calling(json!({}));
        let begin = |policy: &str| {
            vm.request("POST", path).line("content-type", "application/sdp").with_policy(policy).authenticated()
        };
        let call = begin("brief").body("v=0").send();
        call.upstream();
        located(&call, path);
        call.respond(201, [("location", location)]);
        assert_eq!(begin("brief").body("v=0").send().refused(), refusal(429, "session_limit_exceeded"), "{path}");
        drop(call);
        assert_eq!(listed(&vm)[..1], session("open", "", 0), "{path}");
        vm.wait(Duration::from_secs(6));
        assert_eq!(vm.http_calls().last().unwrap().lines.all(":path"), [hangup]);
        vm.answer_http_call(Some(200));
        assert_eq!(listed(&vm)[..1], session("closed", "gateway", 4408), "{path}");
        begin("default").body("v=0").send().upstream();
    }
}

#[test]
fn under_a_lock_no_call_begins_since_nothing_could_keep_it() {
    for rule in [
        json!({ "provider": "openai", "lock": ["instructions"] }),
        json!({ "provider": "openai", "tool_types": ["function"] }),
    ] {
        let vm = calling(json!({ "policies": { "default": rule } }));
        for path in [CALLS, "/v1/realtime/translations/calls", "/openai/v1/realtimertc?model=m", "/v1/live/sessions"] {
            let request = vm.request("POST", path).authenticated().line("content-type", "application/sdp").body("v=0");
            let exchange = request.send();
            assert_eq!(exchange.refused(), refusal(403, "route_not_allowed"), "{path}");
            let answer = String::from_utf8(exchange.refusal().body).unwrap();
            assert!(answer.contains("locked") && answer.contains("WebSocket"), "{answer}");
        }
        let accept = vm.request("POST", "/v1/realtime/calls/rtc_1/accept").authenticated().send();
        assert_eq!(accept.refused(), refusal(403, "route_not_allowed"));
        vm.request("POST", "/v1/realtime/calls/rtc_1/hangup").authenticated().send().upstream();
    }
}
