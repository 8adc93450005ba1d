//! What a host is to do with a request, a response or bytes of a body.

use std::borrow::Cow;

use crate::denial::Denial;
use crate::http::Edits;
use crate::local_reply::LocalReply;

/// What becomes of a request.
pub enum RequestAction {
    /// What came goes on as it is.
    Pass,
    /// It waits until its body is complete.
    Hold,
    /// It goes on, edited; a body given here replaces the one that was waited for.
    Forward(Edits, Option<Vec<u8>>),
    /// From this offset on, these bytes take the place of those that came.
    Replace(usize, Vec<u8>),
    /// It is answered here, after these edits, which keep credentials out of access logs.
    Reply(Box<DetailedReply>, Edits),
    /// It is reset: nothing of it goes on.
    Reset,
}

/// What becomes of a response.
pub enum ResponseAction {
    /// What came goes on as it is.
    Pass,
    /// It waits until its body is complete.
    Hold,
    /// It waits, and the bytes that came are taken out of Envoy's hands.
    Withhold,
    /// Its headers go on, edited.
    Edit(Edits),
    /// It goes on, edited, with this body for the one that was waited for.
    Release(Edits, Vec<u8>),
    /// From this offset on, these bytes take the place of those that came.
    Replace(usize, Vec<u8>),
    /// It is replaced.
    Reply(Box<DetailedReply>),
}

/// What becomes of bytes that are relayed, of either direction.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyAction {
    /// They go on as they are.
    Pass,
    /// From this offset on, these take their place.
    Replace(usize, Vec<u8>),
}

/// What is answered here, and why.
pub struct DetailedReply {
    /// The response.
    pub reply: LocalReply,
    /// What Envoy's `%RESPONSE_CODE_DETAILS%` shows.
    pub details: Cow<'static, str>,
}

impl From<BodyAction> for RequestAction {
    fn from(action: BodyAction) -> Self {
        match action {
            BodyAction::Pass => Self::Pass,
            BodyAction::Replace(from, bytes) => Self::Replace(from, bytes),
        }
    }
}

impl From<BodyAction> for ResponseAction {
    fn from(action: BodyAction) -> Self {
        match action {
            BodyAction::Pass => Self::Pass,
            BodyAction::Replace(from, bytes) => Self::Replace(from, bytes),
        }
    }
}

impl From<&Denial> for DetailedReply {
    fn from(denial: &Denial) -> Self {
        Self { reply: denial.local_reply(), details: denial.code.details().into() }
    }
}
