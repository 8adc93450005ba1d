//! Where gateway tokens are looked for, what never reaches a provider, and which headers may be named for either.

use super::Builder;
use crate::config::Path;
use crate::config::raw::{self, Raw};
use crate::credential::{GatewaySettings, Strip};
use crate::http::is_token;

/// Headers that carry the message itself, or that the filter sets.
const RESERVED_HEADERS: [&str; 12] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-realtime-byok-provider",
];

/// Headers that the filter reads for what they say.
const READ_HEADERS: [&str; 3] = ["content-encoding", "content-type", "origin"];

impl Builder<'_> {
    pub(super) fn gateway(&mut self, path: &Path, raw: &raw::Gateway) -> GatewaySettings {
        self.free_header_name(&path.key("header"), &raw.header);
        if !is_token(raw.subprotocol.as_bytes()) {
            self.error(&path.key("subprotocol"), "not a token (RFC 9110 section 5.6.2)");
        }
        GatewaySettings::new(&raw.header, &raw.subprotocol, raw.accept_provider_slot)
    }

    pub(super) fn strip(&mut self, path: &Path, raw: &Raw) -> Strip {
        let mut headers = Vec::new();
        for (index, name) in raw.gateway.strip_headers.iter().enumerate() {
            self.header_name(&path.index(index), name);
            headers.push(name.to_ascii_lowercase());
        }
        let custom = raw.providers.0.iter().filter_map(|(_, provider)| provider.header.as_ref());
        headers.extend(custom.map(|header| header.name.to_ascii_lowercase()));
        let params = raw.providers.0.iter().filter_map(|(_, provider)| provider.query.as_ref());
        Strip { headers, params: params.map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// The name of a header that has nothing to say but what is put into it.
    pub(super) fn free_header_name(&mut self, path: &Path, name: &str) {
        self.header_name(path, name);
        if READ_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            self.error(path, format!("{name} says something else, and cannot hold the token"));
        }
    }

    pub(super) fn header_name(&mut self, path: &Path, name: &str) {
        if !is_token(name.as_bytes()) {
            self.error(path, "not a header name (RFC 9110 section 5.1)");
        } else if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            self.error(path, format!("{name} carries the message itself, and cannot be used here"));
        }
    }
}
