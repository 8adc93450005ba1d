//! What responses of REST are read by: their bodies, and the events of those that stream.

use std::sync::{Arc, LazyLock};

use super::event_type::EventType;
use super::kind::UpstreamWords;
use super::upstream_field::{Field, Level};
use super::upstream_paths::{EVENT, FieldPath, ITEM, RESPONSE, compile};
use crate::json::paths::Paths;

/// All of them: OpenAI's, and Anthropic's.
pub(super) static WORDS: UpstreamWords = UpstreamWords { event_type, inner_type: event_type, paths: || PATHS.clone() };

static PATHS: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| {
    let usages = [("response.usage", Level::Response), ("message.usage", Level::Message), ("usage", Level::Top)];
    compile(&[&EVENT, &ITEM, &RESPONSE, &OF_REST], &usages)
});

const OF_REST: [FieldPath; 14] = [
    ("delta.text", Field::Said),
    ("delta.thinking", Field::Said),
    ("delta.partial_json", Field::Said),
    ("choices[].text", Field::Said),
    ("choices[].delta.content", Field::Said),
    ("choices[].delta.reasoning_content", Field::Said),
    ("choices[].delta.tool_calls[].function.arguments", Field::Said),
    ("message.id", Field::Id(Level::Message)),
    ("message.model", Field::Model(Level::Message)),
    ("id", Field::Id(Level::Top)),
    ("status", Field::Status(Level::Top)),
    ("model", Field::Model(Level::Top)),
    ("object", Field::Object),
    ("choices", Field::Choices),
];

fn event_type(name: &[u8]) -> EventType {
    match name {
        b"response.created" => EventType::ResponseCreated,
        b"response.completed" => EventType::ResponseCompleted,
        b"response.incomplete" => EventType::ResponseIncomplete,
        b"response.failed" => EventType::ResponseFailed,
        b"transcript.text.done" => EventType::TranscriptTextDone,
        b"message_start" => EventType::MessageStart,
        b"message_delta" => EventType::MessageDelta,
        b"response.output_audio.delta" | b"response.audio.delta" => EventType::AudioDelta,
        _ => EventType::of_delta(name),
    }
}
