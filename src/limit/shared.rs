//! Limits of all sessions together that a client secret opens, and what they have drawn on them.

use super::budget::Budget;
use crate::usage::{Limit, MicroUsd, Tally};

/// What the sessions of a client secret may use up together; `None` does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedLimits {
    /// How many may begin.
    pub max_sessions: Option<u64>,
    /// Tokens, those of transcriptions among them.
    pub max_tokens: Option<u64>,
    /// What they may cost.
    pub max_cost: Option<MicroUsd>,
}

/// What several sessions have drawn on limits that they share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drawn {
    /// Sessions that were let in, however far they came.
    pub sessions: u64,
    /// Tokens, those of transcriptions among them.
    pub tokens: u64,
    /// What they cost.
    pub cost: MicroUsd,
}

impl SharedLimits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether tokens or dollars are limited.
    pub fn has_budget(&self) -> bool {
        self.budget().is_limited()
    }

    /// The limit that leaves no room for one more session, if one does. A limit is reached when nothing is left of it.
    pub fn reached(&self, drawn: &Drawn) -> Option<Limit> {
        let is_used = self.max_sessions.is_some_and(|limit| drawn.sessions >= limit);
        self.spent(drawn).or(is_used.then_some(Limit::SecretSessions))
    }

    /// The limit on tokens or dollars that is used up, if one is.
    pub fn spent(&self, drawn: &Drawn) -> Option<Limit> {
        self.budget().spent(drawn.tokens, drawn.cost)
    }

    /// The limit on tokens or dollars that so much would be over, if one is.
    pub fn over(&self, tokens: u64, cost: MicroUsd) -> Option<Limit> {
        self.budget().over(tokens, cost)
    }

    fn budget(&self) -> Budget {
        Budget { tokens: (self.max_tokens, Limit::SecretTokens), cost: (self.max_cost, Limit::SecretCost) }
    }
}

impl Drawn {
    /// What was used, and what that costs.
    pub fn used(usage: &Tally, cost: MicroUsd) -> Self {
        Self { sessions: 0, tokens: super::tokens(usage), cost }
    }

    /// One session more.
    pub fn session() -> Self {
        Self { sessions: 1, ..Self::default() }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            tokens: self.tokens.saturating_add(other.tokens),
            cost: MicroUsd(self.cost.0.saturating_add(other.cost.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Input, Output, Tokens, Transcription};

    const NONE: SharedLimits = SharedLimits { max_sessions: None, max_tokens: None, max_cost: None };

    #[test]
    fn a_limit_is_reached_when_nothing_is_left_of_it() {
        let drawn = Drawn { sessions: 2, tokens: 100, cost: MicroUsd(500) };
        for (limits, reached, spent) in [
            (NONE, None, None),
            (SharedLimits { max_sessions: Some(3), max_tokens: Some(101), max_cost: Some(MicroUsd(501)) }, None, None),
            (SharedLimits { max_sessions: Some(2), ..NONE }, Some(Limit::SecretSessions), None),
            (SharedLimits { max_sessions: Some(1), ..NONE }, Some(Limit::SecretSessions), None),
            (SharedLimits { max_tokens: Some(100), ..NONE }, Some(Limit::SecretTokens), Some(Limit::SecretTokens)),
            (SharedLimits { max_cost: Some(MicroUsd(500)), ..NONE }, Some(Limit::SecretCost), Some(Limit::SecretCost)),
            (
                SharedLimits { max_sessions: Some(1), max_tokens: Some(1), max_cost: Some(MicroUsd(1)) },
                Some(Limit::SecretTokens),
                Some(Limit::SecretTokens),
            ),
        ] {
            assert_eq!((limits.reached(&drawn), limits.spent(&drawn)), (reached, spent), "{limits:?}");
        }
    }

    #[test]
    fn tokens_of_transcriptions_count() {
        let mut usage = Tally::response(Tokens {
            input: Input { text: 70, ..Input::default() },
            output: Output { text: 20, audio: 0 },
            ..Tokens::default()
        });
        usage.add(&Tally::transcription(Transcription { tokens: 10, milliseconds: 0 }));
        let drawn = Drawn::used(&usage, MicroUsd(7)).and(Drawn::session());
        assert_eq!(drawn, Drawn { sessions: 1, tokens: 100, cost: MicroUsd(7) });
        let most = Drawn { sessions: u64::MAX, tokens: u64::MAX, cost: MicroUsd(u64::MAX) };
        assert_eq!(most.and(drawn), most);
    }

    #[test]
    fn only_tokens_and_dollars_are_a_budget() {
        for (limits, is_none, has_budget) in [
            (NONE, true, false),
            (SharedLimits { max_sessions: Some(1), ..NONE }, false, false),
            (SharedLimits { max_tokens: Some(1), ..NONE }, false, true),
            (SharedLimits { max_cost: Some(MicroUsd(1)), ..NONE }, false, true),
        ] {
            assert_eq!((limits.is_none(), limits.has_budget()), (is_none, has_budget), "{limits:?}");
        }
    }
}
