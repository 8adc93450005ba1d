//! What is charged of responses that were not told, and what is reserved for those under way.

use super::*;
use crate::credential::Caller;
use crate::limit::CallerLimits;
use crate::limit::SharedLimits;
use crate::process::{Share, TallyKey};
use crate::usage::{Estimated, Limit};

const CREATED: &str = r#"{"type":"response.created","response":{"id":"resp"}}"#;

/// Two seconds of audio, as events of OpenAI's say them.
fn audio() -> Vec<u8> {
    let around = format!(
        r#"{{"type":"response.output_audio.delta","event_id":"{}","response_id":"{}","item_id":"{}","output_index":0,"content_index":0,"delta":"{}"}}"#,
        "e".repeat(27),
        "r".repeat(26),
        "i".repeat(26),
        "A".repeat(128_000)
    );
    text_frame(&around)
}

fn text(text: &str) -> Vec<u8> {
    text_frame(&format!(
        r#"{{"event_id":"e","type":"response.output_text.delta","delta":"{text}","obfuscation":"xyzxyz"}}"#
    ))
}

fn created() -> Vec<u8> {
    text_frame(CREATED)
}

fn of(limits: CallerLimits, policy: SessionLimits, share: Option<Share>) -> WebSocketRelay {
    let mut admission =
        admission(Policy { limits: policy, ..testing::policy() }, Endpoint::WebSocket(SessionKind::Conversation));
    admission.caller = std::sync::Arc::new(Caller { limits, ..testing::caller() });
    admission.share = share.map(Box::new);
    let upstream = Upstream { provider: &admission.policy.default_provider, model: Some("gpt-realtime"), beside: None };
    let mut relay = WebSocketRelay::new(&admission, &upstream, 7, &MemoryAccount::default(), at(0));
    relay.start(at(0));
    relay
}

fn day(tokens: u64) -> CallerLimits {
    CallerLimits { tokens_per_day: Some(tokens), ..CallerLimits::default() }
}

/// Passes what the upstream says; the code and the limit that the client is told, if it is.
fn say(relay: &mut WebSocketRelay, sessions: &mut Sessions, bytes: &[u8]) -> Option<(String, u16)> {
    match relay.upstream_bytes(bytes, &prices(), sessions, at(1)) {
        BodyAction::Pass => None,
        BodyAction::Replace(_, bytes) => Some(event_and_close(&bytes)),
    }
}

fn settled(relay: &mut WebSocketRelay, sessions: &mut Sessions) -> Record {
    relay.settle(&prices(), sessions, at(2));
    relay.record(Status::Closed, at(2))
}

#[test]
fn a_response_that_was_never_told_is_charged_by_what_was_heard_and_what_the_last_one_read() {
    let stream = [done("r1", 100, 10), created(), text("twelve bytes"), audio()].concat();
    for (limits, policy, is_watched) in [
        (day(100_000), free(), true),
        (CallerLimits { cost_per_day: Some(MicroUsd(9_000_000)), ..CallerLimits::default() }, free(), true),
        (CallerLimits::default(), SessionLimits { max_tokens: Some(100_000), ..free() }, true),
        (CallerLimits { concurrent_sessions: Some(4), ..CallerLimits::default() }, free(), false),
    ] {
        for cut in (0..stream.len()).step_by(997).chain([1, 2, 3, stream.len()]) {
            let (mut relay, mut sessions) = (of(limits, policy, None), sessions());
            let (head, tail) = stream.split_at(cut);
            assert_eq!(say(&mut relay, &mut sessions, head), None);
            assert_eq!(say(&mut relay, &mut sessions, tail), None);
            let record = settled(&mut relay, &mut sessions);
            let (estimated, responses) = if is_watched { (100 + 3 + 40, 2) } else { (0, 1) };
            assert_eq!(record.estimated, Estimated { tokens: estimated, milliseconds: 0 }, "cut at {cut}");
            assert_eq!((record.usage.total_tokens, record.usage.responses), (110 + estimated, responses));
            assert!(record.incomplete);
        }
    }
}

#[test]
fn what_is_told_replaces_what_was_estimated() {
    let unreadable = text_frame(r#"{"type":"response.done","response":{"id":"r2""#);
    for (events, estimated, total) in [
        (vec![created(), text("12345678"), done("r2", 50, 5)], 0, 165),
        (vec![created(), text("12345678"), unreadable.clone(), done("r2", 50, 5)], 0, 165),
        (vec![created(), text("12345678"), unreadable.clone()], 102, 212),
        (vec![created(), text("12345678"), unreadable, created(), done("r3", 1, 1)], 102, 214),
        (
            vec![
                created(),
                text("1234"),
                text_frame(r#"{"type":"response.done","response":{"id":"r2","status":"completed"}}"#),
            ],
            101,
            211,
        ),
        (vec![created(), text_frame(r#"{"type":"response.done","response":{"id":"r2","status":"failed"}}"#)], 0, 110),
        (vec![text("nothing has begun")], 0, 110),
        (vec![created(), created(), text("12345678"), done("r2", 50, 1)], 51, 212),
    ] {
        let (mut relay, mut sessions) = (of(day(100_000), free(), None), sessions());
        let stream = [vec![done("r1", 100, 10)], events].concat().concat();
        assert_eq!(say(&mut relay, &mut sessions, &stream), None);
        let record = settled(&mut relay, &mut sessions);
        assert_eq!((record.estimated.tokens, record.usage.total_tokens), (estimated, total));
        let used = sessions.used(
            &Caller { limits: day(total), ..testing::caller() },
            "",
            (&Default::default(), MicroUsd(0)),
            at(2),
        );
        assert_eq!(used, Some(Limit::CallerTokensPerDay), "{total} are of the day");
        settled(&mut relay, &mut sessions);
        assert_eq!(relay.record(Status::Closed, at(2)).usage.total_tokens, total, "it is charged once");
    }
}

#[test]
fn what_a_first_response_reads_is_estimated_by_what_the_client_has_said() {
    for lock in [false, true] {
        let mut admission = admission(testing::policy(), Endpoint::WebSocket(SessionKind::Conversation));
        admission.caller = std::sync::Arc::new(Caller { limits: day(1000), ..testing::caller() });
        if lock {
            admission.policy = std::sync::Arc::new(Policy { lock: Lock::new(["tools"]).unwrap(), ..testing::policy() });
        }
        let upstream = Upstream { provider: &admission.policy.default_provider, model: None, beside: None };
        let mut relay = WebSocketRelay::new(&admission, &upstream, 7, &MemoryAccount::default(), at(0));
        relay.start(at(0));
        let said = client_text(&format!(r#"{{"type":"conversation.item.create","item":"{}"}}"#, "x".repeat(400)));
        let append =
            client_text(&format!(r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#, "A".repeat(64_000)));
        for bytes in [said, append].concat().chunks(13) {
            assert_eq!(relay.client_bytes(bytes, at(1)), BodyAction::Pass);
        }
        let mut sessions = sessions();
        say(&mut relay, &mut sessions, &created());
        let record = settled(&mut relay, &mut sessions);
        assert_eq!((record.usage.input.text, record.usage.input.audio), (112, 10), "{lock}");
    }
}

/// The bytes that the upstream gets, unmasked.
fn told_upstream(action: BodyAction) -> (Vec<u8>, Option<Event>) {
    let BodyAction::Replace(0, bytes) = action else { panic!("{action:?}") };
    let (mut follower, mut text) = (Follower::new(Sender::Client, 128), Vec::new());
    let mut pass = follower.pass(bytes.as_slice());
    let mut last = None;
    while let Some(event) = pass.next(&mut |piece| {
        text.extend_from_slice(piece);
        Interest::Stream
    }) {
        last = Some(event);
    }
    (text, last)
}

#[test]
fn of_responses_at_once_those_are_cancelled_that_would_overrun_the_day() {
    let mut sessions = sessions();
    let mut all: Vec<_> = (0..10).map(|_| of(day(1_000), free(), None)).collect();
    // What each session's last response cost is known: 90 tokens each.
    for (index, relay) in all.iter_mut().enumerate() {
        assert_eq!(say(relay, &mut sessions, &done(&format!("r{index}"), 30, 5)), None);
    }
    let ended: Vec<_> = all.iter_mut().filter_map(|relay| say(relay, &mut sessions, &created())).collect();
    assert_eq!(ended, [], "350 are used, and 350 reserved");
    let ended: Vec<_> = all.iter_mut().filter_map(|relay| say(relay, &mut sessions, &created())).collect();
    assert_eq!(ended.len(), 2, "{ended:?}: 650 are left for 19 at 35");
    assert!(ended.iter().all(|told| *told == ("budget_exceeded".into(), 4429)));
    let (text, close) = told_upstream(all.last_mut().unwrap().client_bytes(client_text("{}").as_slice(), at(2)));
    assert_eq!(String::from_utf8(text).unwrap(), r#"{"type":"response.cancel"}"#);
    assert!(matches!(close, Some(Event::Close(Some(close))) if close.code() == CloseCode::NORMAL));
}

#[test]
fn what_is_heard_is_reserved_as_it_comes() {
    let mut sessions = sessions();
    let mut all: Vec<_> = (0..10).map(|_| of(day(1_000), free(), None)).collect();
    assert!(all.iter_mut().all(|relay| say(relay, &mut sessions, &created()).is_none()));
    let mut ended = 0;
    for _ in 0..25 {
        for relay in &mut all {
            if relay.record(Status::Open, at(1)).status == Status::Open {
                ended += usize::from(say(relay, &mut sessions, &audio()).is_some());
            }
        }
    }
    assert_eq!(ended, 9, "one goes on to its end");
    let total: u64 = all.iter_mut().map(|relay| settled(relay, &mut sessions).usage.total_tokens).sum();
    // A day, one response beyond it, and the event of each session that was too much.
    assert!((2_000..=2_000 + 10 * 40).contains(&total), "{total}");
}

#[test]
fn a_response_alone_is_never_cancelled_and_one_beside_others_of_its_session_may_be() {
    let mut sessions = sessions();
    let mut relay = of(CallerLimits::default(), SessionLimits { max_tokens: Some(300), ..free() }, None);
    assert_eq!(say(&mut relay, &mut sessions, &[done("r1", 100, 10), created(), audio()].concat()), None);
    assert_eq!(say(&mut relay, &mut sessions, &created()), Some(("budget_exceeded".into(), 4429)));

    let limits = SharedLimits { max_tokens: Some(300), ..SharedLimits::default() };
    let share = Share { key: TallyKey::of(b"ek"), limits, kept_until: 2_000_000 };
    let [mut one, mut other] = [(); 2].map(|()| of(CallerLimits::default(), free(), Some(share)));
    assert_eq!(say(&mut one, &mut sessions, &[done("r1", 100, 10), created()].concat()), None);
    assert_eq!(say(&mut other, &mut sessions, &[done("r2", 60, 10)].concat()), None);
    let told = say(&mut other, &mut sessions, &created());
    assert_eq!(told, Some(("budget_exceeded".into(), 4429)), "180 are used, 110 reserved: 70 more are not left");
}
