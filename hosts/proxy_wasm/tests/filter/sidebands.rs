//! WebSockets that join a call: one session with it, as many as a call may have, and those that only watch.

use std::time::Duration;

use serde_json::{Value, json};

use crate::conversations::frame;
use crate::fixture::{ACCEPTED, TOKEN, error, refusal, vm};
use crate::host::{Exchange, Vm};

const CALLS: &str = "/v1/realtime/calls?model=gpt-realtime";
const JOIN: &str = "/v1/realtime?call_id=rtc_1";
const OPERATOR: &str = "token-of-the-operator";
const WATCH: (&str, &str) = ("sec-websocket-protocol", "realtime, realtime-byok-watch");

fn calling() -> Vm {
    vm(json!({
        "control": { "path": "/realtime-byok", "token": { "value": OPERATOR } },
        "policies": {
            "small": { "provider": "openai", "session": { "max_tokens": 300 }, "calls": { "sidebands": 2 } },
            "two": { "provider": "openai", "calls": { "sidebands": 2 } },
            "idle": { "provider": "openai", "session": { "idle_timeout": "5s" } },
            "unmetered": { "provider": "openai", "meter": false },
            "unwatched": {
                "provider": "openai", "session": { "max_cost_usd": 1, "max_tokens": 9 }, "calls": { "unwatched": "allow" },
            },
        },
        "prices": { "gpt-realtime*": { "input_text": 1, "output_text": 1 } },
    }))
}

/// A call `rtc_1` of web-app's.
fn call(vm: &Vm, policy: &str) {
    let request = vm.request("POST", CALLS).line("content-type", "application/sdp").with_policy(policy);
    let exchange = request.authenticated().body("v=0").send();
    exchange.upstream();
    exchange.property("xds\0cluster_name", "cluster");
    exchange.property("request\0host", "api.example.com");
    exchange.property("request\0path", &exchange.upstream().lines.all(":path").concat());
    exchange.respond(201, [("location", "/v1/realtime/calls/rtc_1")]);
}

fn join(vm: &Vm, lines: &[(&str, &str)]) -> Exchange {
    vm.upgrade(JOIN).lines(lines.iter().copied()).authenticated().send()
}

fn joined(vm: &Vm, lines: &[(&str, &str)]) -> Exchange {
    let exchange = join(vm, lines);
    exchange.upstream();
    exchange.respond(101, ACCEPTED);
    exchange
}

fn text(event: &Value) -> Vec<u8> {
    frame(false, 0x81, event.to_string().as_bytes())
}

/// A response of 253 tokens.
fn done(id: &str) -> Vec<u8> {
    let usage = json!({ "total_tokens": 253, "input_tokens": 132, "output_tokens": 121 });
    text(&json!({ "type": "response.done", "response": { "id": id, "status": "completed", "usage": usage } }))
}

fn transcribed(item: &str) -> Vec<u8> {
    let usage = json!({ "type": "tokens", "total_tokens": 20, "input_tokens": 15, "output_tokens": 5 });
    let name = "conversation.item.input_audio_transcription.completed";
    text(&json!({ "type": name, "item_id": item, "content_index": 0, "usage": usage }))
}

fn ask(vm: &Vm, path: &str) -> Vec<Value> {
    let request = vm.request("GET", format!("/realtime-byok/{path}"));
    let request = request.line("authorization", format!("Bearer {OPERATOR}"));
    let list: Value = serde_json::from_slice(&request.send().refusal().body).unwrap();
    list["data"].as_array().unwrap().clone()
}

fn tokens(value: &Value) -> u64 {
    value["usage"]["total_tokens"].as_u64().unwrap()
}

#[test]
fn the_same_response_told_to_two_sidebands_counts_once() {
    let vm = calling();
    call(&vm, "two");
    let [one, other] = [joined(&vm, &[]), joined(&vm, &[])];
    let created = json!({ "type": "session.created", "session": { "id": "sess_1", "model": "gpt-realtime-2025" } });
    for sideband in [&one, &other] {
        sideband.send_upstream(&text(&created));
        sideband.send_upstream(&[done("resp_1"), transcribed("item_1")].concat());
    }
    vm.wait(Duration::from_secs(1));
    let listed = ask(&vm, "sessions");
    let [record] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((&record["kind"], &record["upstream_id"]), (&"webrtc".into(), &"rtc_1".into()));
    assert_eq!((tokens(record), &record["model"]), (253, &"gpt-realtime-2025".into()));
    assert_eq!(record["usage"]["responses"], 1);
    assert_eq!(record["usage"]["transcription"]["tokens"], 20);
    assert_eq!(record["cost_usd"], json!(0.000273));
    let day = &ask(&vm, "usage")[0];
    assert_eq!((tokens(day), &day["sessions"], &day["cost_usd"]), (253, &1.into(), &record["cost_usd"]));
    let measured: i64 = vm.statistics("tokens_total").iter().map(|(_, tokens)| tokens).sum();
    assert_eq!(measured, 253 + 20);
    other.send_upstream(&done("resp_2"));
    for (sideband, tokens) in [(&one, "253"), (&other, "253")] {
        sideband.log();
        assert_eq!(sideband.access_log_field("tokens"), tokens, "those that it was the first to tell");
        assert_eq!(sideband.access_log_field("id"), record["id"]);
    }
    drop((one, other));
    vm.wait(Duration::from_secs(1));
    let [record] = ask(&vm, "sessions").try_into().unwrap();
    assert_eq!((tokens(&record), &record["status"]), (506, &"open".into()), "the call goes on");
}

#[test]
fn a_call_has_one_sideband_at_a_time() {
    let vm = calling();
    call(&vm, "default");
    let first = joined(&vm, &[]);
    let refused = join(&vm, &[]).refusal();
    let denial = error(&refused);
    assert_eq!((refused.status(), &denial["code"]), (429, &"session_limit_exceeded".into()));
    assert_eq!(denial["param"], "calls.sidebands");
    assert_eq!(refused.lines.all("retry-after"), ["5"]);
    let watchers = [joined(&vm, &[WATCH]), joined(&vm, &[WATCH])];
    drop(first);
    let second = join(&vm, &[]);
    second.upstream();
    assert_eq!(join(&vm, &[]).refused(), refusal(429, "session_limit_exceeded"), "one that waits for its 101 counts");
    second.respond(403, [("content-length", "0")]);
    drop((second, watchers));
    join(&vm, &[]).upstream();
}

#[test]
fn a_sideband_hears_that_the_tokens_of_its_call_are_used_up_and_the_call_ends() {
    let vm = calling();
    call(&vm, "small");
    let [one, other] = [joined(&vm, &[]), joined(&vm, &[])];
    one.send_upstream(&done("resp_1"));
    other.send_upstream(&done("resp_1"));
    assert_eq!((one.closed_with(), other.closed_with()), (None, None));
    other.send_upstream(&done("resp_2"));
    assert_eq!(other.closed_with(), Some(("budget_exceeded".into(), 4429)));
    vm.wait(Duration::from_secs(1));
    assert_eq!(vm.http_calls().len(), 1, "before the grace of the sideband is over");
    one.send_upstream(&text(&json!({ "type": "x" })));
    assert_eq!(one.closed_with(), Some(("budget_exceeded".into(), 4429)));
    vm.answer_http_call(Some(200));
    drop((one, other));
    vm.wait(Duration::from_secs(5));
    let [record] = ask(&vm, "sessions").try_into().unwrap();
    let close = json!({ "by": "gateway", "code": 4429, "reason": "budget_exceeded", "limit": "session.max_tokens" });
    assert_eq!((tokens(&record), &record["close"]), (506, &close));
    assert_eq!(vm.http_calls().len(), 1);
}

/// How many hangups are sent within twelve seconds for a call that is joined after nine, if at all, and left then.
fn hangups(vm: &Vm, policy: &str, lines: Option<&[(&str, &str)]>) -> [usize; 2] {
    call(vm, policy);
    vm.wait(Duration::from_secs(9));
    assert_eq!(vm.http_calls().len(), 0);
    let watching = lines.map(|lines| joined(vm, lines));
    vm.wait(Duration::from_secs(3));
    let before = vm.http_calls().len();
    drop(watching);
    if before > 0 {
        vm.answer_http_call(Some(200));
    }
    vm.wait(Duration::from_secs(12));
    [before, vm.http_calls().len()]
}

#[test]
fn a_call_under_a_limit_of_tokens_is_hung_up_unless_somebody_watches() {
    let vm = calling();
    assert_eq!(hangups(&vm, "small", None), [1, 1]);
    let [record] = ask(&vm, "sessions").try_into().unwrap();
    assert_eq!(record["close"], json!({ "by": "gateway", "code": 1005, "reason": "unwatched" }));
    let ended = vm.statistics("reason=.=unwatched;.;ended_total");
    assert_eq!(ended.iter().map(|(_, count)| count).sum::<i64>(), 1, "{ended:?}");
}

#[test]
fn a_sideband_watches_while_it_stays() {
    assert_eq!(hangups(&calling(), "small", Some(&[])), [0, 1]);
}

#[test]
fn a_watcher_watches_while_it_stays() {
    assert_eq!(hangups(&calling(), "small", Some(&[WATCH])), [0, 1]);
}

#[test]
fn a_call_goes_on_unwatched_where_that_is_allowed() {
    assert_eq!(hangups(&calling(), "unwatched", None), [0, 0]);
}

#[test]
fn a_call_without_such_limits_goes_on_unwatched() {
    assert_eq!(hangups(&calling(), "two", None), [0, 0]);
}

#[test]
fn a_budget_of_the_day_needs_somebody_who_watches_too() {
    let limits = json!({ "tokens_per_day": 1000 });
    let vm = vm(json!({ "callers": { "web-app": { "limits": limits } } }));
    call(&vm, "default");
    vm.wait(Duration::from_secs(10));
    assert_eq!(vm.http_calls().len(), 1);
}

#[test]
fn an_idle_call_ends_with_those_who_watch_it() {
    let vm = calling();
    call(&vm, "idle");
    vm.wait(Duration::from_secs(7));
    let sideband = joined(&vm, &[]);
    sideband.send_upstream(&text(&json!({ "type": "x" })));
    vm.wait(Duration::from_secs(4));
    assert_eq!(vm.http_calls().len(), 0);
    vm.wait(Duration::from_secs(3));
    assert_eq!(vm.http_calls().len(), 1);
}

#[test]
fn pings_keep_no_call_from_being_idle() {
    let vm = calling();
    call(&vm, "idle");
    let sideband = joined(&vm, &[]);
    for _ in 0..8 {
        sideband.send_chunk(&frame(true, 0x89, b""), false);
        sideband.send_upstream(&frame(false, 0x89, b""));
        vm.wait(Duration::from_secs(1));
    }
    assert_eq!(vm.http_calls().len(), 1);
}

#[test]
fn what_a_watcher_says_keeps_no_call_from_being_idle() {
    let vm = calling();
    call(&vm, "idle");
    let watcher = joined(&vm, &[WATCH]);
    for _ in 0..8 {
        watcher.send_chunk(&frame(true, 0x81, b"{}"), false);
        vm.wait(Duration::from_secs(1));
    }
    assert_eq!(vm.http_calls().len(), 1);
}

#[test]
fn a_sideband_ends_with_its_call() {
    let vm = calling();
    call(&vm, "default");
    let sideband = joined(&vm, &[]);
    let hangup = vm.request("POST", "/v1/realtime/calls/rtc_1/hangup").authenticated().send();
    hangup.respond(200, [("content-length", "0")]);
    vm.wait(Duration::from_secs(1));
    sideband.send_upstream(&text(&json!({ "type": "x" })));
    let close = frame(false, 0x88, &[&1000_u16.to_be_bytes(), b"call_ended".as_slice()].concat());
    assert_eq!(sideband.received(), close, "the end of a call is no fault");
    drop(sideband);
    vm.wait(Duration::from_secs(3));
    assert_eq!(vm.http_calls().len(), 0, "it has ended");
}

#[test]
fn nothing_of_a_watchers_goes_up() {
    let vm = calling();
    call(&vm, "default");
    let watcher = joined(&vm, &[WATCH]);
    assert_eq!(watcher.answer().lines.all("sec-websocket-protocol"), ["realtime-byok-watch"]);
    assert_eq!(watcher.upstream().lines.all("sec-websocket-protocol"), ["realtime"]);
    let said = [
        frame(true, 0x81, br#"{"type":"response.create"}"#),
        frame(true, 0x01, b"{"),
        frame(true, 0x89, b"ping"),
        frame(true, 0x80, b"}"),
        frame(true, 0x8a, b"said by a client"),
    ];
    said.concat().chunks(3).for_each(|piece| watcher.send_chunk(piece, false));
    assert_eq!(watcher.upstream().body, b"");
    watcher.send_upstream(&[frame(false, 0x89, b"first"), frame(false, 0x89, b"last"), done("resp_1")].concat());
    for piece in frame(true, 0x8a, b"said by a client").chunks(4) {
        watcher.send_chunk(piece, false);
    }
    let pong = watcher.upstream().body;
    let (head, mask, payload) = (&pong[..2], &pong[2..6], &pong[6..]);
    let payload: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    assert_eq!((head, payload.as_slice()), (&[0x8a, 0x84][..], b"last".as_slice()), "the gateway's own answer, once");
    let after = frame(true, 0x81, br#"{"type":"response.create"}"#);
    watcher.send_chunk(&[frame(true, 0x88, &[0x03, 0xe8, b'b', b'y', b'e']), after].concat(), false);
    let close = &watcher.upstream().body[pong.len()..];
    assert_eq!((close.len(), close[0], close[1]), (8, 0x88, 0x82), "a Close of the gateway's own, without a reason");
    watcher.send_chunk(&frame(true, 0x81, b"{}"), false);
    assert_eq!(watcher.upstream().body.len(), pong.len() + 8);
    watcher.log();
    assert_eq!(watcher.access_log_field("code"), "1000");
    drop(watcher);
    vm.wait(Duration::from_secs(5));
    let [record] = ask(&vm, "sessions").try_into().unwrap();
    assert_eq!((tokens(&record), &record["status"]), (253, &"open".into()));
    assert_eq!(vm.http_calls().len(), 0);
}

#[test]
fn nothing_of_a_watchers_goes_up_before_the_101_either() {
    let vm = calling();
    call(&vm, "default");
    let watcher = join(&vm, &[WATCH]);
    watcher.send_chunk(&frame(true, 0x81, br#"{"type":"response.create"}"#), false);
    watcher.respond(101, ACCEPTED);
    assert_eq!(watcher.upstream().body, b"");
}

#[test]
fn a_watcher_that_breaks_the_protocol_ends_alone() {
    let vm = calling();
    call(&vm, "default");
    let watcher = joined(&vm, &[WATCH]);
    watcher.send_chunk(&frame(false, 0x81, b"not masked"), false);
    let up = watcher.upstream().body;
    assert_eq!(up[..2], [0x88, 0x82], "{up:?}");
    drop(watcher);
    vm.wait(Duration::from_secs(5));
    assert_eq!(vm.http_calls().len(), 0);
    assert_eq!(ask(&vm, "sessions")[0]["status"], "open");
}

#[test]
fn who_watches_names_a_call_under_a_policy_that_meters() {
    let vm = calling();
    call(&vm, "default");
    for path in ["/v1/realtime?model=gpt-realtime", "/v1/responses", "/anything"] {
        let refused = vm.upgrade(path).lines([WATCH]).authenticated().send();
        assert_eq!(refused.refused(), refusal(400, "malformed_request"), "{path}");
        assert_eq!(error(&refused.refusal())["param"], "call_id");
    }
    let refused = vm.upgrade(JOIN).lines([WATCH]).with_policy("unmetered").authenticated().send();
    assert_eq!(refused.refused(), refusal(403, "route_not_allowed"));
    let capitals = joined(&vm, &[("sec-websocket-protocol", "Realtime-BYOK-Watch")]);
    assert_eq!(capitals.answer().lines.all("sec-websocket-protocol"), ["Realtime-BYOK-Watch"]);
    assert_eq!(capitals.upstream().lines.count(), join(&vm, &[]).upstream().lines.count());
}

#[test]
fn what_a_sideband_of_a_secrets_call_tells_draws_on_the_secrets_limits() {
    let secrets =
        json!({ "mode": "local", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }] });
    let vm = vm(json!({
        "client_secrets": secrets,
        "control": { "path": "/realtime-byok", "token": { "value": OPERATOR } },
        "policies": { "default": { "provider": "openai", "calls": { "sidebands": 2 } } },
    }));
    let body = json!({
        "session": { "type": "realtime", "model": "gpt-realtime" }, "gateway": { "max_tokens": 300 },
    });
    let minted = vm.post("/v1/realtime/client_secrets", body.to_string()).authenticated().send().refusal();
    let minted: Value = serde_json::from_slice(&minted.body).unwrap();
    let secret = format!("Bearer {}", minted["value"].as_str().unwrap());
    let call = vm.request("POST", "/v1/realtime/calls").line("content-type", "application/sdp");
    let call = call.line("authorization", &secret).body("v=0").send();
    call.upstream();
    call.property("xds\0cluster_name", "cluster");
    call.property("request\0host", "api.example.com");
    call.property("request\0path", "/v1/realtime/calls");
    let begun = call.respond(201, [("location", "/v1/realtime/calls/rtc_1")]);
    drop(call);
    let location = begun.lines.all("location").concat();
    let join = location.replace("/calls/", "?call_id=");
    let by_secret = vm.upgrade(&join).line("authorization", &secret).send();
    let by_token = vm.upgrade(&join).authenticated().send();
    for sideband in [&by_secret, &by_token] {
        sideband.upstream();
        sideband.respond(101, ACCEPTED);
    }
    for sideband in [&by_secret, &by_token] {
        sideband.send_upstream(&done("resp_1"));
        assert_eq!(sideband.closed_with(), None, "253 of 300, told twice");
    }
    by_token.send_upstream(&done("resp_2"));
    assert_eq!(by_token.closed_with(), Some(("budget_exceeded".into(), 4429)));
    vm.wait(Duration::from_secs(1));
    assert_eq!(vm.http_calls().len(), 1);
    vm.answer_http_call(Some(200));
    let [record] = ask(&vm, "sessions").try_into().unwrap();
    assert_eq!((tokens(&record), &record["close"]["limit"]), (506, &"secret.max_tokens".into()));
    let again = vm.upgrade(&join).line("authorization", &secret).send();
    assert_eq!(again.refused(), refusal(429, "budget_exceeded"));
}

#[test]
fn dollars_of_a_call_need_prices_in_its_sidebands_too() {
    let secrets =
        json!({ "mode": "local", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }] });
    let vm = vm(json!({
        "client_secrets": secrets,
        "policies": {
            "default": { "provider": "openai" },
            "dear": { "provider": "openai", "session": { "max_cost_usd": 1 } },
        },
        "prices": { "gpt-realtime*": { "input_text": 1, "output_text": 1 } },
    }));
    let body = json!({
        "session": { "type": "realtime", "model": "gpt-realtime" }, "gateway": { "max_cost_usd": 1 },
    });
    let minted = vm.post("/v1/realtime/client_secrets", body.to_string()).authenticated().send().refusal();
    let minted: Value = serde_json::from_slice(&minted.body).unwrap();
    let secret = minted["value"].as_str().unwrap();
    for (policy, token) in [("default", secret), ("dear", TOKEN)] {
        let call = vm.request("POST", CALLS).line("content-type", "application/sdp").with_policy(policy);
        let call = call.line("authorization", format!("Bearer {token}")).body("v=0").send();
        call.upstream();
        let begun = call.respond(201, [("location", format!("/v1/realtime/calls/rtc_{policy}"))]);
        let join = begun.lines.all("location").concat().replace("/calls/", "?call_id=");
        let sideband = vm.upgrade(&join).authenticated().send();
        sideband.upstream();
        sideband.respond(101, ACCEPTED);
        let update = json!({
            "type": "session.update",
            "session": { "type": "realtime", "audio": { "input": { "transcription": { "model": "whisper-1" } } } },
        });
        sideband.send_chunk(&frame(true, 0x81, update.to_string().as_bytes()), false);
        sideband.send_upstream(&text(&json!({ "type": "x" })));
        assert_eq!(sideband.closed_with(), Some(("model_not_allowed".into(), 4403)), "{policy}");
    }
}
