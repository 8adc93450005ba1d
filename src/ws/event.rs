//! What following turns up, and what may be asked of it.

use super::close::CloseFrame;
use super::error::ProtocolError;

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Step over the rest of it, and do not tell when it ends.
    Skip,
    /// Hand over more of it as it passes, and tell when it ends.
    Stream,
    /// Step over the rest of it, and tell when it ends.
    Measure,
    /// As `Stream`, and nothing of it goes on before something else is answered, if the follower withholds messages.
    Withhold,
}

/// What the bytes turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message whose pieces were asked for has ended. One without a payload has no pieces.
    MessageEnd,
    /// A ping with this payload, where a follower is asked for pings.
    Ping(Vec<u8>),
    /// The sender closed, with a code and a reason if it gave any. Nothing after it is followed.
    Close(Option<CloseFrame>),
    /// The bytes cannot be followed any further, and are not.
    ProtocolError(ProtocolError),
}

/// What has passed, up to where following ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of frames: whole headers, and what has passed of payloads.
    pub bytes: u64,
    /// Frames that have begun.
    pub frames: u64,
    /// Data messages that have ended.
    pub messages: u64,
    /// Bytes of data messages' payloads that have passed, those of one under way among them.
    pub data: u64,
    /// Pings that have ended.
    pub pings: u64,
    /// Pongs that have ended.
    pub pongs: u64,
}

impl Counts {
    /// How much of messages has passed: a number that goes up with each of them, and while one is under way.
    #[must_use]
    pub fn of_messages(&self) -> u64 {
        self.data.saturating_add(self.messages)
    }
}
