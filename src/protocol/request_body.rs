//! The JSON body of a REST request: the model that it names, and whether it asks for a stream and for that stream's usage.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, LazyLock};

use crate::json::edit::Edits;
use crate::json::matcher::{Bounds, Matcher, Unreadable, Value};
use crate::json::paths::Paths;
use crate::json::quoted;

/// A body, read, with what is to change of it. All else stays as it is, to the byte.
#[derive(Debug)]
pub struct RequestBody<'a> {
    body: &'a [u8],
    pub(super) found: Found,
    pub(super) edits: Edits<'static>,
}

/// Why a body cannot be read, or could be read in two ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidBody {
    /// It is not one JSON object, names its model more than once or by something else than a string, or has an inspected
    /// name in another case.
    Unreadable,
    /// It says twice whether it streams, or with what options, where that is read.
    AmbiguousStream,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Body,
    Model,
    Stream,
    Options,
    IncludeUsage,
    Background,
}

/// What of a body is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inspected {
    /// The model that it names.
    Model,
    /// That, and whether it asks for a stream of completions and for the usage of that.
    ModelAndStream,
    /// The model, and whether it asks for a response in the background, which tells its usage only later.
    ModelAndBackground,
}

static MODEL: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| Arc::new(Paths::new(&[("model", Field::Model)])));

static MODEL_AND_BACKGROUND: LazyLock<Arc<Paths<Field>>> =
    LazyLock::new(|| Arc::new(Paths::new(&[("model", Field::Model), ("background", Field::Background)])));

static MODEL_AND_STREAM: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| {
    Arc::new(Paths::new(&[
        ("", Field::Body),
        ("model", Field::Model),
        ("stream", Field::Stream),
        ("stream_options", Field::Options),
        ("stream_options.include_usage", Field::IncludeUsage),
    ]))
});

#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) span: Range<u64>,
    /// The name, unless it is empty, and where it stands.
    model: Option<(String, Range<u64>)>,
    has_unreadable_model: bool,
    pub(super) is_stream: bool,
    is_in_background: bool,
    /// `stream_options`, and where it stands.
    pub(super) options: Option<(Options, Range<u64>)>,
    /// Whether usage is asked for, and where that stands.
    pub(super) include_usage: Option<(bool, Range<u64>)>,
}

/// What `stream_options` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Options {
    Null,
    Empty,
    Object,
    /// The upstream will refuse it.
    Other,
}

impl<'a> RequestBody<'a> {
    /// Reads a whole body.
    ///
    /// # Errors
    /// If it is no object, or could be read in two ways.
    pub fn read(body: &'a [u8], inspected: Inspected) -> Result<Self, InvalidBody> {
        let paths = match inspected {
            Inspected::Model => &MODEL,
            Inspected::ModelAndStream => &MODEL_AND_STREAM,
            Inspected::ModelAndBackground => &MODEL_AND_BACKGROUND,
        };
        let (mut matcher, mut found) = (Matcher::new(Arc::clone(paths), Bounds::default()), Found::default());
        let _ = matcher.feed(body, &mut |at| {
            found.set(at.tag, at.value, at.span);
            ControlFlow::Continue(())
        })?;
        matcher.finish()?;
        if found.has_unreadable_model {
            return Err(InvalidBody::Unreadable);
        }
        Ok(Self { body, found, edits: Edits::default() })
    }

    /// The model's name, if it has one.
    pub fn model(&self) -> Option<&str> {
        self.found.model.as_ref().map(|(name, _)| name.as_str())
    }

    /// Names another model in its place.
    pub fn set_model(&mut self, name: &str) {
        if let Some((_, span)) = &self.found.model {
            self.edits.replace(span.clone(), quoted(name));
        }
    }

    /// Whether it asks for a stream.
    pub fn is_stream(&self) -> bool {
        self.found.is_stream
    }

    /// Whether it asks for a response in the background.
    pub fn is_in_background(&self) -> bool {
        self.found.is_in_background
    }

    /// The body that goes on; `None` if it is as it was.
    pub fn edited(self) -> Option<Vec<u8>> {
        (!self.edits.is_empty()).then(|| self.edits.apply(self.body))
    }
}

impl Found {
    fn set(&mut self, field: Field, value: Value<'_>, span: Range<u64>) {
        match (field, value) {
            (Field::Body, _) => self.span = span,
            (Field::Model, Value::Text("")) | (Field::IncludeUsage, Value::Blocked(_)) => {}
            (Field::Model, Value::Text(name)) => self.model = Some((name.to_owned(), span)),
            (Field::Model, _) => self.has_unreadable_model = true,
            (Field::Stream, _) => self.is_stream = !matches!(value, Value::Null | Value::Bool(false)),
            (Field::Background, _) => self.is_in_background = !matches!(value, Value::Null | Value::Bool(false)),
            (Field::Options, _) => {
                let options = match value {
                    Value::Null => Options::Null,
                    Value::Object { is_empty: true } => Options::Empty,
                    Value::Object { is_empty: false } => Options::Object,
                    _ => Options::Other,
                };
                self.options = Some((options, span));
            }
            (Field::IncludeUsage, _) => self.include_usage = Some((value == Value::Bool(true), span)),
        }
    }
}

impl From<Unreadable> for InvalidBody {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Repeated(name) if !matches!(&*name, "model" | "background") => Self::AmbiguousStream,
            _ => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8]) -> Result<RequestBody<'_>, InvalidBody> {
        RequestBody::read(body, Inspected::ModelAndStream)
    }

    #[test]
    fn the_model_is_found_wherever_it_stands_and_only_its_bytes_change() {
        for (body, name, rewritten) in [
            (r#"{"model":"a"}"#, "a", r#"{"model":"x\"y"}"#),
            (
                r#" { "b" : [{"model":"no"}] , "model" :  "a/b" , "é":1e400 } "#,
                "a/b",
                r#" { "b" : [{"model":"no"}] , "model" :  "x\"y" , "é":1e400 } "#,
            ),
            (r#"{"mod\u0065l":"\u0061"}"#, "a", r#"{"mod\u0065l":"x\"y"}"#),
        ] {
            let mut changed = read(body.as_bytes()).unwrap();
            assert_eq!(changed.model(), Some(name));
            changed.set_model("x\"y");
            assert_eq!(changed.edited().unwrap(), rewritten.as_bytes());
            assert_eq!(read(body.as_bytes()).unwrap().edited(), None);
        }
    }

    #[test]
    fn no_model_is_none_and_what_is_no_object_or_names_it_in_two_ways_is_unreadable() {
        let model = |body: &[u8]| read(body).map(|body| body.model().map(str::to_owned));
        for (body, want) in [
            (r#"{}"#, Ok(None)),
            (r#"{"model":""}"#, Ok(None)),
            (r#"{"models":"a","x":{"Model":"a"}}"#, Ok(None)),
            (r#"{"Model":"a"}"#, Err(InvalidBody::Unreadable)),
            (r#"{"model":"a","MODEL":"b"}"#, Err(InvalidBody::Unreadable)),
            (r#"{"model":"a","model":"a"}"#, Err(InvalidBody::Unreadable)),
            (r#"{"model":"a","mod\u0065l":"b"}"#, Err(InvalidBody::Unreadable)),
            (r#"{"model":1}"#, Err(InvalidBody::Unreadable)),
            (r#"{"model":null}"#, Err(InvalidBody::Unreadable)),
            (r#"["model"]"#, Err(InvalidBody::Unreadable)),
            (r#"{"model":"a"} {}"#, Err(InvalidBody::Unreadable)),
            (r#"{"model":"a""#, Err(InvalidBody::Unreadable)),
            ("\u{feff}{}", Err(InvalidBody::Unreadable)),
            ("", Err(InvalidBody::Unreadable)),
        ] {
            assert_eq!(model(body.as_bytes()), want, "{body}");
        }
        assert_eq!(model(b"{\"model\":\"\xff\"}"), Err(InvalidBody::Unreadable));
        assert_eq!(model(b"{\"model\":\"a\",\"x\":\"\xff\"}"), Err(InvalidBody::Unreadable));
        let deep = format!("{{\"a\":{}}}", "[".repeat(1_000_000));
        assert_eq!(model(deep.as_bytes()), Err(InvalidBody::Unreadable));
    }

    /// The body with its usage asked for; `None` if it stays as it is.
    fn with_include_usage(body: &[u8]) -> Result<Option<Vec<u8>>, InvalidBody> {
        let mut body = read(body)?;
        let is_changed = body.include_usage();
        let edited = body.edited();
        assert_eq!(edited.is_some(), is_changed);
        Ok(edited)
    }

    #[test]
    fn usage_is_asked_for_where_a_stream_does_not_and_nothing_else_changes() {
        for (body, want) in [
            (r#"{"stream":true}"#, Some(r#"{"stream_options":{"include_usage":true},"stream":true}"#)),
            (
                r#" { "é" : 1.0e5 , "str\u0065am" : true } "#,
                Some(r#" {"stream_options":{"include_usage":true}, "é" : 1.0e5 , "str\u0065am" : true } "#),
            ),
            (
                r#"{"stream":true,"stream_options":null}"#,
                Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            ),
            (
                r#"{"stream_options": { } ,"stream":true}"#,
                Some(r#"{"stream_options": {"include_usage":true} ,"stream":true}"#),
            ),
            (
                r#"{"stream":true,"stream_options":{ "include_obfuscation":false}}"#,
                Some(r#"{"stream":true,"stream_options":{"include_usage":true, "include_obfuscation":false}}"#),
            ),
            (
                r#"{"stream":true,"stream_options":{"include_usage":false,"x":{"include_usage":true}}}"#,
                Some(r#"{"stream":true,"stream_options":{"include_usage":true,"x":{"include_usage":true}}}"#),
            ),
            (
                r#"{"stream":true,"stream_options":{"include_usage":null}}"#,
                Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            ),
            (r#"{"stream":1}"#, Some(r#"{"stream_options":{"include_usage":true},"stream":1}"#)),
            (r#"{"stream":true,"stream_options":{"include_usage":true}}"#, None),
            (r#"{"stream":true,"stream_options":[]}"#, None),
            (r#"{"stream":false}"#, None),
            (r#"{"stream":null,"stream_options":null}"#, None),
            (r#"{"messages":[{"stream":true}]}"#, None),
            ("{}", None),
        ] {
            let asked = with_include_usage(body.as_bytes()).unwrap().map(|body| String::from_utf8(body).unwrap());
            assert_eq!(asked.as_deref(), want, "{body}");
        }
    }

    #[test]
    fn whether_a_stream_is_asked_for_is_said_once() {
        for (body, want) in [
            (r#"{"stream":true}"#, Ok(true)),
            (r#"{"str\u0065am":1,"stream_options":[]}"#, Ok(true)),
            (r#"{"stream":true,"stream_options":[],"stream_options":{}}"#, Err(InvalidBody::AmbiguousStream)),
            (r#"{"Stream":true}"#, Err(InvalidBody::Unreadable)),
            (r#"{"stream":false}"#, Ok(false)),
            (r#"{"stream":null}"#, Ok(false)),
            (r#"{"messages":[{"stream":true}]}"#, Ok(false)),
            (r#"{"stream":false,"stream":true}"#, Err(InvalidBody::AmbiguousStream)),
            ("[]", Err(InvalidBody::Unreadable)),
        ] {
            assert_eq!(read(body.as_bytes()).map(|body| body.is_stream()), want, "{body}");
        }
        assert_eq!(read(b"{\"x\":\"\xff\"}").map(|body| body.is_stream()), Err(InvalidBody::Unreadable));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_asked() {
        for (body, want) in [
            (r#"{"stream":false,"stream":true}"#, InvalidBody::AmbiguousStream),
            (r#"{"stream":true,"stream_options":null,"stream_options":{}}"#, InvalidBody::AmbiguousStream),
            (
                r#"{"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}"#,
                InvalidBody::AmbiguousStream,
            ),
            (r#"["stream"]"#, InvalidBody::Unreadable),
            (r#"{"stream":true"#, InvalidBody::Unreadable),
            ("", InvalidBody::Unreadable),
        ] {
            assert_eq!(with_include_usage(body.as_bytes()), Err(want), "{body}");
        }
        assert_eq!(with_include_usage(b"{\"stream\":true,\"x\":\"\xff\"}"), Err(InvalidBody::Unreadable));
    }

    #[test]
    fn where_only_the_model_is_read_nothing_else_matters() {
        let body = br#"{"stream":false,"stream":true,"Stream_options":[],"model":"a"}"#;
        let mut changed = RequestBody::read(body, Inspected::Model).unwrap();
        assert_eq!((changed.model(), changed.is_stream()), (Some("a"), false));
        assert!(!changed.include_usage());
        assert_eq!(changed.edited(), None);
    }

    #[test]
    fn a_response_in_the_background_is_asked_for_by_anything_but_false_and_null() {
        for (body, want) in [
            (r#"{"background":true}"#, Ok(true)),
            (r#"{"backgr\u006fund":"x"}"#, Ok(true)),
            (r#"{"background":false,"model":"a"}"#, Ok(false)),
            (r#"{"background":null,"x":{"background":true}}"#, Ok(false)),
            (r#"{"background":false,"background":true}"#, Err(InvalidBody::Unreadable)),
            (r#"{"Background":true}"#, Err(InvalidBody::Unreadable)),
        ] {
            let read = RequestBody::read(body.as_bytes(), Inspected::ModelAndBackground);
            assert_eq!(read.map(|body| body.is_in_background()), want, "{body}");
        }
    }

    #[test]
    fn both_may_change_at_once() {
        let body = br#"{"stream":true, "model":"a"}"#;
        let mut changed = read(body).unwrap();
        changed.set_model("b");
        assert!(changed.include_usage());
        let want = r#"{"stream_options":{"include_usage":true},"stream":true, "model":"b"}"#;
        assert_eq!(changed.edited().unwrap(), want.as_bytes());
    }

    proptest! {
        #[test]
        fn an_answer_to_any_request_is_json_that_asks(options in prop::option::of("[ ]{0,2}"), space in "[ \n]{0,3}") {
            let options = options.map_or(String::new(), |inner| format!(",{space}\"stream_options\"{space}:{{{inner}}}"));
            let body = format!("{space}{{{space}\"stream\"{space}:true{options}{space}}}");
            let asked = with_include_usage(body.as_bytes()).unwrap().unwrap();
            let asked: serde_json::Value = serde_json::from_slice(&asked).unwrap();
            prop_assert_eq!(&asked["stream_options"]["include_usage"], &serde_json::Value::Bool(true));
        }
    }
}
