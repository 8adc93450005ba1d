//! What upstreams' events and bodies say: a session's names, or what something has used. Each is read once, as it comes,
//! in pieces of any size.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use super::event_type::EventType;
use super::usage::{UsageField, UsageFields, usage_paths};
use crate::json::matcher::{Bounds, Kind, Matcher, OtherCase, Unreadable, Value};
use crate::json::paths::Paths;
use crate::usage::{IdKind, Report, Reported, ReportedUsage, SessionNames, Tokens, UsageError};

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
    /// `response`
    Response,
    /// Of `response`, or at the top.
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
        ("response", Field::Response),
        ("response.id", Field::Id(Level::Response)),
        ("response.status", Field::Status(Level::Response)),
        ("response.model", Field::Model(Level::Response)),
        ("id", Field::Id(Level::Top)),
        ("status", Field::Status(Level::Top)),
        ("model", Field::Model(Level::Top)),
        ("object", Field::Object),
        ("choices", Field::Choices),
    ]
    .map(|(path, field)| (path.into(), field))
    .into();
    for (name, field) in usage_paths() {
        for (usage, level) in [("response.usage", Level::Response), ("usage", Level::Top)] {
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
    response: Option<Shape>,
    object: Option<BodyObject>,
    choices: Option<Choices>,
    in_response: Made,
    at_top: Made,
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

#[derive(Debug, Default)]
struct Transcription {
    is_there: bool,
    /// It, or what it is in, is something else than an object.
    is_malformed: bool,
    model: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Object,
    Other,
}

/// The `object` of a REST response that is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyObject {
    ChatCompletion,
    Response,
    List,
    Other,
}

/// The `choices` of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choices {
    None,
    Some,
}

impl UpstreamMessage {
    /// Nothing has come yet.
    pub fn new() -> Self {
        Self { matcher: Matcher::new(PATHS.clone(), BOUNDS), found: Found::default(), has_begun: false }
    }

    /// Reads more of an event. Its type is the first `type` of the top-level object, in any order and spelling.
    pub fn feed_event(&mut self, bytes: &[u8]) -> Relevance {
        if self.found.event_type != Some(EventType::ResponseCreated) {
            self.read(bytes, true);
        }
        match (self.found.event_type, &self.found.failure) {
            (Some(EventType::Other), _) => Relevance::None,
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
            let is_enough = matches!(found.event_type, Some(EventType::Other | EventType::ResponseCreated));
            if is_event && is_type && is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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
        let fields = self.found.fields.as_ref().map_or(0, |_| size_of::<Fields>());
        self.matcher.held().saturating_add(fields)
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
            EventType::Other => return Reported::Nothing,
            EventType::ResponseCreated => return Reported::ResponseStarted,
            _ => {}
        }
        let Ok(mut fields) = self.fields() else { return Reported::Unreadable(UsageError::Malformed) };
        match event_type {
            EventType::SessionCreated | EventType::SessionUpdated => {
                fields.session().map_or_else(Reported::Unreadable, Reported::Session)
            }
            EventType::InputAudioTranscriptionCompleted | EventType::TranscriptTextDone => fields.transcription(),
            _ => fields.response(),
        }
    }

    /// What the whole says, as the data of a server-sent event: an event, or a chunk of a chat completion. Another may
    /// follow.
    pub fn end_data(&mut self) -> Data {
        let data = match self.found.event_type {
            Some(event_type) if event_type != EventType::Other => Data::Event(self.event()),
            _ => self.chunk(),
        };
        self.reset();
        data
    }

    fn chunk(&mut self) -> Data {
        let Ok(mut fields) = self.fields() else { return Data::Event(Reported::Nothing) };
        match fields.choices {
            None => Data::Event(Reported::Nothing),
            Some(choices) if fields.at_top.usage.is_there() => {
                let is_alone = choices == Choices::None && fields.at_top.usage.is_object();
                let used = fields.at_top.usage.response();
                Data::ChatUsage { report: Box::new(fields.at_top.report(used)), is_alone }
            }
            Some(_) => Data::ChatChoices,
        }
    }

    /// What the whole says, as the body of a REST response; nothing where it carries no usage and need not.
    pub fn into_body(mut self) -> Reported {
        let Ok(mut fields) = self.fields() else { return Reported::Unreadable(UsageError::Malformed) };
        let usage = &fields.at_top.usage;
        let used = match (usage.is_there(), fields.object) {
            (true, _) if usage.is_of_transcription() => usage.transcription(),
            // Embeddings write nothing.
            (true, Some(BodyObject::List)) => usage.reading(),
            (true, _) => usage.response(),
            (false, Some(BodyObject::ChatCompletion)) => Err(UsageError::Missing("usage")),
            (false, Some(BodyObject::Response)) => fields.at_top.without_usage(),
            (false, _) => return Reported::Nothing,
        };
        Reported::Usage(Box::new(fields.at_top.report(used)))
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
    /// A chunk of a chat completion, without usage.
    ChatChoices,
    /// A chunk of a chat completion, with the usage so far.
    ChatUsage {
        /// The usage.
        report: Box<Report>,
        /// Whether the chunk has nothing else.
        is_alone: bool,
    },
}

impl Default for UpstreamMessage {
    fn default() -> Self {
        Self::new()
    }
}

impl Found {
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
            Field::Response => self.response = shape(value),
            Field::Id(level) => self.made(level).id = text(value).filter(|id| !id.is_empty()),
            Field::Status(level) => {
                self.made(level).is_incomplete = matches!(value, Value::Text("cancelled" | "failed" | "incomplete"));
            }
            Field::Model(level) => self.made(level).model = text(value),
            Field::Usage(level, usage) => self.made(level).usage.set(usage, value),
            Field::Object => {
                self.object = Some(match value {
                    Value::Text("chat.completion") => BodyObject::ChatCompletion,
                    Value::Text("response") => BodyObject::Response,
                    Value::Text("list") => BodyObject::List,
                    _ => BodyObject::Other,
                });
            }
            Field::Choices => {
                self.choices = match value {
                    Value::Null => None,
                    Value::Array { is_empty: true } => Some(Choices::None),
                    _ => Some(Choices::Some),
                }
            }
        }
    }

    fn made(&mut self, level: Level) -> &mut Made {
        match level {
            Level::Response => &mut self.in_response,
            Level::Top => &mut self.at_top,
        }
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
        Ok(SessionNames { id: self.session_id.take(), model: self.session_model.take(), transcription_model })
    }

    /// As an event that ends a response.
    fn response(&mut self) -> Reported {
        match self.response {
            None => return Reported::Unreadable(UsageError::Missing("response")),
            Some(Shape::Other) => return Reported::Unreadable(UsageError::Malformed),
            Some(Shape::Object) => {}
        }
        let made = &mut self.in_response;
        let used = if made.usage.is_there() { made.usage.response() } else { made.without_usage() };
        let mut report = made.report(used);
        report.id = report.id.or_else(|| named(IdKind::Event, self.event_id.take()));
        Reported::Usage(Box::new(report))
    }

    /// As an event that ends a transcription.
    fn transcription(&mut self) -> Reported {
        let index = self.content_index.as_deref().unwrap_or("0");
        let item = named(IdKind::Item, self.item_id.take()).map(|(kind, id)| (kind, format!("{id}#{index}")));
        let usage = &self.at_top.usage;
        let used = if usage.is_there() { usage.transcription() } else { Err(UsageError::Missing("usage")) };
        let id = item.or_else(|| named(IdKind::Event, self.event_id.take()));
        Reported::Usage(Box::new(Report { id, model: None, used }))
    }
}

impl Made {
    /// A response that did not complete may lack its usage; it is still a response.
    fn without_usage(&self) -> Result<ReportedUsage, UsageError> {
        match self.is_incomplete {
            true => Ok(ReportedUsage::Response(Tokens::default())),
            false => Err(UsageError::Missing("usage")),
        }
    }

    fn report(&mut self, used: Result<ReportedUsage, UsageError>) -> Report {
        Report { id: named(IdKind::Response, self.id.take()), model: self.model.take(), used }
    }
}

impl Transcription {
    fn set(&mut self, value: Value<'_>) {
        match value {
            Value::Null | Value::Blocked(Kind::Null) => {}
            Value::Object { .. } => self.is_there = true,
            _ => (self.is_there, self.is_malformed) = (true, true),
        }
    }
}

/// A string that is not too long; nothing when something else stands there.
fn text(value: Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_owned()),
        _ => None,
    }
}

/// What kind of value stands there; nothing if that is null.
fn shape(value: Value<'_>) -> Option<Shape> {
    match value {
        Value::Null => None,
        Value::Object { .. } => Some(Shape::Object),
        _ => Some(Shape::Other),
    }
}

fn named(kind: IdKind, id: Option<String>) -> Option<(IdKind, String)> {
    id.filter(|id| !id.is_empty()).map(|id| (kind, id))
}
