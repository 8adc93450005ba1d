//! Whatever an upstream does to a path, it serves what the filter saw.

use percent_encoding::percent_decode;
use proptest::prelude::*;

use super::*;

/// What some upstream does to a path before it serves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Decode,
    StripParameters,
    FoldSlashes,
    ResolveDots,
    TrimSlash,
    /// As file systems do that know no dots at a name's end.
    TrimDots,
    IgnoreCase,
    /// As browsers, Node and Deno do: backslashes are slashes, tabs and line feeds are nothing.
    WhatwgUrl,
}

impl Step {
    fn apply(self, path: &str) -> String {
        match self {
            Self::Decode => percent_decode(path.as_bytes()).decode_utf8_lossy().into_owned(),
            Self::StripParameters => {
                let segments = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
                segments.collect::<Vec<_>>().join("/")
            }
            Self::FoldSlashes => {
                let mut path = path.to_owned();
                while path.contains("//") {
                    path = path.replace("//", "/");
                }
                path
            }
            Self::ResolveDots => {
                let mut segments = Vec::new();
                for segment in path.split('/') {
                    match segment {
                        "." => {}
                        ".." => drop(segments.pop()),
                        _ => segments.push(segment),
                    }
                }
                segments.join("/")
            }
            Self::TrimSlash => path.trim_end_matches('/').to_owned(),
            Self::TrimDots => {
                let segments = path.split('/').map(|segment| segment.trim_end_matches('.'));
                segments.collect::<Vec<_>>().join("/")
            }
            Self::IgnoreCase => path.to_ascii_lowercase(),
            Self::WhatwgUrl => {
                url::Url::parse("http://h/").unwrap().join(&format!("http://h{path}")).unwrap().path().to_owned()
            }
        }
    }
}

/// Upstreams decode twice at most.
fn upstreams() -> impl Strategy<Value = Vec<Step>> {
    let step = prop::sample::select(vec![
        Step::Decode,
        Step::StripParameters,
        Step::FoldSlashes,
        Step::ResolveDots,
        Step::TrimSlash,
        Step::TrimDots,
        Step::IgnoreCase,
        Step::WhatwgUrl,
    ]);
    prop::collection::vec(step, 0..6)
        .prop_filter("decodes", |steps| steps.iter().filter(|step| **step == Step::Decode).count() <= 2)
}

/// Paths that nearly are what matters.
fn paths() -> impl Strategy<Value = String> {
    let known = "/v1/realtime /v1/realtime/calls /v1/realtime/client_secrets /v1/realtime/calls/rtc_1/hangup \
                 /v1/realtime/translations/calls /openai/v1/realtimertc /v1/live/sessions /v1/live/sessions/live_1/attach \
                 /v1/chat/completions /v1/responses /v1/responses/resp_1 /v1/a/g/openai /v1";
    let pieces = "/v1 /realtime /Realtime /%72ealtime /calls /cal%6cs /client_secrets /client%5fsecrets /translations \
                  /sessions /realtimeapi /rtc_1 /rtc%5F1 /hangup /hang%75p /chatkit /live /live_1 /attach /att%61ch /realtimertc /auth_tokens /openai /chat \
                  /completions /%63ompletions /COMPLETIONS /responses /compact /embeddings /cancel /resp_1 /x / // /. \
                  /.. /%2e%2E /%252e . .. ;x %3Bx %3b %253b %20 %09 \\ %5c %2f %252f %2 % x : %3A @ + ?realtime";
    let one_of = |words: &'static str| prop::sample::select(words.split_whitespace().collect::<Vec<_>>());
    let pieces = prop::collection::vec(one_of(pieces), 0..6);
    (one_of(known), pieces).prop_map(|(known, pieces)| format!("{known}{}", pieces.concat()))
}

/// What an upstream takes a POST for that serves the documented paths and no others.
#[derive(PartialEq, Eq, Debug)]
enum Served<'a> {
    Mint(Mint),
    Call(CallPath),
    FormerCall,
    HangUp(&'a str),
    Secret,
    Completions,
    Made,
    Nothing,
}

/// The call below which a path does this.
fn of_call<'a>(path: &'a str, what: &str) -> Option<&'a str> {
    let (calls, id) = path.strip_suffix(what)?.rsplit_once('/')?;
    let is_calls = STARTS.iter().any(|(start, _)| *start != "realtimertc" && calls.ends_with(&format!("/{start}")));
    (is_calls && CallId::parse(id).is_some()).then_some(id)
}

fn served(path: &str) -> Served<'_> {
    let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(&format!("/{end}")));
    if let Some((_, mint)) = MINTS.into_iter().find(|(mint, _)| ends(&[mint])) {
        return Served::Mint(mint);
    }
    if let Some((_, start)) = STARTS.into_iter().find(|(start, _)| ends(&[start])) {
        return Served::Call(start);
    }
    if let Some(id) = of_call(path, "/hangup") {
        return Served::HangUp(id);
    }
    match path {
        _ if ends(&["realtime", "openai"]) => Served::FormerCall,
        _ if ends(&["chatkit/sessions", "auth_tokens"]) => Served::Secret,
        _ if ends(&["completions"]) => Served::Completions,
        _ if ends(&["responses", "responses/compact", "embeddings"]) => Served::Made,
        _ => Served::Nothing,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_upstream_serves_what_the_filter_saw(target in paths(), steps in upstreams()) {
        let Ok(seen) = read("POST", &target) else { return Ok(()) };
        let raw = target.split('?').next().unwrap_or_default().to_owned();
        let path = steps.iter().fold(raw, |path, step| step.apply(&path));
        let case = format!("{target} is {path} after {steps:?}");
        // What an upstream serves is what was seen, or was refused.
        match (served(&path), &seen) {
            (_, Endpoint::Forbidden) | (Served::Nothing, _) => {}
            (Served::Mint(mint), seen) => prop_assert_eq!(seen, &Endpoint::Mint(mint), "{}", case),
            (Served::Call(start), seen) => prop_assert_eq!(seen, &Endpoint::StartCall(start), "{}", case),
            (Served::HangUp(id), Endpoint::Call(seen, CallAction::HangUp)) => prop_assert!(id.eq_ignore_ascii_case(seen.as_str()), "{}", case),
            (Served::Completions, seen) => prop_assert_eq!(seen, &Endpoint::Completions, "{}", case),
            (Served::Made, seen) => prop_assert!(seen.creates(), "{}: {:?}", case, seen),
            (Served::FormerCall | Served::Secret | Served::HangUp(_), _) => prop_assert!(false, "{}: {:?}", case, seen),
        }
        // What was seen to be allowed to more than REST is served so by all of them.
        match &seen {
            Endpoint::Mint(mint) => prop_assert_eq!(served(&path), Served::Mint(*mint), "{}", case),
            Endpoint::StartCall(start) => prop_assert_eq!(served(&path), Served::Call(*start), "{}", case),
            Endpoint::Call(_, CallAction::HangUp) => {
                prop_assert!(matches!(served(&path), Served::HangUp(_)), "{}", case);
            }
            _ => {}
        }
    }

    #[test]
    fn every_upstream_opens_the_websocket_that_the_filter_saw(target in paths(), steps in upstreams()) {
        let read = Endpoint::read(b"GET", &Target::parse(target.as_bytes()), Some(b"websocket"));
        let Ok((seen, _)) = read else { return Ok(()) };
        let raw = target.split('?').next().unwrap_or_default().to_owned();
        let path = steps.iter().fold(raw, |path, step| step.apply(&path));
        let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(&format!("/{end}")));
        let attached = of_call(&path, "/attach").filter(|_| path.contains("/live/sessions/"));
        match seen {
            Endpoint::Forbidden => {}
            Endpoint::Sideband(id, SidebandPath::Attach) => {
                prop_assert!(attached.is_some_and(|attached| attached.eq_ignore_ascii_case(id.as_str())));
            }
            _ if attached.is_some() => prop_assert!(false, "{target} is {path}: {seen:?}"),
            Endpoint::WebSocket(SessionKind::Conversation | SessionKind::Transcription) => {
                prop_assert!(ends(&["realtime", "openai"]));
            }
            Endpoint::WebSocket(SessionKind::Translation) => prop_assert!(ends(&["realtime/translations"])),
            Endpoint::WebSocket(SessionKind::Responses) => prop_assert!(ends(&["responses"])),
            Endpoint::WebSocket(SessionKind::Live) => prop_assert!(ends(&["live/sessions"])),
            _ => prop_assert_eq!(seen, Endpoint::WebSocket(SessionKind::Other)),
        }
    }

    #[test]
    fn a_path_is_decoded_once_and_holds_nothing_else(raw in prop::collection::vec(any::<u8>(), 0..60)) {
        let raw = [b"/".as_slice(), &raw].concat();
        if let Ok(path) = Path::decode(&raw) {
            let decoded: Vec<u8> = percent_decode(&raw).collect();
            prop_assert_eq!(path.text().as_bytes(), &decoded);
            prop_assert_eq!(percent_decode(&decoded).collect::<Vec<_>>(), decoded.clone());
            let again = Path::decode(&decoded).unwrap();
            prop_assert_eq!(again.text(), path.text());
        }
    }
}
