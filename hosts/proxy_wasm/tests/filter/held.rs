//! Sessions whose fields are preset, locked and hidden, through the ABI: what either side gets, in any cut.

use serde_json::{Value, json};

use crate::conversations::frame;
use crate::fixture::{ACCEPTED, refusal, vm};
use crate::host::{Exchange, Vm};

const SECRET: &str = "Sell shoes.";

fn keeping() -> Vm {
    let kept = |on_change: &str| {
        json!({
            "provider": "openai",
            "preset": { "instructions": SECRET, "audio": { "output": { "speed": "1.5" } } },
            "lock": { "fields": ["instructions"], "on_change": on_change },
            "hide": ["instructions"],
        })
    };
    vm(json!({
        "client_secrets": {
            "mode": "sealed", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }],
        },
        "policies": {
            "dropped": kept("drop"),
            "refused": kept("refuse"),
            "hidden": { "provider": "openai", "hide": ["instructions"] },
            "preset": { "provider": "openai", "preset": { "tools": [] } },
        },
    }))
}

fn open(vm: &Vm, policy: &str, credential: (&str, &str)) -> Exchange {
    let request = vm.upgrade("/v1/realtime?model=gpt-realtime").with_policy(policy);
    let exchange = request.line(credential.0, credential.1).send();
    exchange.upstream();
    exchange.respond(101, ACCEPTED);
    exchange
}

/// The messages in bytes that one side has got.
fn messages(mut bytes: &[u8]) -> Vec<Value> {
    let mut all = Vec::new();
    while let [_, second, ..] = bytes {
        let (length, start) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            short => (usize::from(short), 2),
        };
        let (key, start) =
            if second & 0x80 != 0 { (&bytes[start..start + 4], start + 4) } else { (&[0; 4][..], start) };
        let payload: Vec<u8> =
            bytes[start..start + length].iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]).collect();
        all.push(serde_json::from_slice(&payload).unwrap());
        bytes = &bytes[start + length..];
    }
    all
}

fn update(session: &Value) -> Vec<u8> {
    frame(
        true,
        0x81,
        json!({ "type": "session.update", "event_id": "mine", "session": session }).to_string().as_bytes(),
    )
}

fn event(event: &Value) -> Vec<u8> {
    frame(false, 0x81, event.to_string().as_bytes())
}

const TOKEN: (&str, &str) = ("cf-aig-authorization", "Bearer token-of-web-app");

#[test]
fn what_is_preset_goes_up_first_what_is_locked_never_and_what_is_hidden_never_down() {
    let vm = keeping();
    for size in [usize::MAX, 1, 7, 100] {
        let exchange = open(&vm, "dropped", TOKEN);
        let told = json!({ "type": "session.created", "session": { "id": "s", "instructions": SECRET } });
        event(&told).chunks(size).for_each(|piece| exchange.send_upstream(piece));
        let said = update(&json!({ "instructions": "Be rude.", "voice": "ash" }));
        said.chunks(size).for_each(|piece| exchange.send_chunk(piece, false));
        let up = messages(&exchange.upstream().body);
        let audio = json!({ "output": { "speed": 1.5 } });
        assert_eq!(up[0]["session"], json!({ "audio": audio, "instructions": SECRET, "type": "realtime" }));
        assert_eq!(up[1..], [json!({ "type": "session.update", "event_id": "mine", "session": { "voice": "ash" } })]);
        assert_eq!(messages(&exchange.received()), [json!({ "type": "session.created", "session": { "id": "s" } })]);
    }
}

#[test]
fn a_message_that_is_refused_is_answered_though_the_upstream_has_nothing_to_say() {
    let vm = keeping();
    for size in [usize::MAX, 1, 9] {
        let exchange = open(&vm, "refused", TOKEN);
        update(&json!({ "instructions": "Be rude." })).chunks(size).for_each(|piece| exchange.send_chunk(piece, false));
        let up = messages(&exchange.upstream().body);
        assert_eq!((up.len(), &up[1]["type"]), (2, &json!("conversation.item.retrieve")));
        let answer = event(&json!({ "type": "error", "error": { "code": "x", "event_id": up[1]["event_id"] } }));
        answer.chunks(size).for_each(|piece| exchange.send_upstream(piece));
        let down = messages(&exchange.received());
        assert_eq!((down.len(), &down[0]["error"]["code"]), (1, &json!("field_locked")));
        assert_eq!(down[0]["error"]["event_id"], "mine");
    }
}

#[test]
fn what_a_secret_locks_its_holder_does_not_see() {
    let vm = keeping();
    let body = json!({
        "session": { "type": "realtime", "model": "gpt-realtime", "instructions": SECRET },
        "gateway": { "lock": ["instructions"] },
    });
    let exchange = vm.post("/v1/realtime/client_secrets", body.to_string()).authenticated().send();
    let lines = [(":status", "200"), ("content-type", "application/json")];
    let lines = lines.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    exchange.response_headers(&lines, true);
    exchange.response_body(br#"{"value":"ek_upstream","expires_at":1794701000}"#, true);
    let answer: Value = serde_json::from_slice(&exchange.received()).unwrap();
    let bearer = format!("Bearer {}", answer["value"].as_str().unwrap());
    let exchange = open(&vm, "default", ("authorization", &bearer));
    exchange
        .send_upstream(&event(&json!({ "type": "session.created", "session": { "instructions": SECRET, "id": "s" } })));
    assert_eq!(messages(&exchange.received()), [json!({ "type": "session.created", "session": { "id": "s" } })]);
}

#[test]
fn where_nothing_could_keep_to_it_nothing_begins() {
    let vm = keeping();
    for policy in ["dropped", "refused", "hidden", "preset"] {
        let call = vm.post("/v1/realtime/calls?model=gpt-realtime", "v=0").without("content-type");
        let call = call.line("content-type", "application/sdp");
        assert_eq!(call.with_policy(policy).authenticated().send().refused(), refusal(403, "route_not_allowed"));
    }
    for path in ["/v1/responses", "/v1/elsewhere"] {
        let socket = vm.upgrade(path).with_policy("preset").authenticated().send();
        assert_eq!(socket.refused(), refusal(403, "route_not_allowed"));
        vm.upgrade(path).with_policy("hidden").authenticated().send().upstream();
    }
}
