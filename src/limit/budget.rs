//! A limit on tokens and one on dollars, by their names: when they are used up, and when something would be over them.

use crate::usage::{Limit, MicroUsd};

/// What may be used up; `None` does not limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Tokens, and what that limit is called.
    pub tokens: (Option<u64>, Limit),
    /// What they may cost, and what that limit is called.
    pub cost: (Option<MicroUsd>, Limit),
}

impl Budget {
    /// Whether anything is limited.
    pub(super) fn is_limited(self) -> bool {
        self.tokens.0.is_some() || self.cost.0.is_some()
    }

    /// The limit that is used up, if one is: nothing is left of it.
    pub(super) fn spent(self, tokens: u64, cost: MicroUsd) -> Option<Limit> {
        self.first(|limit| tokens >= limit, |limit| cost >= limit)
    }

    /// The limit that so much would be over, if one is: nothing is over a limit that only uses it up.
    pub(super) fn over(self, tokens: u64, cost: MicroUsd) -> Option<Limit> {
        self.first(|limit| tokens > limit, |limit| cost > limit)
    }

    fn first(self, of_tokens: impl FnOnce(u64) -> bool, of_cost: impl FnOnce(MicroUsd) -> bool) -> Option<Limit> {
        let tokens = self.tokens.0.is_some_and(of_tokens).then_some(self.tokens.1);
        tokens.or_else(|| self.cost.0.is_some_and(of_cost).then_some(self.cost.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_is_spent_and_only_more_is_over() {
        let budget = |tokens, cost: Option<u64>| Budget {
            tokens: (tokens, Limit::SessionTokens),
            cost: (cost.map(MicroUsd), Limit::SessionCost),
        };
        let (tokens, cost) = (Some(Limit::SessionTokens), Some(Limit::SessionCost));
        for (budget, used, spent, over) in [
            (budget(None, None), (u64::MAX, u64::MAX), None, None),
            (budget(Some(10), None), (9, 99), None, None),
            (budget(Some(10), None), (10, 99), tokens, None),
            (budget(Some(10), None), (11, 99), tokens, tokens),
            (budget(None, Some(5)), (99, 5), cost, None),
            (budget(None, Some(5)), (99, 6), cost, cost),
            (budget(Some(10), Some(5)), (11, 6), tokens, tokens),
            (budget(Some(10), Some(5)), (10, 6), tokens, cost),
        ] {
            let (used, of) = ((used.0, MicroUsd(used.1)), format!("{budget:?} {used:?}"));
            assert_eq!((budget.spent(used.0, used.1), budget.over(used.0, used.1)), (spent, over), "{of}");
            assert_eq!(budget.is_limited(), budget.tokens.0.is_some() || budget.cost.0.is_some());
        }
    }
}
