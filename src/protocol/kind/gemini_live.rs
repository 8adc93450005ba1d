//! Gemini Live: `setup` says all of a session, once; messages have no type, but are known by the object that they hold.

use std::sync::{Arc, LazyLock};

use super::row::{
    ClientWords, Kind, LastEvent, ModelPath, ModelPlace, Opening, PresetWay, Question, Spelling, UpstreamWords,
};
use crate::json::paths::Paths;
use crate::protocol::client_field::{ClientField, Container, ModelRole};
use crate::protocol::event_type::EventType;
use crate::protocol::upstream_field::Field;
use crate::protocol::upstream_paths::{TURN, compile_with_turns};
use crate::usage::AudioMeasure;

pub(super) static ROW: Kind = Kind {
    model: ModelPlace::FirstMessage,
    client: ClientWords {
        opening: Opening::Object(Container::Setup),
        of_type: |_| &SETUP,
        untyped: &SETUP,
        containers: &[(Container::Setup, "setup")],
        models: &MODELS,
        tools: &TOOLS,
        others: &[],
        spelling: Spelling::CamelOrSnake,
        // `realtimeInput`, or `realtime_input`.
        audio_append: b"\"realtime",
    },
    upstream: UpstreamWords {
        event_type: |_| EventType::Other,
        inner_type: |_| EventType::Other,
        paths: || PATHS.clone(),
    },
    audio: AudioMeasure::GEMINI,
    question: Question::None,
    preset: PresetWay::None,
    last_event: LastEvent::Nothing,
    cancel: None,
};

const SETUP: [Container; 1] = [Container::Setup];

pub(super) const MODELS: [ModelPath; 1] = [("setup.model", Container::Setup, ModelRole::Response)];

/// A tool of Gemini's is of the types that its members have for names.
pub(super) const TOOLS: [(&str, ClientField); 1] = [("setup.tools[]", ClientField::MemberTool(Container::Setup))];

static PATHS: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| compile_with_turns(&[&TURN], &[]));
