//! A request from its head to what becomes of it, and of a response that quotes all that its upstream got.
//!
//! ```text
//! POLICY METHOD PATH            the route's policy by its name; {sealed} and {local} stand for
//!                               client secrets, {call} for the id of a call
//! name: value                   header lines
//!
//! {"model":"gpt-realtime"}      after an empty line, a body
//! ```

use realtime_byok::host::Attribute;
use realtime_byok::stream::{AccessLog, DetailedReply, RequestAction, ResponseAction};
use realtime_byok::worker::StreamId;

use super::cuts;
use super::gateway::{CALL, Gateway, SECRETS, assert_no_secret};
use super::host::{Host, Lines, Message, edit};
use super::oracle::{admitting, assert_owned, assert_path_is_clean, assert_stripped};

/// What becomes of a request.
#[derive(PartialEq, Debug)]
enum Fate {
    /// The upstream gets these header lines and this body.
    Forwarded(Lines, Vec<u8>),
    /// The client gets this status and body.
    Answered(u16, String, Lines),
    Untouched,
    Waits,
    Reset,
}

pub fn run(bytes: &[u8]) {
    let bytes = with_secrets(bytes);
    let message = Message::read(&bytes);
    let Some((policy, host)) = host(&message) else { return };
    let body = message.body.unwrap_or_default();
    let whole = fate(&host, &policy, &[body], message.body.is_none(), &bytes);
    if message.body.is_some() {
        for pieces in cuts(body).skip(1) {
            assert_eq!(fate(&host, &policy, &pieces, false, &bytes), whole, "cut");
        }
    }
}

/// The policy and the host of a request.
fn host(message: &Message<'_>) -> Option<(String, Host)> {
    let mut words = message.first.splitn(3, |&byte| byte == b' ');
    let (policy, method, path) = (words.next()?, words.next()?, words.next()?);
    let is_line = |bytes: &[u8]| !bytes.iter().any(|byte| b"\0\r".contains(byte));
    if !is_line(method) || !is_line(path) || method.is_empty() {
        return None;
    }
    let pseudo = [(":authority", b"gateway.example.com".as_slice()), (":method", method), (":path", path)];
    let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.to_vec()));
    let known = ["plain", "locked", "gemini", "anthropic", "vendor", "query", "elsewhere", "open"];
    let policy = known.into_iter().find(|known| known.as_bytes() == policy).unwrap_or("default");
    let mut host = Host::on_route(policy.as_bytes());
    host.request = pseudo.into_iter().chain(message.lines.iter().cloned()).collect();
    Some((policy.to_owned(), host))
}

fn fate(host: &Host, policy: &str, pieces: &[&[u8]], ends: bool, input: &[u8]) -> Fate {
    let mut gateway = Gateway::new();
    let id = gateway.open();
    let mut body = Vec::new();
    let mut lines = host.request.clone();
    let mut action = gateway.worker.request_headers(id, ends, host);
    let was_held = matches!(action, RequestAction::Hold);
    let mut left = pieces.iter().enumerate();
    while !ends
        && matches!(action, RequestAction::Hold)
        && let Some((index, piece)) = left.next()
    {
        body.extend_from_slice(piece);
        let is_last = index + 1 == pieces.len();
        action = gateway.worker.request_body(id, &mut body.as_slice(), is_last, host);
    }
    let fate = match action {
        RequestAction::Forward(edits, replaced) => {
            edit(&mut lines, &edits);
            let token = admitting(&host.request, policy);
            assert_stripped(&lines, policy, &token, input);
            assert_owned(&host.request, &lines, &token);
            // What it need not wait for follows it.
            for (index, piece) in left.filter(|_| was_held) {
                let is_last = index + 1 == pieces.len();
                let action = gateway.worker.request_body(id, &mut &**piece, is_last, host);
                assert!(replaced.is_none() && matches!(action, RequestAction::Pass), "more of a body is held");
                body.extend_from_slice(piece);
            }
            answer(&mut gateway, id, &lines, policy, input);
            Fate::Forwarded(lines, replaced.unwrap_or(body))
        }
        RequestAction::Pass => {
            assert_eq!(policy, "open", "it goes on as it is");
            Fate::Untouched
        }
        RequestAction::Reply(reply, edits) => {
            edit(&mut lines, &edits);
            assert_path_is_clean(&lines);
            assert_reply(&reply, input);
            let body = String::from_utf8(reply.reply.body).expect("text");
            Fate::Answered(reply.reply.status, body, lines)
        }
        RequestAction::Hold => Fate::Waits,
        RequestAction::Replace(..) => panic!("a request's head is no body"),
        RequestAction::Reset => Fate::Reset,
    };
    assert!(!ends || fate != Fate::Waits, "nothing follows, and it waits");
    let _: AccessLog = gateway.end(id, host, input);
    fate
}

/// A reply is JSON, with a code, and shows no secret.
fn assert_reply(DetailedReply { reply, details }: &DetailedReply, input: &[u8]) {
    assert!(details.starts_with("realtime_byok."), "{details}");
    let shown: Vec<&[u8]> =
        reply.headers.iter().map(|(_, value)| value.as_bytes()).chain([reply.body.as_slice()]).collect();
    shown.iter().for_each(|shown| assert_no_secret(shown, input));
    let json: serde_json::Value = serde_json::from_slice(&reply.body).expect("a reply is JSON");
    assert!(json.is_object());
    if reply.status >= 400 {
        assert!(json["error"]["code"].is_string() && json["error"]["message"].is_string(), "{json}");
    }
}

/// The upstream quotes what it got: nothing of the gateway's comes to the client.
fn answer(gateway: &mut Gateway, id: StreamId, sent: &Lines, policy: &str, input: &[u8]) {
    let mut host = Host::on_route(policy.as_bytes());
    host.attributes.push((Attribute::ResponseCodeDetails, b"via_upstream".to_vec()));
    host.response = vec![(":status".to_owned(), b"307".to_vec())];
    for (name, value) in sent {
        let quoted =
            if name == ":path" { "location".to_owned() } else { format!("x-{}", name.trim_start_matches(':')) };
        host.response.push((quoted, value.clone()));
    }
    host.response.push(("set-cookie".to_owned(), b"a=b".to_vec()));
    host.response.push(("openai-organization".to_owned(), b"org-of-the-gateway".to_vec()));
    let action = gateway.worker.response_headers(id, true, &host);
    let mut lines = host.response.clone();
    match action {
        ResponseAction::Pass | ResponseAction::Hold | ResponseAction::Withhold => {}
        ResponseAction::Edit(edits) | ResponseAction::Release(edits, _) => edit(&mut lines, &edits),
        ResponseAction::Replace(..) => panic!("a response's head is no body"),
        ResponseAction::Reply(reply) => return assert_reply(&reply, input),
    }
    for (name, value) in &lines {
        assert!(!["set-cookie", "openai-organization", "openai-project"].contains(&name.as_str()), "{name} comes down");
        assert_no_secret(value, input);
        assert_no_secret(&percent_encoding::percent_decode(value).collect::<Vec<u8>>(), input);
    }
}

/// `bytes` with the secrets in their places, and a call's id.
fn with_secrets(bytes: &[u8]) -> Vec<u8> {
    let [sealed, local] = &*SECRETS;
    let places = [(b"{sealed}".as_slice(), sealed), (b"{local}", local), (b"{call}", &CALL)];
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        match places.iter().find_map(|(name, text)| Some((rest.strip_prefix(*name)?, *text))) {
            Some((after, text)) => {
                out.extend_from_slice(text.as_bytes());
                rest = after;
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}
