//! The upstream's response to a mint request, and what the backend gets instead: the same, with the secret sealed.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, LazyLock};

use super::claims::MAX_UPSTREAM_SECRET;
use super::sealing::Sealed;
use crate::http::ContentCodingError;
use crate::json::edit::Edits;
use crate::json::matcher::{Bounds, Matcher, OtherCase, Unreadable, Value};
use crate::json::paths::Paths;
use crate::secret::Secret;

/// The longest answer that is read, in bytes.
pub const MAX_RESPONSE: usize = 1 << 20;

/// An answer of one of two shapes:
///
/// ```json
/// {"value": "ek_…", "expires_at": 1756310470, "session": {}}
/// {"id": "sess_…", "client_secret": {"value": "ek_…", "expires_at": 1756310470}}
/// ```
pub struct MintResponse<'a> {
    /// The upstream's secret: visible ASCII, at most [`MAX_UPSTREAM_SECRET`] bytes.
    pub secret: Secret,
    /// When it expires, in Unix seconds.
    pub expires_at: u64,
    body: &'a str,
    value: Range<u64>,
    expiry: Range<u64>,
}

/// Why an answer cannot be used; nothing of it may be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidMintResponse {
    /// Longer than [`MAX_RESPONSE`].
    TooLong,
    /// A content coding that is not known, or content that does not follow it.
    Coding,
    /// Not a JSON object, or one whose members can be read in two ways.
    NotReadable,
    /// No secret in either place, or one in both.
    NoSecret,
    /// A secret that is empty, too long or cannot stand in a header.
    UnusableSecret,
    /// No time at which the secret expires.
    NoExpiry,
    /// The secret stands in yet another place.
    SecretElsewhere,
}

#[derive(Clone, Copy)]
enum Field {
    Value(Place),
    Expiry(Place),
    Legacy,
}

/// Where the secret stands: at the top, or in `client_secret`.
#[derive(Clone, Copy)]
enum Place {
    Top,
    Legacy,
}

static PATHS: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| {
    Arc::new(Paths::new(&[
        ("value", Field::Value(Place::Top)),
        ("expires_at", Field::Expiry(Place::Top)),
        ("client_secret", Field::Legacy),
        ("client_secret.value", Field::Value(Place::Legacy)),
        ("client_secret.expires_at", Field::Expiry(Place::Legacy)),
    ]))
});

/// What was found at one place.
#[derive(Default)]
struct Found {
    /// What stands for the secret, if it is text that may be one.
    value: Option<(Option<Secret>, Range<u64>)>,
    /// What stands for its expiry, if it is a whole number.
    expiry: Option<(Option<u64>, Range<u64>)>,
}

impl Found {
    fn set(&mut self, field: Field, value: Value<'_>, span: Range<u64>) {
        match (field, value) {
            (Field::Value(_), Value::Null) | (_, Value::Blocked(_)) => {}
            (Field::Value(_), Value::Text(secret)) => {
                self.value = Some((Some(Secret::new(secret.as_bytes().to_vec())), span));
            }
            (Field::Value(_), _) => self.value = Some((None, span)),
            (_, Value::Number(number)) => self.expiry = Some((number.parse().ok(), span)),
            _ => self.expiry = Some((None, span)),
        }
    }
}

impl<'a> MintResponse<'a> {
    /// Reads the body of a successful answer.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn parse(body: &'a [u8]) -> Result<Self, InvalidMintResponse> {
        if body.len() > MAX_RESPONSE {
            return Err(InvalidMintResponse::TooLong);
        }
        let body = str::from_utf8(body).map_err(|_| InvalidMintResponse::NotReadable)?;
        let bounds = Bounds { text: MAX_UPSTREAM_SECRET, other_case: OtherCase::Ignored, ..Bounds::default() };
        let mut matcher = Matcher::new(PATHS.clone(), bounds);
        let (mut at_top, mut in_legacy) = (Found::default(), Found::default());
        let mut is_legacy = Some(false);
        let _ = matcher.feed(body.as_bytes(), &mut |found| {
            match found.tag {
                Field::Value(Place::Top) | Field::Expiry(Place::Top) => at_top.set(found.tag, found.value, found.span),
                Field::Value(Place::Legacy) | Field::Expiry(Place::Legacy) => {
                    in_legacy.set(found.tag, found.value, found.span);
                }
                Field::Legacy => {
                    is_legacy = match found.value {
                        Value::Null => Some(false),
                        Value::Object { .. } => Some(true),
                        _ => None,
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        matcher.finish()?;
        let is_legacy = is_legacy.ok_or(InvalidMintResponse::NotReadable)?;
        let found = match (&at_top.value, is_legacy) {
            (Some(_), false) => at_top,
            (None, true) => in_legacy,
            (None, false) | (Some(_), true) => return Err(InvalidMintResponse::NoSecret),
        };
        let (secret, value) = found.value.ok_or(InvalidMintResponse::NoSecret)?;
        let (expires_at, expiry) = found.expiry.ok_or(InvalidMintResponse::NoExpiry)?;
        let expires_at = expires_at.ok_or(InvalidMintResponse::NoExpiry)?;
        let is_usable = |secret: &Secret| {
            let bytes = secret.expose();
            (1..=MAX_UPSTREAM_SECRET).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
        };
        let secret = secret.filter(is_usable).ok_or(InvalidMintResponse::UnusableSecret)?;
        Ok(Self { secret, expires_at, body, value, expiry })
    }

    /// The answer with `sealed` for the secret, expiring at `expires_at`; all other bytes as they were.
    ///
    /// # Errors
    /// If the secret stands in yet another place.
    pub fn with_sealed(&self, sealed: &Sealed, expires_at: u64) -> Result<Vec<u8>, InvalidMintResponse> {
        let mut edits = Edits::default();
        edits.replace(self.value.clone(), "");
        let emptied = String::from_utf8(edits.apply(self.body.as_bytes())).unwrap_or_default();
        let place = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
        let written = self.body.get(place(self.value.start)..place(self.value.end)).unwrap_or_default();
        if emptied.contains(written.trim_matches('"'))
            || str::from_utf8(self.secret.expose()).is_ok_and(|secret| emptied.contains(secret))
        {
            return Err(InvalidMintResponse::SecretElsewhere);
        }
        let mut edits = Edits::default();
        edits.replace(self.value.clone(), format!("\"{}\"", sealed.expose()));
        edits.replace(self.expiry.clone(), expires_at.to_string());
        Ok(edits.apply(self.body.as_bytes()))
    }
}

impl From<ContentCodingError> for InvalidMintResponse {
    fn from(error: ContentCodingError) -> Self {
        match error {
            ContentCodingError::TooLong => Self::TooLong,
            ContentCodingError::Coding => Self::Coding,
        }
    }
}

impl From<Unreadable> for InvalidMintResponse {
    fn from(_: Unreadable) -> Self {
        Self::NotReadable
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client_secret::sealed_for_tests;

    fn error(body: &str) -> Option<InvalidMintResponse> {
        let sealed = sealed_for_tests();
        MintResponse::parse(body.as_bytes()).and_then(|answer| answer.with_sealed(&sealed, 1)).err()
    }

    #[test]
    fn the_secret_and_its_expiry_are_replaced_and_nothing_else() {
        for (body, want) in [
            (
                r#"{"value":"ek_up","expires_at":1756310470,"session":{"expires_at":0,"value":"x", "tools":[ ]}}"#,
                r#"{"value":"EK","expires_at":42,"session":{"expires_at":0,"value":"x", "tools":[ ]}}"#,
            ),
            (
                "{\n \"session\" : {} , \"expires_at\" :1756310470 ,\t\"value\" : \"ek_\\u0075p\"\n}\n",
                "{\n \"session\" : {} , \"expires_at\" :42 ,\t\"value\" : \"EK\"\n}\n",
            ),
            (
                r#"{"id":"sess_1","expires_at":7,"client_secret":{"value":"ek_up","expires_at":1756310470},"a":1e400}"#,
                r#"{"id":"sess_1","expires_at":7,"client_secret":{"value":"EK","expires_at":42},"a":1e400}"#,
            ),
            (
                r#"{"value":null,"client_secret":{"expires_at":1756310470,"value":"ek_up"}}"#,
                r#"{"value":null,"client_secret":{"expires_at":42,"value":"EK"}}"#,
            ),
        ] {
            let sealed = sealed_for_tests();
            let answer = MintResponse::parse(body.as_bytes()).ok().unwrap();
            assert!(answer.secret == Secret::new(b"ek_up".to_vec()), "{body}");
            assert_eq!(answer.expires_at, 1_756_310_470, "{body}");
            let rewritten = String::from_utf8(answer.with_sealed(&sealed, 42).unwrap()).unwrap();
            assert_eq!(rewritten, want.replace("EK", sealed.expose()));
        }
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_distinguished() {
        let long = format!(r#"{{"value":"{}","expires_at":1}}"#, "x".repeat(MAX_UPSTREAM_SECRET + 1));
        let too_long = format!(r#"{{"value":"ek_up","expires_at":1,"session":"{}"}}"#, "x".repeat(MAX_RESPONSE));
        for (body, want) in [
            ("", InvalidMintResponse::NotReadable),
            ("<html>", InvalidMintResponse::NotReadable),
            ("[]", InvalidMintResponse::NotReadable),
            (r#"{"value":"ek_up","expires_at":1"#, InvalidMintResponse::NotReadable),
            (r#"{"value":"ek_up","value":"ek_other","expires_at":1}"#, InvalidMintResponse::NotReadable),
            (r#"{"client_secret":"ek_up","expires_at":1}"#, InvalidMintResponse::NotReadable),
            (r#"{"client_secret":{"value":"ek_up","value":"ek_other"}}"#, InvalidMintResponse::NotReadable),
            (r#"{}"#, InvalidMintResponse::NoSecret),
            (r#"{"value":null,"expires_at":1}"#, InvalidMintResponse::NoSecret),
            (r#"{"client_secret":{"expires_at":1}}"#, InvalidMintResponse::NoSecret),
            (
                r#"{"value":"ek_up","expires_at":1,"client_secret":{"value":"ek_up","expires_at":1}}"#,
                InvalidMintResponse::NoSecret,
            ),
            (r#"{"value":"","expires_at":1}"#, InvalidMintResponse::UnusableSecret),
            (r#"{"value":7,"expires_at":1}"#, InvalidMintResponse::UnusableSecret),
            (r#"{"value":"ek up","expires_at":1}"#, InvalidMintResponse::UnusableSecret),
            (r#"{"value":"ek_\r\nx: y","expires_at":1}"#, InvalidMintResponse::UnusableSecret),
            (r#"{"value":"ek_é","expires_at":1}"#, InvalidMintResponse::UnusableSecret),
            (&long, InvalidMintResponse::UnusableSecret),
            (r#"{"value":"ek_up"}"#, InvalidMintResponse::NoExpiry),
            (r#"{"value":"ek_up","expires_at":"soon"}"#, InvalidMintResponse::NoExpiry),
            (r#"{"value":"ek_up","expires_at":-1}"#, InvalidMintResponse::NoExpiry),
            (r#"{"value":"ek_up","session":{"expires_at":1}}"#, InvalidMintResponse::NoExpiry),
            (r#"{"value":"ek_up","expires_at":1,"session":{"key":"ek_up"}}"#, InvalidMintResponse::SecretElsewhere),
            (r#"{"value":"ek_\u0075p","expires_at":1,"ek_up":1}"#, InvalidMintResponse::SecretElsewhere),
            (r#"{"value":"ek_\/p","expires_at":1,"log":"x ek_\/p"}"#, InvalidMintResponse::SecretElsewhere),
            (&too_long, InvalidMintResponse::TooLong),
        ] {
            assert_eq!(error(body), Some(want), "{body:.80}");
        }
        assert_eq!(MintResponse::parse(b"{\"value\":\"\xff\"}").err(), Some(InvalidMintResponse::NotReadable));
    }

    proptest! {
        #[test]
        fn arbitrary_answers_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..100), value in ".{0,20}") {
            let _ = MintResponse::parse(&body);
            let body = serde_json::json!({"value": value, "expires_at": 1, "session": {"instructions": value}});
            prop_assert!(error(&body.to_string()).is_some());
        }
    }
}
