//! What is kept of a WebSocket's handshake for its 101.

use std::sync::Arc;

use super::response_head::UpstreamResponse;
use crate::credential::{Subprotocol, SubprotocolOffer};
use crate::http::{Edits, HeaderValue, trim};
use crate::secret::Secret;

/// What the client offered.
pub(crate) struct Handshake {
    /// The subprotocols, credentials among them.
    offer: SubprotocolOffer,
    /// Whether the filter added the `sec-websocket-key` that HTTP/2 does without.
    key_supplied: bool,
}

impl Handshake {
    /// Keeps what the 101 needs.
    pub(crate) fn new(offer: SubprotocolOffer, key_supplied: bool) -> Self {
        Self { offer, key_supplied }
    }

    /// The edits of a 101: it selects a subprotocol that the client offered, or none if it offered none.
    pub(crate) fn answer(&self, response: &UpstreamResponse<'_>) -> Edits {
        let mut edits = Edits::default();
        if self.key_supplied && response.has(b"sec-websocket-accept") {
            // RFC 8441 section 5: over HTTP/2, Sec-WebSocket-Accept is not used.
            edits.remove("sec-websocket-accept");
        }
        match fallback(&self.offer) {
            None if response.has(b"sec-websocket-protocol") => edits.remove("sec-websocket-protocol"),
            None => {}
            // What the upstream selects is its own matter: the client is to know that it only watches.
            Some(_) if !self.offer.is_of_watcher() && self.offer.contains(trim(&response.subprotocols())) => {}
            Some(name) => {
                let name = Arc::new(Secret::new(name.to_vec()));
                edits.set("sec-websocket-protocol", HeaderValue::Secret(name));
            }
        }
        edits
    }
}

/// The subprotocol to select when the upstream selects none: that of a watcher, else the first that is no credential, else the gateway's, else the
/// first. Browsers abort a connection whose offer is not answered.
fn fallback(offer: &SubprotocolOffer) -> Option<&[u8]> {
    let rank = |kind| match kind {
        Subprotocol::Watch => 0,
        Subprotocol::Plain | Subprotocol::ProviderSetting => 1,
        Subprotocol::Token(_) | Subprotocol::EncodedToken(_) => 2,
        Subprotocol::ProviderKey(_) => 3,
    };
    offer.iter().min_by_key(|&(_, kind)| rank(kind)).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::GatewaySettings;

    #[test]
    fn the_fallback_selection_prefers_what_is_no_credential() {
        let gateway = GatewaySettings::new("cf-aig-authorization", "cf-aig-authorization", true);
        for (line, want) in [
            ("openai-insecure-api-key.k, cf-aig-authorization.t, realtime, other", Some("realtime")),
            ("openai-insecure-api-key.k, cf-aig-authorization.t", Some("cf-aig-authorization.t")),
            ("cf-aig-authorization.t, openai-beta.realtime-v1", Some("openai-beta.realtime-v1")),
            ("openai-insecure-api-key.k, xai-client-secret.k", Some("openai-insecure-api-key.k")),
            ("realtime, realtime-byok-watch, cf-aig-authorization.t", Some("realtime-byok-watch")),
            ("", None),
        ] {
            let offer = SubprotocolOffer::parse([line.as_bytes()].into_iter(), &gateway).unwrap();
            assert_eq!(fallback(&offer), want.map(str::as_bytes), "{line}");
        }
    }
}
