//! Calls whose ids are sealed: whose they are, on any replica, and by which key they are ended.

use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::located;
use crate::fixture::{ACCEPTED, TOKEN, refusal, vm};
use crate::host::{Exchange, Level, Vm};

const OTHER: &str = "token-of-another-caller";
const RAW: &str = "rtc_u1_9c6574da8b8a41a18da9308f4ad974ce";
const RAW_LIVE: &str = "live_68af296e8e408191a1120ab6383263c2";

/// A replica of a fleet: all have the same configuration, and no store.
fn replica(patch: Value) -> Vm {
    let keys = json!([
        { "name": "a", "key": { "env": "AZURE_KEY" } },
        { "name": "b", "key": { "env": "AZURE_KEY_B" } },
    ]);
    let mut configuration = json!({
        "providers": { "openai": { "key": null, "keys": keys } },
        "callers": { "other": { "tokens": [{ "value": OTHER }] } },
        "client_secrets": {
            "mode": "local", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }],
        },
    });
    let whole = configuration.as_object_mut().unwrap();
    for (name, value) in patch.as_object().cloned().unwrap() {
        let mut merged = whole.remove(&name).unwrap_or_else(|| json!({}));
        merged.as_object_mut().unwrap().extend(value.as_object().cloned().unwrap());
        whole.insert(name, merged);
    }
    vm(configuration)
}

/// A client secret of web-app's for this user.
fn mint(vm: &Vm, gateway: Value) -> String {
    let body = json!({ "session": { "type": "realtime", "model": "gpt-realtime" }, "gateway": gateway });
    let request = vm.post("/v1/realtime/client_secrets", body.to_string()).authenticated();
    let answer: Value = serde_json::from_slice(&request.send().refusal().body).unwrap();
    answer["value"].as_str().unwrap().to_owned()
}

/// A call that has begun with this credential: its exchange, its sealed id, and the key that it began with.
fn begun(vm: &Vm, credential: &str) -> (Exchange, String, String) {
    let path = "/v1/realtime/calls?model=gpt-realtime";
    let request = vm.request("POST", path).line("content-type", "application/sdp");
    let call = request.line("authorization", format!("Bearer {credential}")).body("v=0").send();
    let key = call.upstream().lines.all("authorization").concat();
    located(&call, path);
    let location = format!("/v1/realtime/calls/{RAW}");
    let answer = call.respond(201, [("location", location.as_str()), ("x-call", RAW), ("x-other", "1")]);
    let id = answer.lines.all("location").concat().rsplit('/').next().unwrap().to_owned();
    assert_eq!(answer.lines.all("location"), [format!("/v1/realtime/calls/{id}")]);
    assert_eq!((answer.lines.all("x-call"), answer.lines.all("x-other")), (vec![id.clone()], vec!["1".to_owned()]));
    assert!(id.starts_with("rtc_") && !answer.lines.text().concat().contains(RAW), "{id}");
    (call, id, key)
}

fn control(vm: &Vm, credential: &str, id: &str, action: &str) -> Exchange {
    let path = format!("/v1/realtime/calls/{id}/{action}?x=1");
    vm.request("POST", path).line("authorization", format!("Bearer {credential}")).send()
}

fn join(vm: &Vm, credential: &str, id: &str) -> Exchange {
    let path = format!("/v1/realtime?call_id={id}&x=1");
    vm.upgrade(&path).line("authorization", format!("Bearer {credential}")).send()
}

#[test]
fn a_call_is_named_by_its_sealed_id_on_any_replica_and_goes_on_with_the_key_that_it_began_with() {
    let first = replica(json!({}));
    let began: Vec<_> = (0..16).map(|_| begun(&first, TOKEN)).collect();
    let second = replica(json!({}));
    for (_, id, key) in &began {
        for vm in [&first, &second] {
            let sideband = join(vm, TOKEN, id).upstream();
            assert_eq!(sideband.lines.all(":path"), [format!("/v1/realtime?call_id={RAW}&x=1")]);
            assert_eq!(sideband.lines.all("authorization"), [key.as_str()]);
            for action in ["accept", "reject", "refer", "hangup"] {
                let request = control(vm, TOKEN, id, action).upstream();
                assert_eq!(request.lines.all(":path"), [format!("/v1/realtime/calls/{RAW}/{action}?x=1")]);
                assert_eq!(request.lines.all("authorization"), [key.as_str()]);
            }
        }
    }
    assert!(began.iter().any(|(_, _, key)| *key != began[0].2), "both keys were used");
}

#[test]
fn no_other_line_of_a_name_is_lost_where_an_id_is_sealed() {
    let vm = replica(json!({}));
    let request = vm.request("POST", "/v1/realtime/calls?model=gpt-realtime").line("content-type", "application/sdp");
    let call = request.line("authorization", format!("Bearer {TOKEN}")).body("v=0").send();
    call.upstream();
    let lines = [("link", "</a>"), ("link", RAW), ("link", "</b>"), ("location", RAW)];
    let answer = call.respond(201, lines);
    let id = answer.lines.all("location").concat();
    assert_eq!(answer.lines.all("link"), [format!("</a>, {id}, </b>")]);
}

#[test]
fn nobody_else_joins_or_controls_a_call_even_where_it_is_not_known() {
    let first = replica(json!({}));
    let (_call, id, _) = begun(&first, TOKEN);
    for vm in [first, replica(json!({}))] {
        assert_eq!(join(&vm, OTHER, &id).refused(), refusal(403, "route_not_allowed"));
        for action in ["accept", "reject", "refer", "hangup"] {
            assert_eq!(control(&vm, OTHER, &id, action).refused(), refusal(403, "route_not_allowed"), "{action}");
        }
    }
}

#[test]
fn a_call_of_one_user_is_not_joined_by_another() {
    let first = replica(json!({}));
    let (_call, id, _) = begun(&first, &mint(&first, json!({ "user": "u_1" })));
    for vm in [first, replica(json!({}))] {
        let user = |user: &str| mint(&vm, json!({ "user": user }));
        assert_eq!(join(&vm, &user("u_2"), &id).refused(), refusal(403, "route_not_allowed"));
        join(&vm, &user("u_1"), &id).upstream();
        join(&vm, TOKEN, &id).upstream();
    }
}

#[test]
fn what_was_not_sealed_here_names_no_call() {
    let vm = replica(json!({}));
    let (_call, id, _) = begun(&vm, TOKEN);
    let middle = id.len() / 2;
    let other = if id.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let tampered = format!("{}{other}{}", &id[..middle], &id[middle + 1..]);
    let as_live = id.replacen("rtc_", "live_", 1);
    let as_secret = mint(&vm, json!({})).replacen("ek_", "rtc_", 1);
    for id in [RAW, RAW_LIVE, &tampered, &as_live, &as_secret, &id[..id.len() - 1], "rtc_x"] {
        assert_eq!(join(&vm, TOKEN, id).refused(), refusal(403, "route_not_allowed"), "{id}");
        assert_eq!(control(&vm, TOKEN, id, "hangup").refused(), refusal(403, "route_not_allowed"), "{id}");
        let attach = vm.upgrade(&format!("/v1/live/sessions/{id}/attach")).authenticated().send();
        assert_eq!(attach.refused(), refusal(403, "route_not_allowed"), "{id}");
    }
    let id_as_secret = id.replacen("rtc_", "ek_", 1);
    assert_eq!(join(&vm, &id_as_secret, &id).refused(), refusal(401, "invalid_gateway_token"));
}

#[test]
fn raw_ids_name_calls_where_the_policy_says_so_and_known_ones_are_still_owned() {
    let vm = replica(json!({ "policies": { "default": { "provider": "openai", "calls": { "raw_ids": "allow" } } } }));
    let (call, id, _) = begun(&vm, TOKEN);
    for credential in [TOKEN, OTHER] {
        let request = control(&vm, credential, "rtc_of_sip", "accept").upstream();
        assert_eq!(request.lines.all(":path"), ["/v1/realtime/calls/rtc_of_sip/accept?x=1"]);
    }
    for named in [RAW, &id] {
        assert_eq!(control(&vm, OTHER, named, "refer").refused(), refusal(403, "route_not_allowed"));
        control(&vm, TOKEN, named, "refer").upstream();
    }
    let tampered = format!("{}A{}", &id[..50], &id[51..]);
    assert_eq!(control(&vm, TOKEN, &tampered, "refer").refused(), refusal(403, "route_not_allowed"));
    drop(call);
}

#[test]
fn what_a_call_may_use_holds_for_its_sidebands_on_any_replica() {
    let first = replica(json!({}));
    let (_call, id, _) = begun(&first, &mint(&first, json!({ "max_tokens": 10 })));
    let second = replica(json!({}));
    let sideband = join(&second, TOKEN, &id);
    sideband.upstream();
    sideband.respond(101, ACCEPTED);
    let done = json!({
        "type": "response.done", "event_id": "event_1",
        "response": { "id": "resp_1", "status": "completed", "usage": {
            "total_tokens": 11, "input_tokens": 6, "output_tokens": 5,
            "input_token_details": { "text_tokens": 6, "audio_tokens": 0 },
            "output_token_details": { "text_tokens": 5, "audio_tokens": 0 },
        } },
    });
    let payload = done.to_string();
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    sideband.send_upstream(&[&[0x81, 126][..], &length, payload.as_bytes()].concat());
    let received = String::from_utf8_lossy(&sideband.received()).into_owned();
    assert!(received.contains("budget_exceeded"), "{received}");
}

#[test]
fn a_call_that_is_ended_is_ended_by_its_upstreams_id_and_its_own_key() {
    let vm =
        replica(json!({ "policies": { "default": { "provider": "openai", "session": { "max_duration": "5s" } } } }));
    let began: Vec<_> = (0..8).map(|_| begun(&vm, TOKEN).2).collect();
    vm.wait(Duration::from_secs(6));
    let hangups = vm.http_calls();
    let ended: Vec<_> = hangups.iter().map(|hangup| hangup.lines.all("authorization").concat()).collect();
    assert_eq!(ended, began);
    assert_eq!(hangups[0].lines.all(":path"), [format!("/v1/realtime/calls/{RAW}/hangup")]);
}

/// A call of Live: the request, which holds its models, and its exchange.
fn live(vm: &Vm, session: Value) -> Exchange {
    let body = json!({ "session": session, "transport": { "type": "webrtc", "sdp": "v=0" } });
    vm.post("/v1/live/sessions", body.to_string()).authenticated().send()
}

fn live_answer(id: &str) -> String {
    json!({ "session": { "id": id }, "transport": { "type": "webrtc", "sdp": "v=0" } }).to_string()
}

#[test]
fn a_local_secrets_call_of_live_names_the_model_that_it_was_minted_for() {
    let vm = replica(json!({}));
    let secret = mint(&vm, json!({}));
    let live = |session: Value| {
        let request = vm.request("POST", "/v1/live/sessions").line("content-type", "application/json");
        request.line("authorization", format!("Bearer {secret}")).body(json!({ "session": session }).to_string()).send()
    };
    assert_eq!(live(json!({ "model": "another" })).refused(), refusal(403, "model_not_allowed"));
    assert_eq!(live(json!({ "voice": "x" })).refused(), refusal(400, "malformed_request"));
    live(json!({ "model": "gpt-realtime" })).upstream();
}

#[test]
fn a_call_of_live_is_named_in_its_body_and_joined_and_ended_by_that() {
    let limits = json!({ "web-app": { "limits": { "concurrent_sessions": 1 } } });
    let vm = replica(json!({
        "callers": limits,
        "policies": { "default": { "provider": "openai", "session": { "max_duration": "5s" } } },
    }));
    let call = live(&vm, json!({ "model": "gpt-live-1" }));
    let key = call.upstream().lines.all("authorization").concat();
    located(&call, "/v1/live/sessions");
    let body = live_answer(RAW_LIVE);
    call.response_headers(
        &[
            (":status".into(), b"201".to_vec()),
            ("content-type".into(), b"application/json".to_vec()),
            ("content-length".into(), body.len().to_string().into_bytes()),
        ],
        true,
    );
    call.response_body(&body.as_bytes()[..20], false);
    call.response_body(&body.as_bytes()[20..], true);
    let answer = call.answer();
    let body = String::from_utf8(call.received()).unwrap();
    let read: Value = serde_json::from_str(&body).unwrap();
    let id = read["session"]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("live_") && !body.contains(RAW_LIVE));
    assert_eq!(read["transport"], json!({ "type": "webrtc", "sdp": "v=0" }));
    assert_eq!(answer.lines.all("content-length"), [body.len().to_string()]);
    assert_eq!(live(&vm, json!({ "model": "gpt-live-1" })).refused(), refusal(429, "session_limit_exceeded"));
    drop(call);

    let other = replica(json!({}));
    for vm in [&vm, &other] {
        let attach = |token: &str| {
            let path = format!("/v1/live/sessions/{id}/attach?graceful_close=true");
            vm.upgrade(&path).line("authorization", format!("Bearer {token}")).send()
        };
        assert_eq!(attach(OTHER).refused(), refusal(403, "route_not_allowed"));
        let sideband = attach(TOKEN).upstream();
        assert_eq!(sideband.lines.all(":path"), [format!("/v1/live/sessions/{RAW_LIVE}/attach?graceful_close=true")]);
        assert_eq!(sideband.lines.all("authorization"), [key.as_str()]);
        for (method, action) in [("POST", "hangup"), ("POST", "refer"), ("GET", "content")] {
            let request = |token: &str| {
                let path = format!("/v1/live/sessions/{id}/{action}");
                vm.request(method, path).line("authorization", format!("Bearer {token}")).send()
            };
            assert_eq!(request(OTHER).refused(), refusal(403, "route_not_allowed"));
            let path = format!("/v1/live/sessions/{RAW_LIVE}/{action}");
            assert_eq!(request(TOKEN).upstream().lines.all(":path"), [path]);
        }
    }
    vm.wait(Duration::from_secs(6));
    let [hangup] = vm.http_calls().try_into().unwrap();
    assert_eq!(hangup.lines.all(":path"), [format!("/v1/live/sessions/{RAW_LIVE}/hangup")]);
    assert_eq!(hangup.lines.all("authorization"), [key]);
}

#[test]
fn an_answer_of_live_that_names_no_call_is_not_passed_on() {
    for body in
        ["", "v=0", "{}", r#"{"session":{"id":7}}"#, r#"{"session":{"id":"a/b"}}"#, &live_answer(&"a".repeat(1 << 20))]
    {
        let vm = replica(json!({}));
        let call = live(&vm, json!({ "model": "gpt-live-1" }));
        call.upstream();
        call.response_headers(&[(":status".into(), b"201".to_vec())], true);
        call.response_body(body.as_bytes(), true);
        assert_eq!(call.answer().status(), 502, "{} bytes", body.len());
        drop(call);
        assert!(vm.log().iter().any(|(level, line)| *level == Level::Warn && line.contains("`session.id`")));
    }
}

#[test]
fn the_models_of_a_call_of_live_are_judged_and_resolved() {
    let vm = replica(json!({ "policies": { "default": {
        "provider": "openai", "models": ["gpt-live-1", "gpt-5*"], "aliases": { "voice": "gpt-live-1", "brain": "gpt-5-mini" },
    } } }));
    let delegated = |model: &str| json!({ "type": "responses", "responses": { "model": model } });
    for (session, want) in [
        (json!({ "model": "gpt-4o" }), refusal(403, "model_not_allowed")),
        (json!({}), refusal(400, "model_required")),
        (json!({ "model": "voice", "delegation": delegated("o3") }), refusal(403, "model_not_allowed")),
        (json!({ "model": "voice", "Model": "gpt-4o" }), refusal(400, "malformed_request")),
    ] {
        assert_eq!(live(&vm, session.clone()).refused(), want, "{session}");
    }
    let call = live(&vm, json!({ "model": "voice", "delegation": delegated("brain") }));
    let sent: Value = serde_json::from_slice(&call.upstream().body).unwrap();
    assert_eq!(sent["session"], json!({ "model": "gpt-live-1", "delegation": delegated("gpt-5-mini") }));
    let form =
        vm.request("POST", "/v1/live/sessions").authenticated().line("content-type", "application/sdp").body("v=0");
    assert_eq!(form.send().refused(), refusal(400, "malformed_request"));
    let in_query = vm.post("/v1/live/sessions?model=voice", r#"{"session":{"model":"voice"}}"#).authenticated();
    assert_eq!(in_query.send().refused(), refusal(400, "malformed_request"));
    let bodiless =
        vm.request("POST", "/v1/live/sessions").authenticated().line("content-type", "application/json").send();
    assert_eq!(bodiless.refused(), refusal(400, "malformed_request"), "nothing follows that could be waited for");
}
