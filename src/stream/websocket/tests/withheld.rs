//! Messages that are held until they are whole: what is locked is dropped or refused, what is hidden is not shown, and what
//! the gateway sets goes up first.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::protocol::{Hide, Preset, SessionKind};

const SECRET: &str = "Sell shoes.";

/// A session under a policy with rules on fields.
fn session(on_change: OnChange, preset: Option<Preset>, hide: &[&str]) -> WebSocketRelay {
    session_in(&MemoryAccount::default(), on_change, preset, hide)
}

fn session_in(memory: &MemoryAccount, on_change: OnChange, preset: Option<Preset>, hide: &[&str]) -> WebSocketRelay {
    let lock = Lock::new(["instructions", "tools"]).unwrap().on_change(on_change).unwrap();
    let policy = Policy { lock, preset, hide: Hide::new(hide).unwrap(), ..testing::policy() };
    let admission = admission(policy, Endpoint::WebSocket(SessionKind::Conversation));
    let upstream = Upstream { provider: &admission.policy.default_provider, model: Some("gpt-realtime"), beside: None };
    let mut relay = WebSocketRelay::new(&admission, &upstream, 7, memory, at(0));
    relay.start(at(0));
    relay
}

fn preset() -> Option<Preset> {
    Some(Preset::new(format!(r#"{{"type":"realtime","instructions":"{SECRET}"}}"#)))
}

/// What goes on of a read.
fn applied(action: BodyAction, read: &[u8]) -> Vec<u8> {
    match action {
        BodyAction::Pass => read.to_vec(),
        BodyAction::Replace(from, bytes) => [&read[..from], &bytes].concat(),
    }
}

fn up(relay: &mut WebSocketRelay, read: &[u8]) -> Vec<u8> {
    applied(relay.client_bytes(read, at(1)), read)
}

fn down(relay: &mut WebSocketRelay, read: &[u8]) -> Vec<u8> {
    applied(relay.upstream_bytes(read, &prices(), &mut sessions(), at(1)), read)
}

/// What a side gets: whole messages, and the code of a Close at their end. Anything else is no stream of frames.
fn received(sender: Sender, bytes: &[u8]) -> (Vec<String>, Option<u16>) {
    let mut follower = Follower::new(sender, UPSTREAM_FIRST);
    let (mut messages, mut message, mut code) = (Vec::new(), Vec::new(), None);
    let mut pass = follower.pass(bytes);
    while let Some(event) = pass.next(&mut |piece| {
        message.extend_from_slice(piece);
        Interest::Stream
    }) {
        match event {
            Event::MessageEnd => messages.push(String::from_utf8(std::mem::take(&mut message)).unwrap()),
            Event::Close(close) => code = close.map(|close| close.code().value()),
            event => panic!("{event:?}"),
        }
    }
    drop(pass);
    assert!(code.is_some() || follower.at_message_boundary(), "it ends within a message");
    (messages, code)
}

fn messages_up(bytes: &[u8]) -> Vec<String> {
    received(Sender::Client, bytes).0
}

/// The codes of the errors, and the types of other events.
fn heard(bytes: &[u8]) -> Vec<String> {
    let name = |text: &String| {
        let event: serde_json::Value = serde_json::from_str(text).unwrap();
        let name = if event["type"] == "error" { &event["error"]["code"] } else { &event["type"] };
        name.as_str().unwrap().to_owned()
    };
    received(Sender::Server, bytes).0.iter().map(name).collect()
}

fn update(session: &str) -> String {
    format!(r#"{{"type":"session.update","event_id":"mine","session":{{{session}}}}}"#)
}

/// The upstream's answer to a question.
fn answer(question: &str) -> Vec<u8> {
    let question: serde_json::Value = serde_json::from_str(question).unwrap();
    assert_eq!(question["type"], "conversation.item.retrieve");
    let id = &question["event_id"];
    text_frame(&format!(r#"{{"type":"error","error":{{"code":"item_retrieve_invalid_item_id","event_id":{id}}}}}"#))
}

#[test]
fn under_drop_a_message_goes_on_without_what_is_locked() {
    let mut relay = session(OnChange::Drop, None, &[]);
    let locked = client_text(&update(r#""instructions":"Be rude.","voice":"marin","tools":[]"#));
    let free = client_text(&update(r#""voice":"ash""#));
    let got = up(&mut relay, &[&free[..], &locked, &free].concat());
    let want = [update(r#""voice":"ash""#), update(r#""voice":"marin""#), update(r#""voice":"ash""#)];
    assert_eq!(messages_up(&got), want);
    assert_eq!(relay.client_bytes(free.as_slice(), at(1)), BodyAction::Pass, "what is not changed is not copied");
    assert!(relay.closing.is_none());
}

#[test]
fn a_message_that_may_be_changed_is_held_up_to_a_bound_and_others_pass_as_they_come() {
    let padded = |before: &str, length: usize, after: &str| {
        let padding = "x".repeat(length - before.len() - after.len());
        format!("{before}{padding}{after}")
    };
    let max = 256 << 10;
    let session_update = |length| padded(r#"{"type":"session.update","session":{"a":""#, length, r#""}}"#);
    let audio = padded(r#"{"type":"input_audio_buffer.append","audio":""#, 3 << 20, r#""}"#);
    let image = padded(r#"{"type":"conversation.item.create","item":{"image_url":""#, 3 << 20, r#""}}"#);
    let late = |length| padded(r#"{"audio":""#, length, r#"","type":"input_audio_buffer.append"}"#);
    for on_change in [OnChange::Drop, OnChange::Refuse] {
        for (text, passes, is_held) in [
            (session_update(max), true, true),
            (session_update(max + 1), false, true),
            (late(max), true, true),
            (late(max + 1), true, true),
            (late(max + 2), false, true),
            (audio.clone(), true, false),
            (image.clone(), true, false),
        ] {
            for reads in [usize::MAX, 60_000] {
                let memory = MemoryAccount::default();
                let mut relay = session_in(&memory, on_change, None, &[]);
                let (bytes, idle) = (client_text(&text), memory.reserved());
                let (mut got, mut most) = (Vec::new(), 0);
                for read in bytes.chunks(reads.min(bytes.len())) {
                    got.extend(up(&mut relay, read));
                    most = most.max(memory.reserved() - idle);
                }
                let (messages, code) = received(Sender::Client, &got);
                assert_eq!((messages == [text.as_str()], code), (passes, (!passes).then_some(1000)), "{text:.50}");
                let told = relay.record(Status::Closed, at(1)).close.map(|close| (close.code, close.reason));
                assert_eq!(told, (!passes).then(|| (1009, "message_too_big".to_owned())));
                assert_eq!(memory.reserved(), idle, "what was held is given back");
                assert!(most < if is_held { 2 * max + 6_000 } else { 6_000 }, "{most} bytes are held");
                assert!(reads == usize::MAX || !is_held || most > 50_000, "what is held is in the account");
            }
        }
    }
}

#[test]
fn a_forbidden_model_and_what_cannot_be_read_end_the_session_whatever_is_locked() {
    for on_change in [OnChange::Drop, OnChange::Refuse] {
        for (event, code) in [
            (update(r#""instructions":"x","model":"gpt-5""#), 4403),
            (update(r#""instructions":"x","Tools":1"#), 1002),
            (update(r#""tools":1,"tools":2"#), 1002),
            (r#"{"type":"input_audio_buffer.append","type":"session.update"}"#.to_owned(), 1002),
        ] {
            let mut relay = session(on_change, None, &[]);
            std::sync::Arc::get_mut(&mut relay.meter.policy).unwrap().models = NameRule::globs(["gpt-realtime"]);
            let got = up(&mut relay, &client_text(&event));
            assert_eq!(messages_up(&got), Vec::<String>::new(), "{event}");
            assert_eq!(relay.record(Status::Closed, at(1)).close.map(|close| close.code), Some(code), "{event}");
        }
    }
}

#[test]
fn what_is_refused_gives_way_to_a_question_whose_answer_gives_way_to_the_error() {
    let mut relay = session(OnChange::Refuse, None, &[]);
    let got = up(&mut relay, &client_text(&update(r#""instructions":"Be rude.""#)));
    let questions = messages_up(&got);
    assert_eq!(questions.len(), 1);
    assert!(!questions[0].contains("rude"));
    let (told, code) = received(Sender::Server, &down(&mut relay, &answer(&questions[0])));
    let [error] = told.as_slice() else { panic!("{told:?}") };
    let error: serde_json::Value = serde_json::from_str(error).unwrap();
    assert_eq!(
        (&error["error"]["code"], &error["error"]["param"], &error["error"]["event_id"], code),
        (&"field_locked".into(), &"instructions".into(), &"mine".into(), None)
    );
    assert_eq!(relay.client_bytes(client_text(&update("")).as_slice(), at(1)), BodyAction::Pass, "the session goes on");
    let error = text_frame(r#"{"type":"error","error":{"code":"x","event_id":"mine"}}"#);
    assert_eq!(down(&mut relay, &error), error, "an error of the client's own is its own");
}

#[test]
fn where_the_upstream_speaks_the_error_does_not_wait_for_the_answer() {
    let mut relay = session(OnChange::Refuse, None, &[]);
    let delta = text_frame(r#"{"type":"response.output_text.delta","delta":"x"}"#);
    assert_eq!(down(&mut relay, &delta[..4]), &delta[..4]);
    let refused = client_text(&update(r#""tools":[]"#));
    let question = messages_up(&up(&mut relay, &refused));
    assert_eq!(messages_up(&up(&mut relay, &refused)), Vec::<String>::new(), "one question is enough");
    let answered = [&delta[4..], &answer(&question[0]), &delta].concat();
    let got = [&delta[..4], &down(&mut relay, &answered)].concat();
    let text = "response.output_text.delta";
    assert_eq!(heard(&got), [text, "field_locked", "field_locked", text]);
    let question = messages_up(&up(&mut relay, &refused));
    assert_eq!(question.len(), 1, "the next is asked for again");
    assert_eq!(heard(&down(&mut relay, &delta)), ["field_locked", text]);
    assert_eq!(down(&mut relay, &answer(&question[0])), b"");
    assert_eq!(relay.upstream_bytes(delta.as_slice(), &prices(), &mut sessions(), at(1)), BodyAction::Pass);
}

#[test]
fn a_client_that_is_refused_without_end_is_told_of_some() {
    let memory = MemoryAccount::default();
    let mut relay = session_in(&memory, OnChange::Refuse, None, &[]);
    let refused = client_text(&update(r#""tools":[]"#)).repeat(1000);
    assert_eq!(messages_up(&up(&mut relay, &refused)).len(), 1);
    assert!(memory.reserved() < 20_000, "{} bytes are held", memory.reserved());
    assert_eq!(heard(&down(&mut relay, &text_frame(r#"{"type":"x"}"#))).len(), 65);
}

#[test]
fn a_preset_goes_up_first_and_once_and_its_refusal_ends_the_session() {
    for cut in [1, 5, 50] {
        let mut relay = session(OnChange::Drop, preset(), &["instructions"]);
        let created = text_frame(r#"{"type":"session.created","session":{"id":"s","instructions":"You are."}}"#);
        let shown = r#"{"type":"session.created","session":{"id":"s"}}"#;
        assert_eq!(received(Sender::Server, &down(&mut relay, &created)), (vec![shown.to_owned()], None));
        let own = client_text(&update(r#""instructions":"Be rude.","a":1"#));
        let (first, second) = own.split_at(cut);
        let got = [up(&mut relay, first), up(&mut relay, second), up(&mut relay, &own)].concat();
        let messages = messages_up(&got);
        assert_eq!(messages[1..], [update(r#""a":1"#), update(r#""a":1"#)]);
        let preset: serde_json::Value = serde_json::from_str(&messages[0]).unwrap();
        assert_eq!((&preset["type"], &preset["session"]["instructions"]), (&"session.update".into(), &SECRET.into()));

        let id = &preset["event_id"];
        let refused = format!(r#"{{"type":"error","error":{{"message":"Not '{SECRET}'.","event_id":{id}}}}}"#);
        let got = down(&mut relay, &text_frame(&refused));
        assert!(!String::from_utf8_lossy(&got).contains(SECRET));
        assert_eq!(event_and_close(&got), ("preset_refused".into(), 4403));
    }
}

#[test]
fn a_preset_that_is_in_force_is_not_looked_for_any_more() {
    let mut relay = session(OnChange::End, preset(), &[]);
    assert!(messages_up(&up(&mut relay, &client_text("{}"))).len() == 2);
    assert!(relay.own_events.as_ref().unwrap().awaits_answer());
    let updated = text_frame(r#"{"type":"session.updated","session":{"id":"s"}}"#);
    assert_eq!(down(&mut relay, &updated), updated);
    assert!(!relay.own_events.as_ref().unwrap().awaits_answer());
}

#[test]
fn an_event_that_tells_what_is_hidden_is_held_up_to_a_bound_and_audio_passes_as_it_comes() {
    let max = 1 << 20;
    let padded = |before: &str, length: usize| format!(r#"{before}{}"}}"#, "x".repeat(length - before.len() - 2));
    let told = format!(r#"{{"session":{{"instructions":"{SECRET}"}},"type":"session.updated","a":""#);
    let audio = padded(r#"{"type":"response.output_audio.delta","delta":""#, 2 * max);
    for (text, code, is_held) in [
        (padded(&told, max), None, true),
        (padded(&told, max + 1), Some(1009), true),
        (padded(r#"{"type":"x","a":""#, max + 1), Some(1009), true),
        ("{\"type\":\"x\"".to_owned(), Some(1002), true),
        (audio, None, false),
    ] {
        for reads in [usize::MAX, 200_000] {
            let memory = MemoryAccount::default();
            let mut relay = session_in(&memory, OnChange::End, None, &["instructions"]);
            let (bytes, idle) = (text_frame(&text), memory.reserved());
            let (mut got, mut most) = (Vec::new(), 0);
            for read in bytes.chunks(reads.min(bytes.len())) {
                got.extend(down(&mut relay, read));
                most = most.max(memory.reserved() - idle);
            }
            assert!(!String::from_utf8_lossy(&got).contains(SECRET));
            assert_eq!(received(Sender::Server, &got).1, code, "{text:.50}");
            assert_eq!(memory.reserved(), idle);
            assert!(most < if is_held { 2 * max + 6_000 } else { 6_000 }, "{most} bytes are held");
            if code.is_none() && !is_held {
                assert_eq!(got, bytes);
            }
        }
    }
}

#[test]
fn in_an_overdrawn_account_what_would_be_held_ends_its_session_and_tells_nothing() {
    let memory = MemoryAccount::default();
    let mut relay = session_in(&memory, OnChange::Drop, None, &["instructions"]);
    let _others = memory.reserve(memory.limit());
    let event = format!(r#"{{"session":{{"a":"{}","instructions":"{SECRET}"}}}}"#, "x".repeat(9000));
    let got: Vec<u8> = text_frame(&event).chunks(5000).flat_map(|read| down(&mut relay, read)).collect();
    assert_eq!(event_and_close(&got), ("overloaded".into(), 1009));
    assert!(memory.reserved() < memory.limit() + 4000);
}

#[test]
fn so_does_a_message_of_the_clients_of_which_nothing_goes_up() {
    let memory = MemoryAccount::default();
    let mut relay = session_in(&memory, OnChange::Drop, None, &[]);
    let others = memory.reserve(memory.limit());
    let message = client_text(&update(&format!(r#""a":"{}""#, "x".repeat(9000))));
    let got: Vec<u8> = message.chunks(5000).flat_map(|read| up(&mut relay, read)).collect();
    assert_eq!(received(Sender::Client, &got), (vec![], Some(1000)));
    assert_eq!(event_and_close(&down(&mut relay, &text_frame("{}"))), ("overloaded".into(), 1009));
    drop((others, relay));
    assert_eq!(memory.reserved(), 0);
}

/// What an upstream says: an event, and whether hidden text is in it.
const EVENTS: [&str; 9] = [
    r#"{"type":"session.created","session":{"id":"s","instructions":"SECRET","model":"gpt-realtime"}}"#,
    r#"{"type":"session.updated","session":{"Instructions":"SECRET","\u0069nstructions":["SECRET"],"a":1}}"#,
    r#"{"type":"response.created","response":{"instructions":"SECRET","id":"r"}}"#,
    r#"{"response":{"id":"r1","session":{"instructions":{"SECRET":1}},"usage":{"total_tokens":15,"input_tokens":10,"output_tokens":5}},"type":"response.done"}"#,
    r#"{"type":"response.output_audio.delta","delta":"AAAAAAAAAAAA"}"#,
    r#"{"delta":"AAAA","type":"response.output_audio.delta"}"#,
    r#"{"type":"response.output_text.delta","delta":"\"instructions\""}"#,
    r#"{"type":"rate_limits.updated","rate_limits":[1.50]}"#,
    r#"{"type":"error","error":{"code":"x","event_id":"mine"}}"#,
];

/// Events on their way: which, the padding before it, where its frames are cut, and what stands between them.
type Sent = (usize, usize, Vec<(Index, bool)>);

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let padding = prop_oneof![4 => Just(0_usize), 1 => 100..300_usize, 1 => 65_400..65_600_usize];
    prop::collection::vec(
        (0..EVENTS.len(), padding, prop::collection::vec((any::<Index>(), any::<bool>()), 0..4)),
        1..6,
    )
}

fn frames(text: &str, cuts: &[(Index, bool)]) -> Vec<u8> {
    let mut cuts: Vec<_> = cuts.iter().map(|(cut, pings)| (cut.index(text.len() + 1), *pings)).collect();
    cuts.sort_unstable();
    let (mut bytes, mut from, mut opcode) = (Vec::new(), 0, OpCode::Text);
    let mut frame = |fin, opcode, payload: &[u8]| {
        FrameHeader { fin, opcode, mask: None, length: payload.len() as u64 }.encode(&mut bytes);
        bytes.extend_from_slice(payload);
    };
    for (cut, pings) in cuts {
        frame(false, opcode, &text.as_bytes()[from..cut]);
        if pings {
            frame(true, OpCode::Ping, b"ping");
        }
        (from, opcode) = (cut, OpCode::Continuation);
    }
    frame(true, opcode, &text.as_bytes()[from..]);
    bytes
}

proptest! {
    #[test]
    fn no_cut_shows_what_is_hidden_and_everything_else_is_shown(
        sent in sent(),
        cuts in prop::collection::vec(any::<Index>(), 0..12),
        on_change in prop::sample::select(vec![OnChange::End, OnChange::Refuse, OnChange::Drop]),
    ) {
        let hide = Hide::new(["instructions"]).unwrap();
        let texts: Vec<_> = sent.iter().map(|(which, padding, _)| " ".repeat(*padding) + EVENTS[*which]).collect();
        let bytes: Vec<u8> = sent.iter().zip(&texts).flat_map(|((.., cuts), text)| frames(text, cuts)).collect();
        let want: Vec<_> =
            texts.iter().map(|text| String::from_utf8(hide.shown(text.as_bytes()).unwrap()).unwrap()).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let coarse: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let fine: Vec<&[u8]> = bytes.chunks(if bytes.len() < 2000 { 1 } else { 999 }).collect();
        let mut plain = relay(free(), &[], NameRule::Any);
        down(&mut plain, &bytes);
        for reads in [coarse, fine] {
            let mut relay = session(on_change, None, &["instructions"]);
            let got: Vec<u8> = reads.into_iter().filter(|read| !read.is_empty()).flat_map(|read| down(&mut relay, read)).collect();
            prop_assert_eq!(received(Sender::Server, &got), (want.clone(), None));
            prop_assert!(!String::from_utf8_lossy(&got).contains("SECRET"));
            let (record, same) = (relay.record(Status::Open, at(2)), plain.record(Status::Open, at(2)));
            prop_assert_eq!((record.usage, record.model, record.bytes), (same.usage, same.model, same.bytes));
        }
    }

    #[test]
    fn no_cut_lets_what_is_locked_through_and_everything_else_goes_up(
        sent in prop::collection::vec((0..5_usize, 0..200_usize, prop::collection::vec(any::<Index>(), 0..3)), 1..6),
        cuts in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let messages = [
            update(r#""voice":"ash""#),
            update(r#""instructions":"LOCKED""#),
            r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#.to_owned(),
            r#"{"response":{"tools":["LOCKED"],"a":1},"type":"response.create"}"#.to_owned(),
            r#"{"type":"response.create"}"#.to_owned(),
        ];
        let texts: Vec<_> = sent.iter().map(|(which, padding, _)| " ".repeat(*padding) + &messages[*which]).collect();
        let mut bytes = Vec::new();
        for ((.., cuts), text) in sent.iter().zip(&texts) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            for (index, cut) in cuts.windows(2).enumerate() {
                let (opcode, fin) = (if index == 0 { OpCode::Text } else { OpCode::Continuation }, index + 2 == cuts.len());
                let mut payload = text.as_bytes()[cut[0]..cut[1]].to_vec();
                FrameHeader { fin, opcode, mask: Some(MASK), length: payload.len() as u64 }.encode(&mut bytes);
                mask::apply(MASK, 0, &mut payload);
                bytes.extend(payload);
            }
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for on_change in [OnChange::Drop, OnChange::Refuse] {
            let mut relay = session(on_change, preset(), &[]);
            let lock = relay.meter.lock.clone();
            let reads = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).filter(|read| !read.is_empty());
            let got: Vec<u8> = reads.flat_map(|read| up(&mut relay, read)).collect();
            prop_assert!(!String::from_utf8_lossy(&got).contains("LOCKED"));
            let (got, code) = received(Sender::Client, &got);
            prop_assert_eq!(code, None);
            let goes_on = |text: &String| match on_change {
                OnChange::Refuse if text.contains("LOCKED") => None,
                _ => Some(String::from_utf8(lock.unlocked(text.as_bytes(), SessionKind::Conversation).unwrap()).unwrap()),
            };
            let want: Vec<String> = texts.iter().filter_map(goes_on).collect();
            let is_own = |text: &String| text.contains("_preset\"") || text.contains("_refused\"");
            prop_assert!(got[0].contains(SECRET), "the preset comes first");
            prop_assert_eq!(got.into_iter().filter(|text| !is_own(text)).collect::<Vec<_>>(), want);
        }
    }
}
