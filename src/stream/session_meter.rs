//! What a metered session uses, and what may not be said in it: both can end it.

mod estimates;
mod under_way;

use std::sync::Arc;
use std::time::SystemTime;

use super::admission::Admission;
use super::joined_call::JoinedCall;
use crate::client_secret::MintedModels;
use crate::credential::Caller;
use crate::endpoint::Endpoint;
use crate::limit::{Ending, Limit, Progress, SessionBounds};
use crate::policy::Policy;
use crate::process::{Sessions, Share, SharedBudgets};
use crate::protocol::{ClientMessage, Hide, Lock, ModelRole, OnChange, RequestedModel};
use crate::usage::{Estimated, Meter, MeterEvent, MicroUsd, PriceList, Reported, Tally};
use under_way::UnderWay;

/// The rules of one session, and how much it has used.
pub(crate) struct SessionMeter {
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Whose token opened it.
    pub caller: Arc<Caller>,
    /// What the client may not change.
    pub lock: Lock,
    /// What the client does not get to see.
    pub hide: Hide,
    /// The only models that the client may name, if its secret binds it to some.
    minted_models: Option<Box<MintedModels>>,
    bounds: SessionBounds,
    /// Its part in what all sessions of its client secret may use.
    share: Option<Box<Share>>,
    /// Prices, one of which its models must have: dollars limit it.
    prices: Option<Arc<PriceList>>,
    meter: Meter,
    under_way: UnderWay,
    estimated: Estimated,
    /// The call that it has joined, and is one session with.
    call: Option<Box<JoinedCall>>,
    /// Nothing has judged its model: the request named none.
    is_of_any_model: bool,
    is_incomplete: bool,
}

/// What becomes of a client's message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Passes,
    /// It goes on without what is locked.
    Stripped,
    /// It goes no further: it would change this field. It has this id, if it has one.
    Refused(String, Option<String>),
    /// It goes no further, and ends the session.
    Ends(Ending),
}

/// What cancels a response of a Realtime session.
const CANCEL: &str = r#"{"type":"response.cancel"}"#;

impl SessionMeter {
    /// A session of this request, whose model is `model` if it named one.
    pub(crate) fn new(admission: &Admission, model: Option<&str>) -> Self {
        let bounds = admission.bounds();
        Self {
            policy: admission.policy.clone(),
            caller: admission.caller.clone(),
            lock: admission.lock().clone(),
            hide: admission.hide().clone(),
            minted_models: admission.binding_models().cloned().map(Box::new),
            bounds,
            share: admission.share.map(Box::new),
            prices: admission.prices.clone(),
            meter: Meter::new(model),
            under_way: Self::under_way(admission, &bounds),
            estimated: Estimated::default(),
            call: None,
            is_of_any_model: model.is_none(),
            is_incomplete: false,
        }
    }

    fn under_way(admission: &Admission, bounds: &SessionBounds) -> UnderWay {
        let budgets = SharedBudgets::of(&admission.caller, admission.share.as_ref());
        match budgets.are_there() || bounds.has_budget() {
            true => UnderWay::watched(budgets, (admission.endpoint == Endpoint::Realtime).then_some(CANCEL)),
            false => UnderWay::default(),
        }
    }

    /// What it tells is a call's, which others may tell too: nothing of that is estimated.
    pub(crate) fn join(&mut self, call: JoinedCall) {
        self.share = call.terms.share.map(Box::new);
        self.under_way.estimates = None;
        self.call = Some(Box::new(call));
    }

    /// How many bytes it holds beside itself.
    pub(crate) fn held(&self) -> usize {
        let call = self.call.as_ref().map_or(0, |_| size_of::<JoinedCall>());
        let share = self.share.as_ref().map_or(0, |_| size_of::<Share>());
        let estimates = self.under_way.held();
        self.meter.held().saturating_add(call + share + estimates)
    }

    /// The names that were reported.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// What was counted, and what it costs; of a call, what this WebSocket was the first to tell.
    pub(crate) fn used(&self) -> (&Tally, MicroUsd) {
        self.call.as_ref().map_or((self.meter.tally(), self.meter.cost()), |call| (&call.usage, call.cost))
    }

    /// Whether a rule depends on what the client says.
    pub(crate) fn inspects_client(&self) -> bool {
        let has_rule = self.policy.models.is_restricted() || self.caller.models.is_restricted();
        has_rule || self.prices.is_some() || self.minted_models.is_some() || !self.lock.is_empty()
    }

    /// What becomes of a client's message, which must not name a model that is not allowed, whatever else is locked.
    pub(crate) fn judge(&self, message: ClientMessage) -> Verdict {
        let event = match message.finish() {
            Ok(event) => event,
            Err(unreadable) => return Verdict::Ends(Ending::ProtocolError(unreadable.to_string().into())),
        };
        let judge = |model: RequestedModel| match self.may_be_named(&model) {
            true => self.unpriced(&model.name),
            false => Some(Ending::ModelNotAllowed(model.name)),
        };
        match (event.locked, self.lock.reaction(), event.models.into_iter().find_map(judge)) {
            (Some(field), Some(OnChange::End) | None, _) => Verdict::Ends(Ending::FieldLocked(field)),
            (_, _, Some(ending)) => Verdict::Ends(ending),
            (None, ..) => Verdict::Passes,
            (Some(field), Some(OnChange::Refuse), _) => Verdict::Refused(field, event.id),
            (Some(_), Some(OnChange::Drop), _) => Verdict::Stripped,
        }
    }

    /// Counts what an upstream's event reports. Says why the session must end behind it, if it must.
    pub(crate) fn add(
        &mut self,
        reported: Reported,
        prices: &PriceList,
        sessions: &mut Sessions,
        now: SystemTime,
    ) -> Option<Ending> {
        match &reported {
            Reported::Output(heard) => {
                let over = self.hear(*heard, prices, (sessions, now));
                return over.map(|limit| self.cancelled(limit, (sessions, now)));
            }
            Reported::Session(names) => self.learn_formats(names),
            _ => {}
        }
        let metered = self.meter.add(reported, prices);
        self.is_incomplete |= match &metered {
            MeterEvent::Counted(counted) => counted.flaw.is_some(),
            MeterEvent::Rejected(_) => true,
            MeterEvent::Ignored | MeterEvent::ResponseStarted | MeterEvent::Session => false,
        };
        let is_first = self.tell_call(&metered, sessions);
        let over = match metered {
            MeterEvent::ResponseStarted => self.begin_response(prices, (sessions, now)),
            _ => None,
        };
        let counted = self.count(&metered, is_first, (sessions, now));
        let spent = counted.and_then(|of_caller| of_caller.or_else(|| self.spent(sessions)));
        let spent = self.draw(&metered, is_first, (sessions, now)).or(spent).or(over);
        self.end_response(&metered, (sessions, now));
        if metered == MeterEvent::ResponseStarted && spent.is_some() {
            self.cancel_responses((sessions, now));
        }
        let forbidden = match metered {
            MeterEvent::Session => self.forbidden(),
            MeterEvent::Counted(counted) if counted.unpriced => {
                if is_first && !prices.is_empty() {
                    sessions.metrics.unpriced(&counted.model);
                }
                self.prices.is_some().then_some(Ending::ModelUnpriced(counted.model))
            }
            _ => None,
        };
        forbidden.or(spent.map(Ending::Limit))
    }

    /// Why a session whose names have become known may not be, if it may not.
    fn forbidden(&self) -> Option<Ending> {
        let model = self.meter.model();
        let unasked = model.filter(|model| self.is_of_any_model && !self.is_allowed(model));
        let not_allowed = unasked.map(|model| Ending::ModelNotAllowed(model.to_owned()));
        let models = model.into_iter().chain(self.meter.transcription_model());
        not_allowed.or_else(|| models.into_iter().find_map(|model| self.unpriced(model)))
    }

    /// Why a model may not be used that has no price, if it needs one.
    fn unpriced(&self, model: &str) -> Option<Ending> {
        let prices = self.prices.as_ref()?;
        prices.price_of(model).is_none().then(|| Ending::ModelUnpriced(model.to_owned()))
    }

    /// Something was said that could not be counted.
    pub(crate) fn set_incomplete(&mut self) {
        self.is_incomplete = true;
    }

    /// Whether more may have been used than was counted, of a session that is over or not.
    pub(crate) fn is_incomplete(&self, is_over: bool) -> bool {
        self.is_incomplete || (is_over && self.under_way.open > 0)
    }

    /// What of its usage nobody told.
    pub(crate) fn estimated(&self) -> Estimated {
        self.estimated
    }

    /// Ends what is under way for a limit.
    fn cancelled(&mut self, limit: Limit, (sessions, now): (&mut Sessions, SystemTime)) -> Ending {
        self.cancel_responses((sessions, now));
        Ending::Limit(limit)
    }

    /// Counts what an event has used. Gives, of an event that begins or ends something, the limit of the caller's day that
    /// is used up, if one is.
    fn count(
        &self,
        metered: &MeterEvent,
        is_first: bool,
        (sessions, now): (&mut Sessions, SystemTime),
    ) -> Option<Option<Limit>> {
        match metered {
            MeterEvent::Counted(counted) if is_first => {
                let used = (&counted.usage, counted.cost);
                Some(sessions.used(&self.caller, &counted.model, used, now))
            }
            MeterEvent::Counted(_) | MeterEvent::ResponseStarted => Some(sessions.spent(&self.caller)),
            MeterEvent::Rejected(_) | MeterEvent::Ignored | MeterEvent::Session => None,
        }
    }

    /// The limit that has been reached, if one has. Those of a call that it has joined are judged with the call.
    pub(crate) fn check(&self, started: SystemTime, last_activity: SystemTime, now: SystemTime) -> Option<Ending> {
        if self.call.is_some() {
            return None;
        }
        let progress = Progress { started, last_activity, usage: self.meter.tally(), cost: self.meter.cost() };
        self.bounds.check(&progress, now)
    }

    /// Tells the call that it has joined what an event says. False if that was told before, and is not to be counted.
    fn tell_call(&mut self, metered: &MeterEvent, sessions: &mut Sessions) -> bool {
        let Some(call) = &mut self.call else { return true };
        let model = self.meter.model().filter(|_| *metered == MeterEvent::Session);
        sessions.call_reported(call.key, model, self.is_incomplete);
        match metered {
            MeterEvent::Counted(counted) => call.count(counted, sessions),
            _ => true,
        }
    }

    /// The limit on tokens or dollars that is used up: of the call that it has joined, or its own.
    fn spent(&self, sessions: &Sessions) -> Option<Limit> {
        match &self.call {
            Some(call) => sessions.spent_by_call(call.key),
            None => self.bounds.spent(self.meter.tally(), self.meter.cost()),
        }
    }

    /// Draws on what the session shares with others, if it `is_first` to tell. Gives, of an event that begins or ends
    /// something, the limit of theirs that is used up, if one is.
    fn draw(
        &self,
        metered: &MeterEvent,
        is_first: bool,
        (sessions, now): (&mut Sessions, SystemTime),
    ) -> Option<Limit> {
        let share = self.share.as_ref()?;
        match metered {
            MeterEvent::Counted(counted) if is_first => sessions.draw(share, (&counted.usage, counted.cost), now),
            MeterEvent::Counted(_) | MeterEvent::ResponseStarted => sessions.drawn(share),
            MeterEvent::Rejected(_) | MeterEvent::Ignored | MeterEvent::Session => None,
        }
    }

    fn may_be_named(&self, model: &RequestedModel) -> bool {
        let RequestedModel { role, name } = model;
        let is_minted_for = self.minted_models.as_ref().is_none_or(|minted| minted.allows(*role, name));
        is_minted_for && (*role == ModelRole::Transcription || self.is_allowed(name))
    }

    fn is_allowed(&self, model: &str) -> bool {
        self.policy.models.allows(model) && self.caller.models.allows(model)
    }
}
