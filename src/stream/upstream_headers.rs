//! The head of an upstream's response, read as far as it matters.

use crate::host::{Attribute, HeaderMap, StreamHost};

/// A response's headers, each read only when needed.
pub(crate) struct UpstreamResponse<'a>(pub &'a dyn StreamHost);

impl UpstreamResponse<'_> {
    /// `:status`.
    pub(crate) fn status(&self) -> Option<u16> {
        str::from_utf8(&self.0.header(HeaderMap::Response, ":status")?).ok()?.parse().ok()
    }

    /// Whether the upstream sent it, rather than Envoy or one of its filters.
    pub(crate) fn is_from_upstream(&self) -> bool {
        self.0.attribute(Attribute::ResponseCodeDetails).is_some_and(|details| details == b"via_upstream")
    }

    /// All lines of `sec-websocket-protocol`, joined by commas; empty if there are none.
    pub(crate) fn subprotocols(&self) -> Vec<u8> {
        self.0.attribute(Attribute::ResponseHeader("sec-websocket-protocol")).unwrap_or_default()
    }

    /// `content-type`; empty if there is none.
    pub(crate) fn content_type(&self) -> Vec<u8> {
        self.0.header(HeaderMap::Response, "content-type").unwrap_or_default()
    }

    /// All lines of `content-encoding`, joined by commas; empty if there are none.
    pub(crate) fn content_encoding(&self) -> Vec<u8> {
        self.0.attribute(Attribute::ResponseHeader("content-encoding")).unwrap_or_default()
    }

    /// `location`.
    pub(crate) fn location(&self) -> Option<Vec<u8>> {
        self.0.header(HeaderMap::Response, "location")
    }
}
