//! Which endpoint a path is, however it is spelled: those that mint client secrets, those of sessions and calls.
//!
//! Two mistakes are possible, and each matters elsewhere. A path that mints and is not seen to would hand out a secret
//! that works outside the gateway, so a path is taken for one as soon as any upstream could read it so. A path that is
//! taken for a call and is none would open other routes to a sealed secret, so [`Match`] tells the two apart.

/// What a path is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endpoint<'a> {
    /// A `POST` mints a client secret.
    Mint(MintEndpoint),
    /// A `POST` starts a WebRTC call: `…/realtime/calls`.
    Calls,
    /// A `POST` ends the call of this id: `…/realtime/calls/{id}/hangup`. Only found when spelled plainly.
    Hangup(&'a str),
    /// A WebSocket of a realtime session: `…/realtime`, `…/realtime/translations`, and where else such live. OpenAI's
    /// former API began WebRTC calls by a `POST` to the first, so that one is found however it is spelled.
    Socket,
}

/// The paths that mint, each with its shapes of request and answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MintEndpoint {
    /// `…/realtime/client_secrets`
    ClientSecrets,
    /// `…/realtime/translations/client_secrets`
    TranslationClientSecrets,
    /// `…/realtime/sessions`, the legacy shape; Azure's preview says `…/realtimeapi/sessions`.
    Sessions,
    /// `…/realtime/transcription_sessions`, the legacy shape.
    TranscriptionSessions,
}

impl MintEndpoint {
    /// Whether requests and answers have the legacy shape: the session at the top, the secret in `client_secret`.
    pub(super) fn is_legacy(self) -> bool {
        matches!(self, Self::Sessions | Self::TranscriptionSessions)
    }
}

/// How a path was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
    /// Byte for byte as documented, after any prefix: every upstream reads it so.
    Exact,
    /// Some upstream could read it so: percent-encoded, with dot segments, empty segments, parameters or capitals. Good
    /// enough to be restricted, not to be allowed.
    Lookalike,
}

/// More segments first: what ends in one of these may end in a later one too.
const PATTERNS: [(&str, Endpoint<'static>); 6] = [
    ("realtime/translations/client_secrets", Endpoint::Mint(MintEndpoint::TranslationClientSecrets)),
    ("realtime/client_secrets", Endpoint::Mint(MintEndpoint::ClientSecrets)),
    ("realtime/transcription_sessions", Endpoint::Mint(MintEndpoint::TranscriptionSessions)),
    ("realtime/sessions", Endpoint::Mint(MintEndpoint::Sessions)),
    ("realtimeapi/sessions", Endpoint::Mint(MintEndpoint::Sessions)),
    ("realtime/calls", Endpoint::Calls),
];

/// Where realtime WebSockets live: OpenAI's and those like it, gateways that end with the provider's name, and Gemini's.
const SOCKETS: [&str; 4] = ["/realtime", "/realtime/translations", "/openai", ".BidiGenerateContent"];

/// The one of them that took a `POST`.
const SOCKET: &str = "realtime";

/// The endpoint that `path` (of `:path`, before the query) may be, below any prefix; `None` for every other path.
///
/// Takes time and memory in proportion to the path, and no memory if the path is plain.
pub fn endpoint(path: &[u8]) -> Option<(Endpoint<'_>, Match)> {
    match plain(path) {
        Some(path) => exact_endpoint(path),
        None => lookalike_endpoint(path).map(|endpoint| (endpoint, Match::Lookalike)),
    }
}

/// The path as text if there is but one way to read its segments.
fn plain(path: &[u8]) -> Option<&str> {
    let unambiguous = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte);
    let mut segments = path.strip_prefix(b"/")?.split(|&byte| byte == b'/');
    let plain =
        segments.all(|segment| segment.last().is_some_and(|&last| last != b'.') && segment.iter().all(unambiguous));
    if plain { str::from_utf8(path).ok() } else { None }
}

fn exact_endpoint(path: &str) -> Option<(Endpoint<'_>, Match)> {
    if let Some((pattern, endpoint)) = PATTERNS.iter().find(|(pattern, _)| ends_with_segments(path, pattern)) {
        let matched = if path.ends_with(pattern) { Match::Exact } else { Match::Lookalike };
        return Some((*endpoint, matched));
    }
    let plain = |endpoint| Some((endpoint, Match::Exact));
    if SOCKETS.iter().any(|end| path.ends_with(end)) {
        return plain(Endpoint::Socket);
    }
    if ends_with_segments(path, SOCKET) {
        return Some((Endpoint::Socket, Match::Lookalike));
    }
    let (calls, id) = path.strip_suffix("/hangup")?.rsplit_once('/')?;
    if calls.ends_with("/realtime/calls") { plain(Endpoint::Hangup(id)) } else { None }
}

/// Whether the last segments are those of a pattern, in any case.
fn ends_with_segments(path: &str, pattern: &str) -> bool {
    let start = path.len().checked_sub(pattern.len());
    let halves = start.and_then(|start| path.as_bytes().split_at_checked(start));
    halves.is_some_and(|(prefix, end)| prefix.last() == Some(&b'/') && end.eq_ignore_ascii_case(pattern.as_bytes()))
}

/// Upstreams differ in what they decode, in which order, and how often. Whatever they do, the segments that they end
/// with are some of those that are left when everything is decoded, in the same order. So those decide.
fn lookalike_endpoint(path: &[u8]) -> Option<Endpoint<'static>> {
    let path = decode(path);
    let is_subsequence = |pattern: &str| {
        let mut segments = path.split(|&byte| byte == b'/');
        pattern.split('/').all(|name| segments.any(|segment| reads_as(segment, name)))
    };
    let is_socket = || {
        let mut segments = path.rsplit(|&byte| byte == b'/').filter(|segment| !reads_as(segment, ""));
        segments.next().is_some_and(|segment| reads_as(segment, SOCKET))
    };
    let found = PATTERNS.into_iter().find(|(pattern, _)| is_subsequence(pattern)).map(|(_, endpoint)| endpoint);
    found.or_else(|| is_socket().then_some(Endpoint::Socket))
}

/// Percent-decodes until nothing is left to decode, and makes backslashes slashes.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    for &byte in path {
        decoded.push(byte);
        while let [.., b'%', high, low] = decoded[..] {
            let (Some(high), Some(low)) = (char::from(high).to_digit(16), char::from(low).to_digit(16)) else { break };
            decoded.truncate(decoded.len() - 3);
            decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
        }
    }
    decoded.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    decoded
}

/// Whether some upstream takes a segment for `name`, which has no dot: case, parameters, dots and white space aside.
fn reads_as(segment: &[u8], name: &str) -> bool {
    let name_ends = |byte: &&u8| !b";?#\0".contains(byte);
    let counts = |byte: &&u8| byte.is_ascii_graphic() && **byte != b'.';
    segment.iter().take_while(name_ends).filter(counts).map(u8::to_ascii_lowercase).eq(name.bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINT: Endpoint<'_> = Endpoint::Mint(MintEndpoint::ClientSecrets);

    #[test]
    fn documented_paths_are_plain_below_any_prefix() {
        let paths = PATTERNS.into_iter().chain([
            (
                "realtime/calls/rtc_u1_9c6574da8b8a41a18da9308f4ad974ce/hangup",
                Endpoint::Hangup("rtc_u1_9c6574da8b8a41a18da9308f4ad974ce"),
            ),
            ("realtime", Endpoint::Socket),
            ("realtime/translations", Endpoint::Socket),
        ]);
        for (path, want) in paths {
            for prefix in ["/v1/", "/", "/openai/v1/", "/openai/", "/v1/account-1/gateway.a/openai/"] {
                let path = format!("{prefix}{path}");
                assert_eq!(endpoint(path.as_bytes()), Some((want, Match::Exact)), "{path}");
            }
        }
    }

    #[test]
    fn other_paths_are_nothing() {
        for path in [
            "/",
            "",
            "*",
            "/v1/client_secrets",
            "/v1/realtime/client_secret",
            "/v1/realtime/client_secretss",
            "/v1/realtime/xclient_secrets",
            "/v1/xrealtime/client_secrets",
            "/v1/realtime-client_secrets",
            "/v1/realtime/client_secrets/1",
            "/v1/realtime/calls/rtc_1/accept",
            "/v1/realtime/calls/hangup",
            "/v1/calls/rtc_1/hangup",
            "/v1/chat/completions",
            "/v1/realtime/%63all",
            "/v1/files/a%20b",
            "/realtime/v1/files/a%20b",
        ] {
            assert_eq!(endpoint(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn no_spelling_hides_a_mint_path() {
        for path in [
            "realtime/client_secrets",
            "/v1/realtime/client_secrets/",
            "//v1//realtime//client_secrets",
            "/v1/realtime/./client_secrets",
            "/v1/realtime/x/../client_secrets",
            "/v1/realtime//../client_secrets",
            "/v1/realtime/a%2Fb/../client_secrets",
            "/v1/realtime/client_secrets/x/..",
            "/v1/realtime/client_secrets/a%2fb/%2e%2e",
            "/v1/x/%2e%2E/realtime/client_secrets",
            "/v1/realtime/..%2frealtime/client_secrets",
            "/v1/realtime%2Fclient_secrets",
            "/v1%2frealtime%2fclient_secrets",
            "/v1/realtime%252Fclient_secrets",
            "/v1/realtime%25252Fclient_secrets",
            "/v1/realtime/client%5Fsecrets",
            "/v1/realtime/client%255fsecrets",
            "/v1/realtime/client%%35fsecrets",
            "/v1/realtime/client%5%66secrets",
            "/v1/%72ealtime/%63lient_secrets",
            "/v1/realtime\\client_secrets",
            "/v1/realtime%5cclient_secrets",
            "/v1/realtime/client_secrets;a=b",
            "/v1/realtime;a/client_secrets",
            "/v1/realtime/client_secrets%3Fa/b",
            "/v1/realtime/client_secrets%23",
            "/v1/realtime/client_secrets%00.json",
            "/v1/realtime/client_secrets%20",
            "/v1/realtime/client_secrets%09",
            "/v1/realtime/client_\tsecrets",
            "/v1/realtime/client_secrets.",
            "/v1/realtime/client_secrets%2e",
            "/v1/Realtime/Client_Secrets",
            "/V1/REALTIME/CLIENT_SECRETS",
            "/v1/REALTIME/%43LIENT_SECRETS",
        ] {
            assert_eq!(endpoint(path.as_bytes()), Some((MINT, Match::Lookalike)), "{path}");
        }
    }

    #[test]
    fn a_call_spelled_loosely_is_seen_but_not_plain() {
        for path in ["/v1/realtime/calls/", "/v1/realtime/%63alls", "/v1/Realtime/calls", "/v1/realtime/x/../calls"] {
            assert_eq!(endpoint(path.as_bytes()), Some((Endpoint::Calls, Match::Lookalike)), "{path}");
        }
    }

    #[test]
    fn a_socket_spelled_loosely_is_seen_but_not_plain() {
        for path in
            ["/v1/Realtime", "/v1/realtime/", "/v1/realtime/.", "/v1//%72ealtime;x//", "/client_secrets/../realtime"]
        {
            assert_eq!(endpoint(path.as_bytes()), Some((Endpoint::Socket, Match::Lookalike)), "{path}");
        }
    }

    #[test]
    fn a_path_that_may_mint_or_call_may_mint() {
        let path = b"/v1/realtime/calls/../client_secrets";
        assert_eq!(endpoint(path), Some((MINT, Match::Lookalike)));
    }

    proptest! {
        #[test]
        fn arbitrary_paths_do_no_harm(path in prop::collection::vec(any::<u8>(), 0..100)) {
            endpoint(&path);
        }

        #[test]
        fn percent_encoding_anything_any_number_of_times_hides_nothing(
            depths in prop::collection::vec(0..3_usize, "/realtime/client_secrets".len()),
        ) {
            let mut path = String::from("/v1");
            for (byte, depth) in "/realtime/client_secrets".bytes().zip(depths) {
                let encoded = format!("%{}{byte:02x}", "25".repeat(depth.saturating_sub(1)));
                path.push_str(if depth == 0 { std::str::from_utf8(std::slice::from_ref(&byte)).unwrap() } else { &encoded });
            }
            prop_assert_eq!(endpoint(path.as_bytes()).map(|(found, _)| found), Some(MINT), "{}", path);
        }

        #[test]
        fn decoding_leaves_nothing_to_decode(path in "[%25afAF/.]{0,40}") {
            let decoded = decode(path.as_bytes());
            prop_assert_eq!(decode(&decoded), decoded);
        }
    }
}
