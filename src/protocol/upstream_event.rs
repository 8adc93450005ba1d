//! What upstreams' events and bodies say: a session's names, or what something has used. Each is read once, as it comes,
//! in pieces of any size.

use std::ops::ControlFlow;

use super::event_type::EventType;
use super::kind::{SessionKind, UpstreamWords};
use super::rest_words;
use super::streamed_message::StreamedMessage;
use super::upstream_field::{Field, Fields, Level};
use super::upstream_value::BodyObject;
use crate::json::matcher::{Bounds, Matcher, OtherCase, Unreadable, Value};
use crate::usage::{Report, Reported, Said, UsageError};

/// A JSON value of an upstream's, as far as it has come: an event of a WebSocket, the data of a server-sent event, or the
/// body of a response.
///
/// It holds a scalar at most and what it has found of names and usage; of a message that does not matter, nothing.
#[derive(Debug)]
pub struct UpstreamMessage {
    words: &'static UpstreamWords,
    matcher: Matcher<Field>,
    found: Found,
    has_begun: bool,
}

/// Whether a message matters, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relevance {
    /// It may: read on.
    Open,
    /// It is text that a response says: read on if that is heard.
    Text,
    /// It is audio that a response says: only how long it is matters.
    Length,
    /// It is an event of a type that does not matter, or no event at all, whatever follows.
    None,
}

/// Longer ids and names of models are not kept.
const MAX_NAME: usize = 256;

const BOUNDS: Bounds = Bounds { depth: 1024, text: MAX_NAME, other_case: OtherCase::Ignored };

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    event_type: Option<EventType>,
    /// The type of an event that is told in it.
    inner_type: Option<EventType>,
    /// Whatever else there is; nothing while nothing was found.
    fields: Option<Box<Fields>>,
    failure: Option<Unreadable>,
}

impl UpstreamMessage {
    /// Nothing has come yet of a session's message.
    pub fn of(kind: SessionKind) -> Self {
        Self::by(&kind.row().upstream)
    }

    /// Nothing has come yet of a REST response, or of the data of an event of one.
    pub fn of_rest() -> Self {
        Self::by(&rest_words::WORDS)
    }

    fn by(words: &'static UpstreamWords) -> Self {
        let matcher = Matcher::new((words.paths)(), BOUNDS);
        Self { words, matcher, found: Found::default(), has_begun: false }
    }

    /// Reads more of an event. Its type is the first `type` of the top-level object, in any order and spelling.
    pub fn feed_event(&mut self, bytes: &[u8]) -> Relevance {
        if !self.found.is_enough() {
            self.read(bytes, true);
        }
        match (self.found.event_type(), &self.found.failure) {
            (Some(EventType::Other), _) => Relevance::None,
            (Some(EventType::AudioDelta), _) => Relevance::Length,
            (Some(EventType::TextDelta), _) => Relevance::Text,
            (None, Some(Unreadable::NotJson { .. } | Unreadable::NotAnObject)) => Relevance::None,
            _ => Relevance::Open,
        }
    }

    /// Reads more of what is no event, or need not be one.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.read(bytes, false);
    }

    fn read(&mut self, bytes: &[u8], is_event: bool) {
        self.has_begun = true;
        let Self { words, matcher, found, .. } = self;
        let read = matcher.feed(bytes, &mut |at| {
            let is_type = matches!(at.tag, Field::Type | Field::InnerType);
            found.set(at.tag, at.value, words);
            if is_event && is_type && found.is_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Err(unreadable) = read {
            found.failure.get_or_insert(unreadable);
        }
    }

    /// Whether it can be read no further.
    pub fn has_failed(&self) -> bool {
        self.found.failure.is_some()
    }

    /// Bytes that are held beside the message itself.
    pub fn held(&self) -> usize {
        self.matcher.held().saturating_add(self.found.fields.as_ref().map_or(0, |fields| fields.held()))
    }

    /// Whether anything of it has come.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Begins another message.
    pub fn reset(&mut self) {
        self.matcher.reset();
        self.found = Found::default();
        self.has_begun = false;
    }

    /// What the whole says, as an event. Another may follow.
    pub fn end_event(&mut self) -> Reported {
        let reported = self.event();
        self.reset();
        reported
    }

    fn event(&mut self) -> Reported {
        let event_type = match (self.found.event_type(), &self.found.failure) {
            (Some(event_type), _) => event_type,
            (None, None) => return self.fields().map_or(Reported::Nothing, |mut fields| fields.turn()),
            (None, Some(Unreadable::NotJson { .. } | Unreadable::NotAnObject)) => EventType::Other,
            (None, Some(_)) => return Reported::Unreadable(UsageError::Malformed),
        };
        match event_type {
            EventType::Other | EventType::MessageStart | EventType::MessageDelta => return Reported::Nothing,
            EventType::ResponseCreated => return Reported::ResponseStarted { model: None },
            EventType::AudioDelta => return Reported::Output(Said::default()),
            _ => {}
        }
        let Ok(mut fields) = self.fields() else {
            return match event_type {
                // What it is a part of is told at its end.
                EventType::TextDelta => Reported::Nothing,
                EventType::ResponseNamed => Reported::ResponseStarted { model: None },
                _ => Reported::Unreadable(UsageError::Malformed),
            };
        };
        match event_type {
            EventType::SessionCreated | EventType::SessionUpdated => {
                fields.session().map_or_else(Reported::Unreadable, Reported::Session)
            }
            EventType::TextDelta => Reported::Output(Said::text(fields.said)),
            EventType::ResponseNamed => Reported::ResponseStarted { model: fields.response_model() },
            EventType::AudioUsed => fields.audio(),
            EventType::InputAudioTranscriptionCompleted | EventType::TranscriptTextDone => fields.transcription(),
            _ => fields.response(),
        }
    }

    /// What the whole says, as the data of a server-sent event: an event, or a chunk of a chat completion. Another may
    /// follow.
    pub fn end_data(&mut self) -> Data {
        let data = match self.found.event_type {
            Some(EventType::MessageStart) => self.message(Level::Message),
            Some(EventType::MessageDelta) => self.message(Level::Top),
            Some(EventType::Other) => self.untyped(false),
            None => self.untyped(true),
            Some(_) => Data::Event(self.event()),
        };
        self.reset();
        data
    }

    /// What tells its usage in an event that is known by nothing else. A chunk of a chat completion has no type; other
    /// events that do, such as the last one of an image, say more than their usage.
    fn untyped(&mut self, is_chunk: bool) -> Data {
        let Ok(mut fields) = self.fields() else { return Data::Event(Reported::Nothing) };
        if let Some(made) = fields.at_top.as_mut().filter(|made| made.usage.is_there()) {
            let is_alone = is_chunk && !fields.has_choices && made.usage.is_object();
            // A transcription's would be known by its type.
            let used = made.usage.response();
            return Data::Usage { report: Box::new(made.report(Ok(used))), is_alone };
        }
        let said = Said::text(fields.said);
        match (fields.has_choices, said == Said::default()) {
            (true, _) => Data::ChatChoices(said),
            (false, true) => Data::Event(Reported::Nothing),
            (false, false) => Data::Event(Reported::Output(said)),
        }
    }

    /// A message of Anthropic's begins, or has gone on: its usage so far.
    fn message(&mut self, level: Level) -> Data {
        let Ok(mut fields) = self.fields() else { return Data::Event(Reported::Nothing) };
        let made = fields.made(level);
        let usage = std::mem::take(&mut made.usage);
        let message = StreamedMessage::new((made.id.take(), made.model.take()), usage, level == Level::Top);
        Data::Message(Box::new(message))
    }

    /// What the whole says, as the body of a REST response; nothing where it carries no usage and need not.
    pub fn into_body(mut self) -> Reported {
        let Ok(mut fields) = self.fields() else { return Reported::Unreadable(UsageError::Malformed) };
        let object = fields.object;
        let made = fields.made(Level::Top);
        let usage = &made.usage;
        let used = match (usage.is_there(), object) {
            (true, _) if usage.is_of_transcription() => usage.transcription(),
            // Embeddings write nothing.
            (true, Some(BodyObject::List)) => Ok(usage.reading()),
            (true, _) => Ok(usage.response()),
            (false, Some(BodyObject::ChatCompletion | BodyObject::Response)) => Ok(made.without_usage()),
            (false, _) => return Reported::Nothing,
        };
        Reported::Usage(Box::new(made.report(used)))
    }

    fn fields(&mut self) -> Result<Box<Fields>, Unreadable> {
        self.matcher.finish()?;
        Ok(self.found.fields.take().unwrap_or_default())
    }
}

/// What the data of a server-sent event says.
#[derive(Debug)]
pub enum Data {
    /// An event, or nothing that matters.
    Event(Reported),
    /// A chunk of a chat completion, without usage: what it says.
    ChatChoices(Said),
    /// Something with the usage so far, such as a chunk of a chat completion.
    Usage {
        /// The usage.
        report: Box<Report>,
        /// Whether it is a chunk that has nothing else.
        is_alone: bool,
    },
    /// A message of Anthropic's has begun or gone on.
    Message(Box<StreamedMessage>),
}

impl Found {
    /// The type of the event, or of the one that is told in it.
    fn event_type(&self) -> Option<EventType> {
        if self.event_type == Some(EventType::Wrapped) { self.inner_type } else { self.event_type }
    }

    /// Whether nothing of an event matters but its type, or how long it is.
    fn is_enough(&self) -> bool {
        matches!(self.event_type(), Some(EventType::Other | EventType::ResponseCreated | EventType::AudioDelta))
    }

    fn set(&mut self, field: Field, value: Value<'_>, words: &UpstreamWords) {
        let type_by = |read: fn(&[u8]) -> EventType| match value {
            Value::Text(name) => read(name.as_bytes()),
            _ => EventType::Other,
        };
        match field {
            Field::Type => self.event_type = Some(type_by(words.event_type)),
            Field::InnerType => self.inner_type = Some(type_by(words.inner_type)),
            _ => self.fields.get_or_insert_default().set(field, value),
        }
    }
}
