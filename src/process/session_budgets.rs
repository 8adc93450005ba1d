//! What a session's responses under way reserve on the budgets that it shares with others.

use std::time::SystemTime;

use super::Sessions;
use super::peers::Peers;
use super::reservations::Reserved;
use super::shared_tally::Share;
use super::tally_page::TallyKey;
use crate::credential::Caller;
use crate::limit::Limit;

/// The budgets that a session shares with others, by what is reserved on them.
#[derive(Debug, Clone, Copy, Default)]
pub struct SharedBudgets {
    caller: Option<TallyKey>,
    share: Option<Share>,
}

impl SharedBudgets {
    /// Those of a caller's day and of a client secret, where they limit tokens or dollars.
    pub fn of(caller: &Caller, share: Option<&Share>) -> Self {
        let day = || TallyKey::of(format!("caller.{}", caller.name).as_bytes());
        let caller = caller.limits.has_budget().then(day);
        Self { caller, share: share.filter(|share| share.limits.has_budget()).copied() }
    }

    /// Whether there are any.
    pub fn are_there(&self) -> bool {
        self.caller.is_some() || self.share.is_some()
    }
}

impl Sessions {
    /// A session's responses reserve so much `after` so much `before`. Gives the limit that all reservations together are
    /// over, and what is used, while responses of others are under way.
    pub fn reserve(
        &mut self,
        (budgets, caller): (&SharedBudgets, &Caller),
        (before, after): (Reserved, Reserved),
        now: SystemTime,
    ) -> Option<Limit> {
        if !budgets.are_there() || before == after {
            return None;
        }
        self.heartbeats.join(&*self.shared_data);
        let Self { shared_data, heartbeats, callers, tallies, reservations, .. } = self;
        let peers = Peers::new(&**shared_data, heartbeats);
        let day = budgets.caller.and_then(|key| {
            // What is told is counted before its reservation is given back: whoever looks in this order misses neither.
            let all = reservations.change(peers, key, before, after);
            let others = all.responses.saturating_sub(1);
            (others > 0).then(|| callers.over(peers.shared_data, caller, &all, now))?
        });
        let secret = budgets.share.and_then(|share| {
            let all = reservations.change(peers, share.key, before, after);
            let others = all.responses.saturating_sub(1);
            let drawn = (others > 0).then(|| tallies.read(peers.shared_data, share.key))?;
            share.limits.over(drawn.tokens.saturating_add(all.tokens), all.cost.and(drawn.cost))
        });
        day.or(secret)
    }
}
