//! What is kept of a WebSocket's handshake for its 101.

use std::sync::Arc;

use super::upstream_response::UpstreamResponse;
use crate::credential::SubprotocolOffer;
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
        if self.key_supplied {
            // RFC 8441 section 5: over HTTP/2, Sec-WebSocket-Accept is not used.
            edits.remove("sec-websocket-accept");
        }
        match self.offer.fallback() {
            None => edits.remove("sec-websocket-protocol"),
            Some(_) if self.offer.contains(trim(&response.subprotocols())) => {}
            Some(name) => {
                let name = Arc::new(Secret::new(name.to_vec()));
                edits.set("sec-websocket-protocol", HeaderValue::Secret(name));
            }
        }
        edits
    }
}
