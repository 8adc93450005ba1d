//! A WebSocket under way: both directions followed as they pass, what they use counted, and the session ended when it
//! must be.
//!
//! An ending is decided anywhere, but told only where a message of the upstream's ends: an error event and a Close frame
//! take the place of what would follow there. If nothing comes to take the place of, or the client does not close, the
//! connection is cut after a grace.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::admission::Admission;
use crate::auth::Caller;
use crate::limits::{Ending, Progress, SessionLimits};
use crate::policy::Policy;
use crate::usage::{
    Close, ClosedBy, Kind, Meter, Metered, ModelRole, Peek, PriceList, Record, RecordId, Status, Timestamp, Traffic,
    inspect, peek,
};
use crate::ws::{CloseCode, CloseFrame, Event, Follower, Interest, Sender, Violation, Window, text_frame};

/// How long a client may take to close after it was told to.
const GRACE: Duration = Duration::from_secs(2);

/// The longest message that is read, of either side.
const MAX_MESSAGE: usize = 1 << 20;

/// How much of a message tells whether it matters.
const HEAD: u16 = 128;

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
    ending: Option<Decided>,
    closed: Option<Close>,
    is_incomplete: bool,
}

/// An ending, and how far it has come.
struct Decided {
    ending: Ending,
    since: SystemTime,
    is_told: bool,
}

impl Live {
    /// A session whose handshake goes on at `now`.
    pub fn new(admission: &Admission, provider: &str, model: Option<&str>, id: u128, now: SystemTime) -> Self {
        let grant = admission.grant.as_ref();
        let limits = admission.policy.limits;
        Self {
            id: RecordId::new(id),
            policy: admission.policy.clone(),
            caller: admission.caller.clone(),
            user: grant.and_then(|grant| grant.user.clone()),
            provider: provider.to_owned(),
            limits: grant.map_or(limits, |grant| grant.tighten(&limits)),
            client: Follower::new(Sender::Client, HEAD),
            upstream: Follower::new(Sender::Server, HEAD),
            meter: Meter::new(model),
            started: None,
            last_activity: now,
            ending: None,
            closed: None,
            is_incomplete: false,
        }
    }

    /// The upstream accepted it.
    pub fn start(&mut self, now: SystemTime) {
        self.started = Some(now);
        self.last_activity = now;
    }

    /// Bytes of the client's are on their way to the upstream.
    pub fn client_bytes(&mut self, window: impl Window, now: SystemTime) -> Relay {
        self.last_activity = now;
        if self.ending.is_some() {
            return Relay::Replace(0, Vec::new());
        }
        let (policy, caller) = (self.policy.clone(), self.caller.clone());
        let is_inspected = !policy.lock.is_empty() || policy.models.is_restricted() || caller.models.is_restricted();
        let mut pass = self.client.pass(window);
        let interest = if is_inspected { Interest::Require { max: MAX_MESSAGE } } else { Interest::Skip };
        while let Some(event) = pass.next(|_| interest) {
            let ending = match event {
                Event::Message(message) => inspected(&message.payload, &policy, &caller),
                Event::TooLong => Some(Ending::MessageTooBig),
                Event::Violation(violation) => Some(unfollowed(violation)),
                Event::Close(frame) => {
                    self.closed.get_or_insert_with(|| close(ClosedBy::Client, frame.as_ref()));
                    None
                }
            };
            if let Some(ending) = ending {
                // Without its last frame, the message never comes to be for the upstream.
                let from = pass.frame_start().unwrap_or(0);
                drop(pass);
                self.is_incomplete |= matches!(ending, Ending::ProtocolError(_));
                self.decide(ending, now);
                return Relay::Replace(from, Vec::new());
            }
        }
        Relay::Pass
    }

    /// Bytes of the upstream's are on their way to the client.
    pub fn upstream_bytes(&mut self, window: impl Window, prices: &PriceList, now: SystemTime) -> Relay {
        self.last_activity = now;
        match &self.ending {
            Some(decided) if decided.is_told => return Relay::Replace(0, Vec::new()),
            Some(_) if self.upstream.at_message_boundary() => return self.tell(0, now),
            _ => {}
        }
        let mut pass = self.upstream.pass(window);
        let interest = |head: &[u8]| match peek(head) {
            Peek::Uninteresting => Interest::Skip,
            Peek::Interesting(_) | Peek::NeedMore => Interest::Collect { max: MAX_MESSAGE },
        };
        while let Some(event) = pass.next(|start| interest(start.head)) {
            match event {
                Event::Message(message) => {
                    let metered = self.meter.event(&message.payload, prices);
                    self.is_incomplete |= matches!(metered, Metered::Rejected(_));
                    let counts = matches!(metered, Metered::Counted(_) | Metered::ResponseStarted);
                    if counts && self.ending.is_none() && self.limits.is_spent(self.meter.tally(), self.meter.cost()) {
                        let from = pass.position();
                        drop(pass);
                        self.decide(Ending::Budget, now);
                        return self.tell(from, now);
                    }
                }
                Event::TooLong => self.is_incomplete = true,
                Event::Close(frame) => {
                    self.closed.get_or_insert_with(|| close(ClosedBy::Upstream, frame.as_ref()));
                }
                Event::Violation(violation) => {
                    let from = pass.frame_start();
                    drop(pass);
                    self.is_incomplete = true;
                    self.decide(unfollowed(violation), now);
                    return self.break_off(from, violation, now);
                }
            }
        }
        let boundary = pass.message_boundary();
        drop(pass);
        match boundary {
            Some(from) if self.ending.is_some() => self.tell(from, now),
            _ => Relay::Pass,
        }
    }

    /// Time passed. Says whether the connection is to be cut now.
    pub fn tick(&mut self, now: SystemTime) -> bool {
        let Some(started) = self.started else { return false };
        if self.ending.is_none() {
            let (usage, cost) = (self.meter.tally(), self.meter.cost());
            let progress = Progress { started, last_activity: self.last_activity, usage, cost };
            if let Some(ending) = self.limits.check(&progress, now) {
                self.decide(ending, now);
            }
        }
        self.ending.as_ref().is_some_and(|decided| {
            let waited = now.duration_since(decided.since).unwrap_or_default();
            decided.ending == Ending::IdleTimeout || waited >= GRACE
        })
    }

    /// What is known of it at `now`.
    pub fn record(&self, status: Status, now: SystemTime) -> Record {
        let started = self.started.unwrap_or(now);
        let millis =
            |since| u64::try_from(now.duration_since(since).unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        let (client, upstream) = (self.client.counts(), self.upstream.counts());
        let own_close = self.ending.as_ref().map(|decided| decided.ending.close());
        Record {
            id: self.id,
            kind: Kind::WebSocket,
            status,
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
            close: own_close.or_else(|| self.closed.clone()),
            incomplete: self.is_incomplete,
        }
    }

    fn decide(&mut self, ending: Ending, now: SystemTime) {
        self.ending.get_or_insert(Decided { ending, since: now, is_told: false });
    }

    /// Puts the error event and the Close frame at a message boundary, `from`.
    fn tell(&mut self, from: usize, now: SystemTime) -> Relay {
        let Some(decided) = &mut self.ending else { return Relay::Pass };
        (decided.is_told, decided.since) = (true, now);
        let event = decided.ending.event(&format!("event_{}", self.id));
        let mut bytes = text_frame(&String::from_utf8_lossy(&event));
        bytes.extend(farewell(decided.ending.close_code(), decided.ending.code()));
        Relay::Replace(from, bytes)
    }

    /// Ends what cannot be followed any further: with a Close frame before the frame at fault, if that began in this read,
    /// else with nothing. No message ends there, so no event can be told.
    fn break_off(&mut self, from: Option<usize>, violation: Violation, now: SystemTime) -> Relay {
        if let Some(decided) = &mut self.ending {
            (decided.is_told, decided.since) = (true, now);
        }
        let close = from.map(|_| CloseFrame::new(violation.close_code(), &violation.to_string()).encode(None));
        Relay::Replace(from.unwrap_or(0), close.unwrap_or_default())
    }
}

fn farewell(code: u16, reason: &str) -> Vec<u8> {
    CloseCode::new(code).map(|code| CloseFrame::new(code, reason).encode(None)).unwrap_or_default()
}

fn close(by: ClosedBy, frame: Option<&CloseFrame>) -> Close {
    // RFC 6455 section 7.1.5: a Close frame without a code counts as 1005.
    let (code, reason) = frame.map_or((1005, ""), |frame| (frame.code().value(), frame.reason()));
    Close { by, code, reason: reason.to_owned() }
}

fn unfollowed(violation: Violation) -> Ending {
    match violation {
        Violation::TooLong => Ending::MessageTooBig,
        violation => Ending::ProtocolError(violation.to_string().into()),
    }
}

/// Why a client's message may not pass, if it may not.
fn inspected(message: &[u8], policy: &Policy, caller: &Caller) -> Option<Ending> {
    let event = match inspect(message, &policy.lock) {
        Ok(event) => event,
        Err(unreadable) => return Some(Ending::ProtocolError(unreadable.to_string().into())),
    };
    let is_allowed = |name: &str| policy.models.allows(name) && caller.models.allows(name);
    let forbidden =
        event.models.into_iter().find(|model| model.role == ModelRole::Response && !is_allowed(&model.name));
    event.locked.map(Ending::FieldLocked).or_else(|| forbidden.map(|model| Ending::ModelNotAllowed(model.name)))
}
