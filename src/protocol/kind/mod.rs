//! The kinds of sessions: one table of what is known of each one's protocol. To add a kind is to add a row.
//!
//! | kind | begins at | its model stands in | rows |
//! |---|---|---|---|
//! | conversation, transcription, translation | `…/realtime`, with `?intent=transcription`, `…/realtime/translations` | the query, `session.update` | [`realtime`] |
//! | Responses | `…/responses` | `response.create` | [`responses`] |
//! | OpenAI Live, a fork of it | `…/live/sessions`, `…/live/sessions/{id}/fork` | `session.start` | [`live`] |
//! | Gemini Live | `….BidiGenerateContent` | `setup` | [`gemini_live`] |
//! | any other | any other WebSocket | the query, or wherever one of the others has it | [`other`] |

mod gemini_live;
mod live;
mod other;
mod realtime;
mod responses;
mod row;

use super::event_type::EventType;

pub(super) use row::{ClientWords, Opening, Spelling, UpstreamWords};
pub use row::{Kind, LastEvent, ModelPlace, PresetWay, Question};

/// A kind of session, told by where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// OpenAI Realtime, as Azure and xAI have it too.
    Conversation,
    /// OpenAI Realtime, to transcribe.
    Transcription,
    /// OpenAI Realtime, to translate.
    Translation,
    /// OpenAI's Responses API over WebSocket.
    Responses,
    /// OpenAI Live.
    Live,
    /// OpenAI Live, going on from a session that was stored.
    LiveFork,
    /// Gemini Live.
    GeminiLive,
    /// A WebSocket that is none of these, or is written in a way that only resembles one: it is read as all of them.
    Other,
}

impl SessionKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Conversation,
        Self::Transcription,
        Self::Translation,
        Self::Responses,
        Self::Live,
        Self::LiveFork,
        Self::GeminiLive,
        Self::Other,
    ];

    /// What is known of it.
    pub fn row(self) -> &'static Kind {
        match self {
            Self::Conversation => &realtime::CONVERSATION,
            Self::Transcription => &realtime::TRANSCRIBING,
            Self::Translation => &realtime::TRANSLATION,
            Self::Responses => &responses::ROW,
            Self::Live => &live::ROW,
            Self::LiveFork => &live::FORK,
            Self::GeminiLive => &gemini_live::ROW,
            Self::Other => &other::ROW,
        }
    }

    /// The type of an upstream's event of which these are the first bytes, if it begins with it, spelled plainly.
    pub fn leading(self, first: &[u8]) -> Option<EventType> {
        // Gemini's messages have no types.
        let read = Some(self.row().upstream.event_type).filter(|_| self != Self::GeminiLive)?;
        EventType::leading(first, read)
    }

    /// Whether a message, or the upstream, may name its model where the query does not.
    pub fn is_named_in_messages(self) -> bool {
        self == Self::Other || self.row().model != ModelPlace::Query
    }

    /// Whether a response can be bound up with what is stored at the upstream.
    pub fn has_stored_responses(self) -> bool {
        matches!(self, Self::Responses | Self::Other)
    }

    /// Whether only the client says which model it is of.
    pub fn is_named_by_client(self) -> bool {
        self == Self::GeminiLive
    }

    /// How a client's message begins that appends audio.
    pub fn audio_append(self) -> &'static [u8] {
        self.row().client.audio_append
    }

    /// A model's name, without the folder in which some name it.
    pub fn bare_model(self, name: &str) -> &str {
        let in_folder = || name.strip_prefix("models/").or_else(|| name.rsplit_once("/models/").map(|(_, name)| name));
        if self == Self::GeminiLive { in_folder().unwrap_or(name) } else { name }
    }
}
