//! A WebSocket under way: both directions followed as they pass, what they use counted, and the session ended when it
//! must be.
//!
//! An ending is decided anywhere, and told as a [`Closing`] says: where a message of the other side's ends, or where a
//! frame at fault begins. If nothing comes to take the place of, or the client does not close, the connection is cut
//! after a grace.

mod client_says;
mod from_client;
mod from_upstream;
mod own_events;
mod upstream_message;
mod upstream_read;
mod watcher;

use std::sync::Arc;
use std::time::SystemTime;

use super::action::BodyAction;
use super::admission::Admission;
use super::closing::Closing;
use super::joined_call::JoinedCall;
use super::session_meter::SessionMeter;
use super::upstream::Upstream;
use crate::limit::Ending;
use crate::memory::{MemoryAccount, Overdrawn, Reservation};
use crate::policy::Provider;
use crate::process::Sessions;
use crate::protocol::{ClientMessage, LastEvent, OnChange};
use crate::usage::{Close, ClosedBy, PriceList, Record, RecordId, Status, Timestamp, Traffic, Transport};
use crate::ws::{CloseFrame, FollowedRead, Follower, ReadBuffer, Rewrite, Sender};
use client_says::{CLIENT_TYPE, ClientSays};
use own_events::OwnEvents;
use upstream_message::UpstreamMessageRead;
use upstream_read::InsertionPoint;
use watcher::Watcher;

/// How much of an upstream's message tells whether it matters, if that begins with its type as all known ones do.
const UPSTREAM_FIRST: u16 = 128;

/// How much of a client's message is read at first, where all of it must be.
const CLIENT_FIRST: u16 = 4096;

/// What a session holds beside what it gathers, with how it is closed if it is.
const OWN_SIZE: usize = size_of::<(WebSocketRelay, Closing)>();

/// A worker may hold thousands that are idle. From 1,000 bytes on, some allocators also tidy up for each.
const _: () = assert!(size_of::<WebSocketRelay>() <= 1000, "what few sessions need belongs into a box");

/// One open session.
pub(crate) struct WebSocketRelay {
    id: RecordId,
    /// Of frames in the client's name.
    mask: [u8; 4],
    user: Option<Box<str>>,
    provider: Arc<Provider>,
    meter: SessionMeter,
    client: Follower,
    upstream: Follower,
    /// The message of the client's that is inspected, as far as it has come.
    client_message: Option<Box<ClientMessage>>,
    /// What the client's message says, as far as that is wanted for an estimate.
    client_says: ClientSays,
    /// The upstream's message, as far as it has come and may matter.
    upstream_message: UpstreamMessageRead,
    /// What the gateway says to either side itself, in a session that goes on.
    own_events: Option<Box<OwnEvents>>,
    started: Option<SystemTime>,
    /// When messages last passed, as far as a tick has seen.
    last_activity: SystemTime,
    /// How much of messages had passed by then. Pings and pongs are none: they keep a connection up, not a session.
    passed: u64,
    /// Whether anything came since the last tick.
    is_active: bool,
    /// Most sessions are never closed from here.
    closing: Option<Box<Closing>>,
    /// How it ended, by whoever was first.
    closed: Option<Close>,
    /// Nothing that the client says goes on.
    watcher: Option<Box<Watcher>>,
    reservation: Reservation,
}

impl WebSocketRelay {
    /// A session whose handshake goes on; `now` may be as old as the last tick.
    pub(crate) fn new(
        admission: &Admission,
        upstream: &Upstream<'_>,
        id: u128,
        memory: &MemoryAccount,
        now: SystemTime,
    ) -> Self {
        let [a, b, c, d, ..] = id.to_le_bytes();
        let meter = SessionMeter::new(admission, upstream);
        let own_events = OwnEvents::new(meter.kind, admission.preset(), meter.lock.reaction()).map(Box::new);
        let held = OWN_SIZE + meter.held() + own_events.as_ref().map_or(0, |own| own.held());
        Self {
            id: RecordId::new(id),
            mask: [a, b, c, d],
            user: admission.user.as_deref().map(Box::from),
            provider: upstream.provider.clone(),
            client: client_follower(&meter),
            client_says: ClientSays::new(meter.kind),
            upstream: upstream_follower(&meter, own_events.is_some()),
            client_message: None,
            upstream_message: UpstreamMessageRead::new(meter.kind),
            own_events,
            meter,
            started: None,
            last_activity: now,
            passed: 0,
            is_active: false,
            closing: None,
            closed: None,
            watcher: None,
            reservation: memory.reserve(held),
        }
    }

    /// It has joined a call, and is one session with it.
    pub(crate) fn join(&mut self, call: JoinedCall) {
        self.id = call.terms.record;
        self.meter.join(call);
    }

    /// It only watches: nothing that its client says goes on.
    pub(crate) fn watch(&mut self) {
        self.client = Follower::new(Sender::Client, 0);
        self.upstream = upstream_follower(&self.meter, false).telling_pings();
        self.watcher = Some(Box::default());
        self.own_events = None;
    }

    /// Its model, if one is known.
    pub(crate) fn model(&self) -> Option<&str> {
        self.meter.meter().model()
    }

    /// The upstream accepted it.
    pub(crate) fn start(&mut self, now: SystemTime) {
        self.started = Some(now);
        self.last_activity = now;
        if let Some(closing) = &mut self.closing {
            closing.restart(now);
        }
    }

    /// Whether something came since the last tick.
    pub(crate) fn has_moved(&self) -> bool {
        self.is_active
    }

    /// Whether a message has passed since the last tick, or a part of one.
    pub(crate) fn has_spoken(&self) -> bool {
        self.passed_by_now() != self.passed
    }

    /// How much of messages has passed by now. What a watcher's client says passes nowhere.
    fn passed_by_now(&self) -> u64 {
        let client = if self.watcher.is_some() { 0 } else { self.client.counts().of_messages() };
        client.saturating_add(self.upstream.counts().of_messages())
    }

    /// Time passed; `requested` is why it must end, if others say so. Says whether the connection is to be cut now.
    pub(crate) fn tick(&mut self, requested: Option<Ending>, now: SystemTime) -> bool {
        let Some(started) = self.started else { return false };
        self.is_active = false;
        let passed = self.passed_by_now();
        if std::mem::replace(&mut self.passed, passed) != passed {
            self.last_activity = now;
        }
        if self.closing.is_none() {
            let limit = || self.meter.check(started, self.last_activity, now);
            if let Some(ending) = requested.or_else(limit) {
                self.decide(ending, now);
            }
        }
        self.closing.as_mut().is_some_and(|closing| closing.tick(now))
    }

    /// It is over: what was not told is charged by an estimate.
    pub(crate) fn settle(&mut self, prices: &PriceList, sessions: &mut Sessions, now: SystemTime) {
        self.meter.settle(prices, (sessions, now));
    }

    /// What is known of it at `now`.
    pub(crate) fn record(&self, status: Status, now: SystemTime) -> Record {
        let started = self.started.unwrap_or(now);
        let millis =
            |since| u64::try_from(now.duration_since(since).unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        let (client, upstream) = (self.client.counts(), self.upstream.counts());
        let is_over = status == Status::Closed;
        let meter = self.meter.meter();
        let (usage, cost_usd) = self.meter.used();
        Record {
            id: self.id,
            kind: Transport::WebSocket,
            status: if self.closing.is_some() && status == Status::Open { Status::Stopping } else { status },
            upstream_id: meter.upstream_id().map(str::to_owned),
            caller: self.meter.caller.name.clone(),
            user: self.user.as_deref().map(str::to_owned),
            policy: self.meter.policy.name.clone(),
            provider: self.provider.name.clone(),
            model: meter.model().map(str::to_owned),
            started_at: Timestamp::from(started),
            duration_ms: millis(started),
            idle_ms: millis(self.last_activity),
            usage: *usage,
            cost_usd,
            frames: Traffic { client: client.frames, upstream: upstream.frames },
            bytes: Traffic { client: client.bytes, upstream: upstream.bytes },
            close: self.closed.clone().filter(|_| is_over),
            incomplete: self.meter.is_incomplete(is_over),
            estimated: self.meter.estimated(),
        }
    }

    /// Tells what is held now, of messages that are not complete and beside that.
    fn account(&mut self) -> Result<(), Overdrawn> {
        let client = self.client_message.as_ref().map_or(0, |message| size_of::<ClientMessage>() + message.held());
        let upstream = self.upstream_message.held();
        let withheld = self.client.held().saturating_add(self.upstream.held());
        let own_events = self.own_events.as_ref().map_or(0, |own| own.held());
        let session = [OWN_SIZE, self.meter.held(), withheld, own_events].into_iter().fold(0, usize::saturating_add);
        self.reservation.hold(session.saturating_add(client).saturating_add(upstream))
    }

    fn decide(&mut self, ending: Ending, now: SystemTime) {
        self.end(Closing::new(ending, now));
    }

    /// Ends the session, unless it is ending already.
    fn end(&mut self, closing: Closing) {
        if self.closing.is_none() {
            if closing.is_protocol_error() {
                self.meter.set_incomplete();
            }
            let closing = match self.meter.kind.row().last_event {
                LastEvent::Error => closing,
                LastEvent::Nothing => closing.without_event(),
            };
            self.closed.get_or_insert_with(|| closing.close());
            self.closing = Some(Box::new(closing));
        }
    }

    /// Tells the upstream at the start of a frame, `from`; without one, what follows is only dropped.
    fn notify_upstream(&mut self, from: Option<usize>, rewrite: &mut Rewrite) {
        let Some(closing) = &mut self.closing else { return };
        self.client.forget();
        match from {
            Some(from) => rewrite.end(from, closing.close_upstream(self.mask)),
            None => {
                closing.give_up_on_upstream();
                rewrite.end(0, Vec::new());
            }
        }
    }

    fn notify_client(&mut self, insertion: InsertionPoint, rewrite: &mut Rewrite, now: SystemTime) {
        let Some(closing) = &mut self.closing else { return };
        self.upstream.forget();
        match insertion {
            InsertionPoint::Boundary(from) => {
                rewrite.end(from, closing.notify_client(&format!("event_{}", self.id), now));
            }
            InsertionPoint::Frame(from) => rewrite.end(from, closing.close_client(now)),
            InsertionPoint::Nowhere => {
                closing.give_up_on_client();
                rewrite.end(0, Vec::new());
            }
        }
    }
}

/// What follows the client, as far as that is needed.
fn client_follower(meter: &SessionMeter) -> Follower {
    let follower = Follower::new(Sender::Client, client_first(meter));
    match meter.lock.reaction() {
        Some(OnChange::Refuse | OnChange::Drop) => follower.withholding(),
        Some(OnChange::End) | None => follower,
    }
}

/// How much of a client's message is read before it is known whether more matters.
fn client_first(meter: &SessionMeter) -> u16 {
    match meter.inspects_client() {
        true => CLIENT_FIRST,
        false if meter.hears() => CLIENT_TYPE,
        false => 0,
    }
}

/// What follows the upstream, which may have to be kept from its client, or gives way to what the gateway says itself.
fn upstream_follower(meter: &SessionMeter, has_own_events: bool) -> Follower {
    let follower = Follower::new(Sender::Server, UPSTREAM_FIRST);
    if has_own_events || !meter.hide.is_empty() { follower.withholding() } else { follower }
}

/// How many bytes the headers of a message's frames may take, if that is withheld: that of one frame, or of some thousand
/// fragments.
const HEADERS_MAX: usize = 64 << 10;

/// Whether the message that is withheld is longer than `max` bytes.
fn is_too_long(pass: &FollowedRead<'_, impl ReadBuffer>, max: usize) -> bool {
    let frames = pass.withheld();
    frames > max && (pass.message_length() > max as u64 || frames > max.saturating_add(HEADERS_MAX))
}

/// What a host is to do with a read.
fn action(rewrite: Rewrite, buffer: &mut dyn ReadBuffer) -> BodyAction {
    match rewrite.apply(buffer) {
        Ok(None) => BodyAction::Pass,
        Ok(Some((from, bytes))) => BodyAction::Replace(from, bytes),
        // What cannot be read cannot go on in part.
        Err(_) => BodyAction::Replace(0, Vec::new()),
    }
}

fn close(by: ClosedBy, frame: Option<&CloseFrame>) -> Close {
    // RFC 6455 section 7.1.5: a Close frame without a code counts as 1005.
    let (code, reason) = frame.map_or((1005, ""), |frame| (frame.code().value(), frame.reason()));
    Close { by, code, reason: reason.to_owned(), limit: None }
}

#[cfg(test)]
mod tests;
