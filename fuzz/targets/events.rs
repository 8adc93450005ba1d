//! Events of either side against a naive reading of serde_json's, alone and through a session under a lock and a rule.
//!
//! ```text
//! > {"type":"session.update"}   an event of the client's
//! < {"type":"response.done"}    an event of the upstream's
//! >close 1000 bye\n             a Close, in whose reason `\n` is a line feed
//! <ping x
//! ```

use std::sync::LazyLock;

use realtime_byok::host::Attribute;
use realtime_byok::json::matcher;
use realtime_byok::protocol::{ClientMessage, Lock, ModelRole, SessionKind, Unreadable, UpstreamMessage};
use realtime_byok::stream::{AccessLog, RequestAction, ResponseAction};
use realtime_byok::usage::{Reported, ReportedUsage};

use super::cuts;
use super::gateway::Gateway;
use super::host::{Host, upgrade};
use super::tree::Tree;
use super::wire::{CLOSE, End, PING, TEXT, frame, read};

/// As the policy `locked` has it.
const LOCKED: [&str; 2] = ["instructions", "audio.output.voice"];
static LOCK: LazyLock<Lock> = LazyLock::new(|| Lock::new(LOCKED).expect("paths"));

/// All names that a client's event is read by.
const NAMES: [&str; 11] = [
    "type",
    "session",
    "response",
    "model",
    "audio",
    "input",
    "output",
    "transcription",
    "input_audio_transcription",
    "instructions",
    "voice",
];

const MODELS: [(&str, &str, ModelRole); 5] = [
    ("session", "model", ModelRole::Response),
    ("session", "audio.input.transcription.model", ModelRole::Transcription),
    ("session", "input_audio_transcription.model", ModelRole::Transcription),
    ("response", "model", ModelRole::Response),
    ("", "model", ModelRole::Response),
];

/// Longer names of models are no names.
const MAX_NAME: usize = 256;

pub fn run(bytes: &[u8]) {
    let mut events = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let Some((side, rest)) = line.split_first().filter(|(side, _)| b"<>".contains(side)) else { continue };
        let is_client = *side == b'>';
        if let Some(event) = rest.strip_prefix(b" ") {
            SessionKind::ALL.into_iter().for_each(|kind| read_as(kind, is_client, event));
            if is_client {
                compare_client(event)
            } else {
                compare_upstream(event)
            }
            events.push((is_client, frame(TEXT, event, is_client)));
        } else if let Some(close) = rest.strip_prefix(b"close ") {
            events.push((is_client, frame(CLOSE, &close_payload(close), is_client)));
        } else if let Some(ping) = rest.strip_prefix(b"ping ") {
            events.push((is_client, frame(PING, &ping[..ping.len().min(125)], is_client)));
        }
    }
    let whole = session(&events, usize::MAX, bytes);
    for size in [1, 2, 7, 64] {
        assert_eq!(session(&events, size, bytes), whole, "in pieces of {size}");
    }
}

/// Whatever the kind of session, cuts change nothing, and little is held.
fn read_as(kind: SessionKind, is_client: bool, event: &[u8]) {
    let client = |pieces: &[&[u8]]| {
        let mut message = ClientMessage::new(&LOCK, kind);
        pieces.iter().for_each(|piece| message.feed(piece));
        assert!(message.held() <= 16 << 10, "{}", message.held());
        format!("{:?}", message.finish())
    };
    let upstream = |pieces: &[&[u8]]| {
        let mut message = UpstreamMessage::of(kind);
        pieces.iter().for_each(|piece| _ = message.feed_event(piece));
        assert!(message.held() <= 16 << 10, "{}", message.held());
        format!("{:?}", message.end_event())
    };
    let read: &dyn Fn(&[&[u8]]) -> String = if is_client { &client } else { &upstream };
    let whole = read(&[event]);
    for pieces in cuts(event).skip(1) {
        assert_eq!(read(&pieces), whole, "{kind:?}");
    }
}

/// The code and reason of a Close that is written as text.
fn close_payload(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let (code, reason) = text.split_once(' ').unwrap_or((&text, ""));
    let code: u16 = code.parse().unwrap_or(1000);
    let reason = reason.replace("\\n", "\n");
    let reason: String = reason.chars().take(30).collect();
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Whether this parser may refuse what is JSON: halves of pairs, great numbers, more than 128 levels.
fn is_beyond_serde(bytes: &[u8]) -> bool {
    let has_half_pair = bytes.windows(3).any(|three| three.eq_ignore_ascii_case(b"\\ud"));
    let is_deep = bytes.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() > 100;
    has_half_pair
        || is_deep
        || bytes.iter().filter(|byte| byte.is_ascii_digit()).count() > 200
        || bytes.windows(2).any(|two| two[0].is_ascii_digit() && matches!(two[1], b'e' | b'E'))
}

type Verdict = (Option<String>, Vec<(ModelRole, String)>);

/// What an event asks for; `None` if it cannot be inspected.
fn naive(event: &Tree) -> Option<Verdict> {
    if !event.is_map() || event.repeats() || event.has_other_case(&NAMES) {
        return None;
    }
    let containers: &[&str] = match event.get("type").and_then(Tree::text) {
        Some("session.update" | "transcription_session.update") => &["session"],
        Some("response.create") => &["response", ""],
        _ => &[],
    };
    let (mut locked, mut models) = (None, Vec::new());
    for name in containers {
        let container = if name.is_empty() { Some(event) } else { event.at(name) };
        let Some(container) = container else { continue };
        if !container.is_map() {
            return None;
        }
        locked = locked.or_else(|| LOCKED.iter().find(|path| touches(container, path)).map(|path| (*path).to_owned()));
        for (_, path, role) in MODELS.iter().filter(|(within, ..)| within == name) {
            if let Some(model) = container.at(path) {
                models.push((*role, model.text()?.to_owned()));
            }
        }
    }
    Some((locked, models))
}

/// Whether something stands at a path, or something else than an object on the way to it.
fn touches(container: &Tree, path: &str) -> bool {
    let mut at = container;
    for name in path.split('.') {
        match (at, at.get(name)) {
            (Tree::Map(_), None) => return false,
            (Tree::Map(_), Some(next)) => at = next,
            _ => return true,
        }
    }
    true
}

fn compare_client(bytes: &[u8]) {
    let judge = |pieces: &[&[u8]]| {
        let mut message = ClientMessage::new(&LOCK, SessionKind::Conversation);
        pieces.iter().for_each(|piece| message.feed(piece));
        assert!(message.held() <= 16 << 10, "{}", message.held());
        message.finish()
    };
    let ours = judge(&[bytes]);
    for pieces in cuts(bytes).skip(1) {
        assert_eq!(judge(&pieces), ours);
    }
    let Some(tree) = Tree::read(bytes) else {
        let is_json = matches!(ours, Ok(_) | Err(Unreadable::NotAnObject | Unreadable::NotAModel(_)));
        assert!(!is_json || is_beyond_serde(bytes), "it is no JSON");
        return;
    };
    match (ours, naive(&tree)) {
        (Ok(event), Some(verdict)) => {
            let models = event.models.into_iter().map(|model| (model.role, model.name)).collect();
            assert_eq!((event.locked, models), verdict);
        }
        (Ok(_), None) => assert!(tree.repeats() || tree.has_other_case(&NAMES), "it cannot be inspected, and is"),
        (Err(Unreadable::Json(matcher::Unreadable::NotJson { .. } | matcher::Unreadable::TooDeep)), _) => {
            assert!(is_beyond_serde(bytes), "it is JSON");
        }
        (Err(Unreadable::NotAModel(_)), Some((_, models))) => {
            assert!(models.iter().any(|(_, name)| name.len() > MAX_NAME));
        }
        (Err(error), Some(_)) => panic!("it can be inspected: {error}"),
        (Err(_), None) => {}
    }
}

/// An event of the upstream's, whole and cut, and its usage where that is told plainly.
fn compare_upstream(bytes: &[u8]) {
    let report = |pieces: &[&[u8]]| {
        let mut message = UpstreamMessage::of(SessionKind::Conversation);
        pieces.iter().for_each(|piece| _ = message.feed_event(piece));
        assert!(message.held() <= 16 << 10, "{}", message.held());
        message.end_event()
    };
    let ours = report(&[bytes]);
    let shown = format!("{ours:?}");
    for pieces in cuts(bytes).skip(1) {
        assert_eq!(format!("{:?}", report(&pieces)), shown);
    }
    let Some(tree) = Tree::read(bytes).filter(|tree| !tree.repeats()) else { return };
    match tree.get("type").and_then(Tree::text) {
        Some("response.created") => assert!(matches!(ours, Reported::ResponseStarted { .. })),
        Some("session.created" | "session.updated") => {
            let Reported::Session(names) = ours else {
                return assert!(tree.at("session.id").is_none_or(|id| id.text().is_none()));
            };
            let text = |path: &str| tree.at(path).and_then(Tree::text).filter(|text| text.len() <= MAX_NAME);
            let known = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
            let want = |path: &str| text(path).filter(|text| !text.is_empty()).map(str::to_owned);
            assert_eq!(known(&names.id), want("session.id"));
            assert_eq!(known(&names.model), want("session.model"));
        }
        Some("response.done" | "response.completed" | "response.incomplete" | "response.failed") => {
            let Some((input, output)) = plain_usage(&tree) else { return };
            let Reported::Usage(report) = ours else { panic!("usage that is told is not read") };
            let Ok(ReportedUsage::Response(tokens)) = report.used else { panic!("usage that is told does not count") };
            assert_eq!((tokens.input.tokens(), tokens.output.tokens()), (input, output));
        }
        Some("conversation.item.input_audio_transcription.completed" | "transcript.text.done") => {}
        Some(_) if tree.is_map() => assert!(!matches!(ours, Reported::Usage(_) | Reported::Session(_)), "{shown}"),
        _ => {}
    }
}

/// Input and output tokens of a usage that tells nothing else.
fn plain_usage(event: &Tree) -> Option<(u64, u64)> {
    let usage = event.at("response.usage")?;
    let Tree::Map(members) = usage else { return None };
    let count = |name: &str| match usage.get(name)? {
        Tree::Number(number) => number.as_u64().filter(|count| *count <= 1 << 53),
        _ => None,
    };
    let is_plain = members.iter().all(|(name, _)| matches!(name.as_str(), "input_tokens" | "output_tokens"));
    let (input, output) = (count("input_tokens")?, count("output_tokens")?);
    (is_plain && event.get("response")?.is_map()).then_some((input, output))
}

/// What comes of a session.
#[derive(Debug, PartialEq)]
struct Session {
    /// What is recorded of usage, names and its end.
    record: Option<String>,
    /// The messages that the upstream got.
    passed: Vec<Vec<u8>>,
}

/// All events through a WebSocket, in reads of this size.
fn session(events: &[(bool, Vec<u8>)], size: usize, input: &[u8]) -> Session {
    let mut gateway = Gateway::new();
    let mut host = Host::on_route(b"locked");
    host.request = upgrade("/v1/realtime?model=gpt-realtime");
    let id = gateway.open();
    assert!(matches!(gateway.worker.request_headers(id, false, &host), RequestAction::Forward(..)));
    host.attributes.push((Attribute::ResponseCodeDetails, b"via_upstream".to_vec()));
    host.response = vec![(":status".to_owned(), b"101".to_vec())];
    gateway.worker.response_headers(id, false, &host);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for (is_client, frame) in events {
        for piece in frame.chunks(size.min(frame.len())) {
            let mut buffer = piece;
            let out = if *is_client { &mut up } else { &mut down };
            let replaced = match is_client {
                true => match gateway.worker.request_body(id, &mut buffer, false, &host) {
                    RequestAction::Pass => None,
                    RequestAction::Replace(from, bytes) => Some((from, bytes)),
                    _ => panic!("bytes of a WebSocket pass, or give way"),
                },
                false => match gateway.worker.response_body(id, &mut buffer, false, &host) {
                    ResponseAction::Pass => None,
                    ResponseAction::Replace(from, bytes) => Some((from, bytes)),
                    _ => panic!("bytes of a WebSocket pass, or give way"),
                },
            };
            let (from, bytes) = replaced.unwrap_or((piece.len(), Vec::new()));
            out.extend_from_slice(&piece[..from]);
            out.extend_from_slice(&bytes);
        }
    }
    let (sent, _) = read(&up, true);
    sent.messages.iter().for_each(|message| assert_may_pass(message));
    let (_, end) = read(&down, false);
    assert_ne!(end, End::Violation, "what the client gets breaks RFC 6455");
    let record = match gateway.end(id, &host, input) {
        AccessLog::Session(record) => Some(format!(
            "{:?} {} {:?} {:?} {:?}",
            record.usage, record.incomplete, record.upstream_id, record.model, record.close
        )),
        _ => None,
    };
    Session { record, passed: sent.messages }
}

/// Nothing locked, no other model, and nothing that cannot be inspected reaches the upstream.
fn assert_may_pass(message: &[u8]) {
    let Some(tree) = Tree::read(message) else {
        return assert!(is_beyond_serde(message), "what is no JSON goes up");
    };
    match naive(&tree) {
        Some((locked, models)) => {
            assert_eq!(locked, None, "goes up");
            let is_allowed =
                |(role, name): &(ModelRole, String)| *role != ModelRole::Response || name.starts_with("gpt-");
            assert!(models.iter().all(is_allowed), "{models:?} go up");
        }
        None => assert!(tree.repeats() || tree.has_other_case(&NAMES), "what cannot be inspected goes up"),
    }
}
