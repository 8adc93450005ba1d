//! A WebSocket to which the client's bytes are closed: it hears what happens in a call, and says nothing.
//!
//! What the client sends ends here, whatever it is. Its Close becomes one of the gateway's own. A ping of the upstream's
//! is answered by the gateway too, when the client next sends something, as its own Pong is: upstreams drop connections
//! that do not answer. Pings of the client's are not answered, since nothing could be put between the upstream's frames.

use std::time::SystemTime;

use super::super::closing::Closing;
use crate::ws::{CloseFrame, Event, Follower, Interest, ReadBuffer, Sender, pong_frame};

/// What the upstream waits for of a client that says nothing.
#[derive(Default)]
pub(super) struct Watcher {
    /// The payload of its last ping.
    pub(super) ping: Option<Vec<u8>>,
}

/// What matters of what a client has sent that only watches.
pub(super) enum Heard {
    Nothing,
    Close(Option<CloseFrame>),
    Violation(Closing),
}

impl Heard {
    /// Follows what the client sends, of which nothing goes on.
    pub(super) fn of(client: &mut Follower, buffer: impl ReadBuffer, now: SystemTime) -> Self {
        let mut heard = Self::Nothing;
        let mut pass = client.pass(buffer);
        while let Some(event) = pass.next(&mut |_| Interest::Skip) {
            match event {
                Event::MessageEnd | Event::Ping(_) => {}
                Event::Close(frame) => heard = Self::Close(frame),
                Event::ProtocolError(error) => {
                    heard = Self::Violation(Closing::for_protocol_error(Sender::Client, error, now));
                }
            }
        }
        heard
    }
}

impl Watcher {
    /// The answer to the upstream's last ping, if it waits for one.
    pub(super) fn pong(&mut self, mask: [u8; 4]) -> Vec<u8> {
        self.ping.take().map_or_else(Vec::new, |payload| pong_frame(payload, mask))
    }
}
