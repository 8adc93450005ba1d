//! Which of an upstream's events matter.

use crate::json::plain_ascii;

/// The type of an upstream's event, as far as it matters here.
///
/// It is the first `type` of the top-level object, in any key order and spelling. A later `type` changes nothing, so
/// that the answer does not depend on how much has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// `session.created`, `session.started`: names the session and its model.
    SessionCreated,
    /// `session.updated`, `transcription_session.updated`: names the session and its models.
    SessionUpdated,
    /// `response.created` in Realtime: a response has begun, asked for by the client or by the upstream's turn detection.
    /// Nothing of it matters but its type.
    ResponseCreated,
    /// `response.created` in the Responses API: it says of which model the response is.
    ResponseNamed,
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
    /// `session.usage.updated`, `session.closed` in Live: how long the audio of the session is so far.
    AudioUsed,
    /// `response.event` in Live: an event of the Responses API is told in it.
    Wrapped,
    /// `response.output_audio.delta`: a response says more, as audio. How long the event is tells how much.
    AudioDelta,
    /// Another `response.….delta`: a response says more, as text.
    TextDelta,
    /// Anything else, or no event at all.
    Other,
}

impl EventType {
    /// The type of an event of which these are the first bytes, if it begins with it, spelled plainly: that is how all
    /// known upstreams write, and most of what they write does not matter. `read` tells what a name means.
    pub(super) fn leading(first: &[u8], read: fn(&[u8]) -> Self) -> Option<Self> {
        let name = first.strip_prefix(br#"{"type":""#)?;
        let (name, rest) = name.split_at_checked(plain_ascii(name))?;
        rest.starts_with(b"\"").then(|| read(name))
    }

    /// Of a response that goes on: whether it says text.
    pub(super) fn of_delta(name: &[u8]) -> Self {
        if name.starts_with(b"response.") && name.ends_with(b".delta") { Self::TextDelta } else { Self::Other }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Relevance, SessionKind, UpstreamMessage};
    use super::*;

    const REALTIME: [(&str, EventType); 10] = [
        ("session.created", EventType::SessionCreated),
        ("session.updated", EventType::SessionUpdated),
        ("transcription_session.updated", EventType::SessionUpdated),
        ("response.created", EventType::ResponseCreated),
        ("response.done", EventType::ResponseDone),
        ("conversation.item.input_audio_transcription.completed", EventType::InputAudioTranscriptionCompleted),
        ("response.output_audio.delta", EventType::AudioDelta),
        ("response.audio.delta", EventType::AudioDelta),
        ("response.output_audio_transcript.delta", EventType::TextDelta),
        ("response.function_call_arguments.delta", EventType::TextDelta),
    ];

    const RESPONSES: [(&str, EventType); 6] = [
        ("response.created", EventType::ResponseNamed),
        ("response.completed", EventType::ResponseCompleted),
        ("response.incomplete", EventType::ResponseIncomplete),
        ("response.failed", EventType::ResponseFailed),
        ("response.output_text.delta", EventType::TextDelta),
        ("response.done", EventType::Other),
    ];

    const LIVE: [(&str, EventType); 7] = [
        ("session.started", EventType::SessionCreated),
        ("session.updated", EventType::SessionUpdated),
        ("session.usage.updated", EventType::AudioUsed),
        ("session.closed", EventType::AudioUsed),
        ("response.event", EventType::Wrapped),
        ("response.done", EventType::Other),
        ("session.output_audio.delta", EventType::Other),
    ];

    const TRANSLATION: [(&str, EventType); 4] = [
        ("session.created", EventType::SessionCreated),
        ("session.output_audio.delta", EventType::AudioDelta),
        ("session.output_transcript.delta", EventType::Other),
        ("response.done", EventType::Other),
    ];

    fn names() -> impl Iterator<Item = (SessionKind, &'static str, EventType)> {
        let of = |kind, names: &'static [(&'static str, EventType)]| {
            names.iter().map(move |(name, event_type)| (kind, *name, *event_type))
        };
        let transcription = of(SessionKind::Transcription, &REALTIME);
        let realtime = of(SessionKind::Conversation, &REALTIME).chain(transcription);
        let others = of(SessionKind::Responses, &RESPONSES).chain(of(SessionKind::Live, &LIVE));
        realtime.chain(others).chain(of(SessionKind::Translation, &TRANSLATION))
    }

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
    fn every_name_is_known_to_its_kind_plain_and_fully_escaped() {
        for (kind, name, event_type) in names() {
            assert_eq!((kind.row().upstream.event_type)(name.as_bytes()), event_type, "{kind:?} {name}");
            let escaped: String = name.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
            for (event, leading) in [
                (format!(r#"{{"type":"{name}""#), Some(event_type)),
                (format!(r#"{{"type":"{escaped}""#), None),
                (format!(r#"{{"event_id":"e","type":"{name}""#), None),
                (format!(r#"{{"type":"{name}"#), None),
            ] {
                assert_eq!(kind.leading(event.as_bytes()), leading, "{event}");
                let is_cut = !event.ends_with('"');
                let want = if is_cut { Relevance::Open } else { relevance(event_type) };
                assert_eq!(UpstreamMessage::of(kind).feed_event(event.as_bytes()), want, "{event}");
            }
        }
        let other = br#"{"type":"response.output_audio.done","item_id":""#;
        assert_eq!(SessionKind::Conversation.leading(other), Some(EventType::Other));
    }

    #[test]
    fn what_could_be_of_any_kind_is_read_as_all_of_them() {
        for (kind, name, event_type) in names() {
            let read = (SessionKind::Other.row().upstream.event_type)(name.as_bytes());
            let is_apart = matches!(event_type, EventType::Other | EventType::ResponseCreated);
            let is_audio = kind == SessionKind::Translation && event_type == EventType::AudioDelta;
            assert!(is_apart || is_audio || read == event_type, "{kind:?} {name}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn what_the_first_bytes_tell_is_what_reading_tells(
            (kind, name) in prop_oneof![
                prop::sample::select(names().map(|(kind, name, _)| (kind, name.to_owned())).collect::<Vec<_>>()),
                (prop::sample::select(SessionKind::ALL.to_vec()), "[a-z._\"\\\\u0 ]{0,20}"),
            ],
            before in "[ {\"]{0,2}", cut in any::<prop::sample::Index>(),
        ) {
            let event = format!(r#"{before}{{"type":"{name}","event_id":"e"}}"#);
            let first = &event.as_bytes()[..cut.index(event.len() + 1)];
            if let Some(event_type) = kind.leading(first) {
                prop_assert_eq!(UpstreamMessage::of(kind).feed_event(first), relevance(event_type));
                prop_assert_eq!(event_type, (kind.row().upstream.event_type)(name.as_bytes()));
            }
        }
    }
}
