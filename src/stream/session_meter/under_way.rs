//! What is known of responses that have begun and were not told.

use crate::process::{Reserved, SharedBudgets};
use crate::usage::{AudioMeasure, Estimator, MicroUsd, Usage};

/// How much audio is charged at once where nobody tells how long it is, in milliseconds.
pub(super) const A_SECOND: u64 = 1000;

/// A session's responses that nobody knows the usage of.
#[derive(Default)]
pub(super) struct UnderWay {
    /// Have begun and not ended.
    pub open: u32,
    /// What is known of them, where a budget watches.
    pub estimates: Option<Box<Estimates>>,
}

/// What they may have used.
pub(super) struct Estimates {
    pub estimator: Estimator,
    /// How long the audio is that was charged, where nobody tells.
    pub charged_audio: u64,
    pub budgets: SharedBudgets,
    /// Ended in a form that cannot be read, and are not counted.
    pub unread: u32,
    /// Are counted, and not what they used.
    pub unmeasured: u32,
    /// What the last one used that was told.
    pub last: Option<(u64, MicroUsd)>,
    pub reserved: Reserved,
    /// When so many tokens were heard, more is reserved.
    pub grows_at: u64,
    /// What cancels a response, where clients can.
    pub cancel: Option<&'static str>,
    /// The gateway has cancelled what is under way.
    pub has_cancelled: bool,
}

impl UnderWay {
    /// Where a budget watches; `cancel` is what cancels a response, where clients can.
    pub(super) fn watched(budgets: SharedBudgets, measure: AudioMeasure, cancel: Option<&'static str>) -> Self {
        let estimates = Estimates {
            estimator: Estimator::new(measure),
            charged_audio: 0,
            budgets,
            unread: 0,
            unmeasured: 0,
            last: None,
            reserved: Reserved::default(),
            grows_at: 0,
            cancel,
            has_cancelled: false,
        };
        Self { open: 0, estimates: Some(Box::new(estimates)) }
    }

    /// Bytes that are held beside itself.
    pub(super) fn held(&self) -> usize {
        self.estimates.as_ref().map_or(0, |_| size_of::<Estimates>())
    }

    /// How many there are: also those that ended, and were not told.
    pub(super) fn count(&self) -> u32 {
        let ended =
            self.estimates.as_ref().map_or(0, |estimates| estimates.unread.saturating_add(estimates.unmeasured));
        self.open.saturating_add(ended)
    }

    /// A response ended, and this was told of it.
    pub(super) fn ended(&mut self, usage: &Usage) {
        let was_open = self.open > 0;
        self.open = self.open.saturating_sub(1);
        let open = self.open;
        let Some(estimates) = &mut self.estimates else { return };
        let tokens = usage.usage.total_tokens;
        let is_amiss = usage.flaw.is_some() || estimates.estimator.has_heard() || estimates.has_cancelled;
        if tokens == 0 && is_amiss {
            estimates.unmeasured = estimates.unmeasured.saturating_add(1);
            return;
        }
        if !was_open {
            // It may be one that could not be read before: the truth replaces what would have been estimated.
            estimates.unread = estimates.unread.saturating_sub(1);
        }
        let left = open.saturating_add(estimates.unread).saturating_add(estimates.unmeasured);
        estimates.estimator.reported(&usage.usage, left == 0);
        estimates.last = Some((tokens, usage.cost));
        if left == 0 {
            estimates.grows_at = 0;
        }
    }
}

impl Estimates {
    /// What is reserved when so many are left of one more.
    pub(super) fn without_one(&self, open: u32, left: u32) -> Reserved {
        let parts = u64::from(left).saturating_add(1);
        let Reserved { tokens, cost, .. } = self.reserved;
        let without = |amount: u64| amount - amount / parts;
        match left {
            0 => Reserved::default(),
            _ => Reserved { responses: open.into(), tokens: without(tokens), cost: MicroUsd(without(cost.0)) },
        }
    }
}
