//! What is inspected of a client's events, and where it stands in them.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use crate::json::paths::Paths;

/// What a model is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// Respond.
    Response,
    /// Transcribe the user's audio.
    Transcription,
}

/// What is inspected of an event.
#[derive(Debug, Clone, Copy)]
pub(super) enum ClientField {
    Type,
    EventId,
    Container(Container),
    /// Where a model is named: its place in [`MODELS`].
    Model(usize),
    /// A locked field, by its place in the lock, in this object.
    Locked(Container, usize),
    /// An item of the `tools` in this object.
    Tool(Container),
    /// An item of the `tools` of an item of the `input` in this object.
    InputTool(Container),
    /// The type of such an item.
    ToolType,
}

/// Something that is locked, as it stands in an event.
#[derive(Debug)]
pub(super) enum Part {
    /// A member with this place.
    Member(Range<u64>),
    /// An item of a list with this one.
    Item(Range<u64>),
}

/// The objects in which fields are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Session,
    Response,
    Top,
}

/// Where models are named, and what they are to do.
pub(super) const MODELS: [(&str, Container, ModelRole); 5] = [
    ("session.model", Container::Session, ModelRole::Response),
    ("session.audio.input.transcription.model", Container::Session, ModelRole::Transcription),
    ("session.input_audio_transcription.model", Container::Session, ModelRole::Transcription),
    ("response.model", Container::Response, ModelRole::Response),
    ("model", Container::Top, ModelRole::Response),
];

/// What every event is judged by.
pub(super) static EVERY: LazyLock<Arc<Paths<ClientField>>> = LazyLock::new(|| {
    let mut paths = vec![
        ("type", ClientField::Type),
        ("session", ClientField::Container(Container::Session)),
        ("response", ClientField::Container(Container::Response)),
    ];
    paths.extend(MODELS.iter().enumerate().map(|(place, (path, ..))| (*path, ClientField::Model(place))));
    Arc::new(Paths::new(&paths))
});
