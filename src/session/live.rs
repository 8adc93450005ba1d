//! A WebSocket under way: both directions followed as they pass, what they use counted, and the session ended when it
//! must be.
//!
//! An ending is decided anywhere, but told only where a message of the upstream's ends: an error event and a Close frame
//! take the place of what would follow there. If nothing comes to take the place of, or the client does not close, the
//! connection is cut after a grace.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::admission::Admission;
use crate::auth::Caller;
use crate::control::Process;
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
    /// Whether something came since the last tick; its time is told only then.
    is_active: bool,
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
        Self {
            id: RecordId::new(id),
            policy: admission.policy.clone(),
            caller: admission.caller.clone(),
            user: admission.grant.as_ref().and_then(|grant| grant.user.clone()),
            provider: provider.to_owned(),
            limits: admission.limits(),
            client: Follower::new(Sender::Client, HEAD),
            upstream: Follower::new(Sender::Server, HEAD),
            meter: Meter::new(model),
            started: None,
            last_activity: now,
            is_active: false,
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
        self.is_active = true;
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
    pub fn upstream_bytes(
        &mut self,
        window: impl Window,
        prices: &PriceList,
        process: &RefCell<Process>,
        now: SystemTime,
    ) -> Relay {
        self.is_active = true;
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
                    let is_spent = match &metered {
                        Metered::Counted(counted) => {
                            let used = (&counted.usage, counted.cost);
                            process.borrow_mut().used(&self.caller, &counted.model, used, now)
                        }
                        Metered::ResponseStarted => process.borrow().is_over_budget(&self.caller),
                        _ => continue,
                    };
                    let is_spent = is_spent || self.limits.is_spent(self.meter.tally(), self.meter.cost());
                    if is_spent && self.ending.is_none() {
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
        if self.ending.is_none() {
            let (usage, cost) = (self.meter.tally(), self.meter.cost());
            let progress = Progress { started, last_activity: self.last_activity, usage, cost };
            if let Some(ending) = told.or_else(|| self.limits.check(&progress, now)) {
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
            status: if self.ending.is_some() && status == Status::Open { Status::Stopping } else { status },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Access;
    use crate::glob::Globs;
    use crate::limits::CallerLimits;
    use crate::limits::store::memory::Memory;
    use crate::policy::{Credential, Kind as ProviderKind, Provider};
    use crate::session::admission::Purpose;
    use crate::usage::{Lock, MicroUsd, Price, Rate};
    use crate::ws::{FrameHeader, OpCode, mask};

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn live(limits: SessionLimits, lock: &[&str], models: Globs) -> Live {
        let provider = Rc::new(Provider {
            name: "openai".into(),
            kind: ProviderKind::OpenAi,
            credential: Credential::External,
            account: vec![],
        });
        let policy = Policy {
            name: "voice".into(),
            default_provider: provider,
            other_providers: vec![],
            models,
            aliases: vec![],
            limits,
            lock: Lock::new(lock).unwrap(),
            is_metered: true,
        };
        let caller = Caller {
            name: "web-app".into(),
            policies: Access::All,
            models: Globs::All,
            origins: Globs::All,
            limits: CallerLimits::default(),
        };
        let admission =
            Admission { policy: Rc::new(policy), caller: Rc::new(caller), grant: None, purpose: Purpose::WebSocket };
        let mut live = Live::new(&admission, "openai", Some("gpt-realtime"), 7, at(0));
        live.start(at(0));
        live
    }

    fn free() -> SessionLimits {
        SessionLimits::default()
    }

    fn client_text(text: &str) -> Vec<u8> {
        let header = FrameHeader {
            fin: true,
            opcode: OpCode::Text,
            mask: Some(MASK),
            length: u64::try_from(text.len()).unwrap(),
        };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        let mut payload = text.as_bytes().to_vec();
        mask::apply(MASK, 0, &mut payload);
        bytes.extend(payload);
        bytes
    }

    fn done(id: &str, input: u64, output: u64) -> Vec<u8> {
        let total = input + output;
        text_frame(&format!(
            r#"{{"type":"response.done","response":{{"id":"{id}","status":"completed","usage":{{"total_tokens":{total},"input_tokens":{input},"output_tokens":{output},"input_token_details":{{"text_tokens":{input},"audio_tokens":0}},"output_token_details":{{"text_tokens":{output},"audio_tokens":0}}}}}}}}"#
        ))
    }

    fn prices() -> PriceList {
        let rate = |usd| Some(Rate::try_from(usd).unwrap());
        let price = Price { input_text: rate(4.0), output_text: rate(16.0), ..Price::default() };
        PriceList::new([("gpt-*".to_owned(), price)])
    }

    fn process() -> RefCell<Process> {
        RefCell::new(Process::new(Box::new(Memory::default()), 1))
    }

    /// The error code and the close code that the client is told.
    fn told(bytes: &[u8]) -> (String, u16) {
        let mut follower = Follower::new(Sender::Server, HEAD);
        let mut pass = follower.pass(bytes);
        let Some(Event::Message(message)) = pass.next(|_| Interest::Collect { max: MAX_MESSAGE }) else {
            panic!("no event was told")
        };
        let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!((&event["type"], &event["error"]["type"]), (&"error".into(), &"session_limit_exceeded".into()));
        let Some(Event::Close(Some(close))) = pass.next(|_| Interest::Skip) else { panic!("no Close frame was told") };
        (event["error"]["code"].as_str().unwrap().to_owned(), close.code().value())
    }

    #[test]
    fn what_passes_is_counted_and_left_alone() {
        let mut live = live(free(), &[], Globs::All);
        let from_client = client_text(r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#);
        assert_eq!(live.client_bytes(from_client.as_slice(), at(1)), Relay::Pass);
        let from_upstream = [done("r1", 100, 10), done("r2", 50, 5), done("r2", 50, 5)].concat();
        assert_eq!(live.upstream_bytes(from_upstream.as_slice(), &prices(), &process(), at(2)), Relay::Pass);
        live.tick(None, at(2));
        let record = live.record(Status::Closed, at(10));
        assert_eq!((record.usage.responses, record.usage.input_tokens, record.usage.output_tokens), (2, 150, 15));
        assert_eq!(record.cost_usd, MicroUsd(150 * 4 + 15 * 16));
        assert_eq!((record.duration_ms, record.idle_ms), (10_000, 8_000));
        assert_eq!((record.frames.client, record.frames.upstream), (1, 3));
        assert!(!record.incomplete);
    }

    #[test]
    fn a_spent_budget_ends_the_session_behind_the_message_that_spent_it() {
        for limits in [
            SessionLimits { max_tokens: Some(110), ..free() },
            SessionLimits { max_cost: Some(MicroUsd(560)), ..free() },
        ] {
            let mut live = live(limits, &[], Globs::All);
            let (first, second) = (done("r1", 100, 10), done("r2", 1, 1));
            let both = [first.clone(), second].concat();
            let Relay::Replace(from, bytes) = live.upstream_bytes(both.as_slice(), &prices(), &process(), at(1)) else {
                panic!("the second message passed")
            };
            assert_eq!((from, told(&bytes)), (first.len(), ("budget_exceeded".into(), 4429)));
            let more = done("r3", 1, 1);
            assert_eq!(live.upstream_bytes(more.as_slice(), &prices(), &process(), at(1)), Relay::Replace(0, vec![]));
            assert_eq!(live.client_bytes(client_text("{}").as_slice(), at(1)), Relay::Replace(0, vec![]));
            assert!(!live.tick(None, at(2)) && live.tick(None, at(3)));
            assert_eq!(live.record(Status::Closed, at(3)).close.unwrap().code, 4429);
        }
    }

    #[test]
    fn a_session_that_lasts_too_long_is_told_at_the_next_boundary_and_cut_after_the_grace() {
        let mut live = live(SessionLimits { max_duration: Some(Duration::from_secs(5)), ..free() }, &[], Globs::All);
        assert!(!live.tick(None, at(4)));
        assert!(!live.tick(None, at(5)));
        let frame = text_frame(r#"{"type":"response.output_text.delta","delta":"x"}"#);
        let (head, tail) = frame.split_at(5);
        let Relay::Replace(0, bytes) = live.upstream_bytes(head, &prices(), &process(), at(6)) else {
            panic!("it passed")
        };
        assert_eq!(told(&bytes), ("max_duration_exceeded".into(), 4408));
        assert_eq!(live.upstream_bytes(tail, &prices(), &process(), at(6)), Relay::Replace(0, vec![]));
        assert!(!live.tick(None, at(7)) && live.tick(None, at(8)));
    }

    #[test]
    fn within_a_message_the_ending_waits_for_its_end() {
        let mut live = live(SessionLimits { max_duration: Some(Duration::from_secs(5)), ..free() }, &[], Globs::All);
        let frame = text_frame(r#"{"type":"response.output_text.delta","delta":"x"}"#);
        let (head, tail) = frame.split_at(5);
        assert_eq!(live.upstream_bytes(head, &prices(), &process(), at(1)), Relay::Pass);
        assert!(!live.tick(None, at(5)));
        let rest = [tail, done("r", 1, 1).as_slice()].concat();
        let Relay::Replace(from, bytes) = live.upstream_bytes(rest.as_slice(), &prices(), &process(), at(6)) else {
            panic!("it passed")
        };
        assert_eq!((from, told(&bytes).1), (tail.len(), 4408));
    }

    #[test]
    fn an_idle_session_is_cut_at_once() {
        let mut live = live(SessionLimits { idle_timeout: Some(Duration::from_secs(5)), ..free() }, &[], Globs::All);
        live.client_bytes(client_text("{}").as_slice(), at(2));
        assert!(!live.tick(None, at(3)));
        assert!(!live.tick(None, at(7)));
        assert!(live.tick(None, at(8)));
    }

    #[test]
    fn an_event_that_a_client_may_not_send_never_reaches_the_upstream() {
        for (text, code) in [
            (r#"{"type":"session.update","session":{"instructions":"x"}}"#, ("field_locked", 4403)),
            (r#"{"session":{"instructions":"x"},"ty\u0070e":"session.update"}"#, ("field_locked", 4403)),
            (r#"{"type":"response.create","response":{"instructions":null}}"#, ("field_locked", 4403)),
            (r#"{"type":"session.update","session":{"model":"gpt-5"}}"#, ("model_not_allowed", 4403)),
            (r#"{"type":"x","type":"session.update"}"#, ("protocol_error", 1002)),
            ("{", ("protocol_error", 1002)),
        ] {
            let fine = client_text(r#"{"type":"response.create"}"#);
            let bad = client_text(text);
            let both = [fine.clone(), bad].concat();
            for cut in 0..=both.len() {
                let mut live = live(free(), &["instructions"], Globs::only(["gpt-realtime*"]));
                let (first, second) = both.split_at(cut);
                let mut passed = 0;
                for bytes in [first, second] {
                    match live.client_bytes(bytes, at(1)) {
                        Relay::Pass => passed += bytes.len(),
                        Relay::Replace(from, with) => {
                            assert!(with.is_empty());
                            passed += from;
                        }
                    }
                }
                assert!(passed >= fine.len() && passed < both.len(), "{text} cut at {cut}: {passed} bytes passed");
                let next = text_frame("{}");
                let Relay::Replace(0, bytes) = live.upstream_bytes(next.as_slice(), &prices(), &process(), at(1))
                else {
                    panic!("{text}: the client was not told")
                };
                assert_eq!(told(&bytes), (code.0.to_owned(), code.1), "{text}");
            }
        }
    }

    #[test]
    fn a_message_that_must_be_read_and_is_too_long_is_refused() {
        let long = client_text(&"x".repeat(MAX_MESSAGE + 1));
        let mut locked = live(free(), &["tools"], Globs::All);
        assert_eq!(locked.client_bytes(long.as_slice(), at(1)), Relay::Replace(0, vec![]));
        assert_eq!(locked.record(Status::Closed, at(1)).close.unwrap().code, 1009);
        let mut open = live(free(), &[], Globs::All);
        assert_eq!(open.client_bytes(long.as_slice(), at(1)), Relay::Pass);
    }

    #[test]
    fn frames_that_break_the_protocol_end_the_session_with_1002() {
        let mut from_client = live(free(), &[], Globs::All);
        let unmasked = text_frame("{}");
        assert_eq!(from_client.client_bytes(unmasked.as_slice(), at(1)), Relay::Replace(0, vec![]));
        let record = from_client.record(Status::Closed, at(1));
        assert_eq!((record.close.unwrap().code, record.incomplete), (1002, true));

        let mut from_upstream = live(free(), &[], Globs::All);
        let bytes = [text_frame("{}"), vec![0xf1, 0]].concat();
        let Relay::Replace(from, close) = from_upstream.upstream_bytes(bytes.as_slice(), &prices(), &process(), at(1))
        else {
            panic!("it passed")
        };
        assert_eq!(from, text_frame("{}").len());
        let mut follower = Follower::new(Sender::Server, HEAD);
        let event = follower.pass(close.as_slice()).next(|_| Interest::Skip);
        assert!(matches!(event, Some(Event::Close(Some(close))) if close.code().value() == 1002));
    }

    #[test]
    fn a_side_that_closes_is_known_with_its_words() {
        let mut live = live(free(), &[], Globs::All);
        let close = CloseFrame::new(CloseCode::new(4001).unwrap(), "bye").encode(None);
        assert_eq!(live.upstream_bytes(close.as_slice(), &prices(), &process(), at(1)), Relay::Pass);
        let close = live.record(Status::Closed, at(1)).close.unwrap();
        assert_eq!((close.by, close.code, close.reason.as_str()), (ClosedBy::Upstream, 4001, "bye"));
    }

    #[test]
    fn every_cut_of_an_upstreams_stream_counts_the_same() {
        let stream = [
            text_frame(r#"{"type":"session.created","session":{"id":"sess_1","model":"gpt-realtime"}}"#),
            text_frame(r#"{"type":"response.output_audio.delta","delta":"AAAAAAAAAAAAAAAA"}"#),
            done("r1", 100, 10),
            done("r2", 7, 3),
        ]
        .concat();
        for cut in 0..=stream.len() {
            let mut live = live(free(), &[], Globs::All);
            let (first, second) = stream.split_at(cut);
            for bytes in [first, second] {
                assert_eq!(live.upstream_bytes(bytes, &prices(), &process(), at(1)), Relay::Pass);
            }
            let record = live.record(Status::Closed, at(1));
            assert_eq!(
                (record.usage.total_tokens, record.upstream_id.as_deref()),
                (120, Some("sess_1")),
                "cut at {cut}"
            );
        }
    }
}
