//! WebRTC calls: their media never passes the proxy, so all that can be kept of one is who began it, and how to end it.
//!
//! A call that must end is asked to, again and again, until its provider says that it has ended, and counts as open so
//! long.

mod hangup;
pub mod sealed_id;
mod watch;

use std::time::{Duration, SystemTime};

use crate::config::{ConfigurationId, Plan, Standing};
use crate::host::CalloutId;
use crate::limit::Ending;
use crate::process::{CallName, SessionHandle, Sessions, SharedCall};
use crate::usage::{Close, ClosedBy, Record, Status, Tally};

pub use hangup::{Hangup, ProviderKey};
pub use watch::Watch;

/// No provider lets a call last longer; what is older has ended.
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);

/// More calls than these are not kept by one worker: the oldest must end.
const MAX_CALLS: usize = 10_000;

/// The most calls that one worker keeps, those among them that their providers do not end.
const MAX_KEPT: usize = 2 * MAX_CALLS;

/// How long the answer to a hangup is waited for, before another is sent: longer than it may take.
const UNANSWERED: Duration = Duration::from_secs(10);

/// How long after a hangup that failed the next is sent, at most.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// RFC 6455 section 7.4.1: the purpose is fulfilled. Calls have no codes of their own.
const NORMAL_CLOSURE: u16 = 1000;

/// A call that an upstream began.
pub struct Call {
    /// Its record as it began, with the upstream's name for it, `rtc_…`.
    pub record: Record,
    /// When it began.
    pub started: SystemTime,
    /// Whether somebody must tell what it uses.
    pub watch: Watch,
    /// The request that ends it; none where the filter does not know the provider's key.
    pub hangup: Option<Hangup>,
    /// Its handle among the sessions of the process.
    pub handle: Option<SessionHandle>,
    /// What it stands on, and the configuration under which it began.
    pub standing: Option<(ConfigurationId, Box<Standing>)>,
    /// What its record as it is listed knows.
    listed: Listed,
    stopping: Option<Stopping>,
}

/// When those who have joined a call last heard something, and what they have told.
type Listed = (Option<SystemTime>, Tally);

/// A call that must end.
struct Stopping {
    /// How it will have ended.
    close: Close,
    /// How often its provider was asked to end it.
    asked: u32,
    /// When that is to be asked next.
    due: SystemTime,
    /// The host's number of the hangup that is under way.
    callout: Option<CalloutId>,
}

/// Calls that must end and could not be ended, by their ids; each is named once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Those that nothing here can end: there is no key for them.
    pub keyless: Vec<String>,
    /// Those whose hangups could not be sent. They are tried again.
    pub unsent: Vec<String>,
}

/// The calls that began on one worker.
#[derive(Default)]
pub struct Calls(Vec<Call>);

impl Calls {
    /// Keeps a call; if there are too many, the oldest must end.
    pub fn begin(&mut self, call: Call, sessions: &mut Sessions) {
        let calls = &mut self.0;
        let now = call.started;
        if calls.len() >= MAX_KEPT {
            calls.remove(0).close(sessions, now);
        }
        if calls.len() >= MAX_CALLS
            && let Some(oldest) = calls.iter_mut().find(|call| call.stopping.is_none())
        {
            oldest.stop(Ending::Stopped.close(), now);
        }
        calls.push(call);
    }

    /// The gateway has ended the WebSocket that joined a call, which ends in the same way, wherever it began. `joined` is
    /// what is kept of one that nobody here knows.
    pub fn end(&mut self, mut joined: Call, close: Close, sessions: &mut Sessions, now: SystemTime) {
        let calls = &mut self.0;
        if let Some(call) = calls.iter_mut().find(|call| call.name() == joined.name()) {
            call.hangup = call.hangup.take().or(joined.hangup);
            call.stop(close, now);
        } else if !sessions.end_call(joined.name(), &close) {
            joined.stop(close, now);
            calls.push(joined);
        }
    }

    /// Somebody else has ended a call, wherever it began.
    pub fn hung_up(&mut self, name: CallName<'_>, sessions: &mut Sessions, now: SystemTime) {
        let calls = &mut self.0;
        if let Some(at) = calls.iter().position(|call| call.name() == name) {
            calls.remove(at).hung_up(sessions, now);
        } else {
            sessions.hung_up(name);
        }
    }

    /// Whether a call began under this configuration.
    pub fn has_one_of(&self, configuration: ConfigurationId) -> bool {
        self.0.iter().any(|call| call.standing.as_ref().is_some_and(|(id, _)| *id == configuration))
    }

    /// The configurations of which `are_replaced` says so have given way to this one.
    pub fn judge(&mut self, plan: &Plan, are_replaced: &dyn Fn(ConfigurationId) -> bool) {
        for (id, standing) in self.0.iter_mut().filter_map(|call| call.standing.as_mut()) {
            if are_replaced(*id) {
                standing.judge(plan);
            }
        }
    }

    /// Time passed: lists what those have told who have joined calls, before the sessions are [synchronised](Sessions::sync).
    pub fn list(&mut self, sessions: &mut Sessions, now: SystemTime) {
        self.0.iter_mut().for_each(|call| call.list(false, sessions, now));
    }

    /// Time passed: asks for the end of calls that must end, and forgets those that must have ended by themselves. `send`
    /// sends a hangup and gives the host's number of it; `None` if it cannot.
    pub fn tick(
        &mut self,
        sessions: &mut Sessions,
        now: SystemTime,
        send: &mut dyn FnMut(&Hangup) -> Option<CalloutId>,
    ) -> Overdue {
        let mut overdue = Overdue::default();
        self.0.retain_mut(|call| call.tick(sessions, now, send, &mut overdue));
        overdue
    }

    /// A plugin ends, and with it what it had sent: hangups that are under way may never be answered, and are sent again.
    pub fn forget_callouts(&mut self, now: SystemTime) {
        let stopping = self.0.iter_mut().filter_map(|call| call.stopping.as_mut());
        for stopping in stopping.filter(|stopping| stopping.callout.is_some()) {
            stopping.failed(now);
        }
    }

    /// A hangup of this number was answered with this status, or not at all. Gives the id of a call that goes on, once.
    pub fn answered(
        &mut self,
        callout: CalloutId,
        status: Option<u16>,
        sessions: &mut Sessions,
        now: SystemTime,
    ) -> Option<String> {
        let calls = &mut self.0;
        let is_asked = |call: &Call| call.stopping.as_ref().is_some_and(|stopping| stopping.callout == Some(callout));
        let at = calls.iter().position(is_asked)?;
        if matches!(status, Some(200..=299 | 404)) {
            calls.remove(at).close(sessions, now);
            return None;
        }
        let call = calls.get_mut(at)?;
        let is_first = call.stopping.as_mut().is_some_and(|stopping| stopping.failed(now));
        is_first.then(|| call.id().to_owned())
    }
}

impl Call {
    /// A call that began at `started`.
    pub fn new(record: Record, started: SystemTime, watch: Watch) -> Self {
        Self {
            record,
            started,
            watch,
            hangup: None,
            handle: None,
            standing: None,
            listed: Listed::default(),
            stopping: None,
        }
    }

    /// The upstream's name for it.
    pub fn id(&self) -> &str {
        self.record.upstream_id.as_deref().unwrap_or_default()
    }

    fn name(&self) -> CallName<'_> {
        CallName { provider: &self.record.provider, id: self.id() }
    }

    /// It must end, unless it must already.
    pub fn stop(&mut self, close: Close, now: SystemTime) {
        self.stopping.get_or_insert(Stopping { close, asked: 0, due: now, callout: None });
    }

    /// False if it is over.
    fn tick(
        &mut self,
        sessions: &mut Sessions,
        now: SystemTime,
        send: &mut dyn FnMut(&Hangup) -> Option<CalloutId>,
        overdue: &mut Overdue,
    ) -> bool {
        if self.handle.as_ref().is_some_and(|handle| sessions.is_hung_up(handle)) {
            self.hung_up(sessions, now);
            return false;
        }
        if self.lasted(now) >= LONGEST {
            self.close(sessions, now);
            return false;
        }
        self.watch.look(self.shared(sessions).is_some_and(SharedCall::is_watched), now);
        if let Some(close) = self.ending(sessions, now) {
            self.stop(close, now);
        }
        let is_new = self.stopping.as_ref().is_some_and(|stopping| stopping.asked == 0);
        if let Some(stopping) = self.stopping.as_ref().filter(|_| is_new) {
            sessions.end_call(self.name(), &stopping.close);
        }
        if self.stopping.as_ref().is_some_and(|stopping| stopping.due <= now) {
            self.ask(now, send, overdue);
        }
        self.list(is_new, sessions, now);
        true
    }

    /// Lists what has become of it, if that has changed: `is_news` says that it has.
    fn list(&mut self, is_news: bool, sessions: &mut Sessions, now: SystemTime) {
        let Some(handle) = &self.handle else { return };
        let shared = sessions.shared_call_of(handle).cloned();
        let current = shared.as_ref().map_or_else(Listed::default, |shared| (shared.last_activity, shared.usage));
        let record = || self.record(Status::Open, shared.as_ref(), now);
        sessions.update(handle, is_news || current != self.listed, &record);
        self.listed = current;
    }

    /// Asks its provider to end it.
    fn ask(&mut self, now: SystemTime, send: &mut dyn FnMut(&Hangup) -> Option<CalloutId>, overdue: &mut Overdue) {
        let id = self.record.upstream_id.clone().unwrap_or_default();
        let Some(stopping) = &mut self.stopping else { return };
        stopping.asked = stopping.asked.saturating_add(1);
        let Some(hangup) = &self.hangup else {
            stopping.due = now + LONGEST;
            return overdue.keyless.push(id);
        };
        stopping.due = now + UNANSWERED;
        stopping.callout = send(hangup);
        if stopping.callout.is_none() && stopping.failed(now) {
            overdue.unsent.push(id);
        }
    }

    fn lasted(&self, now: SystemTime) -> Duration {
        now.duration_since(self.started).unwrap_or_default()
    }

    /// What is known of it by those who have joined it.
    fn shared<'a>(&self, sessions: &'a Sessions) -> Option<&'a SharedCall> {
        self.handle.as_ref().and_then(|handle| sessions.shared_call_of(handle))
    }

    fn ending(&self, sessions: &Sessions, now: SystemTime) -> Option<Close> {
        let shared = self.shared(sessions);
        let reported = shared.and_then(|shared| shared.ending.clone());
        let requested = || self.handle.as_ref().and_then(|handle| sessions.ending(handle));
        let limit = || shared.and_then(|shared| shared.limit(now));
        let unwatched = || self.watch.is_over(now).then_some(Ending::Unwatched);
        let is_revoked = || self.standing.as_ref().is_some_and(|(_, standing)| standing.is_over(now));
        let revoked = || is_revoked().then_some(Ending::TokenRevoked);
        let own = || requested().or_else(limit).or_else(revoked).or_else(unwatched);
        reported.or_else(|| own().map(|ending| ending.close()))
    }

    /// Somebody else has ended it.
    fn hung_up(&mut self, sessions: &mut Sessions, now: SystemTime) {
        self.stop(Close { by: ClosedBy::Client, code: NORMAL_CLOSURE, reason: String::new(), limit: None }, now);
        self.close(sessions, now);
    }

    /// It is over.
    fn close(&mut self, sessions: &mut Sessions, now: SystemTime) {
        if let Some(handle) = self.handle.take() {
            // What others have told since the last tick is of it too.
            let record = self.record(Status::Closed, sessions.latest_of_call(&handle), now);
            sessions.close(handle, Some(&record), now);
        }
    }

    fn record(&self, status: Status, shared: Option<&SharedCall>, now: SystemTime) -> Record {
        let duration_ms = millis(self.lasted(now));
        let (status, close) = match (status, &self.stopping) {
            (Status::Open, Some(_)) => (Status::Stopping, None),
            (Status::Closed, Some(stopping)) => (Status::Closed, Some(stopping.close.clone())),
            (status, _) => (status, None),
        };
        let record = Record { status, duration_ms, close, ..self.record.clone() };
        match shared {
            None => record,
            Some(shared) => Record {
                idle_ms: shared.last_activity.map_or(0, |last| millis(now.duration_since(last).unwrap_or_default())),
                model: shared.model.clone().or(record.model),
                usage: shared.usage,
                cost_usd: shared.cost,
                incomplete: shared.is_incomplete,
                ..record
            },
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Stopping {
    /// It was asked for in vain, and is asked for again later: after a second at first, then ever later. True the first
    /// time.
    fn failed(&mut self, now: SystemTime) -> bool {
        let back_off = Duration::from_secs(1 << self.asked.saturating_sub(1).min(5));
        self.callout = None;
        self.due = now + back_off.min(MAX_BACK_OFF);
        self.asked == 1
    }
}

#[cfg(test)]
mod tests;
