//! The head of an upstream's response, read as far as it matters.

use std::borrow::Cow;

use crate::host::{Attribute, HeaderMap, StreamHost};
use crate::http::Headers;

/// A response's header lines.
pub(crate) struct UpstreamResponse<'a> {
    host: &'a dyn StreamHost,
    /// All lines.
    pub lines: Headers,
}

impl<'a> UpstreamResponse<'a> {
    /// Reads them.
    pub(crate) fn read(host: &'a dyn StreamHost) -> Self {
        Self { host, lines: host.headers(HeaderMap::Response) }
    }

    /// `:status`.
    pub(crate) fn status(&self) -> Option<u16> {
        // RFC 9110 section 15: a status code is a three-digit integer.
        let digits = <[u8; 3]>::try_from(self.lines.first(b":status")?).ok()?;
        let is_number = digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit & 0xf)))
    }

    /// Whether there is a line of this name.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.lines.first(name).is_some()
    }

    /// Whether the upstream sent it, rather than Envoy or one of its filters.
    pub(crate) fn is_from_upstream(&self) -> bool {
        self.host.attribute(Attribute::ResponseCodeDetails).is_some_and(|details| details == b"via_upstream")
    }

    /// All lines of `sec-websocket-protocol`, joined by commas; empty if there are none.
    pub(crate) fn subprotocols(&self) -> Cow<'_, [u8]> {
        self.joined(b"sec-websocket-protocol")
    }

    /// `content-type`; empty if there is none.
    pub(crate) fn content_type(&self) -> &[u8] {
        self.lines.first(b"content-type").unwrap_or_default()
    }

    /// All lines of `content-encoding`, joined by commas; empty if there are none.
    pub(crate) fn content_encoding(&self) -> Cow<'_, [u8]> {
        self.joined(b"content-encoding")
    }

    /// `location`.
    pub(crate) fn location(&self) -> Option<&[u8]> {
        self.lines.first(b"location")
    }

    fn joined<'b>(&'b self, name: &'b [u8]) -> Cow<'b, [u8]> {
        let mut lines = self.lines.all(name);
        match (lines.next(), lines.next()) {
            (None, _) => Cow::Borrowed(&[]),
            (Some(line), None) => Cow::Borrowed(line),
            _ => Cow::Owned(self.lines.all(name).collect::<Vec<_>>().join(b",".as_slice())),
        }
    }
}
