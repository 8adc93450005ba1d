//! Answers of REST and of mints, whole and cut: the same usage, the same bytes, and no secret of an upstream's.
//!
//! ```text
//! PATH                          with `+` before it, usage was not requested by the client
//! content-type: …               header lines of the answer
//!
//! data: {…}                     its body
//! ```

use miniz_oxide::deflate::compress_to_vec;
use realtime_byok::host::Attribute;
use realtime_byok::http::decoded;
use realtime_byok::stream::{AccessLog, DetailedReply, RequestAction, ResponseAction};
use realtime_byok::worker::StreamId;

use super::gateway::{BUDGET, Gateway, UPSTREAM_SECRET, WEB_APP};
use super::host::{Host, Lines, Message, all, edit};
use super::tree::Tree;
use super::{cuts, holds};

/// Longer is not decompressed.
const MAX_LEN: usize = 4096;

/// What an answer comes to.
#[derive(Debug, PartialEq)]
struct Answered {
    lines: Lines,
    body: Vec<u8>,
    used: String,
}

pub fn run(bytes: &[u8]) {
    let message = Message::read(bytes);
    let body = message.body.unwrap_or_default();
    compare_coding(body);
    let (is_asked, path) = match message.first.strip_prefix(b"+") {
        Some(path) => (false, path),
        None => (true, message.first),
    };
    if path.iter().any(|byte| b"\0\r".contains(byte)) {
        return;
    }
    let Some(whole) = answer(path, is_asked, &message.lines, &[body]) else { return };
    for pieces in cuts(body).skip(1) {
        assert_eq!(answer(path, is_asked, &message.lines, &pieces).as_ref(), Some(&whole));
    }
    let is_mint = whole.used == "none" && whole.body != body;
    if is_mint {
        assert!(!holds(&whole.body, UPSTREAM_SECRET.as_bytes()) || !is_json(&whole.body), "a raw secret comes down");
    } else if is_asked {
        assert_eq!(whole.body, body, "an answer is changed");
    } else {
        let is_plain = message.lines.iter().all(|(name, _)| name == "content-type");
        let is_stream = all(&message.lines, "content-type").next().is_some_and(|kind| kind == b"text/event-stream");
        assert_shortened(body, &whole.body, path == b"/v1/chat/completions" && is_plain && is_stream);
    }
}

fn is_json(bytes: &[u8]) -> bool {
    Tree::read(bytes).is_some()
}

fn answer(path: &[u8], is_asked: bool, lines: &Lines, pieces: &[&[u8]]) -> Option<Answered> {
    let mut gateway = Gateway::new();
    let mut host = Host::on_route(b"plain");
    let id = send(&mut gateway, &mut host, path, is_asked)?;
    host.attributes.push((Attribute::ResponseCodeDetails, b"via_upstream".to_vec()));
    host.response = [(":status".to_owned(), b"200".to_vec())].into_iter().chain(lines.iter().cloned()).collect();
    let mut down = host.response.clone();
    let waits = match gateway.worker.response_headers(id, false, &host) {
        ResponseAction::Hold => true,
        ResponseAction::Edit(edits) => {
            edit(&mut down, &edits);
            false
        }
        ResponseAction::Pass => false,
        ResponseAction::Reply(reply) => return Some(replied(reply.reply.status, reply.reply.body)),
        _ => panic!("a head has no bytes"),
    };
    let body = match pass(&mut gateway, id, &host, pieces, (waits, &mut down)) {
        Ok(body) => body,
        Err(reply) => return Some(replied(reply.reply.status, reply.reply.body)),
    };
    if let Some(length) = all(&down, "content-length").next() {
        let was = all(&host.response, "content-length").next();
        assert!(Some(length) == was || length == body.len().to_string().as_bytes(), "a length that it has not");
    }
    let used = match gateway.end(id, &host, b"") {
        AccessLog::Rest(used) => format!("{:?} {:?} {:?} {:?}", used.model, used.usage, used.cost, used.gap),
        _ => "none".to_owned(),
    };
    Some(Answered { lines: down, body, used })
}

/// Sends a request; `None` if it does not go on.
fn send(gateway: &mut Gateway, host: &mut Host, path: &[u8], is_asked: bool) -> Option<StreamId> {
    // Under a budget of the day, usage is requested in the client's place.
    let token = format!("Bearer {}", if is_asked { WEB_APP } else { BUDGET });
    let head = [
        (":method", b"POST".as_slice()),
        (":path", path),
        ("content-type", b"application/json"),
        ("authorization", token.as_bytes()),
    ];
    host.request = head.map(|(name, value)| (name.to_owned(), value.to_vec())).to_vec();
    let id = gateway.open();
    let mut request: &[u8] = match is_asked {
        true => br#"{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true}}"#,
        false => br#"{"model":"gpt-5","stream":true}"#,
    };
    let mut action = gateway.worker.request_headers(id, false, host);
    if let RequestAction::Hold = action {
        action = gateway.worker.request_body(id, &mut request, true, host);
    }
    matches!(action, RequestAction::Forward(..)).then_some(id)
}

/// Lets the pieces of a body through, of which all are held while the answer `waits`; what the client gets of it.
fn pass(
    gateway: &mut Gateway,
    id: StreamId,
    host: &Host,
    pieces: &[&[u8]],
    (mut waits, lines): (bool, &mut Lines),
) -> Result<Vec<u8>, Box<DetailedReply>> {
    let (mut waiting, mut out) = (Vec::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        let ends = index + 1 == pieces.len();
        waiting.extend_from_slice(piece);
        match gateway.worker.response_body(id, &mut waiting.as_slice(), ends, host) {
            ResponseAction::Hold => {
                assert!(waits && !ends, "it waits for ever");
                continue;
            }
            ResponseAction::Withhold => assert!(waits && !ends, "it waits for ever"),
            ResponseAction::Pass => {
                assert!(!waits, "it waits no more, and is as it was");
                out.extend_from_slice(&waiting);
            }
            ResponseAction::Replace(from, bytes) => {
                assert!(!waits);
                out.extend_from_slice(&waiting[..from]);
                out.extend_from_slice(&bytes);
            }
            ResponseAction::Release(edits, bytes) => {
                waits = false;
                edit(lines, &edits);
                out.extend_from_slice(&bytes);
            }
            ResponseAction::Reply(reply) => return Err(reply),
            ResponseAction::Edit(_) => panic!("a body has no header lines"),
        }
        waiting.clear();
    }
    Ok(out)
}

fn replied(status: u16, body: Vec<u8>) -> Answered {
    assert!(is_json(&body), "a reply is JSON");
    assert!(!holds(&body, UPSTREAM_SECRET.as_bytes()), "a reply shows a secret");
    Answered { lines: vec![(":status".to_owned(), status.to_string().into())], body, used: "none".to_owned() }
}

/// What is left is what came, without the events that tell usage and say nothing; all of these are gone if `of_chat`.
fn assert_shortened(came: &[u8], mut left: &[u8], of_chat: bool) {
    for event in events(came) {
        if let Some(rest) = left.strip_prefix(event) {
            assert!(!of_chat || !is_usage_alone(event, false) || event.len() > 4096, "usage that nobody requested");
            left = rest;
        } else {
            assert!(is_usage_alone(event, true), "an answer loses more than usage");
        }
    }
    assert!(left.is_empty(), "an answer has more than came");
}

/// Server-sent events, each with the empty line that ends it.
fn events(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut events, mut start, mut line, mut at) = (Vec::new(), 0, 0, 0);
    while at < bytes.len() {
        if !matches!(bytes[at], b'\n' | b'\r') {
            at += 1;
            continue;
        }
        let end = at + 1 + usize::from(bytes[at..].starts_with(b"\r\n"));
        if at == line {
            events.push(&bytes[start..end]);
            start = end;
        }
        (line, at) = (end, end);
    }
    events.push(&bytes[start..]);
    events
}

/// Whether the data of an event is a chunk with usage and an empty list of choices, or, `is_loose`, none.
fn is_usage_alone(event: &[u8], is_loose: bool) -> bool {
    let lines = event.split(|byte| matches!(byte, b'\n' | b'\r'));
    let data: Vec<_> = lines.filter_map(|line| line.strip_prefix(b"data:")).collect();
    let Some(chunk) = Tree::read(&data.join(b"\n".as_slice())) else { return false };
    let is_alone = match chunk.get("choices") {
        Some(Tree::List(choices)) => choices.is_empty(),
        Some(Tree::Null) | None => is_loose,
        Some(_) => false,
    };
    is_alone
        && chunk.get("usage").is_some_and(Tree::is_map)
        && (is_loose || !chunk.repeats() && chunk.get("type").is_none())
}

/// gzip by another implementation is read, and nothing else makes it read too much.
fn compare_coding(body: &[u8]) {
    for coding in [None, Some(b"identity".as_slice()), Some(b"gzip"), Some(b" X-GZIP "), Some(b"br")] {
        if let Ok(decoded) = decoded(coding, body, MAX_LEN) {
            assert!(decoded.len() <= MAX_LEN);
        }
    }
    let crc = !body.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xedb8_8320 })
    });
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    gzip.extend(compress_to_vec(body, 6));
    gzip.extend(crc.to_le_bytes());
    gzip.extend((body.len() as u32).to_le_bytes());
    let read = decoded(Some(b"gzip"), &gzip, MAX_LEN);
    if body.len() <= MAX_LEN && gzip.len() <= MAX_LEN {
        assert!(read.is_ok_and(|read| read == body), "gzip is not read");
    }
}
