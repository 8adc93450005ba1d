//! OpenAI Live: a session of audio, which is charged by its duration, and the responses that work for it, by tokens.

use std::sync::{Arc, LazyLock};

use super::responses;
use super::row::{
    ClientWords, Kind, LastEvent, ModelPath, ModelPlace, Opening, PresetWay, Question, Spelling, UpstreamWords,
};
use crate::json::paths::Paths;
use crate::protocol::client_field::{ClientField, Container, ModelRole};
use crate::protocol::event_type::EventType;
use crate::protocol::upstream_field::{Field, Level};
use crate::protocol::upstream_paths::{EVENT, INNER_RESPONSE, LIVE, SESSION, compile};
use crate::usage::AudioMeasure;

const LIVE_ROW: Kind = Kind {
    model: ModelPlace::FirstMessage,
    client: ClientWords {
        opening: Opening::Type("session.start"),
        of_type,
        untyped: &[],
        containers: &CONTAINERS,
        models: &MODELS,
        tools: &TOOLS,
        others: &APPENDED,
        spelling: Spelling::Exact,
        audio_append: b"\"session.input_audio.append\"",
    },
    upstream: UpstreamWords { event_type, inner_type: responses::event_type, paths: || PATHS.clone() },
    audio: AudioMeasure::Duration,
    question: Question::None,
    preset: PresetWay::None,
    last_event: LastEvent::Error,
    cancel: None,
};

pub(super) static ROW: Kind = LIVE_ROW;

/// It goes on with the model of the session that was stored, which the upstream tells.
pub(super) static FORK: Kind = Kind { model: ModelPlace::AnyMessage, ..LIVE_ROW };

pub(super) const CONTAINERS: [(Container, &str); 2] =
    [(Container::Session, "session"), (Container::Delegate, "session.delegation.responses")];

pub(super) const MODELS: [ModelPath; 3] = [
    ("session.model", Container::Session, ModelRole::Response),
    ("session.delegation.responses.model", Container::Delegate, ModelRole::Response),
    ("session.delegation.decisions.model", Container::Session, ModelRole::Response),
];

pub(super) const TOOLS: [(&str, ClientField); 3] = [
    ("session.tools[]", ClientField::Tool(Container::Session)),
    ("session.delegation.responses.tools[]", ClientField::Tool(Container::Delegate)),
    ("item.tools[]", ClientField::InputTool(Container::Item)),
];

/// What adds to the instructions.
pub(super) const APPENDED: [(&str, ClientField); 1] = [("content", ClientField::Instructions)];

static PATHS: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| {
    compile(&[&EVENT, &SESSION, &LIVE, &INNER_RESPONSE], &[("event.response.usage", Level::Response)])
});

pub(super) fn of_type(name: &str) -> &'static [Container] {
    match name {
        "session.start" | "session.update" => &[Container::Session, Container::Delegate],
        "session.instructions.append" => &[Container::Appended],
        "response.item.create" => &[Container::Item],
        _ => &[],
    }
}

pub(super) fn event_type(name: &[u8]) -> EventType {
    match name {
        b"session.started" => EventType::SessionCreated,
        b"session.updated" => EventType::SessionUpdated,
        b"session.usage.updated" | b"session.closed" => EventType::AudioUsed,
        b"response.event" => EventType::Wrapped,
        _ => EventType::Other,
    }
}
