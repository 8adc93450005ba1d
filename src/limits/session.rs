//! What ends a session, and what its client is told.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::usage::{Close, ClosedBy, MicroUsd, Tally};

/// What a session may use up; `None` does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionLimits {
    /// How long it may last.
    pub max_duration: Option<Duration>,
    /// How long nothing may come from either side.
    pub idle_timeout: Option<Duration>,
    /// Tokens, those of transcriptions among them.
    pub max_tokens: Option<u64>,
    /// What it may cost.
    pub max_cost: Option<MicroUsd>,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// When the upstream accepted it.
    pub started: SystemTime,
    /// When something last came from either side.
    pub last_activity: SystemTime,
    /// What it has used.
    pub usage: &'a Tally,
    /// What that costs.
    pub cost: MicroUsd,
}

/// Why this gateway ends a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It lasts longer than it may.
    MaxDuration,
    /// Nothing has come for too long. Nothing can be written then: the session is cut, and its client is told nothing.
    IdleTimeout,
    /// The tokens or dollars of the session, or of its caller's day, are used up.
    Budget,
    /// The client would change this field, which is locked.
    FieldLocked(String),
    /// The client asks for this model, or the session is one of it, and it may not be used.
    ModelNotAllowed(String),
    /// An operator, or the event service, stops it.
    Stopped,
    /// Frames or messages that cannot be followed, and why.
    ProtocolError(Cow<'static, str>),
    /// A message must be inspected, and is longer than can be.
    MessageTooBig,
}

impl SessionLimits {
    /// Why a session must end now, if it must. A limit is reached when nothing is left of it.
    pub fn check(&self, progress: &Progress<'_>, now: SystemTime) -> Option<Ending> {
        let is_over = |since: SystemTime, limit: Option<Duration>| {
            limit.is_some_and(|limit| now.duration_since(since).unwrap_or_default() >= limit)
        };
        if is_over(progress.started, self.max_duration) {
            Some(Ending::MaxDuration)
        } else if self.is_spent(progress.usage, progress.cost) {
            Some(Ending::Budget)
        } else if is_over(progress.last_activity, self.idle_timeout) {
            Some(Ending::IdleTimeout)
        } else {
            None
        }
    }

    /// Whether tokens or dollars are limited.
    pub fn has_budget(&self) -> bool {
        self.max_tokens.is_some() || self.max_cost.is_some()
    }

    /// Whether the session's tokens or dollars are used up.
    pub fn is_spent(&self, usage: &Tally, cost: MicroUsd) -> bool {
        self.max_tokens.is_some_and(|limit| super::tokens(usage) >= limit)
            || self.max_cost.is_some_and(|limit| cost >= limit)
    }
}

impl Ending {
    /// The Close frame's status code.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::MaxDuration | Self::IdleTimeout => 4408,
            Self::Budget => 4429,
            Self::FieldLocked(_) | Self::ModelNotAllowed(_) => 4403,
            Self::Stopped => 4410,
            Self::ProtocolError(_) => 1002,
            Self::MessageTooBig => 1009,
        }
    }

    /// `error.code` of the event, the Close frame's reason, and the name in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MaxDuration => "max_duration_exceeded",
            Self::IdleTimeout => "idle_timeout",
            Self::Budget => "budget_exceeded",
            Self::FieldLocked(_) => "field_locked",
            Self::ModelNotAllowed(_) => "model_not_allowed",
            Self::Stopped => "session_stopped",
            Self::ProtocolError(_) => "protocol_error",
            Self::MessageTooBig => "message_too_big",
        }
    }

    /// What the client is told.
    pub fn message(&self) -> Cow<'static, str> {
        match self {
            Self::MaxDuration => "This session has lasted as long as it may. Open a new one to go on.".into(),
            Self::IdleTimeout => "Nothing was sent in this session for too long. Open a new one to go on.".into(),
            Self::Budget => "The budget of this session, or of today, is used up.".into(),
            Self::FieldLocked(field) => format!("`{field}` may not be changed in this session.").into(),
            Self::ModelNotAllowed(model) => format!("The model `{model}` may not be used in this session.").into(),
            Self::Stopped => "This session was stopped by its operator.".into(),
            Self::ProtocolError(why) => format!("What was sent cannot be followed: {why}.").into(),
            Self::MessageTooBig => "A message is too long to be checked against this session's policy.".into(),
        }
    }

    /// The event that goes before the Close frame, as JSON.
    pub fn event(&self, event_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Event<'a> {
            r#type: &'static str,
            event_id: &'a str,
            error: Fields<'a>,
        }
        #[derive(Serialize)]
        struct Fields<'a> {
            r#type: &'static str,
            code: &'static str,
            message: &'a str,
            param: Option<&'a str>,
            event_id: Option<&'a str>,
        }
        let message = self.message();
        let error = Fields {
            r#type: "session_limit_exceeded",
            code: self.code(),
            message: &message,
            param: None,
            event_id: None,
        };
        serde_json::to_vec(&Event { r#type: "error", event_id, error }).unwrap_or_default()
    }

    /// How the session's record says that it ended.
    pub fn close(&self) -> Close {
        Close { by: ClosedBy::Gateway, code: self.close_code(), reason: self.code().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Input, Output, Tokens, Transcription};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn usage() -> Tally {
        let mut usage = Tally::response(Tokens {
            input: Input { text: 70, ..Input::default() },
            output: Output { text: 20, audio: 0 },
        });
        usage.add(&Tally::transcription(Transcription { tokens: 10, milliseconds: 0 }));
        usage
    }

    /// Started at 1000, last active at 1050, used 100 tokens for 500 micro-dollars.
    fn check(limits: SessionLimits, now: u64) -> Option<Ending> {
        let progress = Progress { started: at(1000), last_activity: at(1050), usage: &usage(), cost: MicroUsd(500) };
        limits.check(&progress, at(now))
    }

    #[test]
    fn a_session_ends_when_nothing_is_left_of_a_limit() {
        let none = SessionLimits::default();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (limits, now, want) in [
            (none, 1_000_000, None),
            (SessionLimits { max_duration: seconds(60), ..none }, 1059, None),
            (SessionLimits { max_duration: seconds(60), ..none }, 1060, Some(Ending::MaxDuration)),
            (SessionLimits { idle_timeout: seconds(30), ..none }, 1079, None),
            (SessionLimits { idle_timeout: seconds(30), ..none }, 1080, Some(Ending::IdleTimeout)),
            (SessionLimits { max_tokens: Some(101), ..none }, 1050, None),
            (SessionLimits { max_tokens: Some(100), ..none }, 1050, Some(Ending::Budget)),
            (SessionLimits { max_cost: Some(MicroUsd(501)), ..none }, 1050, None),
            (SessionLimits { max_cost: Some(MicroUsd(500)), ..none }, 1050, Some(Ending::Budget)),
        ] {
            assert_eq!(check(limits, now), want, "{limits:?} {now}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_ends_nothing() {
        let seconds = Some(Duration::from_secs(1));
        let limits = SessionLimits { max_duration: seconds, idle_timeout: seconds, ..SessionLimits::default() };
        assert_eq!(check(limits, 900), None);
    }

    #[test]
    fn what_can_still_be_told_comes_before_what_cannot() {
        let seconds = Some(Duration::from_secs(1));
        let limits =
            SessionLimits { max_duration: seconds, idle_timeout: seconds, max_tokens: Some(1), max_cost: None };
        assert_eq!(check(limits, 2000), Some(Ending::MaxDuration));
        assert_eq!(check(SessionLimits { max_duration: None, ..limits }, 2000), Some(Ending::Budget));
    }

    #[test]
    fn each_ending_has_the_codes_of_the_contract() {
        for (ending, close_code, code) in [
            (Ending::MaxDuration, 4408, "max_duration_exceeded"),
            (Ending::IdleTimeout, 4408, "idle_timeout"),
            (Ending::Budget, 4429, "budget_exceeded"),
            (Ending::FieldLocked("tools".into()), 4403, "field_locked"),
            (Ending::ModelNotAllowed("m".into()), 4403, "model_not_allowed"),
            (Ending::Stopped, 4410, "session_stopped"),
            (Ending::ProtocolError("why".into()), 1002, "protocol_error"),
            (Ending::MessageTooBig, 1009, "message_too_big"),
        ] {
            assert_eq!((ending.close_code(), ending.code()), (close_code, code));
            assert_eq!(ending.close(), Close { by: ClosedBy::Gateway, code: close_code, reason: code.into() });
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
}
