//! Where what matters of upstreams' messages stands: the groups of paths that protocols have in common.

use std::sync::Arc;

use super::turn::TurnField;
use super::upstream_field::{Field, Level};
use super::upstream_value::Direction;
use super::usage::{UsageField, gemini_usage_paths, usage_paths};
use crate::json::paths::Paths;

/// A path, and what stands there.
pub(super) type FieldPath = (&'static str, Field);

/// Of every event.
pub(super) const EVENT: [FieldPath; 2] = [("type", Field::Type), ("event_id", Field::EventId)];

/// Of an event that names a session.
pub(super) const SESSION: [FieldPath; 3] =
    [("session", Field::Session), ("session.id", Field::SessionId), ("session.model", Field::SessionModel)];

/// The models that transcribe for a session of Realtime, in the present place and in the former one.
pub(super) const TRANSCRIPTION: [FieldPath; 4] = [
    ("session.audio.input.transcription", Field::Transcription),
    ("session.audio.input.transcription.model", Field::TranscriptionModel),
    ("session.input_audio_transcription", Field::FormerTranscription),
    ("session.input_audio_transcription.model", Field::FormerTranscriptionModel),
];

/// Of an event that ends a transcription.
pub(super) const ITEM: [FieldPath; 2] = [("item_id", Field::ItemId), ("content_index", Field::ContentIndex)];

/// The formats of audio of a session of Realtime.
pub(super) const FORMATS: [FieldPath; 6] = [
    ("session.audio.input.format.type", Field::AudioFormat(Direction::Input)),
    ("session.audio.input.format.rate", Field::AudioRate(Direction::Input)),
    ("session.audio.output.format.type", Field::AudioFormat(Direction::Output)),
    ("session.audio.output.format.rate", Field::AudioRate(Direction::Output)),
    ("session.input_audio_format", Field::AudioFormat(Direction::Input)),
    ("session.output_audio_format", Field::AudioFormat(Direction::Output)),
];

/// What Live has of its own.
pub(super) const LIVE: [FieldPath; 6] = [
    ("session.delegation.responses.model", Field::DelegateModel),
    ("session.delegation.decisions.model", Field::DelegateModel),
    ("session.audio.format.type", Field::AudioFormat(Direction::Input)),
    ("session.audio.format.rate", Field::AudioRate(Direction::Input)),
    ("usage", Field::Usage(Level::Top, UsageField::Itself)),
    ("usage.seconds", Field::Usage(Level::Top, UsageField::Seconds)),
];

/// Of an event of a response.
pub(super) const RESPONSE: [FieldPath; 5] = [
    ("delta", Field::Said),
    ("response", Field::Response),
    ("response.id", Field::Id(Level::Response)),
    ("response.status", Field::Status(Level::Response)),
    ("response.model", Field::Model(Level::Response)),
];

/// Of an event of a response that is told in another one.
pub(super) const INNER_RESPONSE: [FieldPath; 6] = [
    ("event.type", Field::InnerType),
    ("event.delta", Field::Said),
    ("event.response", Field::Response),
    ("event.response.id", Field::Id(Level::Response)),
    ("event.response.status", Field::Status(Level::Response)),
    ("event.response.model", Field::Model(Level::Response)),
];

/// What Gemini's messages say of a turn.
pub(super) const TURN: [FieldPath; 7] = [
    ("setupComplete", Field::Turn(TurnField::SetUp)),
    ("setupComplete.sessionId", Field::Turn(TurnField::SessionId)),
    ("toolCall", Field::Turn(TurnField::Content)),
    ("serverContent.modelTurn", Field::Turn(TurnField::Content)),
    ("serverContent.modelTurn.parts[].text", Field::Turn(TurnField::Text)),
    ("serverContent.modelTurn.parts[].inlineData.data", Field::Turn(TurnField::Audio)),
    ("serverContent.turnComplete", Field::Turn(TurnField::Complete)),
];

/// Compiles groups of paths, and the objects of usage that stand at others, each with the level that it is of.
pub(super) fn compile(groups: &[&[FieldPath]], usages: &[(&str, Level)]) -> Arc<Paths<Field>> {
    let of_groups = groups.iter().copied().flatten().map(|(path, field)| ((*path).to_owned(), *field));
    let of_usages = usages.iter().flat_map(|(usage, level)| {
        let at = move |(name, field): (String, UsageField)| (below(usage, &name), Field::Usage(*level, field));
        usage_paths().into_iter().map(at)
    });
    Arc::new(Paths::new(&of_groups.chain(of_usages).collect::<Vec<_>>()))
}

/// The same, and what Gemini tells of usage.
pub(super) fn compile_with_turns(groups: &[&[FieldPath]], usages: &[(&str, Level)]) -> Arc<Paths<Field>> {
    let mut paths = Paths::clone(&compile(groups, usages));
    for (name, field) in gemini_usage_paths() {
        // They are known to be good.
        if let Ok(more) = paths.clone().with(&below("usageMetadata", &name), Field::Turn(TurnField::Usage(field))) {
            paths = more;
        }
    }
    Arc::new(paths)
}

fn below(object: &str, name: &str) -> String {
    if name.is_empty() { object.to_owned() } else { format!("{object}.{name}") }
}
