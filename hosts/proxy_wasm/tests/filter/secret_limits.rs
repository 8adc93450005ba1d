//! What a client secret's sessions may use together, how many there may be, and what may not be said in them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{ACCEPTED, error, refusal, vm};
use crate::host::{Exchange, Vm};

const MINT: &str = "/v1/realtime/client_secrets";
const CALLS: &str = "/v1/realtime/calls";

/// A plugin that mints in this way; its caller has these limits.
fn minting(mode: &str, limits: Value) -> Vm {
    vm(json!({
        "client_secrets": {
            "mode": mode, "max_ttl": "5m",
            "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }],
        },
        "callers": { "web-app": { "limits": limits } },
        "policies": {
            "locked": { "provider": "openai", "lock": ["tools"] },
            "small": { "provider": "openai", "session": { "max_tokens": 100 } },
            "unmetered": { "provider": "openai", "meter": false },
        },
        "prices": { "gpt-*": { "input_text": 1.0 } },
    }))
}

fn mint(vm: &Vm, policy: &str, session: &Value, gateway: &Value) -> Exchange {
    let body = json!({ "session": session, "gateway": gateway }).to_string();
    vm.post(MINT, body).with_policy(policy).authenticated().send()
}

/// A secret that was minted here.
fn secret_under(vm: &Vm, policy: &str, session: &Value, gateway: &Value) -> String {
    let answer = mint(vm, policy, session, gateway).refusal();
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    answer["value"].as_str().expect("a secret").to_owned()
}

fn secret(vm: &Vm, gateway: Value) -> String {
    secret_under(vm, "default", &json!({ "type": "realtime", "model": "gpt-realtime" }), &gateway)
}

fn upgrade(vm: &Vm, policy: &str, secret: &str, query: &str) -> Exchange {
    let request = vm.upgrade(&format!("/v1/realtime{query}")).with_policy(policy);
    request.line("authorization", format!("Bearer {secret}")).send()
}

fn open_under(vm: &Vm, policy: &str, secret: &str) -> Exchange {
    let exchange = upgrade(vm, policy, secret, "");
    exchange.upstream();
    exchange.respond(101, ACCEPTED);
    exchange
}

fn open(vm: &Vm, secret: &str) -> Exchange {
    open_under(vm, "default", secret)
}

fn call(vm: &Vm, secret: &str, content_type: &str, body: &str) -> Exchange {
    let request = vm.request("POST", CALLS).line("authorization", format!("Bearer {secret}"));
    request.line("content-type", content_type).body(body).send()
}

/// Status, code, limit and `retry-after` of a handshake that is refused.
#[track_caller]
fn refused(exchange: &Exchange) -> (u16, String, String, String) {
    let refusal = exchange.refusal();
    let error = error(&refusal);
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (refusal.status(), text("code"), text("param"), refusal.lines.all("retry-after").concat())
}

fn limit(code: &str, param: &str, retry_after: &str) -> (u16, String, String, String) {
    (429, code.into(), param.into(), retry_after.into())
}

/// What an upstream says a response has used, as a frame of its own.
fn used(id: usize, input: u32) -> Vec<u8> {
    let event = json!({
        "type": "response.done",
        "response": { "id": format!("resp_{id}"), "status": "completed", "usage": {
            "total_tokens": input, "input_tokens": input, "output_tokens": 0,
            "input_token_details": { "text_tokens": input }, "output_token_details": {},
        } },
    })
    .to_string();
    let length = u16::try_from(event.len()).unwrap();
    [&[0x81, 126], length.to_be_bytes().as_slice(), event.as_bytes()].concat()
}

/// An event of the client's, as a frame of its own.
fn event(event: &Value) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let text = event.to_string();
    let length = match u8::try_from(text.len()) {
        Ok(length @ ..126) => vec![0x80 | length],
        _ => [&[0xfe], u16::try_from(text.len()).unwrap().to_be_bytes().as_slice()].concat(),
    };
    let masked = text.bytes().zip(MASK.into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [&[0x81], length.as_slice(), &MASK].concat().into_iter().chain(masked).collect()
}

/// How a session ends in which the client says this.
fn said(exchange: &Exchange, text: &Value) -> Option<(String, u16)> {
    exchange.send_chunk(&event(text), false);
    exchange.send_upstream(b"\x89\x00");
    exchange.closed_with()
}

#[test]
fn tokens_and_dollars_of_a_secret_hold_for_all_its_sessions_together() {
    for (gateway, param) in [
        (json!({ "max_tokens": 1500 }), "secret.max_tokens"),
        (json!({ "max_cost_usd": 0.0015 }), "secret.max_cost_usd"),
    ] {
        let vm = minting("local", json!(null));
        let (secret, other) = (secret(&vm, gateway.clone()), secret(&vm, gateway));
        for round in 0..3 {
            let session = open(&vm, &secret);
            session.send_upstream(&used(round, 500));
            let ended = (round == 2).then(|| ("budget_exceeded".into(), 4429));
            assert_eq!(session.closed_with(), ended, "session {round}");
        }
        for _ in 0..2 {
            let spent = limit("budget_exceeded", param, "330");
            assert_eq!(refused(&upgrade(&vm, "default", &secret, "")), spent);
            assert_eq!(refused(&call(&vm, &secret, "application/sdp", "v=0")), spent);
        }
        let fresh = open(&vm, &other);
        fresh.send_upstream(&used(9, 500));
        assert_eq!(fresh.closed_with(), None, "another secret of the same limits");
    }
}

#[test]
fn what_one_session_uses_up_ends_the_others_within_a_second() {
    let vm = minting("local", json!(null));
    let secret = secret(&vm, json!({ "max_tokens": 100 }));
    let (spender, other) = (open(&vm, &secret), open(&vm, &secret));
    let (starting, begun) = (open(&vm, &secret), br#"{"type":"response.created","response":{"id":"r"}}"#);
    spender.send_upstream(&used(1, 100));
    assert_eq!(spender.closed_with(), Some(("budget_exceeded".into(), 4429)));
    starting.send_upstream(&[&[0x81, begun.len() as u8][..], begun].concat());
    assert_eq!(starting.closed_with(), Some(("budget_exceeded".into(), 4429)), "no response begins any more");
    vm.wait(Duration::from_secs(1));
    other.send_upstream(b"\x89\x00");
    assert_eq!(other.closed_with(), Some(("budget_exceeded".into(), 4429)));
}

#[test]
fn the_policys_limits_still_hold_for_each_session() {
    let vm = minting("local", json!(null));
    let session = json!({ "type": "realtime", "model": "gpt-realtime" });
    let secret = secret_under(&vm, "small", &session, &json!({ "max_tokens": 150 }));
    let first = open_under(&vm, "small", &secret);
    first.send_upstream(&used(1, 100));
    assert_eq!(first.closed_with(), Some(("budget_exceeded".into(), 4429)));
    drop(first);
    let second = open_under(&vm, "small", &secret);
    second.send_upstream(&used(2, 50));
    assert_eq!(second.closed_with(), Some(("budget_exceeded".into(), 4429)));
    let spent = refused(&upgrade(&vm, "small", &secret, ""));
    assert_eq!(spent, limit("budget_exceeded", "secret.max_tokens", "330"));
}

#[test]
fn a_secret_opens_so_many_sessions_and_calls_and_no_more() {
    let vm = minting("local", json!(null));
    let spent = limit("session_limit_exceeded", "secret.max_sessions", "330");
    let single = secret(&vm, json!({ "max_sessions": 1 }));
    let session = open(&vm, &single);
    assert_eq!(refused(&upgrade(&vm, "default", &single, "")), spent);
    drop(session);
    vm.wait(Duration::from_secs(1));
    let later = limit("session_limit_exceeded", "secret.max_sessions", "329");
    assert_eq!(refused(&upgrade(&vm, "default", &single, "")), later);
    assert_eq!(refused(&call(&vm, &single, "application/sdp", "v=0")), later);

    let twice = secret(&vm, json!({ "max_sessions": 2 }));
    call(&vm, &twice, "application/sdp", "v=0").upstream();
    drop(open(&vm, &twice));
    assert_eq!(refused(&upgrade(&vm, "default", &twice, "")), spent);
    let free = secret(&vm, json!({}));
    (0..5).for_each(|_| drop(open(&vm, &free)));
}

#[test]
fn who_was_not_let_in_does_not_count_and_who_was_does() {
    let vm = minting("local", json!({ "concurrent_sessions": 1 }));
    let blocking = vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send();
    blocking.upstream();
    let single = secret(&vm, json!({ "max_sessions": 1, "origin": "https://app.example.com" }));
    let attempt = |query: &str, origin: &str| {
        let request = vm.upgrade(&format!("/v1/realtime{query}")).line("origin", origin);
        request.line("authorization", format!("Bearer {single}")).send()
    };
    let home = "https://app.example.com";
    assert_eq!(attempt("", "https://evil.example.com").refused(), refusal(403, "origin_not_allowed"));
    assert_eq!(attempt("?model=gpt-5", home).refused(), refusal(403, "model_not_allowed"));
    assert_eq!(refused(&attempt("", home)).2, "caller.concurrent_sessions");
    drop(blocking);
    let failed = attempt("", home);
    failed.upstream();
    failed.respond(503, [("content-length", "0")]);
    drop(failed);
    assert_eq!(refused(&attempt("", home)).2, "secret.max_sessions", "it was let in, however far it came");
}

#[test]
fn a_secret_that_is_used_up_does_not_use_up_its_callers_starts() {
    let vm = minting("local", json!({ "sessions_per_minute": 2 }));
    let single = secret(&vm, json!({ "max_sessions": 1 }));
    drop(open(&vm, &single));
    for _ in 0..5 {
        assert_eq!(refused(&upgrade(&vm, "default", &single, "")).2, "secret.max_sessions");
    }
    vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send().upstream();
}

#[test]
fn its_holder_may_not_change_what_a_secret_locks() {
    let update = |session: Value| json!({ "type": "session.update", "session": session });
    let voice = json!({ "audio": { "output": { "voice": "marin" } } });
    for mode in ["local", "sealed"] {
        let vm = minting(mode, json!(null));
        let session = json!({ "type": "realtime", "model": "gpt-realtime" });
        let gateway = json!({ "lock": ["instructions", "audio.output.voice"] });
        let secret = if mode == "local" {
            secret_under(&vm, "locked", &session, &gateway)
        } else {
            let exchange = mint(&vm, "locked", &session, &gateway);
            let lines = [(":status", "200"), ("content-type", "application/json")];
            let lines = lines.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
            exchange.response_headers(&lines, true);
            exchange.response_body(br#"{"value":"ek_upstream","expires_at":1794701000}"#, true);
            let answer: Value = serde_json::from_slice(&exchange.received()).unwrap();
            answer["value"].as_str().unwrap().to_owned()
        };
        for (event, is_locked) in [
            (update(json!({ "instructions": "x" })), true),
            (update(json!({ "instructions": null })), true),
            (update(voice.clone()), true),
            (update(json!({ "tools": [] })), true),
            (json!({ "type": "response.create", "response": { "instructions": "x" } }), true),
            (update(json!({ "audio": { "output": { "speed": 1.5 } } })), false),
            (json!({ "type": "response.create" }), false),
        ] {
            let ended = said(&open_under(&vm, "locked", &secret), &event);
            assert_eq!(ended, is_locked.then(|| ("field_locked".into(), 4403)), "{mode} {event}");
        }
    }
    let vm = minting("local", json!(null));
    let secret = secret(&vm, json!({ "lock": ["instructions"] }));
    let refused = call(&vm, &secret, "application/sdp", "v=0").refused();
    assert_eq!(refused, refusal(403, "route_not_allowed"), "nobody sees what is said in a call");
}

#[test]
fn a_local_secrets_models_bind_whatever_names_one() {
    let vm = minting("local", json!(null));
    let of = |session: Value| secret_under(&vm, "default", &session, &json!({}));
    let transcribing = |model: &str| json!({ "input": { "transcription": { "model": model } } });
    let plain = of(json!({ "type": "realtime", "model": "gpt-realtime" }));
    let both = of(json!({ "type": "realtime", "model": "gpt-realtime", "audio": transcribing("whisper-1") }));
    let only = of(json!({ "type": "transcription", "audio": transcribing("whisper-1") }));
    let update = |session: Value| json!({ "type": "session.update", "session": session });
    let former = |model: &str| {
        let session = json!({ "input_audio_transcription": { "model": model } });
        json!({ "type": "transcription_session.update", "session": session })
    };
    for (secret, event, passes) in [
        (&plain, update(json!({ "model": "gpt-realtime" })), true),
        (&plain, update(json!({ "model": "gpt-realtime-mini" })), false),
        (&plain, update(json!({ "audio": transcribing("whisper-1") })), false),
        (&plain, update(json!({ "instructions": "x" })), true),
        (&plain, json!({ "type": "response.create", "response": { "model": "gpt-5" } }), false),
        (&plain, json!({ "type": "response.create", "model": "gpt-5" }), false),
        (&both, update(json!({ "audio": transcribing("whisper-1") })), true),
        (&both, update(json!({ "audio": transcribing("gpt-4o-transcribe") })), false),
        (&both, former("gpt-4o-transcribe"), false),
        (&only, update(json!({ "audio": transcribing("whisper-1") })), true),
        (&only, former("whisper-1"), true),
        (&only, former("gpt-4o-transcribe"), false),
        (&only, update(json!({ "model": "gpt-realtime" })), false),
    ] {
        let ended = said(&open(&vm, secret), &event);
        assert_eq!(ended, (!passes).then(|| ("model_not_allowed".into(), 4403)), "{event}");
    }
    let query = upgrade(&vm, "default", &plain, "?model=gpt-realtime-mini").refused();
    assert_eq!(query, refusal(403, "model_not_allowed"));
    let form = "--b\r\ncontent-disposition: form-data; name=\"session\"\r\n\r\n{\"model\":\"gpt-5\"}\r\n--b--\r\n";
    for (content_type, body) in [("multipart/form-data; boundary=b", form), ("application/json", r#"{"model":"m"}"#)] {
        let refused = call(&vm, &plain, content_type, body).refused();
        assert_eq!(refused, refusal(403, "model_not_allowed"), "{content_type}");
    }
    let begun = call(&vm, &plain, "application/sdp", "v=0");
    assert_eq!(begun.upstream().lines.all(":path"), ["/v1/realtime/calls?model=gpt-realtime"]);
}

#[test]
fn what_nobody_could_keep_to_is_not_minted() {
    let vm = minting("local", json!(null));
    let session = json!({ "type": "realtime", "model": "gpt-realtime" });
    for (policy, gateway, param) in [
        ("unmetered", json!({ "lock": ["instructions"] }), "gateway"),
        ("unmetered", json!({ "max_tokens": 1 }), "gateway"),
        ("default", json!({ "lock": ["tools", "instruction"] }), "gateway.lock[1]"),
        ("default", json!({ "lock": "instructions" }), "gateway.lock"),
        ("default", json!({ "max_sessions": 0 }), "gateway.max_sessions"),
    ] {
        let answer = mint(&vm, policy, &session, &gateway).refusal();
        let error = error(&answer);
        assert_eq!((answer.status(), &error["code"]), (400, &"invalid_gateway_object".into()), "{gateway}");
        assert_eq!(error["param"], param, "{gateway}");
    }
    let single = secret_under(&vm, "unmetered", &session, &json!({ "max_sessions": 1 }));
    upgrade(&vm, "unmetered", &single, "").upstream();
    assert_eq!(refused(&upgrade(&vm, "unmetered", &single, "")).2, "secret.max_sessions");
}
