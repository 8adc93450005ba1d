//! A session's responses under way: what is reserved for them while they go on, and what is charged for those that are never
//! told.

use std::time::SystemTime;

use super::SessionMeter;
use crate::limit::{self, Ending, Limit};
use crate::process::{Reserved, Sessions};
use crate::usage::{MeterEvent, PriceList, Report, Said, SessionNames, Tokens};

/// What is reserved grows by steps of a sixteenth, and of so many tokens at least.
const STEP: u64 = 4;

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
        let unreported = estimates.estimator.responses(count);
        let tokens = unreported.input.tokens().saturating_add(unreported.output.tokens());
        let Reserved { responses, tokens: reserved, cost } = estimates.reserved;
        let cost = cost.max(self.meter.cost_of(unreported, prices));
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
            self.charge_unreported(prices, (sessions, now));
        }
        self.under_way.open = self.under_way.open.saturating_add(1);
        let estimates = self.under_way.estimates.as_ref()?;
        let (tokens, cost) = estimates.last.unwrap_or_else(|| {
            let unreported = Tokens { input: estimates.estimator.input(), ..Tokens::default() };
            (unreported.input.tokens(), self.meter.cost_of(unreported, prices))
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

    /// Charges audio that is priced by its duration, and was not told, if it is so many milliseconds at `least`. Says why the
    /// session must end then, if it must.
    pub(super) fn charge_audio(
        &mut self,
        least: u64,
        prices: &PriceList,
        (sessions, now): (&mut Sessions, SystemTime),
    ) -> Option<Ending> {
        let estimates = self.under_way.estimates.as_mut()?;
        let said = estimates.estimator.duration()?;
        // Where the upstream tells it, what is left is known when the session is over.
        let reported = self.meter.reported_audio();
        let known = reported.max(estimates.charged_audio);
        let more = said.saturating_sub(known);
        if more < least.max(1) || (reported > 0 && least > 1) {
            return None;
        }
        estimates.charged_audio = said;
        let MeterEvent::Counted(usage) = self.meter.count(Report::audio(more), prices) else { return None };
        self.estimated.milliseconds = self.estimated.milliseconds.saturating_add(more);
        let used = (&usage.usage, usage.cost);
        let of_caller = sessions.used(&self.caller, &usage.model, used, now);
        let of_share = self.share.as_ref().and_then(|share| sessions.draw(share, used, now));
        if usage.unpriced && self.prices.is_some() {
            return Some(Ending::ModelUnpriced(usage.model));
        }
        let own = || self.bounds.spent(self.meter.tally(), self.meter.cost());
        of_share.or(of_caller).or_else(own).map(Ending::Limit)
    }

    /// The session is over: what was not told is charged by an estimate.
    pub(crate) fn settle(&mut self, prices: &PriceList, (sessions, now): (&mut Sessions, SystemTime)) {
        if let Some(left) = self.turns.as_mut().and_then(|turns| turns.end()) {
            self.add_one(left, prices, sessions, now);
        }
        self.charge_audio(1, prices, (sessions, now));
        self.is_incomplete |= self.under_way.open > 0;
        self.charge_unreported(prices, (sessions, now));
        self.reserve(Reserved::default(), (sessions, now));
    }

    /// Charges what was not told, by an estimate.
    fn charge_unreported(&mut self, prices: &PriceList, (sessions, now): (&mut Sessions, SystemTime)) {
        let count = self.under_way.count();
        let Some(estimates) = self.under_way.estimates.as_mut().filter(|_| count > 0) else { return };
        let unreported = estimates.estimator.responses(count);
        let uncounted = self.under_way.open.saturating_add(estimates.unread);
        (estimates.unread, estimates.unmeasured, estimates.grows_at) = (0, 0, 0);
        estimates.estimator.forget();
        self.under_way.open = 0;
        let MeterEvent::Counted(usage) = self.meter.count(Report::unreported(unreported, uncounted), prices) else {
            return;
        };
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
