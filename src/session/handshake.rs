//! What is kept of a WebSocket's handshake for its 101.

use std::rc::Rc;

use super::surroundings::Response;
use crate::auth::Offered;
use crate::http::{Edits, Value, members, trim};
use crate::inbound::Inbound;
use crate::secret::Secret;

/// What the client offered.
pub struct Handshake {
    /// The subprotocols in one line, credentials among them.
    offered: Secret,
    /// The one that is selected when the upstream selects none; none if none was offered.
    fallback: Option<Rc<Secret>>,
    /// Whether the filter added the `sec-websocket-key` that HTTP/2 does without.
    pub key_supplied: bool,
}

impl Handshake {
    /// Keeps what the 101 needs.
    pub fn new(inbound: &Inbound<'_>, offered: &Offered<'_>, key_supplied: bool) -> Self {
        Self {
            offered: Secret::new(inbound.subprotocols.join(b",".as_slice())),
            fallback: offered.fallback().map(|name| Rc::new(Secret::new(name.to_vec()))),
            key_supplied,
        }
    }

    /// The edits of a 101: it selects a subprotocol that the client offered, or none if it offered none.
    pub fn answer(&self, response: &impl Response) -> Edits {
        let mut edits = Edits::default();
        if self.key_supplied {
            // RFC 8441 section 5: over HTTP/2, Sec-WebSocket-Accept is not used.
            edits.remove("sec-websocket-accept");
        }
        match &self.fallback {
            None => edits.remove("sec-websocket-protocol"),
            Some(_) if self.has_offered(trim(&response.subprotocols())) => {}
            Some(name) => edits.set("sec-websocket-protocol", Value::Secret(name.clone())),
        }
        edits
    }

    fn has_offered(&self, subprotocol: &[u8]) -> bool {
        members(self.offered.expose()).any(|name| name == subprotocol)
    }
}
