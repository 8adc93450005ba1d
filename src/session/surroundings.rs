//! What a session asks of the world around it, and what it tells that to do.

use std::cell::RefCell;
use std::time::SystemTime;

use crate::answer::Answer;
use crate::control::Process;
use crate::denial::Denial;
use crate::http::Edits;

/// What a session asks of the world around it, each only when needed.
pub trait Surroundings {
    /// The value of the route's metadata `realtime_byok.policy`, if it has that.
    fn route_policy(&self) -> Option<Vec<u8>>;
    /// The route's name, which may be empty.
    fn route_name(&self) -> Vec<u8>;
    /// The time.
    fn now(&self) -> SystemTime;
    /// Random bytes, fit for keys and nonces.
    fn random<const N: usize>(&self) -> Option<[u8; N]>;
    /// Whether the client speaks HTTP/1.
    fn is_http1(&self) -> bool;
    /// All sessions of the process.
    fn process(&self) -> &RefCell<Process>;
}

/// What a session asks of a response, each only when needed.
pub trait Response {
    /// `:status`.
    fn status(&self) -> Option<u16>;
    /// Whether the upstream sent it, rather than Envoy or one of its filters.
    fn is_from_upstream(&self) -> bool;
    /// All lines of `sec-websocket-protocol`, joined by commas; empty if there are none.
    fn subprotocols(&self) -> Vec<u8>;
    /// `content-type`; empty if there is none.
    fn content_type(&self) -> Vec<u8>;
    /// `content-encoding`; empty if there is none.
    fn content_encoding(&self) -> Vec<u8>;
    /// `location`.
    fn location(&self) -> Option<Vec<u8>>;
}

/// What a session asks of a stream that is over.
pub trait Exchanged {
    /// Envoy's cluster that the request went to.
    fn cluster(&self) -> Option<Vec<u8>>;
    /// The request's `:authority` as the upstream saw it.
    fn authority(&self) -> Option<Vec<u8>>;
    /// The request's `:path` as the upstream saw it.
    fn path(&self) -> Option<Vec<u8>>;
}

/// What becomes of a request.
pub enum RequestStep {
    /// It goes on as it is.
    Pass,
    /// It waits until its body is complete.
    Hold,
    /// It goes on, edited; a body given here replaces the one that was waited for.
    Forward(Edits, Option<Vec<u8>>),
    /// It is answered here, after these edits, which keep credentials out of access logs.
    Answer(Answered, Edits),
    /// It is refused here, after these edits, which keep credentials out of access logs.
    Refuse(Denial, Edits),
}

/// What is answered here, and why.
pub struct Answered {
    /// The response.
    pub answer: Answer,
    /// What Envoy's `%RESPONSE_CODE_DETAILS%` shows.
    pub details: &'static str,
}

/// What becomes of a response.
pub enum ResponseStep {
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
    Refuse(Denial),
}
