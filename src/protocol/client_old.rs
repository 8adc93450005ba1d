//! What a client's event changes, for policies that lock fields or restrict models.
//!
//! Everything is read strictly, since a client may try to show the upstream something else than the gateway: a key
//! that matters stands once, and what is no JSON object is unreadable.

use std::borrow::Cow;
use std::fmt;

use super::lock::Lock;
use crate::json::Value;

use crate::json::object::{PickError, pick};

/// What a client's event asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientEvent {
    /// The first locked path that it would change.
    pub locked: Option<String>,
    /// The models that it names.
    pub models: Vec<RequestedModel>,
}

/// A model that a client's event names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedModel {
    /// What it is to do.
    pub role: ModelRole,
    /// Its name, as the client wrote it.
    pub name: String,
}

/// What a model is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// Respond.
    Response,
    /// Transcribe the user's audio.
    Transcription,
}

/// An event that cannot be inspected, and so must not pass where one has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not JSON in UTF-8, or more than one value.
    NotJson,
    /// It, its `session` or its `response` is something else than an object.
    NotAnObject,
    /// This key, which is inspected, stands more than once in one object.
    DuplicateKey(String),
    /// The model at this path is something else than a string.
    NotAModel(&'static str),
}

/// Reads a whole client event. Only `session.update`, `transcription_session.update` and `response.create` change
/// anything: the first two in `session`, the last in `response` (Realtime) and at its top level (Responses over
/// WebSocket). A locked field is touched by any value, null too, and by anything but an object on the way to it.
///
/// ```ignore
/// use realtime_byok::protocol::{Lock, inspect};
///
/// let lock = Lock::new(["instructions", "audio.output.voice"])?;
/// let event = br#"{"session":{"audio":{"output":{"voice":"marin"}}},"ty\u0070e":"session.update"}"#;
/// assert_eq!(inspect(event, &lock)?.locked.as_deref(), Some("audio.output.voice"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inspect(event: &[u8], lock: &Lock) -> Result<ClientEvent, Unreadable> {
    let event = str::from_utf8(event).map_err(|_| Unreadable::NotJson)?;
    let event = Value::parse(event).map_err(|_| Unreadable::NotJson)?;
    let [event_type, session, response] = pick(event, ["type", "session", "response"])?;
    let mut found = ClientEvent::default();
    let event_type = event_type.and_then(Value::text);
    match event_type.as_deref() {
        Some("session.update" | "transcription_session.update") => found.read_container(session, lock, &IN_SESSION)?,
        Some("response.create") => {
            found.read_container(response, lock, &IN_RESPONSE)?;
            found.read_fields(event, lock, &AT_TOP_LEVEL)?;
        }
        _ => {}
    }
    Ok(found)
}

/// Where models are named: the path within the inspected object, the path to show, and the role.
type ModelPath = (&'static str, &'static str, ModelRole);

const IN_SESSION: [ModelPath; 3] = [
    ("model", "session.model", ModelRole::Response),
    ("audio.input.transcription.model", "session.audio.input.transcription.model", ModelRole::Transcription),
    ("input_audio_transcription.model", "session.input_audio_transcription.model", ModelRole::Transcription),
];
const IN_RESPONSE: [ModelPath; 1] = [("model", "response.model", ModelRole::Response)];
const AT_TOP_LEVEL: [ModelPath; 1] = [("model", "model", ModelRole::Response)];

impl ClientEvent {
    fn read_container(
        &mut self,
        container: Option<Value<'_>>,
        lock: &Lock,
        models: &[ModelPath],
    ) -> Result<(), Unreadable> {
        match container.filter(|container| !container.is_null()) {
            None => Ok(()),
            Some(object) => self.read_fields(object, lock, models),
        }
    }

    fn read_fields(&mut self, object: Value<'_>, lock: &Lock, models: &[ModelPath]) -> Result<(), Unreadable> {
        for path in lock.names() {
            if touches(object, path)? {
                self.locked.get_or_insert_with(|| path.to_owned());
            }
        }
        for &(path, shown, role) in models {
            if let Some(name) = model_at(object, path, shown)? {
                self.models.push(RequestedModel { role, name });
            }
        }
        Ok(())
    }
}

/// Whether setting what `object` sets would change the field at `path`.
fn touches(object: Value<'_>, path: &str) -> Result<bool, Unreadable> {
    match step(object, path)? {
        (None, _) => Ok(false),
        (Some(value), Some(rest)) if value.is_object() => touches(value, rest),
        (Some(_), _) => Ok(true),
    }
}

fn model_at(object: Value<'_>, path: &str, shown: &'static str) -> Result<Option<String>, Unreadable> {
    match step(object, path)? {
        (None, _) => Ok(None),
        (Some(value), _) if value.is_null() => Ok(None),
        (Some(value), Some(rest)) if value.is_object() => model_at(value, rest, shown),
        (Some(_), Some(_)) => Ok(None),
        (Some(value), None) => value.text().map(Cow::into_owned).ok_or(Unreadable::NotAModel(shown)).map(Some),
    }
}

/// The value under the first name of `path`, and the rest of the path.
fn step<'a, 'p>(object: Value<'a>, path: &'p str) -> Result<(Option<Value<'a>>, Option<&'p str>), Unreadable> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let [value] = pick(object, [name])?;
    Ok((value, rest))
}

impl From<PickError<'_>> for Unreadable {
    fn from(error: PickError<'_>) -> Self {
        match error {
            PickError::NotJson => Self::NotJson,
            PickError::NotAnObject => Self::NotAnObject,
            PickError::Duplicate(key) => Self::DuplicateKey(key.to_owned()),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => formatter.write_str("the event is not JSON"),
            Self::NotAnObject => formatter.write_str("the event, its session or its response is not an object"),
            Self::DuplicateKey(key) => write!(formatter, "{key} stands more than once"),
            Self::NotAModel(path) => write!(formatter, "{path} is not a string"),
        }
    }
}

impl std::error::Error for Unreadable {}
