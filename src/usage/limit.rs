//! The limits that can be reached, by the names that events, records and logs have for them.

use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A limit: whose it is, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The policy's, on a session's tokens.
    SessionTokens,
    /// The policy's, on what a session may cost.
    SessionCost,
    /// The policy's, on how long a session may last.
    SessionDuration,
    /// The policy's, on how long a session may be idle.
    SessionIdle,
    /// A client secret's, on the tokens of its sessions.
    SecretTokens,
    /// A client secret's, on what its sessions may cost.
    SecretCost,
    /// A client secret's, on how long a session may last.
    SecretDuration,
    /// A client secret's, on its sessions, one after the other or at a time.
    SecretSessions,
    /// A caller's, on sessions at a time.
    CallerConcurrentSessions,
    /// A caller's, on sessions that start within a minute.
    CallerSessionsPerMinute,
    /// A caller's, on the tokens of a day.
    CallerTokensPerDay,
    /// A caller's, on what a day may cost.
    CallerCostPerDay,
    /// The policy's, on sidebands of a call at a time.
    CallSidebands,
}

/// A text that is no limit's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLimit;

impl Limit {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::SessionTokens,
        Self::SessionCost,
        Self::SessionDuration,
        Self::SessionIdle,
        Self::SecretTokens,
        Self::SecretCost,
        Self::SecretDuration,
        Self::SecretSessions,
        Self::CallerConcurrentSessions,
        Self::CallerSessionsPerMinute,
        Self::CallerTokensPerDay,
        Self::CallerCostPerDay,
        Self::CallSidebands,
    ];

    /// Its name: whose it is, and the setting's name there.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionTokens => "session.max_tokens",
            Self::SessionCost => "session.max_cost_usd",
            Self::SessionDuration => "session.max_duration",
            Self::SessionIdle => "session.idle_timeout",
            Self::SecretTokens => "secret.max_tokens",
            Self::SecretCost => "secret.max_cost_usd",
            Self::SecretDuration => "secret.max_duration",
            Self::SecretSessions => "secret.max_sessions",
            Self::CallerConcurrentSessions => "caller.concurrent_sessions",
            Self::CallerSessionsPerMinute => "caller.sessions_per_minute",
            Self::CallerTokensPerDay => "caller.tokens_per_day",
            Self::CallerCostPerDay => "caller.cost_usd_per_day",
            Self::CallSidebands => "calls.sidebands",
        }
    }
}

impl FromStr for Limit {
    type Err = UnknownLimit;

    fn from_str(text: &str) -> Result<Self, UnknownLimit> {
        Self::ALL.into_iter().find(|limit| limit.as_str() == text).ok_or(UnknownLimit)
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'a> Deserialize<'a> for Limit {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|UnknownLimit| D::Error::custom("expected a limit's name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_found_by_its_name_and_no_other_text_is_one() {
        for limit in Limit::ALL {
            assert_eq!(limit.as_str().parse(), Ok(limit));
        }
        for bad in ["", "session", "session.", "max_tokens", "session.max_tokens ", "Session.max_tokens"] {
            assert_eq!(bad.parse::<Limit>(), Err(UnknownLimit));
        }
    }
}
