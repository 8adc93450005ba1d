//! What is known of a kind: a row of the table.

use std::sync::Arc;

use crate::json::paths::Paths;
use crate::protocol::client_field::{ClientField, Container, ModelRole};
use crate::protocol::event_type::EventType;
use crate::protocol::upstream_field::Field;
use crate::usage::AudioMeasure;

/// What is known of a kind.
#[derive(Debug)]
pub struct Kind {
    /// Where a session's model is named first.
    pub model: ModelPlace,
    /// What clients say.
    pub(in crate::protocol) client: ClientWords,
    /// What upstreams say.
    pub(in crate::protocol) upstream: UpstreamWords,
    /// How audio is measured of which nobody tells the usage.
    pub audio: AudioMeasure,
    /// How the gateway says why it ends a session, before the Close.
    pub last_event: LastEvent,
    /// What an upstream is asked that is to say something, and is silent.
    pub question: Question,
    /// How fields go in that the gateway sets before its client says anything.
    pub preset: PresetWay,
    /// What cancels a response, where a client can.
    pub cancel: Option<&'static str>,
}

/// Where a session's model is named first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelPlace {
    /// In the query.
    Query,
    /// In the client's first message, if not in the query.
    FirstMessage,
    /// In a message of the client's, or by the upstream alone.
    AnyMessage,
}

/// How the gateway says why it ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastEvent {
    /// By an `error` event of OpenAI's.
    Error,
    /// By the Close alone: the protocol has no event for it.
    Nothing,
}

/// What an upstream is asked whose answer is prompt and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// For an item that there cannot be.
    Item,
    /// Nothing is known that it would answer.
    None,
}

/// How fields go in that the gateway sets before its client says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresetWay {
    /// As a `session.update` of their own, ahead of the client's first message.
    SessionUpdate,
    /// Not at all: a session of this kind is refused where there is a preset.
    None,
}

/// What a client's messages are judged by.
#[derive(Debug)]
pub(in crate::protocol) struct ClientWords {
    /// The message that sets a session up, which a preset goes into, or ahead of.
    pub(in crate::protocol) opening: Opening,
    /// Which objects matter of a message of this type.
    pub(in crate::protocol) of_type: fn(&str) -> &'static [Container],
    /// Which objects matter of a message that has no type.
    pub(in crate::protocol) untyped: &'static [Container],
    /// The objects in which fields can be locked, by their paths; the empty one is the whole message.
    pub(in crate::protocol) containers: &'static [(Container, &'static str)],
    /// Where models are named, and what they are to do.
    pub(in crate::protocol) models: &'static [ModelPath],
    /// Where tools are listed.
    pub(in crate::protocol) tools: &'static [(&'static str, ClientField)],
    /// Where else something stands that matters.
    pub(in crate::protocol) others: &'static [(&'static str, ClientField)],
    /// How the fields that a lock names are spelled.
    pub(in crate::protocol) spelling: Spelling,
    /// The beginning of a message that appends audio: its type, or its first name, in quotes.
    pub(in crate::protocol) audio_append: &'static [u8],
}

/// A path at which a client names a model, the object that it stands in, and what the model is to do.
pub(in crate::protocol) type ModelPath = (&'static str, Container, ModelRole);

/// The message that sets a session up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum Opening {
    /// One of this type.
    Type(&'static str),
    /// One that has this object.
    Object(Container),
    /// None: the upstream sets it up, and the client may change that.
    None,
}

/// How the names of fields are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum Spelling {
    /// As they are.
    Exact,
    /// In camel case, or in snake case: protocol buffers' JSON has both.
    CamelOrSnake,
}

/// What an upstream's messages are read by.
#[derive(Debug)]
pub(in crate::protocol) struct UpstreamWords {
    /// What the type of an event means.
    pub(in crate::protocol) event_type: fn(&[u8]) -> EventType,
    /// What the type of an event means that is told in another one.
    pub(in crate::protocol) inner_type: fn(&[u8]) -> EventType,
    /// Where what matters stands.
    pub(in crate::protocol) paths: fn() -> Arc<Paths<Field>>,
}
