//! A message of Gemini's: a part of a turn of the model's, and what the turn has used so far.

use super::upstream_value::{length, text};
use super::usage::{GeminiField, GeminiFields};
use crate::json::matcher::Value;
use crate::usage::{AudioFormats, Report, Reported, Said, SessionNames, TurnPart};

/// What of a message matters.
#[derive(Debug, Clone, Copy)]
pub(super) enum TurnField {
    /// `setupComplete`
    SetUp,
    SessionId,
    /// Something that the model says or does.
    Content,
    Text,
    Audio,
    /// `serverContent.turnComplete`
    Complete,
    Usage(GeminiField),
}

/// What was found of a message.
#[derive(Debug, Default)]
pub(super) struct TurnFields {
    is_set_up: bool,
    session_id: Option<String>,
    has_content: bool,
    text: u64,
    audio: u64,
    is_complete: bool,
    usage: GeminiFields,
}

impl TurnFields {
    pub(super) fn set(&mut self, field: TurnField, value: Value<'_>) {
        match field {
            TurnField::SetUp => self.is_set_up = matches!(value, Value::Object { .. }),
            TurnField::SessionId => self.session_id = text(value),
            TurnField::Content => self.has_content |= matches!(value, Value::Object { .. }),
            TurnField::Text => self.text = self.text.saturating_add(length(value)),
            TurnField::Audio => self.audio = self.audio.saturating_add(length(value)),
            TurnField::Complete => self.is_complete = matches!(value, Value::Bool(true)),
            TurnField::Usage(usage) => self.usage.set(usage, value),
        }
    }

    /// What the whole says.
    pub(super) fn reported(self) -> Reported {
        if self.is_set_up && !self.usage.usage.is_there() {
            let formats = AudioFormats::default();
            let names = SessionNames {
                id: self.session_id,
                model: None,
                delegate_model: None,
                transcription_model: None,
                formats,
            };
            return Reported::Session(names);
        }
        let usage = self.usage.usage.is_there().then(|| Report::new(None, None, Ok(self.usage.usage.response())));
        let part = TurnPart {
            has_content: self.has_content,
            said: Said { text: self.text, audio: 0 }.with_base64(self.audio),
            usage,
            is_last: self.is_complete,
        };
        if part.says_nothing() { Reported::Nothing } else { Reported::Turn(Box::new(part)) }
    }
}
