//! Whether a request may go on, and what must be gone from it then: the contract, read naively.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode;

use super::gateway::{BUDGET, CALL, KEYS, KIOSK, SECRETS, UPSTREAM_CALL, UPSTREAM_SECRET, WEB_APP};
use super::holds;
use super::host::{Lines, all};

/// Subprotocols that are no upstream's business, by how they begin.
const PREFIXES: [&str; 7] = [
    "cf-aig-authorization.",
    "cf-aig-authorization-base64url.",
    "openai-insecure-api-key.",
    "xai-client-secret.",
    "openai-organization.",
    "openai-project.",
    "openai-beta.",
];

/// Headers that no upstream gets from a client.
const REMOVED: [&str; 12] = [
    "cf-aig-authorization",
    "authorization",
    "api-key",
    "api_key",
    "x-api-key",
    "x-goog-api-key",
    "x-vendor",
    "openai-organization",
    "openai-project",
    "cookie",
    "x-internal",
    "proxy-authorization",
];

/// Query parameters that no upstream gets from a client.
const REMOVED_PARAMS: [&str; 5] = ["key", "api_key", "api-key", "access_token", "subscription-key"];

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let space = value.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
    value[..space].eq_ignore_ascii_case(b"bearer").then(|| value[space..].trim_ascii())
}

fn listed<'a>(lines: &'a Lines, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let values = all(lines, name).flat_map(|value| value.split(|&byte| byte == b','));
    values.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty())
}

/// What stands behind a prefix, in whatever case that is.
fn behind<'a>(name: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then_some(rest)
}

fn path(lines: &Lines) -> &[u8] {
    all(lines, ":path").next().unwrap_or_default()
}

/// Name and value of each parameter, percent-decoded.
fn params(path: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let query = path.iter().position(|&byte| byte == b'?').map(|at| &path[at + 1..]).unwrap_or_default();
    let pair = |param: &[u8]| {
        let at = param.iter().position(|&byte| byte == b'=').unwrap_or(param.len());
        let decoded = |bytes: &[u8]| percent_decode(bytes).collect::<Vec<u8>>();
        (decoded(&param[..at]), decoded(param.get(at + 1..).unwrap_or_default()))
    };
    query.split(|&byte| byte == b'&').map(pair).collect()
}

/// Whether a policy's provider takes a key from the query of a path.
fn takes_key(policy: &str, target: &[u8]) -> bool {
    let path: Vec<u8> = percent_decode(target.split(|&byte| byte == b'?').next().unwrap_or_default()).collect();
    let places = [b"google.ai.generativelanguage.".as_slice(), b"/v1beta/", b"/v1alpha/"];
    policy == "gemini" && places.iter().any(|place| holds(&path, place))
}

/// The tokens that count: those of the gateway's slots, else those of the providers'.
fn offered(lines: &Lines, policy: &str) -> BTreeSet<Vec<u8>> {
    let header = |name| listed(lines, name);
    let gateway = header("cf-aig-authorization").map(|value| bearer(value).unwrap_or(value).to_vec());
    let names = || header("sec-websocket-protocol");
    let plain = names().filter_map(|name| behind(name, PREFIXES[0])).map(<[u8]>::to_vec);
    let encoded = names().filter_map(|name| URL_SAFE_NO_PAD.decode(behind(name, PREFIXES[1])?).ok());
    let tokens: BTreeSet<_> = gateway.chain(plain).chain(encoded).collect();
    if !tokens.is_empty() {
        return tokens;
    }
    let authorization = header("authorization").filter_map(bearer);
    let keys = ["api-key", "api_key", "x-api-key", "x-goog-api-key"].into_iter().flat_map(header);
    let subprotocols = names().filter_map(|name| behind(name, PREFIXES[2]).or_else(|| behind(name, PREFIXES[3])));
    let is_key = |name: &[u8]| name.eq_ignore_ascii_case(b"key") && takes_key(policy, path(lines));
    let of_google = params(path(lines)).into_iter().filter(|(name, _)| is_key(name)).map(|(_, value)| value);
    authorization.chain(keys).chain(subprotocols).map(<[u8]>::to_vec).chain(of_google).collect()
}

/// The one token with which a request may go on under a policy; fails if there is none.
pub(super) fn admitting(lines: &Lines, policy: &str) -> Vec<u8> {
    let tokens = Vec::from_iter(offered(lines, policy));
    let [token] = tokens.as_slice() else { panic!("{} tokens, and it goes on", tokens.len()) };
    let text = String::from_utf8_lossy(token);
    let is_good = match &*text {
        WEB_APP | BUDGET => true,
        KIOSK => matches!(policy, "plain" | "query"),
        _ => SECRETS.iter().any(|secret| *secret == text) && policy == "plain",
    };
    assert!(is_good, "{text} is no good under {policy}, and it goes on");
    token.clone()
}

/// The values under which a policy's provider may be given its key, each with the header that holds it.
fn credentials(provider: &str) -> &'static [(&'static str, &'static str)] {
    match provider {
        "openai" => &[("authorization", "Bearer sk-key-of-openai-0001")],
        "azure" => &[("api-key", "key-of-azure-00002-a"), ("api-key", "key-of-azure-00002-b")],
        "xai" => &[("authorization", "Bearer xai-key-of-xai-000003")],
        "gemini" => &[("x-goog-api-key", "AIza-key-of-gemini-04")],
        "anthropic" => &[("x-api-key", "sk-ant-key-0000000005")],
        "vendor" => &[("x-vendor", "Token key-of-a-vendor-00006")],
        _ => &[],
    }
}

/// What an upstream gets holds one credential, the provider's, and none of the client's.
pub(super) fn assert_stripped(lines: &Lines, policy: &str, token: &[u8], input: &[u8]) {
    let provider = match policy {
        "default" => {
            let named: Vec<_> = all(lines, "x-realtime-byok-provider").collect();
            let [named] = named.as_slice() else { panic!("{} providers are named", named.len()) };
            String::from_utf8_lossy(named).into_owned()
        }
        "plain" | "locked" => "openai".to_owned(),
        other => other.to_owned(),
    };
    let sealed = SECRETS[0].as_bytes();
    let upstream = [("authorization", format!("Bearer {UPSTREAM_SECRET}"))];
    let own: Vec<(&str, &[u8])> = match token == sealed {
        true => upstream.iter().map(|(name, value)| (*name, value.as_bytes())).collect(),
        false => credentials(&provider).iter().map(|(name, value)| (*name, value.as_bytes())).collect(),
    };
    let is_own = |name: &str, value: &[u8]| own.contains(&(name, value));
    let given = lines.iter().filter(|(name, value)| is_own(name, value)).count();
    assert_eq!(given, usize::from(!own.is_empty()), "credentials of {provider}");
    for (name, value) in lines {
        let is_account = name == "openai-organization" && value == b"org-of-the-gateway";
        assert!(!REMOVED.contains(&name.as_str()) || is_own(name, value) || is_account, "{name} goes on");
        if name == ":path" {
            continue;
        }
        assert!(!holds(value, token), "{name} holds the token");
        let is_key = KEYS.iter().any(|(_, key)| holds(value, key.as_bytes()) && !holds(input, key.as_bytes()));
        assert!(!is_key || is_own(name, value), "{name} holds a key");
    }
    for name in listed(lines, "sec-websocket-protocol") {
        assert!(!PREFIXES.iter().any(|prefix| behind(name, prefix).is_some()), "a subprotocol goes on");
    }
    let key = (b"subscription-key".to_vec(), b"key-in-the-query-0007".to_vec());
    let left: Vec<_> = params(path(lines)).into_iter().filter(|(name, _)| is_removed_param(name, policy)).collect();
    match policy {
        "query" => assert_eq!(left, [key], "parameters"),
        _ => assert_eq!(left, [], "parameters"),
    }
}

/// `subscription-key` is a vendor's word, which others may use otherwise where it is not theirs.
fn is_removed_param(name: &[u8], policy: &str) -> bool {
    let known = REMOVED_PARAMS.iter().filter(|known| **known != "subscription-key" || policy == "query");
    known.into_iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Where an action on a call, or its sideband, goes up, its owner asked for it; and under the name that its upstream knows.
pub(super) fn assert_owned(asked: &Lines, sent: &Lines, token: &[u8]) {
    let decoded = |lines| percent_decode(path(lines)).collect::<Vec<u8>>();
    let (asked, sent) = (decoded(asked), decoded(sent));
    let is_call = |path: &[u8]| {
        let path = path.split(|&byte| byte == b'?').next().unwrap_or_default();
        let last: Vec<_> = path.rsplit(|&byte| byte == b'/').take(4).collect();
        let actions = [b"hangup".as_slice(), b"refer", b"accept", b"reject"];
        matches!(last.as_slice(), [action, _, b"calls", b"realtime"] if actions.contains(action))
    };
    if is_call(&sent) || holds(&sent, UPSTREAM_CALL.as_bytes()) && !holds(&asked, UPSTREAM_CALL.as_bytes()) {
        assert!(holds(&asked, CALL.as_bytes()), "a call goes up that is sealed for nobody");
        assert!(token == WEB_APP.as_bytes() || holds(token, b"ek_"), "another's call goes up");
        // In what stands before a path of the API, anything may stand.
        let sealed = |path: &[u8]| path.windows(CALL.len()).filter(|text| *text == CALL.as_bytes()).count();
        assert!(sealed(&sent) < sealed(&asked), "a sealed id goes up");
    }
}

/// What an access log shows of a path that was answered here holds no credential.
pub(super) fn assert_path_is_clean(lines: &Lines) {
    for (name, _) in params(path(lines)) {
        assert!(!is_removed_param(&name, ""), "{} is logged", String::from_utf8_lossy(&name));
    }
}
