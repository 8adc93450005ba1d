//! All sessions of a process, found whichever worker runs them.
//!
//! A worker writes the records of its open sessions to pages of its own. Whoever wants a session to stop marks it there;
//! the worker sees the mark at its next tick, and everyone at once. Records of ended sessions go to a ring that all
//! workers share. What a dead worker has left behind is shown as closed, and goes to the ring too.
//!
//! One open session takes about 200 bytes in shared data, a few kilobytes at most, and 12 in this worker's memory.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::time::SystemTime;

use super::ended;
use super::own_page::{Own, OwnPage};
use super::page::{Page, SLOTS};
use super::stored::{decode, encode, hang_up, id, is_call, is_closed, is_hung_up, is_open, stop};
use crate::limits::store::{Contended, Damage, Entry, Store, key, update};
use crate::limits::{Presence, Worker};
use crate::usage::{Close, ClosedBy, Record, RecordId, Status};

/// This worker's part in the registry.
#[derive(Debug, Default)]
pub struct Registry {
    pages: Vec<OwnPage>,
    /// Records of ended sessions that could not be appended to the ring yet.
    owed: Vec<Vec<u8>>,
    damage: Damage,
}

/// Where a session of this worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(usize);

/// What a tick asks of the host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Sessions that are to stop, each named once, by what [`Registry::begin`] was told.
    pub stops: Vec<u32>,
    /// Sessions whose records were lost, and are to be [updated](Registry::update) whether they have changed or not.
    pub missing: Vec<u32>,
    /// Calls that others than their workers have ended.
    pub hung_up: Vec<u32>,
}

/// A WebRTC call, by its provider's name and by its own at that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallName<'a> {
    /// The provider's name in the configuration.
    pub provider: &'a str,
    /// `rtc_…`
    pub id: &'a str,
}

/// What a call's worker is told of it by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallMark {
    /// It must end.
    Stop,
    /// It has ended.
    HungUp,
}

/// Which sessions; `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this one.
    pub id: Option<RecordId>,
    /// Those of this caller.
    pub caller: Option<String>,
    /// Those of this user.
    pub user: Option<String>,
    /// Those that have ended, or those that have not.
    pub is_closed: Option<bool>,
}

/// A record that was found. Of several of one session, the one of the lowest rank is true: that it has ended, that it
/// runs, that its worker was thought to be dead, that its worker is.
struct Found {
    rank: usize,
    record: Record,
}

const RUNS: usize = ended::LISTED + 1;
const LEFT_BEHIND: usize = usize::MAX;

/// The reason in the record of a session whose worker died.
const WORKER_LOST: &str = "worker_lost";

/// No Close frame was seen (RFC 6455 section 7.4.1).
const ABNORMAL_CLOSURE: u16 = 1006;

/// More records of ended sessions are not kept for the ring.
const MAX_OWED: usize = ended::LISTED;

impl Registry {
    /// Publishes a session from now on. `session` is what [`Ticked`] will call it.
    pub fn begin(&mut self, store: &dyn Store, presence: &mut Presence, session: u32, record: &Record) -> Slot {
        presence.join(store);
        let slot = self.free_slot();
        self.set(slot, Own::Open(session));
        self.update(slot, record);
        self.flush(store, presence, slot);
        slot
    }

    /// Takes what has become of an open session; the next tick writes it.
    pub fn update(&mut self, slot: Slot, record: &Record) {
        if let Some(page) = self.pages.get_mut(slot.page()) {
            page.pending.push((slot.within(), encode(record, record.status)));
        }
    }

    /// Publishes the record of a session that has ended, and frees its slot.
    pub fn end(&mut self, store: &dyn Store, presence: &Presence, slot: Slot, record: &Record) {
        let bytes = encode(record, Status::Closed);
        // It is in the ring before it is gone from here: at no moment can it not be found.
        if ended::append(store, std::slice::from_ref(&bytes), &mut self.damage).is_ok() {
            self.set(slot, Own::Free);
        } else {
            self.set(slot, Own::Ended);
            self.owe(slot, bytes);
        }
        self.flush(store, presence, slot);
    }

    /// Writes what has changed, tells which sessions are to stop, and buries the dead. To be called every second, after
    /// [`Presence::tick`].
    pub fn tick(&mut self, store: &dyn Store, presence: &Presence) -> Ticked {
        self.settle(store);
        let mut ticked = Ticked::default();
        if let Some(me) = presence.me() {
            for (number, page) in self.pages.iter_mut().enumerate() {
                page.tick(store, me, number, &mut self.damage, &mut ticked);
            }
        }
        for worker in presence.gone(store) {
            self.bury(store, presence, worker);
        }
        ticked
    }

    /// The sessions that are open, and those that ended last, newest first.
    pub fn list(&mut self, store: &dyn Store, presence: &Presence, filter: &Filter, now: SystemTime) -> Vec<Record> {
        let mut found = self.collect(store, presence, filter, now);
        found.sort_unstable_by(BY_ID);
        found.dedup_by(|later, first| later.record.id == first.record.id);
        found.retain(|found| filter.is_closed.is_none_or(|closed| closed == (found.record.status == Status::Closed)));
        found.sort_unstable_by(NEWEST_FIRST);
        found.into_iter().map(|found| found.record).collect()
    }

    /// Tells the sessions to stop that have not ended. Returns their records, newest first; those that are not stopping
    /// even so could not be told.
    pub fn stop(&mut self, store: &dyn Store, presence: &Presence, filter: &Filter, now: SystemTime) -> Vec<Record> {
        self.for_each_page(store, presence, |worker, is_gone, key, _| {
            if !is_gone {
                // Where others always come in between, the record will say that it is still open.
                let _ = update(store, key, &mut |bytes| {
                    mark(bytes, worker, &|record| {
                        is_open(record) && filter.matching(record).is_some() && stop(record.to_mut())
                    })
                });
            }
        });
        self.list(store, presence, &Filter { is_closed: Some(false), ..filter.clone() }, now)
    }

    /// The record of a call that has not ended, if its worker is there.
    pub fn find_call(&mut self, store: &dyn Store, presence: &Presence, call: CallName<'_>) -> Option<Record> {
        let mut found = None;
        self.for_each_page(store, presence, |_, is_gone, _, page| {
            if !is_gone && found.is_none() {
                found = page.records().find_map(|bytes| call.matching(bytes));
            }
        });
        found
    }

    /// Tells the worker of a call, which sees it at its next tick; false if no worker that is there has the call.
    pub fn mark_call(
        &mut self,
        store: &dyn Store,
        presence: &Presence,
        call: CallName<'_>,
        call_mark: CallMark,
    ) -> bool {
        let mut is_known = false;
        let set = match call_mark {
            CallMark::Stop => stop,
            CallMark::HungUp => hang_up,
        };
        self.for_each_page(store, presence, |worker, is_gone, key, page| {
            if !is_gone && page.records().any(|bytes| call.matching(bytes).is_some()) {
                is_known = true;
                // Where others always come in between, the call ends when its time is up.
                let _ = update(store, key, &mut |bytes| {
                    mark(bytes, worker, &|record| call.matching(record).is_some() && set(record.to_mut()))
                });
            }
        });
        is_known
    }

    /// Keys that were damaged since this was last asked.
    pub fn take_damaged(&mut self) -> Vec<String> {
        self.damage.take()
    }

    fn free_slot(&mut self) -> Slot {
        for (number, page) in self.pages.iter_mut().enumerate() {
            if let Some(within) = page.slots.iter().position(|own| *own == Own::Free) {
                return Slot(number * SLOTS + within);
            }
            if page.slots.len() < SLOTS {
                page.slots.push(Own::Free);
                return Slot(number * SLOTS + page.slots.len() - 1);
            }
        }
        self.pages.push(OwnPage { slots: vec![Own::Free], pending: Vec::new() });
        Slot((self.pages.len() - 1) * SLOTS)
    }

    fn set(&mut self, slot: Slot, own: Own) {
        let page = self.pages.get_mut(slot.page());
        if let Some(current) = page.and_then(|page| page.slots.get_mut(usize::from(slot.within()))) {
            *current = own;
        }
    }

    /// Writes a slot's page now; what fails is left to the next tick.
    fn flush(&mut self, store: &dyn Store, presence: &Presence, slot: Slot) {
        let page = self.pages.get_mut(slot.page());
        if let (Some(page), Some(me)) = (page, presence.me()) {
            page.write(store, me, slot.page(), &mut self.damage);
        }
    }

    fn owe(&mut self, slot: Slot, bytes: Vec<u8>) {
        if let Some(page) = self.pages.get_mut(slot.page()) {
            page.pending.push((slot.within(), bytes.clone()));
        }
        if self.owed.len() >= MAX_OWED {
            self.owed.remove(0);
        }
        self.owed.push(bytes);
    }

    /// Appends to the ring what could not be.
    fn settle(&mut self, store: &dyn Store) {
        if self.owed.is_empty() || ended::append(store, &self.owed, &mut self.damage).is_err() {
            return;
        }
        self.owed.clear();
        for own in self.pages.iter_mut().flat_map(|page| &mut page.slots) {
            if *own == Own::Ended {
                *own = Own::Free;
            }
        }
    }

    /// Moves what a dead worker has left behind to the ring, and frees its place.
    fn bury(&mut self, store: &dyn Store, presence: &Presence, dead: Worker) {
        for number in 0.. {
            let key = page_key(dead.place, number);
            let entry = store.read(&key);
            if entry.is_absent() {
                return presence.vacate(store, dead);
            }
            if self.bury_page(store, dead, &key, &entry).is_err() {
                return;
            }
        }
    }

    fn bury_page(&mut self, store: &dyn Store, dead: Worker, key: &str, entry: &Entry) -> Result<(), Contended> {
        let page = read(&entry.bytes, dead, key, &mut self.damage);
        if page.is_empty() {
            return Ok(());
        }
        let left = page.records().filter_map(|bytes| decode(bytes).ok()).map(left_behind);
        let left: Vec<Vec<u8>> = left.map(|record| encode(&record, Status::Closed)).collect();
        ended::append(store, &left, &mut self.damage)?;
        // If it is not the same any more, somebody else has buried it, or it has come back.
        store.write(key, &Page::new(dead.id).encode(), entry.cas).map_err(|_| Contended)
    }

    /// All that is known of the sessions of a filter; of some of them more than once, and more than it lets through.
    fn collect(&mut self, store: &dyn Store, presence: &Presence, filter: &Filter, now: SystemTime) -> Vec<Found> {
        let mut found = Vec::new();
        let mut running = Vec::new();
        self.for_each_page(store, presence, |_, is_gone, _, page| {
            for bytes in page.records() {
                let has_ended = is_gone || is_closed(bytes);
                // Ten thousand records are not decoded for nothing. But what runs was not left behind.
                match filter.is_closed {
                    Some(false) if has_ended => {}
                    Some(true) if !has_ended => running.extend(id(bytes)),
                    _ => found.extend(filter.matching(bytes).map(|record| match is_gone {
                        true => Found { rank: LEFT_BEHIND, record: left_behind(record) },
                        false => Found { rank: RUNS, record: aged(record, now) },
                    })),
                }
            }
        });
        let mut age = 0;
        ended::for_each(store, &mut self.damage, |bytes| {
            age += 1;
            found.extend(filter.matching(bytes).map(|record| match is_left_behind(&record) {
                true => Found { rank: RUNS + age, record },
                false => Found { rank: age, record },
            }));
        });
        // Few are ever left behind.
        found.retain(|found| found.rank <= RUNS || !running.contains(&found.record.id));
        found
    }

    /// Shows the pages of all workers: whose it is, whether that is gone, and the page's key.
    fn for_each_page(
        &mut self,
        store: &dyn Store,
        presence: &Presence,
        mut each: impl FnMut(Worker, bool, &str, &Page<'_>),
    ) {
        for (worker, is_gone) in presence.workers(store) {
            for number in 0.. {
                let key = page_key(worker.place, number);
                let entry = store.read(&key);
                if entry.is_absent() {
                    break;
                }
                each(worker, is_gone, &key, &read(&entry.bytes, worker, &key, &mut self.damage));
            }
        }
    }
}

impl Slot {
    fn page(self) -> usize {
        self.0 / SLOTS
    }

    fn within(self) -> u8 {
        (self.0 % SLOTS) as u8
    }
}

impl Filter {
    /// The session of this id.
    pub fn id(id: RecordId) -> Self {
        Self { id: Some(id), ..Self::default() }
    }

    /// The record in these bytes, if the filter lets it through, whether or not it has ended.
    fn matching(&self, bytes: &[u8]) -> Option<Record> {
        // Most are not the one that is looked for, which can be seen without reading them.
        if self.id.is_some_and(|wanted| id(bytes) != Some(wanted)) {
            return None;
        }
        let record = decode(bytes).ok()?;
        let has_caller = self.caller.as_ref().is_none_or(|caller| *caller == record.caller);
        let has_user = self.user.is_none() || self.user == record.user;
        (has_caller && has_user).then_some(record)
    }
}

impl CallName<'_> {
    /// The record in these bytes, if it is of this call, and that has not ended.
    fn matching(self, bytes: &[u8]) -> Option<Record> {
        // Most are no calls, which can be seen without reading them.
        let record = if is_call(bytes) { decode(bytes).ok()? } else { return None };
        let is_named = record.provider == self.provider && record.upstream_id.as_deref() == Some(self.id);
        (is_named && record.status != Status::Closed && !is_hung_up(bytes)).then_some(record)
    }
}

const BY_ID: fn(&Found, &Found) -> Ordering = |a, b| a.record.id.cmp(&b.record.id).then(a.rank.cmp(&b.rank));

const NEWEST_FIRST: fn(&Found, &Found) -> Ordering =
    |a, b| b.record.started_at.cmp(&a.record.started_at).then(b.record.id.cmp(&a.record.id));

/// Marks sessions on a page by `set`, which says whether it has; `None` if there is nothing to mark.
fn mark(bytes: &[u8], worker: Worker, set: &dyn Fn(&mut Cow<'_, [u8]>) -> bool) -> Option<Vec<u8>> {
    let mut page = Page::decode(bytes).ok().filter(|page| page.label == worker.id)?;
    let mut has_marked = false;
    for record in page.records_mut() {
        has_marked |= set(record);
    }
    has_marked.then(|| page.encode())
}

/// The page of a worker in these bytes; empty if they are another's, or damaged.
pub(super) fn read<'a>(bytes: &'a [u8], owner: Worker, key: &str, damage: &mut Damage) -> Page<'a> {
    match Page::decode(bytes) {
        Ok(page) if page.label == owner.id => page,
        Err(_) if !bytes.is_empty() => {
            damage.note(key);
            Page::new(owner.id)
        }
        _ => Page::new(owner.id),
    }
}

/// How a session ended whose worker is gone.
fn left_behind(record: Record) -> Record {
    if record.status == Status::Closed {
        return record;
    }
    let close = Close { by: ClosedBy::Gateway, code: ABNORMAL_CLOSURE, reason: WORKER_LOST.to_owned() };
    Record { status: Status::Closed, close: Some(close), incomplete: true, ..record }
}

fn is_left_behind(record: &Record) -> bool {
    record.close.as_ref().is_some_and(|close| close.by == ClosedBy::Gateway && close.reason == WORKER_LOST)
}

/// What a record would say now, if nothing has happened since it was written.
fn aged(record: Record, now: SystemTime) -> Record {
    if record.status == Status::Closed {
        return record;
    }
    let lasted = now.duration_since(record.started_at.into()).unwrap_or_default();
    let lasted = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
    let age = lasted.saturating_sub(record.duration_ms);
    Record {
        duration_ms: record.duration_ms.saturating_add(age),
        idle_ms: record.idle_ms.saturating_add(age),
        ..record
    }
}

pub(super) fn page_key(place: u16, number: usize) -> String {
    key(format_args!("sessions.{place}.{number}"))
}

#[cfg(test)]
mod tests;
