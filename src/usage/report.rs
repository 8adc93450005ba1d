//! What an upstream reports: a session's names, or what something has used, or why that cannot be counted.

use std::fmt;

use super::estimate::{AudioFormats, Said};
use super::tally::{Audio, Tally, Tokens, Transcription};

/// Why an event or its usage is not counted. Fields are named in the words of the Realtime dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageError {
    /// No JSON, another kind of value where an object must be, or a key that matters stands twice.
    Malformed,
    /// This field is needed and not there.
    Missing(&'static str),
    /// This field is not a whole number (for seconds: not a number).
    NotANumber(&'static str),
    /// This field is negative.
    Negative(&'static str),
    /// This field is over 2^53.
    TooLarge(&'static str),
    /// The parts of this field are together more than it says.
    Exceeded(&'static str),
    /// This field says more than its parts are together.
    Short(&'static str),
}

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => formatter.write_str("expected a JSON object with each key once"),
            Self::Missing(field) => write!(formatter, "{field} is missing"),
            Self::NotANumber(field) => write!(formatter, "{field} is not a whole number"),
            Self::Negative(field) => write!(formatter, "{field} is negative"),
            Self::TooLarge(field) => write!(formatter, "{field} is over 2^53"),
            Self::Exceeded(field) => write!(formatter, "the parts of {field} exceed it"),
            Self::Short(field) => write!(formatter, "the parts of {field} fall short of it"),
        }
    }
}

impl std::error::Error for UsageError {}

/// What a message of an upstream's says.
#[derive(Debug)]
pub enum Reported {
    /// Nothing that matters.
    Nothing,
    /// A response has begun, of this model if that is told.
    ResponseStarted {
        /// The model.
        model: Option<String>,
    },
    /// A response goes on, and said this.
    Output(Said),
    /// What a session is called.
    Session(SessionNames),
    /// What something has used, or why that is not known.
    Usage(Box<Report>),
    /// How long the audio of the session is that has been used so far.
    Audio {
        /// From the session's beginning.
        milliseconds: u64,
    },
    /// A part of a turn, to be put together with others.
    Turn(Box<TurnPart>),
    /// It matters and cannot be read.
    Unreadable(UsageError),
}

/// What one response or transcription has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedUsage {
    /// A response, a completion, embeddings.
    Response(Tokens),
    /// Responses that were not told, by estimate; so many of them count as responses.
    Unreported(Tokens, u32),
    /// A transcription that is told in tokens.
    Transcription(Tokens),
    /// A transcription that is told as a duration.
    TranscriptionDuration {
        /// How long what was transcribed is.
        milliseconds: u64,
    },
    /// More audio of a session that is priced by its duration.
    Audio {
        /// How much longer it is.
        milliseconds: u64,
    },
}

impl ReportedUsage {
    /// This alone, as counters.
    #[must_use]
    pub fn tally(&self) -> Tally {
        match self {
            Self::Response(tokens) => Tally::response(*tokens),
            Self::Unreported(tokens, responses) => Tally { responses: (*responses).into(), ..Tally::response(*tokens) },
            Self::Transcription(tokens) => {
                let tokens = tokens.input.tokens().saturating_add(tokens.output.tokens());
                Tally::transcription(Transcription { tokens, milliseconds: 0 })
            }
            Self::TranscriptionDuration { milliseconds } => {
                Tally::transcription(Transcription { tokens: 0, milliseconds: *milliseconds })
            }
            Self::Audio { milliseconds } => Tally::audio(Audio { milliseconds: *milliseconds }),
        }
    }
}

/// What a session says about itself.
#[derive(Debug)]
pub struct SessionNames {
    /// The upstream's id of it.
    pub id: Option<String>,
    /// The model that responds.
    pub model: Option<String>,
    /// The model that works for it, of Live.
    pub delegate_model: Option<String>,
    /// The model that transcribes the user's audio.
    pub transcription_model: Option<String>,
    /// The formats of its audio.
    pub formats: AudioFormats,
}

/// What one response or transcription has used, not yet counted.
#[derive(Debug)]
pub struct Report {
    /// The id by which it counts once: of the response or item, or else of the event.
    pub id: Option<(IdKind, String)>,
    /// The model that the upstream names beside it.
    pub model: Option<String>,
    /// What was used, or why that cannot be counted.
    pub used: Result<ReportedUsage, UsageError>,
    /// Why what was used may not be all: numbers that do not add up, or are not there.
    pub flaw: Option<UsageError>,
}

impl Report {
    /// A report by this id and model of what was used, and why that may not be all; or why it cannot be counted.
    pub(crate) fn new(
        id: Option<(IdKind, String)>,
        model: Option<String>,
        used: Result<(ReportedUsage, Option<UsageError>), UsageError>,
    ) -> Self {
        let flaw = used.as_ref().ok().and_then(|(_, flaw)| *flaw);
        Self { id, model, used: used.map(|(used, _)| used), flaw }
    }

    /// Responses that were not told, by estimate; so many of them count as responses.
    pub(crate) fn unreported(tokens: Tokens, responses: u32) -> Self {
        Self::new(None, None, Ok((ReportedUsage::Unreported(tokens, responses), None)))
    }

    /// So much more audio of a session.
    pub(crate) fn audio(milliseconds: u64) -> Self {
        Self::new(None, None, Ok((ReportedUsage::Audio { milliseconds }, None)))
    }

    /// A response of which nothing was told.
    pub(crate) fn without_usage() -> Self {
        let nothing = ReportedUsage::Response(Tokens::default());
        Self::new(None, None, Ok((nothing, Some(UsageError::Missing("usage")))))
    }
}

/// What one message says of a turn.
#[derive(Debug)]
pub struct TurnPart {
    /// The model says or does something.
    pub has_content: bool,
    /// What it says.
    pub said: Said,
    /// What the turn has used so far.
    pub usage: Option<Report>,
    /// The turn is complete.
    pub is_last: bool,
}

impl TurnPart {
    /// Whether it says nothing of any turn.
    pub fn says_nothing(&self) -> bool {
        !self.has_content && self.usage.is_none() && !self.is_last
    }
}

/// What an id is of.
#[derive(Debug, Hash)]
pub enum IdKind {
    /// A response, a completion.
    Response,
    /// A part of an item of a conversation.
    Item,
    /// An event.
    Event,
}
