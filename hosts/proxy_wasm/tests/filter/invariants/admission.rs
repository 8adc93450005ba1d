//! Nothing reaches an upstream without a valid credential.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::sample::select;
use serde_json::json;

use super::{GATEWAY, PROVIDER, Slot, cased, check, header_name, holds, value};
use crate::fixture::{TOKEN, vm};
use crate::host::{Fate, Request};

const TOKENS: [&str; 5] = [TOKEN, "token-of-another-caller", "token-that-has-expired", "nobodys", ""];

/// One credential that a client offers.
#[derive(Clone, Debug)]
struct Offer {
    slot: Slot,
    token: &'static str,
    case: u64,
    starts_line: bool,
}

fn offer() -> impl Strategy<Value = Offer> {
    let slot = prop_oneof![select(&GATEWAY[..]), select(&PROVIDER[..])];
    // Mostly the same token, so that it is not always a conflict.
    let token = prop_oneof![4 => Just(TOKEN), 1 => select(&TOKENS[..])];
    (slot, token, any::<u64>(), any::<bool>()).prop_map(|(slot, token, case, starts_line)| Offer {
        slot,
        token,
        case,
        starts_line,
    })
}

impl Offer {
    /// The subprotocol, if it is one.
    fn subprotocol(&self) -> Option<String> {
        match self.slot {
            Slot::Header(..) => None,
            Slot::Subprotocol(prefix) => Some(cased(prefix, self.case) + self.token),
            Slot::Encoded => {
                Some(cased("cf-aig-authorization-base64url.", self.case) + &URL_SAFE_NO_PAD.encode(self.token))
            }
        }
    }
}

fn with_offers<'a>(request: Request<'a>, offers: &[Offer]) -> Request<'a> {
    let mut request = request;
    let mut lines: Vec<String> = Vec::new();
    for offer in offers {
        match (offer.slot, offer.subprotocol()) {
            (Slot::Header(name, prefix), _) => {
                request = request.line(&cased(name, offer.case), cased(prefix, offer.case) + offer.token);
            }
            (_, Some(subprotocol)) if offer.starts_line || lines.is_empty() => lines.push(subprotocol),
            (_, Some(subprotocol)) => lines.last_mut().unwrap().push_str(&format!(" ,, {subprotocol}")),
            (_, None) => unreachable!("every place is a header or a subprotocol"),
        }
    }
    request.lines(lines.iter().map(|line| ("sec-websocket-protocol", line)))
}

/// Whether these offers open the way, read off what they were made of.
fn verdict(offers: &[Offer]) -> Result<(), &'static str> {
    let subprotocols: Vec<_> = offers.iter().filter_map(Offer::subprotocol).collect();
    if BTreeSet::from_iter(&subprotocols).len() < subprotocols.len() {
        return Err("malformed_credentials");
    }
    let (gateway, provider): (Vec<&Offer>, _) = offers.iter().partition(|offer| GATEWAY.contains(&offer.slot));
    let read = if gateway.is_empty() { provider } else { gateway };
    let tokens: BTreeSet<_> = read.iter().map(|offer| offer.token).collect();
    match Vec::from_iter(tokens)[..] {
        [] => Err("missing_gateway_token"),
        ["", ..] => Err("malformed_credentials"),
        [TOKEN | "token-of-another-caller"] => Ok(()),
        ["token-that-has-expired"] => Err("expired_gateway_token"),
        [_] => Err("invalid_gateway_token"),
        [_, _, ..] => Err("conflicting_credentials"),
    }
}

#[test]
fn a_request_is_forwarded_exactly_if_its_offers_come_to_one_valid_token() {
    let vm = vm(json!({ "callers": { "another": { "tokens": [
        { "value": "token-of-another-caller" },
        { "value": "token-that-has-expired", "not_after": "2026-11-14T00:00:00Z" },
    ] } } }));
    check((vec(offer(), 0..5), any::<bool>()), |(offers, is_upgrade)| {
        let request = if is_upgrade { vm.upgrade("/v1/realtime") } else { vm.post("/v1/responses", "{}") };
        let exchange = with_offers(request, &offers).send();
        let found = exchange.upstream_or_refused().map(drop).map_err(|(_, code)| code);
        prop_assert_eq!(found, verdict(&offers).map_err(str::to_owned));
        Ok(())
    });
}

#[test]
fn nothing_is_forwarded_whose_slots_do_not_hold_the_whole_token() {
    let vm = vm(json!({}));
    let encoded = URL_SAFE_NO_PAD.encode(TOKEN);
    let piece = prop_oneof![
        select(&["Bearer ", "cf-aig-authorization.", "cf-aig-authorization-base64url.", ",", " ", "\t", "="][..])
            .prop_map(|piece| piece.as_bytes().to_vec()),
        select([&TOKEN[1..], &TOKEN[..8], &encoded[1..], &encoded[..8]].map(Vec::from).to_vec()),
        Just(TOKEN.as_bytes().to_vec()),
        Just(encoded.as_bytes().to_vec()),
        value(),
    ];
    let line = (header_name(), vec(piece, 0..4).prop_map(|pieces| pieces.concat()));
    check((vec(line, 0..6), any::<bool>()), |(lines, is_upgrade)| {
        let request = if is_upgrade { vm.upgrade("/v1/realtime") } else { vm.request("POST", "/v1/responses") };
        let exchange = request.lines(lines.iter().map(|(name, value)| (name, value))).send();
        let is_offered = lines.iter().any(|(name, value)| {
            let is_slot = name.ends_with("key") || name.ends_with("authorization") || name.ends_with("protocol");
            is_slot && (holds(value, TOKEN) || holds(value, &encoded))
        });
        prop_assert!(is_offered || !matches!(exchange.fate(), Fate::Forwarded(_)), "{:?}", exchange.fate());
        Ok(())
    });
}
