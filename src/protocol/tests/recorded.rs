//! Recorded event streams, checked to the token and the micro-dollar.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::protocol::*;
use crate::testing;
use crate::usage::*;

/// A session over a WebSocket: its name and kind, the request's model, and how many events cannot be counted, or not all
/// of what they say.
type Session = (&'static str, SessionKind, Option<&'static str>, usize);

const SESSIONS: [Session; 14] = [
    ("realtime-audio-cached", SessionKind::Conversation, Some("gpt-realtime"), 0),
    ("realtime-image", SessionKind::Conversation, Some("gpt-realtime"), 0),
    ("realtime-cancelled", SessionKind::Conversation, Some("gpt-realtime"), 0),
    ("realtime-reasoning", SessionKind::Conversation, Some("gpt-realtime"), 0),
    ("realtime-transcription-tokens", SessionKind::Conversation, Some("gpt-realtime"), 0),
    ("realtime-transcription-seconds", SessionKind::Transcription, None, 0),
    ("realtime-bad-usage", SessionKind::Conversation, Some("gpt-realtime"), 8),
    ("realtime-unpriced", SessionKind::Conversation, Some("gpt-realtime"), 0),
    ("azure-deployment", SessionKind::Conversation, Some("voice-eu"), 0),
    ("xai-voice", SessionKind::Conversation, Some("grok-voice-latest"), 0),
    ("realtime-translation", SessionKind::Translation, Some("gpt-realtime-translate"), 0),
    ("responses-websocket", SessionKind::Responses, None, 0),
    ("live", SessionKind::Live, None, 0),
    ("gemini-live", SessionKind::GeminiLive, Some("gemini-2.5-flash-live"), 0),
];

/// Streams of server-sent events: the name and the request's model.
const STREAMS: [(&str, &str); 3] =
    [("responses-sse", "gpt-5"), ("chat-sse", "gpt-5"), ("anthropic-sse", "claude-sonnet-4-5")];

/// JSON bodies: the name and the request's model.
const BODIES: [(&str, &str); 3] =
    [("responses-json", "gpt-5"), ("chat-json-audio", "gpt-4o-audio-preview"), ("anthropic-json", "claude-sonnet-4-5")];

const FIRST_LEN: usize = 128;

fn load(file: &str) -> String {
    let path = format!("{}/tests/fixtures/recorded/{file}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn load_prices() -> PriceList {
    let prices: std::collections::BTreeMap<String, Price> = serde_json::from_str(&load("prices.json")).unwrap();
    PriceList::new(prices)
}

fn load_record(name: &str) -> Value {
    serde_json::from_str(&load(&format!("{name}.json"))).unwrap()
}

pub(super) fn load_lines(name: &str) -> Vec<String> {
    load(&format!("{name}.jsonl")).lines().map(str::to_owned).collect()
}

/// Feeds a session as a follower of frames would: by the first bytes of each message, then all of it if it matters.
fn meter_session(messages: &[String], of: &Session) -> (Meter, Vec<MeterEvent>) {
    meter_pieces(messages, of, |message| {
        let (first, rest) = message.split_at(message.len().min(FIRST_LEN));
        vec![first, rest]
    })
}

/// Feeds a session with each message in pieces.
fn meter_pieces(
    messages: &[String],
    (_, kind, request_model, _): &Session,
    pieces: impl Fn(&[u8]) -> Vec<&[u8]>,
) -> (Meter, Vec<MeterEvent>) {
    let (mut meter, mut turns, prices) = (Meter::new(*request_model), Turns::default(), load_prices());
    let mut all = Vec::new();
    for text in messages {
        let mut message = UpstreamMessage::of(*kind);
        if pieces(text.as_bytes()).into_iter().all(|piece| message.feed_event(piece) == Relevance::Open) {
            let parts = match message.end_event() {
                Reported::Turn(part) => turns.go_on(*part),
                reported => vec![reported],
            };
            all.extend(parts.into_iter().map(|part| meter.add(part, &prices)));
        }
    }
    all.extend(turns.end().map(|left| meter.add(left, &prices)));
    (meter, all)
}

fn session_record(messages: &[String], meter: &Meter) -> Value {
    let record = Record {
        status: Status::Closed,
        upstream_id: meter.upstream_id().map(str::to_owned),
        user: Some("u_123".into()),
        model: meter.model().map(str::to_owned),
        started_at: (UNIX_EPOCH + Duration::from_millis(1_767_323_045_678)).into(),
        duration_ms: 81_234,
        usage: *meter.tally(),
        cost_usd: meter.cost(),
        frames: Traffic { client: 0, upstream: messages.len() as u64 },
        bytes: Traffic { client: 0, upstream: messages.iter().map(|message| message.len() as u64).sum() },
        close: Some(Close { by: ClosedBy::Client, code: 1000, reason: String::new(), limit: None }),
        ..testing::record(0, 0)
    };
    serde_json::to_value(&record).unwrap()
}

fn rest_record(body: BodyMeter, chunks: &[&[u8]], request_model: &str) -> Value {
    let (mut body, mut meter, prices) = (body, Meter::new(Some(request_model)), load_prices());
    let mut all = Vec::new();
    for chunk in chunks {
        all.extend(body.read(chunk, &mut meter, &prices));
    }
    all.extend(body.finish(&mut meter, &prices));
    assert!(!all.iter().any(|metered| is_flawed(&metered)), "{all:?}");
    serde_json::json!({"model": meter.model(), "usage": meter.tally(), "cost_usd": meter.cost()})
}

fn is_flawed(metered: &&MeterEvent) -> bool {
    match metered {
        MeterEvent::Counted(counted) => counted.flaw.is_some(),
        metered => matches!(metered, MeterEvent::Rejected(_)),
    }
}

#[test]
fn sessions_are_metered_to_the_token_and_the_micro_dollar() {
    for session in &SESSIONS {
        let (name, .., flawed) = session;
        let messages = load_lines(name);
        let (meter, all) = meter_session(&messages, session);
        assert_eq!(session_record(&messages, &meter), load_record(name), "{name}");
        assert_eq!(all.iter().filter(is_flawed).count(), *flawed, "{name}: {all:?}");
    }
}

#[test]
fn sessions_are_metered_wherever_their_messages_are_cut() {
    for session in &SESSIONS {
        let (name, ..) = session;
        let messages = load_lines(name);
        let (whole, all) = meter_session(&messages, session);
        let longest = messages.iter().map(String::len).max().unwrap();
        let check = |cut: Option<usize>| {
            let (meter, events) = meter_pieces(&messages, session, |message| match cut {
                Some(cut) => <[&[u8]; 2]>::from(message.split_at(cut.min(message.len()))).to_vec(),
                None => message.chunks(1).collect(),
            });
            assert_eq!(session_record(&messages, &meter), session_record(&messages, &whole), "{name} cut at {cut:?}");
            assert_eq!(events, all, "{name} cut at {cut:?}");
        };
        check(None);
        (0..=longest).for_each(|cut| check(Some(cut)));
    }
}

#[test]
fn what_events_add_is_what_the_session_has() {
    for session in &SESSIONS {
        let (name, ..) = session;
        let (meter, all) = meter_session(&load_lines(name), session);
        let (mut usage, mut cost, mut unpriced) = (Tally::default(), 0, false);
        for metered in &all {
            if let MeterEvent::Counted(counted) = metered {
                usage.add(&counted.usage);
                cost += counted.cost.0;
                unpriced |= counted.unpriced;
            }
        }
        assert_eq!((usage, MicroUsd(cost)), (*meter.tally(), meter.cost()), "{name}");
        assert_eq!(unpriced, *name == "realtime-unpriced", "{name}");
    }
}

#[test]
fn repeated_events_and_other_key_orders_change_nothing() {
    for session in &SESSIONS {
        let (name, ..) = session;
        let messages = load_lines(name);
        let expected = load_record(name);

        let twice: Vec<String> = messages.iter().flat_map(|message| [message.clone(), message.clone()]).collect();
        assert_eq!(session_record(&messages, &meter_session(&twice, session).0), expected, "{name}");

        // A parsed document is written with its keys in alphabetical order: the type comes late, or last.
        let sorted = |message: &String| serde_json::from_str::<Value>(message).unwrap().to_string();
        let sorted: Vec<String> = messages.iter().map(sorted).collect();
        assert_eq!(session_record(&messages, &meter_session(&sorted, session).0), expected, "{name}");
    }
}

#[test]
fn streams_are_metered_wherever_they_are_cut() {
    for (name, request_model) in STREAMS {
        let expected = load_record(name);
        for line_end in ["\n", "\r\n", "\r"] {
            let events =
                load_lines(name).into_iter().map(|data| format!(": ping{line_end}data: {data}{line_end}{line_end}"));
            let stream = events.collect::<String>();
            let bytes = stream.as_bytes();
            let metered = |chunks: &[&[u8]]| rest_record(BodyMeter::event_stream(), chunks, request_model);
            assert_eq!(metered(&bytes.chunks(1).collect::<Vec<_>>()), expected, "{name}");
            for cut in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(cut);
                assert_eq!(metered(&[head, tail]), expected, "{name} cut at {cut}");
            }
        }
    }
}

#[test]
fn bodies_are_metered_wherever_they_are_cut() {
    for (name, request_model) in BODIES {
        let (body, expected) = (load(&format!("{name}.jsonl")), load_record(name));
        for cut in 0..=body.len() {
            let (head, tail) = body.as_bytes().split_at(cut);
            let metered = rest_record(BodyMeter::json(), &[head, tail], request_model);
            assert_eq!(metered, expected, "{name} cut at {cut}");
        }
    }
}
