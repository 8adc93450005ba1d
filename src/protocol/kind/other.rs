//! Any other WebSocket. Its path may be one that some upstream reads as another: so it is read as all kinds are.

use std::sync::{Arc, LazyLock};

use super::row::{
    ClientWords, Kind, LastEvent, ModelPath, ModelPlace, Opening, PresetWay, Question, Spelling, UpstreamWords,
};
use super::{live, realtime, responses};
use crate::json::paths::Paths;
use crate::protocol::client_field::{ClientField, Container, ModelRole};
use crate::protocol::event_type::EventType;
use crate::protocol::upstream_field::{Field, Level};
use crate::protocol::upstream_paths::{
    EVENT, FORMATS, INNER_RESPONSE, ITEM, LIVE, RESPONSE, SESSION, TRANSCRIPTION, TURN, compile_with_turns,
};
use crate::usage::AudioMeasure;

pub(super) static ROW: Kind = Kind {
    model: ModelPlace::Query,
    client: ClientWords {
        opening: Opening::None,
        of_type,
        untyped: &[Container::Setup],
        containers: &CONTAINERS,
        models: &MODELS,
        tools: &TOOLS,
        others: &OTHERS,
        spelling: Spelling::CamelOrSnake,
        audio_append: b"\"input_audio_buffer.append\"",
    },
    upstream: UpstreamWords { event_type, inner_type: responses::event_type, paths: || PATHS.clone() },
    audio: AudioMeasure::OPENAI,
    question: Question::None,
    preset: PresetWay::None,
    last_event: LastEvent::Error,
    cancel: None,
};

const CONTAINERS: [(Container, &str); 5] = [
    (Container::Session, "session"),
    (Container::Delegate, "session.delegation.responses"),
    (Container::Setup, "setup"),
    (Container::Response, "response"),
    (Container::Top, ""),
];

const MODELS: [ModelPath; 8] = [
    ("session.model", Container::Session, ModelRole::Response),
    ("session.audio.input.transcription.model", Container::Session, ModelRole::Transcription),
    ("session.input_audio_transcription.model", Container::Session, ModelRole::Transcription),
    ("session.delegation.responses.model", Container::Delegate, ModelRole::Response),
    ("session.delegation.decisions.model", Container::Session, ModelRole::Response),
    ("setup.model", Container::Setup, ModelRole::Response),
    ("response.model", Container::Response, ModelRole::Response),
    ("model", Container::Top, ModelRole::Response),
];

const TOOLS: [(&str, ClientField); 8] = [
    ("session.tools[]", ClientField::Tool(Container::Session)),
    ("session.delegation.responses.tools[]", ClientField::Tool(Container::Delegate)),
    ("setup.tools[]", ClientField::MemberTool(Container::Setup)),
    ("item.tools[]", ClientField::InputTool(Container::Item)),
    ("response.tools[]", ClientField::Tool(Container::Response)),
    ("response.input[].tools[]", ClientField::InputTool(Container::Response)),
    ("tools[]", ClientField::Tool(Container::Top)),
    ("input[].tools[]", ClientField::InputTool(Container::Top)),
];

const OTHERS: [(&str, ClientField); 4] = {
    let [appended] = live::APPENDED;
    let [background, previous, conversation] = responses::STORED;
    [appended, background, previous, conversation]
};

static PATHS: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| {
    let usages =
        [("response.usage", Level::Response), ("event.response.usage", Level::Response), ("usage", Level::Top)];
    let live: Vec<_> = LIVE.iter().copied().filter(|(path, _)| !path.starts_with("usage")).collect();
    let groups = [&EVENT[..], &ITEM, &SESSION, &TRANSCRIPTION, &FORMATS, &live, &RESPONSE, &INNER_RESPONSE, &TURN];
    compile_with_turns(&groups, &usages)
});

fn of_type(name: &str) -> &'static [Container] {
    match name {
        "session.start" | "session.update" | "transcription_session.update" => {
            &[Container::Session, Container::Delegate, Container::Setup]
        }
        "response.create" => &[Container::Response, Container::Top, Container::Setup],
        "session.instructions.append" => &[Container::Appended, Container::Setup],
        "response.item.create" => &[Container::Item, Container::Setup],
        _ => &[Container::Setup],
    }
}

fn event_type(name: &[u8]) -> EventType {
    match (realtime::event_type(name), live::event_type(name)) {
        (EventType::ResponseCreated, _) => EventType::ResponseNamed,
        (EventType::Other, EventType::Other) => responses::event_type(name),
        (EventType::Other, of_live) => of_live,
        (of_realtime, _) => of_realtime,
    }
}
