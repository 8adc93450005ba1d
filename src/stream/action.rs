//! What a host is to do with a request, a response or bytes of a body.

use std::borrow::Cow;

use crate::denial::Denial;
use crate::host::HeaderMap;
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

/// What a host can do with a stream in one of its callbacks.
pub trait StreamControl {
    /// Why it could not.
    type Error;

    /// Makes these edits of header lines.
    ///
    /// # Errors
    ///
    /// If one of them cannot be made.
    fn edit(&self, map: HeaderMap, edits: &Edits) -> Result<(), Self::Error>;

    /// Puts bytes in the place of what came of the body, from an offset on.
    ///
    /// # Errors
    ///
    /// If the body cannot be changed.
    fn replace_body(&self, from: usize, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Answers the stream.
    ///
    /// # Errors
    ///
    /// If it cannot be answered.
    fn reply(&self, reply: &DetailedReply) -> Result<(), Self::Error>;

    /// Resets the stream.
    ///
    /// # Errors
    ///
    /// If it cannot be reset.
    fn reset(&self) -> Result<(), Self::Error>;
}

/// Whether what came goes on to the other side, once an action was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// It waits for more.
    Wait,
    /// It never will: the stream was answered or reset.
    Over,
}

impl RequestAction {
    /// Has a host do it, in its order.
    ///
    /// # Errors
    ///
    /// That of the first thing which cannot be done; nothing of the stream may go on then.
    pub fn apply<C: StreamControl>(self, stream: &C) -> Result<Flow, C::Error> {
        let headers = HeaderMap::Request;
        match self {
            Self::Pass => {}
            Self::Hold => return Ok(Flow::Wait),
            Self::Forward(edits, None) => stream.edit(headers, &edits)?,
            Self::Forward(edits, Some(bytes)) => {
                stream.edit(headers, &edits)?;
                stream.replace_body(0, &bytes)?;
            }
            Self::Replace(from, bytes) => stream.replace_body(from, &bytes)?,
            Self::Reply(reply, edits) => {
                stream.edit(headers, &edits)?;
                return stream.reply(&reply).map(|()| Flow::Over);
            }
            Self::Reset => return stream.reset().map(|()| Flow::Over),
        }
        Ok(Flow::Continue)
    }
}

impl ResponseAction {
    /// Has a host do it, in its order.
    ///
    /// # Errors
    ///
    /// That of the first thing which cannot be done; nothing of the stream may go on then.
    pub fn apply<C: StreamControl>(self, stream: &C) -> Result<Flow, C::Error> {
        let headers = HeaderMap::Response;
        match self {
            Self::Pass => {}
            Self::Hold => return Ok(Flow::Wait),
            Self::Withhold => return stream.replace_body(0, &[]).map(|()| Flow::Wait),
            Self::Edit(edits) => stream.edit(headers, &edits)?,
            Self::Release(edits, bytes) => {
                stream.edit(headers, &edits)?;
                stream.replace_body(0, &bytes)?;
            }
            Self::Replace(from, bytes) => stream.replace_body(from, &bytes)?,
            Self::Reply(reply) => return stream.reply(&reply).map(|()| Flow::Over),
        }
        Ok(Flow::Continue)
    }
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
