//! Which of an upstream's events matter, and telling so from an event's first bytes.

use crate::json::scan::{Raw, Scan, first_type, unescape};

/// The type of an upstream's event, as far as it matters here.
///
/// It is the first `type` of the top-level object, in any key order and spelling. A later `type` changes nothing, so
/// that the answer does not depend on how much has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// `session.created`: names the session and its model.
    SessionCreated,
    /// `session.updated`, `transcription_session.updated`: names the session and its models.
    SessionUpdated,
    /// `response.created`: a response has begun, asked for by the client or by the upstream's turn detection. A
    /// [`Meter`](crate::usage::Meter) reads nothing but its type, so it needs no collecting.
    ResponseCreated,
    /// `response.done`: a Realtime response has ended, in whatever way.
    ResponseDone,
    /// `response.completed`: a response of the Responses API has ended well.
    ResponseCompleted,
    /// `response.incomplete`: a response of the Responses API has been cut short.
    ResponseIncomplete,
    /// `response.failed`: a response of the Responses API has failed.
    ResponseFailed,
    /// `conversation.item.input_audio_transcription.completed`: a user's audio has been transcribed.
    InputAudioTranscriptionCompleted,
    /// `transcript.text.done`: a streamed transcription over REST has ended.
    TranscriptTextDone,
    /// Anything else, or no event at all.
    Other,
}

impl EventType {
    /// The type of a whole event.
    pub fn of(event: &[u8]) -> Self {
        match first_type(event) {
            Scan::Type(raw) => Self::from_raw(raw),
            Scan::Untyped | Scan::Truncated => Self::Other,
        }
    }

    fn from_raw(raw: Raw<'_>) -> Self {
        if raw.is_escaped {
            return unescape(raw.bytes, LONGEST_NAME).map_or(Self::Other, |name| Self::from_name(name.as_bytes()));
        }
        Self::from_name(raw.bytes)
    }

    fn from_name(name: &[u8]) -> Self {
        match name {
            b"session.created" => Self::SessionCreated,
            b"session.updated" | b"transcription_session.updated" => Self::SessionUpdated,
            b"response.created" => Self::ResponseCreated,
            b"response.done" => Self::ResponseDone,
            b"response.completed" => Self::ResponseCompleted,
            b"response.incomplete" => Self::ResponseIncomplete,
            b"response.failed" => Self::ResponseFailed,
            b"conversation.item.input_audio_transcription.completed" => Self::InputAudioTranscriptionCompleted,
            b"transcript.text.done" => Self::TranscriptTextDone,
            _ => Self::Other,
        }
    }
}

const LONGEST_NAME: usize = "conversation.item.input_audio_transcription.completed".len();

/// What the beginning of an upstream's message says about the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// Nothing in it is wanted, whatever follows: skip it by its length.
    Uninteresting,
    /// It is this event, never [`EventType::Other`]: collect it.
    Interesting(EventType),
    /// These bytes do not tell: read on. A whole message that ends so is no event.
    NeedMore,
}

/// Tells from a message's beginning whether it must be collected. About 128 bytes decide for every event that begins
/// with its type, as those of all known upstreams do; a message with its type elsewhere is [`Peek::NeedMore`] until
/// the type is read, so key order hides nothing.
pub fn peek(prefix: &[u8]) -> Peek {
    match first_type(prefix) {
        Scan::Type(raw) => match EventType::from_raw(raw) {
            EventType::Other => Peek::Uninteresting,
            event_type => Peek::Interesting(event_type),
        },
        Scan::Untyped => Peek::Uninteresting,
        Scan::Truncated => Peek::NeedMore,
    }
}
