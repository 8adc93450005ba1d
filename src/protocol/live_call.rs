//! Calls of Live: the models that a request for one names, and the id that its response gives the call.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, LazyLock};

use crate::json::edit::Edits;
use crate::json::matcher::{Bounds, Matcher, OtherCase, Unreadable, Value};
use crate::json::paths::Paths;
use crate::json::quoted;

/// The body of `POST …/live/sessions`, read, with what is to change of it. All else stays as it is, to the byte:
///
/// ```json
/// {"session": {"model": "gpt-live-1", "delegation": {"type": "responses", "responses": {"model": "gpt-5"}}},
///  "transport": {"type": "webrtc", "sdp": "v=0…"}}
/// ```
pub struct LiveCallRequest<'a> {
    body: &'a [u8],
    /// By [`LiveModel`].
    models: [Option<(String, Range<u64>)>; 2],
    edits: Edits<'static>,
}

/// The models that a call of Live names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiveModel {
    /// The one that speaks: `session.model`.
    Session,
    /// The one that works for it: `session.delegation.responses.model`.
    Delegate,
}

/// The body of a response that begins a call of Live: `{"session": {"id": "live_…"}, "transport": {…}}`.
pub struct LiveCallResponse<'a> {
    body: &'a [u8],
    /// The call's id.
    pub id: String,
    span: Range<u64>,
}

static MODELS: LazyLock<Arc<Paths<LiveModel>>> = LazyLock::new(|| {
    Arc::new(Paths::new(&[
        ("session.model", LiveModel::Session),
        ("session.delegation.responses.model", LiveModel::Delegate),
    ]))
});

static ID: LazyLock<Arc<Paths<()>>> = LazyLock::new(|| Arc::new(Paths::new(&[("session.id", ())])));

impl<'a> LiveCallRequest<'a> {
    /// Reads a whole body.
    ///
    /// # Errors
    ///
    /// If it is no JSON object, names a model twice or by something else than a string, or could be read in two ways.
    pub fn read(body: &'a [u8]) -> Result<Self, Unreadable> {
        let mut matcher = Matcher::new(MODELS.clone(), Bounds::default());
        let mut models = [None, None];
        let mut is_readable = true;
        let _ = matcher.feed(body, &mut |at| {
            let [session, delegate] = &mut models;
            let model = if at.tag == LiveModel::Session { session } else { delegate };
            match at.value {
                Value::Text(name) if !name.is_empty() => *model = Some((name.to_owned(), at.span)),
                Value::Text(_) | Value::Blocked(_) => {}
                _ => is_readable = false,
            }
            ControlFlow::Continue(())
        })?;
        matcher.finish()?;
        if is_readable { Ok(Self { body, models, edits: Edits::default() }) } else { Err(Unreadable::NotAnObject) }
    }

    /// The name of one of the models, if it has one.
    pub fn model(&self, which: LiveModel) -> Option<&str> {
        self.found(which).map(|(name, _)| name.as_str())
    }

    /// Names another model in its place.
    pub fn set_model(&mut self, which: LiveModel, name: &str) {
        if let Some((_, span)) = self.found(which) {
            let span = span.clone();
            self.edits.replace(span, quoted(name));
        }
    }

    /// The body that goes on; `None` if it is as it was.
    pub fn edited(self) -> Option<Vec<u8>> {
        (!self.edits.is_empty()).then(|| self.edits.apply(self.body))
    }

    fn found(&self, which: LiveModel) -> Option<&(String, Range<u64>)> {
        let [session, delegate] = &self.models;
        if which == LiveModel::Session { session.as_ref() } else { delegate.as_ref() }
    }
}

impl<'a> LiveCallResponse<'a> {
    /// Reads a whole body; `None` if it names no call, or not in one way.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let bounds = Bounds { other_case: OtherCase::Ignored, ..Bounds::default() };
        let mut matcher = Matcher::new(ID.clone(), bounds);
        let mut found = None;
        let read = matcher.feed(body, &mut |at| {
            if let Value::Text(id) = at.value {
                found = Some((id.to_owned(), at.span));
            }
            ControlFlow::Continue(())
        });
        let _ = read.ok()?;
        matcher.finish().ok()?;
        let (id, span) = found?;
        Some(Self { body, id, span })
    }

    /// The body with another id for the call, wherever the id is a string of it; all other bytes as they were.
    pub fn with_id(&self, id: &str) -> Vec<u8> {
        let mut edits = Edits::default();
        edits.replace(self.span.clone(), quoted(id));
        let body = edits.apply(self.body);
        // Where it was read, it is UTF-8.
        String::from_utf8(body)
            .map_or_else(|error| error.into_bytes(), |body| body.replace(&quoted(&self.id), &quoted(id)).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"{"transport":{"type":"webrtc","sdp":"v=0\r\n"},"session":{"model":"a","instructions":"x",
        "delegation":{"type":"responses","responses":{"model":"b","tools":[{"model":"c"}]}}}}"#;

    #[test]
    fn both_models_are_found_and_only_their_bytes_change() {
        let mut read = LiveCallRequest::read(REQUEST.as_bytes()).unwrap();
        assert_eq!(read.model(LiveModel::Session), Some("a"));
        assert_eq!(read.model(LiveModel::Delegate), Some("b"));
        read.set_model(LiveModel::Session, "a-1");
        read.set_model(LiveModel::Delegate, "b-1");
        let want = REQUEST.replace(r#""a""#, r#""a-1""#).replace(r#""b""#, r#""b-1""#);
        assert_eq!(read.edited().unwrap(), want.as_bytes());
        assert!(LiveCallRequest::read(REQUEST.as_bytes()).unwrap().edited().is_none());
    }

    #[test]
    fn what_names_a_model_in_two_ways_is_unreadable_and_what_names_none_names_none() {
        for body in [
            "",
            "[]",
            "v=0",
            r#"{"session":{"model":"a","model":"b"}}"#,
            r#"{"session":{"model":"a","Model":"b"}}"#,
            r#"{"session":{"model":"a"},"session":{"model":"b"}}"#,
            r#"{"Session":{"model":"b"},"session":{"model":"a"}}"#,
            r#"{"session":{"model":1}}"#,
            r#"{"session":{"model":["a"]}}"#,
            r#"{"session":{"model":"a","delegation":{"responses":{"model":{}}}}}"#,
        ] {
            assert!(LiveCallRequest::read(body.as_bytes()).is_err(), "{body}");
        }
        for body in ["{}", r#"{"session":null}"#, r#"{"session":{"model":"","delegation":null}}"#, r#"{"model":"a"}"#] {
            let read = LiveCallRequest::read(body.as_bytes()).ok().unwrap();
            assert_eq!(read.model(LiveModel::Session).or(read.model(LiveModel::Delegate)), None, "{body}");
        }
    }

    #[test]
    fn a_response_gives_the_calls_id_and_gets_another_in_its_place() {
        let body = r#"{"session":{"id":"liv\u0065_1","x":"live_1"},"transport":{"sdp":"live_1\r\n"},"id":"live_1"}"#;
        let read = LiveCallResponse::read(body.as_bytes()).unwrap();
        assert_eq!(read.id, "live_1");
        let want = r#"{"session":{"id":"live_s","x":"live_s"},"transport":{"sdp":"live_1\r\n"},"id":"live_s"}"#;
        assert_eq!(read.with_id("live_s"), want.as_bytes());
        for body in [
            "",
            "{}",
            r#"{"id":"live_1"}"#,
            r#"{"session":{"id":1}}"#,
            r#"{"session":{"id":"a","id":"b"}}"#,
            r#"{"session":{"id":"a"}"#,
        ] {
            assert!(LiveCallResponse::read(body.as_bytes()).is_none(), "{body}");
        }
    }
}
