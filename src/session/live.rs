//! A WebSocket under way: both directions followed as they pass, what they use counted, and the session ended when it
//! must be.
//!
//! An ending is decided anywhere, and told as a [`Farewell`] says: where a message of the other side's ends, or where a
//! frame at fault begins. If nothing comes to take the place of, or the client does not close, the connection is cut
//! after a grace.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::SystemTime;

use super::admission::Admission;
use super::farewell::{Farewell, ToClient, ToUpstream};
use crate::auth::Caller;
use crate::control::Process;
use crate::limits::{Ending, Progress, SessionLimits};
use crate::policy::Policy;
use crate::usage::{
    Close, ClosedBy, Kind, Meter, Metered, ModelRole, Peek, PriceList, Record, RecordId, Status, Timestamp, Traffic,
    inspect, peek,
};
use crate::ws::{CloseFrame, Event, Follower, Interest, Pass, Sender, Window};

/// The longest message that is read, of either side.
const MAX_MESSAGE: usize = 1 << 20;

/// How much of an upstream's message tells whether it matters.
const HEAD: u16 = 128;

/// What all sessions of a worker may have reserved for messages that are not complete. A VM has sixteen times that, of which
/// much may lie between what is reserved, too small for what comes.
const MAX_TOGETHER: usize = 64 << 20;

/// A message of which so little has come may always go on.
const MAX_UNSHARED: usize = 64 << 10;

/// What is reserved for messages that are not complete: of all sessions of a worker, and of one of them.
#[derive(Default)]
pub struct Reserved {
    all: Rc<Cell<usize>>,
    own: usize,
}

/// What becomes of bytes on their way.
#[derive(Debug, PartialEq, Eq)]
pub enum Relay {
    /// They go on as they are.
    Pass,
    /// From this offset on, these take their place.
    Replace(usize, Vec<u8>),
}

/// One open session.
pub struct Live {
    id: RecordId,
    /// Of frames in the client's name.
    mask: [u8; 4],
    policy: Rc<Policy>,
    caller: Rc<Caller>,
    user: Option<String>,
    provider: String,
    limits: SessionLimits,
    client: Follower,
    upstream: Follower,
    meter: Meter,
    started: Option<SystemTime>,
    last_activity: SystemTime,
    /// Whether something came since the last tick; its time is told only then.
    is_active: bool,
    farewell: Option<Farewell>,
    /// Nothing has judged its model: the request named none.
    is_of_any_model: bool,
    /// How it ended, by whoever was first.
    closed: Option<Close>,
    responses: Responses,
    is_incomplete: bool,
    reserved: Reserved,
}

impl Live {
    /// A session whose handshake goes on at `now`.
    pub fn new(
        admission: &Admission,
        provider: &str,
        model: Option<&str>,
        id: u128,
        reserved: Reserved,
        now: SystemTime,
    ) -> Self {
        let [a, b, c, d, ..] = id.to_le_bytes();
        Self {
            id: RecordId::new(id),
            mask: [a, b, c, d],
            policy: admission.policy.clone(),
            caller: admission.caller.clone(),
            user: admission.grant.as_ref().and_then(|grant| grant.user.clone()),
            provider: provider.to_owned(),
            limits: admission.limits(),
            client: Follower::new(Sender::Client, 0),
            upstream: Follower::new(Sender::Server, HEAD),
            meter: Meter::new(model),
            started: None,
            last_activity: now,
            is_active: false,
            farewell: None,
            is_of_any_model: model.is_none(),
            closed: None,
            responses: Responses::default(),
            is_incomplete: false,
            reserved,
        }
    }

    /// The upstream accepted it.
    pub fn start(&mut self, now: SystemTime) {
        self.started = Some(now);
        self.last_activity = now;
        if let Some(farewell) = &mut self.farewell {
            farewell.restart(now);
        }
    }

    /// Bytes of the client's are on their way to the upstream.
    pub fn client_bytes(&mut self, window: impl Window, now: SystemTime) -> Relay {
        let relay = self.follow_client(window, now);
        if self.hold_too_much() && self.client.reserved() > MAX_UNSHARED {
            // It must be read, and nobody can.
            self.client.end();
            self.hold_too_much();
            if relay == Relay::Pass {
                self.end(Farewell::new(Ending::MessageTooBig, now));
                return self.tell_upstream(None);
            }
        }
        relay
    }

    fn follow_client(&mut self, window: impl Window, now: SystemTime) -> Relay {
        self.is_active = true;
        match self.farewell.as_ref().map(Farewell::to_upstream) {
            Some(ToUpstream::Told) => return Relay::Replace(0, Vec::new()),
            Some(ToUpstream::AtBoundary) if self.client.at_message_boundary() => return self.tell_upstream(Some(0)),
            _ => {}
        }
        let Self { policy, caller, client, closed, .. } = &mut *self;
        let is_inspected = !policy.lock.is_empty() || policy.models.is_restricted() || caller.models.is_restricted();
        let mut pass = client.pass(window);
        let interest = if is_inspected { Interest::Require { max: MAX_MESSAGE } } else { Interest::Skip };
        while let Some(event) = pass.next(|_| interest) {
            let farewell = match event {
                Event::Message(message) => {
                    inspected(&message.payload, policy, caller).map(|ending| Farewell::new(ending, now))
                }
                Event::TooLong => Some(Farewell::new(Ending::MessageTooBig, now)),
                Event::Violation(violation) => Some(Farewell::broken(Sender::Client, violation, now)),
                Event::Close(frame) => {
                    closed.get_or_insert_with(|| close(ClosedBy::Client, frame.as_ref()));
                    None
                }
            };
            if let Some(farewell) = farewell {
                // Without its last frame, the message never comes to be for the upstream.
                let from = pass.frame_start();
                drop(pass);
                self.end(farewell);
                return self.tell_upstream(from);
            }
        }
        let boundary = pass.message_boundary();
        drop(pass);
        match (boundary, self.farewell.as_ref().map(Farewell::to_upstream)) {
            (Some(_), Some(ToUpstream::AtBoundary)) => self.tell_upstream(boundary),
            _ => Relay::Pass,
        }
    }

    /// Bytes of the upstream's are on their way to the client.
    pub fn upstream_bytes(
        &mut self,
        window: impl Window,
        prices: &PriceList,
        process: &RefCell<Process>,
        now: SystemTime,
    ) -> Relay {
        let relay = self.follow_upstream(window, prices, process, now);
        if self.hold_too_much() && self.upstream.reserved() > MAX_UNSHARED {
            // It goes on unread: what it has used is not known.
            self.upstream.give_up();
            self.hold_too_much();
            self.is_incomplete = true;
            if has_budget(&self.limits, &self.caller) {
                self.decide(Ending::Budget, now);
            }
        }
        relay
    }

    fn follow_upstream(
        &mut self,
        window: impl Window,
        prices: &PriceList,
        process: &RefCell<Process>,
        now: SystemTime,
    ) -> Relay {
        self.is_active = true;
        let due = self.farewell.as_ref().map(Farewell::to_client);
        let is_at_boundary = due == Some(ToClient::AtBoundary) && self.upstream.at_message_boundary();
        let mut place = is_at_boundary.then_some(Place::Boundary(0));
        let (mut farewell, mut has_passed_close) = (None, false);
        let mut pass = self.upstream.pass(window);
        let interest = |head: &[u8]| match peek(head) {
            Peek::Uninteresting => Interest::Skip,
            Peek::Interesting(_) | Peek::NeedMore => Interest::Collect { max: MAX_MESSAGE },
        };
        // To the end, also where the client hears no more of it: what was used is owed.
        while let Some(event) = pass.next(|start| interest(start.head)) {
            match event {
                Event::Message(message) => {
                    let metered = self.meter.event(&message.payload, prices);
                    self.is_incomplete |= matches!(metered, Metered::Rejected(_));
                    let is_over_budget = self.responses.count(&metered, &self.caller, process, now);
                    let is_spent = is_over_budget.map(|is_over_budget| {
                        is_over_budget || self.limits.is_spent(self.meter.tally(), self.meter.cost())
                    });
                    let model = self.meter.model().filter(|_| self.is_of_any_model && metered == Metered::Session);
                    let forbidden = model.filter(|model| !is_allowed(model, &self.policy, &self.caller));
                    let ending = forbidden.map(|model| Ending::ModelNotAllowed(model.to_owned()));
                    let ending = ending.or((is_spent == Some(true)).then_some(Ending::Budget));
                    if let Some(ending) = ending
                        && due.is_none()
                        && farewell.is_none()
                    {
                        place = Some(Place::Boundary(pass.position()));
                        farewell = Some(Farewell::new(ending, now));
                    }
                }
                Event::TooLong => {
                    self.is_incomplete = true;
                    // What it has used is not known.
                    let must_end = has_budget(&self.limits, &self.caller);
                    farewell = farewell.or_else(|| must_end.then(|| Farewell::new(Ending::Budget, now)));
                }
                Event::Close(frame) if due.is_none() && farewell.is_none() => {
                    self.closed.get_or_insert_with(|| close(ClosedBy::Upstream, frame.as_ref()));
                }
                Event::Close(_) => {
                    let before = due.map(|due| Place::before(&pass, due));
                    // A Close of which a part has passed goes on: it ends the client's side as well.
                    has_passed_close = place.is_none() && matches!(before, Some(Place::Nowhere));
                    place = place.or(before);
                }
                Event::Violation(violation) => {
                    self.is_incomplete = true;
                    place = place.or_else(|| Some(Place::before(&pass, due.unwrap_or(ToClient::AtClose))));
                    farewell = farewell.or_else(|| Some(Farewell::broken(Sender::Server, violation, now)));
                }
            }
        }
        let boundary = pass.message_boundary();
        drop(pass);
        if let Some(farewell) = farewell {
            self.end(farewell);
        }
        match (place, boundary, self.farewell.as_ref().map(Farewell::to_client)) {
            (_, _, Some(ToClient::Told)) => Relay::Replace(0, Vec::new()),
            (Some(place), ..) => {
                let relay = self.tell_client(place, now);
                if has_passed_close { Relay::Pass } else { relay }
            }
            (None, Some(from), Some(ToClient::AtBoundary)) => self.tell_client(Place::Boundary(from), now),
            _ => Relay::Pass,
        }
    }

    /// Whether something came since the last tick.
    pub fn has_moved(&self) -> bool {
        self.is_active
    }

    /// Time passed; `told` is why it must end, if others say so. Says whether the connection is to be cut now.
    pub fn tick(&mut self, told: Option<Ending>, now: SystemTime) -> bool {
        let Some(started) = self.started else { return false };
        if std::mem::take(&mut self.is_active) {
            self.last_activity = now;
        }
        if self.farewell.is_none() {
            let (usage, cost) = (self.meter.tally(), self.meter.cost());
            let progress = Progress { started, last_activity: self.last_activity, usage, cost };
            if let Some(ending) = told.or_else(|| self.limits.check(&progress, now)) {
                self.decide(ending, now);
            }
        }
        self.farewell.as_mut().is_some_and(|farewell| farewell.tick(now))
    }

    /// What is known of it at `now`.
    pub fn record(&self, status: Status, now: SystemTime) -> Record {
        let started = self.started.unwrap_or(now);
        let millis =
            |since| u64::try_from(now.duration_since(since).unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        let (client, upstream) = (self.client.counts(), self.upstream.counts());
        let is_over = status == Status::Closed;
        Record {
            id: self.id,
            kind: Kind::WebSocket,
            status: if self.farewell.is_some() && status == Status::Open { Status::Stopping } else { status },
            upstream_id: self.meter.upstream_id().map(str::to_owned),
            caller: self.caller.name.clone(),
            user: self.user.clone(),
            policy: self.policy.name.clone(),
            provider: self.provider.clone(),
            model: self.meter.model().map(str::to_owned),
            started_at: Timestamp::from(started),
            duration_ms: millis(started),
            idle_ms: millis(self.last_activity),
            usage: *self.meter.tally(),
            cost_usd: self.meter.cost(),
            frames: Traffic { client: client.frames, upstream: upstream.frames },
            bytes: Traffic { client: client.bytes, upstream: upstream.bytes },
            close: self.closed.clone().filter(|_| is_over),
            incomplete: self.is_incomplete || (is_over && self.responses.are_open()),
        }
    }

    /// Tells what is reserved now. Whether all sessions of the worker together have too much.
    fn hold_too_much(&mut self) -> bool {
        self.reserved.hold(self.client.reserved() + self.upstream.reserved())
    }

    fn decide(&mut self, ending: Ending, now: SystemTime) {
        self.end(Farewell::new(ending, now));
    }

    /// Ends the session, unless it is ending already.
    fn end(&mut self, farewell: Farewell) {
        if self.farewell.is_none() {
            self.is_incomplete |= farewell.is_protocol_error();
            self.closed.get_or_insert_with(|| farewell.close());
            self.farewell = Some(farewell);
        }
    }

    /// Tells the upstream at the start of a frame, `from`; without one, what follows is only dropped.
    fn tell_upstream(&mut self, from: Option<usize>) -> Relay {
        match (&mut self.farewell, from) {
            (None, _) => Relay::Pass,
            (Some(farewell), Some(from)) => Relay::Replace(from, farewell.close_upstream(self.mask)),
            (Some(farewell), None) => {
                farewell.abandon_upstream();
                Relay::Replace(0, Vec::new())
            }
        }
    }

    fn tell_client(&mut self, place: Place, now: SystemTime) -> Relay {
        let Some(farewell) = &mut self.farewell else { return Relay::Pass };
        match place {
            Place::Boundary(from) => Relay::Replace(from, farewell.tell_client(&format!("event_{}", self.id), now)),
            Place::Frame(from) => Relay::Replace(from, farewell.close_client(now)),
            Place::Nowhere => {
                farewell.abandon_client();
                Relay::Replace(0, Vec::new())
            }
        }
    }
}

impl Reserved {
    /// Of a session of the worker whose sessions share `all`.
    pub fn new(all: Rc<Cell<usize>>) -> Self {
        Self { all, own: 0 }
    }

    /// Takes what a session has reserved now. Whether all of them together have too much.
    fn hold(&mut self, own: usize) -> bool {
        self.all.set(self.all.get().saturating_sub(self.own).saturating_add(own));
        self.own = own;
        self.all.get() > MAX_TOGETHER
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.all.set(self.all.get().saturating_sub(self.own));
    }
}

/// Responses that have begun and not ended: nobody knows yet what they use.
#[derive(Default)]
struct Responses {
    open: u32,
}

impl Responses {
    /// Counts what an event has used. Says, of an event that begins or ends something, whether the caller's budget of
    /// today is used up.
    fn count(
        &mut self,
        metered: &Metered,
        caller: &Caller,
        process: &RefCell<Process>,
        now: SystemTime,
    ) -> Option<bool> {
        match metered {
            Metered::Counted(counted) => {
                self.open = self.open.saturating_sub(counted.usage.responses.min(1).try_into().unwrap_or(1));
                let used = (&counted.usage, counted.cost);
                Some(process.borrow_mut().used(caller, &counted.model, used, now))
            }
            Metered::ResponseStarted => {
                self.open = self.open.saturating_add(1);
                Some(process.borrow().is_over_budget(caller))
            }
            Metered::Rejected(_) => {
                self.open = self.open.saturating_sub(1);
                None
            }
            Metered::Ignored | Metered::Session => None,
        }
    }

    fn are_open(&self) -> bool {
        self.open > 0
    }
}

/// Where in a read of the upstream's its client can be told.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Between two messages.
    Boundary(usize),
    /// At the start of a frame, which may be within a message.
    Frame(usize),
    /// Not in this read.
    Nowhere,
}

impl Place {
    /// The first place before the end of what was followed last.
    fn before(pass: &Pass<'_, impl Window>, due: ToClient) -> Self {
        let boundary = pass.message_boundary().filter(|_| due == ToClient::AtBoundary);
        let frame = pass.frame_start().map_or(Self::Nowhere, Self::Frame);
        boundary.map_or(frame, Self::Boundary)
    }
}

fn close(by: ClosedBy, frame: Option<&CloseFrame>) -> Close {
    // RFC 6455 section 7.1.5: a Close frame without a code counts as 1005.
    let (code, reason) = frame.map_or((1005, ""), |frame| (frame.code().value(), frame.reason()));
    Close { by, code, reason: reason.to_owned() }
}

/// Why a client's message may not pass, if it may not.
fn inspected(message: &[u8], policy: &Policy, caller: &Caller) -> Option<Ending> {
    let event = match inspect(message, &policy.lock) {
        Ok(event) => event,
        Err(unreadable) => return Some(Ending::ProtocolError(unreadable.to_string().into())),
    };
    let is_forbidden = |name: &str| !is_allowed(name, policy, caller);
    let forbidden =
        event.models.into_iter().find(|model| model.role == ModelRole::Response && is_forbidden(&model.name));
    event.locked.map(Ending::FieldLocked).or_else(|| forbidden.map(|model| Ending::ModelNotAllowed(model.name)))
}

fn has_budget(limits: &SessionLimits, caller: &Caller) -> bool {
    limits.has_budget() || caller.limits.has_budget()
}

fn is_allowed(model: &str, policy: &Policy, caller: &Caller) -> bool {
    policy.models.allows(model) && caller.models.allows(model)
}

#[cfg(test)]
mod tests;
