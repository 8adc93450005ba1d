//! What a client's event changes, for policies that lock fields or restrict models.
//!
//! Everything is read strictly, since a client may try to show the upstream something else than the gateway: a name
//! that matters stands once and in its own case, and what is no JSON object is unreadable.

use std::fmt;
use std::ops::ControlFlow;

use super::client_field::{ClientField, Container, ModelRole};
use super::client_found::{Found, Model, Shape, Stored};
use super::kind::{ClientWords, SessionKind};
use super::lock::Lock;
use crate::json::matcher::{self, Bounds, Matcher};

/// What a client's event asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientEvent {
    /// The first locked path that it would change.
    pub locked: Option<String>,
    /// The models that it names.
    pub models: Vec<RequestedModel>,
    /// It sets the session up, of a kind in which a message does.
    pub opens: bool,
    /// What makes a response of which nobody can say what it reads, or when it ends.
    pub stored: Option<Stored>,
    /// Its id, if it has one that is not too long, and its sender may be told that it is refused.
    pub id: Option<String>,
}

/// A model that a client's event names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedModel {
    /// What it is to do.
    pub role: ModelRole,
    /// Its name, as the client wrote it.
    pub name: String,
}

/// An event that cannot be inspected, and so must not pass where one has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not one JSON object, or could be read in two ways.
    Json(matcher::Unreadable),
    /// Its `session` or its `response` is something else than an object.
    NotAnObject,
    /// The model at this path is something else than a string.
    NotAModel(&'static str),
}

/// A client's message as far as it has come, of any size. It holds a scalar at most, and the models that it names.
///
/// Which messages matter, and where in them, is up to the kind of session. A locked field is touched by any value, null too,
/// and by anything but an object on the way to it. A tool without a type is a function.
///
/// ```
/// use realtime_byok::protocol::{ClientMessage, Lock, SessionKind};
///
/// let lock = Lock::new(["instructions", "audio.output.voice"])?;
/// let mut message = ClientMessage::new(&lock, SessionKind::Conversation);
/// message.feed(br#"{"session":{"audio":{"output":{"voice":"marin"}}},"#);
/// message.feed(br#""ty\u0070e":"session.update"}"#);
/// assert_eq!(message.finish()?.locked.as_deref(), Some("audio.output.voice"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ClientMessage {
    matcher: Matcher<ClientField>,
    found: Found,
    words: &'static ClientWords,
    lock: Lock,
}

impl ClientMessage {
    /// Nothing has come yet of a message that must keep to this lock.
    pub fn new(lock: &Lock, kind: SessionKind) -> Self {
        let matcher = Matcher::new(lock.paths(kind), Bounds::default());
        let words = &kind.row().client;
        Self { matcher, found: Found::new(words), words, lock: lock.clone() }
    }

    /// Reads more of it.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { matcher, found, words, lock } = self;
        let read = matcher.feed(bytes, &mut |at| {
            found.set(&at, words, lock);
            ControlFlow::Continue(())
        });
        if let Err(unreadable) = read {
            found.failure.get_or_insert(unreadable);
        }
    }

    /// Whether its type says that it changes nothing, and said so within its first `within` bytes.
    pub fn is_harmless(&self, within: u64) -> bool {
        self.found.is_harmless(within)
    }

    /// Bytes that are held beside the message itself.
    pub fn held(&self) -> usize {
        let names = self.found.models.iter().map(|(_, model)| match model {
            Model::Named(name) => name.capacity(),
            Model::NotText => 0,
        });
        let models = self.found.models.capacity().saturating_mul(size_of::<(usize, Model)>());
        names.fold(self.matcher.held().saturating_add(models), usize::saturating_add)
    }

    /// What the whole asks for.
    ///
    /// # Errors
    /// If it cannot be read, or could be read in two ways.
    pub fn finish(self) -> Result<ClientEvent, Unreadable> {
        let Self { matcher, mut found, words, lock } = self;
        matcher.finish().map_err(Unreadable::Json)?;
        found.models.sort_unstable_by_key(|(place, _)| *place);
        let mut event = ClientEvent { opens: found.opens(words), ..ClientEvent::default() };
        for &container in found.matters {
            match found.shape(container) {
                Shape::Absent => continue,
                Shape::Other => return Err(Unreadable::NotAnObject),
                Shape::Object => {}
            }
            let locked = found.locked.get(container as usize).copied().flatten();
            event.locked = event.locked.or_else(|| locked.and_then(|path| lock.path(path)).map(str::to_owned));
            for (place, model) in &found.models {
                let Some((path, within, role)) = words.models.get(*place) else { continue };
                match model {
                    Model::Named(name) if *within == container => {
                        event.models.push(RequestedModel { role: *role, name: name.clone() });
                    }
                    Model::NotText if *within == container => return Err(Unreadable::NotAModel(path)),
                    _ => {}
                }
            }
        }
        event.stored = found.stored.filter(|_| found.matters.contains(&Container::Top));
        event.id = found.id.map(String::from);
        Ok(event)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(matcher::Unreadable::NotJson { .. }) => formatter.write_str("the event is not JSON"),
            Self::NotAnObject | Self::Json(matcher::Unreadable::NotAnObject) => {
                formatter.write_str("the event, its session or its response is not an object")
            }
            Self::Json(unreadable) => unreadable.fmt(formatter),
            Self::NotAModel(path) => write!(formatter, "{path} is not a string"),
        }
    }
}

impl std::error::Error for Unreadable {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::json::paths::InvalidPath;

    fn inspect(event: &[u8], lock: &Lock) -> Result<ClientEvent, Unreadable> {
        let mut message = ClientMessage::new(lock, SessionKind::Conversation);
        message.feed(event);
        message.finish()
    }

    fn lock() -> Lock {
        Lock::new(["instructions", "tools", "audio.output.voice"]).unwrap()
    }

    fn locked(event: &str) -> Result<Option<String>, Unreadable> {
        inspect(event.as_bytes(), &lock()).map(|found| found.locked)
    }

    #[test]
    fn locked_fields_are_found_however_they_are_written() {
        for (event, expected) in [
            (r#"{"type":"session.update","session":{"instructions":"x"}}"#, Some("instructions")),
            (r#"{"session":{"a":1,"instructions":null},"type":"session.update"}"#, Some("instructions")),
            (r#"{"ty\u0070e":"session\u002eupdate","session":{"\u0074ools":[]}}"#, Some("tools")),
            ("\n{ \"type\" : \"session.update\" ,\t\"session\" : { \"tools\" : [ ] } }\r\n", Some("tools")),
            (
                r#"{"type":"session.update","session":{"audio":{"output":{"voice":"marin"}}}}"#,
                Some("audio.output.voice"),
            ),
            (r#"{"type":"session.update","session":{"audio":{"output":null}}}"#, Some("audio.output.voice")),
            (r#"{"type":"session.update","session":{"audio":[]}}"#, Some("audio.output.voice")),
            (r#"{"type":"session.update","session":{"audio":{"output":{"speed":1},"input":{"voice":1}}}}"#, None),
            (r#"{"type":"session.update","session":{"output":{"voice":"x"},"voice":"x"}}"#, None),
            (r#"{"type":"session.update","session":{"metadata":{"instructions":"x"}}}"#, None),
            (r#"{"type":"session.update","session":null}"#, None),
            (r#"{"type":"session.update","instructions":"x"}"#, None),
            (r#"{"type":"transcription_session.update","session":{"tools":[]}}"#, Some("tools")),
            (r#"{"type":"response.create"}"#, None),
            (r#"{"type":"response.create","response":null}"#, None),
            (r#"{"type":"response.create","response":{"tools":[]}}"#, Some("tools")),
            (r#"{"type":"response.create","response":{"metadata":{}},"session":{"tools":[]}}"#, None),
            (r#"{"type":"response.create","instructions":"x","input":"y"}"#, Some("instructions")),
            (r#"{"type":"input_audio_buffer.append","audio":"AAAA","session":{"tools":[]}}"#, None),
            (r#"{"setup":{"model":"m"}}"#, None),
            (r#"{"type":5,"session":{"tools":[]}}"#, None),
        ] {
            assert_eq!(locked(event), Ok(expected.map(str::to_owned)), "{event}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_unreadable() {
        let duplicate = |key: &str| Unreadable::Json(matcher::Unreadable::Repeated(key.into()));
        let other_case = |key: &str| Unreadable::Json(matcher::Unreadable::OtherCase(key.into()));
        let not_json = |at| Unreadable::Json(matcher::Unreadable::NotJson { at });
        for (event, expected) in [
            (r#"{"type":"ping","type":"session.update"}"#, duplicate("type")),
            (r#"{"type":"ping","ty\u0070e":"session.update"}"#, duplicate("type")),
            (r#"{"type":"session.update","session":{},"session":{}}"#, duplicate("session")),
            (r#"{"type":"session.update","session":{"tools":[],"tools":[]}}"#, duplicate("tools")),
            (r#"{"type":"session.update","session":{"audio":{"output":{},"output":{}}}}"#, duplicate("output")),
            (r#"{"type":"session.update","session":{"model":"a","model":"b"}}"#, duplicate("model")),
            (r#"{"type":"response.create","model":"a","model":"b"}"#, duplicate("model")),
            (r#"{"type":"session.update","session":[]}"#, Unreadable::NotAnObject),
            (r#"{"type":"session.update","session":"{}"}"#, Unreadable::NotAnObject),
            (r#"[{"type":"session.update"}]"#, Unreadable::Json(matcher::Unreadable::NotAnObject)),
            (r#"{"type":"session.update","session":{"Tools":[]}}"#, other_case("tools")),
            (r#"{"type":"session.update","session":{"audio":{"Output":{"voice":"x"}}}}"#, other_case("output")),
            (r#"{"type":"response.create","response":{"\u0049nstructions":""}}"#, other_case("instructions")),
            (r#"{"Type":"session.update","session":{}}"#, other_case("type")),
            (r#"{"type":"session.update","\u017fession":{"tools":[]}}"#, other_case("session")),
            (r#"{"type":"response.create","model":"a","Model":"b"}"#, other_case("model")),
            (r#"{"type":"session.update","session":{"model":["a"]}}"#, Unreadable::NotAModel("session.model")),
            (r#"{"type":"ping"}{"type":"session.update"}"#, not_json(15)),
            (r#"{"type":"session.update","session":{"tools":NaN}}"#, not_json(44)),
            ("\u{feff}{\"type\":\"session.update\"}", not_json(0)),
            ("", not_json(0)),
        ] {
            assert_eq!(locked(event), Err(expected), "{event}");
        }
        assert_eq!(inspect(b"{\"type\":\"\xff\"}", &lock()), Err(not_json(9)));
    }

    #[test]
    fn models_are_found_with_their_role() {
        let cases: [(&str, &[(ModelRole, &str)]); 6] = [
            (r#"{"type":"session.update","session":{"model":"m"}}"#, &[(ModelRole::Response, "m")]),
            (
                r#"{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"t"}}},"model":"m"}}"#,
                &[(ModelRole::Response, "m"), (ModelRole::Transcription, "t")],
            ),
            (
                r#"{"type":"transcription_session.update","session":{"input_audio_transcription":{"model":"t"}}}"#,
                &[(ModelRole::Transcription, "t")],
            ),
            (
                r#"{"type":"response.create","response":{"model":"m\u0021"},"model":"n"}"#,
                &[(ModelRole::Response, "m!"), (ModelRole::Response, "n")],
            ),
            (r#"{"type":"session.update","session":{"model":null,"audio":{"input":{"transcription":null}}}}"#, &[]),
            (r#"{"type":"conversation.item.create","model":"m","session":{"model":"m"}}"#, &[]),
        ];
        for (event, expected) in cases {
            let found = inspect(event.as_bytes(), &Lock::default()).unwrap();
            let models: Vec<_> = found.models.iter().map(|model| (model.role, model.name.as_str())).collect();
            assert_eq!((found.locked, models.as_slice()), (None, expected), "{event}");
        }
    }

    #[test]
    fn paths_have_no_empty_names() {
        for bad in ["", ".", "a.", ".a", "a..b", "a.*", "a[].b"] {
            assert_eq!(Lock::new(["tools", bad]), Err(InvalidPath(bad.to_owned())));
        }
        assert!(Lock::new([""; 0]).unwrap().is_empty());
        assert!(!lock().is_empty());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from), "[a-z]{0,3}".prop_map(Value::from)];
        let key = prop::sample::select(vec!["audio", "output", "voice", "tools", "instructions", "other"]);
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop::collection::btree_map(key.clone(), inner, 0..4)
                .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        })
    }

    /// The same question asked of a parsed document.
    fn touched(session: &Value, path: &str) -> bool {
        let mut value = session;
        for name in path.split('.') {
            match value.as_object().map(|members| members.get(name)) {
                Some(Some(member)) => value = member,
                Some(None) => return false,
                None => return true,
            }
        }
        true
    }

    #[test]
    fn cuts_change_nothing() {
        let event =
            r#"{"session":{"\u0061udio":{"output":{"voice":"é"}},"model":"\ud83d\ude00"},"type":"session.update"}"#;
        let whole = inspect(event.as_bytes(), &lock());
        assert!(whole.as_ref().is_ok_and(|event| event.locked.is_some() && event.models.len() == 1));
        for cut in 0..=event.len() {
            let mut message = ClientMessage::new(&lock(), SessionKind::Conversation);
            message.feed(&event.as_bytes()[..cut]);
            message.feed(&event.as_bytes()[cut..]);
            assert_eq!(message.finish(), whole, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn locks_agree_with_a_parsed_document(session in value(), update in any::<bool>()) {
            prop_assume!(session.is_object());
            let event = if update {
                json!({"type": "session.update", "session": session})
            } else {
                json!({"type": "response.create", "response": session})
            };
            let expected = lock().names().find(|path| touched(&session, path)).map(str::to_owned);
            prop_assert_eq!(locked(&event.to_string()), Ok(expected));
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            if let Ok(found) = inspect(&bytes, &lock()) {
                prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok_and(|value| value.is_object()));
                prop_assert_eq!(found, ClientEvent::default());
            }
        }
    }
}
