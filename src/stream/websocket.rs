//! A WebSocket under way: both directions followed as they pass, what they use counted, and the session ended when it
//! must be.
//!
//! An ending is decided anywhere, and told as a [`Closing`] says: where a message of the other side's ends, or where a
//! frame at fault begins. If nothing comes to take the place of, or the client does not close, the connection is cut
//! after a grace.

mod client_says;
mod upstream_read;
mod watcher;

use std::time::SystemTime;

use super::action::BodyAction;
use super::admission::Admission;
use super::closing::{ClientSide, Closing, UpstreamSide};
use super::joined_call::JoinedCall;
use super::session_meter::SessionMeter;
use super::upstream::Upstream;
use crate::limit::Ending;
use crate::memory::{MemoryAccount, Overdrawn, Reservation};
use crate::process::Sessions;
use crate::protocol::{ClientMessage, EventType, LastEvent, Relevance, SessionKind, UpstreamMessage};
use crate::usage::{
    Close, ClosedBy, PriceList, Record, RecordId, Reported, Said, Status, Timestamp, Traffic, Transport,
};
use crate::ws::{CloseCode, CloseFrame, Event, Follower, Interest, ReadBuffer, Sender};
use client_says::{CLIENT_TYPE, ClientSays};
use upstream_read::{InsertionPoint, UpstreamRead};
use watcher::{Heard, Watcher};

/// How much of an upstream's message tells whether it matters, if that begins with its type as all known ones do.
const UPSTREAM_FIRST: u16 = 128;

/// How much of a client's message is read at first, where all of it must be.
const CLIENT_FIRST: u16 = 4096;

/// What a session holds beside what it gathers, with how it is closed if it is.
const OWN_SIZE: usize = size_of::<(WebSocketRelay, Closing)>();

/// One open session.
pub(crate) struct WebSocketRelay {
    id: RecordId,
    /// Of frames in the client's name.
    mask: [u8; 4],
    user: Option<String>,
    provider: String,
    meter: SessionMeter,
    client: Follower,
    upstream: Follower,
    /// The message of the client's that is inspected, as far as it has come.
    client_message: Option<Box<ClientMessage>>,
    /// What the client's message says, as far as that is wanted for an estimate.
    client_says: ClientSays,
    /// The same of the upstream's, while it may matter.
    upstream_message: Option<Box<UpstreamMessage>>,
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
    watcher: Option<Watcher>,
    reservation: Reservation,
}

impl WebSocketRelay {
    /// A session whose handshake goes on at `now`.
    pub(crate) fn new(
        admission: &Admission,
        upstream: &Upstream<'_>,
        id: u128,
        memory: &MemoryAccount,
        now: SystemTime,
    ) -> Self {
        let [a, b, c, d, ..] = id.to_le_bytes();
        let meter = SessionMeter::new(admission, upstream);
        let held = OWN_SIZE + meter.held();
        Self {
            id: RecordId::new(id),
            mask: [a, b, c, d],
            user: admission.client_secret.as_ref().and_then(|client_secret| client_secret.user.clone()),
            provider: upstream.provider.name.clone(),
            client: Follower::new(Sender::Client, client_first(&meter)),
            client_says: ClientSays::new(meter.kind),
            upstream: Follower::new(Sender::Server, UPSTREAM_FIRST),
            client_message: None,
            upstream_message: None,
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
        self.upstream = Follower::new(Sender::Server, UPSTREAM_FIRST).telling_pings();
        self.watcher = Some(Watcher::default());
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

    /// Bytes of the client's are on their way to the upstream.
    pub(crate) fn client_bytes(&mut self, buffer: impl ReadBuffer, now: SystemTime) -> BodyAction {
        let action = self.follow_client(buffer, now);
        // What is left is the upstream's: a part of what was held before.
        self.account().ok();
        action
    }

    fn follow_client(&mut self, buffer: impl ReadBuffer, now: SystemTime) -> BodyAction {
        if self.watcher.is_some() {
            return self.drop_from_client(buffer, now);
        }
        self.is_active = true;
        if let Some(action) = self.before_client() {
            return action;
        }
        let size = buffer.size();
        let Self { meter, client, client_message, client_says, closed, .. } = &mut *self;
        let mut said = Said::default();
        let mut pass = client.pass(buffer);
        let message = |meter: &SessionMeter| Box::new(ClientMessage::new(&meter.lock, meter.kind));
        while let Some(event) = pass.next(&mut |piece| {
            let interest = client_says.feed(piece);
            if !meter.inspects_client() {
                return interest;
            }
            client_message.get_or_insert_with(|| message(meter)).feed(piece);
            Interest::Stream
        }) {
            let closing = match event {
                Event::MessageEnd => {
                    said.add(client_says.end(pass.message_length()));
                    let message = client_message.take().unwrap_or_else(|| message(meter));
                    let ending = if meter.inspects_client() { meter.judge(*message) } else { None };
                    ending.map(|ending| Closing::new(ending, now))
                }
                Event::ProtocolError(error) => Some(Closing::for_protocol_error(Sender::Client, error, now)),
                Event::Close(frame) => {
                    closed.get_or_insert_with(|| close(ClosedBy::Client, frame.as_ref()));
                    None
                }
                Event::Ping(_) => None,
            };
            if let Some(closing) = closing {
                // Without its last frame, the message never comes to be for the upstream.
                let from = pass.frame_start();
                drop(pass);
                self.end(closing);
                return self.notify_upstream(from);
            }
        }
        let (boundary, end, from) = (pass.message_boundary(), pass.position(), pass.frame_start());
        drop(pass);
        self.heard_client(said);
        if self.client_message.is_some() && self.account().is_err() {
            self.client_message = None;
            self.end(Closing::new(Ending::Overloaded, now));
            return self.notify_upstream(from);
        }
        match (boundary, self.closing.as_deref().map(Closing::upstream_side)) {
            (Some(_), Some(UpstreamSide::AtBoundary)) => self.notify_upstream(boundary),
            // What is left stands behind a Close.
            _ if end < size => BodyAction::Replace(end, Vec::new()),
            _ => BodyAction::Pass,
        }
    }

    /// The client has said this, and may have set the session up.
    fn heard_client(&mut self, said: Said) {
        if self.meter.kind.is_named_by_client() {
            self.client.read_first(client_first(&self.meter));
        }
        self.meter.say(said);
    }

    /// What becomes of all that the client says now, if that is decided.
    fn before_client(&mut self) -> Option<BodyAction> {
        match self.closing.as_deref().map(Closing::upstream_side) {
            Some(UpstreamSide::Closed) => Some(BodyAction::Replace(0, Vec::new())),
            // RFC 6455 section 5.5.1: no data frames may follow a Close. They would not be judged.
            _ if self.client.has_ended() => Some(BodyAction::Replace(0, Vec::new())),
            Some(UpstreamSide::AtBoundary) if self.client.at_message_boundary() => Some(self.notify_upstream(Some(0))),
            _ => None,
        }
    }

    /// Drops what a client sends that only watches. What goes up in its place is the gateway's own.
    fn drop_from_client(&mut self, buffer: impl ReadBuffer, now: SystemTime) -> BodyAction {
        if self.client.has_ended() {
            return BodyAction::Replace(0, Vec::new());
        }
        let mut up = self.watcher.as_mut().map_or_else(Vec::new, |watcher| watcher.pong(self.mask));
        match Heard::of(&mut self.client, buffer, now) {
            Heard::Nothing => {}
            Heard::Close(frame) => {
                self.closed.get_or_insert_with(|| close(ClosedBy::Client, frame.as_ref()));
                up.extend(CloseFrame::new(CloseCode::NORMAL, "").encode(Some(self.mask)));
            }
            Heard::Violation(closing) => self.end(closing),
        }
        match self.closing.as_deref().map(Closing::upstream_side) {
            // No frame of the client's has begun for the upstream, so that anything can stand here.
            Some(UpstreamSide::AtBoundary) => self.notify_upstream(Some(0)),
            Some(UpstreamSide::Closed) => BodyAction::Replace(0, Vec::new()),
            Some(UpstreamSide::ByClient) | None => BodyAction::Replace(0, up),
        }
    }

    /// Bytes of the upstream's are on their way to the client.
    pub(crate) fn upstream_bytes(
        &mut self,
        buffer: impl ReadBuffer,
        prices: &PriceList,
        sessions: &mut Sessions,
        now: SystemTime,
    ) -> BodyAction {
        let action = self.follow_upstream(buffer, prices, sessions, now);
        // An upstream's message is within the session's share.
        self.account().ok();
        action
    }

    fn follow_upstream(
        &mut self,
        buffer: impl ReadBuffer,
        prices: &PriceList,
        sessions: &mut Sessions,
        now: SystemTime,
    ) -> BodyAction {
        self.is_active = true;
        let due = self.closing.as_deref().map(Closing::client_side);
        let mut read = UpstreamRead { due, ..UpstreamRead::default() };
        if due == Some(ClientSide::AtBoundary) && self.upstream.at_message_boundary() {
            read.insertion = Some(InsertionPoint::Boundary(0));
        }
        let Self { meter, upstream, upstream_message: message, closed, watcher, .. } = &mut *self;
        let mut pass = upstream.pass(buffer);
        // To the end, also where the client hears no more of it: what was used is to be counted.
        let (kind, hears) = (meter.kind, meter.hears());
        while let Some(event) = pass.next(&mut |piece| read_upstream(message, piece, (kind, hears))) {
            match event {
                Event::MessageEnd => {
                    let reported = match message {
                        Some(message) if message.has_begun() => message.end_event(),
                        _ => Reported::Output(Said::audio_event(pass.message_length())),
                    };
                    let ending = meter.add(reported, prices, sessions, now);
                    let closing = ending.map(|ending| Closing::new(ending, now).after(meter.last_words()));
                    read.end(closing, pass.position());
                }
                Event::Ping(payload) => {
                    if let Some(watcher) = watcher {
                        watcher.ping = Some(payload);
                    }
                }
                Event::Close(frame) => {
                    if read.is_open() {
                        closed.get_or_insert_with(|| close(ClosedBy::Upstream, frame.as_ref()));
                    } else {
                        read.meet_close(&pass);
                    }
                }
                Event::ProtocolError(error) => {
                    meter.set_incomplete();
                    read.break_off(Closing::for_protocol_error(Sender::Server, error, now), &pass);
                }
            }
        }
        let boundary = pass.message_boundary();
        drop(pass);
        if self.upstream_message.as_ref().is_some_and(|message| !message.has_begun()) {
            self.upstream_message = None;
        }
        if let Some(closing) = read.closing.take() {
            self.end(closing);
        }
        self.insert_for_client(&read, boundary, now)
    }

    /// Puts the error event and the Close frame where a read of the upstream's allows it; `boundary` is the last between two
    /// messages.
    fn insert_for_client(&mut self, read: &UpstreamRead, boundary: Option<usize>, now: SystemTime) -> BodyAction {
        match (read.insertion, boundary, self.closing.as_deref().map(Closing::client_side)) {
            (_, _, Some(ClientSide::Closed)) => BodyAction::Replace(0, Vec::new()),
            (Some(insertion), ..) => {
                let action = self.notify_client(insertion, now);
                if read.has_passed_close { BodyAction::Pass } else { action }
            }
            (None, Some(from), Some(ClientSide::AtBoundary)) => self.notify_client(InsertionPoint::Boundary(from), now),
            _ => BodyAction::Pass,
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
            user: self.user.clone(),
            policy: self.meter.policy.name.clone(),
            provider: self.provider.clone(),
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
        let upstream =
            self.upstream_message.as_ref().map_or(0, |message| size_of::<UpstreamMessage>() + message.held());
        let session = OWN_SIZE.saturating_add(self.meter.held());
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

/// How much of a client's message is read before it is known whether more matters.
fn client_first(meter: &SessionMeter) -> u16 {
    match meter.inspects_client() {
        true => CLIENT_FIRST,
        false if meter.hears() => CLIENT_TYPE,
        false => 0,
    }
}

fn close(by: ClosedBy, frame: Option<&CloseFrame>) -> Close {
    // RFC 6455 section 7.1.5: a Close frame without a code counts as 1005.
    let (code, reason) = frame.map_or((1005, ""), |frame| (frame.code().value(), frame.reason()));
    Close { by, code, reason: reason.to_owned(), limit: None }
}

/// Reads more of an upstream's message, unless it does not matter; what responses say matters only where that is heard.
fn read_upstream(
    message: &mut Option<Box<UpstreamMessage>>,
    piece: &[u8],
    (kind, hears): (SessionKind, bool),
) -> Interest {
    let is_first = message.as_ref().is_none_or(|message| !message.has_begun());
    match kind.leading(piece).filter(|_| is_first) {
        Some(EventType::Other) => return Interest::Skip,
        Some(EventType::AudioDelta) if hears => return Interest::Measure,
        Some(EventType::AudioDelta | EventType::TextDelta) if !hears => return Interest::Skip,
        _ => {}
    }
    let message = message.get_or_insert_with(|| Box::new(UpstreamMessage::of(kind)));
    let interest = match message.feed_event(piece) {
        Relevance::Open => return Interest::Stream,
        Relevance::Text if hears => return Interest::Stream,
        Relevance::Length if hears => Interest::Measure,
        Relevance::Text | Relevance::Length | Relevance::None => Interest::Skip,
    };
    message.reset();
    interest
}

#[cfg(test)]
mod tests;
