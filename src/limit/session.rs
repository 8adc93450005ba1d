//! Limits of a session: its duration, idle time, tokens and dollars.

use std::time::{Duration, SystemTime};

use super::Ending;
use crate::usage::{Limit, MicroUsd, Tally};

/// What a policy or a client secret lets a session use up; `None` does not limit.
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

/// What one session may use up: of the limits of its policy and of its client secret, those that are reached first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionBounds {
    max_duration: Option<(Duration, Limit)>,
    idle_timeout: Option<Duration>,
    max_tokens: Option<(u64, Limit)>,
    max_cost: Option<(MicroUsd, Limit)>,
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
    /// The limits of a policy, and a client secret's where those are tighter: it can lower them, never raise them.
    pub fn new(policy: &SessionLimits, secret: &SessionLimits) -> Self {
        Self {
            max_duration: tighter(
                policy.max_duration,
                Limit::SessionDuration,
                secret.max_duration,
                Limit::SecretDuration,
            ),
            idle_timeout: policy.idle_timeout,
            max_tokens: tighter(policy.max_tokens, Limit::SessionTokens, secret.max_tokens, Limit::SecretTokens),
            max_cost: tighter(policy.max_cost, Limit::SessionCost, secret.max_cost, Limit::SecretCost),
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
        reached(self.max_duration, now.duration_since(started).unwrap_or_default())
    }

    /// The limit on tokens or dollars that is used up, if one is.
    pub fn spent(&self, usage: &Tally, cost: MicroUsd) -> Option<Limit> {
        reached(self.max_tokens, super::tokens(usage)).or_else(|| reached(self.max_cost, cost))
    }
}

/// The lower of two limits; where they are equal, the policy's.
fn tighter<T: Ord>(
    policy: Option<T>,
    name_of_policys: Limit,
    secret: Option<T>,
    name_of_secrets: Limit,
) -> Option<(T, Limit)> {
    let (policy, secret) = (policy.map(|value| (value, name_of_policys)), secret.map(|value| (value, name_of_secrets)));
    policy.into_iter().chain(secret).min_by(|(one, _), (other, _)| one.cmp(other))
}

fn reached<T: PartialOrd>(bound: Option<(T, Limit)>, used: T) -> Option<Limit> {
    bound.filter(|(value, _)| used >= *value).map(|(_, limit)| limit)
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
        SessionBounds::new(&limits, &SessionLimits::default()).check(&progress, at(now))
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
    fn of_a_policys_limit_and_a_secrets_the_tighter_is_named() {
        let limits = |tokens, micro_usd, seconds| SessionLimits {
            max_duration: Some(Duration::from_secs(seconds)),
            idle_timeout: None,
            max_tokens: Some(tokens),
            max_cost: Some(MicroUsd(micro_usd)),
        };
        let loose = (1000, 1000, 1000);
        for (policy, secret, want) in [
            ((100, 1000, 1000), loose, Limit::SessionTokens),
            (loose, (100, 1000, 1000), Limit::SecretTokens),
            ((100, 1000, 1000), (100, 1000, 1000), Limit::SessionTokens),
            ((90, 1000, 1000), (80, 1000, 1000), Limit::SecretTokens),
            (loose, (1000, 500, 1000), Limit::SecretCost),
            (loose, (1000, 1000, 60), Limit::SecretDuration),
            ((1000, 1000, 60), (1000, 1000, 61), Limit::SessionDuration),
        ] {
            let [policy, secret] = [policy, secret].map(|(tokens, cost, seconds)| limits(tokens, cost, seconds));
            let progress =
                Progress { started: at(1000), last_activity: at(1050), usage: &usage(), cost: MicroUsd(500) };
            assert_eq!(SessionBounds::new(&policy, &secret).check(&progress, at(1060)), Some(Ending::Limit(want)));
        }
    }
}
