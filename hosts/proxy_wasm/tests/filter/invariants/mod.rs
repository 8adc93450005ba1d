//! What must hold whatever a client sends. `PROPTEST_CASES` scales how much is tried.

mod admission;
mod bodies;
mod callbacks;
mod robustness;
mod secrecy;

use proptest::prelude::{Strategy, any};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::fixture::TOKEN;
use crate::host::{Request, golden};

/// How many cases are always the same, and recorded.
const RECORDED: usize = 32;

/// Tries a property on values of a strategy.
#[track_caller]
fn check<S: Strategy>(values: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    config.cases *= 4;
    let mut same = TestRunner::deterministic();
    for index in 0..RECORDED {
        let value = values.new_tree(&mut same).expect("a strategy has values").current();
        golden::case(index, || property(value).unwrap_or_else(|failure| panic!("{failure}")));
    }
    golden::unrecorded(|| {
        TestRunner::new(config).run(&values, property).unwrap_or_else(|failure| panic!("{failure}"));
    });
}

/// The same without a record of any case.
#[track_caller]
fn check_unrecorded<S: Strategy>(values: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { failure_persistence: None, ..Config::default() };
    golden::unrecorded(|| {
        TestRunner::new(config).run(&values, property).unwrap_or_else(|failure| panic!("{failure}"));
    });
}

/// Where a credential may stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slot {
    /// The value of a header, behind a prefix.
    Header(&'static str, &'static str),
    /// A subprotocol, behind a prefix.
    Subprotocol(&'static str),
    /// A gateway subprotocol whose token is in base64url.
    Encoded,
}

const GATEWAY: [Slot; 4] = [
    Slot::Header("cf-aig-authorization", "Bearer "),
    Slot::Header("cf-aig-authorization", ""),
    Slot::Subprotocol("cf-aig-authorization."),
    Slot::Encoded,
];

const PROVIDER: [Slot; 7] = [
    Slot::Header("authorization", "Bearer "),
    Slot::Header("api-key", ""),
    Slot::Header("api_key", ""),
    Slot::Header("x-api-key", ""),
    Slot::Header("x-goog-api-key", ""),
    Slot::Subprotocol("openai-insecure-api-key."),
    Slot::Subprotocol("xai-client-secret."),
];

/// A header value that Envoy's codecs let through: anything but NUL, CR and LF.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|byte| if b"\0\r\n".contains(&byte) { b' ' } else { byte });
    proptest::collection::vec(byte, 0..40)
}

/// A name of a header that the filter reads, or any other.
fn header_name() -> impl Strategy<Value = String> {
    let known = [
        "cf-aig-authorization",
        "sec-websocket-protocol",
        "authorization",
        "api-key",
        "api_key",
        "connection",
        "proxy-authorization",
        "referer",
        "x-api-key",
        "x-goog-api-key",
        "openai-beta",
        "openai-organization",
        "cookie",
        "origin",
        "upgrade",
        "content-type",
        "content-encoding",
        "content-length",
        "sec-websocket-key",
        "x-realtime-byok-provider",
        ":path",
        ":method",
        ":status",
    ];
    proptest::prop_oneof![3 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z-]{1,12}"]
}

/// `text` with the case of its letters flipped where `mask` says so.
fn cased(text: &str, mask: u64) -> String {
    let flip = |(index, letter): (usize, char)| {
        if mask >> (index % 64) & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
    };
    text.chars().enumerate().map(flip).collect()
}

/// Whether `needle` occurs in `bytes`, in any case.
fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

/// The same request with a token that is good.
fn admitted(request: Request<'_>) -> Request<'_> {
    request.line("cf-aig-authorization", TOKEN)
}
