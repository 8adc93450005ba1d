//! Sessions with bytes in, bytes out and a clock in the test's hand.

mod bounds;
mod cuts;
mod estimates;
mod kinds;
mod withheld;

use std::time::Duration;

use super::*;
use crate::endpoint::Endpoint;
use crate::limit::SessionLimits;
use crate::memory::MemoryAccount;
use crate::name_rule::NameRule;
use crate::policy::Policy;
use crate::process::shared_data::memory::Memory;
use crate::protocol::{Lock, SessionKind};
use crate::stream::admission::testing::admission;
use crate::testing;
use crate::usage::{MicroUsd, Price, Rate};
use crate::ws::{CloseCode, Event, FrameHeader, Interest, OpCode, mask, text_frame};

const MASK: [u8; 4] = [1, 2, 3, 4];

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn relay(limits: SessionLimits, lock: &[&str], models: NameRule) -> WebSocketRelay {
    live_of(limits, lock, models, Some("gpt-realtime"))
}

/// A session whose request named this model.
fn live_of(limits: SessionLimits, lock: &[&str], models: NameRule, named: Option<&str>) -> WebSocketRelay {
    started(limits, lock, models, (named, &MemoryAccount::default()))
}

/// A session beside others.
fn relay_in(memory: &MemoryAccount, limits: SessionLimits, lock: &[&str], models: NameRule) -> WebSocketRelay {
    started(limits, lock, models, (Some("gpt-realtime"), memory))
}

fn started(
    limits: SessionLimits,
    lock: &[&str],
    models: NameRule,
    (named, memory): (Option<&str>, &MemoryAccount),
) -> WebSocketRelay {
    let policy = Policy { models, limits, lock: Lock::new(lock).unwrap(), ..testing::policy() };
    let admission = admission(policy, Endpoint::WebSocket(SessionKind::Conversation));
    let upstream = Upstream { provider: &admission.policy.default_provider, model: named, beside: None };
    let mut relay = WebSocketRelay::new(&admission, &upstream, 7, memory, at(0));
    relay.start(at(0));
    relay
}

fn free() -> SessionLimits {
    SessionLimits::default()
}

fn client_text(text: &str) -> Vec<u8> {
    let header =
        FrameHeader { fin: true, opcode: OpCode::Text, mask: Some(MASK), length: u64::try_from(text.len()).unwrap() };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    let mut payload = text.as_bytes().to_vec();
    mask::apply(MASK, 0, &mut payload);
    bytes.extend(payload);
    bytes
}

fn done(id: &str, input: u64, output: u64) -> Vec<u8> {
    let total = input + output;
    text_frame(&format!(
        r#"{{"type":"response.done","response":{{"id":"{id}","status":"completed","usage":{{"total_tokens":{total},"input_tokens":{input},"output_tokens":{output},"input_token_details":{{"text_tokens":{input},"audio_tokens":0}},"output_token_details":{{"text_tokens":{output},"audio_tokens":0}}}}}}}}"#
    ))
}

fn prices() -> PriceList {
    let rate = |usd| Some(Rate::try_from(usd).unwrap());
    let price = Price { input_text: rate(4.0), output_text: rate(16.0), ..Price::default() };
    PriceList::new([("gpt-*".to_owned(), price)])
}

fn sessions() -> Sessions {
    Sessions::new(Box::new(Memory::default()), 1)
}

/// The Close frame with which the upstream is left.
fn left(code: u16) -> Vec<u8> {
    CloseFrame::new(CloseCode::new(code).unwrap(), "").encode(Some([7, 0, 0, 0]))
}

/// A Close frame of the upstream's.
fn closed(code: u16) -> Vec<u8> {
    CloseFrame::new(CloseCode::new(code).unwrap(), "").encode(None)
}

/// The Close frame, and nothing before it, that the client is told.
fn close_sent(bytes: &[u8]) -> CloseFrame {
    let mut follower = Follower::new(Sender::Server, UPSTREAM_FIRST);
    let event = follower.pass(bytes).next(&mut |_| Interest::Stream);
    let Some(Event::Close(Some(close))) = event else { panic!("{event:?} was told") };
    close
}

/// The error code and the close code that the client is told.
fn event_and_close(bytes: &[u8]) -> (String, u16) {
    let mut follower = Follower::new(Sender::Server, UPSTREAM_FIRST);
    let (mut pass, mut message) = (follower.pass(bytes), Vec::new());
    let event = pass.next(&mut |piece| {
        message.extend_from_slice(piece);
        Interest::Stream
    });
    assert_eq!(event, Some(Event::MessageEnd));
    let event: serde_json::Value = serde_json::from_slice(&message).unwrap();
    assert_eq!((&event["type"], &event["error"]["type"]), (&"error".into(), &"session_limit_exceeded".into()));
    let Some(Event::Close(Some(close))) = pass.next(&mut |_| Interest::Skip) else { panic!("no Close frame was told") };
    (event["error"]["code"].as_str().unwrap().to_owned(), close.code().value())
}

#[test]
fn what_passes_is_counted_and_left_alone() {
    let mut relay = relay(free(), &[], NameRule::Any);
    let from_client = client_text(r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#);
    assert_eq!(relay.client_bytes(from_client.as_slice(), at(1)), BodyAction::Pass);
    let from_upstream = [done("r1", 100, 10), done("r2", 50, 5), done("r2", 50, 5)].concat();
    assert_eq!(relay.upstream_bytes(from_upstream.as_slice(), &prices(), &mut sessions(), at(2)), BodyAction::Pass);
    relay.tick(None, at(2));
    let record = relay.record(Status::Closed, at(10));
    assert_eq!((record.usage.responses, record.usage.input_tokens, record.usage.output_tokens), (2, 150, 15));
    assert_eq!(record.cost_usd, MicroUsd(150 * 4 + 15 * 16));
    assert_eq!((record.duration_ms, record.idle_ms), (10_000, 8_000));
    assert_eq!((record.frames.client, record.frames.upstream), (1, 3));
    assert!(!record.incomplete);
}

#[test]
fn a_session_is_of_a_model_that_is_allowed_whatever_its_request_named() {
    for (event, named, told, is_allowed) in [
        ("session.created", None, "gpt-5", false),
        ("session.updated", None, "gpt-5", false),
        ("session.created", Some("gpt-realtime"), "gpt-5", false),
        ("session.created", Some("gpt-realtime"), "gpt-realtime-2025-08-28", true),
        ("session.created", Some("gpt-realtime"), "gpt-realtime-2", false),
    ] {
        let mut relay = live_of(free(), &[], NameRule::globs(["gpt-realtime"]), named);
        let allowed = text_frame(r#"{"type":"session.created","session":{"id":"s","model":"gpt-realtime"}}"#);
        assert_eq!(relay.upstream_bytes(allowed.as_slice(), &prices(), &mut sessions(), at(1)), BodyAction::Pass);
        let other = text_frame(&format!(r#"{{"type":"{event}","session":{{"id":"s","model":"{told}"}}}}"#));
        let action = relay.upstream_bytes(other.as_slice(), &prices(), &mut sessions(), at(1));
        if is_allowed {
            assert_eq!(action, BodyAction::Pass, "{event} {named:?}");
        } else {
            let BodyAction::Replace(from, bytes) = action else { panic!("{event} is not told of") };
            assert_eq!((from, event_and_close(&bytes)), (other.len(), ("model_not_allowed".into(), 4403)));
        }
    }
}

#[test]
fn a_session_that_lasts_too_long_ends_at_the_next_boundary_and_cut_after_the_grace() {
    let mut relay = relay(SessionLimits { max_duration: Some(Duration::from_secs(5)), ..free() }, &[], NameRule::Any);
    assert!(!relay.tick(None, at(4)));
    assert!(!relay.tick(None, at(5)));
    let frame = text_frame(r#"{"type":"response.output_text.delta","delta":"x"}"#);
    let (head, tail) = frame.split_at(5);
    let BodyAction::Replace(0, bytes) = relay.upstream_bytes(head, &prices(), &mut sessions(), at(6)) else {
        panic!("it passed")
    };
    assert_eq!(event_and_close(&bytes), ("max_duration_exceeded".into(), 4408));
    assert_eq!(relay.upstream_bytes(tail, &prices(), &mut sessions(), at(6)), BodyAction::Replace(0, vec![]));
    assert!(!relay.tick(None, at(7)) && relay.tick(None, at(8)));
}

#[test]
fn within_a_message_the_ending_waits_for_its_end() {
    let mut relay = relay(SessionLimits { max_duration: Some(Duration::from_secs(5)), ..free() }, &[], NameRule::Any);
    let frame = text_frame(r#"{"type":"response.output_text.delta","delta":"x"}"#);
    let (head, tail) = frame.split_at(5);
    assert_eq!(relay.upstream_bytes(head, &prices(), &mut sessions(), at(1)), BodyAction::Pass);
    assert!(!relay.tick(None, at(5)));
    let rest = [tail, done("r", 1, 1).as_slice()].concat();
    let BodyAction::Replace(from, bytes) = relay.upstream_bytes(rest.as_slice(), &prices(), &mut sessions(), at(6))
    else {
        panic!("it passed")
    };
    assert_eq!((from, event_and_close(&bytes).1), (tail.len(), 4408));
}

#[test]
fn an_idle_session_is_cut_at_once() {
    let mut relay = relay(SessionLimits { idle_timeout: Some(Duration::from_secs(5)), ..free() }, &[], NameRule::Any);
    relay.client_bytes(client_text("{}").as_slice(), at(2));
    assert!(!relay.tick(None, at(3)));
    assert!(!relay.tick(None, at(7)));
    assert!(relay.tick(None, at(8)));
}

#[test]
fn pings_and_pongs_keep_no_session_open_and_a_message_under_way_does() {
    let idle = || relay(SessionLimits { idle_timeout: Some(Duration::from_secs(5)), ..free() }, &[], NameRule::Any);
    let masked = |opcode, fin| {
        let mut bytes = Vec::new();
        FrameHeader { fin, opcode, mask: Some(MASK), length: 0 }.encode(&mut bytes);
        bytes
    };
    let (ping, pong) = (masked(OpCode::Ping, true), masked(OpCode::Pong, true));
    let begun = masked(OpCode::Text, false);
    let from_client = |seconds: u64, bytes: &[u8]| {
        let mut relay = idle();
        relay.client_bytes(begun.as_slice(), at(0));
        (1..=seconds).find(|&second| {
            relay.client_bytes(bytes, at(second));
            relay.tick(None, at(second))
        })
    };
    for bytes in [[ping, pong].concat(), masked(OpCode::Continuation, false)] {
        assert_eq!(from_client(20, &bytes), Some(5));
    }
    let mut relay = idle();
    relay.client_bytes([begun, masked(OpCode::Continuation, true)].concat().as_slice(), at(0));
    assert_eq!((1..20).find(|&second| relay.tick(None, at(second))), Some(6), "an empty message is one");
    let mut relay = idle();
    let from_upstream = |relay: &mut WebSocketRelay, bytes: &[u8], second| {
        relay.upstream_bytes(bytes, &prices(), &mut sessions(), at(second));
        relay.tick(None, at(second))
    };
    let long = text_frame(&"x".repeat(100));
    assert!((0..20).all(|second| !from_upstream(&mut relay, &long[second..=second], second as u64)));
    assert!((20..24).all(|second| !from_upstream(&mut relay, b"", second)));
}

#[test]
fn an_event_that_a_client_may_not_send_never_reaches_the_upstream() {
    for (text, code) in [
        (r#"{"type":"session.update","session":{"instructions":"x"}}"#, ("field_locked", 4403)),
        (r#"{"session":{"instructions":"x"},"ty\u0070e":"session.update"}"#, ("field_locked", 4403)),
        (r#"{"type":"response.create","response":{"instructions":null}}"#, ("field_locked", 4403)),
        (r#"{"type":"session.update","session":{"model":"gpt-5"}}"#, ("model_not_allowed", 4403)),
        (r#"{"type":"x","type":"session.update"}"#, ("protocol_error", 1002)),
        ("{", ("protocol_error", 1002)),
    ] {
        let fine = client_text(r#"{"type":"response.create"}"#);
        let bad = client_text(text);
        let both = [fine.clone(), bad].concat();
        for cut in 0..=both.len() {
            let mut relay = relay(free(), &["instructions"], NameRule::globs(["gpt-realtime*"]));
            let (first, second) = both.split_at(cut);
            let (mut passed, mut said) = (0, Vec::new());
            for bytes in [first, second] {
                match relay.client_bytes(bytes, at(1)) {
                    BodyAction::Pass => passed += bytes.len(),
                    BodyAction::Replace(from, with) => {
                        said.extend(with);
                        passed += from;
                    }
                }
            }
            assert!(passed >= fine.len() && passed < both.len(), "{text} cut at {cut}: {passed} bytes passed");
            let is_cut = (fine.len() + 1..both.len()).contains(&cut);
            assert_eq!(said, if is_cut { vec![] } else { left(1000) }, "{text} cut at {cut}");
            let next = text_frame("{}");
            let BodyAction::Replace(0, bytes) =
                relay.upstream_bytes(next.as_slice(), &prices(), &mut sessions(), at(1))
            else {
                panic!("{text}: the client was not told")
            };
            assert_eq!(event_and_close(&bytes), (code.0.to_owned(), code.1), "{text}");
        }
    }
}

#[test]
fn a_silent_upstream_is_asked_to_close_and_its_answer_gives_way() {
    let bad = client_text(r#"{"type":"session.update","session":{"tools":[]}}"#);
    let mut relay = relay(free(), &["tools"], NameRule::Any);
    assert_eq!(relay.client_bytes(bad.as_slice(), at(1)), BodyAction::Replace(0, left(1000)));
    assert_eq!(relay.client_bytes(bad.as_slice(), at(1)), BodyAction::Replace(0, vec![]));
    let BodyAction::Replace(0, bytes) =
        relay.upstream_bytes(closed(1000).as_slice(), &prices(), &mut sessions(), at(1))
    else {
        panic!("the upstream's Close passed")
    };
    assert_eq!(event_and_close(&bytes), ("field_locked".into(), 4403));
    assert_eq!(relay.record(Status::Closed, at(1)).close.unwrap().code, 4403);
}

#[test]
fn what_time_ends_reaches_the_client_as_soon_as_it_says_something() {
    let mut relay = relay(SessionLimits { max_duration: Some(Duration::from_secs(5)), ..free() }, &[], NameRule::Any);
    let message = client_text(r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#);
    let (head, tail) = message.split_at(10);
    assert_eq!(relay.client_bytes(head, at(4)), BodyAction::Pass);
    assert!(!relay.tick(None, at(5)));
    let rest = [tail, message.as_slice()].concat();
    assert_eq!(relay.client_bytes(rest.as_slice(), at(5)), BodyAction::Replace(tail.len(), left(1000)));
    let BodyAction::Replace(0, bytes) =
        relay.upstream_bytes(closed(1000).as_slice(), &prices(), &mut sessions(), at(5))
    else {
        panic!("the upstream's Close passed")
    };
    assert_eq!(event_and_close(&bytes), ("max_duration_exceeded".into(), 4408));
}

#[test]
fn a_close_within_a_message_gives_way_to_a_close_alone() {
    let bad = client_text(r#"{"type":"session.update","session":{"tools":[]}}"#);
    let mut relay = relay(free(), &["tools"], NameRule::Any);
    let unfinished = [0x01, 1, b'{'];
    assert_eq!(relay.upstream_bytes(unfinished.as_slice(), &prices(), &mut sessions(), at(1)), BodyAction::Pass);
    relay.client_bytes(bad.as_slice(), at(1));
    let rest = [vec![0x00, 1, b'"'], closed(1000)].concat();
    let BodyAction::Replace(3, bytes) = relay.upstream_bytes(rest.as_slice(), &prices(), &mut sessions(), at(1)) else {
        panic!("the upstream's Close passed")
    };
    let close = close_sent(&bytes);
    assert_eq!((close.code().value(), close.reason()), (4403, "field_locked"));
}

#[test]
fn a_violation_of_the_client_gives_way_to_a_close_and_what_the_upstream_still_says_passes() {
    for (bad, code) in
        [(text_frame("{}"), 1002), (CloseFrame::new(CloseCode::NORMAL, "").encode(None), 1002), (bad_reason(), 1007)]
    {
        let mut relay = relay(free(), &[], NameRule::Any);
        let fine = client_text("{}");
        let both = [fine.clone(), bad].concat();
        assert_eq!(relay.client_bytes(both.as_slice(), at(1)), BodyAction::Replace(fine.len(), left(code)));
        let echo = text_frame("{}");
        assert_eq!(relay.upstream_bytes(echo.as_slice(), &prices(), &mut sessions(), at(1)), BodyAction::Pass);
        let answer = [echo.clone(), closed(code)].concat();
        let action = relay.upstream_bytes(answer.as_slice(), &prices(), &mut sessions(), at(1));
        let BodyAction::Replace(from, bytes) = action else { panic!("the upstream's Close passed") };
        assert_eq!((from, close_sent(&bytes).code().value()), (echo.len(), code));
        let record = relay.record(Status::Closed, at(1));
        let close = record.close.unwrap();
        assert_eq!((close.code, close.reason.as_str(), record.incomplete), (code, "protocol_error", true));
    }
}

/// A Close frame of the client's whose reason is not UTF-8.
fn bad_reason() -> Vec<u8> {
    vec![0x88, 0x83, 0, 0, 0, 0, 0x03, 0xe8, 0xff]
}

#[test]
fn a_client_at_fault_gets_its_close_without_an_answer_of_the_upstream_when_that_takes_too_long() {
    let mut relay = relay(free(), &[], NameRule::Any);
    let echo = text_frame("{}");
    relay.client_bytes(echo.as_slice(), at(1));
    assert!(!relay.tick(None, at(2)));
    assert_eq!(relay.upstream_bytes(echo.as_slice(), &prices(), &mut sessions(), at(2)), BodyAction::Pass);
    assert!(!relay.tick(None, at(3)));
    let BodyAction::Replace(0, bytes) = relay.upstream_bytes(echo.as_slice(), &prices(), &mut sessions(), at(3)) else {
        panic!("it passed")
    };
    assert!(!relay.tick(None, at(4)) && relay.tick(None, at(5)));
    let close = close_sent(&bytes);
    assert_eq!((close.code().value(), close.reason()), (1002, "protocol_error: client frame is not masked"));
}

#[test]
fn a_violation_of_the_upstream_gives_way_to_a_close_and_what_the_client_still_says_passes() {
    let mut relay = relay(free(), &["tools"], NameRule::Any);
    let fine = text_frame("{}");
    let both = [fine.as_slice(), &[0xf1, 0]].concat();
    let BodyAction::Replace(from, bytes) = relay.upstream_bytes(both.as_slice(), &prices(), &mut sessions(), at(1))
    else {
        panic!("it passed")
    };
    assert_eq!((from, close_sent(&bytes).code().value()), (fine.len(), 1002));
    assert_eq!(
        relay.upstream_bytes(fine.as_slice(), &prices(), &mut sessions(), at(1)),
        BodyAction::Replace(0, vec![])
    );
    let echo = client_text("{}");
    assert_eq!(relay.client_bytes(echo.as_slice(), at(1)), BodyAction::Pass);
    let locked = client_text(r#"{"type":"session.update","session":{"tools":[]}}"#);
    assert_eq!(relay.client_bytes(locked.as_slice(), at(1)), BodyAction::Replace(0, left(1002)));
    assert!(!relay.tick(None, at(2)) && relay.tick(None, at(3)));
    assert!(relay.record(Status::Closed, at(3)).incomplete);
}

#[test]
fn a_violation_that_began_in_an_earlier_read_goes_no_further() {
    let long = [0x81, 126, 0, 1, 0];
    let mut from_upstream = relay(free(), &[], NameRule::Any);
    let (first, rest) = long.split_at(2);
    assert_eq!(from_upstream.upstream_bytes(first, &prices(), &mut sessions(), at(1)), BodyAction::Pass);
    assert_eq!(from_upstream.upstream_bytes(rest, &prices(), &mut sessions(), at(1)), BodyAction::Replace(0, vec![]));
    let message = client_text("{}");
    assert_eq!(from_upstream.client_bytes(message.as_slice(), at(1)), BodyAction::Replace(0, left(1002)));

    let mut from_client = relay(free(), &[], NameRule::Any);
    assert_eq!(from_client.client_bytes([0x81].as_slice(), at(1)), BodyAction::Pass);
    assert_eq!(from_client.client_bytes([0x01, 0].as_slice(), at(1)), BodyAction::Replace(0, vec![]));
    let message = text_frame("{}");
    let BodyAction::Replace(0, bytes) =
        from_client.upstream_bytes(message.as_slice(), &prices(), &mut sessions(), at(1))
    else {
        panic!("it passed")
    };
    assert_eq!(close_sent(&bytes).code().value(), 1002);
}

#[test]
fn whoever_ends_it_first_is_on_record() {
    let mut relay = relay(SessionLimits { max_duration: Some(Duration::from_secs(5)), ..free() }, &[], NameRule::Any);
    relay.upstream_bytes(closed(4001).as_slice(), &prices(), &mut sessions(), at(1));
    assert!(!relay.tick(None, at(5)) && relay.tick(None, at(7)));
    let close = relay.record(Status::Closed, at(7)).close.unwrap();
    assert_eq!((close.by, close.code), (ClosedBy::Upstream, 4001));
}

#[test]
fn a_side_that_closes_is_known_with_its_words() {
    let mut relay = relay(free(), &[], NameRule::Any);
    let close = CloseFrame::new(CloseCode::new(4001).unwrap(), "bye").encode(None);
    assert_eq!(relay.upstream_bytes(close.as_slice(), &prices(), &mut sessions(), at(1)), BodyAction::Pass);
    let close = relay.record(Status::Closed, at(1)).close.unwrap();
    assert_eq!((close.by, close.code, close.reason.as_str()), (ClosedBy::Upstream, 4001, "bye"));
}

#[test]
fn every_cut_of_an_upstreams_stream_counts_the_same() {
    let stream = [
        text_frame(r#"{"type":"session.created","session":{"id":"sess_1","model":"gpt-realtime"}}"#),
        text_frame(r#"{"type":"response.output_audio.delta","delta":"AAAAAAAAAAAAAAAA"}"#),
        done("r1", 100, 10),
        done("r2", 7, 3),
    ]
    .concat();
    for cut in 0..=stream.len() {
        let mut relay = relay(free(), &[], NameRule::Any);
        let (first, second) = stream.split_at(cut);
        for bytes in [first, second] {
            assert_eq!(relay.upstream_bytes(bytes, &prices(), &mut sessions(), at(1)), BodyAction::Pass);
        }
        let record = relay.record(Status::Closed, at(1));
        assert_eq!((record.usage.total_tokens, record.upstream_id.as_deref()), (120, Some("sess_1")), "cut at {cut}");
    }
}

#[test]
fn an_operators_stop_takes_effect_within_two_seconds_though_nobody_speaks() {
    let mut relay = relay(free(), &[], NameRule::Any);
    assert!(!relay.tick(Some(Ending::Stopped), at(1)));
    assert!(relay.tick(None, at(2)));
    let close = relay.record(Status::Closed, at(2)).close.unwrap();
    assert_eq!((close.by, close.code), (ClosedBy::Gateway, 4410));
}

#[test]
fn a_client_that_knows_of_a_stop_has_its_grace() {
    let mut relay = relay(free(), &[], NameRule::Any);
    assert!(!relay.tick(Some(Ending::Stopped), at(1)));
    let next = text_frame("{}");
    let BodyAction::Replace(0, bytes) = relay.upstream_bytes(next.as_slice(), &prices(), &mut sessions(), at(1)) else {
        panic!("the client was not told")
    };
    assert_eq!(event_and_close(&bytes), ("session_stopped".into(), 4410));
    assert!(!relay.tick(None, at(2)) && relay.tick(None, at(3)));
}

#[test]
fn a_tick_that_comes_a_little_early_ends_the_grace() {
    let mut relay = relay(SessionLimits { max_duration: Some(Duration::from_secs(1)), ..free() }, &[], NameRule::Any);
    let millis = |millis| at(0) + Duration::from_millis(millis);
    assert!(!relay.tick(None, millis(1_999)));
    assert!(!relay.tick(None, millis(2_997)));
    assert!(relay.tick(None, millis(3_995)));
}
