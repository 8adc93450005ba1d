//! What upstreams' events and bodies say: a session's names, or what something has used.

use std::borrow::Cow;

use crate::json::Value;

use super::event_type_old::EventType;
use super::usage_old::{fields, parsed, text};
use crate::usage::report::{IdKind, Report, ReportedUsage, SessionNames};
use crate::usage::{Meter, MeterEvent, PriceList, Tokens, UsageError};

impl Meter {
    /// Counts one whole event of the upstream's, as WebSockets and the Responses API's streams carry them.
    pub fn old_event(&mut self, event: &[u8], prices: &PriceList) -> MeterEvent {
        let event_type = EventType::of(event);
        match (event_type, str::from_utf8(event)) {
            (EventType::Other, _) => MeterEvent::Ignored,
            (EventType::ResponseCreated, _) => MeterEvent::ResponseStarted,
            (_, Err(_)) => MeterEvent::Rejected(UsageError::Malformed),
            (EventType::SessionCreated | EventType::SessionUpdated, Ok(event)) => {
                parsed(event).and_then(read_session).map_or_else(MeterEvent::Rejected, |session| self.learn(session))
            }
            (_, Ok(event)) => {
                let report = parsed(event).and_then(|event| read_event(event_type, event));
                report.map_or_else(MeterEvent::Rejected, |report| self.count(report, prices))
            }
        }
    }

    /// Counts a whole JSON answer over REST: a response, a chat completion, a transcription, embeddings.
    pub fn old_body(&mut self, body: &[u8], prices: &PriceList) -> MeterEvent {
        let read = str::from_utf8(body).map_err(|_| UsageError::Malformed).and_then(parsed).and_then(read_body);
        match read {
            Ok(Some(report)) => self.count(report, prices),
            Ok(None) => MeterEvent::Ignored,
            Err(rejected) => MeterEvent::Rejected(rejected),
        }
    }
}

/// A chunk of a streamed chat completion.
#[derive(Debug)]
pub(crate) enum ChatChunk {
    /// It is none.
    Other,
    /// It carries no usage.
    Choices,
    /// It carries the usage so far.
    Usage(Box<Report>),
}

/// Reads `session.created` and `session.updated`, of the present and of the former shape.
pub(crate) fn read_session(event: Value<'_>) -> Result<SessionNames, UsageError> {
    let [session] = fields(event, ["session"])?;
    let session = session.ok_or(UsageError::Missing("session"))?;
    let [id, model, audio, former] = fields(session, ["id", "model", "audio", "input_audio_transcription"])?;
    let [input] = fields(object(audio), ["input"])?;
    let [present] = fields(object(input), ["transcription"])?;
    let [transcription_model] = fields(object(present.or(former)), ["model"])?;
    Ok(SessionNames { id: owned(id), model: owned(model), transcription_model: owned(transcription_model) })
}

/// Reads an event that ends a response or a transcription.
pub(crate) fn read_event(event_type: EventType, event: Value<'_>) -> Result<Report, UsageError> {
    match event_type {
        EventType::InputAudioTranscriptionCompleted | EventType::TranscriptTextDone => read_transcription(event),
        _ => read_response(event),
    }
}

/// Reads a REST answer; `None` for one that carries no usage and need not.
pub(crate) fn read_body(body: Value<'_>) -> Result<Option<Report>, UsageError> {
    let [id, object, status, model, usage] = fields(body, ["id", "object", "status", "model", "usage"])?;
    let object = text(object);
    let used = match (usage, object.as_deref()) {
        (Some(usage), _) if is_transcription(usage)? => ReportedUsage::transcription(usage),
        // Embeddings write nothing.
        (Some(usage), Some("list")) => ReportedUsage::reading(usage),
        (Some(usage), _) => ReportedUsage::response(usage),
        (None, Some("chat.completion")) => Err(UsageError::Missing("usage")),
        (None, Some("response")) => without_usage(status),
        (None, _) => return Ok(None),
    };
    Ok(Some(Report { id: response_id(id), model: owned(model), used }))
}

/// Reads what may be a chunk of a streamed chat completion, which is known by its choices.
pub(crate) fn read_chat_chunk(chunk: Value<'_>) -> Result<ChatChunk, UsageError> {
    let [choices, id, model, usage] = fields(chunk, ["choices", "id", "model", "usage"])?;
    Ok(match (choices, usage) {
        (None, _) => ChatChunk::Other,
        (Some(_), None) => ChatChunk::Choices,
        (Some(_), Some(usage)) => {
            let report = Report { id: response_id(id), model: owned(model), used: ReportedUsage::response(usage) };
            ChatChunk::Usage(Box::new(report))
        }
    })
}

/// Whether this is the chunk of a streamed chat completion that tells the usage of all others, and nothing else.
pub(crate) fn is_usage_alone(chunk: &[u8]) -> bool {
    let Ok(Ok(chunk)) = str::from_utf8(chunk).map(parsed) else { return false };
    let is_empty = |choices: Value<'_>| choices.as_str().bytes().all(|byte| b"[] \t\r\n".contains(&byte));
    match fields(chunk, ["choices", "usage"]) {
        Ok([Some(choices), Some(usage)]) => is_empty(choices) && usage.is_object(),
        _ => false,
    }
}

fn read_response(event: Value<'_>) -> Result<Report, UsageError> {
    let [event_id, response] = fields(event, ["event_id", "response"])?;
    let response = response.ok_or(UsageError::Missing("response"))?;
    let [id, status, model, usage] = fields(response, ["id", "status", "model", "usage"])?;
    let used = usage.map_or_else(|| without_usage(status), ReportedUsage::response);
    Ok(Report { id: response_id(id).or_else(|| named(IdKind::Event, event_id)), model: owned(model), used })
}

fn read_transcription(event: Value<'_>) -> Result<Report, UsageError> {
    let [event_id, item_id, content_index, usage] = fields(event, ["event_id", "item_id", "content_index", "usage"])?;
    let item = named(IdKind::Item, item_id)
        .map(|(kind, id)| (kind, format!("{id}#{}", content_index.map_or("0", Value::as_str))));
    let used = usage.ok_or(UsageError::Missing("usage")).and_then(ReportedUsage::transcription);
    Ok(Report { id: item.or_else(|| named(IdKind::Event, event_id)), model: None, used })
}

/// A response that did not complete may lack its usage; it is still a response.
fn without_usage(status: Option<Value<'_>>) -> Result<ReportedUsage, UsageError> {
    match text(status).as_deref() {
        Some("cancelled" | "failed" | "incomplete") => Ok(ReportedUsage::Response(Tokens::default())),
        _ => Err(UsageError::Missing("usage")),
    }
}

/// Over REST, only the usage of a transcription has a type.
fn is_transcription(usage: Value<'_>) -> Result<bool, UsageError> {
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
