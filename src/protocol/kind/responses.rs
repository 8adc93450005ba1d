//! OpenAI's Responses API over WebSocket: each `response.create` may name a model of its own.

use std::sync::{Arc, LazyLock};

use super::row::{
    ClientWords, Kind, LastEvent, ModelPath, ModelPlace, Opening, PresetWay, Question, Spelling, UpstreamWords,
};
use crate::json::paths::Paths;
use crate::protocol::client_field::{ClientField, Container, ModelRole};
use crate::protocol::event_type::EventType;
use crate::protocol::upstream_field::{Field, Level};
use crate::protocol::upstream_paths::{EVENT, RESPONSE, compile};
use crate::usage::AudioMeasure;

pub(super) static ROW: Kind = Kind {
    model: ModelPlace::AnyMessage,
    client: ClientWords {
        opening: Opening::None,
        of_type,
        untyped: &[],
        containers: &CONTAINERS,
        models: &MODELS,
        tools: &TOOLS,
        others: &STORED,
        spelling: Spelling::Exact,
        audio_append: b"\"input_audio_buffer.append\"",
    },
    upstream: UpstreamWords { event_type, inner_type: event_type, paths: || PATHS.clone() },
    audio: AudioMeasure::OPENAI,
    question: Question::None,
    preset: PresetWay::None,
    last_event: LastEvent::Error,
    cancel: None,
};

const CONTAINERS: [(Container, &str); 2] = [(Container::Response, "response"), (Container::Top, "")];

const MODELS: [ModelPath; 2] =
    [("response.model", Container::Response, ModelRole::Response), ("model", Container::Top, ModelRole::Response)];

const TOOLS: [(&str, ClientField); 4] = [
    ("response.tools[]", ClientField::Tool(Container::Response)),
    ("response.input[].tools[]", ClientField::InputTool(Container::Response)),
    ("tools[]", ClientField::Tool(Container::Top)),
    ("input[].tools[]", ClientField::InputTool(Container::Top)),
];

/// What makes a response of which nobody can say what it reads, or when it ends.
pub(super) const STORED: [(&str, ClientField); 3] = [
    ("background", ClientField::Background),
    ("previous_response_id", ClientField::PreviousResponse),
    ("conversation", ClientField::Conversation),
];

static PATHS: LazyLock<Arc<Paths<Field>>> =
    LazyLock::new(|| compile(&[&EVENT, &RESPONSE], &[("response.usage", Level::Response)]));

fn of_type(name: &str) -> &'static [Container] {
    if name == "response.create" { &[Container::Response, Container::Top] } else { &[] }
}

/// What the type of an upstream's event means.
pub(super) fn event_type(name: &[u8]) -> EventType {
    match name {
        b"response.created" => EventType::ResponseNamed,
        b"response.completed" => EventType::ResponseCompleted,
        b"response.incomplete" => EventType::ResponseIncomplete,
        b"response.failed" => EventType::ResponseFailed,
        b"response.output_audio.delta" | b"response.audio.delta" => EventType::AudioDelta,
        _ => EventType::of_delta(name),
    }
}
