//! Responses that have begun and were not told: what is reserved for them while they go on, and what is charged for those
//! that never are.

use std::time::SystemTime;

use super::SessionMeter;
use crate::limit::{self, Limit};
use crate::process::{Reserved, Sessions, SharedBudgets};
use crate::usage::{Estimator, MeterEvent, MicroUsd, PriceList, Report, Said, SessionNames, Tokens, Usage};

/// A session's responses that nobody knows the usage of.
#[derive(Default)]
pub(super) struct UnderWay {
    /// Have begun and not ended.
    pub open: u32,
    /// What is known of them, where a budget watches.
    pub estimates: Option<Box<Estimates>>,
}

/// What they may have used.
#[derive(Default)]
pub(super) struct Estimates {
    estimator: Estimator,
    budgets: SharedBudgets,
    /// Ended in a form that cannot be read, and are not counted.
    unread: u32,
    /// Are counted, and not what they used.
    unmeasured: u32,
    /// What the last one used that was told.
    last: Option<(u64, MicroUsd)>,
    reserved: Reserved,
    /// When so many tokens were heard, more is reserved.
    grows_at: u64,
    /// What cancels a response, where clients can.
    cancel: Option<&'static str>,
    /// The gateway has cancelled what is under way.
    has_cancelled: bool,
}

/// What is reserved grows by steps of a sixteenth, and of so many tokens at least.
const STEP: u64 = 4;

impl UnderWay {
    /// Where a budget watches; `cancel` is what cancels a response, where clients can.
    pub(super) fn watched(budgets: SharedBudgets, cancel: Option<&'static str>) -> Self {
        Self { open: 0, estimates: Some(Box::new(Estimates { budgets, cancel, ..Estimates::default() })) }
    }

    /// Bytes that are held beside itself.
    pub(super) fn held(&self) -> usize {
        self.estimates.as_ref().map_or(0, |_| size_of::<Estimates>())
    }

    /// How many there are: also those that ended, and were not told.
    fn count(&self) -> u32 {
        let ended =
            self.estimates.as_ref().map_or(0, |estimates| estimates.unread.saturating_add(estimates.unmeasured));
        self.open.saturating_add(ended)
    }

    /// A response ended, and this was told of it.
    fn ended(&mut self, usage: &Usage) {
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
        estimates.estimator.told(&usage.usage, left == 0);
        estimates.last = Some((tokens, usage.cost));
        if left == 0 {
            estimates.grows_at = 0;
        }
    }
}

impl Estimates {
    /// What is reserved when so many are left of one more.
    fn without_one(&self, open: u32, left: u32) -> Reserved {
        let parts = u64::from(left).saturating_add(1);
        let Reserved { tokens, cost, .. } = self.reserved;
        let without = |amount: u64| amount - amount / parts;
        match left {
            0 => Reserved::default(),
            _ => Reserved { responses: open.into(), tokens: without(tokens), cost: MicroUsd(without(cost.0)) },
        }
    }
}

impl SessionMeter {
    /// What the upstream is to get before a session ends whose responses were cancelled.
    pub(crate) fn last_words(&self) -> Option<&'static str> {
        self.under_way.estimates.as_ref().filter(|estimates| estimates.has_cancelled)?.cancel
    }

    /// Whether what responses say is to be heard.
    pub(crate) fn hears(&self) -> bool {
        self.under_way.estimates.is_some()
    }

    /// The client said something.
    pub(crate) fn say(&mut self, said: Said) {
        if let Some(estimates) = &mut self.under_way.estimates {
            estimates.estimator.say(said);
        }
    }

    /// The session tells its formats.
    pub(super) fn learn_formats(&mut self, names: &SessionNames) {
        if let Some(estimates) = &mut self.under_way.estimates {
            estimates.estimator.set_formats(names.formats);
        }
    }

    /// A response said something. Gives the limit that what was used and is reserved are over by now, if one is.
    pub(super) fn hear(
        &mut self,
        heard: Said,
        prices: &PriceList,
        (sessions, now): (&mut Sessions, SystemTime),
    ) -> Option<Limit> {
        let count = self.under_way.count();
        let estimates = self.under_way.estimates.as_mut().filter(|_| count > 0)?;
        estimates.estimator.hear(heard);
        let output = estimates.estimator.output().tokens();
        if output < estimates.grows_at {
            return None;
        }
        estimates.grows_at = output.saturating_add(output / 16).saturating_add(STEP);
        let untold = estimates.estimator.responses(count);
        let tokens = untold.input.tokens().saturating_add(untold.output.tokens());
        let Reserved { responses, tokens: reserved, cost } = estimates.reserved;
        let cost = cost.max(self.meter.cost_of(untold, prices));
        self.reserve(Reserved { responses, tokens: reserved.max(tokens), cost }, (sessions, now))
    }

    /// A response has begun. Gives the limit that what was used and is reserved are over, if one is.
    pub(super) fn begin_response(
        &mut self,
        prices: &PriceList,
        (sessions, now): (&mut Sessions, SystemTime),
    ) -> Option<Limit> {
        if self.under_way.open == 0 {
            // What was not told so far is not to be told any more.
            self.charge_untold(prices, (sessions, now));
        }
        self.under_way.open = self.under_way.open.saturating_add(1);
        let estimates = self.under_way.estimates.as_ref()?;
        let (tokens, cost) = estimates.last.unwrap_or_else(|| {
            let untold = Tokens { input: estimates.estimator.input(), ..Tokens::default() };
            (untold.input.tokens(), self.meter.cost_of(untold, prices))
        });
        let reserved = estimates.reserved.and(Reserved { responses: 1, tokens, cost });
        self.reserve(reserved, (sessions, now))
    }

    /// A response ended, and this was told of it.
    pub(super) fn end_response(&mut self, metered: &MeterEvent, (sessions, now): (&mut Sessions, SystemTime)) {
        match metered {
            MeterEvent::Counted(usage) if usage.usage.responses > 0 => self.under_way.ended(usage),
            MeterEvent::Rejected(_) if self.under_way.open > 0 => {
                self.under_way.open -= 1;
                if let Some(estimates) = &mut self.under_way.estimates {
                    estimates.unread = estimates.unread.saturating_add(1);
                }
            }
            _ => return,
        }
        let (open, left) = (self.under_way.open, self.under_way.count());
        let Some(estimates) = &self.under_way.estimates else { return };
        let reserved = estimates.without_one(open, left);
        self.reserve(reserved, (sessions, now));
    }

    /// The session ends, and with it what is under way.
    pub(super) fn cancel_responses(&mut self, (sessions, now): (&mut Sessions, SystemTime)) {
        if let Some(estimates) = &mut self.under_way.estimates {
            estimates.has_cancelled = true;
            let reserved = Reserved { responses: 0, ..estimates.reserved };
            self.reserve(reserved, (sessions, now));
        }
    }

    /// The session is over: what was not told is charged by an estimate.
    pub(crate) fn settle(&mut self, prices: &PriceList, (sessions, now): (&mut Sessions, SystemTime)) {
        self.is_incomplete |= self.under_way.open > 0;
        self.charge_untold(prices, (sessions, now));
        self.reserve(Reserved::default(), (sessions, now));
    }

    /// Charges what was not told, by an estimate.
    fn charge_untold(&mut self, prices: &PriceList, (sessions, now): (&mut Sessions, SystemTime)) {
        let count = self.under_way.count();
        let Some(estimates) = self.under_way.estimates.as_mut().filter(|_| count > 0) else { return };
        let untold = estimates.estimator.responses(count);
        let uncounted = self.under_way.open.saturating_add(estimates.unread);
        (estimates.unread, estimates.unmeasured, estimates.grows_at) = (0, 0, 0);
        estimates.estimator.forget();
        self.under_way.open = 0;
        let MeterEvent::Counted(usage) = self.meter.count(Report::untold(untold, uncounted), prices) else { return };
        self.estimated.tokens = self.estimated.tokens.saturating_add(usage.usage.total_tokens);
        sessions.metrics.estimated(&self.caller.name, usage.usage.total_tokens);
        let used = (&usage.usage, usage.cost);
        sessions.used(&self.caller, &usage.model, used, now);
        if let Some(share) = &self.share {
            sessions.draw(share, used, now);
        }
        self.reserve(Reserved::default(), (sessions, now));
    }

    /// Reserves so much. Gives the limit that what was used and is reserved are over while other responses are under way.
    fn reserve(&mut self, after: Reserved, (sessions, now): (&mut Sessions, SystemTime)) -> Option<Limit> {
        let estimates = self.under_way.estimates.as_mut()?;
        let before = std::mem::replace(&mut estimates.reserved, after);
        let shared = sessions.reserve((&estimates.budgets, &self.caller), (before, after), now);
        let own = (after.responses > 1).then(|| {
            let tokens = limit::tokens(self.meter.tally()).saturating_add(after.tokens);
            self.bounds.over(tokens, self.meter.cost().and(after.cost))
        });
        own.flatten().or(shared)
    }
}
