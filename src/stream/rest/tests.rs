//! Responses whose usage is known, and those that are cut before they tell it.

use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::endpoint::Endpoint;
use crate::host::HeaderMap;
use crate::host::fake::FakeHost;
use crate::limit::CallerLimits;
use crate::stream::admission::testing::admission;
use crate::testing::policy;

/// What is held of an answer at most, of whatever size and form.
const READ: usize = 4 << 10;

struct Answered {
    content_type: &'static str,
    content_encoding: &'static str,
}

impl Answered {
    fn host(&self) -> FakeHost {
        let host = FakeHost::new().line(HeaderMap::Response, "content-type", self.content_type);
        host.line(HeaderMap::Response, "content-encoding", self.content_encoding)
    }
}

const JSON: Answered = Answered { content_type: "application/json", content_encoding: "" };
const EVENTS: Answered = Answered { content_type: "text/event-stream; charset=utf-8", content_encoding: "" };

fn counted() -> Admission {
    admission(policy(), Endpoint::Completions)
}

fn rest(model: &str, asked: StreamUsage) -> RestMeter {
    let admission = counted();
    let upstream = Upstream { provider: &admission.policy.default_provider, model: Some(model), beside: None };
    *RestMeter::new(&admission, &upstream, asked, &MemoryAccount::default()).unwrap()
}

fn load(file: &str) -> String {
    fs::read_to_string(format!("{}/tests/fixtures/recorded/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn prices() -> PriceList {
    let prices: std::collections::BTreeMap<String, _> = serde_json::from_str(&load("prices.json")).unwrap();
    PriceList::new(prices)
}

/// What an exchange comes to whose answer passes in these chunks: what it used, and what the client gets.
fn pass(mut rest: RestMeter, response: &Answered, chunks: &[&[u8]]) -> (RestUsage, Vec<u8>) {
    let prices = prices();
    rest.answered(200, &UpstreamResponse::read(&response.host()));
    let mut got = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        match rest.pass(chunk, index + 1 == chunks.len(), &prices) {
            BodyAction::Pass => got.extend_from_slice(chunk),
            BodyAction::Replace(from, bytes) => got.extend([&chunk[..from], &bytes].concat()),
        }
    }
    (rest.end(&prices), got)
}

fn record(used: &RestUsage) -> Value {
    json!({ "model": used.model, "usage": used.usage, "cost_usd": used.cost })
}

fn event_stream(lines: &str) -> String {
    lines.lines().map(|data| format!("data: {data}\n\n")).collect()
}

#[test]
fn recorded_answers_are_counted_wherever_they_are_cut_and_pass_as_they_are() {
    for (name, model, response) in [
        ("chat-sse", "gpt-5", EVENTS),
        ("responses-sse", "gpt-5", EVENTS),
        ("anthropic-sse", "claude-sonnet-4-5", EVENTS),
        ("anthropic-json", "claude-sonnet-4-5", JSON),
        ("chat-json-audio", "gpt-4o-audio-preview", JSON),
        ("responses-json", "gpt-5", JSON),
    ] {
        let recorded = load(&format!("{name}.jsonl"));
        let body = if response.content_type == JSON.content_type { recorded } else { event_stream(&recorded) };
        let want: Value = serde_json::from_str(&load(&format!("{name}.json"))).unwrap();
        let bytes = body.as_bytes();
        for cut in 0..=bytes.len() {
            let (used, got) = pass(rest(model, StreamUsage::AsSent), &response, &[&bytes[..cut], &bytes[cut..]]);
            assert_eq!((record(&used), used.gap), (want.clone(), None), "{name} cut at {cut}");
            assert_eq!(got, bytes, "{name} cut at {cut}");
        }
    }
}

#[test]
fn usage_that_the_client_did_not_request_is_counted_and_kept_from_it() {
    let recorded = load("chat-sse.jsonl");
    let unasked: String =
        recorded.lines().filter(|line| !line.contains(r#""choices":[]"#)).map(|line| format!("{line}\n")).collect();
    for choices in [r#""choices":[],"#, r#""choices":null,"#, ""] {
        let recorded = recorded.replace(r#""choices":[],"#, choices);
        let (stream, want) = (event_stream(&recorded), event_stream(&unasked));
        assert!(want.len() < stream.len());
        let check = |chunks: &[&[u8]], cut| {
            let (used, got) = pass(rest("gpt-5", StreamUsage::Added), &EVENTS, chunks);
            assert_eq!((used.usage.total_tokens, used.gap), (2306, None), "{choices} cut at {cut}");
            assert_eq!(String::from_utf8(got).unwrap(), want, "{choices} cut at {cut}");
            let (used, got) = pass(rest("gpt-5", StreamUsage::AsSent), &EVENTS, chunks);
            assert_eq!((used.usage.total_tokens, got), (2306, stream.clone().into_bytes()), "{choices}");
        };
        check(&stream.as_bytes().chunks(1).collect::<Vec<_>>(), 1);
        for cut in 0..=stream.len() {
            check(&[&stream.as_bytes()[..cut], &stream.as_bytes()[cut..], b""], cut);
        }
    }
}

#[test]
fn in_an_overdrawn_account_nothing_is_withheld_and_all_is_counted() {
    let memory = MemoryAccount::new(0);
    let _others = memory.reserve(1 << 20);
    let others = memory.reserved();
    let recorded = load("chat-sse.jsonl");
    let stream = event_stream(&recorded).replacen("data: {", &format!("data: {{\"x\":\"{}\",", "x".repeat(12_000)), 1);
    let admission = counted();
    let upstream = Upstream { provider: &admission.policy.default_provider, model: Some("gpt-5"), beside: None };
    let mut rest = *RestMeter::new(&admission, &upstream, StreamUsage::Added, &memory).unwrap();
    rest.answered(200, &UpstreamResponse::read(&EVENTS.host()));
    let mut got = Vec::new();
    for chunk in stream.as_bytes().chunks(4000) {
        match rest.pass(chunk, false, &prices()) {
            BodyAction::Pass => got.extend_from_slice(chunk),
            BodyAction::Replace(from, bytes) => got.extend([&chunk[..from], &bytes].concat()),
        }
        assert!(memory.reserved() - others <= READ, "{} bytes are held", memory.reserved() - others);
    }
    assert!(got.starts_with(&stream.as_bytes()[..12_100]), "what was withheld went on");
    let used = rest.end(&prices());
    assert_eq!((used.usage.total_tokens, used.gap, memory.reserved()), (2306, None, others));
}

#[test]
fn any_answer_is_read_in_a_few_kilobytes() {
    let name = "n".repeat(256);
    let names = format!(r#""id":"{name}","model":"{name}","status":"{name}","object":"response""#);
    let deep = format!("{}{}", r#"{"output":"#.repeat(900), "[".repeat(90));
    let usage = r#""usage":{"input_tokens":9,"output_tokens":4,"input_tokens_details":{"cached_tokens":1}}"#;
    let chunk = format!(r#"data: {{"choices":[],{names},{usage}}}"#) + "\n\n";
    let event = format!(r#"data: {{"type":"response.completed","response":{{{names},{usage},"output":{deep}"#);
    for (response, body) in [
        (JSON, format!(r#"{{{names},{usage},"output":{deep}"#)),
        (EVENTS, chunk.repeat(99) + &event),
        (EVENTS, format!("{event}{}", "é".repeat(9000))),
    ] {
        for pieces in [1, 1000, usize::MAX] {
            let memory = MemoryAccount::default();
            let admission = counted();
            let upstream = Upstream { provider: &admission.policy.default_provider, model: Some(&name), beside: None };
            let mut rest = *RestMeter::new(&admission, &upstream, StreamUsage::AsSent, &memory).unwrap();
            rest.answered(200, &UpstreamResponse::read(&response.host()));
            for piece in body.as_bytes().chunks(pieces) {
                rest.pass(piece, false, &prices());
                assert!(memory.reserved() <= READ, "{} bytes are held", memory.reserved());
            }
            assert!(memory.reserved() > 1000);
            drop(rest);
            assert_eq!(memory.reserved(), 0);
        }
    }
}

#[test]
fn an_answer_is_read_if_it_is_a_plain_success_in_json_or_events() {
    let answered = |content_type, content_encoding| Answered { content_type, content_encoding };
    for (status, response, is_read, gap) in [
        (200, JSON, true, None),
        (201, EVENTS, true, Some(UsageGap::Unreported)),
        (200, answered("Application/Vnd.X+JSON", "Identity"), true, None),
        (200, answered("TEXT/EVENT-STREAM", ""), true, Some(UsageGap::Unreported)),
        (200, answered("application/json", "gzip"), false, Some(UsageGap::Coded)),
        (200, answered("text/event-stream", "identity, br"), false, Some(UsageGap::Coded)),
        (200, answered("audio/mpeg", "gzip"), false, None),
        (200, answered("", ""), false, None),
        (199, JSON, false, None),
        (300, JSON, false, None),
        (429, JSON, false, None),
    ] {
        let mut rest = rest("gpt-5", StreamUsage::AsSent);
        assert!(!rest.is_read());
        rest.answered(status, &UpstreamResponse::read(&response.host()));
        assert_eq!(rest.is_read(), is_read, "{status} {}", response.content_type);
        assert_eq!(rest.end(&prices()).gap, gap, "{status} {}", response.content_type);
    }
}

#[test]
fn what_is_not_reported_is_known_not_to_be() {
    let cut = |body: &str| body[..body.len() / 2].to_owned();
    let (usage, many) = (r#""usage":{"input_tokens":1,"output_tokens":1}"#, r#""a":1,"#.repeat(200_000));
    let (long, full) = (format!(r#"{{"data":"{}",{usage}}}"#, "A".repeat(2 << 20)), format!("{{{many}{usage}}}"));
    let unasked = "data: {\"choices\":[{}]}\n\ndata: [DONE]\n\n".to_owned();
    let rejected = |field| Some(UsageGap::Rejected(UsageError::Missing(field)));
    let (missing, untold, cut_short) = (rejected("usage"), rejected("input_tokens"), rejected("output_tokens"));
    for (body, response, gap) in [
        (load("responses-json.jsonl"), JSON, None),
        (r#"{"object":"list","data":[]}"#.into(), JSON, None),
        (cut(&load("responses-json.jsonl")), JSON, Some(UsageGap::Rejected(UsageError::Malformed))),
        (long, JSON, None),
        (full, JSON, None),
        (r#"{"object":"response","status":"queued","usage":null}"#.into(), JSON, missing),
        (unasked, EVENTS, missing),
        (cut(&event_stream(&load("responses-sse.jsonl"))), EVENTS, missing),
        ("data: {\"type\":\"message_start\"}\n\n".into(), EVENTS, untold),
        (cut(&event_stream(&load("anthropic-sse.jsonl"))), EVENTS, cut_short),
        ("data: {\"type\":\"error\"}\n\n".into(), EVENTS, Some(UsageGap::Unreported)),
    ] {
        let (used, got) = pass(rest("gpt-5", StreamUsage::AsSent), &response, &[body.as_bytes()]);
        assert_eq!(used.gap, gap, "{:.80}", body);
        assert!(got == body.as_bytes());
    }
}

#[test]
fn what_was_heard_and_not_told_is_estimated_where_a_budget_watches() {
    let chat = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let responses = |text: &str| {
        let delta = format!("data: {{\"type\":\"response.output_text.delta\",\"delta\":\"{text}\"}}\n\n");
        format!("data: {{\"type\":\"response.created\",\"response\":{{}}}}\n\n{delta}")
    };
    let start = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":7}}}\n\n";
    let anthropic = |text: &str| {
        let delta = format!("{{\"type\":\"text_delta\",\"text\":\"{text}\"}}");
        format!("{start}data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{delta}}}\n\n")
    };
    let text = "t".repeat(400);
    let told = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
    for (body, response, estimated, total) in [
        (chat(&text), EVENTS, 50 + 100, 150),
        (chat(&text) + told, EVENTS, 0, 5),
        (responses(&text), EVENTS, 50 + 100, 150),
        (responses(""), EVENTS, 50, 50),
        (anthropic(&text), EVENTS, 100, 107),
        (r#"{"object":"chat.completion","choices":["#.to_owned() + &text, JSON, 50 + 110, 160),
        ("data: {\"type\":\"error\"}\n\n".into(), EVENTS, 0, 0),
        (r#"{"error":{"message":"no"}}"#.into(), JSON, 0, 0),
    ] {
        for is_watched in [true, false] {
            let mut admission = counted();
            let limits = CallerLimits { tokens_per_day: is_watched.then_some(1_000), ..CallerLimits::default() };
            admission.caller = Arc::new(Caller { limits, ..crate::testing::caller() });
            let upstream =
                Upstream { provider: &admission.policy.default_provider, model: Some("gpt-5"), beside: None };
            let meter = RestMeter::new(&admission, &upstream, StreamUsage::AsSent, &MemoryAccount::default());
            let mut rest = *meter.unwrap();
            rest.ask(200);
            let (used, _) = pass(rest, &response, &body.as_bytes().chunks(7).collect::<Vec<_>>());
            let untold = if is_watched { (estimated, total) } else { (0, total - estimated) };
            assert_eq!((used.estimated, used.usage.total_tokens), untold, "{body:.60}");
        }
    }
}
