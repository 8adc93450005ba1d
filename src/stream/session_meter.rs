//! What a metered session uses, and what may not be said in it: both can end it.

mod estimates;
mod named;
mod under_way;

use std::sync::Arc;
use std::time::SystemTime;

use super::admission::Admission;
use super::joined_call::JoinedCall;
use super::upstream::Upstream;
use crate::client_secret::MintedModels;
use crate::credential::Caller;
use crate::endpoint::Endpoint;
use crate::limit::{Ending, Limit, Progress, SessionBounds};
use crate::policy::{Policy, ProviderKind};
use crate::process::{Sessions, Share, SharedBudgets};
use crate::protocol::{
    ClientEvent, ClientMessage, Hide, Lock, ModelPlace, ModelRole, OnChange, RequestedModel, SessionKind, Stored,
};
use crate::usage::{Estimated, Meter, MeterEvent, MicroUsd, PriceList, Reported, Tally, Turns};
use named::undated;
use under_way::{A_SECOND, UnderWay};

/// The rules of one session, and how much it has used.
pub(crate) struct SessionMeter {
    /// Its kind.
    pub kind: SessionKind,
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
    /// Turns that are told in parts.
    turns: Option<Box<Turns>>,
    under_way: UnderWay,
    estimated: Estimated,
    /// The call that it has joined, and is one session with.
    call: Option<Box<JoinedCall>>,
    opening: Opening,
    /// What the upstream calls its model is a name of the same kind as those that rules are about.
    reports_named_models: bool,
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

/// What the client's next message is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// The first, in a session of which no model was named yet, and must be there.
    Named,
    /// The first, or one behind others that set nothing up.
    Awaited,
    /// The session is set up.
    Done,
}

impl SessionMeter {
    /// A session of this request.
    pub(crate) fn new(admission: &Admission, upstream: &Upstream<'_>) -> Self {
        let kind = admission.endpoint.kind().unwrap_or(SessionKind::Other);
        let model = upstream.model;
        let needs_model = kind.row().model == ModelPlace::FirstMessage && model.is_none();
        let is_call = matches!(admission.endpoint, Endpoint::Sideband(..));
        let bounds = admission.bounds();
        Self {
            kind,
            policy: admission.policy.clone(),
            caller: admission.caller.clone(),
            lock: admission.lock().clone(),
            hide: admission.hide().clone(),
            minted_models: admission.binding_models().cloned().map(Box::new),
            bounds,
            share: admission.share.clone(),
            prices: admission.prices.clone(),
            meter: Meter::new(model),
            turns: (kind.is_named_by_client() || kind == SessionKind::Other).then(Box::default),
            under_way: Self::under_way(admission, kind, &bounds),
            estimated: Estimated::default(),
            call: None,
            opening: if needs_model && !is_call { Opening::Named } else { Opening::Awaited },
            // A deployment of Azure's has any name, and the upstream tells what is behind it.
            reports_named_models: model.is_none() || upstream.provider.kind != ProviderKind::AzureOpenAi,
            is_incomplete: false,
        }
    }

    fn under_way(admission: &Admission, kind: SessionKind, bounds: &SessionBounds) -> UnderWay {
        let budgets = SharedBudgets::of(&admission.caller, admission.share.as_deref());
        if !(budgets.are_there() || bounds.has_budget()) {
            return UnderWay::default();
        }
        let row = kind.row();
        let is_own = matches!(admission.endpoint, Endpoint::WebSocket(_));
        UnderWay::watched(budgets, row.audio, row.cancel.filter(|_| is_own))
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
        let turns = self.turns.as_ref().map_or(0, |_| size_of::<Turns>());
        let estimates = self.under_way.held().saturating_add(turns);
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

    /// Whether something depends on what the client says next: a rule, or, where only the client tells it, which model it is.
    pub(crate) fn inspects_client(&self) -> bool {
        self.has_rule()
            || self.prices.is_some()
            || self.minted_models.is_some()
            || !self.lock.is_empty()
            || (self.kind.has_stored_responses() && self.hears())
            || (self.kind.is_named_by_client() && self.opening != Opening::Done)
    }

    fn has_rule(&self) -> bool {
        self.policy.models.is_restricted() || self.caller.models.is_restricted()
    }

    /// What becomes of a client's message, which must not name a model that is not allowed, whatever else is locked.
    pub(crate) fn judge(&mut self, message: ClientMessage) -> Verdict {
        let event = match message.finish() {
            Ok(event) => event,
            Err(unreadable) if self.is_strict() => {
                return Verdict::Ends(Ending::ProtocolError(unreadable.to_string().into()));
            }
            // It was read for its model alone, and is the upstream's to refuse.
            Err(_) => return Verdict::Passes,
        };
        let verdict = self.verdict(&event);
        if event.opens && matches!(verdict, Verdict::Passes | Verdict::Stripped) {
            self.opening = Opening::Done;
            let named = event.models.iter().find(|model| model.role == ModelRole::Response);
            if let Some(model) = named.filter(|_| self.kind.is_named_by_client()) {
                self.meter.name(self.kind.bare_model(&model.name));
            }
        }
        verdict
    }

    /// Whether a rule depends on what the client says.
    fn is_strict(&self) -> bool {
        self.has_rule()
            || self.prices.is_some()
            || self.minted_models.is_some()
            || !self.lock.is_empty()
            || self.hears()
    }

    fn verdict(&self, event: &ClientEvent) -> Verdict {
        match (&event.locked, self.lock.reaction(), self.refused(event)) {
            (Some(field), Some(OnChange::End) | None, _) => Verdict::Ends(Ending::FieldLocked(field.clone())),
            (_, _, Some(ending)) => Verdict::Ends(ending),
            (None, ..) => Verdict::Passes,
            (Some(field), Some(OnChange::Refuse), _) => Verdict::Refused(field.clone(), event.id.clone()),
            (Some(_), Some(OnChange::Drop), _) => Verdict::Stripped,
        }
    }

    /// Why a message may not go on, whatever is locked.
    fn refused(&self, event: &ClientEvent) -> Option<Ending> {
        let names_model = event.opens && event.models.iter().any(|model| model.role == ModelRole::Response);
        if self.opening == Opening::Named && !names_model && (self.has_rule() || self.prices.is_some()) {
            return Some(Ending::ModelMissing);
        }
        let judge = |model: &RequestedModel| match self.may_be_named(model) {
            true => self.unpriced(self.kind.bare_model(&model.name)),
            false => Some(Ending::ModelNotAllowed(model.name.clone())),
        };
        self.uncountable(event).or_else(|| event.models.iter().find_map(judge))
    }

    /// What is stored at the upstream nobody here knows the size of: where a budget watches, a response goes on from none but
    /// those of its own session.
    fn uncountable(&self, event: &ClientEvent) -> Option<Ending> {
        let field = match event.stored.as_ref().filter(|_| self.hears())? {
            Stored::Background => "background",
            Stored::PreviousResponse(id) if self.meter.knows_response(id) => return None,
            Stored::PreviousResponse(_) => "previous_response_id",
            Stored::Conversation => "conversation",
        };
        Some(Ending::FieldLocked(field.to_owned()))
    }

    /// Counts what an upstream's event reports. Says why the session must end behind it, if it must.
    pub(crate) fn add(
        &mut self,
        reported: Reported,
        prices: &PriceList,
        sessions: &mut Sessions,
        now: SystemTime,
    ) -> Option<Ending> {
        match (reported, &mut self.turns) {
            (Reported::Turn(part), Some(turns)) => {
                let parts = turns.go_on(*part);
                let endings: Vec<_> = parts.into_iter().map(|part| self.add_one(part, prices, sessions, now)).collect();
                endings.into_iter().flatten().next()
            }
            (reported, _) => self.add_one(reported, prices, sessions, now),
        }
    }

    fn add_one(
        &mut self,
        reported: Reported,
        prices: &PriceList,
        sessions: &mut Sessions,
        now: SystemTime,
    ) -> Option<Ending> {
        match &reported {
            Reported::Output(heard) => {
                let ending = self.charge_audio(A_SECOND, prices, (sessions, now));
                let over = self.hear(*heard, prices, (sessions, now));
                return ending.or(over.map(|limit| self.cancelled(limit, (sessions, now))));
            }
            Reported::Session(names) => self.learn_formats(names),
            _ => {}
        }
        if let (Reported::Audio { .. }, Some(call)) = (&reported, &self.call) {
            // It is cumulative, and another sideband may have counted it.
            self.meter.know_audio(sessions.audio_of_call(call.key));
        }
        let forbidden = self.forbidden(&reported);
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
        let forbidden = forbidden.or_else(|| match metered {
            MeterEvent::Counted(counted) if counted.unpriced => {
                if is_first && !prices.is_empty() {
                    sessions.metrics.unpriced(&counted.model);
                }
                self.prices.is_some().then_some(Ending::ModelUnpriced(counted.model))
            }
            _ => None,
        });
        forbidden.or(spent.map(Ending::Limit))
    }

    /// Why a session may not be of which this is reported, if it may not: a model that it tells is not allowed, or has no
    /// price.
    fn forbidden(&self, reported: &Reported) -> Option<Ending> {
        if self.prices.is_none() && !self.has_rule() {
            return None;
        }
        let names = match reported {
            Reported::Session(names) => [&names.model, &names.delegate_model, &names.transcription_model],
            Reported::ResponseStarted { model } => [model, &None, &None],
            Reported::Usage(report) => [&report.model, &None, &None],
            _ => return None,
        };
        let mut names = names.into_iter().flatten();
        names.find_map(|model| {
            if self.reports_named_models && !self.may_be_reported(model) {
                return Some(Ending::ModelNotAllowed(model.clone()));
            }
            // A response may name a dated version of what has a price.
            if matches!(reported, Reported::Session(_)) { self.unpriced(model) } else { None }
        })
    }

    /// Whether the upstream may say that it is this model that works: one that is allowed, or a dated version of one.
    fn may_be_reported(&self, model: &str) -> bool {
        self.is_allowed(model) || undated(model).is_some_and(|model| self.is_allowed(model))
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
        let bare = self.kind.bare_model(name);
        let allows = |minted: &MintedModels| minted.allows(*role, name) || minted.allows(*role, bare);
        self.minted_models.as_deref().is_none_or(allows) && self.is_allowed(bare)
    }

    fn is_allowed(&self, model: &str) -> bool {
        self.policy.models.allows(model) && self.caller.models.allows(model)
    }
}
