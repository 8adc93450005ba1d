//! Bodies of REST requests: read where the model must be known, else streamed through untouched.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{error, refusal, vm};
use crate::host::{Fate, Level, Vm};

const PATH: &str = "/v1/chat/completions";

/// A policy with this rule on models, an alias, and two providers.
fn resolving(models: Value) -> Vm {
    vm(json!({
        "providers": { "azure": { "kind": "azure_openai", "key": { "env": "AZURE_KEY" } } },
        "policies": { "default": {
            "provider": null, "providers": ["openai", "azure"], "models": models,
            "aliases": { "fast": "azure/gpt-mini" },
        } },
    }))
}

#[test]
fn json_in_another_charset_is_malformed_whoever_would_read_it() {
    let minting = json!({ "client_secrets": {
        "mode": "local", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }],
    } });
    for (vm, mints) in [(vm(minting), true), (resolving(json!(["gpt*"])), false)] {
        for path in [PATH, "/v1/realtime/client_secrets", "/v1/realtime/calls", "/v1/files/f"] {
            for charset in ["utf-16", "\"UTF-16LE\"", "utf-7", "iso-8859-1", "utf-8; charset=utf-16"] {
                let content_type = format!("application/json; charset={charset}");
                let request = vm.request("POST", path).line("content-type", content_type).authenticated();
                let want = if mints || !path.ends_with("secrets") {
                    refusal(400, "malformed_request")
                } else {
                    refusal(403, "route_not_allowed")
                };
                assert_eq!(request.body(r#"{"model":"gpt"}"#).send().refused(), want, "{path} {charset}");
            }
        }
        for content_type in
            ["application/json; charset=UTF-8", "application/json;charset=\"utf-8\"", "application/json"]
        {
            let request = vm.request("POST", PATH).line("content-type", content_type).authenticated();
            request.body(r#"{"model":"gpt"}"#).send().upstream();
        }
        let empty = vm.request("GET", "/v1/models").line("content-type", "application/json; charset=latin1");
        empty.authenticated().send().upstream();
    }
}

#[test]
fn without_a_rule_a_choice_or_an_alias_a_body_is_not_waited_for() {
    let vm = vm(json!({}));
    for (content_type, body) in [("application/json", "{not json"), ("audio/wav", "RIFF"), ("application/json", "")] {
        let request = vm.request("POST", PATH).line("content-type", content_type).authenticated();
        let exchange = request.clone().chunks([""; 0]).trailer("x-last", "1").send();
        assert_eq!(exchange.upstream().body, b"");
        let pieces: Vec<_> = body.bytes().map(|byte| [byte]).collect();
        assert_eq!(request.chunks(pieces).send().upstream().body, body.as_bytes());
    }
}

#[test]
fn the_models_name_in_the_body_picks_the_provider_and_only_its_bytes_change() {
    let vm = resolving(Value::Null);
    for (body, provider, want) in [
        (r#"{"model":"gpt"}"#, "openai", r#"{"model":"gpt"}"#),
        (r#"{ "x" : 1.0e5 , "model" : "openai/gpt" }"#, "openai", r#"{ "x" : 1.0e5 , "model" : "gpt" }"#),
        (r#"{"mod\u0065l":"azure\/gpt","é":"\ud83d\ude00"}"#, "azure", r#"{"mod\u0065l":"gpt","é":"\ud83d\ude00"}"#),
        (r#"{"model":"fast","n":{"model":"fast"}}"#, "azure", r#"{"model":"gpt-mini","n":{"model":"fast"}}"#),
        (r#"{"model":"azure/g\"p"}"#, "azure", r#"{"model":"g\"p"}"#),
        (r#"{"messages":[]}"#, "openai", r#"{"messages":[]}"#),
        (r#"{"model":""}"#, "openai", r#"{"model":""}"#),
        ("", "openai", ""),
    ] {
        let upstream = vm.post(PATH, body).authenticated().send().upstream();
        assert_eq!(String::from_utf8(upstream.body).unwrap(), want);
        assert_eq!(upstream.lines.all("content-length"), [want.len().to_string()], "{body}");
        assert_eq!(upstream.lines.all("x-realtime-byok-provider"), [provider], "{body}");
    }
}

#[test]
fn a_body_without_a_length_gets_none() {
    let vm = resolving(Value::Null);
    let request = vm.post(PATH, r#"{"model":"fast"}"#).without("content-length").authenticated();
    let upstream = request.send().upstream();
    assert_eq!(upstream.body, br#"{"model":"gpt-mini"}"#);
    assert_eq!(upstream.lines.all("content-length"), [""; 0]);
}

#[test]
fn nothing_reaches_the_upstream_before_the_body_is_complete() {
    let vm = resolving(Value::Null);
    let request = vm.post(PATH, "").authenticated();
    let body: Vec<_> = br#"{"model":"fast"}"#.iter().map(|byte| [*byte]).collect();
    let exchange = request.clone().chunks(&body).trailer("x-last", "1").send();
    assert_eq!(exchange.upstream().body, br#"{"model":"gpt-mini"}"#, "trailers end a body too");
    let unfinished = request.send_headers(false);
    for chunk in &body {
        assert_eq!(unfinished.fate(), Fate::Waiting);
        unfinished.send_chunk(chunk, false);
    }
    assert_eq!(unfinished.fate(), Fate::Waiting);
    unfinished.send_chunk(b"", true);
    assert_eq!(unfinished.upstream().body, br#"{"model":"gpt-mini"}"#);
}

#[test]
fn under_a_rule_a_body_whose_model_cannot_be_read_is_refused() {
    let vm = resolving(json!(["gpt*"]));
    let deep = format!("{{\"a\":{}", "[".repeat(200_000));
    for (body, want) in [
        (r#"{"model":"gpt"}"#, Ok(())),
        (r#"{"model":"fast"}"#, Ok(())),
        (r#"{"model":"azure/gpt"}"#, Ok(())),
        (r#"{"model":"o3"}"#, Err(refusal(403, "model_not_allowed"))),
        (r#"{"model":"azure/o3"}"#, Err(refusal(403, "model_not_allowed"))),
        (r#"{"Model":"gpt"}"#, Err(refusal(400, "malformed_request"))),
        (r#"{"model":"gpt","Model":"o3"}"#, Err(refusal(400, "malformed_request"))),
        (r#"{}"#, Err(refusal(400, "model_required"))),
        (r#"{"model":""}"#, Err(refusal(400, "model_required"))),
        (r#"{"model":"gpt","model":"o3"}"#, Err(refusal(400, "malformed_request"))),
        (r#"{"model":"gpt","\u006dodel":"o3"}"#, Err(refusal(400, "malformed_request"))),
        (r#"{"model":["gpt"]}"#, Err(refusal(400, "malformed_request"))),
        (r#"{"model":null}"#, Err(refusal(400, "malformed_request"))),
        (r#"["gpt"]"#, Err(refusal(400, "malformed_request"))),
        (r#"{"model":"gpt"} {"model":"o3"}"#, Err(refusal(400, "malformed_request"))),
        (r#"{"model":"gpt""#, Err(refusal(400, "malformed_request"))),
        ("model=gpt", Err(refusal(400, "malformed_request"))),
        ("\u{feff}{\"model\":\"gpt\"}", Err(refusal(400, "malformed_request"))),
        (&deep, Err(refusal(400, "malformed_request"))),
    ] {
        let exchange = vm.post(PATH, body).authenticated().send();
        assert_eq!(exchange.upstream_or_refused().map(drop), want, "{:.80}", body);
    }
    let odd = vm.post(PATH, b"{\"model\":\"gpt\xff\"}").authenticated().send();
    assert_eq!(odd.refused(), refusal(400, "malformed_request"));
}

#[test]
fn what_a_body_is_said_to_be_decides_whether_it_can_be_read() {
    let (ruled, choosing) = (resolving(json!(["gpt*"])), resolving(Value::Null));
    let unreadable = Err(refusal(400, "malformed_request"));
    for (content_type, encoding, under_rule, with_choice) in [
        (Some("application/json"), None, Ok(()), Ok(())),
        (Some("Application/JSON; charset=utf-8"), None, Ok(()), Ok(())),
        (Some("application/vnd.api+json"), Some("identity"), Ok(()), Ok(())),
        (Some("application/json"), Some("gzip"), unreadable.clone(), unreadable.clone()),
        (Some("text/plain"), None, unreadable.clone(), Ok(())),
        (Some("multipart/form-data; boundary=x"), None, unreadable.clone(), Ok(())),
        (None, None, unreadable, Ok(())),
    ] {
        let lines = content_type.map(|value| ("content-type", value)).into_iter();
        let lines: Vec<_> = lines.chain(encoding.map(|value| ("content-encoding", value))).collect();
        for (vm, want) in [(&ruled, under_rule), (&choosing, with_choice)] {
            let request = vm.request("POST", PATH).lines(lines.iter().copied()).body(r#"{"model":"gpt"}"#);
            assert_eq!(request.authenticated().send().upstream_or_refused().map(drop), want, "{lines:?}");
        }
    }
}

#[test]
fn reading_methods_pass_without_a_model() {
    let vm = resolving(json!(["gpt*"]));
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        vm.request(method, "/v1/models").authenticated().send().upstream();
    }
    let exchange = vm.request("PUT", "/v1/files").authenticated().body("x").send();
    assert_eq!(exchange.refused(), refusal(400, "malformed_request"));
}

#[test]
fn a_refused_request_is_refused_before_its_body() {
    let vm = resolving(json!(["gpt*"]));
    let refused = vm.post(PATH, r#"{"model":"gpt"}"#).line("api-key", "nobodys").send_headers(false);
    assert_eq!(refused.refused(), refusal(401, "invalid_gateway_token"));
}

#[test]
fn where_envoy_withholds_bodies_a_request_is_answered_within_five_seconds() {
    let vm = resolving(Value::Null).withholding_bodies();
    let waiting = vm.post(PATH, r#"{"model":"gpt"}"#).authenticated().send();
    assert_eq!(waiting.fate(), Fate::Waiting);
    vm.wait(Duration::from_secs(5));
    assert_eq!(waiting.refused(), refusal(500, "body_unavailable"));
    assert_eq!(error(&waiting.refusal())["type"], "server_error");
    let named = vm.log().into_iter().filter(|(_, line)| line.contains("allow_on_headers_stop_iteration: true"));
    assert_eq!(Vec::from_iter(named.map(|(level, _)| level)), [Level::Error]);
    vm.request("GET", "/v1/models").authenticated().send().upstream();
    vm.upgrade("/v1/realtime?model=gpt").authenticated().send().upstream();
}

#[test]
fn where_bodies_are_seen_to_come_a_slow_client_may_take_its_time() {
    let vm = resolving(Value::Null);
    vm.post(PATH, r#"{"model":"gpt"}"#).authenticated().send().upstream();
    let slow = vm.post(PATH, "").authenticated().send_headers(false);
    vm.wait(Duration::from_secs(60));
    assert_eq!(slow.fate(), Fate::Waiting);
    slow.send_chunk(br#"{"model":"gpt"}"#, true);
    slow.upstream();
}

#[test]
fn envoys_own_refusal_of_a_body_over_its_limit_reaches_the_client() {
    let vm = resolving(Value::Null);
    let held = vm.post(PATH, "").authenticated().send_headers(false);
    held.send_chunk(b"x", false);
    assert_eq!(held.respond_as_envoy("request_payload_too_large", 413).status(), 413);
}
