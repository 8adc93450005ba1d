//! What an upstream's event says of an event that the gateway has sent it in the client's name.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use crate::json::matcher::{Bounds, Matcher, OtherCase, Value};
use crate::json::paths::Paths;

/// An upstream's event as far as it has come, read for what it answers.
///
/// An `error` names the client's event that it is about, as `error.event_id`. `session.updated` names none: the first one
/// after a `session.update` answers that.
#[derive(Debug)]
pub struct AnswerMessage {
    matcher: Matcher<Field>,
    event_type: AnswerType,
    event_id: Option<String>,
    has_failed: bool,
}

/// What an upstream's event answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing that matters here.
    Other,
    /// A change of the session, which has been made.
    Updated,
    /// The event of this id, which was refused.
    Refused(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerType {
    Unknown,
    Error,
    Updated,
    Other,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Type,
    EventId,
}

static PATHS: LazyLock<Arc<Paths<Field>>> =
    LazyLock::new(|| Arc::new(Paths::new(&[("type", Field::Type), ("error.event_id", Field::EventId)])));

const BOUNDS: Bounds = Bounds { depth: 1024, text: 512, other_case: OtherCase::Ignored };

impl AnswerMessage {
    /// Nothing has come yet.
    pub fn new() -> Self {
        let matcher = Matcher::new(PATHS.clone(), BOUNDS);
        Self { matcher, event_type: AnswerType::Unknown, event_id: None, has_failed: false }
    }

    /// Reads more of it. Says whether it may be an answer.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        let Self { matcher, event_type, event_id, .. } = self;
        let read = matcher.feed(bytes, &mut |at| {
            match (at.tag, at.value) {
                (Field::Type, Value::Text("error")) => *event_type = AnswerType::Error,
                (Field::Type, Value::Text("session.updated" | "transcription_session.updated")) => {
                    *event_type = AnswerType::Updated;
                }
                (Field::Type, _) => *event_type = AnswerType::Other,
                (Field::EventId, Value::Text(id)) => *event_id = Some(id.to_owned()),
                (Field::EventId, _) => {}
            }
            ControlFlow::Continue(())
        });
        self.has_failed |= read.is_err();
        !self.has_failed && self.event_type != AnswerType::Other
    }

    /// Bytes that are held beside the message itself.
    pub fn held(&self) -> usize {
        self.matcher.held().saturating_add(self.event_id.as_ref().map_or(0, String::capacity))
    }

    /// What the whole answers.
    pub fn finish(self) -> Answer {
        match (self.matcher.finish(), self.event_type, self.event_id) {
            (Ok(()), AnswerType::Error, Some(id)) => Answer::Refused(id),
            (Ok(()), AnswerType::Updated, _) => Answer::Updated,
            _ => Answer::Other,
        }
    }
}

impl Default for AnswerMessage {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_answers_the_event_that_it_names() {
        for (event, may_answer, want) in [
            (r#"{"type":"error","error":{"type":"x","event_id":"e1"}}"#, true, Answer::Refused("e1".into())),
            (r#"{"error":{"event_id":"e\u0031"},"ty\u0070e":"error"}"#, true, Answer::Refused("e1".into())),
            (r#"{"type":"error","event_id":"e1","error":{"event_id":null}}"#, true, Answer::Other),
            (r#"{"type":"error"}"#, true, Answer::Other),
            (r#"{"type":"session.updated","session":{}}"#, true, Answer::Updated),
            (r#"{"type":"session.created","error":{"event_id":"e1"}}"#, false, Answer::Other),
            (r#"{"type":7,"error":{"event_id":"e1"}}"#, false, Answer::Other),
            (r#"{"error":{"event_id":"e1"}}"#, true, Answer::Other),
            (r#"{"type":"error","error":{"event_id":"e1"}"#, true, Answer::Other),
            ("error", false, Answer::Other),
        ] {
            for cut in 0..=event.len() {
                let mut message = AnswerMessage::new();
                let (first, second) = event.as_bytes().split_at(cut);
                let may_answer_so_far = message.feed(first);
                assert_eq!(message.feed(second), may_answer, "{event}");
                assert!(may_answer_so_far || !may_answer, "{event}");
                assert_eq!(message.finish(), want, "{event} cut at {cut}");
            }
        }
    }
}
