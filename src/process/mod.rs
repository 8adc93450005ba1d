//! The sessions of a process, as one worker has to do with them, and what its workers share: counters of callers, records
//! of sessions, and which workers live.
//!
//! - [`Sessions`]: the sessions of all workers, and [`SessionHandle`]: one of them
//! - [`SharedData`]: bytes by key, which all workers read and write
//! - [`Heartbeats`]: which workers are there, and which are gone; [`Peers`]: both as one value
//! - [`CallerUsage`]: what callers use, and whether they may start something
//! - [`SharedTallies`]: what sessions draw on limits that they share, each by its [`Share`]
//! - [`Reservations`]: what responses under way may come to
//! - [`Registry`]: the records of all sessions
//!
//! Nothing here waits for another worker: a change that others get in the way of is tried again a number of times, and
//! then denied or written later. A worker that dies leaves nothing behind for long: what it ran is shown as closed, and
//! its sessions no longer count.

mod call_part;
mod caller_counters;
mod caller_usage;
pub(crate) mod codec;
mod counters;
mod heartbeat;
mod peers;
pub(crate) mod registry;
mod reservations;
mod session_budgets;
mod session_calls;
pub(crate) mod shared_calls;
pub(crate) mod shared_data;
mod shared_tally;
mod sliding_minute;
mod tally_page;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::credential::Caller;
use crate::limit::{CallerLimits, Drawn, Ending, Exceeded, Limit};
use crate::metrics::{Metrics, SessionLabels, SessionStatistics};
use crate::usage::{MicroUsd, Record, Tally, Transport};
use call_part::CallPart;
use codec::{Reader, put_bytes};
use registry::RecordSlot;
use shared_data::{key, update};

pub use caller_usage::{CallerUsage, DailyUsage};
pub use heartbeat::{Heartbeats, WorkerSlot};
pub use peers::Peers;
pub use registry::{CallName, Filter, Notices, Registry};
pub use reservations::{Reservations, Reserved};
pub use session_budgets::SharedBudgets;
pub use shared_calls::{CallKey, CallTerms, NotJoined, Role, SharedCall, SharedCalls};
pub use shared_data::{CasMismatch, Contended, CorruptKeys, Entry, SharedData};
pub use shared_tally::{Share, SharedTallies};
pub use tally_page::TallyKey;

/// One in every VM, whatever the number of its root contexts.
pub struct Sessions {
    pub(super) shared_data: Box<dyn SharedData + Send>,
    pub(super) heartbeats: Heartbeats,
    pub(super) callers: CallerUsage,
    pub(super) tallies: SharedTallies,
    pub(super) reservations: Reservations,
    pub(super) registry: Registry,
    pub(super) calls: SharedCalls,
    /// What this worker has measured.
    pub metrics: Metrics,
    /// Whether a control API can ask for what runs here, as far as is known.
    is_listed: bool,
    /// The callers of all configurations that this worker ever had, by name, and what each may use up by the last of
    /// those.
    known: BTreeMap<String, CallerLimits>,
    /// Callers whose names this worker has given to whoever lists, sorted.
    counted: Vec<String>,
    /// The number of the last session that was let in.
    last: u32,
    /// What the last tick found of this worker's sessions, each kind sorted.
    notices: Notices,
}

/// A session that was let in. It must be given back by [`Sessions::close`], however far it came.
pub struct SessionHandle {
    caller: Arc<Caller>,
    /// Its part in limits that several sessions share. Most have none.
    share: Option<Box<Share>>,
    number: u32,
    slot: Option<RecordSlot>,
    /// What it is counted in, once it is opened.
    stats: Option<SessionStatistics>,
    /// The call that it is, or has joined.
    call: Option<CallPart>,
}

impl Sessions {
    /// A worker of this random id, among all that share the data.
    pub fn new(shared_data: Box<dyn SharedData + Send>, random: u64) -> Self {
        Self {
            shared_data,
            heartbeats: Heartbeats::new(random),
            callers: CallerUsage::default(),
            tallies: SharedTallies::default(),
            reservations: Reservations::default(),
            registry: Registry::default(),
            calls: SharedCalls::default(),
            metrics: Metrics::default(),
            is_listed: false,
            known: BTreeMap::new(),
            counted: Vec::new(),
            last: 0,
            notices: Notices::default(),
        }
    }

    /// These callers may come in.
    pub fn add_callers<'a>(&mut self, callers: impl Iterator<Item = (&'a str, CallerLimits)>) {
        self.known.extend(callers.map(|(name, limits)| (name.to_owned(), limits)));
        self.look_whether_listed();
    }

    /// All callers that this worker knows, and those that others have counted something of, whose limits are then not
    /// known; sorted by name.
    pub fn callers(&self) -> Vec<(String, CallerLimits)> {
        let counted = self.shared_data.read(&counted_key()).bytes;
        let counted = decode_names(&counted).into_iter().map(|name| (name, CallerLimits::default()));
        let mut callers: BTreeMap<_, _> = counted.collect();
        callers.extend(self.known.iter().map(|(name, limits)| (name.clone(), *limits)));
        callers.into_iter().collect()
    }

    /// From now on the sessions of all workers are listed, and what callers use is counted whether it is limited or not.
    pub fn list_sessions(&mut self) {
        self.is_listed = true;
        // Who comes too late has lost to another who has written the same.
        let _ = update(&*self.shared_data, &listed_key(), &mut |bytes| bytes.is_empty().then(|| vec![1]));
    }

    /// Lets a session of a caller in, unless one of the caller's limits is reached, or one that it shares. `now` is asked
    /// only for one that has limits.
    ///
    /// # Errors
    ///
    /// The limit that leaves no room for one more session.
    pub fn admit(
        &mut self,
        caller: &Arc<Caller>,
        share: Option<&Share>,
        now: impl FnOnce() -> SystemTime,
    ) -> Result<SessionHandle, Exceeded> {
        let is_limited = is_limited(caller);
        if is_limited || share.is_some() {
            let now = now();
            // Whoever's share is used up must not use up the caller's starts.
            share.map_or(Ok(()), |share| self.tallies.check(&*self.shared_data, share, now))?;
            if is_limited {
                self.heartbeats.join(&*self.shared_data);
                self.callers.start(Peers::new(&*self.shared_data, &self.heartbeats), caller, now)?;
            }
            // Between the two looks at it, another worker may have been faster.
            let admitted = share.map_or(Ok(()), |share| self.tallies.admit(&*self.shared_data, share, now));
            if let Err(exceeded) = admitted {
                if is_limited {
                    self.callers.end(Peers::new(&*self.shared_data, &self.heartbeats), &caller.name, now);
                }
                return Err(exceeded);
            }
        }
        Ok(self.handle(caller, share, None))
    }

    fn handle(&mut self, caller: &Arc<Caller>, share: Option<&Share>, call: Option<CallPart>) -> SessionHandle {
        self.last = self.last.wrapping_add(1);
        let (caller, share) = (caller.clone(), share.copied().map(Box::new));
        SessionHandle { caller, share, number: self.last, slot: None, stats: None, call }
    }

    /// Whether a caller may begin what is no session, which only a budget of the day can forbid; `now` is asked only for
    /// one that has such.
    ///
    /// # Errors
    ///
    /// The budget of the day that is used up.
    pub fn check_budget(&mut self, caller: &Caller, now: impl FnOnce() -> SystemTime) -> Result<(), Exceeded> {
        if !caller.limits.has_budget() {
            return Ok(());
        }
        self.callers.check_budget(&*self.shared_data, caller, now())
    }

    /// The upstream opened a session.
    pub fn opened(
        &mut self,
        handle: &mut SessionHandle,
        began: SessionLabels<'_>,
        record: &dyn Fn() -> Record,
        now: SystemTime,
    ) {
        if self.is_counted(&handle.caller) {
            self.callers.opened(&handle.caller.name, now);
        }
        handle.stats = Some(self.metrics.session_began(began));
        // Requests about a call may come to any worker.
        if self.is_listed || began.kind == Transport::WebRtc {
            self.heartbeats.join(&*self.shared_data);
            let peers = Peers::new(&*self.shared_data, &self.heartbeats);
            handle.slot = Some(self.registry.begin(peers, handle.number, &record()));
        }
    }

    /// Counts what a session or a REST exchange has used. Gives the limit of its caller's day that is used up, if one is.
    pub fn used(&mut self, caller: &Caller, model: &str, used: (&Tally, MicroUsd), now: SystemTime) -> Option<Limit> {
        self.metrics.used(&caller.name, model, used);
        if !self.is_counted(caller) {
            return None;
        }
        self.callers.add(Peers::new(&*self.shared_data, &self.heartbeats), caller, used, now)
    }

    /// The limit of a caller's day that was used up when it was last looked at, at the last tick or since.
    pub fn spent(&self, caller: &Caller) -> Option<Limit> {
        self.callers.spent(caller)
    }

    /// Counts what a session has used as drawn on limits that it shares. Gives the one that is used up, if one is.
    pub fn draw(&mut self, share: &Share, (usage, cost): (&Tally, MicroUsd), now: SystemTime) -> Option<Limit> {
        self.tallies.add(&*self.shared_data, share, Drawn::used(usage, cost), now)
    }

    /// The limit on shared tokens or dollars that was used up when it was last looked at, at the last tick or since.
    pub fn drawn(&self, share: &Share) -> Option<Limit> {
        self.tallies.spent(share)
    }

    /// Why a session must end, if others say so: the operator, its caller's other sessions, or those that it shares limits
    /// with.
    pub fn ending(&self, handle: &SessionHandle) -> Option<Ending> {
        if self.notices.stops.binary_search(&handle.number).is_ok() {
            return Some(Ending::Stopped);
        }
        let of_share = || handle.share.as_ref().and_then(|share| self.drawn(share));
        self.spent(&handle.caller).or_else(of_share).map(Ending::Limit)
    }

    /// Lists what has become of an open session, if it has changed, or is not listed any more.
    pub fn update(&mut self, handle: &SessionHandle, has_changed: bool, record: &dyn Fn() -> Record) {
        if let Some(slot) = handle.slot
            && (has_changed || self.notices.missing.binary_search(&handle.number).is_ok())
        {
            self.registry.update(slot, &record());
        }
    }

    /// A session is over, and came to this if it was opened.
    pub fn close(&mut self, handle: SessionHandle, record: Option<&Record>, now: SystemTime) {
        if let (Some(stats), Some(record)) = (handle.stats, record) {
            self.metrics.session_ended(stats, record);
        }
        if let (Some(slot), Some(record)) = (handle.slot, record) {
            self.registry.end(Peers::new(&*self.shared_data, &self.heartbeats), slot, record);
        }
        self.leave_call(&handle, record.is_some_and(|record| record.incomplete));
        if let Some(share) = &handle.share {
            self.tallies.end(&*self.shared_data, share, now);
        }
        if handle.joined().is_none() && is_limited(&handle.caller) {
            self.callers.end(Peers::new(&*self.shared_data, &self.heartbeats), &handle.caller.name, now);
        }
    }

    /// Time passed: once a second, before the sessions look at [`ending`](Self::ending) and give their
    /// [`update`](Self::update). False if it is called too early, by a second root context.
    pub fn tick(&mut self, now: SystemTime) -> bool {
        if !self.heartbeats.tick(&*self.shared_data, now) {
            return false;
        }
        // Each session ends once.
        self.notices.stops.clear();
        self.callers.tick(Peers::new(&*self.shared_data, &self.heartbeats), now);
        self.calls.tick(Peers::new(&*self.shared_data, &self.heartbeats));
        self.tallies.tick(&*self.shared_data, now);
        self.reservations.tick(Peers::new(&*self.shared_data, &self.heartbeats));
        self.look_whether_listed();
        true
    }

    /// Writes what the sessions gave, and reads what others want of them; true if one of them is to stop.
    pub fn sync(&mut self) -> bool {
        let mut notices = self.registry.tick(Peers::new(&*self.shared_data, &self.heartbeats));
        // With ten thousand sessions, each looks itself up among as many.
        notices.stops.sort_unstable();
        notices.missing.sort_unstable();
        notices.hung_up.sort_unstable();
        self.notices = notices;
        !self.notices.stops.is_empty()
    }

    /// Keys in shared data that were damaged since this was last asked, and started anew.
    pub fn take_corrupt_keys(&mut self) -> Vec<String> {
        let mut keys = self.heartbeats.take_corrupt_keys();
        keys.extend(self.callers.take_corrupt_keys());
        keys.extend(self.tallies.take_corrupt_keys());
        keys.extend(self.reservations.take_corrupt_keys());
        keys.extend(self.registry.take_corrupt_keys());
        keys.extend(self.calls.take_corrupt_keys());
        keys
    }

    /// Whether what this caller does is counted; if it is listed, its name is given to whoever lists.
    fn is_counted(&mut self, caller: &Caller) -> bool {
        let name = &caller.name;
        if self.is_listed
            && let Err(at) = self.counted.binary_search(name)
        {
            let written = update(&*self.shared_data, &counted_key(), &mut |bytes| {
                let mut names = decode_names(bytes);
                let at = names.binary_search(name).err()?;
                names.insert(at, name.clone());
                Some(encode_names(&names))
            });
            if written.is_ok() {
                self.counted.insert(at, name.clone());
            }
        }
        self.is_listed || is_limited(caller)
    }

    /// Whoever lists may be another plugin, in a VM of its own.
    fn look_whether_listed(&mut self) {
        self.is_listed = self.is_listed || !self.shared_data.read(&listed_key()).is_absent();
    }
}

/// Where it stands that sessions are listed.
fn listed_key() -> String {
    key(format_args!("listed"))
}

/// Where the names of the callers stand that something was counted of.
fn counted_key() -> String {
    key(format_args!("counted"))
}

fn encode_names(names: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    names.iter().for_each(|name| put_bytes(&mut bytes, name.as_bytes()));
    bytes
}

/// Sorted names; those that can be read.
fn decode_names(bytes: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(|| reader.text().ok().map(str::to_owned)).collect()
}

fn is_limited(caller: &Caller) -> bool {
    caller.limits != CallerLimits::default()
}
