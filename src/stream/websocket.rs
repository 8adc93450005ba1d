//! A WebSocket under way: both directions followed as they pass, what they use counted, and the session ended when it
//! must be.
//!
//! An ending is decided anywhere, and told as a [`Closing`] says: where a message of the other side's ends, or where a
//! frame at fault begins. If nothing comes to take the place of, or the client does not close, the connection is cut
//! after a grace.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use super::action::BodyAction;
use super::admission::Admission;
use super::closing::{ClientSide, Closing, UpstreamSide};
use crate::credential::Caller;
use crate::limit::{Ending, Progress, SessionLimits};
use crate::memory::Reservation;
use crate::policy::Policy;
use crate::process::Sessions;
use crate::protocol::{ClientMessage, EventType, ModelRole, Relevance, UpstreamMessage};
use crate::usage::{
    Close, ClosedBy, Meter, MeterEvent, PriceList, Record, RecordId, SessionKind, Status, Timestamp, Traffic,
};
use crate::ws::{CloseFrame, Event, FollowedRead, Follower, Interest, ReadBuffer, Sender};

/// How much of an upstream's message tells whether it matters, if that begins with its type as all known ones do.
const UPSTREAM_FIRST: u16 = 128;

/// How much of a client's message is read at first, where all of it must be.
const CLIENT_FIRST: u16 = 4096;

/// One open session.
pub struct WebSocketRelay {
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
    /// The message of the client's that is inspected, as far as it has come.
    client_message: Option<Box<ClientMessage>>,
    /// The same of the upstream's, while it may matter.
    upstream_message: Option<Box<UpstreamMessage>>,
    meter: Meter,
    started: Option<SystemTime>,
    last_activity: SystemTime,
    /// Whether something came since the last tick; its time is told only then.
    is_active: bool,
    closing: Option<Closing>,
    /// Nothing has judged its model: the request named none.
    is_of_any_model: bool,
    /// How it ended, by whoever was first.
    closed: Option<Close>,
    responses: Responses,
    is_incomplete: bool,
    reservation: Reservation,
}

impl WebSocketRelay {
    /// A session whose handshake goes on at `now`.
    pub fn new(
        admission: &Admission,
        provider: &str,
        model: Option<&str>,
        id: u128,
        reservation: Reservation,
        now: SystemTime,
    ) -> Self {
        let [a, b, c, d, ..] = id.to_le_bytes();
        let (policy, caller) = (&admission.policy, &admission.caller);
        let is_inspected = !policy.lock.is_empty() || policy.models.is_restricted() || caller.models.is_restricted();
        Self {
            id: RecordId::new(id),
            mask: [a, b, c, d],
            policy: admission.policy.clone(),
            caller: admission.caller.clone(),
            user: admission.client_secret.as_ref().and_then(|client_secret| client_secret.user.clone()),
            provider: provider.to_owned(),
            limits: admission.limits(),
            client: Follower::new(Sender::Client, if is_inspected { CLIENT_FIRST } else { 0 }),
            upstream: Follower::new(Sender::Server, UPSTREAM_FIRST),
            client_message: None,
            upstream_message: None,
            meter: Meter::new(model),
            started: None,
            last_activity: now,
            is_active: false,
            closing: None,
            is_of_any_model: model.is_none(),
            closed: None,
            responses: Responses::default(),
            is_incomplete: false,
            reservation,
        }
    }

    /// The upstream accepted it.
    pub fn start(&mut self, now: SystemTime) {
        self.started = Some(now);
        self.last_activity = now;
        if let Some(closing) = &mut self.closing {
            closing.restart(now);
        }
    }

    /// Bytes of the client's are on their way to the upstream.
    pub fn client_bytes(&mut self, buffer: impl ReadBuffer, now: SystemTime) -> BodyAction {
        let action = self.follow_client(buffer, now);
        self.account();
        action
    }

    fn follow_client(&mut self, buffer: impl ReadBuffer, now: SystemTime) -> BodyAction {
        self.is_active = true;
        match self.closing.as_ref().map(Closing::upstream_side) {
            Some(UpstreamSide::Closed) => return BodyAction::Replace(0, Vec::new()),
            Some(UpstreamSide::AtBoundary) if self.client.at_message_boundary() => {
                return self.notify_upstream(Some(0));
            }
            _ => {}
        }
        let Self { policy, caller, client, client_message, closed, .. } = &mut *self;
        let mut pass = client.pass(buffer);
        let message = || Box::new(ClientMessage::new(&policy.lock));
        while let Some(event) = pass.next(&mut |piece| {
            client_message.get_or_insert_with(message).feed(piece);
            Interest::Stream
        }) {
            let closing = match event {
                Event::MessageEnd => {
                    let message = client_message.take().unwrap_or_else(message);
                    judge(*message, policy, caller).map(|ending| Closing::new(ending, now))
                }
                Event::ProtocolError(error) => Some(Closing::for_protocol_error(Sender::Client, error, now)),
                Event::Close(frame) => {
                    closed.get_or_insert_with(|| close(ClosedBy::Client, frame.as_ref()));
                    None
                }
            };
            if let Some(closing) = closing {
                // Without its last frame, the message never comes to be for the upstream.
                let from = pass.frame_start();
                drop(pass);
                self.end(closing);
                return self.notify_upstream(from);
            }
        }
        let boundary = pass.message_boundary();
        drop(pass);
        match (boundary, self.closing.as_ref().map(Closing::upstream_side)) {
            (Some(_), Some(UpstreamSide::AtBoundary)) => self.notify_upstream(boundary),
            _ => BodyAction::Pass,
        }
    }

    /// Bytes of the upstream's are on their way to the client.
    pub fn upstream_bytes(
        &mut self,
        buffer: impl ReadBuffer,
        prices: &PriceList,
        sessions: &RefCell<Sessions>,
        now: SystemTime,
    ) -> BodyAction {
        let action = self.follow_upstream(buffer, prices, sessions, now);
        self.account();
        action
    }

    fn follow_upstream(
        &mut self,
        buffer: impl ReadBuffer,
        prices: &PriceList,
        sessions: &RefCell<Sessions>,
        now: SystemTime,
    ) -> BodyAction {
        self.is_active = true;
        let due = self.closing.as_ref().map(Closing::client_side);
        let is_at_boundary = due == Some(ClientSide::AtBoundary) && self.upstream.at_message_boundary();
        let mut insertion = is_at_boundary.then_some(InsertionPoint::Boundary(0));
        let (mut closing, mut has_passed_close) = (None, false);
        let mut pass = self.upstream.pass(buffer);
        let mut message = self.upstream_message.take().map(|message| *message);
        // To the end, also where the client hears no more of it: what was used is owed.
        while let Some(event) = pass.next(&mut |piece| read_upstream(&mut message, piece)) {
            match event {
                Event::MessageEnd => {
                    let reported = message.get_or_insert_default().end_event();
                    let metered = self.meter.add(reported, prices);
                    self.is_incomplete |= matches!(metered, MeterEvent::Rejected(_));
                    let is_over_budget = self.responses.count(&metered, &self.caller, sessions, now);
                    let is_spent = is_over_budget.map(|is_over_budget| {
                        is_over_budget || self.limits.is_spent(self.meter.tally(), self.meter.cost())
                    });
                    let model = self.meter.model().filter(|_| self.is_of_any_model && metered == MeterEvent::Session);
                    let forbidden = model.filter(|model| !is_allowed(model, &self.policy, &self.caller));
                    let ending = forbidden.map(|model| Ending::ModelNotAllowed(model.to_owned()));
                    let ending = ending.or((is_spent == Some(true)).then_some(Ending::Budget));
                    if let Some(ending) = ending
                        && due.is_none()
                        && closing.is_none()
                    {
                        insertion = Some(InsertionPoint::Boundary(pass.position()));
                        closing = Some(Closing::new(ending, now));
                    }
                }
                Event::Close(frame) if due.is_none() && closing.is_none() => {
                    self.closed.get_or_insert_with(|| close(ClosedBy::Upstream, frame.as_ref()));
                }
                Event::Close(_) => {
                    let before = due.map(|due| InsertionPoint::before(&pass, due));
                    // A Close of which a part has passed goes on: it ends the client's side as well.
                    has_passed_close = insertion.is_none() && matches!(before, Some(InsertionPoint::Nowhere));
                    insertion = insertion.or(before);
                }
                Event::ProtocolError(error) => {
                    self.is_incomplete = true;
                    insertion =
                        insertion.or_else(|| Some(InsertionPoint::before(&pass, due.unwrap_or(ClientSide::AtClose))));
                    closing = closing.or_else(|| Some(Closing::for_protocol_error(Sender::Server, error, now)));
                }
            }
        }
        let boundary = pass.message_boundary();
        drop(pass);
        self.upstream_message = message.filter(UpstreamMessage::has_begun).map(Box::new);
        if let Some(closing) = closing {
            self.end(closing);
        }
        match (insertion, boundary, self.closing.as_ref().map(Closing::client_side)) {
            (_, _, Some(ClientSide::Closed)) => BodyAction::Replace(0, Vec::new()),
            (Some(insertion), ..) => {
                let action = self.notify_client(insertion, now);
                if has_passed_close { BodyAction::Pass } else { action }
            }
            (None, Some(from), Some(ClientSide::AtBoundary)) => self.notify_client(InsertionPoint::Boundary(from), now),
            _ => BodyAction::Pass,
        }
    }

    /// Whether something came since the last tick.
    pub fn has_moved(&self) -> bool {
        self.is_active
    }

    /// Time passed; `told` is why it must end, if others say so. Says whether the connection is to be cut now.
    pub fn tick(&mut self, requested: Option<Ending>, now: SystemTime) -> bool {
        let Some(started) = self.started else { return false };
        if std::mem::take(&mut self.is_active) {
            self.last_activity = now;
        }
        if self.closing.is_none() {
            let (usage, cost) = (self.meter.tally(), self.meter.cost());
            let progress = Progress { started, last_activity: self.last_activity, usage, cost };
            if let Some(ending) = requested.or_else(|| self.limits.check(&progress, now)) {
                self.decide(ending, now);
            }
        }
        self.closing.as_mut().is_some_and(|closing| closing.tick(now))
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
            kind: SessionKind::WebSocket,
            status: if self.closing.is_some() && status == Status::Open { Status::Stopping } else { status },
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

    /// Tells what is held now of messages that are not complete.
    fn account(&mut self) {
        let client = self.client_message.as_ref().map_or(0, |message| size_of::<ClientMessage>() + message.held());
        let upstream =
            self.upstream_message.as_ref().map_or(0, |message| size_of::<UpstreamMessage>() + message.held());
        self.reservation.set(client + upstream);
    }

    fn decide(&mut self, ending: Ending, now: SystemTime) {
        self.end(Closing::new(ending, now));
    }

    /// Ends the session, unless it is ending already.
    fn end(&mut self, closing: Closing) {
        if self.closing.is_none() {
            self.is_incomplete |= closing.is_protocol_error();
            self.closed.get_or_insert_with(|| closing.close());
            self.closing = Some(closing);
        }
    }

    /// Tells the upstream at the start of a frame, `from`; without one, what follows is only dropped.
    fn notify_upstream(&mut self, from: Option<usize>) -> BodyAction {
        match (&mut self.closing, from) {
            (None, _) => BodyAction::Pass,
            (Some(closing), Some(from)) => BodyAction::Replace(from, closing.close_upstream(self.mask)),
            (Some(closing), None) => {
                closing.give_up_on_upstream();
                BodyAction::Replace(0, Vec::new())
            }
        }
    }

    fn notify_client(&mut self, insertion: InsertionPoint, now: SystemTime) -> BodyAction {
        let Some(closing) = &mut self.closing else { return BodyAction::Pass };
        match insertion {
            InsertionPoint::Boundary(from) => {
                BodyAction::Replace(from, closing.notify_client(&format!("event_{}", self.id), now))
            }
            InsertionPoint::Frame(from) => BodyAction::Replace(from, closing.close_client(now)),
            InsertionPoint::Nowhere => {
                closing.give_up_on_client();
                BodyAction::Replace(0, Vec::new())
            }
        }
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
        metered: &MeterEvent,
        caller: &Caller,
        sessions: &RefCell<Sessions>,
        now: SystemTime,
    ) -> Option<bool> {
        match metered {
            MeterEvent::Counted(counted) => {
                self.open = self.open.saturating_sub(counted.usage.responses.min(1).try_into().unwrap_or(1));
                let used = (&counted.usage, counted.cost);
                Some(sessions.borrow_mut().used(caller, &counted.model, used, now))
            }
            MeterEvent::ResponseStarted => {
                self.open = self.open.saturating_add(1);
                Some(sessions.borrow().is_over_budget(caller))
            }
            MeterEvent::Rejected(_) => {
                self.open = self.open.saturating_sub(1);
                None
            }
            MeterEvent::Ignored | MeterEvent::Session => None,
        }
    }

    fn are_open(&self) -> bool {
        self.open > 0
    }
}

/// Where in a read of the upstream's its client can be told.
#[derive(Debug, Clone, Copy)]
enum InsertionPoint {
    /// Between two messages.
    Boundary(usize),
    /// At the start of a frame, which may be within a message.
    Frame(usize),
    /// Not in this read.
    Nowhere,
}

impl InsertionPoint {
    /// The first place before the end of what was followed last.
    fn before(pass: &FollowedRead<'_, impl ReadBuffer>, due: ClientSide) -> Self {
        let boundary = pass.message_boundary().filter(|_| due == ClientSide::AtBoundary);
        let frame = pass.frame_start().map_or(Self::Nowhere, Self::Frame);
        boundary.map_or(frame, Self::Boundary)
    }
}

fn close(by: ClosedBy, frame: Option<&CloseFrame>) -> Close {
    // RFC 6455 section 7.1.5: a Close frame without a code counts as 1005.
    let (code, reason) = frame.map_or((1005, ""), |frame| (frame.code().value(), frame.reason()));
    Close { by, code, reason: reason.to_owned() }
}

/// Reads more of an upstream's message, unless it does not matter.
fn read_upstream(message: &mut Option<UpstreamMessage>, piece: &[u8]) -> Interest {
    let is_first = message.as_ref().is_none_or(|message| !message.has_begun());
    if is_first && EventType::leading(piece) == Some(EventType::Other) {
        return Interest::Skip;
    }
    let message = message.get_or_insert_default();
    match message.feed_event(piece) {
        Relevance::Open => Interest::Stream,
        Relevance::None => {
            message.reset();
            Interest::Skip
        }
    }
}

/// Why a client's message may not pass, if it may not.
fn judge(message: ClientMessage, policy: &Policy, caller: &Caller) -> Option<Ending> {
    let event = match message.finish() {
        Ok(event) => event,
        Err(unreadable) => return Some(Ending::ProtocolError(unreadable.to_string().into())),
    };
    let is_forbidden = |name: &str| !is_allowed(name, policy, caller);
    let forbidden =
        event.models.into_iter().find(|model| model.role == ModelRole::Response && is_forbidden(&model.name));
    event.locked.map(Ending::FieldLocked).or_else(|| forbidden.map(|model| Ending::ModelNotAllowed(model.name)))
}

fn is_allowed(model: &str, policy: &Policy, caller: &Caller) -> bool {
    policy.models.allows(model) && caller.models.allows(model)
}

#[cfg(test)]
mod tests;
