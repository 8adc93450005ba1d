//! Limits of a caller: sessions at a time and per minute, tokens and dollars in a day.

use crate::usage::{Limit, MicroUsd, Tally};

/// What a caller may use up; `None` does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallerLimits {
    /// Sessions at a time.
    pub concurrent_sessions: Option<u32>,
    /// Sessions that start within 60 seconds, wherever those begin.
    pub sessions_per_minute: Option<u32>,
    /// Tokens in a day, UTC, those of transcriptions among them.
    pub tokens_per_day: Option<u64>,
    /// What a day may cost, UTC.
    pub cost_per_day: Option<MicroUsd>,
}

/// Nothing can start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Why.
    pub limit: Limit,
    /// When to try again, in seconds: when there is room in the minute, or at midnight UTC. Nobody knows when a session
    /// will end; then it is a few seconds.
    pub retry_after: u64,
}

impl CallerLimits {
    /// Whether there is a budget of the day.
    pub fn has_budget(&self) -> bool {
        self.tokens_per_day.is_some() || self.cost_per_day.is_some()
    }

    /// Which part of the day's budget is used up, if one is.
    pub fn spent(&self, usage: &Tally, cost: MicroUsd) -> Option<Limit> {
        if self.tokens_per_day.is_some_and(|limit| super::tokens(usage) >= limit) {
            Some(Limit::CallerTokensPerDay)
        } else if self.cost_per_day.is_some_and(|limit| cost >= limit) {
            Some(Limit::CallerCostPerDay)
        } else {
            None
        }
    }
}
