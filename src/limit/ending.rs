//! Why the gateway ends a session, and the error event and Close that its client gets for it.

use std::borrow::Cow;

use serde::Serialize;

use crate::usage::{Close, ClosedBy, Limit};

/// Why this gateway ends a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// A limit is reached. Where it is [`Limit::SessionIdle`], nothing can be written: the session is cut, and its client
    /// is told nothing.
    Limit(Limit),
    /// The client would change this field, which is locked.
    FieldLocked(String),
    /// The client asks for this model, or the session is one of it, and it may not be used.
    ModelNotAllowed(String),
    /// The client's first message names no model, and one must be judged.
    ModelMissing,
    /// Dollars are limited, and this model, which is asked for or reported, has no price, or not for all that it used.
    ModelUnpriced(String),
    /// The upstream refuses the fields that the gateway sets.
    PresetRefused,
    /// An operator, or the event service, stops it.
    Stopped,
    /// The token that it began with is over, or a new configuration has it no more.
    TokenRevoked,
    /// A call that nobody watches, though it has a limit that only those can keep who do.
    Unwatched,
    /// The call that a WebSocket has joined is over.
    CallEnded,
    /// The client's message needs memory, and the worker's streams hold as much as they may.
    Overloaded,
    /// A message that may have to be changed is longer than any that is held for that.
    MessageTooBig,
    /// Frames or messages that cannot be followed, and why.
    ProtocolError(Cow<'static, str>),
}

/// RFC 6455 section 7.4.1: the purpose for which the connection was established is fulfilled.
const NORMAL_CLOSURE: u16 = 1000;

/// RFC 6455 section 7.4.1: no status code was present.
const NO_STATUS: u16 = 1005;

impl Ending {
    /// The Close frame's status code.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::Limit(Limit::SessionDuration | Limit::SecretDuration | Limit::SessionIdle) => 4408,
            Self::Limit(_) => 4429,
            Self::FieldLocked(_)
            | Self::ModelNotAllowed(_)
            | Self::ModelMissing
            | Self::ModelUnpriced(_)
            | Self::PresetRefused => 4403,
            Self::Stopped => 4410,
            Self::TokenRevoked => 4401,
            // There is no WebSocket to be closed.
            Self::Unwatched => NO_STATUS,
            Self::CallEnded => NORMAL_CLOSURE,
            Self::Overloaded | Self::MessageTooBig => 1009,
            Self::ProtocolError(_) => 1002,
        }
    }

    /// `error.code` of the event, the Close frame's reason, and the name in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Limit(Limit::SessionDuration | Limit::SecretDuration) => "max_duration_exceeded",
            Self::Limit(Limit::SessionIdle) => "idle_timeout",
            Self::Limit(_) => "budget_exceeded",
            Self::FieldLocked(_) => "field_locked",
            Self::ModelNotAllowed(_) | Self::ModelMissing | Self::ModelUnpriced(_) => "model_not_allowed",
            Self::PresetRefused => "preset_refused",
            Self::Stopped => "session_stopped",
            Self::TokenRevoked => "token_revoked",
            Self::Unwatched => "unwatched",
            Self::CallEnded => "call_ended",
            Self::Overloaded => "overloaded",
            Self::MessageTooBig => "message_too_big",
            Self::ProtocolError(_) => "protocol_error",
        }
    }

    /// The limit that is reached, if it is one.
    pub fn limit(&self) -> Option<Limit> {
        if let Self::Limit(limit) = self { Some(*limit) } else { None }
    }

    /// What the client is told.
    pub fn message(&self) -> Cow<'static, str> {
        match self {
            Self::Limit(limit) => match limit {
                Limit::SessionDuration | Limit::SecretDuration => {
                    "This session has lasted as long as it may. Open a new one to go on."
                }
                Limit::SessionIdle => "Nothing was sent in this session for too long. Open a new one to go on.",
                Limit::SecretTokens | Limit::SecretCost | Limit::SecretSessions => {
                    "What this client secret may use is used up. Mint a new one."
                }
                Limit::CallerTokensPerDay | Limit::CallerCostPerDay => {
                    "Today's budget is used up. It begins anew at midnight UTC."
                }
                _ => "The budget of this session is used up. Open a new one to go on.",
            }
            .into(),
            Self::FieldLocked(field) => format!("`{field}` may not be changed in this session.").into(),
            Self::ModelNotAllowed(model) => format!("The model `{model}` may not be used in this session.").into(),
            Self::ModelMissing => {
                "Name a model in the first message of this session: the gateway's policy allows only some.".into()
            }
            Self::ModelUnpriced(model) => {
                let message = format!(
                    "The model `{model}` may not be used in this session: its dollars are limited, and the gateway has no \
                     price for all that this model uses."
                );
                message.into()
            }
            Self::PresetRefused => {
                "The provider refuses what the gateway sets in this session. Its operator must mend the policy's preset.".into()
            }
            Self::Stopped => "This session was stopped by its operator.".into(),
            Self::TokenRevoked => {
                "The token of this session is over or revoked. Open a new session with another.".into()
            }
            Self::Unwatched => "No sideband tells what this call uses.".into(),
            Self::CallEnded => "The call is over.".into(),
            Self::Overloaded => "The gateway has no memory left for this message. Open a new session to go on.".into(),
            Self::MessageTooBig => "A message is longer than any that may be sent in this session.".into(),
            Self::ProtocolError(why) => format!("What was sent cannot be followed: {why}.").into(),
        }
    }

    /// The event that goes before the Close frame, as JSON.
    pub fn event(&self, event_id: &str) -> Vec<u8> {
        let error = ErrorFields {
            r#type: "session_limit_exceeded",
            code: self.code(),
            message: &self.message(),
            param: self.limit().map(Limit::as_str),
            event_id: None,
        };
        error.event(event_id)
    }

    /// The event that says that a message of the client's, with this id if it has one, was refused for this field, and
    /// that the session goes on: as JSON.
    pub fn refusal(field: String, refused: Option<&str>, event_id: &str) -> Vec<u8> {
        let param = field.clone();
        let ending = Self::FieldLocked(field);
        let error = ErrorFields {
            r#type: "invalid_request_error",
            code: ending.code(),
            message: &ending.message(),
            param: Some(&param),
            event_id: refused,
        };
        error.event(event_id)
    }

    /// How the session's record says that it ended.
    pub fn close(&self) -> Close {
        Close { by: ClosedBy::Gateway, code: self.close_code(), reason: self.code().to_owned(), limit: self.limit() }
    }
}

/// What is wrong, as OpenAI says it.
#[derive(Serialize)]
struct ErrorFields<'a> {
    r#type: &'static str,
    code: &'static str,
    message: &'a str,
    param: Option<&'a str>,
    event_id: Option<&'a str>,
}

impl ErrorFields<'_> {
    /// The event that says so, as JSON.
    fn event(self, event_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Event<'a> {
            r#type: &'static str,
            event_id: &'a str,
            error: ErrorFields<'a>,
        }
        serde_json::to_vec(&Event { r#type: "error", event_id, error: self }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_has_the_codes_of_the_contract() {
        for (ending, close_code, code) in [
            (Ending::Limit(Limit::SessionDuration), 4408, "max_duration_exceeded"),
            (Ending::Limit(Limit::SecretDuration), 4408, "max_duration_exceeded"),
            (Ending::Limit(Limit::SessionIdle), 4408, "idle_timeout"),
            (Ending::Limit(Limit::SessionTokens), 4429, "budget_exceeded"),
            (Ending::Limit(Limit::SecretCost), 4429, "budget_exceeded"),
            (Ending::Limit(Limit::CallerTokensPerDay), 4429, "budget_exceeded"),
            (Ending::FieldLocked("tools".into()), 4403, "field_locked"),
            (Ending::ModelNotAllowed("m".into()), 4403, "model_not_allowed"),
            (Ending::ModelMissing, 4403, "model_not_allowed"),
            (Ending::ModelUnpriced("m".into()), 4403, "model_not_allowed"),
            (Ending::PresetRefused, 4403, "preset_refused"),
            (Ending::Stopped, 4410, "session_stopped"),
            (Ending::TokenRevoked, 4401, "token_revoked"),
            (Ending::Unwatched, 1005, "unwatched"),
            (Ending::CallEnded, 1000, "call_ended"),
            (Ending::Overloaded, 1009, "overloaded"),
            (Ending::MessageTooBig, 1009, "message_too_big"),
            (Ending::ProtocolError("why".into()), 1002, "protocol_error"),
        ] {
            assert_eq!((ending.close_code(), ending.code()), (close_code, code));
            let limit = ending.limit();
            assert_eq!(ending.close(), Close { by: ClosedBy::Gateway, code: close_code, reason: code.into(), limit });
        }
    }

    #[test]
    fn the_event_has_the_shape_of_openai() {
        let event = Ending::FieldLocked("to\"ols".into()).event("event_1");
        assert_eq!(
            String::from_utf8(event).unwrap(),
            concat!(
                r#"{"type":"error","event_id":"event_1","error":{"type":"session_limit_exceeded","code":"field_locked","#,
                r#""message":"`to\"ols` may not be changed in this session.","param":null,"event_id":null}}"#
            )
        );
    }

    #[test]
    fn a_refusal_names_the_field_and_the_event_that_was_refused() {
        let told = Ending::refusal("to\"ols".into(), Some("mine"), "event_1");
        assert_eq!(
            String::from_utf8(told).unwrap(),
            concat!(
                r#"{"type":"error","event_id":"event_1","error":{"type":"invalid_request_error","code":"field_locked","#,
                r#""message":"`to\"ols` may not be changed in this session.","param":"to\"ols","event_id":"mine"}}"#
            )
        );
    }

    #[test]
    fn the_event_and_the_record_name_the_limit_that_was_reached() {
        for limit in Limit::ALL {
            let ending = Ending::Limit(limit);
            let event: serde_json::Value = serde_json::from_slice(&ending.event("event_1")).unwrap();
            assert_eq!(event["error"]["param"], limit.as_str());
            assert_eq!(ending.close().limit, Some(limit));
        }
        assert_eq!(Ending::Stopped.close().limit, None);
    }
}
