//! Which of an upstream's events matter.

use crate::json::plain_ascii;

/// The type of an upstream's event, as far as it matters here.
///
/// It is the first `type` of the top-level object, in any key order and spelling. A later `type` changes nothing, so
/// that the answer does not depend on how much has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// `session.created`: names the session and its model.
    SessionCreated,
    /// `session.updated`, `transcription_session.updated`: names the session and its models.
    SessionUpdated,
    /// `response.created`: a response has begun, asked for by the client or by the upstream's turn detection.
    /// Nothing of it matters but its type.
    ResponseCreated,
    /// `response.done`: a Realtime response has ended, in whatever way.
    ResponseDone,
    /// `response.completed`: a response of the Responses API has ended well.
    ResponseCompleted,
    /// `response.incomplete`: a response of the Responses API has been cut short.
    ResponseIncomplete,
    /// `response.failed`: a response of the Responses API has failed.
    ResponseFailed,
    /// `conversation.item.input_audio_transcription.completed`: a user's audio has been transcribed.
    InputAudioTranscriptionCompleted,
    /// `transcript.text.done`: a streamed transcription over REST has ended.
    TranscriptTextDone,
    /// `message_start`: a message of Anthropic's has begun, over REST.
    MessageStart,
    /// `message_delta`: how much that message has used so far.
    MessageDelta,
    /// `response.output_audio.delta`: a response says more, as audio. How long the event is tells how much.
    AudioDelta,
    /// Another `response.….delta`: a response says more, as text.
    TextDelta,
    /// Anything else, or no event at all.
    Other,
}

impl EventType {
    /// The type of this name.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"session.created" => Self::SessionCreated,
            b"session.updated" | b"transcription_session.updated" => Self::SessionUpdated,
            b"response.created" => Self::ResponseCreated,
            b"response.done" => Self::ResponseDone,
            b"response.completed" => Self::ResponseCompleted,
            b"response.incomplete" => Self::ResponseIncomplete,
            b"response.failed" => Self::ResponseFailed,
            b"conversation.item.input_audio_transcription.completed" => Self::InputAudioTranscriptionCompleted,
            b"transcript.text.done" => Self::TranscriptTextDone,
            b"message_start" => Self::MessageStart,
            b"message_delta" => Self::MessageDelta,
            b"response.output_audio.delta" | b"response.audio.delta" => Self::AudioDelta,
            _ if name.starts_with(b"response.") && name.ends_with(b".delta") => Self::TextDelta,
            _ => Self::Other,
        }
    }

    /// The type of an event of which these are the first bytes, if it begins with it, spelled plainly: that is how all
    /// known upstreams write, and most of what they write does not matter.
    pub fn leading(first: &[u8]) -> Option<Self> {
        let name = first.strip_prefix(br#"{"type":""#)?;
        let (name, rest) = name.split_at_checked(plain_ascii(name))?;
        rest.starts_with(b"\"").then(|| Self::of(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Relevance, UpstreamMessage};
    use super::*;

    const NAMES: [(&str, EventType); 16] = [
        ("session.created", EventType::SessionCreated),
        ("session.updated", EventType::SessionUpdated),
        ("transcription_session.updated", EventType::SessionUpdated),
        ("response.created", EventType::ResponseCreated),
        ("response.done", EventType::ResponseDone),
        ("response.completed", EventType::ResponseCompleted),
        ("response.incomplete", EventType::ResponseIncomplete),
        ("response.failed", EventType::ResponseFailed),
        ("conversation.item.input_audio_transcription.completed", EventType::InputAudioTranscriptionCompleted),
        ("transcript.text.done", EventType::TranscriptTextDone),
        ("message_start", EventType::MessageStart),
        ("message_delta", EventType::MessageDelta),
        ("response.output_audio.delta", EventType::AudioDelta),
        ("response.audio.delta", EventType::AudioDelta),
        ("response.output_audio_transcript.delta", EventType::TextDelta),
        ("response.function_call_arguments.delta", EventType::TextDelta),
    ];

    /// How an event of a type is read on.
    fn relevance(event_type: EventType) -> Relevance {
        match event_type {
            EventType::Other => Relevance::None,
            EventType::AudioDelta => Relevance::Length,
            EventType::TextDelta => Relevance::Text,
            _ => Relevance::Open,
        }
    }

    #[test]
    fn every_name_is_known_plain_and_fully_escaped() {
        for (name, event_type) in NAMES {
            assert_eq!(EventType::of(name.as_bytes()), event_type);
            let escaped: String = name.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
            for (event, leading) in [
                (format!(r#"{{"type":"{name}""#), Some(event_type)),
                (format!(r#"{{"type":"{escaped}""#), None),
                (format!(r#"{{"event_id":"e","type":"{name}""#), None),
                (format!(r#"{{"type":"{name}"#), None),
            ] {
                assert_eq!(EventType::leading(event.as_bytes()), leading, "{event}");
                let is_cut = !event.ends_with('"');
                let want = if is_cut { Relevance::Open } else { relevance(event_type) };
                assert_eq!(UpstreamMessage::new().feed_event(event.as_bytes()), want, "{event}");
            }
        }
        assert_eq!(EventType::leading(br#"{"type":"response.output_audio.done","item_id":""#), Some(EventType::Other));
    }

    proptest! {
        #[test]
        fn what_the_first_bytes_tell_is_what_reading_tells(
            name in prop_oneof![prop::sample::select(NAMES.map(|(name, _)| name.to_owned()).to_vec()), "[a-z._\"\\\\u0 ]{0,20}"],
            before in "[ {\"]{0,2}", cut in any::<prop::sample::Index>(),
        ) {
            let event = format!(r#"{before}{{"type":"{name}","event_id":"e"}}"#);
            let first = &event.as_bytes()[..cut.index(event.len() + 1)];
            if let Some(event_type) = EventType::leading(first) {
                prop_assert_eq!(UpstreamMessage::new().feed_event(first), relevance(event_type));
                prop_assert_eq!(event_type, EventType::of(name.as_bytes()));
            }
        }
    }
}
