//! What of an upstream's message matters, and what was found of it.

use super::turn::{TurnField, TurnFields};
use super::upstream_value::{BodyObject, Direction, Shape, Transcription, length, named, shape, text};
use super::usage::{UsageField, UsageFields};
use crate::json::matcher::Value;
use crate::usage::{
    AudioFormat, AudioFormats, IdKind, Report, Reported, ReportedUsage, SessionNames, Tokens, UsageError,
};

/// What stands at a path of an upstream's message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Type,
    /// The type of an event that is told in another one.
    InnerType,
    EventId,
    ItemId,
    ContentIndex,
    /// `session`
    Session,
    SessionId,
    SessionModel,
    /// The model that works for a session of Live.
    DelegateModel,
    /// The transcription of a session, in the present place and in the former one.
    Transcription,
    TranscriptionModel,
    FormerTranscription,
    FormerTranscriptionModel,
    /// What a response says, of which only the length matters.
    Said,
    /// The format of a session's audio, which says its type and rate, or is a name.
    AudioFormat(Direction),
    AudioRate(Direction),
    /// `response`
    Response,
    /// Of `response` or `message`, or at the top.
    Id(Level),
    Status(Level),
    Model(Level),
    Usage(Level, UsageField),
    Object,
    Choices,
    /// Of a message of Gemini's.
    Turn(TurnField),
}

/// Where what is made stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// In an event's `response`.
    Response,
    /// In an event's `message`: Anthropic's.
    Message,
    /// It is the whole, or the event is its usage.
    Top,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Fields {
    event_id: Option<String>,
    item_id: Option<String>,
    content_index: Option<String>,
    session: Option<Shape>,
    session_id: Option<String>,
    session_model: Option<String>,
    delegate_model: Option<String>,
    transcription: Transcription,
    former_transcription: Transcription,
    formats: AudioFormats,
    /// How many bytes a response says.
    pub(super) said: u64,
    response: Option<Shape>,
    pub(super) object: Option<BodyObject>,
    pub(super) has_choices: bool,
    in_response: Option<Box<Made>>,
    in_message: Option<Box<Made>>,
    pub(super) at_top: Option<Box<Made>>,
    turn: Option<Box<TurnFields>>,
}

/// What an upstream has made: a response, a completion, embeddings.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    /// It ended before it was complete.
    is_incomplete: bool,
    pub(super) usage: UsageFields,
}

impl Fields {
    /// Whatever the kind of message, but for Gemini's.
    const MOST: usize = size_of::<Self>() + 3 * size_of::<Made>();

    /// Bytes of it and of what it may hold, names aside.
    pub(super) fn held(&self) -> usize {
        Self::MOST + self.turn.as_ref().map_or(0, |_| size_of::<TurnFields>())
    }

    /// Takes what stands at a path.
    pub(super) fn set(&mut self, field: Field, value: Value<'_>) {
        match field {
            Field::Type | Field::InnerType => {}
            Field::EventId => self.event_id = text(value),
            Field::ItemId => self.item_id = text(value),
            Field::ContentIndex => {
                self.content_index = match value {
                    Value::Number(index) | Value::Text(index) => Some(index.to_owned()),
                    _ => None,
                }
            }
            Field::Session => self.session = shape(value),
            Field::SessionId => self.session_id = text(value),
            Field::SessionModel => self.session_model = text(value),
            Field::DelegateModel => self.delegate_model = text(value).or(self.delegate_model.take()),
            Field::Transcription => self.transcription.set(value),
            Field::TranscriptionModel => self.transcription.model = text(value),
            Field::FormerTranscription => self.former_transcription.set(value),
            Field::FormerTranscriptionModel => self.former_transcription.model = text(value),
            Field::Said => self.said = self.said.saturating_add(length(value)),
            Field::AudioFormat(direction) => {
                if let Value::Text(name) = value {
                    self.format(direction).get_or_insert(AudioFormat::named(name));
                }
            }
            Field::AudioRate(direction) => {
                if let Value::Number(rate) = value
                    && let Ok(rate) = rate.parse()
                {
                    *self.format(direction) = Some(AudioFormat::pcm16_at(rate));
                }
            }
            Field::Response => self.response = shape(value),
            Field::Id(level) => self.made(level).id = text(value).filter(|id| !id.is_empty()),
            Field::Status(level) => {
                self.made(level).is_incomplete = matches!(value, Value::Text("cancelled" | "failed" | "incomplete"));
            }
            Field::Model(level) => self.made(level).model = text(value),
            Field::Usage(level, usage) => self.made(level).usage.set(usage, value),
            Field::Object => {
                self.object = Some(BodyObject::of(value));
            }
            Field::Choices => {
                self.has_choices = !matches!(value, Value::Null | Value::Array { is_empty: true });
            }
            Field::Turn(field) => self.turn.get_or_insert_default().set(field, value),
        }
    }

    fn format(&mut self, direction: Direction) -> &mut Option<AudioFormat> {
        match direction {
            Direction::Input => &mut self.formats.input,
            Direction::Output => &mut self.formats.output,
        }
    }

    /// What is made there.
    pub(super) fn made(&mut self, level: Level) -> &mut Made {
        let made = match level {
            Level::Response => &mut self.in_response,
            Level::Message => &mut self.in_message,
            Level::Top => &mut self.at_top,
        };
        made.get_or_insert_default()
    }

    /// As `session.created` and `session.updated`, of the present and of the former shape, and as Live's.
    pub(super) fn session(&mut self) -> Result<SessionNames, UsageError> {
        match self.session {
            None => return Err(UsageError::Missing("session")),
            Some(Shape::Other) => return Err(UsageError::Malformed),
            Some(Shape::Object) => {}
        }
        let is_present = self.transcription.is_there;
        let transcription = if is_present { &mut self.transcription } else { &mut self.former_transcription };
        if transcription.is_malformed {
            return Err(UsageError::Malformed);
        }
        let transcription_model = transcription.model.take();
        let (id, model) = (self.session_id.take(), self.session_model.take());
        let delegate_model = self.delegate_model.take();
        Ok(SessionNames { id, model, delegate_model, transcription_model, formats: self.formats })
    }

    /// As an event that begins a response.
    pub(super) fn response_model(&mut self) -> Option<String> {
        self.in_response.as_mut()?.model.take()
    }

    /// As an event that ends a response.
    pub(super) fn response(&mut self) -> Reported {
        match self.response {
            None => return Reported::Unreadable(UsageError::Missing("response")),
            Some(Shape::Other) => return Reported::Unreadable(UsageError::Malformed),
            Some(Shape::Object) => {}
        }
        let made = self.made(Level::Response);
        let used = if made.usage.is_there() { made.usage.response() } else { made.without_usage() };
        let mut report = made.report(Ok(used));
        report.id = report.id.or_else(|| named(IdKind::Event, self.event_id.take()));
        Reported::Usage(Box::new(report))
    }

    /// As an event that ends a transcription.
    pub(super) fn transcription(&mut self) -> Reported {
        let index = self.content_index.as_deref().unwrap_or("0");
        let item = named(IdKind::Item, self.item_id.take()).map(|(kind, id)| (kind, format!("{id}#{index}")));
        let usage = &self.made(Level::Top).usage;
        let used = if usage.is_there() { usage.transcription() } else { Err(UsageError::Missing("usage")) };
        let id = item.or_else(|| named(IdKind::Event, self.event_id.take()));
        Reported::Usage(Box::new(Report::new(id, None, used)))
    }

    /// As an event that says how long the audio of a session is that has been used so far.
    pub(super) fn audio(&mut self) -> Reported {
        match self.made(Level::Top).usage.audio() {
            Ok(milliseconds) => Reported::Audio { milliseconds },
            Err(error) => Reported::Unreadable(error),
        }
    }

    /// As a message of Gemini's.
    pub(super) fn turn(&mut self) -> Reported {
        self.turn.take().map_or(Reported::Nothing, |turn| turn.reported())
    }
}

impl Made {
    /// A response that did not complete may lack its usage. With or without, it is a response.
    pub(super) fn without_usage(&self) -> (ReportedUsage, Option<UsageError>) {
        let flaw = (!self.is_incomplete).then_some(UsageError::Missing("usage"));
        (ReportedUsage::Response(Tokens::default()), flaw)
    }

    /// What it has used, by its own names.
    pub(super) fn report(&mut self, used: Result<(ReportedUsage, Option<UsageError>), UsageError>) -> Report {
        Report::new(named(IdKind::Response, self.id.take()), self.model.take(), used)
    }
}
