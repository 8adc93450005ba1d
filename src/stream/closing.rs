//! How a session ends: the error event and the Close of its two sides, and when they are sent.
//!
//! Bytes can be written to a side only in the place of bytes that were on their way to it. (Envoy would take bytes for
//! the client at any time, from a tick too, while a paused response is kept open for them; but then it ends every stream
//! of which one read is over its buffer limit, 32 KiB in hardened configurations.) So both sides hear of it one after the
//! other, each at the first chance:
//!
//! - The upstream gets a Close frame in the place of what the client says next, or of what it may not say. An upstream
//!   answers a Close at once, also when it has nothing to say by itself.
//! - The client gets the error event and a Close frame in the place of what the upstream says next, which is that answer
//!   if nothing else comes first.
//!
//! A frame that breaks RFC 6455 gives way to a Close frame alone, and what came before it, on either side, still passes:
//! both sides then see what they would see without anything in between.

use std::time::{Duration, SystemTime};

use crate::limit::Ending;
use crate::usage::{Close, Limit};
use crate::ws::{CloseCode, CloseFrame, ProtocolError, Sender, masked_text_frame, text_frame};

/// How long a side may take to close after it got its Close frame.
const GRACE: Duration = Duration::from_secs(2);

/// How much earlier than a second after the last one a tick may come: a grace of whole seconds must not take one more for it.
const EARLY: Duration = Duration::from_millis(100);

/// How long the upstream may take to answer a Close before its client gets one without that. More than the time between
/// two ticks, since `now` may be as old as the last.
const UPSTREAM_ANSWER: Duration = Duration::from_millis(1500);

/// How long an operator's stop, or the end of a token, waits for a chance to tell the client: no longer than to the next
/// tick, so that it takes effect within two seconds.
const STOP_GRACE: Duration = Duration::from_millis(900);

/// An ending that was decided, and how far it has come.
#[derive(Debug)]
pub(crate) struct Closing {
    ending: Ending,
    since: SystemTime,
    /// What closes the client's side.
    close: CloseFrame,
    has_event: bool,
    /// What closes the upstream's side.
    upstream_code: CloseCode,
    /// What the upstream gets before it is closed, if something.
    last_words: Option<&'static str>,
    client_side: ClientSide,
    upstream_side: UpstreamSide,
}

/// When the client gets the event and its Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientSide {
    /// At the upstream's next message boundary.
    AtBoundary,
    /// Where the upstream closes: what it says before passes.
    AtClose,
    /// It has got both.
    Closed,
}

/// When the upstream gets its Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpstreamSide {
    /// At the client's next message boundary.
    AtBoundary,
    /// By the client, which got its Close frame at the frame at fault and answers: what it says before that passes.
    ByClient,
    /// It has got it, or is within a frame that goes no further: nothing more passes.
    Closed,
}

impl Closing {
    /// An ending of which neither side knows yet.
    pub(crate) fn new(ending: Ending, now: SystemTime) -> Self {
        let code = CloseCode::new(ending.close_code()).unwrap_or(CloseCode::NORMAL);
        Self {
            since: now,
            close: CloseFrame::new(code, ending.code()),
            // The end of a call is no fault.
            has_event: ending != Ending::CallEnded,
            // The upstream did nothing wrong, and 1000 is what it hears from clients that are done.
            upstream_code: CloseCode::NORMAL,
            last_words: None,
            client_side: ClientSide::AtBoundary,
            upstream_side: UpstreamSide::AtBoundary,
            ending,
        }
    }

    /// The same, with an event that the upstream gets before its Close, if there is one.
    pub(crate) fn after(self, last_words: Option<&'static str>) -> Self {
        Self { last_words, ..self }
    }

    /// The same, of a session in which no event can say why.
    pub(crate) fn without_event(self) -> Self {
        Self { has_event: false, ..self }
    }

    /// The ending that a violation of `sender`'s leads to.
    pub(crate) fn for_protocol_error(sender: Sender, error: ProtocolError, now: SystemTime) -> Self {
        let why = error.to_string();
        let ending = Ending::ProtocolError(why.clone().into());
        let code = error.close_code();
        let (client_side, upstream_side) = match sender {
            Sender::Client => (ClientSide::AtClose, UpstreamSide::AtBoundary),
            Sender::Server => (ClientSide::AtBoundary, UpstreamSide::ByClient),
        };
        Self {
            since: now,
            close: CloseFrame::new(code, &format!("{}: {why}", ending.code())),
            has_event: false,
            upstream_code: code,
            last_words: None,
            client_side,
            upstream_side,
            ending,
        }
    }

    /// When the client gets the event and its Close frame.
    pub(crate) fn client_side(&self) -> ClientSide {
        self.client_side
    }

    /// When the upstream gets its Close frame.
    pub(crate) fn upstream_side(&self) -> UpstreamSide {
        self.upstream_side
    }

    /// Whether what ended it makes its record incomplete.
    pub(crate) fn is_protocol_error(&self) -> bool {
        matches!(self.ending, Ending::ProtocolError(_))
    }

    /// How the session's record says that it ended.
    pub(crate) fn close(&self) -> Close {
        Close { code: self.close.code().value(), ..self.ending.close() }
    }

    /// The upstream answered the handshake only now: from here on there is somebody to tell.
    pub(crate) fn restart(&mut self, now: SystemTime) {
        self.since = now;
    }

    /// What the client gets at a message boundary.
    pub(crate) fn notify_client(&mut self, event_id: &str, now: SystemTime) -> Vec<u8> {
        let event = self.has_event.then(|| self.ending.event(event_id));
        let mut bytes = event.map(|event| text_frame(&String::from_utf8_lossy(&event))).unwrap_or_default();
        bytes.extend(self.close_client(now));
        bytes
    }

    /// What the client gets at the start of a frame, within a message: a Close may stand there, and an event may not.
    pub(crate) fn close_client(&mut self, now: SystemTime) -> Vec<u8> {
        (self.client_side, self.since) = (ClientSide::Closed, now);
        self.close.encode(None)
    }

    /// The client is within a frame that goes no further: it can get nothing, and will not answer.
    pub(crate) fn give_up_on_client(&mut self) {
        self.client_side = ClientSide::Closed;
        if self.upstream_side == UpstreamSide::ByClient {
            self.upstream_side = UpstreamSide::AtBoundary;
        }
    }

    /// What the upstream gets at the start of a frame, as from its client.
    pub(crate) fn close_upstream(&mut self, mask: [u8; 4]) -> Vec<u8> {
        self.upstream_side = UpstreamSide::Closed;
        let event = self.last_words.map(|event| masked_text_frame(event, mask));
        let mut bytes = event.unwrap_or_default();
        bytes.extend(CloseFrame::new(self.upstream_code, "").encode(Some(mask)));
        bytes
    }

    /// The upstream is within a frame that goes no further: it can get nothing, and will not answer.
    pub(crate) fn give_up_on_upstream(&mut self) {
        self.upstream_side = UpstreamSide::Closed;
        self.expect_no_answer();
    }

    /// Time passed. Says whether the connection is to be cut now.
    pub(crate) fn tick(&mut self, now: SystemTime) -> bool {
        let waited = now.duration_since(self.since).unwrap_or_default();
        if self.client_side == ClientSide::AtClose {
            if waited >= UPSTREAM_ANSWER {
                self.expect_no_answer();
                self.since = now;
            }
            return false;
        }
        let patience = match (&self.ending, self.client_side) {
            (Ending::Limit(Limit::SessionIdle), _) => Duration::ZERO,
            (Ending::Stopped | Ending::TokenRevoked, ClientSide::AtBoundary) => STOP_GRACE,
            _ => GRACE.saturating_sub(EARLY),
        };
        waited >= patience
    }

    fn expect_no_answer(&mut self) {
        if self.client_side == ClientSide::AtClose {
            self.client_side = ClientSide::AtBoundary;
        }
    }
}
