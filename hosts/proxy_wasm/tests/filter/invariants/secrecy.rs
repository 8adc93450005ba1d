//! Nothing of a client's credentials reaches an upstream, an answer or the log; nothing of the gateway's reaches a client.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::sample::select;
use serde_json::json;

use super::{GATEWAY, PROVIDER, Slot, cased, check, header_name, holds, value};
use crate::fixture::{KEY, TOKEN, vm};
use crate::host::{Fate, Request};

/// What else is removed: account settings, cookies, parameters.
const OTHERS: [Slot; 10] = [
    Slot::Header("authorization", "Basic "),
    Slot::Header("authorization", "Digest username="),
    Slot::Header("proxy-authorization", "Basic "),
    Slot::Header("proxy-authorization", ""),
    Slot::Header("cookie", "session="),
    Slot::Header("openai-organization", ""),
    Slot::Header("openai-project", ""),
    Slot::Header("x-internal", ""),
    Slot::Subprotocol("openai-organization."),
    Slot::Subprotocol("openai-project."),
];

const PARAMS: [&str; 5] = ["key", "api_key", "api-key", "access_token", "vendor"];

/// A credential somewhere in the request.
#[derive(Clone, Debug)]
enum Spot {
    At(Slot),
    Param(&'static str),
}

#[derive(Clone, Debug)]
struct Hidden {
    spot: Spot,
    secret: String,
    /// Which letters of names are upper-case, and which bytes of a parameter are percent-encoded.
    mask: u64,
}

fn hidden() -> impl Strategy<Value = Hidden> {
    let slots = [&GATEWAY[..], &PROVIDER, &OTHERS].concat();
    let spot = prop_oneof![3 => select(slots).prop_map(Spot::At), 1 => select(&PARAMS[..]).prop_map(Spot::Param)];
    (spot, "[a-zA-Z0-9]{24}", any::<u64>()).prop_map(|(spot, secret, mask)| Hidden { spot, secret, mask })
}

impl Hidden {
    fn add<'a>(&self, request: Request<'a>) -> Request<'a> {
        let Self { spot, secret, mask } = self;
        match spot {
            Spot::At(Slot::Header(name, prefix)) => request.line(&cased(name, *mask), format!("{prefix}{secret}")),
            Spot::At(Slot::Subprotocol(prefix)) => {
                request.line("sec-websocket-protocol", format!("{}{secret}", cased(prefix, *mask)))
            }
            Spot::At(Slot::Encoded) => {
                let encoded = URL_SAFE_NO_PAD.encode(secret);
                request.line("sec-websocket-protocol", format!("cf-aig-authorization-base64url.{encoded}, realtime"))
            }
            Spot::Param(_) => request,
        }
    }

    fn param(&self) -> Option<String> {
        let Spot::Param(name) = self.spot else { return None };
        Some(format!("&{}={}", percent_encoded(name, self.mask), percent_encoded(&self.secret, self.mask >> 16)))
    }
}

fn percent_encoded(text: &str, mask: u64) -> String {
    let encode = |(index, byte): (usize, u8)| match mask >> (2 * (index % 32)) & 3 {
        0 => format!("%{byte:02x}"),
        1 => format!("%{byte:02X}"),
        2 => char::from(byte).to_ascii_uppercase().to_string(),
        _ => char::from(byte).to_string(),
    };
    text.bytes().enumerate().map(encode).collect()
}

/// Bytes as they are, and percent-decoded.
fn readings(bytes: &[u8]) -> [Vec<u8>; 2] {
    [bytes.to_vec(), percent_encoding::percent_decode(bytes).collect()]
}

#[test]
fn nothing_that_a_client_offers_reaches_an_upstream() {
    // Whoever comes, comes in: so what is forwarded shows what stripping leaves.
    let vm = vm(json!({
        "gateway": { "strip_headers": ["X-Internal"] },
        "providers": { "vendor": { "kind": "custom", "query": "vendor", "key": "external" } },
    }));
    check((vec(hidden(), 0..6), any::<bool>()), |(all, is_upgrade)| {
        let params: String = all.iter().filter_map(Hidden::param).collect();
        let query = format!("model=m{params}&x=1");
        let request = if is_upgrade {
            vm.upgrade(&format!("/v1/realtime?{query}"))
        } else {
            vm.post(&format!("/v1/responses?{query}"), "{}")
        };
        let is_gateway = |hidden: &Hidden| matches!(hidden.spot, Spot::At(slot) if GATEWAY.contains(&slot));
        let request = all.iter().filter(|hidden| !is_gateway(hidden)).fold(request, |all, hidden| hidden.add(all));
        let exchange = super::admitted(request).send();
        let upstream = exchange.upstream();
        let lines = upstream.lines.iter().flat_map(|(name, value)| [name.as_bytes(), value]);
        let forwarded: Vec<_> = lines.chain([upstream.body.as_slice()]).flat_map(readings).collect();
        for Hidden { secret, .. } in &all {
            let encoded = URL_SAFE_NO_PAD.encode(secret);
            let is_left = forwarded.iter().any(|bytes| holds(bytes, secret) || holds(bytes, &encoded));
            prop_assert!(!is_left, "{secret} in {upstream:?}");
        }
        prop_assert!(!upstream.lines.text().join("\n").contains(crate::fixture::TOKEN));
        Ok(())
    });
}

#[test]
fn no_refusal_and_no_log_line_quotes_what_a_client_offers() {
    let vm = vm(json!({}));
    check((vec(hidden(), 1..6), any::<bool>()), |(all, is_upgrade)| {
        let params: String = all.iter().filter_map(Hidden::param).collect();
        let query = format!("model=m{params}&x=1");
        let request = if is_upgrade {
            vm.upgrade(&format!("/v1/realtime?{query}"))
        } else {
            vm.post(&format!("/v1/responses?{query}"), "{}")
        };
        let exchange = all.iter().fold(request, |request, hidden| hidden.add(request)).send();
        prop_assert!(matches!(exchange.fate(), Fate::Answered(_)), "{:?}", exchange.fate());
        let shown = format!("{:?}{:?}", exchange.refusal(), vm.log());
        for Hidden { secret, .. } in &all {
            prop_assert!(!holds(shown.as_bytes(), secret), "{secret} in {shown}");
        }
        Ok(())
    });
}

/// A text with a secret somewhere in it, in one of the ways in which clients and upstreams write it.
fn quoted(secret: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let part = || "[ -~&&[^%]]{0,12}";
    let way = prop_oneof![
        Just(secret.to_owned()),
        any::<u64>().prop_map(move |mask| partly_encoded(secret, mask)),
        Just(secret.replace('-', "%252D")),
    ];
    (part(), way, part()).prop_map(|(before, secret, after)| [before, secret, after].concat().into_bytes())
}

fn partly_encoded(text: &str, mask: u64) -> String {
    let encode = |(index, byte): (usize, u8)| match mask >> (2 * (index % 32)) & 3 {
        0 => format!("%{byte:02x}"),
        1 => format!("%{byte:02X}"),
        _ => char::from(byte).to_string(),
    };
    text.bytes().enumerate().map(encode).collect()
}

/// Lines of any names, some of which quote a secret.
fn lines_that_quote(secret: &'static str) -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = header_name().prop_filter("Envoy has these once", |name| !name.starts_with(':'));
    vec((name, prop_oneof![quoted(secret), value()]), 0..8)
}

/// Bytes as they are, and percent-decoded once and twice.
fn decodings(bytes: &[u8]) -> [Vec<u8>; 3] {
    let once: Vec<u8> = percent_encoding::percent_decode(bytes).collect();
    let twice = percent_encoding::percent_decode(&once).collect();
    [bytes.to_vec(), once, twice]
}

/// Whether a secret stands in any of these, in any encoding that is known.
fn stands_in<'a>(secret: &str, mut texts: impl Iterator<Item = &'a [u8]>) -> bool {
    let stands = |text: &[u8]| text.windows(secret.len()).any(|window| window == secret.as_bytes());
    texts.any(|text| decodings(text).iter().any(|text| stands(text)))
}

#[test]
fn the_token_goes_up_in_no_line_whatever_its_name() {
    let vm = vm(json!({}));
    let basic = STANDARD.encode(format!("user:{TOKEN}"));
    check(
        (lines_that_quote(TOKEN), quoted(TOKEN), any::<[bool; 2]>()),
        |(lines, param, [is_upgrade, has_trailers])| {
            let param: Vec<u8> = param.into_iter().filter(|byte| !b"# &".contains(byte)).collect();
            let path = [b"/v1/realtime?model=gpt&x=".as_slice(), &param].concat();
            let request = vm.request(if is_upgrade { "GET" } else { "POST" }, &path);
            let request = if is_upgrade { request.line("upgrade", "websocket") } else { request.body("{}") };
            let is_kept = |(name, _): &&(String, Vec<u8>)| name != "cf-aig-authorization" && name != "upgrade";
            let mut request = super::admitted(request).line("x-basic", format!("Basic {basic}"));
            for (name, value) in lines.iter().filter(is_kept) {
                request = request.line(name, value);
            }
            if has_trailers && !is_upgrade {
                request = request.trailer("x-last", &format!("a{TOKEN}b")).trailer("x-end", "1");
            }
            let Fate::Forwarded(upstream) = request.send().fate() else { return Ok(()) };
            let texts = upstream.lines.iter().chain(upstream.trailers.iter()).map(|(_, value)| value);
            prop_assert!(!stands_in(TOKEN, texts), "{upstream:?}");
            prop_assert!(!upstream.lines.iter().any(|(_, value)| holds(value, &basic)));
            prop_assert_eq!(upstream.lines.all("authorization"), [format!("Bearer {KEY}")]);
            if is_upgrade {
                prop_assert_eq!(upstream.lines.all("connection"), ["upgrade"]);
            }
            Ok(())
        },
    );
}

#[test]
fn the_key_comes_down_in_no_line_whatever_its_name() {
    let vm = vm(json!({}));
    let status = select(vec![101_u16, 200, 201, 204, 301, 307, 400, 401, 403, 404, 429, 500, 502]);
    let lines = (lines_that_quote(KEY), lines_that_quote(KEY));
    check((status, lines, any::<[bool; 2]>()), |(status, (lines, trailers), [is_upgrade, is_from_upstream])| {
        let request = if is_upgrade { vm.upgrade("/v1/realtime") } else { vm.post("/v1/responses", "{}") };
        let exchange = super::admitted(request).send();
        let lines = [(":status".to_owned(), status.to_string().into_bytes())].into_iter().chain(lines);
        exchange.response_headers(&lines.collect::<Vec<_>>(), is_from_upstream);
        if status != 101 && !exchange.answer().details.starts_with("realtime_byok") {
            exchange.response_body(b"{}", false);
            exchange.response_trailers(&trailers);
        }
        let answer = exchange.answer();
        prop_assert!(!stands_in(KEY, answer.lines.iter().map(|(_, value)| value)), "{answer:?}");
        let trailers = exchange.received_trailers();
        prop_assert!(!stands_in(KEY, trailers.iter().map(String::as_bytes)), "{trailers:?}");
        for name in ["set-cookie", "openai-organization", "openai-project"] {
            prop_assert_eq!(answer.lines.all(name), [""; 0]);
        }
        Ok(())
    });
}
