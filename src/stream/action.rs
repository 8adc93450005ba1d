//! What a host is to do with a request, a response or bytes of a body.

use crate::denial::Denial;
use crate::http::Edits;
use crate::local_reply::LocalReply;

/// What becomes of a request.
pub enum RequestAction {
    /// It goes on as it is.
    Pass,
    /// It waits until its body is complete.
    Hold,
    /// It goes on, edited; a body given here replaces the one that was waited for.
    Forward(Edits, Option<Vec<u8>>),
    /// It is answered here, after these edits, which keep credentials out of access logs.
    Reply(DetailedReply, Edits),
    /// It is refused here, after these edits, which keep credentials out of access logs.
    Deny(Denial, Edits),
}

/// What is answered here, and why.
pub struct DetailedReply {
    /// The response.
    pub reply: LocalReply,
    /// What Envoy's `%RESPONSE_CODE_DETAILS%` shows.
    pub details: &'static str,
}

/// What becomes of a response.
pub enum ResponseAction {
    /// It goes on as it is.
    Pass,
    /// It waits until its body is complete.
    Hold,
    /// Its headers go on, edited.
    Edit(Edits),
    /// Its headers go on, edited, and its session is open from now on.
    Open(Edits),
    /// It goes on, edited, with this body for the one that was waited for.
    Release(Edits, Vec<u8>),
    /// It is replaced.
    Deny(Denial),
}

/// What becomes of bytes on their way.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyAction {
    /// They go on as they are.
    Pass,
    /// From this offset on, these take their place.
    Replace(usize, Vec<u8>),
}
