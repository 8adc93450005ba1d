//! What upstreams' messages tell: a session's names, or what something has used.

use std::borrow::Cow;

use crate::json::Value;

use super::dialect::{Rejected, Used, fields, parsed, text};
use super::event::EventType;
use super::tally::Tokens;

/// What a session says about itself.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    /// The model that transcribes the user's audio.
    pub(super) transcription_model: Option<String>,
}

/// What one response or transcription has used, not yet counted.
#[derive(Debug)]
pub(super) struct Report {
    /// The id by which it counts once: of the response or item, or else of the event.
    pub(super) id: Option<(IdKind, String)>,
    /// The model that the upstream names beside it.
    pub(super) model: Option<String>,
    pub(super) used: Result<Used, Rejected>,
}

/// What an id is of.
#[derive(Debug, Hash)]
pub(super) enum IdKind {
    Response,
    Item,
    Event,
}

/// A chunk of a streamed chat completion.
#[derive(Debug)]
pub(super) enum ChatChunk {
    /// It is none.
    Other,
    /// It carries no usage.
    Choices,
    /// It carries the usage so far.
    Usage(Box<Report>),
}

/// Reads `session.created` and `session.updated`, of the present and of the former shape.
pub(super) fn read_session(event: Value<'_>) -> Result<Session, Rejected> {
    let [session] = fields(event, ["session"])?;
    let session = session.ok_or(Rejected::Missing("session"))?;
    let [id, model, audio, former] = fields(session, ["id", "model", "audio", "input_audio_transcription"])?;
    let [input] = fields(object(audio), ["input"])?;
    let [present] = fields(object(input), ["transcription"])?;
    let [transcription_model] = fields(object(present.or(former)), ["model"])?;
    Ok(Session { id: owned(id), model: owned(model), transcription_model: owned(transcription_model) })
}

/// Reads an event that ends a response or a transcription.
pub(super) fn read_event(event_type: EventType, event: Value<'_>) -> Result<Report, Rejected> {
    match event_type {
        EventType::InputAudioTranscriptionCompleted | EventType::TranscriptTextDone => read_transcription(event),
        _ => read_response(event),
    }
}

/// Reads a REST answer; `None` for one that carries no usage and need not.
pub(super) fn read_body(body: Value<'_>) -> Result<Option<Report>, Rejected> {
    let [id, object, status, model, usage] = fields(body, ["id", "object", "status", "model", "usage"])?;
    let object = text(object);
    let used = match (usage, object.as_deref()) {
        (Some(usage), _) if is_transcription(usage)? => Used::transcription(usage),
        // Embeddings write nothing.
        (Some(usage), Some("list")) => Used::reading(usage),
        (Some(usage), _) => Used::response(usage),
        (None, Some("chat.completion")) => Err(Rejected::Missing("usage")),
        (None, Some("response")) => without_usage(status),
        (None, _) => return Ok(None),
    };
    Ok(Some(Report { id: response_id(id), model: owned(model), used }))
}

/// Reads what may be a chunk of a streamed chat completion, which is known by its choices.
pub(super) fn read_chat_chunk(chunk: Value<'_>) -> Result<ChatChunk, Rejected> {
    let [choices, id, model, usage] = fields(chunk, ["choices", "id", "model", "usage"])?;
    Ok(match (choices, usage) {
        (None, _) => ChatChunk::Other,
        (Some(_), None) => ChatChunk::Choices,
        (Some(_), Some(usage)) => {
            let report = Report { id: response_id(id), model: owned(model), used: Used::response(usage) };
            ChatChunk::Usage(Box::new(report))
        }
    })
}

/// Whether this is the chunk of a streamed chat completion that tells the usage of all others, and nothing else.
pub(super) fn is_usage_alone(chunk: &[u8]) -> bool {
    let Ok(Ok(chunk)) = str::from_utf8(chunk).map(parsed) else { return false };
    let is_empty = |choices: Value<'_>| choices.as_str().bytes().all(|byte| b"[] \t\r\n".contains(&byte));
    match fields(chunk, ["choices", "usage"]) {
        Ok([Some(choices), Some(usage)]) => is_empty(choices) && usage.is_object(),
        _ => false,
    }
}

fn read_response(event: Value<'_>) -> Result<Report, Rejected> {
    let [event_id, response] = fields(event, ["event_id", "response"])?;
    let response = response.ok_or(Rejected::Missing("response"))?;
    let [id, status, model, usage] = fields(response, ["id", "status", "model", "usage"])?;
    let used = usage.map_or_else(|| without_usage(status), Used::response);
    Ok(Report { id: response_id(id).or_else(|| named(IdKind::Event, event_id)), model: owned(model), used })
}

fn read_transcription(event: Value<'_>) -> Result<Report, Rejected> {
    let [event_id, item_id, content_index, usage] = fields(event, ["event_id", "item_id", "content_index", "usage"])?;
    let item = named(IdKind::Item, item_id)
        .map(|(kind, id)| (kind, format!("{id}#{}", content_index.map_or("0", Value::as_str))));
    let used = usage.ok_or(Rejected::Missing("usage")).and_then(Used::transcription);
    Ok(Report { id: item.or_else(|| named(IdKind::Event, event_id)), model: None, used })
}

/// A response that did not complete may lack its usage; it is still a response.
fn without_usage(status: Option<Value<'_>>) -> Result<Used, Rejected> {
    match text(status).as_deref() {
        Some("cancelled" | "failed" | "incomplete") => Ok(Used::Response(Tokens::default())),
        _ => Err(Rejected::Missing("usage")),
    }
}

/// Over REST, only the usage of a transcription has a type.
fn is_transcription(usage: Value<'_>) -> Result<bool, Rejected> {
    let [kind] = fields(usage, ["type"])?;
    Ok(matches!(text(kind).as_deref(), Some("tokens" | "duration")))
}

fn response_id(id: Option<Value<'_>>) -> Option<(IdKind, String)> {
    named(IdKind::Response, id)
}

fn named(kind: IdKind, id: Option<Value<'_>>) -> Option<(IdKind, String)> {
    owned(id).filter(|id| !id.is_empty()).map(|id| (kind, id))
}

fn object(value: Option<Value<'_>>) -> Value<'_> {
    value.unwrap_or(Value::EMPTY)
}

fn owned(value: Option<Value<'_>>) -> Option<String> {
    text(value).map(Cow::into_owned)
}
