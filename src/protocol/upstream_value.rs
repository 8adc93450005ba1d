//! Values of an upstream's message, as far as they matter.

use crate::json::matcher::{Kind, Value};
use crate::usage::IdKind;

/// Whose audio it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Input,
    Output,
}

/// What kind of value stands where an object should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Other,
}

/// The `object` of a REST response that is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyObject {
    ChatCompletion,
    Response,
    List,
    Other,
}

impl BodyObject {
    pub(super) fn of(value: Value<'_>) -> Self {
        match value {
            Value::Text("chat.completion") => Self::ChatCompletion,
            Value::Text("response") => Self::Response,
            Value::Text("list") => Self::List,
            _ => Self::Other,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Transcription {
    pub(super) is_there: bool,
    /// It, or what it is in, is something else than an object.
    pub(super) is_malformed: bool,
    pub(super) model: Option<String>,
}

impl Transcription {
    pub(super) fn set(&mut self, value: Value<'_>) {
        match value {
            Value::Null | Value::Blocked(Kind::Null) => {}
            Value::Object { .. } => self.is_there = true,
            _ => (self.is_there, self.is_malformed) = (true, true),
        }
    }
}

/// A string that is not too long; nothing when something else stands there.
pub(super) fn text(value: Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_owned()),
        _ => None,
    }
}

/// How many bytes a string has; none where something else stands there.
pub(super) fn length(value: Value<'_>) -> u64 {
    match value {
        Value::Text(text) => u64::try_from(text.len()).unwrap_or(u64::MAX),
        Value::Long { bytes } => bytes,
        _ => 0,
    }
}

/// What kind of value stands there; nothing if that is null.
pub(super) fn shape(value: Value<'_>) -> Option<Shape> {
    match value {
        Value::Null => None,
        Value::Object { .. } => Some(Shape::Object),
        _ => Some(Shape::Other),
    }
}

/// An id, unless it is empty.
pub(super) fn named(kind: IdKind, id: Option<String>) -> Option<(IdKind, String)> {
    id.filter(|id| !id.is_empty()).map(|id| (kind, id))
}
