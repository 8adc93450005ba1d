//! What a path addresses, against upstreams that decode, strip, fold and resolve, and against the `url` crate.
//!
//! The first line says what an upstream does, a letter for each step; the second is a request target.
//!
//! | d | p | f | r | t | o | c | w |
//! |---|---|---|---|---|---|---|---|
//! | percent-decodes | strips `;parameters` | folds `//` | resolves dot segments | trims a slash | trims dots | ignores case | parses as browsers do |

use percent_encoding::percent_decode;
use realtime_byok::endpoint::{CallAction, CallId, Endpoint, Mint, Path, SidebandPath};
use realtime_byok::http::Target;
use realtime_byok::protocol::SessionKind;
use url::Url;

/// What upstreams do whatever the input says.
const USUAL: [&str; 8] = ["", "d", "dd", "fr", "dfrt", "pd", "dpfrtoc", "dfdrw"];

pub fn run(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or_default();
    let (steps, target) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    if target.contains(&0) {
        return;
    }
    let target = Target::parse(target);
    compare_with_url(target.path);
    // An upstream that decodes more often than twice reads no other path alike either.
    let is_usual = steps.iter().filter(|step| **step == b'd').count() <= 2;
    for steps in USUAL.map(str::as_bytes).into_iter().chain(is_usual.then_some(steps)) {
        let path = steps.iter().fold(target.path.to_vec(), |path, step| apply(*step, &path));
        if let Ok((seen, _)) = Endpoint::read(b"POST", &target, None) {
            compare(&seen, &served(&path));
        }
        if let Ok((seen, _)) = Endpoint::read(b"GET", &target, Some(b"websocket")) {
            let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(format!("/{end}").as_bytes()));
            match seen {
                Endpoint::WebSocket(SessionKind::Conversation | SessionKind::Transcription)
                | Endpoint::Sideband(_, SidebandPath::Realtime) => assert!(ends(&["realtime", "openai"])),
                Endpoint::WebSocket(SessionKind::Translation) | Endpoint::Sideband(_, SidebandPath::Translations) => {
                    assert!(ends(&["realtime/translations"]));
                }
                Endpoint::WebSocket(SessionKind::Live) => assert!(ends(&["live/sessions"])),
                Endpoint::Sideband(_, SidebandPath::Attach) => assert!(path.ends_with(b"/attach")),
                Endpoint::Fork(_) => assert!(path.ends_with(b"/fork")),
                Endpoint::WebSocket(SessionKind::Responses) => assert!(ends(&["responses"])),
                _ => {}
            }
        }
    }
}

/// What is read is what the standard's parser reads, percent-decoded.
fn compare_with_url(raw: &[u8]) {
    let Ok(path) = Path::decode(raw) else { return };
    let decoded: Vec<u8> = percent_decode(raw).collect();
    assert_eq!(path.text().as_bytes(), decoded);
    assert_eq!(percent_decode(&decoded).collect::<Vec<u8>>(), decoded, "it can be decoded again");
    assert!(decoded.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/:@!$&'()*+,=".contains(byte)));
    let raw = std::str::from_utf8(raw).expect("ASCII");
    let url = Url::parse(&format!("http://h{raw}")).expect("a path that is read is a URL's");
    assert_eq!(percent_decode(url.path().as_bytes()).collect::<Vec<u8>>(), decoded);
    assert_eq!((url.query(), url.fragment(), url.host_str()), (None, None, Some("h")));
}

fn apply(step: u8, path: &[u8]) -> Vec<u8> {
    let segments = |path: &[u8]| path.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let joined = |segments: Vec<Vec<u8>>| segments.join(b"/".as_slice());
    match step {
        b'd' => percent_decode(path).collect(),
        b'p' => {
            let first = |segment: Vec<u8>| segment.split(|&byte| byte == b';').next().unwrap_or_default().to_vec();
            joined(segments(path).into_iter().map(first).collect())
        }
        b'f' => {
            let mut folded = path.to_vec();
            folded.dedup_by(|byte, before| *byte == b'/' && *before == b'/');
            folded
        }
        b'r' => {
            let mut resolved: Vec<Vec<u8>> = Vec::new();
            for segment in segments(path) {
                match segment.as_slice() {
                    b"." => {}
                    b".." => drop(resolved.pop()),
                    _ => resolved.push(segment),
                }
            }
            joined(resolved)
        }
        b't' => {
            let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
            path[..end].to_vec()
        }
        b'o' => {
            let trimmed = |segment: Vec<u8>| {
                let end = segment.iter().rposition(|&byte| byte != b'.').map_or(0, |last| last + 1);
                segment[..end].to_vec()
            };
            joined(segments(path).into_iter().map(trimmed).collect())
        }
        b'c' => path.to_ascii_lowercase(),
        b'w' => {
            let text = String::from_utf8_lossy(path);
            Url::parse(&format!("http://h{text}")).map_or_else(|_| path.to_vec(), |url| url.path().into())
        }
        _ => path.to_vec(),
    }
}

/// What an upstream takes a POST for that serves the documented paths and no others.
#[derive(PartialEq, Eq, Debug)]
enum Served {
    Mint(Mint),
    /// Something that begins a call.
    Call,
    HangUp,
    Secret,
    /// Something that is counted.
    Made,
    Nothing,
}

const MINTS: [(&str, Mint); 5] = [
    ("realtime/client_secrets", Mint::ClientSecrets),
    ("realtime/translations/client_secrets", Mint::TranslationClientSecrets),
    ("realtime/sessions", Mint::Sessions),
    ("realtimeapi/sessions", Mint::Sessions),
    ("realtime/transcription_sessions", Mint::TranscriptionSessions),
];

fn served(path: &[u8]) -> Served {
    let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(format!("/{end}").as_bytes()));
    if let Some((_, mint)) = MINTS.into_iter().find(|(mint, _)| ends(&[mint])) {
        return Served::Mint(mint);
    }
    let hung_up = || {
        let calls = path.strip_suffix(b"/hangup")?;
        let at = calls.iter().rposition(|&byte| byte == b'/')?;
        let id = std::str::from_utf8(&calls[at + 1..]).ok()?;
        let beginnings: [&[u8]; 3] = [b"/realtime/calls", b"/realtime/translations/calls", b"/live/sessions"];
        let is_call = beginnings.iter().any(|begins| calls[..at].ends_with(begins));
        (is_call && CallId::parse(id).is_some()).then_some(())
    };
    let calls = ["realtime/calls", "realtime/translations/calls", "live/sessions", "realtimertc", "realtime"];
    match () {
        () if hung_up().is_some() => Served::HangUp,
        () if ends(&calls) => Served::Call,
        () if ends(&["chatkit/sessions", "auth_tokens"]) => Served::Secret,
        () if ends(&["completions", "responses", "responses/compact", "embeddings"]) => Served::Made,
        () => Served::Nothing,
    }
}

/// What is served is what was seen, or was refused; what was seen to be more than REST is served so.
fn compare(seen: &Endpoint, served: &Served) {
    let agrees = match (served, seen) {
        (_, Endpoint::Forbidden) => true,
        (Served::Nothing, seen) => {
            !matches!(seen, Endpoint::Mint(_) | Endpoint::StartCall(_) | Endpoint::Call(_, CallAction::HangUp))
        }
        (Served::Mint(mint), seen) => *seen == Endpoint::Mint(*mint),
        (Served::Call, seen) => matches!(seen, Endpoint::StartCall(_)),
        (Served::HangUp, seen) => matches!(seen, Endpoint::Call(_, CallAction::HangUp)),
        (Served::Secret, _) => false,
        (Served::Made, seen) => seen.creates(),
    };
    assert!(agrees, "{seen:?} is served as {served:?}");
}
