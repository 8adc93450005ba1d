//! Nothing of a client's credentials reaches an upstream, an answer or the log.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_oneof};
use proptest::sample::select;
use serde_json::json;

use super::{GATEWAY, PROVIDER, Slot, cased, check, holds};
use crate::fixture::vm;
use crate::host::{Fate, Request};

/// What else is removed: account settings, cookies, parameters.
const OTHERS: [Slot; 8] = [
    Slot::Header("authorization", "Basic "),
    Slot::Header("authorization", "Digest username="),
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
