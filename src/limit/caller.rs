//! Limits of a caller: sessions at a time and per minute, tokens and dollars in a day.

use serde::Serialize;

use super::budget::Budget;
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
        self.budget().is_limited()
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
        self.budget().spent(super::tokens(usage), cost)
    }

    /// Which part of the day's budget so much would be over, if it would be over one.
    pub fn over(&self, tokens: u64, cost: MicroUsd) -> Option<Limit> {
        self.budget().over(tokens, cost)
    }

    fn budget(&self) -> Budget {
        let (tokens, cost) = (Limit::CallerTokensPerDay, Limit::CallerCostPerDay);
        Budget { tokens: (self.tokens_per_day, tokens), cost: (self.cost_per_day, cost) }
    }
}
