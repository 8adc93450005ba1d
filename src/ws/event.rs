//! What following turns up, and what may be asked of it.

use super::close::CloseFrame;
use super::error::ProtocolError;

/// What a data message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Text, by its sender's word.
    Text,
    /// Bytes.
    Binary,
}

/// How a message begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start<'a> {
    /// Text or binary.
    pub kind: MessageKind,
    /// Its first bytes, unmasked: as many as the follower was told to show, or all of a message
    /// that is shorter.
    pub head: &'a [u8],
    /// The message's whole length in bytes, if its last frame has begun.
    pub length: Option<u64>,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Step over the rest of it.
    Skip,
    /// Deliver it whole; if it is over `max` bytes, say so and step over the rest.
    Collect {
        /// The most bytes to hold.
        max: usize,
    },
    /// Deliver it whole; if it is over `max` bytes, that is a [`ProtocolError::TooLong`].
    Require {
        /// The most bytes to hold.
        max: usize,
    },
}

/// A message that was collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Text or binary.
    pub kind: MessageKind,
    /// The unmasked payload of all its frames. Text is not checked to be UTF-8.
    pub payload: Vec<u8>,
}

/// What the bytes turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message that was asked for has ended.
    Message(Message),
    /// A message that was asked for is over [`Interest::Collect`]'s bound. Comes as soon as a
    /// frame's length shows it.
    TooLong,
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
    /// Pings that have ended.
    pub pings: u64,
    /// Pongs that have ended.
    pub pongs: u64,
}
