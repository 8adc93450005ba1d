//! A REST response whose usage is counted, read as it passes.
//!
//! ```text
//! AwaitingHeaders ─┬─ 2xx, JSON or server-sent events ─▶ Reading ─ its end, or a cut ─▶ Done
//!                  └─ anything else ───────────────────────────────────────────────────▶ Done
//! ```
//!
//! Nothing is held back but an event that is not complete, and that only where the usage was asked for in the client's
//! place.

use std::fmt;
use std::sync::Arc;

use super::action::{BodyAction, ResponseAction};
use super::admission::Admission;
use super::response_head::UpstreamResponse;
use super::stream_options::StreamUsage;
use super::upstream::Upstream;
use crate::credential::Caller;
use crate::http::{Edits, is_json, media_type, trim};
use crate::memory::{MemoryAccount, Reservation};
use crate::policy::{Policy, Provider};
use crate::protocol::{BodyMeter, UsageChunkFilter};
use crate::usage::{
    AudioMeasure, Estimator, Input, Meter, MeterEvent, MicroUsd, Output, PriceList, Report, Said, Tally, Transcription,
    UsageError,
};

/// One exchange, from its request on.
pub(crate) struct RestMeter {
    policy: Arc<Policy>,
    caller: Arc<Caller>,
    user: Option<String>,
    provider: Arc<Provider>,
    meter: Meter,
    phase: Phase,
    gap: Option<UsageGap>,
    /// What there is to estimate by what is not told, where a budget of the day watches.
    estimator: Option<Estimator>,
    is_unpriced: bool,
    reservation: Reservation,
}

/// What an exchange has used.
pub struct RestUsage {
    /// Who sent it.
    pub caller: Arc<Caller>,
    /// The person behind it, if one is known.
    pub user: Option<String>,
    /// The route's policy.
    pub policy: Arc<Policy>,
    /// Who served it.
    pub provider: Arc<Provider>,
    /// The request's model, else the response's, if one is known.
    pub model: Option<String>,
    /// What was counted.
    pub usage: Tally,
    /// What that costs.
    pub cost: MicroUsd,
    /// So many of its tokens nobody told.
    pub estimated: u64,
    /// Why that may not be all.
    pub gap: Option<UsageGap>,
    /// Whether some of it cost nothing for want of a price.
    pub is_unpriced: bool,
}

impl RestUsage {
    /// Whether the response reported anything. What was not reported is not known, and need not be nothing.
    pub(crate) fn is_reported(&self) -> bool {
        let has_amounts = self.usage.total_tokens > 0 || self.usage.transcription != Transcription::default();
        has_amounts || (self.gap.is_none() && self.usage.responses > 0)
    }
}

/// Why the usage of an exchange is not known, or not all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UsageGap {
    /// The response has a content coding.
    Coded,
    /// The response is a stream that reports none.
    Unreported,
    /// What the response reports cannot be counted.
    Rejected(UsageError),
}

/// The response, as far as it has come.
enum Phase {
    /// Its headers have not come.
    AwaitingHeaders(StreamUsage),
    /// Its body passes.
    Reading { body: BodyMeter, is_stream: bool, unasked: Option<UsageChunkFilter> },
    /// Nothing of it is to be read any more.
    Done,
}

impl RestMeter {
    /// The exchange that a request begins, if its usage is to be counted.
    pub(crate) fn new(
        admission: &Admission,
        upstream: &Upstream<'_>,
        asked: StreamUsage,
        memory: &MemoryAccount,
    ) -> Option<Box<Self>> {
        admission.is_counted().then(|| {
            Box::new(Self {
                policy: admission.policy.clone(),
                caller: admission.caller.clone(),
                user: admission.user.clone(),
                provider: upstream.provider.clone(),
                meter: Meter::new(upstream.model),
                phase: Phase::AwaitingHeaders(asked),
                gap: None,
                estimator: admission.must_be_counted().then(|| Estimator::new(AudioMeasure::OPENAI)),
                is_unpriced: false,
                reservation: memory.reserve(size_of::<Self>() + admission.user.as_ref().map_or(0, String::capacity)),
            })
        })
    }

    /// The request has a body of so many bytes.
    pub(crate) fn ask(&mut self, length: u64) {
        if let Some(estimator) = &mut self.estimator {
            estimator.say(Said::message(length));
        }
    }

    /// The request's model, else the response's, if one is known.
    pub(crate) fn model(&self) -> Option<&str> {
        self.meter.model()
    }

    /// The response's headers came.
    pub(crate) fn answered(&mut self, status: u16, response: &UpstreamResponse<'_>) -> ResponseAction {
        let answer = std::mem::replace(&mut self.phase, Phase::Done);
        let (Phase::AwaitingHeaders(asked), 200..=299) = (answer, status) else {
            return ResponseAction::Pass;
        };
        let content_type = response.content_type();
        let media_type = media_type(content_type);
        let is_stream = media_type.eq_ignore_ascii_case(b"text/event-stream");
        if !is_stream && !is_json(media_type) {
            return ResponseAction::Pass;
        }
        let coding = response.content_encoding();
        if !trim(&coding).is_empty() && !trim(&coding).eq_ignore_ascii_case(b"identity") {
            self.gap = Some(UsageGap::Coded);
            return ResponseAction::Pass;
        }
        let body = if is_stream { BodyMeter::event_stream() } else { BodyMeter::json() };
        let unasked = if is_stream { asked.chunk_filter() } else { None };
        let is_shortened = unasked.is_some();
        self.phase = Phase::Reading { body, is_stream, unasked };
        if !is_shortened {
            return ResponseAction::Pass;
        }
        let mut edits = Edits::default();
        edits.remove("content-length");
        ResponseAction::Edit(edits)
    }

    /// Whether the response's bytes are to be read as they pass.
    pub(crate) fn is_read(&self) -> bool {
        matches!(&self.phase, Phase::Reading { body, .. } if body.is_open())
    }

    /// Bytes of the response are on their way. `ends` says that none follow.
    pub(crate) fn pass(&mut self, bytes: &[u8], ends: bool, prices: &PriceList) -> BodyAction {
        let Phase::Reading { body, unasked, is_stream } = &mut self.phase else { return BodyAction::Pass };
        let metered = body.read(bytes, &mut self.meter, prices);
        if let (Some(estimator), false) = (&mut self.estimator, *is_stream) {
            estimator.hear(Said::message(u64::try_from(bytes.len()).unwrap_or(u64::MAX)));
        }
        note((&mut self.gap, &mut self.is_unpriced), &metered);
        let mut passed = unasked.as_mut().map(|unasked| unasked.pass(bytes, ends));
        // What is read is little, whatever the answer says. Only what is withheld can be refused.
        let read = size_of::<Self>() + self.meter.held() + body.held();
        let withheld = unasked.as_ref().map_or(0, UsageChunkFilter::held);
        if self.reservation.hold(read + withheld).is_err()
            && let (Some(passed), Some(unasked)) = (&mut passed, unasked)
        {
            passed.append(&mut unasked.release());
            self.reservation.hold(read).ok();
        }
        passed.filter(|passed| passed != bytes).map_or(BodyAction::Pass, |passed| BodyAction::Replace(0, passed))
    }

    /// The exchange is over, or was cut off.
    pub(crate) fn end(mut self, prices: &PriceList) -> RestUsage {
        if let Phase::Reading { body, is_stream, .. } = std::mem::replace(&mut self.phase, Phase::Done) {
            let said = body.said();
            let metered = body.finish(&mut self.meter, prices);
            note((&mut self.gap, &mut self.is_unpriced), &metered);
            if is_stream && *self.meter.tally() == Tally::default() {
                self.gap.get_or_insert(UsageGap::Unreported);
            }
            if let Some(estimator) = &mut self.estimator {
                estimator.hear(said);
            }
        }
        let estimated = self.estimate(prices);
        RestUsage {
            caller: self.caller,
            user: self.user,
            policy: self.policy,
            provider: self.provider,
            model: self.meter.model().map(str::to_owned),
            usage: *self.meter.tally(),
            cost: self.meter.cost(),
            estimated,
            gap: self.gap,
            is_unpriced: self.is_unpriced,
        }
    }

    /// Charges what was not told, by an estimate; says how many tokens that is.
    fn estimate(&mut self, prices: &PriceList) -> u64 {
        let (Some(estimator), Some(gap)) = (&self.estimator, self.gap) else { return 0 };
        // A stream that says nothing at all has said why it failed.
        if gap == UsageGap::Unreported && !estimator.has_heard() {
            return 0;
        }
        let reported = *self.meter.tally();
        let mut unreported = estimator.responses(1);
        if reported.input_tokens > 0 {
            unreported.input = Input::default();
        }
        if reported.output_tokens > 0 {
            unreported.output = Output::default();
        }
        let responses = u32::from(reported.responses == 0);
        match self.meter.count(Report::unreported(unreported, responses), prices) {
            MeterEvent::Counted(usage) => usage.usage.total_tokens,
            _ => 0,
        }
    }
}

impl fmt::Display for UsageGap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coded => formatter.write_str("the answer has a content coding"),
            Self::Unreported => formatter.write_str("the stream told no usage"),
            Self::Rejected(rejected) => rejected.fmt(formatter),
        }
    }
}

/// Keeps the first reason why something could not be counted, or not all of it, and whether something had no price.
fn note((gap, is_unpriced): (&mut Option<UsageGap>, &mut bool), all: &[MeterEvent]) {
    for metered in all {
        let rejected = match metered {
            MeterEvent::Rejected(rejected) => Some(*rejected),
            MeterEvent::Counted(usage) => {
                *is_unpriced |= usage.unpriced;
                usage.flaw
            }
            _ => None,
        };
        *gap = gap.or(rejected.map(UsageGap::Rejected));
    }
}

#[cfg(test)]
mod tests;
