//! Calls, each of which is one session of all WebSockets that have joined it, whichever workers run them.
//!
//! What is known of a call stands on a page of shared data, found by the call's name. Whoever is told what the call has
//! used adds it there, once for all of them, and everyone judges the call's limits by that. A worker writes how many
//! WebSockets of its own have joined, never that there is one more or less, as it does for callers' sessions.
//!
//! There are never more than 1,024 pages, since keys of shared data cannot be deleted: ten thousand calls are ten on each. A call takes some 200 bytes
//! of one, and up to 500 more for what was counted last.

mod state;

use std::time::SystemTime;

use super::heartbeat::WorkerSlot;
use super::peers::Peers;
use super::shared_data::{Contended, CorruptKeys, key, update};
use crate::limit::Exceeded;
use crate::usage::{Close, IdDigest, MicroUsd, Tally};
use state::{Joined, decode, encode};

pub use state::{CallKey, CallTerms, Role, SharedCall};

/// This worker's part in the calls.
#[derive(Debug, Default)]
pub struct SharedCalls {
    /// Calls that run here or that something here has joined, by key, so that those of one page stand together.
    calls: Vec<LocalCall>,
    corrupt_keys: CorruptKeys,
}

/// Why a WebSocket does not join a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotJoined {
    /// Nobody here knows the call, or it has ended.
    Unknown,
    /// It has as many sidebands as it may.
    Full,
    /// What it shares with other sessions is used up.
    Spent(Exceeded),
}

/// One call at this worker.
#[derive(Debug)]
struct LocalCall {
    key: CallKey,
    /// It runs here.
    is_own: bool,
    /// What has joined it here.
    joined: Joined,
    /// What is still to be written.
    news: News,
    /// What is written is not all.
    is_dirty: bool,
    /// What stood there when it was last looked at, and what came since.
    seen: SharedCall,
}

/// What a worker knows of a call and has not written.
#[derive(Debug, Default)]
struct News {
    usage: Tally,
    cost: MicroUsd,
    last_activity: Option<SystemTime>,
    model: Option<String>,
    is_incomplete: bool,
    ending: Option<Close>,
}

impl SharedCalls {
    /// A call runs here from now on.
    pub fn begin(&mut self, peers: Peers<'_>, key: CallKey, terms: CallTerms) {
        let Self { calls, corrupt_keys } = self;
        let mut call = LocalCall::new(SharedCall::new(key, terms));
        call.is_own = true;
        // Those of workers that are gone, and were not told to end.
        let is_left = |call: &SharedCall| {
            let is_there = |worker: &WorkerSlot| !peers.is_gone(*worker);
            call.owner.as_ref().is_some_and(is_there) || call.joined.iter().any(|(worker, _)| is_there(worker))
        };
        let page = std::slice::from_mut(&mut call);
        let written =
            write(peers, corrupt_keys, page, &mut |calls| calls.retain(is_left), &mut |call| call.terms = terms);
        call.is_dirty = written.is_err();
        match calls.binary_search_by_key(&key, |call| call.key) {
            Ok(at) => calls.splice(at..=at, [call]).for_each(drop),
            Err(at) => calls.insert(at, call),
        }
    }

    /// A WebSocket joins a call. It must be met by one [`leave`](Self::leave).
    ///
    /// # Errors
    ///
    /// If nobody knows the call, or it has as many sidebands as it may.
    pub fn join(&mut self, peers: Peers<'_>, key: CallKey, role: Role) -> Result<&SharedCall, NotJoined> {
        let Self { calls, corrupt_keys } = self;
        let me = peers.me().ok_or(NotJoined::Unknown)?;
        let at = calls.binary_search_by_key(&key, |call| call.key);
        let mut joined = at.ok().and_then(|at| calls.get(at)).map_or_else(Joined::default, |call| call.joined);
        let count = joined.count(role);
        *count = count.saturating_add(1);
        let mut outcome = Err(NotJoined::Unknown);
        let written = update(peers.shared_data, &page_key(key.page()), &mut |bytes| {
            let mut page = read(bytes, key.page(), corrupt_keys);
            outcome = Err(NotJoined::Unknown);
            let call = page.iter_mut().find(|call| call.key == key && !call.has_ended())?;
            call.set_joined(me, joined);
            if role == Role::Sideband && call.sidebands() > call.terms.sidebands {
                call.forget(&|worker| peers.is_gone(worker));
                if call.sidebands() > call.terms.sidebands {
                    outcome = Err(NotJoined::Full);
                    return None;
                }
            }
            outcome = Ok(call.clone());
            Some(encode(&page))
        });
        // What cannot be counted is refused.
        let seen = written.map_or(Err(NotJoined::Full), |()| outcome)?;
        let at = at.unwrap_or_else(|at| {
            calls.insert(at, LocalCall::new(seen.clone()));
            at
        });
        let call = calls.get_mut(at).ok_or(NotJoined::Unknown)?;
        (call.joined, call.seen) = (joined, seen);
        Ok(&call.seen)
    }

    /// What a WebSocket says that has joined a call is followed from now on.
    pub fn follow(&mut self, peers: Peers<'_>, key: CallKey) {
        self.change(peers, key, |call| call.joined.followed = call.joined.followed.saturating_add(1));
    }

    /// A WebSocket leaves a call. `is_incomplete`, of one that was followed, says whether it may not have told all.
    pub fn leave(&mut self, peers: Peers<'_>, key: CallKey, role: Role, is_incomplete: Option<bool>) {
        self.change(peers, key, |call| {
            let count = call.joined.count(role);
            *count = count.saturating_sub(1);
            call.joined.followed = call.joined.followed.saturating_sub(is_incomplete.is_some().into());
            // What one has not heard to its end another has, if there is one.
            call.news.is_incomplete |= is_incomplete == Some(true) && call.seen.followed() <= 1;
        });
    }

    /// A call of this worker's has ended.
    pub fn close(&mut self, peers: Peers<'_>, key: CallKey) {
        self.change(peers, key, |call| call.is_own = false);
    }

    /// A call must end, in this way unless it must already; false if nobody who is there runs it.
    pub fn end(&mut self, peers: Peers<'_>, key: CallKey, ending: &Close) -> bool {
        let Some(call) = self.find_mut(key) else { return self.end_other(peers, key, ending) };
        call.news.ending.get_or_insert_with(|| ending.clone());
        self.change(peers, key, |_| ());
        self.get(key).and_then(|call| call.owner).is_some_and(|owner| !peers.is_gone(owner))
    }

    /// The same, of a call that this worker has nothing to do with.
    fn end_other(&mut self, peers: Peers<'_>, key: CallKey, ending: &Close) -> bool {
        let corrupt_keys = &mut self.corrupt_keys;
        let mut is_known = false;
        let written = update(peers.shared_data, &page_key(key.page()), &mut |bytes| {
            let mut page = read(bytes, key.page(), corrupt_keys);
            is_known = false;
            let call = page.iter_mut().find(|call| call.key == key)?;
            is_known = call.owner.is_some_and(|owner| !peers.is_gone(owner));
            call.ending.get_or_insert_with(|| ending.clone());
            is_known.then(|| encode(&page))
        });
        written.is_ok() && is_known
    }

    /// Counts what one who has joined a call was told, unless another was told it before: says whether it was not.
    pub fn count(&mut self, peers: Peers<'_>, key: CallKey, id: Option<IdDigest>, used: (&Tally, MicroUsd)) -> bool {
        let Self { calls, corrupt_keys } = self;
        let at = calls.binary_search_by_key(&key, |call| call.key);
        let Some(call) = at.ok().and_then(|at| calls.get_mut(at)) else { return true };
        let (usage, cost) = used;
        let mut is_new = true;
        let page = std::slice::from_mut(&mut *call);
        let written = write(peers, corrupt_keys, page, &mut |_| (), &mut |call| is_new = call.count(id, usage, cost));
        if written.is_err() {
            // It is better counted twice than not at all.
            is_new = call.seen.count(id, usage, cost);
            if is_new {
                call.news.add(usage, cost);
            }
        }
        is_new
    }

    /// What one who has joined a call has heard of it, to be written at the next tick.
    pub fn tell(&mut self, key: CallKey, model: Option<&str>, is_incomplete: bool) {
        let Some(call) = self.find_mut(key) else { return };
        if let Some(model) = model.filter(|model| call.seen.model.as_deref() != Some(model)) {
            call.news.model = Some(model.to_owned());
            call.is_dirty = true;
        }
        if is_incomplete && !call.seen.is_incomplete {
            call.news.is_incomplete = true;
            call.is_dirty = true;
        }
    }

    /// A message passed at `now` on a WebSocket that has joined a call; the next tick writes it.
    pub fn moved(&mut self, key: CallKey, now: SystemTime) {
        if let Some(call) = self.find_mut(key) {
            call.news.last_activity = call.news.last_activity.max(Some(now));
            call.seen.last_activity = call.seen.last_activity.max(Some(now));
            call.is_dirty = true;
        }
    }

    /// A call that runs here, or that something here has joined, as it was when it was last looked at.
    pub fn get(&self, key: CallKey) -> Option<&SharedCall> {
        let at = self.calls.binary_search_by_key(&key, |call| call.key).ok()?;
        self.calls.get(at).map(|call| &call.seen)
    }

    /// The same, as it is now.
    pub fn look(&mut self, peers: Peers<'_>, key: CallKey) -> Option<&SharedCall> {
        let Self { calls, corrupt_keys } = self;
        let at = calls.binary_search_by_key(&key, |call| call.key).ok()?;
        let call = calls.get_mut(at)?;
        refresh(peers, corrupt_keys, std::slice::from_mut(&mut *call));
        Some(&call.seen)
    }

    /// Writes what is unwritten, puts right what is wrong, and looks at what others have written. To be called every
    /// second.
    pub fn tick(&mut self, peers: Peers<'_>) {
        let Self { calls, corrupt_keys } = self;
        for page in calls.chunk_by_mut(|one, other| one.key.page() == other.key.page()) {
            refresh(peers, corrupt_keys, page);
        }
        // Whoever is gone hears nothing of a call any more, though nobody has said so.
        let workers = if calls.is_empty() { Vec::new() } else { peers.workers() };
        let is_gone = |worker: WorkerSlot| !workers.contains(&(worker, false));
        calls.iter_mut().for_each(|call| call.seen.forget(&is_gone));
        calls.retain(LocalCall::is_kept);
    }

    /// Keys that were damaged since this was last asked.
    pub fn take_corrupt_keys(&mut self) -> Vec<String> {
        self.corrupt_keys.take()
    }

    fn find_mut(&mut self, key: CallKey) -> Option<&mut LocalCall> {
        let at = self.calls.binary_search_by_key(&key, |call| call.key).ok()?;
        self.calls.get_mut(at)
    }

    /// Writes a call after a change; what cannot be written waits for the next tick.
    fn change(&mut self, peers: Peers<'_>, key: CallKey, change: impl FnOnce(&mut LocalCall)) {
        let Self { calls, corrupt_keys } = self;
        let Ok(at) = calls.binary_search_by_key(&key, |call| call.key) else { return };
        let Some(call) = calls.get_mut(at) else { return };
        change(call);
        let page = std::slice::from_mut(&mut *call);
        call.is_dirty = write(peers, corrupt_keys, page, &mut |_| (), &mut |_| ()).is_err();
        if !call.is_kept() {
            calls.remove(at);
        }
    }
}

impl LocalCall {
    fn new(seen: SharedCall) -> Self {
        let key = seen.key;
        Self { key, is_own: false, joined: Joined::default(), news: News::default(), is_dirty: false, seen }
    }

    fn is_kept(&self) -> bool {
        self.is_own || self.is_dirty || !self.joined.is_nobody()
    }

    /// Whether what stands of it is not what this worker knows.
    fn is_stale(&self, me: Option<WorkerSlot>, stands: Option<&SharedCall>) -> bool {
        let is_wrong = |call: &SharedCall| {
            me.is_some_and(|me| call.joined_at(me) != self.joined || (call.owner == Some(me)) != self.is_own)
        };
        self.is_dirty || stands.is_none_or(is_wrong)
    }

    /// Brings what stands of it up to date.
    fn put(&self, me: WorkerSlot, call: &mut SharedCall) {
        call.set_joined(me, self.joined);
        if self.is_own {
            call.owner = Some(me);
        } else if call.owner == Some(me) {
            call.owner = None;
        }
        let News { usage, cost, last_activity, model, is_incomplete, ending } = &self.news;
        call.add(usage, *cost);
        call.last_activity = call.last_activity.max(*last_activity);
        call.is_incomplete |= is_incomplete;
        if model.is_some() {
            call.model.clone_from(model);
        }
        if call.ending.is_none() {
            call.ending.clone_from(ending);
        }
    }
}

impl News {
    fn add(&mut self, usage: &Tally, cost: MicroUsd) {
        self.usage.add(usage);
        self.cost = MicroUsd(self.cost.0.saturating_add(cost.0));
    }
}

/// Writes calls of one page if something has changed, else only reads.
fn refresh(peers: Peers<'_>, corrupt_keys: &mut CorruptKeys, calls: &mut [LocalCall]) {
    let Some(number) = calls.first().map(|call| call.key.page()) else { return };
    let mut page = read(&peers.shared_data.read(&page_key(number)).bytes, number, corrupt_keys);
    let stands = |call: &LocalCall| page.iter().find(|stands| stands.key == call.key);
    if calls.iter().any(|call| call.is_stale(peers.me(), stands(call))) {
        // What cannot be written waits on.
        let _ = write(peers, corrupt_keys, calls, &mut |_| (), &mut |_| ());
        return;
    }
    for call in calls {
        if let Some(at) = page.iter().position(|stands| stands.key == call.key) {
            call.seen = page.swap_remove(at);
        }
    }
}

/// Writes what this worker knows of calls of one page, and then what `change` does to each; `clear` comes before both.
/// Calls that have ended and that nobody has joined any more go.
fn write(
    peers: Peers<'_>,
    corrupt_keys: &mut CorruptKeys,
    calls: &mut [LocalCall],
    clear: &mut dyn FnMut(&mut Vec<SharedCall>),
    change: &mut dyn FnMut(&mut SharedCall),
) -> Result<(), Contended> {
    let Some(number) = calls.first().map(|call| call.key.page()) else { return Ok(()) };
    let me = peers.me().ok_or(Contended)?;
    let mut seen = Vec::new();
    update(peers.shared_data, &page_key(number), &mut |bytes| {
        let mut page = read(bytes, number, corrupt_keys);
        clear(&mut page);
        seen.clear();
        for local in calls.iter() {
            // What was lost begins anew from what was last seen.
            let at = page.iter().position(|stands| stands.key == local.key);
            let mut call = at.map_or_else(|| local.seen.clone(), |at| page.swap_remove(at));
            local.put(me, &mut call);
            change(&mut call);
            seen.push(call);
        }
        page.extend(seen.iter().filter(|call| !call.has_ended() || !call.joined.is_empty()).cloned());
        Some(encode(&page))
    })?;
    for (local, seen) in calls.iter_mut().zip(seen) {
        (local.seen, local.news, local.is_dirty) = (seen, News::default(), false);
    }
    Ok(())
}

/// The calls of the page in these bytes; none if they are damaged.
fn read(bytes: &[u8], number: u16, corrupt_keys: &mut CorruptKeys) -> Vec<SharedCall> {
    if bytes.is_empty() {
        return Vec::new();
    }
    decode(bytes).unwrap_or_else(|_| {
        corrupt_keys.note(&page_key(number));
        Vec::new()
    })
}

fn page_key(number: u16) -> String {
    key(format_args!("calls.{number}"))
}

#[cfg(test)]
mod tests;
