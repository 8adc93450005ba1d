//! Paths and methods, in every spelling, against what they address.

use super::*;

mod upstreams;

fn read(method: &str, target: &str) -> Result<Endpoint, NoEndpoint> {
    Endpoint::read(method.as_bytes(), &Target::parse(target.as_bytes()), None).map(|(endpoint, _)| endpoint)
}

fn post(target: &str) -> Endpoint {
    read("POST", target).unwrap()
}

fn upgrade(target: &str) -> Endpoint {
    let target = Target::parse(target.as_bytes());
    Endpoint::read(b"GET", &target, Some(b"websocket")).map(|(endpoint, _)| endpoint).unwrap()
}

fn id(text: &str) -> CallId {
    CallId::parse(text).unwrap()
}

const MINTS: [(&str, Mint); 5] = [
    ("realtime/translations/client_secrets", Mint::TranslationClientSecrets),
    ("realtime/client_secrets", Mint::ClientSecrets),
    ("realtime/transcription_sessions", Mint::TranscriptionSessions),
    ("realtime/sessions", Mint::Sessions),
    ("realtimeapi/sessions", Mint::Sessions),
];

const STARTS: [(&str, CallPath); 4] = [
    ("realtime/calls", CallPath::Realtime),
    ("realtime/translations/calls", CallPath::Translations),
    ("realtimertc", CallPath::Azure),
    ("live/sessions", CallPath::Live),
];

#[test]
fn documented_paths_are_exact_below_any_prefix() {
    let actions = [
        ("accept", CallAction::Accept),
        ("reject", CallAction::Reject),
        ("refer", CallAction::Refer),
        ("hangup", CallAction::HangUp),
    ];
    for prefix in ["/v1/", "/", "/openai/v1/", "/openai/", "/v1/account-1/gateway.a/openai/"] {
        for (path, mint) in MINTS {
            assert_eq!(post(&format!("{prefix}{path}")), Endpoint::Mint(mint), "{path}");
        }
        for (action, want) in actions {
            let call = "rtc_u1_9c6574da8b8a41a18da9308f4ad974ce";
            for calls in ["realtime/calls", "realtime/translations/calls", "live/sessions"] {
                let path = format!("{prefix}{calls}/{call}/{action}");
                assert_eq!(post(&path), Endpoint::Call(id(call), want), "{path}");
            }
        }
        let content = format!("{prefix}live/sessions/live_1/content");
        assert_eq!(read("GET", &content), Ok(Endpoint::Call(id("live_1"), CallAction::Download)));
        let attach = Endpoint::Sideband(id("live_A-1"), SidebandPath::Attach);
        assert_eq!(upgrade(&format!("{prefix}live/sessions/live_A-1/attach?graceful_close=true")), attach);
        for (path, want) in STARTS {
            assert_eq!(post(&format!("{prefix}{path}")), Endpoint::StartCall(want), "{path}");
        }
        assert_eq!(upgrade(&format!("{prefix}responses")), Endpoint::WebSocket(SessionKind::Responses));
        for (path, kind) in [
            ("realtime", SessionKind::Conversation),
            ("realtime?model=m&intent=transcription", SessionKind::Transcription),
            ("realtime/translations", SessionKind::Translation),
            ("openai", SessionKind::Conversation),
            ("live/sessions", SessionKind::Live),
            ("ws/google.v1beta.Service.BidiGenerateContent", SessionKind::GeminiLive),
            ("ws/google.v1alpha.Service.BidiGenerateContentConstrained", SessionKind::GeminiLive),
            ("ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent", SessionKind::GeminiLive),
        ] {
            assert_eq!(upgrade(&format!("{prefix}{path}")), Endpoint::WebSocket(kind), "{path}");
        }
        assert_eq!(upgrade(&format!("{prefix}live/sessions/live_1/fork")), Endpoint::Fork(id("live_1")));
    }
}

#[test]
fn what_hands_out_secrets_or_begins_calls_otherwise_is_forbidden() {
    for path in [
        "/v1/chatkit/sessions",
        "/v1alpha/auth_tokens",
        "/v1/realtime/translations/calls/",
        "/v1/Realtime/translations/calls",
        "/openai/v1/RealtimeRTC",
        "/openai/v1/realtimertc/",
        "/openai/v1/realtimertc.",
        "/v1/live//sessions",
        "/v1/%6cive/sessions",
        "/v1/live/sessions/live_1/fork",
        "/v1/live/sessions/live_1/content",
        "/v1/live/sessions/live_1/attach",
        "/v1/live/sessions/live_1/Hangup",
        "/v1/live/sessions/live_1",
        "/v1/realtime/calls/rtc_1",
        "/v1/realtime/calls/rtc_1/mute",
        "/v1/realtime/calls/hangup",
        "/v1/realtime/translations/calls/rtc_1/x",
        "/v1/realtime",
        "/v1/realtime/translations",
        "/v1/account/gateway/openai",
        "/v1/account/gateway/openai/",
        "/v1/account/gateway/%6fpenai",
        "/v1/Realtime",
        "/v1/realtime/",
        "/v1/realtime/...",
        "//v1//realtime//",
        "/v1/realtime/calls/",
        "/v1/realtime/%63alls",
        "/v1/Realtime/calls",
        "/v1/realtime/calls/rtc_1/hangup/",
        "/v1/realtime/calls/rtc_1//hangup",
        "/v1/realtime/calls/%72tc_1/hangup",
        "/v1/realtime/calls/rtc.1/hangup",
        "/ws/google.Service.BidiGenerateContent",
        "/ws/google.Service.bidigeneratecontent",
    ] {
        assert_eq!(post(path), Endpoint::Forbidden, "{path}");
    }
    for path in ["/v1/chatkit/sessions", "/v1alpha/Auth_Tokens/", "/v1/realtime/client_secrets", "/realtime/sessions/"]
    {
        for method in ["GET", "DELETE", "PUT"] {
            assert_eq!(read(method, path), Ok(Endpoint::Forbidden), "{method} {path}");
        }
    }
    for path in [
        "/v1/realtime/calls/rtc_1/hangup",
        "/v1/realtime/calls/rtc_1",
        "/v1/live/sessions/live_1/Content",
        "/v1/live/sessions/live_1/fork",
        "/v1/live/sessions/live_1/attach",
    ] {
        for method in ["GET", "HEAD", "DELETE", "PUT"] {
            assert_eq!(read(method, path), Ok(Endpoint::Forbidden), "{method} {path}");
        }
    }
    assert_eq!(read("HEAD", "/v1/live/sessions/live_1/content"), Ok(Endpoint::Forbidden));
}

#[test]
fn no_spelling_hides_a_mint_path() {
    for path in [
        "/v1/realtime/client_secrets/",
        "//v1//realtime//client_secrets",
        "/v1/realtime//client_secrets",
        "/v1/realtime/client%5Fsecrets",
        "/v1/%72ealtime/%63lient_secrets",
        "/v1/realtime/client_secrets.",
        "/v1/realtime/client_secrets%2e",
        "/v1/Realtime/Client_Secrets",
        "/V1/REALTIME/CLIENT_SECRETS",
        "/v1/REALTIME/%43LIENT_SECRETS",
    ] {
        assert_eq!(post(path), Endpoint::Forbidden, "{path}");
    }
}

#[test]
fn paths_that_upstreams_could_read_in_two_ways_are_none() {
    use InvalidPath::{Character, DotSegment, EncodedSlash, Relative};
    for (path, want) in [
        ("", Relative),
        ("*", Relative),
        ("realtime/client_secrets", Relative),
        ("api.openai.com:443", Relative),
        ("/v1/realtime/./client_secrets", DotSegment),
        ("/v1/realtime/x/../client_secrets", DotSegment),
        ("/v1/realtime/sessions/..", DotSegment),
        ("/v1/x/%2e%2E/realtime/client_secrets", DotSegment),
        ("/v1/x/.%2e/realtime", DotSegment),
        ("/v1/realtime%2Fclient_secrets", EncodedSlash),
        ("/v1/realtime/..%2frealtime/client_secrets", EncodedSlash),
        ("/v1/chat/completions/;x", Character),
        ("/v1/chat/completions/%3Bx", Character),
        ("/v1/chat/completions/%20", Character),
        ("/v1/chat/completions/%252e", Character),
        ("/v1/realtime/%252e%252e/chat/completions", Character),
        ("/v1/realtime/..%3b/chat/completions", Character),
        ("/v1/realtime/..%09/chat/completions", Character),
        ("/v1/realtime%252Fclient_secrets", Character),
        ("/v1/realtime/client%%35fsecrets", Character),
        ("/v1/realtime/client5%66secrets%", Character),
        ("/v1/realtime/client5%6", Character),
        ("/v1/realtime/client5%6g", Character),
        ("/v1/realtime/client5%+6", Character),
        ("/v1/realtime\\client_secrets", Character),
        ("/v1/realtime%5cclient_secrets", Character),
        ("/v1/realtime/client_secrets%3Fa/b", Character),
        ("/v1/realtime/client_secrets%23", Character),
        ("/v1/realtime/client_secrets#", Character),
        ("/v1/realtime/client_secrets%00.json", Character),
        ("/v1/realtime/client_\tsecrets", Character),
        ("/v1/files/a b", Character),
        ("/v1/files/\u{7f}", Character),
        ("/v1/files/%C3%A9", Character),
        ("/v1/files/é", Character),
        ("/v1/files/{id}", Character),
        ("/v1/files/\"<>[]^`|", Character),
    ] {
        assert_eq!(read("POST", path), Err(NoEndpoint::Path(want)), "{path}");
    }
    for path in ["/", "//", "/v1/files/a..b/...", "/v1/realtime?x=/../;y%00", "/-._~:@!$&'()*+,=", "/%3a%40%2B%7e%2C"] {
        assert!(read("POST", path).is_ok(), "{path}");
    }
}

#[test]
fn other_requests_are_told_by_what_they_make() {
    use Endpoint::{Completions, Creation, Deferred, Retrieve, Update};
    for (method, path, want) in [
        ("POST", "/v1/chat/completions", Completions),
        ("POST", "/v1/chat/completions/?x=responses/1", Completions),
        ("POST", "/v1/completions/", Completions),
        ("POST", "/x/Chat/Completions", Completions),
        ("POST", "/x/chat/%63ompletions.", Completions),
        ("POST", "/openai/deployments/gpt/chat/completions?api-version=1", Completions),
        ("POST", "/v1/responses/x/openai/chat/completions", Completions),
        ("POST", "/v1/responses", Creation),
        ("POST", "/v1/responses/compact", Creation),
        ("POST", "/v1/responses/%63ompact", Creation),
        ("POST", "/v1/audio/transcriptions", Creation),
        ("POST", "/v1/embeddings", Creation),
        ("POST", "/v1/x/responses/openai/embeddings", Creation),
        ("POST", "/openai/deployments/completions/embeddings", Creation),
        ("POST", "/v1/threads/t/runs", Deferred),
        ("POST", "/v1/batches", Deferred),
        ("POST", "/v1/messages/batches/", Deferred),
        ("POST", "/v1/fine_tuning/jobs", Deferred),
        ("POST", "/v1/jobs", Creation),
        ("POST", "/v1/videos", Deferred),
        ("POST", "/v1/files", Update),
        ("POST", "/v1/uploads/upload_1/parts", Update),
        ("POST", "/", Creation),
        ("POST", "/v1/translations/calls", Creation),
        ("POST", "/v1/live/session", Creation),
        ("POST", "/v1/calls/rtc_1/hangup", Creation),
        ("POST", "/v1/realtime/client_secret", Creation),
        ("POST", "/v1/realtime/client_secretss", Creation),
        ("POST", "/v1/realtime/xclient_secrets", Creation),
        ("POST", "/v1/xrealtime/client_secrets", Creation),
        ("POST", "/v1/realtime-client_secrets", Creation),
        ("POST", "/v1/realtime/client_secrets/1", Creation),
        ("POST", "/v1/client_secrets", Creation),
        ("post", "/v1/embeddings", Creation),
        ("POST", "/v1/chat/completions/chatcmpl-1", Update),
        ("POST", "/v1/chat/Completions//chatcmpl-1", Update),
        ("POST", "/v1/respons%65s/resp_1/cancel", Update),
        ("POST", "/v1/threads/t/runs/r", Update),
        ("POST", "/v1/threads/t/runs/r/submit_tool_outputs", Update),
        ("PUT", "/v1/responses", Update),
        ("get", "/v1/responses", Update),
        ("QUERY", "/v1/realtime", Update),
        ("GET", "/v1/responses", Retrieve),
        ("GET", "/v1/realtime/calls", Retrieve),
        ("HEAD", "/v1/models", Retrieve),
        ("DELETE", "/v1/responses/resp_1", Retrieve),
        ("OPTIONS", "/v1/realtime", Retrieve),
    ] {
        assert_eq!(read(method, path), Ok(want), "{method} {path}");
    }
}

#[test]
fn a_websocket_is_known_by_its_exact_path_only() {
    for path in [
        "/v1/Realtime",
        "/v1/realtime/",
        "//v1/realtime",
        "/v1/Responses",
        "/v1/realtime/calls",
        "/ws/google.Service.bidigeneratecontent",
        "/",
        "/ws",
    ] {
        assert_eq!(upgrade(path), Endpoint::WebSocket(SessionKind::Other), "{path}");
    }
}

#[test]
fn empty_segments_do_not_hide_gemini_and_an_intent_must_be_plain() {
    for path in ["//ws/g.v1beta.S.BidiGenerateContent?key=k", "/a//b//g.S.BidiGenerateContent"] {
        assert_eq!(upgrade(path), Endpoint::WebSocket(SessionKind::GeminiLive), "{path}");
    }
    for path in [
        "/ws/g.S.BidiGenerateContent/",
        "/ws/g.S.%42idiGenerateContent",
        "/ws/BidiGenerateContent",
        "/x.LlmBidiService/",
    ] {
        assert_eq!(upgrade(path), Endpoint::WebSocket(SessionKind::Other), "{path}");
    }
    for query in [
        "intent=conversation",
        "Intent=transcription",
        "intent=transcription&intent=x",
        "intent=%74ranscription",
        "intent",
    ] {
        let path = format!("/v1/realtime?{query}");
        assert_eq!(upgrade(&path), Endpoint::WebSocket(SessionKind::Conversation), "{path}");
    }
}

#[test]
fn a_call_is_joined_by_one_plain_id_or_not_at_all() {
    for (target, want) in [
        ("/v1/realtime?call_id=rtc_u1-A", Some("rtc_u1-A")),
        ("/v1/realtime?model=m&call%5Fid=rtc_1", Some("rtc_1")),
        ("/v1/realtime?call_id=", None),
        ("/v1/realtime?call_id=a/b", None),
        ("/v1/realtime?call_id=a%3Fb", None),
        ("/v1/realtime?call_id=rtc_1&call_id=rtc_2", None),
        ("/v1/realtime?call_id=rtc_1&Call_ID=rtc_2", None),
        ("/v1/realtime?CALL_ID=rtc_1", None),
        ("/v1/Realtime?call_id=rtc_1", None),
        ("/v1/%72ealtime?call_id=rtc_1", None),
        ("/v1/realtime/?call_id=rtc_1", None),
        ("/v1/responses?call_id=rtc_1", None),
        ("/ws?call_id=rtc_1", None),
        ("/v1/live/sessions/live_1/attach?call_id=rtc_1", None),
        ("/v1/live/sessions/live_1/attach/", None),
        ("/v1/live/sessions/live%5f1/attach", None),
        ("/v1/live/sessions/live_1/Attach", None),
        ("/v1/live/sessions/live_1/fork?call_id=rtc_1", None),
        ("/v1/live/sessions/live_1/fork/", None),
        ("/ws/x.BidiGenerateContent?call_id=rtc_1", None),
        ("/v1/live/sessions/live_1", None),
        ("/v1/realtime/calls/rtc_1", None),
    ] {
        let want = want.map_or(Endpoint::Forbidden, |text| Endpoint::Sideband(id(text), SidebandPath::Realtime));
        assert_eq!(upgrade(target), want, "{target}");
    }
    let translations = Endpoint::Sideband(id("rtc_1"), SidebandPath::Translations);
    assert_eq!(upgrade("/v1/realtime/translations?call_id=rtc_1"), translations);
    assert_eq!(upgrade("/v1/realtime?model=m"), Endpoint::WebSocket(SessionKind::Conversation));
}

#[test]
fn a_calls_collection_is_told_by_where_it_began_or_was_joined() {
    for (path, began, want) in [
        ("/v1/realtime/calls", CallPath::Realtime, "/v1/realtime/calls"),
        ("/v1/realtime/translations/calls", CallPath::Translations, "/v1/realtime/translations/calls"),
        ("/openai/v1/realtimertc", CallPath::Azure, "/openai/v1/realtime/calls"),
        ("/v1/live/sessions", CallPath::Live, "/v1/live/sessions"),
    ] {
        assert_eq!(began.collection(path.as_bytes()), want.as_bytes(), "{path}");
    }
    for (path, joined, want) in [
        ("/v1/realtime", SidebandPath::Realtime, "/v1/realtime/calls"),
        ("/v1/realtime/translations", SidebandPath::Realtime, "/v1/realtime/translations/calls"),
        ("/v1/live/sessions/live_1/attach", SidebandPath::Attach, "/v1/live/sessions"),
        ("/", SidebandPath::Attach, ""),
    ] {
        assert_eq!(joined.collection(path.as_bytes()), want.as_bytes(), "{path}");
    }
}

#[test]
fn a_location_names_a_call_by_its_last_segment() {
    let longest = "a".repeat(CallId::MAX_OF_UPSTREAM);
    for (location, want) in [
        ("/v1/realtime/calls/rtc_1", Some("rtc_1")),
        ("https://api.openai.com/v1/realtime/calls/rtc_1?x=/y", Some("rtc_1")),
        ("rtc_1", Some("rtc_1")),
        (longest.as_str(), Some(longest.as_str())),
        (&"a".repeat(CallId::MAX_OF_UPSTREAM + 1), None),
        ("/v1/realtime/calls/", None),
        ("/v1/realtime/calls/a%2Fb", None),
        ("", None),
    ] {
        assert_eq!(CallId::in_location(location.as_bytes()), want.map(id), "{location}");
    }
}

#[test]
fn methods_and_upgrades_that_serve_nothing_are_told_before_the_path() {
    for (method, upgrade, want) in [
        ("TRACE", None, NoEndpoint::Echo),
        ("TRACK", None, NoEndpoint::Echo),
        ("Trace", Some("websocket"), NoEndpoint::Echo),
        ("CONNECT", None, NoEndpoint::Connect),
        ("GET", Some("spdy/3.1"), NoEndpoint::Protocol),
        ("GET", Some(""), NoEndpoint::Protocol),
        ("GET", Some("foo, websocket"), NoEndpoint::Protocol),
        ("POST", Some("websocket"), NoEndpoint::UpgradeMethod),
        ("get", Some("websocket"), NoEndpoint::UpgradeMethod),
        ("CONNECT", Some("websocket"), NoEndpoint::UpgradeMethod),
        ("GET", Some(" WebSocket\t"), NoEndpoint::Path(InvalidPath::Relative)),
        ("GET", None, NoEndpoint::Path(InvalidPath::Relative)),
    ] {
        let read = Endpoint::read(method.as_bytes(), &Target::parse(b"*"), upgrade.map(str::as_bytes));
        assert_eq!(read.unwrap_err(), want, "{method} {upgrade:?}");
    }
}

#[test]
fn a_path_names_what_stands_below_a_folder() {
    for (path, folder, want) in [
        ("/openai/deployments/d/chat/completions", "deployments", vec!["d"]),
        ("/openai//%64eployments//d/x/Deployments/e", "deployments", vec!["d", "e"]),
        ("/v1beta/models/gemini:generateContent", "models", vec!["gemini:generateContent"]),
        ("/v1/models", "models", vec![]),
        ("/models/models/models/x", "models", vec!["models", "x"]),
    ] {
        let path = Path::decode(path.as_bytes()).unwrap();
        assert_eq!(path.below(folder).collect::<Vec<_>>(), want, "{path:?}");
    }
}
