//! What REST exchanges use: read as their answers pass, asked for where a stream would not tell, left to the access log.

use serde_json::{Value, json};

use crate::fixture::{refusal, vm};
use crate::host::{Exchange, Level, Vm};

const CHAT: &str = "/v1/chat/completions";
const STREAMED: &str = r#"{"model":"gpt-5","stream":true}"#;
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const EVENTS: [(&str, &str); 1] = [("content-type", "text/event-stream")];

const COMPLETION: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-5-2025-08-07","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}"#;
const CHOICE: &str = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}\n\n";
const USAGE: &str = "data: {\"id\":\"chatcmpl-1\",\"model\":\"gpt-5\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A plugin with prices; its policy `ruled` reads bodies, `open` does not, `off` meters nothing.
fn metering() -> Vm {
    vm(json!({
        "prices": { "gpt-5*": { "input_text": 1, "output_text": 10 } },
        "policies": {
            "open": { "provider": "openai" },
            "ruled": { "provider": "openai", "models": ["gpt*"] },
            "off": { "provider": "openai", "models": ["gpt*"], "meter": false },
        },
    }))
}

/// What the access log of an exchange says, once it is over.
fn logged(exchange: &Exchange) -> Value {
    let fields = ["caller", "policy", "provider", "model", "tokens", "cost"];
    let reported = fields.map(|field| (field.to_owned(), exchange.access_log_field(field).into()));
    Value::Object(reported.into_iter().collect())
}

fn all(model: &str, tokens: &str, cost: &str) -> Value {
    json!({ "caller": "web-app", "policy": "open", "provider": "openai", "model": model, "tokens": tokens, "cost": cost })
}

#[test]
fn a_json_answer_is_counted_in_whatever_pieces_it_comes() {
    let vm = metering();
    for size in [1, 7, COMPLETION.len()] {
        let exchange = vm.post(CHAT, "{}").with_policy("open").authenticated().send();
        exchange.respond(200, JSON);
        let chunks: Vec<_> = COMPLETION.as_bytes().chunks(size).collect();
        chunks.iter().enumerate().for_each(|(at, chunk)| exchange.response_body(chunk, at + 1 == chunks.len()));
        assert_eq!(exchange.received(), COMPLETION.as_bytes());
        exchange.log();
        assert_eq!(logged(&exchange), all("gpt-5-2025-08-07", "13", "0.000049"));
    }
}

#[test]
fn a_stream_whose_body_is_read_is_asked_for_usage_that_its_client_does_not_see() {
    let vm = metering();
    let exchange = vm.post(CHAT, STREAMED).with_policy("ruled").authenticated().send();
    let upstream = exchange.upstream();
    let want = r#"{"stream_options":{"include_usage":true},"model":"gpt-5","stream":true}"#;
    assert_eq!(String::from_utf8(upstream.body).unwrap(), want);
    assert_eq!(upstream.lines.all("content-length"), [want.len().to_string()]);
    let answer = exchange.respond(200, [("content-type", "text/event-stream"), ("content-length", "400")]);
    assert_eq!(answer.lines.all("content-length"), [""; 0]);
    let (head, tail) = USAGE.split_at(20);
    for (chunk, got) in [
        (CHOICE, CHOICE.to_owned()),
        (head, CHOICE.to_owned()),
        (tail, CHOICE.to_owned()),
        (DONE, [CHOICE, DONE].concat()),
        ("", [CHOICE, DONE].concat()),
    ] {
        exchange.response_body(chunk.as_bytes(), chunk.is_empty());
        assert_eq!(String::from_utf8(exchange.received()).unwrap(), got);
    }
    exchange.log();
    let logged = logged(&exchange);
    assert_eq!(
        (&logged["tokens"], &logged["cost"], &logged["model"]),
        (&json!("13"), &json!("0.000049"), &json!("gpt-5"))
    );
}

#[test]
fn a_usage_chunk_counts_and_is_withheld_whatever_it_has_for_choices() {
    let vm = metering();
    for choices in ["\"choices\":[],", "\"choices\":null,", ""] {
        let usage = USAGE.replace("\"choices\":[],", choices);
        let exchange = vm.post(CHAT, STREAMED).with_policy("ruled").authenticated().send();
        exchange.respond(200, EVENTS);
        exchange.response_body([CHOICE, &usage, DONE].concat().as_bytes(), true);
        assert_eq!(String::from_utf8(exchange.received()).unwrap(), [CHOICE, DONE].concat());
        exchange.log();
        assert_eq!(logged(&exchange)["tokens"], "13", "{choices}");
    }
}

#[test]
fn what_anthropic_s_cache_reads_and_writes_is_input() {
    let vm = vm(json!({ "prices": { "claude*": { "input_text": 3, "input_cached_text": 0.3, "output_text": 15 } } }));
    let usage = r#""usage":{"input_tokens":12,"cache_read_input_tokens":2000,"cache_creation_input_tokens":500,"output_tokens":9}"#;
    let message = format!(r#"{{"type":"message","id":"msg_1","model":"claude-sonnet-4-5","content":[],{usage}}}"#);
    let stream = format!(
        "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{}}}\n\n\
         event: message_delta\ndata: {{\"type\":\"message_delta\",\"usage\":{{\"output_tokens\":9}}}}\n\n\
         event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n",
        message.replace("\"output_tokens\":9", "\"output_tokens\":1")
    );
    for (content_type, body) in [(JSON, &message), (EVENTS, &stream)] {
        let exchange = vm.post("/v1/messages", "{}").authenticated().send();
        exchange.respond(200, content_type);
        exchange.response_body(body.as_bytes(), true);
        exchange.log();
        let logged = logged(&exchange);
        assert_eq!((&logged["tokens"], &logged["cost"]), (&json!("2521"), &json!("0.002271")));
    }
}

#[test]
fn what_a_client_asks_for_itself_it_gets() {
    let vm = metering();
    let body = r#"{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true}}"#;
    for policy in ["open", "ruled"] {
        let exchange = vm.post(CHAT, body).with_policy(policy).authenticated().send();
        assert_eq!(exchange.upstream().body, body.as_bytes());
        exchange.respond(200, EVENTS);
        let stream = [CHOICE, USAGE, DONE].concat();
        exchange.response_body(stream.as_bytes(), true);
        assert_eq!(exchange.received(), stream.as_bytes());
        exchange.log();
        assert_eq!(logged(&exchange)["tokens"], "13");
    }
}

#[test]
fn dollars_of_the_day_are_counted_where_only_the_request_names_the_model() {
    let vm = vm(json!({
        "prices": { "gpt-image*": { "input_text": 5, "output_text": 40 } },
        "callers": { "web-app": { "limits": { "cost_usd_per_day": 1 } } },
    }));
    let exchange = vm.post("/v1/images/generations", r#"{"model":"gpt-image-1"}"#).authenticated().send();
    exchange.respond(200, JSON);
    exchange.response_body(br#"{"created":1,"data":[],"usage":{"input_tokens":10,"output_tokens":20}}"#, true);
    exchange.log();
    let logged = logged(&exchange);
    assert_eq!((&logged["model"], &logged["cost"]), (&json!("gpt-image-1"), &json!("0.000850")));
}

#[test]
fn a_stream_that_tells_no_usage_is_known_not_to() {
    let vm = metering();
    let exchange = vm.post(CHAT, STREAMED).with_policy("open").authenticated().send();
    assert_eq!(exchange.upstream().body, STREAMED.as_bytes());
    exchange.respond(200, EVENTS);
    exchange.response_body([CHOICE, DONE].concat().as_bytes(), true);
    exchange.log();
    let logged = logged(&exchange);
    assert_eq!((&logged["caller"], &logged["tokens"], &logged["cost"]), (&json!("web-app"), &json!(""), &json!("")));
    let lines = vm.log().into_iter().filter(|(_, line)| line.contains("usage is missing"));
    assert_eq!(Vec::from_iter(lines.map(|(level, _)| level)), [Level::Info]);
}

#[test]
fn what_was_reported_before_a_cut_is_counted() {
    let vm = metering();
    let exchange = vm.post(CHAT, STREAMED).with_policy("ruled").authenticated().send();
    exchange.respond(200, EVENTS);
    exchange.response_body([CHOICE, USAGE].concat().as_bytes(), false);
    exchange.log();
    assert_eq!(logged(&exchange)["tokens"], "13");
}

#[test]
fn trailers_end_an_answer_too() {
    let vm = metering();
    let exchange = vm.post(CHAT, "{}").with_policy("open").authenticated().send();
    exchange.respond(200, JSON);
    exchange.response_body(COMPLETION.as_bytes(), false);
    exchange.response_trailers(&[("x-last".into(), b"1".to_vec())]);
    exchange.log();
    assert_eq!(logged(&exchange)["tokens"], "13");
}

#[test]
fn answers_that_can_be_counted_are_asked_for_without_a_coding() {
    let vm = metering();
    for (method, path, policy, sent, want) in [
        ("POST", CHAT, "open", Some("gzip, br"), Some("identity")),
        ("POST", CHAT, "open", None, None),
        ("POST", "/v1/responses/resp_1/cancel", "open", Some("gzip, br"), Some("gzip, br")),
        ("GET", "/v1/responses/resp_1", "open", Some("gzip, br"), Some("gzip, br")),
        ("POST", CHAT, "off", Some("gzip, br"), Some("gzip, br")),
    ] {
        let request = vm.request(method, path).lines(sent.map(|value| ("accept-encoding", value)));
        let request = request.line("content-type", "application/json").body(r#"{"model":"gpt"}"#);
        let upstream = request.with_policy(policy).authenticated().send().upstream();
        assert_eq!(upstream.lines.all("accept-encoding"), Vec::from_iter(want), "{method} {path} {policy}");
    }
    let exchange = vm.post(CHAT, "{}").with_policy("open").authenticated().send();
    exchange.respond(200, [("content-type", "application/json"), ("content-encoding", "gzip")]);
    exchange.response_body(b"\x1f\x8b", true);
    exchange.log();
    assert_eq!((logged(&exchange)["policy"].clone(), logged(&exchange)["tokens"].clone()), (json!("open"), json!("")));
    assert!(vm.log().iter().any(|(_, line)| line.contains("content coding")));
}

#[test]
fn reading_what_was_made_and_unmetered_policies_count_nothing() {
    let vm = metering();
    for (method, path, policy) in [
        ("GET", "/v1/responses/resp_1", "open"),
        ("POST", "/v1/chat/completions/chatcmpl-1", "open"),
        ("POST", CHAT, "off"),
    ] {
        let request = vm.request(method, path).line("content-type", "application/json").body(STREAMED);
        let exchange = request.with_policy(policy).authenticated().send();
        assert_eq!(exchange.upstream().body, STREAMED.as_bytes());
        exchange.respond(200, JSON);
        exchange.response_body(COMPLETION.as_bytes(), true);
        exchange.log();
        assert_eq!((&logged(&exchange)["caller"], &logged(&exchange)["tokens"]), (&json!(""), &json!("")), "{path}");
    }
}

#[test]
fn a_refusal_of_the_upstreams_is_no_answer_to_count() {
    let vm = metering();
    let exchange = vm.post(CHAT, "{}").with_policy("open").authenticated().send();
    exchange.respond(500, JSON);
    exchange.response_body(COMPLETION.as_bytes(), true);
    exchange.log();
    assert_eq!((&logged(&exchange)["provider"], &logged(&exchange)["tokens"]), (&json!("openai"), &json!("")));
    let refused = vm.post(CHAT, "{}").with_policy("open").authenticated().send();
    assert_eq!(refused.respond(401, JSON).status(), 502);
}

#[test]
fn a_body_that_says_twice_whether_it_streams_is_refused_where_it_is_read() {
    let vm = metering();
    let body = r#"{"model":"gpt-5","stream":false,"stre\u0061m":true}"#;
    let send = |path, policy| vm.post(path, body).with_policy(policy).authenticated().send();
    assert_eq!(send(CHAT, "ruled").refused(), refusal(400, "malformed_request"));
    for (path, policy) in [(CHAT, "open"), (CHAT, "off"), ("/v1/responses", "ruled")] {
        assert_eq!(send(path, policy).upstream().body, body.as_bytes());
    }
}

#[test]
fn a_budget_of_the_day_is_drawn_on_by_answers_and_reads_every_completions_body() {
    let vm = vm(json!({ "callers": { "web-app": { "limits": { "tokens_per_day": 14 } } } }));
    let send = |content_type, body| vm.request("POST", CHAT).line("content-type", content_type).body(body);
    let unreadable = send("text/plain", STREAMED).authenticated().send();
    assert_eq!(unreadable.refused(), refusal(400, "malformed_request"));
    for _ in 0..2 {
        let exchange = send("application/json", STREAMED).authenticated().send();
        assert!(exchange.upstream().body.starts_with(br#"{"stream_options":"#));
        exchange.respond(200, EVENTS);
        exchange.response_body([CHOICE, USAGE, DONE].concat().as_bytes(), true);
        assert_eq!(exchange.received(), [CHOICE, DONE].concat().as_bytes());
    }
    for (path, body) in [(CHAT, STREAMED), ("/v1/embeddings", "{}")] {
        assert_eq!(vm.post(path, body).authenticated().send().refused(), refusal(429, "budget_exceeded"));
    }
}

#[test]
fn under_a_budget_of_the_day_no_api_version_keeps_a_stream_from_being_counted() {
    let vm = vm(json!({
        "providers": { "azure": { "kind": "azure_openai", "key": { "env": "AZURE_KEY" } } },
        "callers": { "web-app": { "limits": { "tokens_per_day": 14 } } },
        "policies": { "default": { "provider": "azure" } },
    }));
    let path = |versions| format!("/openai/deployments/gpt/chat/completions?{versions}");
    let send = |versions, body| vm.post(&path(versions), body).authenticated().send();
    for (versions, body) in [
        ("api-version=2024-10-21&api-version=1", STREAMED),
        ("api-version=2024-10-21&api-version=1", "{}"),
        ("api-version=2024-06-01", STREAMED),
    ] {
        assert_eq!(send(versions, body).refused(), refusal(400, "malformed_request"), "{versions}");
    }
    assert_eq!(send("api-version=2024-06-01", "{}").upstream().body, b"{}");
    assert!(send("api-version=2024-10-21", STREAMED).upstream().body.starts_with(br#"{"stream_options":"#));
}
