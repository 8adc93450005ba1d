//! Limits of a session: its duration, idle time, tokens and dollars.

use std::time::{Duration, SystemTime};

use super::Ending;
use super::budget::Budget;
use crate::usage::{Limit, MicroUsd, Tally};

/// What a policy lets a session use up; `None` does not limit.
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

/// What one session may use up by itself: the limits of its policy, and how long its client secret lets it last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionBounds {
    max_duration: Option<(Duration, Limit)>,
    idle_timeout: Option<Duration>,
    max_tokens: Option<u64>,
    max_cost: Option<MicroUsd>,
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
    /// Whether tokens or dollars are limited.
    pub fn has_budget(&self) -> bool {
        self.max_tokens.is_some() || self.max_cost.is_some()
    }

    /// The lower of both limits, of each.
    pub fn tighten(&self, other: &Self) -> Self {
        Self {
            max_duration: lower(self.max_duration, other.max_duration),
            idle_timeout: lower(self.idle_timeout, other.idle_timeout),
            max_tokens: lower(self.max_tokens, other.max_tokens),
            max_cost: lower(self.max_cost, other.max_cost),
        }
    }
}

fn lower<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

impl SessionBounds {
    /// The limits of a policy, and a client secret's on how long a session lasts where that is tighter: it can lower that
    /// limit, never raise it.
    pub fn new(policy: &SessionLimits, secrets_max_duration: Option<Duration>) -> Self {
        let policys = policy.max_duration.map(|limit| (limit, Limit::SessionDuration));
        let secrets = secrets_max_duration.map(|limit| (limit, Limit::SecretDuration));
        Self {
            max_duration: policys.into_iter().chain(secrets).min_by_key(|(limit, _)| *limit),
            idle_timeout: policy.idle_timeout,
            max_tokens: policy.max_tokens,
            max_cost: policy.max_cost,
        }
    }

    /// Why a session must end now, if it must. A limit is reached when nothing is left of it.
    pub fn check(&self, progress: &Progress<'_>, now: SystemTime) -> Option<Ending> {
        let is_over = |since: SystemTime, limit: Duration| now.duration_since(since).unwrap_or_default() >= limit;
        let idle = || self.idle_timeout.filter(|limit| is_over(progress.last_activity, *limit));
        self.overdue(progress.started, now)
            .or_else(|| self.spent(progress.usage, progress.cost))
            .or_else(|| idle().map(|_| Limit::SessionIdle))
            .map(Ending::Limit)
    }

    /// The limit on its duration, of a session that has lasted as long as it may.
    pub fn overdue(&self, started: SystemTime, now: SystemTime) -> Option<Limit> {
        let (most, limit) = self.max_duration?;
        (now.duration_since(started).unwrap_or_default() >= most).then_some(limit)
    }

    /// The limit on tokens or dollars that is used up, if one is.
    pub fn spent(&self, usage: &Tally, cost: MicroUsd) -> Option<Limit> {
        if self.has_budget() { self.budget().spent(super::tokens(usage), cost) } else { None }
    }

    /// Whether tokens or dollars are limited.
    pub fn has_budget(&self) -> bool {
        self.budget().is_limited()
    }

    /// The limit on tokens or dollars that so much would be over, if one is.
    pub fn over(&self, tokens: u64, cost: MicroUsd) -> Option<Limit> {
        self.budget().over(tokens, cost)
    }

    fn budget(&self) -> Budget {
        Budget { tokens: (self.max_tokens, Limit::SessionTokens), cost: (self.max_cost, Limit::SessionCost) }
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
        SessionBounds::new(&limits, None).check(&progress, at(now))
    }

    #[test]
    fn a_session_ends_when_nothing_is_left_of_a_limit() {
        let none = SessionLimits::default();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (limits, now, want) in [
            (none, 1_000_000, None),
            (SessionLimits { max_duration: seconds(60), ..none }, 1059, None),
            (SessionLimits { max_duration: seconds(60), ..none }, 1060, Some(Ending::Limit(Limit::SessionDuration))),
            (SessionLimits { idle_timeout: seconds(30), ..none }, 1079, None),
            (SessionLimits { idle_timeout: seconds(30), ..none }, 1080, Some(Ending::Limit(Limit::SessionIdle))),
            (SessionLimits { max_tokens: Some(101), ..none }, 1050, None),
            (SessionLimits { max_tokens: Some(100), ..none }, 1050, Some(Ending::Limit(Limit::SessionTokens))),
            (SessionLimits { max_cost: Some(MicroUsd(501)), ..none }, 1050, None),
            (SessionLimits { max_cost: Some(MicroUsd(500)), ..none }, 1050, Some(Ending::Limit(Limit::SessionCost))),
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
        assert_eq!(check(limits, 2000), Some(Ending::Limit(Limit::SessionDuration)));
        assert_eq!(
            check(SessionLimits { max_duration: None, ..limits }, 2000),
            Some(Ending::Limit(Limit::SessionTokens))
        );
    }

    #[test]
    fn of_a_policys_duration_and_a_secrets_the_tighter_is_named() {
        let seconds = |seconds: u64| Some(Duration::from_secs(seconds)).filter(|_| seconds > 0);
        for (policy, secret, want) in [
            (60, 0, Some(Limit::SessionDuration)),
            (0, 60, Some(Limit::SecretDuration)),
            (60, 61, Some(Limit::SessionDuration)),
            (61, 60, Some(Limit::SecretDuration)),
            (60, 60, Some(Limit::SessionDuration)),
            (61, 61, None),
            (0, 0, None),
        ] {
            let limits = SessionLimits { max_duration: seconds(policy), ..SessionLimits::default() };
            assert_eq!(SessionBounds::new(&limits, seconds(secret)).overdue(at(1000), at(1060)), want);
        }
    }
}
