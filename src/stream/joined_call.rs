//! What a WebSocket that has joined a call tells of it: the call is the session, and its limits are judged by what all of
//! them tell together.

use crate::process::{CallKey, CallTerms, Sessions};
use crate::usage::{MicroUsd, Tally, Usage};

/// The call that a WebSocket has joined.
pub(crate) struct JoinedCall {
    /// By what it is found.
    pub key: CallKey,
    /// What it began with.
    pub terms: CallTerms,
    /// What this WebSocket was the first to tell.
    pub usage: Tally,
    /// What that costs.
    pub cost: MicroUsd,
}

impl JoinedCall {
    /// The call of this key.
    pub(crate) fn new(key: CallKey, terms: CallTerms) -> Self {
        Self { key, terms, usage: Tally::default(), cost: MicroUsd(0) }
    }

    /// Counts what was told, unless it was counted before: says whether it was not.
    pub(crate) fn count(&mut self, reported: &Usage, sessions: &mut Sessions) -> bool {
        let is_new = sessions.call_used(self.key, reported.id, (&reported.usage, reported.cost));
        if is_new {
            self.usage.add(&reported.usage);
            self.cost = MicroUsd(self.cost.0.saturating_add(reported.cost.0));
        }
        is_new
    }
}
