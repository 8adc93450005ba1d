//! Requests of the control API: JSON whatever is asked, and nothing without the token.
//!
//! ```text
//! METHOD PATH                   below /realtime-byok; {open} and {closed} stand for sessions' ids
//! name: value                   header lines
//! ```

use realtime_byok::host::Attribute;
use realtime_byok::stream::{RequestAction, ResponseAction};
use realtime_byok::worker::StreamId;
use serde_json::Value;

use super::gateway::{CONTROL, Gateway, KIOSK, PAST, WEB_APP, assert_no_secret};
use super::holds;
use super::host::{Host, Message, all, upgrade};

pub fn run(bytes: &[u8]) {
    let mut gateway = Gateway::new();
    session(&mut gateway, 1);
    let closed = session(&mut gateway, 2);
    gateway.end(closed.0, &closed.1, b"");
    // Ids are random, and here all bytes of that are the same.
    let bytes = replaced(
        &replaced(bytes, b"{open}", &format!("rb_{}", "01".repeat(16))),
        b"{closed}",
        &format!("rb_{}", "02".repeat(16)),
    );
    let message = Message::read(&bytes);
    let Some(space) = message.first.iter().position(|&byte| byte == b' ') else { return };
    let (method, path) = (&message.first[..space], &message.first[space + 1..]);
    let mut host = Host::on_route(b"");
    let pseudo = [(":method", method), (":path", path)].map(|(name, value)| (name.to_owned(), value.to_vec()));
    host.request = pseudo.into_iter().chain(message.lines.iter().cloned()).collect();
    let id = gateway.open();
    let action = gateway.worker.request_headers(id, message.body.is_none(), &host);
    let plain = path.split(|&byte| byte == b'?').next().unwrap_or_default();
    let is_below = plain == b"/realtime-byok" || plain.starts_with(b"/realtime-byok/");
    match action {
        RequestAction::Reply(reply, _) => {
            assert_no_secret(&reply.reply.body, &bytes);
            let shown = |token: &&str| holds(&reply.reply.body, token.as_bytes()) && !holds(&bytes, token.as_bytes());
            assert!(![WEB_APP, KIOSK, PAST].iter().any(shown), "a token is shown");
            let json: Value = serde_json::from_slice(&reply.reply.body).expect("JSON");
            assert!(json.is_object());
            if is_below {
                judge(&host, reply.reply.status, &json);
            }
        }
        RequestAction::Hold => assert!(is_below, "only the API reads a body here"),
        RequestAction::Forward(..) => assert!(!is_below, "a request for the API goes on"),
        _ => panic!("it is neither answered nor goes on"),
    }
    gateway.end(id, &host, &bytes);
}

fn judge(host: &Host, status: u16, json: &Value) {
    let offered = all(&host.request, "authorization").next().unwrap_or_default();
    let (scheme, token) = offered.split_at(offered.len().min(7));
    let may = scheme.eq_ignore_ascii_case(b"bearer ") || scheme.eq_ignore_ascii_case(b"bearer\t");
    if !may || token.trim_ascii() != CONTROL.as_bytes() {
        assert_eq!(status, 401, "without the token");
    }
    match status {
        200 | 202 => assert!(
            json["object"] == "list" && json["data"].is_array()
                || json["id"].is_string()
                || json["draining"].is_boolean()
        ),
        400 | 401 | 404 | 405 => assert!(json["error"]["code"].is_string() && json["error"]["message"].is_string()),
        _ => panic!("{status}"),
    }
}

/// A WebSocket of the web app's.
fn session(gateway: &mut Gateway, random: u8) -> (StreamId, Host) {
    let mut host = Host::on_route(b"plain");
    host.random = random;
    host.request = upgrade("/v1/realtime?model=gpt-realtime");
    let id = gateway.open();
    assert!(matches!(gateway.worker.request_headers(id, false, &host), RequestAction::Forward(..)));
    host.attributes.push((Attribute::ResponseCodeDetails, b"via_upstream".to_vec()));
    host.response = vec![(":status".to_owned(), b"101".to_vec())];
    assert!(matches!(
        gateway.worker.response_headers(id, false, &host),
        ResponseAction::Edit(_) | ResponseAction::Pass
    ));
    gateway.tick(&mut host);
    (id, host)
}

fn replaced(bytes: &[u8], name: &[u8], by: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        rest = match rest.strip_prefix(name) {
            Some(after) => {
                out.extend_from_slice(by.as_bytes());
                after
            }
            None => {
                out.push(first);
                after
            }
        };
    }
    out
}
