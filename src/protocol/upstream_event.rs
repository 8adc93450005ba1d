//! What upstreams' events and bodies say: a session's names, or what something has used. Each is read once, as it comes,
//! in pieces of any size.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use super::event_type::EventType;
use super::streamed_message::StreamedMessage;
use super::upstream_value::{BodyObject, Direction, Shape, Transcription, length, named, shape, text};
use super::usage::{UsageField, UsageFields, usage_paths};
use crate::json::matcher::{Bounds, Matcher, OtherCase, Unreadable, Value};
use crate::json::paths::Paths;
use crate::usage::{
    AudioFormat, AudioFormats, IdKind, Report, Reported, ReportedUsage, Said, SessionNames, Tokens, UsageError,
};

/// A JSON value of an upstream's, as far as it has come: an event of a WebSocket, the data of a server-sent event, or the
/// body of a response.
///
/// It holds a scalar at most and what it has found of names and usage; of a message that does not matter, nothing.
#[derive(Debug)]
pub struct UpstreamMessage {
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

#[derive(Debug, Clone, Copy)]
enum Field {
    Type,
    EventId,
    ItemId,
    ContentIndex,
    /// `session`
    Session,
    SessionId,
    SessionModel,
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
}

/// Where what is made stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// In an event's `response`.
    Response,
    /// In an event's `message`: Anthropic's.
    Message,
    /// It is the whole, or the event is its usage.
    Top,
}

/// Longer ids and names of models are not kept.
const MAX_NAME: usize = 256;

const BOUNDS: Bounds = Bounds { depth: 1024, text: MAX_NAME, other_case: OtherCase::Ignored };

static PATHS: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| {
    let mut paths: Vec<(Cow<'_, str>, Field)> = [
        ("type", Field::Type),
        ("event_id", Field::EventId),
        ("item_id", Field::ItemId),
        ("content_index", Field::ContentIndex),
        ("session", Field::Session),
        ("session.id", Field::SessionId),
        ("session.model", Field::SessionModel),
        ("session.audio.input.transcription", Field::Transcription),
        ("session.audio.input.transcription.model", Field::TranscriptionModel),
        ("session.input_audio_transcription", Field::FormerTranscription),
        ("session.input_audio_transcription.model", Field::FormerTranscriptionModel),
        ("delta", Field::Said),
        ("delta.text", Field::Said),
        ("delta.thinking", Field::Said),
        ("delta.partial_json", Field::Said),
        ("choices[].text", Field::Said),
        ("choices[].delta.content", Field::Said),
        ("choices[].delta.reasoning_content", Field::Said),
        ("choices[].delta.tool_calls[].function.arguments", Field::Said),
        ("session.audio.input.format.type", Field::AudioFormat(Direction::Input)),
        ("session.audio.input.format.rate", Field::AudioRate(Direction::Input)),
        ("session.audio.output.format.type", Field::AudioFormat(Direction::Output)),
        ("session.audio.output.format.rate", Field::AudioRate(Direction::Output)),
        ("session.input_audio_format", Field::AudioFormat(Direction::Input)),
        ("session.output_audio_format", Field::AudioFormat(Direction::Output)),
        ("response", Field::Response),
        ("response.id", Field::Id(Level::Response)),
        ("response.status", Field::Status(Level::Response)),
        ("response.model", Field::Model(Level::Response)),
        ("message.id", Field::Id(Level::Message)),
        ("message.model", Field::Model(Level::Message)),
        ("id", Field::Id(Level::Top)),
        ("status", Field::Status(Level::Top)),
        ("model", Field::Model(Level::Top)),
        ("object", Field::Object),
        ("choices", Field::Choices),
    ]
    .map(|(path, field)| (path.into(), field))
    .into();
    for (name, field) in usage_paths() {
        let levels = [("response.usage", Level::Response), ("message.usage", Level::Message), ("usage", Level::Top)];
        for (usage, level) in levels {
            let path = if name.is_empty() { usage.into() } else { format!("{usage}.{name}").into() };
            paths.push((path, Field::Usage(level, field)));
        }
    }
    Arc::new(Paths::new(&paths))
});

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    event_type: Option<EventType>,
    /// Whatever else there is; nothing while nothing was found.
    fields: Option<Box<Fields>>,
    failure: Option<Unreadable>,
}

#[derive(Debug, Default)]
struct Fields {
    event_id: Option<String>,
    item_id: Option<String>,
    content_index: Option<String>,
    session: Option<Shape>,
    session_id: Option<String>,
    session_model: Option<String>,
    transcription: Transcription,
    former_transcription: Transcription,
    formats: AudioFormats,
    /// How many bytes a response says.
    said: u64,
    response: Option<Shape>,
    object: Option<BodyObject>,
    has_choices: bool,
    in_response: Option<Box<Made>>,
    in_message: Option<Box<Made>>,
    at_top: Option<Box<Made>>,
}

/// What an upstream has made: a response, a completion, embeddings.
#[derive(Debug, Default)]
struct Made {
    id: Option<String>,
    model: Option<String>,
    /// It ended before it was complete.
    is_incomplete: bool,
    usage: UsageFields,
}

impl UpstreamMessage {
    /// Nothing has come yet.
    pub fn new() -> Self {
        Self { matcher: Matcher::new(PATHS.clone(), BOUNDS), found: Found::default(), has_begun: false }
    }

    /// Reads more of an event. Its type is the first `type` of the top-level object, in any order and spelling.
    pub fn feed_event(&mut self, bytes: &[u8]) -> Relevance {
        if !self.found.is_enough() {
            self.read(bytes, true);
        }
        match (self.found.event_type, &self.found.failure) {
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
        let Self { matcher, found, .. } = self;
        let read = matcher.feed(bytes, &mut |at| {
            let is_type = matches!(at.tag, Field::Type);
            found.set(at.tag, at.value);
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
        let most = size_of::<Fields>() + 3 * size_of::<Made>();
        self.matcher.held().saturating_add(self.found.fields.as_ref().map_or(0, |_| most))
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
        let event_type = match (self.found.event_type, &self.found.failure) {
            (Some(event_type), _) => event_type,
            (None, None | Some(Unreadable::NotJson { .. } | Unreadable::NotAnObject)) => EventType::Other,
            (None, Some(_)) => return Reported::Unreadable(UsageError::Malformed),
        };
        match event_type {
            EventType::Other | EventType::MessageStart | EventType::MessageDelta => return Reported::Nothing,
            EventType::ResponseCreated => return Reported::ResponseStarted,
            EventType::AudioDelta => return Reported::Output(Said::default()),
            _ => {}
        }
        let Ok(mut fields) = self.fields() else {
            return match event_type {
                // What it is a part of is told at its end.
                EventType::TextDelta => Reported::Nothing,
                _ => Reported::Unreadable(UsageError::Malformed),
            };
        };
        match event_type {
            EventType::SessionCreated | EventType::SessionUpdated => {
                fields.session().map_or_else(Reported::Unreadable, Reported::Session)
            }
            EventType::TextDelta => Reported::Output(Said::text(fields.said)),
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

impl Default for UpstreamMessage {
    fn default() -> Self {
        Self::new()
    }
}

impl Found {
    /// Whether nothing of an event matters but its type, or how long it is.
    fn is_enough(&self) -> bool {
        matches!(self.event_type, Some(EventType::Other | EventType::ResponseCreated | EventType::AudioDelta))
    }

    fn set(&mut self, field: Field, value: Value<'_>) {
        if let Field::Type = field {
            self.event_type = Some(match value {
                Value::Text(name) => EventType::of(name.as_bytes()),
                _ => EventType::Other,
            });
            return;
        }
        self.fields.get_or_insert_default().set(field, value);
    }
}

impl Fields {
    fn set(&mut self, field: Field, value: Value<'_>) {
        match field {
            Field::Type => {}
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
        }
    }

    fn format(&mut self, direction: Direction) -> &mut Option<AudioFormat> {
        match direction {
            Direction::Input => &mut self.formats.input,
            Direction::Output => &mut self.formats.output,
        }
    }

    fn made(&mut self, level: Level) -> &mut Made {
        let made = match level {
            Level::Response => &mut self.in_response,
            Level::Message => &mut self.in_message,
            Level::Top => &mut self.at_top,
        };
        made.get_or_insert_default()
    }

    /// As `session.created` and `session.updated`, of the present and of the former shape.
    fn session(&mut self) -> Result<SessionNames, UsageError> {
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
        Ok(SessionNames { id, model, transcription_model, formats: self.formats })
    }

    /// As an event that ends a response.
    fn response(&mut self) -> Reported {
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
    fn transcription(&mut self) -> Reported {
        let index = self.content_index.as_deref().unwrap_or("0");
        let item = named(IdKind::Item, self.item_id.take()).map(|(kind, id)| (kind, format!("{id}#{index}")));
        let usage = &self.made(Level::Top).usage;
        let used = if usage.is_there() { usage.transcription() } else { Err(UsageError::Missing("usage")) };
        let id = item.or_else(|| named(IdKind::Event, self.event_id.take()));
        Reported::Usage(Box::new(Report::new(id, None, used)))
    }
}

impl Made {
    /// A response that did not complete may lack its usage. With or without, it is a response.
    fn without_usage(&self) -> (ReportedUsage, Option<UsageError>) {
        let flaw = (!self.is_incomplete).then_some(UsageError::Missing("usage"));
        (ReportedUsage::Response(Tokens::default()), flaw)
    }

    fn report(&mut self, used: Result<(ReportedUsage, Option<UsageError>), UsageError>) -> Report {
        Report::new(named(IdKind::Response, self.id.take()), self.model.take(), used)
    }
}
