//! What is kept of a WebSocket's handshake for its 101.

use std::rc::Rc;

use super::request_head::RequestHead;
use crate::credential::SubprotocolOffer;
use crate::host::UpstreamResponse;
use crate::http::{Edits, HeaderValue, members, trim};
use crate::secret::Secret;

/// What the client offered.
pub struct Handshake {
    /// The subprotocols in one line, credentials among them.
    offer: Secret,
    /// The one that is selected when the upstream selects none; none if none was offered.
    fallback: Option<Rc<Secret>>,
    /// Whether the filter added the `sec-websocket-key` that HTTP/2 does without.
    pub key_supplied: bool,
}

impl Handshake {
    /// Keeps what the 101 needs.
    pub fn new(head: &RequestHead<'_>, offer: &SubprotocolOffer<'_>, key_supplied: bool) -> Self {
        Self {
            offer: Secret::new(head.subprotocols.join(b",".as_slice())),
            fallback: offer.fallback().map(|name| Rc::new(Secret::new(name.to_vec()))),
            key_supplied,
        }
    }

    /// The edits of a 101: it selects a subprotocol that the client offered, or none if it offered none.
    pub fn answer(&self, response: &impl UpstreamResponse) -> Edits {
        let mut edits = Edits::default();
        if self.key_supplied {
            // RFC 8441 section 5: over HTTP/2, Sec-WebSocket-Accept is not used.
            edits.remove("sec-websocket-accept");
        }
        match &self.fallback {
            None => edits.remove("sec-websocket-protocol"),
            Some(_) if self.has_offered(trim(&response.subprotocols())) => {}
            Some(name) => edits.set("sec-websocket-protocol", HeaderValue::Secret(name.clone())),
        }
        edits
    }

    fn has_offered(&self, subprotocol: &[u8]) -> bool {
        members(self.offer.expose()).any(|name| name == subprotocol)
    }
}
