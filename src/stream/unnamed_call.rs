//! A call of Live that the upstream began, whose response's body names it: gathered until it does.

use super::forward::Forwarded;
use crate::denial::Subject;
use crate::http::decoded;

/// The longest body that is read, in bytes.
const MAX_RESPONSE: usize = 1 << 20;

/// Such a call, and the body as far as it has come.
pub(crate) struct UnnamedCall {
    sent: Box<Forwarded>,
    content_encoding: Vec<u8>,
    /// At most [`MAX_RESPONSE`] bytes.
    body: Vec<u8>,
}

impl UnnamedCall {
    /// A call of whose response no body has come yet.
    pub(crate) fn new(sent: Box<Forwarded>, content_encoding: Vec<u8>) -> Self {
        Self { sent, content_encoding, body: Vec::new() }
    }

    /// Who asked for it, and what it was to be.
    pub(crate) fn subject(&self) -> Subject {
        self.sent.subject()
    }

    /// Adds more of the body; false if that would make it too long, or more than the worker's memory account has.
    pub(crate) fn gather(&mut self, chunk: &[u8]) -> bool {
        let length = self.body.len().saturating_add(chunk.len());
        let held = Forwarded::size(&self.sent.admission, length);
        let fits = length <= MAX_RESPONSE && self.sent.reservation.hold(held).is_ok();
        if fits {
            self.body.extend_from_slice(chunk);
        }
        fits
    }

    /// The request that began it, and the whole body, if that can be decoded.
    pub(crate) fn complete(self) -> (Box<Forwarded>, Option<Vec<u8>>) {
        let body = decoded(Some(&self.content_encoding), &self.body, MAX_RESPONSE).ok();
        (self.sent, body.map(|body| body.into_owned()))
    }
}
