//! OpenAI Realtime, which Azure and xAI speak too: conversations, transcriptions, translations.

use std::sync::{Arc, LazyLock};

use super::row::{
    ClientWords, Kind, LastEvent, ModelPath, ModelPlace, Opening, PresetWay, Question, Spelling, UpstreamWords,
};
use crate::json::paths::Paths;
use crate::protocol::client_field::{ClientField, Container, ModelRole};
use crate::protocol::event_type::EventType;
use crate::protocol::upstream_field::{Field, Level};
use crate::protocol::upstream_paths::{EVENT, FORMATS, ITEM, RESPONSE, SESSION, TRANSCRIPTION, compile};
use crate::usage::AudioMeasure;

const ROW: Kind = Kind {
    model: ModelPlace::Query,
    client: ClientWords {
        opening: Opening::None,
        of_type,
        untyped: &[],
        containers: &CONTAINERS,
        models: &MODELS,
        tools: &TOOLS,
        others: &[],
        spelling: Spelling::Exact,
        audio_append: b"\"input_audio_buffer.append\"",
    },
    upstream: UpstreamWords { event_type, inner_type: event_type, paths: || PATHS.clone() },
    audio: AudioMeasure::OPENAI,
    question: Question::Item,
    preset: PresetWay::SessionUpdate,
    last_event: LastEvent::Error,
    cancel: Some(r#"{"type":"response.cancel"}"#),
};

pub(super) static CONVERSATION: Kind = ROW;

/// Its model is named in `session.update`, and told in `session.updated`.
pub(super) static TRANSCRIBING: Kind = Kind { model: ModelPlace::AnyMessage, ..ROW };

/// Nothing tells what it uses: it is charged for as long as the user's audio is.
pub(super) static TRANSLATION: Kind = Kind {
    client: ClientWords { audio_append: b"\"session.input_audio_buffer.append\"", ..ROW.client },
    upstream: UpstreamWords { event_type: translation_event_type, ..ROW.upstream },
    audio: AudioMeasure::Duration,
    question: Question::None,
    cancel: None,
    ..ROW
};

/// Of the present API, and of the former one.
const CONTAINERS: [(Container, &str); 3] =
    [(Container::Session, "session"), (Container::Response, "response"), (Container::Top, "")];

const MODELS: [ModelPath; 5] = [
    ("session.model", Container::Session, ModelRole::Response),
    ("session.audio.input.transcription.model", Container::Session, ModelRole::Transcription),
    ("session.input_audio_transcription.model", Container::Session, ModelRole::Transcription),
    ("response.model", Container::Response, ModelRole::Response),
    ("model", Container::Top, ModelRole::Response),
];

const TOOLS: [(&str, ClientField); 5] = [
    ("session.tools[]", ClientField::Tool(Container::Session)),
    ("response.tools[]", ClientField::Tool(Container::Response)),
    ("response.input[].tools[]", ClientField::InputTool(Container::Response)),
    ("tools[]", ClientField::Tool(Container::Top)),
    ("input[].tools[]", ClientField::InputTool(Container::Top)),
];

static PATHS: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| {
    let usages = [("response.usage", Level::Response), ("usage", Level::Top)];
    compile(&[&EVENT, &ITEM, &SESSION, &TRANSCRIPTION, &FORMATS, &RESPONSE], &usages)
});

fn of_type(name: &str) -> &'static [Container] {
    match name {
        "session.update" | "transcription_session.update" => &[Container::Session],
        "response.create" => &[Container::Response, Container::Top],
        _ => &[],
    }
}

/// What the type of an upstream's event means.
pub(super) fn event_type(name: &[u8]) -> EventType {
    match name {
        b"session.created" => EventType::SessionCreated,
        b"session.updated" | b"transcription_session.updated" => EventType::SessionUpdated,
        b"response.created" => EventType::ResponseCreated,
        b"response.done" => EventType::ResponseDone,
        // Those of the Responses API, of an upstream that tells the ends of responses as it does.
        b"response.completed" => EventType::ResponseCompleted,
        b"response.incomplete" => EventType::ResponseIncomplete,
        b"response.failed" => EventType::ResponseFailed,
        b"conversation.item.input_audio_transcription.completed" => EventType::InputAudioTranscriptionCompleted,
        b"response.output_audio.delta" | b"response.audio.delta" => EventType::AudioDelta,
        _ => EventType::of_delta(name),
    }
}

fn translation_event_type(name: &[u8]) -> EventType {
    match name {
        b"session.created" => EventType::SessionCreated,
        b"session.updated" => EventType::SessionUpdated,
        // It says nothing that is charged, and that time has passed.
        b"session.output_audio.delta" => EventType::AudioDelta,
        _ => EventType::Other,
    }
}
