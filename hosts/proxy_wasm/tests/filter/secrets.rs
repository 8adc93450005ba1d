//! Client secrets: minted, sealed, used and refused.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{ACCEPTED, TOKEN, refusal, vm};
use crate::host::{Exchange, Fate, Vm};

const PATH: &str = "/v1/realtime/client_secrets";
const JSON: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/json")];

/// A plugin that mints this way.
fn minting(mode: &str) -> Vm {
    vm(json!({
        "client_secrets": {
            "mode": mode, "max_ttl": "5m",
            "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }],
        },
        "policies": { "ruled": { "provider": "openai", "models": ["gpt-realtime*"], "aliases": { "fast": "gpt-realtime-mini" } } },
        "prices": { "gpt-*": { "input_text": 1.0 } },
    }))
}

fn mint(vm: &Vm, path: &str, body: &str) -> Exchange {
    vm.post(path, body).with_policy("ruled").authenticated().send()
}

/// The upstream answers in pieces of this size; gives what the client gets.
fn answer(exchange: &Exchange, lines: &[(&str, &str)], body: &[u8], size: usize) -> (u16, String) {
    let length = body.len().to_string();
    let lines = lines.iter().copied().chain([("content-length", length.as_str())]);
    let lines: Vec<_> = lines.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
    exchange.response_headers(&lines, true);
    let last = body.chunks(size).count() - 1;
    body.chunks(size).enumerate().for_each(|(index, piece)| exchange.response_body(piece, index == last));
    let answer = exchange.answer();
    let body = if answer.body.is_empty() { exchange.received() } else { answer.body.clone() };
    (answer.status(), String::from_utf8(body).unwrap())
}

/// The secret in an answer.
fn secret(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let value = answer["value"].as_str().or_else(|| answer["client_secret"]["value"].as_str());
    value.expect("a secret").to_owned()
}

const BODIES: [&str; 14] = [
    r#"{"session":{"type":"realtime","model":"gpt-realtime"}}"#,
    r#"{ "gateway": {"user":"u_1","max_tokens":100,"max_cost_usd":0.5,"max_duration":"5m","origin":"https://app.example.com"}, "session": { "model" : "fast", "é":1.0e5 } }"#,
    r#"{"expires_after":{"anchor":"created_at","seconds":60},"session":{"model":"gpt-realtime"}}"#,
    r#"{"expires_after":{"seconds":9999},"session":{"model":"gpt-realtime"}}"#,
    r#"{"session":{"type":"transcription","audio":{"input":{"transcription":{"model":"gpt-realtime-whisper"}}}}}"#,
    r#"{"session":{"model":"gpt-5"}}"#,
    r#"{"session":{"type":"realtime"}}"#,
    r#"{"session":{"model":"a","model":"b"}}"#,
    r#"{"session":{"model":"gpt-realtime"},"gateway":{"user":""}}"#,
    r#"{"session":{"model":"gpt-realtime"},"gateway":{"max_tokens":"1"}}"#,
    r#"{"session":{"model":"gpt-realtime"},"gateway":{"unknown":1}}"#,
    r#"{"session":{"model":"gpt-realtime"},"gateway":{},"gateway":{}}"#,
    "{",
    "",
];

#[test]
fn a_mint_request_of_any_shape_is_refused_or_goes_on_without_the_gateway_object() {
    let endpoints = [
        PATH,
        "/v1/realtime/translations/client_secrets",
        "/v1/realtime/sessions",
        "/v1/realtime/transcription_sessions",
    ];
    for mode in ["sealed", "local"] {
        let vm = minting(mode);
        for path in endpoints {
            for body in BODIES {
                match mint(&vm, path, body).fate() {
                    Fate::Forwarded(message) => {
                        assert_eq!(mode, "sealed", "{path} {body}");
                        assert!(!message.body.windows(9).any(|part| part == b"\"gateway\""), "{path} {body}");
                    }
                    Fate::Answered(answer) => assert!(mode == "local" || answer.status() >= 400, "{path} {body}"),
                    fate => panic!("{path} {body}: {fate:?}"),
                }
            }
        }
    }
}

#[test]
fn the_upstreams_secret_is_sealed_whatever_pieces_its_answer_comes_in() {
    let vm = minting("sealed");
    let body = format!(r#"{{"value":"ek_upstream","expires_at":{},"session":{{"a": [ ]}}}}"#, 1_794_700_800 + 600);
    for size in [1, 7, body.len()] {
        let exchange = mint(&vm, PATH, BODIES[1]);
        let (status, answer) = answer(&exchange, &JSON, body.as_bytes(), size);
        assert_eq!(status, 200);
        assert!(!answer.contains("ek_upstream") && secret(&answer).starts_with("ek_"), "{answer}");
    }
    let zipped = gzip(body.as_bytes());
    let lines = [JSON.as_slice(), &[("content-encoding", "gzip")]].concat();
    assert_eq!(answer(&mint(&vm, PATH, BODIES[0]), &lines, &zipped, 5).0, 200);
    for (lines, body) in [
        (JSON.to_vec(), "{}"),
        (JSON.to_vec(), "<html>"),
        (JSON.to_vec(), r#"{"value":"ek_upstream","expires_at":1,"x":"ek_upstream"}"#),
        (lines.clone(), r#"{"value":"ek_upstream","expires_at":1}"#),
        ([JSON.as_slice(), &[("content-encoding", "br")]].concat(), r#"{"value":"ek_upstream","expires_at":1}"#),
    ] {
        let (status, answer) = answer(&mint(&vm, PATH, BODIES[0]), &lines, body.as_bytes(), 9);
        assert_eq!(status, 502, "{answer}");
        assert!(!answer.contains("ek_upstream"), "{answer}");
    }
    let failed = answer(&mint(&vm, PATH, BODIES[0]), &[(":status", "400")], b"{\"error\":{}}", 4);
    assert_eq!(failed, (400, "{\"error\":{}}".into()));
}

#[test]
fn a_secret_opens_what_it_was_minted_for_and_nothing_after_its_time() {
    for mode in ["sealed", "local"] {
        let vm = minting(mode);
        let exchange = mint(&vm, PATH, BODIES[1]);
        let body = match mode {
            "local" => String::from_utf8(exchange.refusal().body).unwrap(),
            _ => answer(&exchange, &JSON, br#"{"value":"ek_upstream","expires_at":1794701000}"#, 9).1,
        };
        drop(exchange);
        let secret = secret(&body);
        let upgrade = |query: &str, policy: &str, origin: &str| {
            let request = vm.upgrade(&format!("/v1/realtime{query}")).with_policy(policy).line("origin", origin);
            request.line("sec-websocket-protocol", format!("realtime, openai-insecure-api-key.{secret}")).send()
        };
        let home = "https://app.example.com";
        let session = upgrade("?model=fast", "ruled", home);
        let authorization = session.upstream().lines.all("authorization").concat();
        assert_eq!(authorization, if mode == "local" { "Bearer sk-openai-provider-key" } else { "Bearer ek_upstream" });
        session.respond(101, ACCEPTED);
        drop(session);
        assert_eq!(upgrade("?model=fast", "default", home).refused().0, 403, "another policy");
        assert_eq!(upgrade("?model=gpt-5", "ruled", home).refused().0, 403, "another model");
        assert_eq!(upgrade("?model=fast", "ruled", "https://evil.example.com").refused().0, 403, "another page");
        let call = vm.request("POST", "/v1/realtime/calls").with_policy("ruled").line("origin", home);
        let call = call.line("content-type", "application/sdp").line("authorization", format!("Bearer {secret}"));
        call.clone().body("v=0").send().fate();
        let rest = vm.post("/v1/responses", r#"{"model":"gpt-realtime"}"#).with_policy("ruled").line("origin", home);
        rest.line("authorization", format!("Bearer {secret}")).send().refused();
        vm.post(PATH, BODIES[0])
            .line("authorization", format!("Bearer {secret}"))
            .line("origin", home)
            .send()
            .refused();
        for index in [0, 10, secret.len() - 1] {
            let mut forged = secret.clone().into_bytes();
            forged[index] ^= 1;
            let forged = String::from_utf8(forged).unwrap();
            let request = vm.upgrade("/v1/realtime?model=fast").with_policy("ruled").line("origin", home);
            assert_eq!(request.line("authorization", format!("Bearer {forged}")).send().refused().0, 401);
        }
        vm.wait(Duration::from_secs(330));
        assert_eq!(upgrade("?model=fast", "ruled", home).refused(), refusal(401, "expired_gateway_token"));
    }
    assert!(!TOKEN.starts_with("ek_"));
}

/// RFC 1952 around one stored block of RFC 1951.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let crc = !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    let length = u16::try_from(bytes.len()).unwrap();
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    let lengths = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    let trailer = [crc.to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [&header, lengths.as_slice(), bytes, &trailer].concat()
}
