//! The body of a 429, as it passes: whether it is about the request itself, so that another one would be served.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use crate::json::matcher::{Bounds, Matcher, Value};
use crate::json::paths::Paths;

/// Codes and types of errors that are the request's own, whatever its key: OpenAI's and Anthropic's words.
const OWN_FAULTS: [&str; 4] =
    ["invalid_request_error", "request_too_large", "context_length_exceeded", "string_above_max_length"];

/// How OpenAI begins to say that one request alone asks for more than a minute's tokens, under the code of all limits.
const TOO_LARGE: &str = "Request too large";

#[derive(Clone, Copy)]
enum Field {
    Name,
    Message,
}

static PATHS: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| {
    Arc::new(Paths::new(&[("error.type", Field::Name), ("error.code", Field::Name), ("error.message", Field::Message)]))
});

/// Reads such a body.
pub struct RefusedRequest {
    /// Nothing, once it cannot be read.
    matcher: Option<Matcher<Field>>,
    is_own_fault: bool,
}

impl Default for RefusedRequest {
    fn default() -> Self {
        Self { matcher: Some(Matcher::new(PATHS.clone(), Bounds::default())), is_own_fault: false }
    }
}

impl RefusedRequest {
    /// More of it has come.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Some(matcher) = &mut self.matcher else { return };
        let is_own_fault = &mut self.is_own_fault;
        let fed = matcher.feed(bytes, &mut |found| {
            *is_own_fault |= match (found.tag, found.value) {
                (Field::Name, Value::Text(name)) => OWN_FAULTS.contains(&name),
                (Field::Message, Value::Text(message)) => message.starts_with(TOO_LARGE),
                _ => false,
            };
            ControlFlow::Continue(())
        });
        if fed.is_err() {
            (self.matcher, self.is_own_fault) = (None, false);
        }
    }

    /// Whether what has come says that the request is at fault.
    pub fn is_own_fault(&self) -> bool {
        self.is_own_fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_body_that_blames_the_request_excuses_the_key() {
        for (body, want) in [
            (r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#, false),
            (r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota"}}"#, false),
            (
                r#"{"error":{"message":"Request too large for gpt-4o","type":"tokens","code":"rate_limit_exceeded"}}"#,
                true,
            ),
            (r#"{"error":{"type":"invalid_request_error","message":"x"}}"#, true),
            (r#"{"error":{"code":"context_length_exceeded"}}"#, true),
            (r#"{"error":{"code":429,"message":null}}"#, false),
            (r#"{"error":"invalid_request_error"}"#, false),
            (r#"{"type":"invalid_request_error"}"#, false),
            (r#"{"error":{"code":"context_length_exceeded"},"error":{}}"#, false),
            ("Too Many Requests", false),
            ("", false),
        ] {
            for cut in 0..body.len().max(1) {
                let (start, end) = body.as_bytes().split_at(cut.min(body.len()));
                let mut reader = RefusedRequest::default();
                reader.feed(start);
                reader.feed(end);
                assert_eq!(reader.is_own_fault(), want, "{body} at {cut}");
            }
        }
    }
}
