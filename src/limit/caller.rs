//! Limits of a caller: sessions at a time and per minute, tokens and dollars in a day.

use serde::Serialize;

use crate::usage::{Limit, MicroUsd, Tally};

/// What a caller may use up; `None` does not limit, and is left out of JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CallerLimits {
    /// Sessions at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_sessions: Option<u32>,
    /// Sessions that start within 60 seconds, wherever those begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_per_minute: Option<u32>,
    /// Tokens in a day, UTC, those of transcriptions among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// What a day may cost, UTC.
    #[serde(rename = "cost_usd_per_day", skip_serializing_if = "Option::is_none")]
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

    /// What is left of the day's budget; the other limits are as they were.
    pub fn remaining(&self, usage: &Tally, cost: MicroUsd) -> Self {
        Self {
            tokens_per_day: self.tokens_per_day.map(|limit| limit.saturating_sub(super::tokens(usage))),
            cost_per_day: self.cost_per_day.map(|limit| MicroUsd(limit.0.saturating_sub(cost.0))),
            ..*self
        }
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

    /// The limit that so much would be over, if one is: nothing is over a limit that only uses it up.
    pub fn over(&self, tokens: u64, cost: MicroUsd) -> Option<Limit> {
        if self.tokens_per_day.is_some_and(|limit| tokens > limit) {
            Some(Limit::CallerTokensPerDay)
        } else if self.cost_per_day.is_some_and(|limit| cost > limit) {
            Some(Limit::CallerCostPerDay)
        } else {
            None
        }
    }
}
