//! Limits of a session: its duration, idle time, tokens and dollars.

use std::time::{Duration, SystemTime};

use super::Ending;
use crate::usage::{MicroUsd, Tally};

/// What a session may use up; `None` does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionLimits {
    /// How long it may last.
    pub max_duration: Option<Duration>,
    /// How long no message may come from either side; pings and pongs are none.
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
    /// When a message last came from either side.
    pub last_activity: SystemTime,
    /// What it has used.
    pub usage: &'a Tally,
    /// What that costs.
    pub cost: MicroUsd,
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
            ..Tokens::default()
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
    fn what_a_client_can_still_read_comes_before_what_it_cannot() {
        let seconds = Some(Duration::from_secs(1));
        let limits =
            SessionLimits { max_duration: seconds, idle_timeout: seconds, max_tokens: Some(1), max_cost: None };
        assert_eq!(check(limits, 2000), Some(Ending::MaxDuration));
        assert_eq!(check(SessionLimits { max_duration: None, ..limits }, 2000), Some(Ending::Budget));
    }
}
