//! All sessions of a process, found whichever worker runs them.
//!
//! A worker writes the records of its open sessions to pages of its own. Whoever wants a session to stop marks it there;
//! the worker sees the mark at its next tick, and everyone at once. Records of ended sessions go to a ring that all
//! workers share. What a dead worker has left behind is shown as closed, and goes to the ring too.
//!
//! One open session takes about 200 bytes in shared data, a few kilobytes at most, and 12 in this worker's memory.

mod ended_ring;
mod filter;
mod own_page;
mod page;
pub(crate) mod record_codec;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::time::SystemTime;

use super::heartbeat::WorkerSlot;
use super::peers::Peers;
use super::shared_data::{Contended, CorruptKeys, Entry, SharedData, update};
use crate::usage::{Close, ClosedBy, Record, Status};
use own_page::{OwnPage, SlotState};
use page::{Page, SLOTS};
use record_codec::{decode, encode, hang_up, id, is_closed, is_open, stop};

pub use filter::{CallName, Filter};
pub use own_page::Notices;

/// This worker's part in the registry.
#[derive(Debug, Default)]
pub struct Registry {
    pages: Vec<OwnPage>,
    /// Records of ended sessions that could not be appended to the ring yet.
    deferred: Vec<Vec<u8>>,
    corrupt_keys: CorruptKeys,
}

/// Where a session of this worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSlot(usize);

/// A record that was found. Of several of one session, the one of the lowest rank is true: that it has ended, that it
/// runs, that its worker was thought to be dead, that its worker is.
struct Found {
    rank: usize,
    record: Record,
}

const RUNS: usize = ended_ring::LISTED + 1;
const LEFT_BEHIND: usize = usize::MAX;

/// The reason in the record of a session whose worker died.
const WORKER_LOST: &str = "worker_lost";

/// More records of ended sessions are not kept for the ring.
const MAX_DEFERRED: usize = ended_ring::LISTED;

impl Registry {
    /// Publishes a session of a worker that has a slot from now on. `session` is what [`Notices`] will call it.
    pub fn begin(&mut self, peers: Peers<'_>, session: u32, record: &Record) -> RecordSlot {
        let slot = self.free_slot();
        self.set(slot, SlotState::Open(session));
        self.update(slot, record);
        self.flush(peers, slot);
        slot
    }

    /// Takes what has become of an open session; the next tick writes it.
    pub fn update(&mut self, slot: RecordSlot, record: &Record) {
        if let Some(page) = self.pages.get_mut(slot.page()) {
            page.pending.push((slot.within(), encode(record, record.status)));
        }
    }

    /// Publishes the record of a session that has ended, and frees its slot.
    pub fn end(&mut self, peers: Peers<'_>, slot: RecordSlot, record: &Record) {
        let bytes = encode(record, Status::Closed);
        // It is in the ring before it is gone from here: at no moment can it not be found.
        if ended_ring::append(peers.shared_data, std::slice::from_ref(&bytes), &mut self.corrupt_keys).is_ok() {
            self.set(slot, SlotState::Free);
        } else {
            self.set(slot, SlotState::Ended);
            self.defer(slot, bytes);
        }
        self.flush(peers, slot);
    }

    /// Writes what has changed, tells which sessions are to stop, and buries the dead. To be called every second, after
    /// [`Heartbeats::tick`](crate::process::Heartbeats::tick).
    pub fn tick(&mut self, peers: Peers<'_>) -> Notices {
        self.write_deferred(peers.shared_data);
        let mut notices = Notices::default();
        if let Some(me) = peers.me() {
            for (number, page) in self.pages.iter_mut().enumerate() {
                let marks = page.write(peers.shared_data, me, number, &mut self.corrupt_keys);
                page.notice(marks, &mut notices);
            }
        }
        for worker in peers.gone() {
            self.reap(peers, worker);
        }
        notices
    }

    /// The sessions that are open, and those that ended last, newest first.
    pub fn list(&mut self, peers: Peers<'_>, filter: &Filter, now: SystemTime) -> Vec<Record> {
        let mut found = self.collect(peers, filter, now);
        found.sort_unstable_by(BY_ID);
        found.dedup_by(|later, first| later.record.id == first.record.id);
        found.retain(|found| filter.is_closed.is_none_or(|closed| closed == (found.record.status == Status::Closed)));
        found.sort_unstable_by(NEWEST_FIRST);
        found.into_iter().map(|found| found.record).collect()
    }

    /// Tells the sessions to stop that have not ended. Returns their records, newest first; those that are not stopping
    /// even so could not be marked.
    pub fn stop(&mut self, peers: Peers<'_>, filter: &Filter, now: SystemTime) -> Vec<Record> {
        self.for_each_page(peers, |worker, is_gone, key, _| {
            if !is_gone {
                // Where others always come in between, the record will say that it is still open.
                let _ = update(peers.shared_data, key, &mut |bytes| {
                    mark(bytes, worker, &|record| {
                        is_open(record) && filter.matching(record).is_some() && stop(record.to_mut())
                    })
                });
            }
        });
        self.list(peers, &Filter { is_closed: Some(false), ..filter.clone() }, now)
    }

    /// The record of a call that has not ended, if its worker is there.
    pub fn find_call(&mut self, peers: Peers<'_>, call: CallName<'_>) -> Option<Record> {
        let mut found = None;
        self.for_each_page(peers, |_, is_gone, _, page| {
            if !is_gone && found.is_none() {
                found = page.records().find_map(|bytes| call.matching(bytes));
            }
        });
        found
    }

    /// Tells the worker of a call that it has ended, which sees it at its next tick.
    pub fn hung_up(&mut self, peers: Peers<'_>, call: CallName<'_>) {
        self.for_each_page(peers, |worker, is_gone, key, page| {
            if !is_gone && page.records().any(|bytes| call.matching(bytes).is_some()) {
                // Where others always come in between, the call ends when its time is up.
                let _ = update(peers.shared_data, key, &mut |bytes| {
                    mark(bytes, worker, &|record| call.matching(record).is_some() && hang_up(record.to_mut()))
                });
            }
        });
    }

    /// Keys that were damaged since this was last asked.
    pub fn take_corrupt_keys(&mut self) -> Vec<String> {
        self.corrupt_keys.take()
    }

    fn free_slot(&mut self) -> RecordSlot {
        for (number, page) in self.pages.iter_mut().enumerate() {
            if let Some(within) = page.slots.iter().position(|own| *own == SlotState::Free) {
                return RecordSlot(number * SLOTS + within);
            }
            if page.slots.len() < SLOTS {
                page.slots.push(SlotState::Free);
                return RecordSlot(number * SLOTS + page.slots.len() - 1);
            }
        }
        self.pages.push(OwnPage { slots: vec![SlotState::Free], pending: Vec::new() });
        RecordSlot((self.pages.len() - 1) * SLOTS)
    }

    fn set(&mut self, slot: RecordSlot, own: SlotState) {
        let page = self.pages.get_mut(slot.page());
        if let Some(current) = page.and_then(|page| page.slots.get_mut(usize::from(slot.within()))) {
            *current = own;
        }
    }

    /// Writes a slot's page now; what fails is left to the next tick.
    fn flush(&mut self, peers: Peers<'_>, slot: RecordSlot) {
        let page = self.pages.get_mut(slot.page());
        if let (Some(page), Some(me)) = (page, peers.me()) {
            page.write(peers.shared_data, me, slot.page(), &mut self.corrupt_keys);
        }
    }

    fn defer(&mut self, slot: RecordSlot, bytes: Vec<u8>) {
        if let Some(page) = self.pages.get_mut(slot.page()) {
            page.pending.push((slot.within(), bytes.clone()));
        }
        if self.deferred.len() >= MAX_DEFERRED {
            self.deferred.remove(0);
        }
        self.deferred.push(bytes);
    }

    /// Appends to the ring what could not be.
    fn write_deferred(&mut self, shared_data: &dyn SharedData) {
        if self.deferred.is_empty() || ended_ring::append(shared_data, &self.deferred, &mut self.corrupt_keys).is_err()
        {
            return;
        }
        self.deferred.clear();
        for own in self.pages.iter_mut().flat_map(|page| &mut page.slots) {
            if *own == SlotState::Ended {
                *own = SlotState::Free;
            }
        }
    }

    /// Moves what a dead worker has left behind to the ring, and frees its place.
    fn reap(&mut self, peers: Peers<'_>, dead: WorkerSlot) {
        for number in 0.. {
            let key = Page::key(dead.slot, number);
            let entry = peers.shared_data.read(&key);
            if entry.is_absent() {
                return peers.vacate(dead);
            }
            if self.reap_page(peers.shared_data, dead, &key, &entry).is_err() {
                return;
            }
        }
    }

    fn reap_page(
        &mut self,
        shared_data: &dyn SharedData,
        dead: WorkerSlot,
        key: &str,
        entry: &Entry,
    ) -> Result<(), Contended> {
        let page = Page::of(&entry.bytes, dead, key, &mut self.corrupt_keys);
        if page.is_empty() {
            return Ok(());
        }
        let left = page.records().filter_map(|bytes| decode(bytes).ok()).map(left_behind);
        let left: Vec<Vec<u8>> = left.map(|record| encode(&record, Status::Closed)).collect();
        ended_ring::append(shared_data, &left, &mut self.corrupt_keys)?;
        // If it is not the same any more, somebody else has buried it, or it has come back.
        shared_data.write(key, &Page::new(dead.id).encode(), entry.cas).map_err(|_| Contended)
    }

    /// All that is known of the sessions of a filter; of some of them more than once, and more than it lets through.
    fn collect(&mut self, peers: Peers<'_>, filter: &Filter, now: SystemTime) -> Vec<Found> {
        let mut found = Vec::new();
        let mut running = Vec::new();
        self.for_each_page(peers, |_, is_gone, _, page| {
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
        ended_ring::for_each(peers.shared_data, &mut self.corrupt_keys, |bytes| {
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
    fn for_each_page(&mut self, peers: Peers<'_>, mut each: impl FnMut(WorkerSlot, bool, &str, &Page<'_>)) {
        for (worker, is_gone) in peers.workers() {
            for number in 0.. {
                let key = Page::key(worker.slot, number);
                let entry = peers.shared_data.read(&key);
                if entry.is_absent() {
                    break;
                }
                each(worker, is_gone, &key, &Page::of(&entry.bytes, worker, &key, &mut self.corrupt_keys));
            }
        }
    }
}

impl RecordSlot {
    fn page(self) -> usize {
        self.0 / SLOTS
    }

    fn within(self) -> u8 {
        (self.0 % SLOTS) as u8
    }
}

const BY_ID: fn(&Found, &Found) -> Ordering = |a, b| a.record.id.cmp(&b.record.id).then(a.rank.cmp(&b.rank));

const NEWEST_FIRST: fn(&Found, &Found) -> Ordering =
    |a, b| b.record.started_at.cmp(&a.record.started_at).then(b.record.id.cmp(&a.record.id));

/// Marks sessions on a page by `set`, which says whether it has; `None` if there is nothing to mark.
fn mark(bytes: &[u8], worker: WorkerSlot, set: &dyn Fn(&mut Cow<'_, [u8]>) -> bool) -> Option<Vec<u8>> {
    let mut page = Page::decode(bytes).ok().filter(|page| page.label == worker.id)?;
    let mut has_marked = false;
    for record in page.records_mut() {
        has_marked |= set(record);
    }
    has_marked.then(|| page.encode())
}

/// How a session ended whose worker is gone.
fn left_behind(record: Record) -> Record {
    if record.status == Status::Closed {
        return record;
    }
    let close = Some(Close::abnormal(ClosedBy::Gateway, WORKER_LOST));
    Record { status: Status::Closed, close, incomplete: true, ..record }
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

#[cfg(test)]
mod tests;
