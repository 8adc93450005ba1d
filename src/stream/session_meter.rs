//! What a metered session uses, and what may not be said in it: both can end it.

use std::sync::Arc;
use std::time::SystemTime;

use super::admission::Admission;
use super::joined_call::JoinedCall;
use crate::credential::Caller;
use crate::limit::{Ending, Limit, Progress, SessionBounds};
use crate::policy::Policy;
use crate::process::Sessions;
use crate::protocol::{ClientMessage, ModelRole};
use crate::usage::{Meter, MeterEvent, MicroUsd, PriceList, Reported, Tally};

/// The rules of one session, and how much it has used.
pub(crate) struct SessionMeter {
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Whose token opened it.
    pub caller: Arc<Caller>,
    bounds: SessionBounds,
    meter: Meter,
    responses: Responses,
    /// The call that it has joined, and is one session with.
    call: Option<JoinedCall>,
    /// Nothing has judged its model: the request named none.
    is_of_any_model: bool,
    is_incomplete: bool,
}

impl SessionMeter {
    /// A session of this request, whose model is `model` if it named one.
    pub(crate) fn new(admission: &Admission, model: Option<&str>) -> Self {
        Self {
            policy: admission.policy.clone(),
            caller: admission.caller.clone(),
            bounds: admission.bounds(),
            meter: Meter::new(model),
            responses: Responses::default(),
            call: None,
            is_of_any_model: model.is_none(),
            is_incomplete: false,
        }
    }

    /// What it tells is a call's.
    pub(crate) fn join(&mut self, call: JoinedCall) {
        self.call = Some(call);
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
        !self.policy.lock.is_empty() || self.policy.models.is_restricted() || self.caller.models.is_restricted()
    }

    /// Why a client's message may not pass, if it may not.
    pub(crate) fn judge(&self, message: ClientMessage) -> Option<Ending> {
        let event = match message.finish() {
            Ok(event) => event,
            Err(unreadable) => return Some(Ending::ProtocolError(unreadable.to_string().into())),
        };
        let is_forbidden = |name: &str| !self.is_allowed(name);
        let forbidden =
            event.models.into_iter().find(|model| model.role == ModelRole::Response && is_forbidden(&model.name));
        event.locked.map(Ending::FieldLocked).or_else(|| forbidden.map(|model| Ending::ModelNotAllowed(model.name)))
    }

    /// Counts what an upstream's event reports. Says why the session must end behind it, if it must.
    pub(crate) fn add(
        &mut self,
        reported: Reported,
        prices: &PriceList,
        sessions: &mut Sessions,
        now: SystemTime,
    ) -> Option<Ending> {
        let metered = self.meter.add(reported, prices);
        self.is_incomplete |= matches!(metered, MeterEvent::Rejected(_));
        let counted = self.responses.count(&metered, self.call.as_mut(), &self.caller, (sessions, now));
        if let Some(call) = &self.call {
            let model = self.meter.model().filter(|_| metered == MeterEvent::Session);
            sessions.call_told(call.key, model, self.is_incomplete);
        }
        let spent = counted.and_then(|of_caller| of_caller.or_else(|| self.spent(sessions)));
        let model = self.meter.model().filter(|_| self.is_of_any_model && metered == MeterEvent::Session);
        let forbidden = model.filter(|model| !self.is_allowed(model));
        let ending = forbidden.map(|model| Ending::ModelNotAllowed(model.to_owned()));
        ending.or(spent.map(Ending::Limit))
    }

    /// Something was said that could not be counted.
    pub(crate) fn set_incomplete(&mut self) {
        self.is_incomplete = true;
    }

    /// Whether more may have been used than was counted, of a session that is over or not.
    pub(crate) fn is_incomplete(&self, is_over: bool) -> bool {
        self.is_incomplete || (is_over && self.responses.open > 0)
    }

    /// The limit that has been reached, if one has. Those of a call that it has joined are judged with the call.
    pub(crate) fn check(&self, started: SystemTime, last_activity: SystemTime, now: SystemTime) -> Option<Ending> {
        if self.call.is_some() {
            return None;
        }
        let progress = Progress { started, last_activity, usage: self.meter.tally(), cost: self.meter.cost() };
        self.bounds.check(&progress, now)
    }

    /// The limit on tokens or dollars that is used up: of the call that it has joined, or its own.
    fn spent(&self, sessions: &Sessions) -> Option<Limit> {
        match &self.call {
            Some(call) => sessions.spent_by_call(call.key),
            None => self.bounds.spent(self.meter.tally(), self.meter.cost()),
        }
    }

    fn is_allowed(&self, model: &str) -> bool {
        self.policy.models.allows(model) && self.caller.models.allows(model)
    }
}

/// Responses that have begun and not ended: nobody knows yet what they use.
#[derive(Default)]
struct Responses {
    open: u32,
}

impl Responses {
    /// Counts what an event has used. Gives, of an event that begins or ends something, the limit of the caller's day that
    /// is used up, if one is.
    fn count(
        &mut self,
        metered: &MeterEvent,
        call: Option<&mut JoinedCall>,
        caller: &Caller,
        (sessions, now): (&mut Sessions, SystemTime),
    ) -> Option<Option<Limit>> {
        match metered {
            MeterEvent::Counted(counted) => {
                self.open = self.open.saturating_sub(counted.usage.responses.min(1).try_into().unwrap_or(1));
                if call.is_some_and(|call| !call.count(counted, sessions)) {
                    return Some(sessions.spent(caller));
                }
                let used = (&counted.usage, counted.cost);
                Some(sessions.used(caller, &counted.model, used, now))
            }
            MeterEvent::ResponseStarted => {
                self.open = self.open.saturating_add(1);
                Some(sessions.spent(caller))
            }
            MeterEvent::Rejected(_) => {
                self.open = self.open.saturating_sub(1);
                None
            }
            MeterEvent::Ignored | MeterEvent::Session => None,
        }
    }
}
