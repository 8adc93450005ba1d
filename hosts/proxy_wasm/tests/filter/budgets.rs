//! Budgets that cannot be dodged: what could not be counted, and models without a price where dollars are limited.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{ACCEPTED, error, refusal, vm};
use crate::host::{Exchange, Vm};

const FORM: &str = "multipart/form-data; boundary=x";

/// A plugin whose caller has these limits of the day, and its policy these of a session.
fn limited(day: Value, session: Value) -> Vm {
    vm(json!({
        "callers": { "web-app": { "limits": day } },
        "policies": { "default": { "provider": "openai", "session": session } },
        "client_secrets": { "mode": "local", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }] },
        "prices": {
            "gpt-*": { "input_text": 1, "output_text": 2 },
            "gpt-image*": { "input_text": 5, "output_text": 40 },
            "whisper-1": { "audio_minute": 0.006 },
        },
    }))
}

fn posted(vm: &Vm, path: &str, content_type: &str, body: &str) -> Exchange {
    vm.request("POST", path).line("content-type", content_type).authenticated().body(body).send()
}

#[test]
fn under_a_budget_of_the_day_what_cannot_be_counted_is_refused() {
    let (tokens, dollars) = (json!({ "tokens_per_day": 100 }), json!({ "cost_usd_per_day": 1 }));
    for (path, content_type, body, under_tokens, under_dollars) in [
        ("/v1/responses", "application/json", r#"{"model":"gpt-5","background":true}"#, false, false),
        ("/v1/responses", "application/json", r#"{"model":"gpt-5","background":1,"stream":true}"#, false, false),
        (
            "/v1/responses",
            "application/json",
            r#"{"model":"gpt-5","background":false,"background":true}"#,
            false,
            false,
        ),
        ("/v1/responses", "application/json", r#"{"model":"gpt-5","Background":true}"#, false, false),
        ("/v1/responses", "application/json", r#"{"model":"gpt-5","backgr\u006fund":true}"#, false, false),
        ("/v1/responses", "application/json", r#"{"model":"gpt-5","background":false}"#, true, true),
        ("/v1/responses", "application/json", r#"{"model":"gpt-5","background":null}"#, true, true),
        ("/v1/responses", "application/json", r#"{"model":"gpt-5","metadata":{"background":true}}"#, true, true),
        ("/v1/images/edits", FORM, "--x--", true, false),
        ("/v1/audio/transcriptions", FORM, "--x--", true, false),
        ("/v1/chat/completions", FORM, "--x--", false, false),
        ("/v1/images/generations", "text/json", r#"{"model":"gpt-image-1"}"#, false, false),
        ("/v1/responses", "text/plain", r#"{"model":"gpt-5"}"#, false, false),
        ("/v1/responses", "application/sdp", r#"{"model":"gpt-5"}"#, false, false),
        ("/v1/images/generations", "application/json", r#"{"model":"gpt-image-1"}"#, true, true),
        ("/v1/batches", "application/json", r#"{"input_file_id":"file_1"}"#, false, false),
        ("/v1/files", FORM, "--x--", true, true),
        ("/v1/responses/resp_1/cancel", "text/json", "{}", true, true),
        ("/v1/images/generations", "text/json", "", true, true),
    ] {
        for (day, passes) in [(&json!({}), true), (&tokens, under_tokens), (&dollars, under_dollars)] {
            let sent = posted(&limited(day.clone(), json!({})), path, content_type, body);
            if passes {
                assert_eq!(sent.upstream().body, body.as_bytes(), "{path} {content_type} {body} {day}");
            } else {
                assert_eq!(sent.refused(), refusal(400, "malformed_request"), "{path} {content_type} {body} {day}");
            }
        }
    }
}

#[test]
fn the_refusal_says_why() {
    let vm = limited(json!({ "tokens_per_day": 100 }), json!({}));
    let background = posted(&vm, "/v1/responses", "application/json", r#"{"background":true}"#).refusal();
    assert_eq!(error(&background)["param"], "background");
    for (path, content_type) in [("/v1/images/generations", "text/json"), ("/v1/batches", "application/json")] {
        let refusal = posted(&vm, path, content_type, "{}").refusal();
        assert!(error(&refusal)["message"].as_str().unwrap().contains("budget of the day"), "{path}");
    }
}

#[test]
fn where_dollars_are_limited_a_model_needs_a_price() {
    let (session, day) = (json!({ "max_cost_usd": 1 }), json!({ "cost_usd_per_day": 1 }));
    for (day, session, rest) in [(&json!({}), &session, true), (&day, &json!({}), false)] {
        let vm = limited(day.clone(), session.clone());
        let denied = refusal(403, "model_not_allowed");
        for (model, passes) in [("gpt-realtime", true), ("o3", false)] {
            let upgrade = vm.upgrade(&format!("/v1/realtime?model={model}")).authenticated().send();
            let call = posted(&vm, &format!("/v1/realtime/calls?model={model}"), "application/sdp", "v=0");
            let mint = format!(r#"{{"session":{{"type":"realtime","model":"{model}"}}}}"#);
            let mint = posted(&vm, "/v1/realtime/client_secrets", "application/json", &mint);
            let body = format!(r#"{{"model":"{model}"}}"#);
            let response = posted(&vm, "/v1/responses", "application/json", &body);
            if passes {
                upgrade.upstream();
                call.upstream();
                assert_eq!(mint.refusal().status(), 200);
                response.upstream();
            } else {
                assert!(error(&upgrade.refusal())["message"].as_str().unwrap().contains("no price"));
                assert_eq!((call.refused(), mint.refused()), (denied.clone(), denied.clone()));
                if rest {
                    response.upstream();
                } else {
                    assert_eq!(response.refused(), denied);
                }
            }
        }
        let nameless = posted(&vm, "/v1/images/generations", "application/json", "{}");
        if rest {
            nameless.upstream();
        } else {
            assert_eq!(nameless.refused(), refusal(400, "model_required"));
        }
    }
}

#[test]
fn a_secret_whose_dollars_are_limited_is_for_a_model_with_a_price() {
    let vm = limited(json!({}), json!({}));
    for (gateway, model, want) in
        [(r#"{"max_cost_usd":1}"#, "o3", 403), (r#"{"max_cost_usd":1}"#, "gpt-realtime", 200), ("{}", "o3", 200)]
    {
        let body = format!(r#"{{"session":{{"type":"realtime","model":"{model}"}},"gateway":{gateway}}}"#);
        let sent = posted(&vm, "/v1/realtime/client_secrets", "application/json", &body);
        assert_eq!(sent.refusal().status(), want, "{gateway} {model}");
    }
}

/// A session that was opened without naming a model, whose upstream or client says this.
fn session_ends(vm: &Vm, from_upstream: bool, event: &Value) -> Option<(String, u16)> {
    let exchange = vm.upgrade("/v1/realtime").authenticated().send();
    exchange.respond(101, ACCEPTED);
    if from_upstream {
        exchange.send_upstream(&text_frame(&event.to_string(), None));
    } else {
        exchange.send_chunk(&text_frame(&event.to_string(), Some([0; 4])), false);
        exchange.send_upstream(b"\x89\x00");
    }
    exchange.closed_with()
}

fn text_frame(text: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    let [first, bit] = [0x81, if mask.is_some() { 0x80 } else { 0 }];
    let length =
        if text.len() < 126 { vec![first, bit | length[1]] } else { [&[first, bit | 126], &length[..]].concat() };
    [length, mask.map(Vec::from).unwrap_or_default(), text.as_bytes().to_vec()].concat()
}

#[test]
fn a_model_without_a_price_that_a_session_names_or_reports_ends_it() {
    let usage = |rate: &str| json!({ "input_tokens": 1, "output_tokens": 1, "output_token_details": { rate: 1 } });
    let session = |model: &str, transcription: Value| {
        let audio = json!({ "input": { "transcription": transcription } });
        json!({ "type": "session.created", "session": { "id": "sess_1", "model": model, "audio": audio } })
    };
    let transcribes = |model: &str| {
        let transcription = json!({ "transcription": { "model": model } });
        json!({ "type": "session.update", "session": { "audio": { "input": transcription } } })
    };
    let done = |model: &str, rate: &str| json!({ "type": "response.completed", "response": { "id": "r", "model": model, "usage": usage(rate) } });
    let limited = limited(json!({}), json!({ "max_cost_usd": 1 }));
    let free = vm(json!({ "prices": { "gpt-*": { "input_text": 1 } } }));
    for (from_upstream, event, is_priced) in [
        (true, session("gpt-realtime", Value::Null), true),
        (true, session("gpt-realtime", json!({ "model": "whisper-1" })), true),
        (true, session("o3", Value::Null), false),
        (true, session("gpt-realtime", json!({ "model": "scribe" })), false),
        (true, done("gpt-5", "text_tokens"), true),
        (true, done("o3", "text_tokens"), false),
        (true, done("gpt-5", "audio_tokens"), false),
        (false, transcribes("whisper-1"), true),
        (false, transcribes("scribe"), false),
        (false, json!({ "type": "response.create", "model": "o3" }), false),
    ] {
        let want = (!is_priced).then(|| ("model_not_allowed".to_owned(), 4403));
        assert_eq!(session_ends(&limited, from_upstream, &event), want, "{event}");
        assert_eq!(session_ends(&free, from_upstream, &event), None, "{event}");
    }
}

#[test]
fn what_is_used_without_a_price_is_counted_by_model() {
    let vm = limited(json!({}), json!({}));
    let body = |model: &str| {
        format!(r#"{{"object":"response","model":"{model}","usage":{{"input_tokens":1,"output_tokens":1}}}}"#)
    };
    for model in ["o3", "o3", "gpt-5"] {
        let exchange = posted(&vm, "/v1/responses", "application/json", "{}");
        exchange.respond(200, [("content-type", "application/json")]);
        exchange.response_body(body(model).as_bytes(), true);
        exchange.log();
    }
    let done = json!({ "type": "response.done", "response": { "id": "r", "usage": { "input_tokens": 1, "output_tokens": 1 } } });
    session_ends(&vm, true, &json!({ "type": "session.created", "session": { "model": "o3" } }));
    let exchange = vm.upgrade("/v1/realtime?model=o3").authenticated().send();
    exchange.respond(101, ACCEPTED);
    exchange.send_upstream(&text_frame(&done.to_string(), None));
    vm.wait(Duration::from_secs(1));
    assert_eq!(vm.statistics("unpriced_total"), [("realtime_byok.model=.=o3;.;unpriced_total".to_owned(), 3)]);
}
