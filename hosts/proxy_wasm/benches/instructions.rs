//! What `benches/instructions.mjs` counts instructions of: one scenario, so many times, through the ABI.
//!
//! Without arguments each is played once, to see that it does what it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking; clippy.toml excuses only what stands in a test itself"
)]
// Nobody else can reach what a test has.
#![allow(unreachable_pub)]

#[expect(dead_code, unused_imports, reason = "the tests' model of Envoy does more than is measured")]
#[path = "../tests/filter/host/mod.rs"]
mod host;

use std::time::Duration;

use serde_json::json;

use host::{Exchange, Fate, Request, Vm};
// Links the module, whose exports the host calls by their names.
use realtime_byok_proxy_wasm as _;

const TOKEN: &str = "token-of-web-app";
/// Its SHA-256 digest.
const DIGEST: &str = "83be9dcac61a72100a43b838931d8d7b40c9ab8cd416db1db8f9ce90e2260ee3";
const WEBSOCKET: [(&str, &str); 2] = [("upgrade", "websocket"), ("connection", "Upgrade")];
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const CREATED: &str = r#"{"type":"session.created","event_id":"event_1","session":{"type":"realtime","object":"realtime.session","id":"sess_CkYqDmR1yKp8","model":"gpt-realtime-2025-08-28","output_modalities":["audio"],"instructions":"You are a helpful voice assistant. Answer in one sentence, be kind, and be brief.","tools":[{"type":"function","name":"look_up","description":"Looks an order up.","parameters":{"type":"object","properties":{"id":{"type":"string"}},"required":["id"]}}],"tool_choice":"auto","max_output_tokens":"inf","tracing":null,"prompt":null,"expires_at":1767324845,"audio":{"input":{"format":{"type":"audio/pcm","rate":24000},"transcription":null,"noise_reduction":null,"turn_detection":{"type":"server_vad","threshold":0.5,"prefix_padding_ms":300,"silence_duration_ms":200,"idle_timeout_ms":null,"create_response":true,"interrupt_response":true}},"output":{"format":{"type":"audio/pcm","rate":24000},"voice":"marin","speed":1.0}},"include":null}}"#;
const DONE: &str = r#"{"type":"response.done","event_id":"event_2","response":{"object":"realtime.response","id":"resp_00000000","status":"completed","status_details":null,"output":[{"id":"item_1","object":"realtime.item","type":"message","status":"completed","role":"assistant","content":[{"type":"output_audio","transcript":"Your order was sent yesterday and should be with you on Friday."}]}],"conversation_id":"conv_1","output_modalities":["audio"],"max_output_tokens":"inf","audio":{"output":{"format":{"type":"audio/pcm","rate":24000},"voice":"marin"}},"usage":{"total_tokens":253,"input_tokens":132,"output_tokens":121,"input_token_details":{"text_tokens":119,"audio_tokens":13,"image_tokens":0,"cached_tokens":64,"cached_tokens_details":{"text_tokens":64,"audio_tokens":0,"image_tokens":0}},"output_token_details":{"text_tokens":30,"audio_tokens":91}},"metadata":null}}"#;
const COMPLETION: &str = r#"{"id":"resp_1","object":"response","created_at":1767323045,"status":"completed","model":"gpt-5-2025-08-07","output":[{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"text":"Your order was sent yesterday."}]}],"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":0},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":123}}"#;
const UPDATE: &str =
    r#"{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":null}}}}"#;

/// A name and what is done once.
type Scenario = (&'static str, fn(&Vm, u32));

const SCENARIOS: [Scenario; 13] = [
    ("handshake", |vm, _| session(vm, "free", |_| {})),
    ("end", |vm, _| drop(open(vm, "free"))),
    ("created", |vm, _| session(vm, "free", |session| session.send_upstream(&frame(false, CREATED)))),
    ("done", |vm, round| session(vm, "free", |session| session.send_upstream(&frame(false, &done(round))))),
    ("delta", |vm, _| {
        let delta = frame(false, &audio("response.output_audio.delta", "delta"));
        session(vm, "free", |session| session.send_upstream(&delta));
    }),
    ("append", |vm, _| {
        let append = frame(true, &audio("input_audio_buffer.append", "audio"));
        session(vm, "free", |session| session.send_chunk(&append, false));
    }),
    ("append_locked", |vm, _| {
        let append = frame(true, &audio("input_audio_buffer.append", "audio"));
        session(vm, "locked", |session| session.send_chunk(&append, false));
    }),
    ("update_locked", |vm, _| session(vm, "locked", |session| session.send_chunk(&frame(true, UPDATE), false))),
    ("retrieve", |vm, _| {
        let exchange = authenticated(vm.request("GET", "/v1/models"), "free").send();
        exchange.upstream();
        exchange.respond(200, JSON);
        exchange.response_body(b"{}", true);
    }),
    ("rest", |vm, _| rest(vm, "free")),
    ("rest_ruled", |vm, _| rest(vm, "ruled")),
    ("mint", |vm, _| {
        let body =
            r#"{"gateway":{"user":"u_1","max_tokens":1000},"session":{"type":"realtime","model":"gpt-realtime"}}"#;
        let minted = post(vm, "/v1/realtime/client_secrets", "free", body).send();
        assert!(matches!(minted.fate(), Fate::Answered(answer) if answer.status() == 200));
    }),
    ("tick", |vm, round| {
        // The first round opens what the others tick for; they are never dropped.
        if round == 0 {
            (0..100).for_each(|_| session(vm, "free", |_| {}));
        }
        vm.wait(Duration::from_secs(1));
    }),
];

fn open(vm: &Vm, policy: &str) -> Exchange {
    let exchange = authenticated(vm.upgrade("/v1/realtime?model=gpt-realtime"), policy).send();
    exchange.upstream();
    exchange.respond(101, WEBSOCKET);
    exchange
}

/// A session that does not end, since its end would be measured too.
fn session(vm: &Vm, policy: &str, talk: impl FnOnce(&Exchange)) {
    let exchange = open(vm, policy);
    talk(&exchange);
    std::mem::forget(exchange);
}

fn post<'a>(vm: &'a Vm, path: &str, policy: &'static str, body: &str) -> Request<'a> {
    authenticated(vm.post(path, body), policy)
}

fn rest(vm: &Vm, policy: &'static str) {
    let body = r#"{"model":"gpt-5","input":[{"role":"user","content":"Where is my order?"}],"store":false}"#;
    let exchange = post(vm, "/v1/responses", policy, body).send();
    exchange.upstream();
    exchange.respond(200, JSON);
    exchange.response_body(COMPLETION.as_bytes(), true);
}

/// As browsers and SDKs send it.
fn authenticated<'a>(request: Request<'a>, policy: &str) -> Request<'a> {
    let request = request.with_policy(policy).line("cf-aig-authorization", format!("Bearer {TOKEN}"));
    let request = request.line("user-agent", "OpenAI/JS 6.9.1").line("accept", "application/json");
    request.line("x-forwarded-proto", "https").line("x-request-id", "4ee5b1a7-5a0c-4d37-8a3e-0d7a1b0e3c11")
}

/// A response of its own.
fn done(round: u32) -> String {
    DONE.replace("resp_00000000", &format!("resp_{round:08}"))
}

fn audio(kind: &str, name: &str) -> String {
    format!(r#"{{"type":"{kind}","event_id":"event_3","{name}":"{}"}}"#, "UklG".repeat(1600))
}

fn frame(is_client: bool, text: &str) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let (bit, mask): (u8, &[u8]) = if is_client { (0x80, &MASK) } else { (0, &[]) };
    let length = u16::try_from(text.len()).expect("short");
    let length = match u8::try_from(length) {
        Ok(length @ 0..126) => vec![bit | length],
        _ => [&[bit | 126], length.to_be_bytes().as_slice()].concat(),
    };
    let key = |index: usize| if is_client { MASK[index % 4] } else { 0 };
    let payload: Vec<_> = text.bytes().enumerate().map(|(index, byte)| byte ^ key(index)).collect();
    [&[0x81], length.as_slice(), mask, payload.as_slice()].concat()
}

fn main() {
    let vm = Vm::start(&json!({
        "providers": { "openai": { "kind": "openai", "key": { "env": "OPENAI_API_KEY" } } },
        "callers": { "web-app": { "tokens": [{ "sha256": DIGEST }], "limits": { "concurrent_sessions": 1000 } } },
        "policies": {
            "free": { "provider": "openai" },
            "ruled": { "provider": "openai", "models": ["gpt-*"] },
            "locked": { "provider": "openai", "lock": ["instructions", "tools", "audio.output.voice"] },
        },
        "prices": { "gpt-*": { "input_text": 4, "input_audio": 32, "output_text": 16, "output_audio": 64 } },
        "client_secrets": {
            "mode": "local", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }],
        },
    }));
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let rounds = arguments.get(1).map_or(1, |rounds| rounds.parse().expect("a number of rounds"));
    for (name, play) in SCENARIOS {
        if arguments.first().is_none_or(|wanted| wanted == name) {
            (0..rounds).for_each(|round| play(&vm, round));
        }
    }
    // What is still open is not closed.
    std::mem::forget(vm);
}
