//! Which of an upstream's events matter, and telling so from an event's first bytes.

use crate::json::scan::{Raw, Scan, first_type, unescape};

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
    /// `response.created`: a response has begun, asked for by the client or by the upstream's turn detection. A
    /// [`Meter`](crate::usage::Meter) reads nothing but its type, so it needs no collecting.
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
    /// Anything else, or no event at all.
    Other,
}

impl EventType {
    /// The type of a whole event.
    pub fn of(event: &[u8]) -> Self {
        match first_type(event) {
            Scan::Type(raw) => Self::from_raw(raw),
            Scan::Untyped | Scan::Truncated => Self::Other,
        }
    }

    fn from_raw(raw: Raw<'_>) -> Self {
        if raw.is_escaped {
            return unescape(raw.bytes, LONGEST_NAME).map_or(Self::Other, |name| Self::from_name(name.as_bytes()));
        }
        Self::from_name(raw.bytes)
    }

    fn from_name(name: &[u8]) -> Self {
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
            _ => Self::Other,
        }
    }
}

const LONGEST_NAME: usize = "conversation.item.input_audio_transcription.completed".len();

/// What the beginning of an upstream's message says about the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// Nothing in it is wanted, whatever follows: skip it by its length.
    Uninteresting,
    /// It is this event, never [`EventType::Other`]: collect it.
    Interesting(EventType),
    /// These bytes do not tell: read on. A whole message that ends so is no event.
    NeedMore,
}

/// Tells from a message's beginning whether it must be collected. About 128 bytes decide for every event that begins
/// with its type, as those of all known upstreams do; a message with its type elsewhere is [`Peek::NeedMore`] until
/// the type is read, so key order hides nothing.
pub fn peek(prefix: &[u8]) -> Peek {
    match first_type(prefix) {
        Scan::Type(raw) => match EventType::from_raw(raw) {
            EventType::Other => Peek::Uninteresting,
            event_type => Peek::Interesting(event_type),
        },
        Scan::Untyped => Peek::Uninteresting,
        Scan::Truncated => Peek::NeedMore,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const NAMES: [(&str, EventType); 10] = [
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
    ];

    /// The type as a JSON parser sees it; its documents hold no key twice.
    fn parsed_type(json: &str) -> EventType {
        let value: Value = serde_json::from_str(json).unwrap();
        let name = value.get("type").and_then(Value::as_str);
        NAMES.iter().find(|(known, _)| Some(*known) == name).map_or(EventType::Other, |(_, event_type)| *event_type)
    }

    #[test]
    fn every_name_is_known_plain_and_fully_escaped() {
        for (name, event_type) in NAMES {
            let escaped: String = name.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
            for spelling in [name, &escaped] {
                let event = format!(r#"{{"event_id":"e","type":"{spelling}"}}"#);
                assert_eq!(EventType::of(event.as_bytes()), event_type, "{event}");
                assert_eq!(peek(event.as_bytes()), Peek::Interesting(event_type), "{event}");
            }
        }
    }

    #[test]
    fn audio_is_uninteresting_from_its_first_bytes() {
        for event in [
            r#"{"type":"response.output_audio.delta","event_id":"event_1","delta":"AAAA"#,
            r#"{"event_id":"event_B9mJyWgSpKqmXGTyCNLBM","type":"response.audio.delta","#,
            r#"{"type":"input_audio_buffer.speech_started""#,
            "\u{0}\u{1}binary",
            "[]",
        ] {
            assert_eq!(peek(event.as_bytes()), Peek::Uninteresting, "{event}");
        }
        for event in ["", " ", "{", r#"{"type"#, r#"{"delta":"AAAA"#, r#"{"type":"response.output_audio.delta"#] {
            assert_eq!(peek(event.as_bytes()), Peek::NeedMore, "{event}");
        }
    }

    fn json_value() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            any::<i32>().prop_map(|number| number.to_string()),
            "[ -~é\"\\\\]{0,12}".prop_map(|text| Value::from(text).to_string()),
            Just(r#"{"type":"response.done"}"#.to_owned()),
            Just(r#"["type","response.done"]"#.to_owned()),
            Just(r#""\",\"type\":\"response.done\"""#.to_owned()),
        ];
        scalar.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[ {} ]", items.join(" ,"))),
                prop::collection::vec(inner, 0..3).prop_map(|items| {
                    let members = items.iter().enumerate().map(|(key, value)| format!("\"k{key}\" :{value}"));
                    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    fn spelled(text: &str, escapes: u64) -> String {
        let spell = |(index, letter): (usize, char)| match escapes >> (index % 64) & 1 {
            0 => letter.to_string(),
            _ => format!("\\u{:04x}", u32::from(letter)),
        };
        text.chars().enumerate().map(spell).collect()
    }

    prop_compose! {
        fn event()(
            name in prop_oneof![
                prop::sample::select(NAMES.map(|(name, _)| name.to_owned()).to_vec()),
                prop::sample::select(vec!["response.output_audio.delta", "session.create", "response.done "])
                    .prop_map(str::to_owned),
                "[a-z._]{0,20}",
            ],
            escapes in any::<(u64, u64)>(),
            others in prop::collection::vec(json_value(), 0..4),
            at in any::<prop::sample::Index>(),
            space in "[ \t\r\n]{0,2}",
            typed in prop::bool::weighted(0.9),
        ) -> String {
            let mut members: Vec<String> =
                others.iter().enumerate().map(|(key, value)| format!("\"key{key}\"{space}:{value}")).collect();
            if typed {
                let (key, value) = (spelled("type", escapes.0), spelled(&name, escapes.1));
                members.insert(at.index(members.len() + 1), format!("\"{key}\":{space}\"{value}\"{space}"));
            }
            format!("{space}{{{space}{}{space}}}", members.join(&format!("{space},")))
        }
    }

    proptest! {
        #[test]
        fn no_prefix_misjudges_an_event(event in event()) {
            let truth = parsed_type(&event);
            prop_assert_eq!(EventType::of(event.as_bytes()), truth);
            for end in 0..=event.len() {
                match peek(&event.as_bytes()[..end]) {
                    Peek::Uninteresting => prop_assert_eq!(truth, EventType::Other),
                    Peek::Interesting(event_type) => prop_assert_eq!(truth, event_type),
                    Peek::NeedMore => prop_assert!(end < event.len()),
                }
            }
        }

        #[test]
        fn a_judgement_stands_whatever_follows(bytes in "[\\[{}\\]:,\"\\\\ a-z]{0,40}", more in any::<Vec<u8>>()) {
            let judged = peek(bytes.as_bytes());
            if judged != Peek::NeedMore {
                prop_assert_eq!(peek(&[bytes.as_bytes(), &more].concat()), judged);
            }
        }

        #[test]
        fn arbitrary_bytes_are_judged(bytes in any::<Vec<u8>>()) {
            if let Peek::Interesting(event_type) = peek(&bytes) {
                prop_assert_eq!(EventType::of(&bytes), event_type);
            }
        }
    }
}
