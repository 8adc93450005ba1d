//! A WebSocket to which the client's bytes are closed: it hears what happens in a call, and says nothing.
//!
//! What the client sends ends here, whatever it is. Its Close becomes one of the gateway's own. A ping of the upstream's
//! is answered by the gateway too, when the client next sends something, as its own Pong is: upstreams drop connections
//! that do not answer. Pings of the client's are not answered, since nothing could be put between the upstream's frames.

use std::time::SystemTime;

use super::super::action::BodyAction;
use super::super::closing::{Closing, UpstreamSide};
use super::{WebSocketRelay, close};
use crate::usage::ClosedBy;
use crate::ws::{CloseCode, CloseFrame, Event, Interest, ReadBuffer, Sender, pong_frame};

/// What the upstream waits for of a client that says nothing.
#[derive(Default)]
pub(super) struct Watcher {
    /// The payload of its last ping.
    pub(super) ping: Option<Vec<u8>>,
}

impl WebSocketRelay {
    /// Drops what a client sends that only watches. What goes up in its place is the gateway's own.
    pub(super) fn drop_from_client(&mut self, buffer: impl ReadBuffer, now: SystemTime) -> BodyAction {
        if self.client.has_ended() {
            return BodyAction::Replace(0, Vec::new());
        }
        let mut has_closed = false;
        let mut closing = None;
        let mut pass = self.client.pass(buffer);
        while let Some(event) = pass.next(&mut |_| Interest::Skip) {
            match event {
                Event::MessageEnd | Event::Ping(_) => {}
                Event::Close(frame) => {
                    has_closed = true;
                    self.closed.get_or_insert_with(|| close(ClosedBy::Client, frame.as_ref()));
                }
                Event::ProtocolError(error) => {
                    closing = Some(Closing::for_protocol_error(Sender::Client, error, now));
                }
            }
        }
        drop(pass);
        if let Some(closing) = closing {
            self.end(closing);
        }
        match self.closing.as_ref().map(Closing::upstream_side) {
            // Nothing has gone up, so that anything can stand here.
            Some(UpstreamSide::AtBoundary) => self.notify_upstream(Some(0)),
            Some(UpstreamSide::Closed) => BodyAction::Replace(0, Vec::new()),
            Some(UpstreamSide::ByClient) | None if has_closed => {
                BodyAction::Replace(0, CloseFrame::new(CloseCode::NORMAL, "").encode(Some(self.mask)))
            }
            Some(UpstreamSide::ByClient) | None => BodyAction::Replace(0, self.pong()),
        }
    }

    /// The answer to the upstream's last ping.
    fn pong(&mut self) -> Vec<u8> {
        let ping = self.watcher.as_mut().and_then(|watcher| watcher.ping.take());
        ping.map_or_else(Vec::new, |payload| pong_frame(payload, self.mask))
    }
}
