//! Sessions listed, stopped and kept after their end, by several workers.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::process::Heartbeats;
use crate::process::shared_data::memory::{Contested, Memory, next_second};
use crate::testing::record;
use crate::usage::RecordId;

/// Ticks after which a worker that stood still is buried.
const REAPED_AFTER: usize = 5;

struct WorkerSlot<'a> {
    shared_data: &'a dyn SharedData,
    heartbeats: Heartbeats,
    registry: Registry,
    slots: Vec<RecordSlot>,
}

impl<'a> WorkerSlot<'a> {
    fn new(shared_data: &'a dyn SharedData, id: u64) -> Self {
        Self { shared_data, heartbeats: Heartbeats::new(id), registry: Registry::default(), slots: Vec::new() }
    }

    /// Opens a session whose name at the host and whose start is `id`.
    fn begin(&mut self, id: u32) -> RecordSlot {
        self.begin_record(&record(id.into(), id.into()), id)
    }

    fn begin_record(&mut self, record: &Record, session: u32) -> RecordSlot {
        self.heartbeats.join(self.shared_data);
        let slot = self.registry.begin(Peers::new(self.shared_data, &self.heartbeats), session, record);
        self.slots.push(slot);
        slot
    }

    fn end(&mut self, slot: RecordSlot, id: u32) {
        self.registry.end(Peers::new(self.shared_data, &self.heartbeats), slot, &closed(id));
    }

    fn tick(&mut self) -> Notices {
        self.heartbeats.tick(self.shared_data, next_second());
        self.registry.tick(Peers::new(self.shared_data, &self.heartbeats))
    }

    /// All sessions, which are those that run and those that have ended.
    fn list(&mut self) -> Vec<(u32, Status)> {
        let all = self.list_with(&Filter::default());
        for is_closed in [false, true] {
            let filter = Filter { is_closed: Some(is_closed), ..Filter::default() };
            let want: Vec<_> =
                all.iter().copied().filter(|(_, status)| (*status == Status::Closed) == is_closed).collect();
            assert_eq!(self.list_with(&filter), want, "{filter:?}");
        }
        all
    }

    fn list_with(&mut self, filter: &Filter) -> Vec<(u32, Status)> {
        self.registry.list(Peers::new(self.shared_data, &self.heartbeats), filter, now()).iter().map(short).collect()
    }

    fn find(&mut self, id: u32) -> Option<Record> {
        let filter = Filter::id(RecordId::new(id.into()));
        self.registry.list(Peers::new(self.shared_data, &self.heartbeats), &filter, now()).pop()
    }

    fn stop(&mut self, filter: &Filter) -> Vec<(u32, Status)> {
        self.registry.stop(Peers::new(self.shared_data, &self.heartbeats), filter, now()).iter().map(short).collect()
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(20_000)
}

fn id(id: u32) -> Filter {
    Filter::id(RecordId::new(id.into()))
}

fn short(record: &Record) -> (u32, Status) {
    let id = record.id.to_string();
    (u32::from_str_radix(&id[3..], 16).unwrap(), record.status)
}

fn closed(id: u32) -> Record {
    let close = Close { by: ClosedBy::Client, code: 1000, reason: String::new(), limit: None };
    Record { status: Status::Closed, close: Some(close), ..record(id.into(), id.into()) }
}

fn stops(sessions: &[u32]) -> Notices {
    Notices { stops: sessions.to_vec(), ..Notices::default() }
}

#[test]
fn a_session_is_found_at_every_worker_at_once_and_stays_listed_when_it_has_ended() {
    let shared_data = Memory::default();
    let (mut one, mut other) = (WorkerSlot::new(&shared_data, 1), WorkerSlot::new(&shared_data, 2));
    let (first, _) = (one.begin(10), other.begin(20));
    for worker in [&mut one, &mut other] {
        assert_eq!(worker.list(), [(20, Status::Open), (10, Status::Open)]);
        assert_eq!(worker.find(20).unwrap().caller, "web-app");
        assert_eq!(worker.find(30), None);
    }
    one.end(first, 10);
    for worker in [&mut one, &mut other] {
        assert_eq!(worker.list(), [(20, Status::Open), (10, Status::Closed)]);
        assert_eq!(worker.find(10).unwrap(), closed(10));
    }
}

#[test]
fn sessions_are_listed_by_caller_user_and_status() {
    let shared_data = Memory::default();
    let mut worker = WorkerSlot::new(&shared_data, 1);
    for (id, caller, user) in [(1, "a", None), (2, "b", Some("u")), (3, "a", Some("u")), (4, "a", Some("v"))] {
        let user = user.map(str::to_owned);
        worker.begin_record(&Record { caller: caller.into(), user, ..record(id, id as u64) }, id as u32);
    }
    let ended_ring = Record { caller: "a".into(), user: Some("u".into()), ..closed(3) };
    worker.registry.end(Peers::new(&shared_data, &worker.heartbeats), worker.slots[2], &ended_ring);
    worker.stop(&id(4));
    let (a, u) = (Some("a".to_owned()), Some("u".to_owned()));
    for (caller, user, is_closed, want) in [
        (None, None, None, vec![4, 3, 2, 1]),
        (a.clone(), None, None, vec![4, 3, 1]),
        (None, u.clone(), None, vec![3, 2]),
        (a.clone(), u, None, vec![3]),
        (a, None, Some(false), vec![4, 1]),
        (None, None, Some(true), vec![3]),
        (Some("c".into()), None, None, vec![]),
    ] {
        let filter = Filter { id: None, caller, user, is_closed };
        let found: Vec<u32> = worker.list_with(&filter).into_iter().map(|(id, _)| id).collect();
        assert_eq!(found, want, "{filter:?}");
    }
}

#[test]
fn what_has_changed_is_written_by_the_next_tick_and_nothing_else() {
    let shared_data = Memory::default();
    let mut worker = WorkerSlot::new(&shared_data, 1);
    for id in 0..100 {
        worker.begin(id);
    }
    worker.tick();
    let (_, before) = shared_data.operations();
    worker.tick();
    assert_eq!(shared_data.operations().1 - before, 1, "only the beat");
    let changed = Record { duration_ms: 5, ..record(7, 7) };
    worker.registry.update(worker.slots[7], &Record { duration_ms: 4, ..record(7, 7) });
    worker.registry.update(worker.slots[7], &changed);
    assert_eq!(worker.tick(), Notices::default());
    assert_eq!(shared_data.operations().1 - before, 3, "two beats and one page");
    let stored = shared_data.read(&Page::key(0, 0)).bytes;
    assert_eq!(decode(Page::decode(&stored).unwrap().at(7).unwrap()), Ok(changed));
}

#[test]
fn an_open_session_grows_older_between_writes_and_an_ended_one_does_not() {
    let shared_data = Memory::default();
    let mut worker = WorkerSlot::new(&shared_data, 1);
    let slot = worker.begin_record(&Record { duration_ms: 9000, idle_ms: 500, ..record(1, 19_990) }, 1);
    let found = worker.find(1).unwrap();
    assert_eq!((found.duration_ms, found.idle_ms), (10_000, 1500));
    worker.registry.end(Peers::new(&shared_data, &worker.heartbeats), slot, &Record { duration_ms: 9000, ..closed(1) });
    assert_eq!(worker.find(1).unwrap().duration_ms, 9000);
}

#[test]
fn a_stop_shows_at_once_and_reaches_the_worker_by_its_next_tick_and_once() {
    let shared_data = Memory::default();
    let (mut one, mut other) = (WorkerSlot::new(&shared_data, 1), WorkerSlot::new(&shared_data, 2));
    let slot = one.begin(10);
    one.begin(11);
    assert_eq!(other.stop(&id(10)), [(10, Status::Stopping)]);
    assert_eq!(one.list(), [(11, Status::Open), (10, Status::Stopping)]);
    one.registry.update(slot, &Record { duration_ms: 7, ..record(10, 10) });
    assert_eq!(one.tick(), stops(&[10]));
    assert_eq!(one.find(10).unwrap().status, Status::Stopping);
    assert_eq!(other.stop(&id(10)), [(10, Status::Stopping)]);
    assert_eq!(one.tick(), Notices::default());
    one.end(slot, 10);
    assert_eq!(other.stop(&id(10)), []);
    assert_eq!(other.find(10).unwrap(), closed(10));
    assert_eq!(other.stop(&id(12)), []);
}

#[test]
fn all_sessions_of_a_caller_or_user_are_stopped_wherever_they_run() {
    let shared_data = Memory::default();
    let (mut one, mut other) = (WorkerSlot::new(&shared_data, 1), WorkerSlot::new(&shared_data, 2));
    for session in 0..50 {
        let user = Some(if session % 2 == 0 { "even" } else { "odd" }.to_owned());
        let worker = if session < 40 { &mut one } else { &mut other };
        worker.begin_record(&Record { user, ..record(session, session as u64) }, session as u32);
    }
    let filter = Filter { user: Some("odd".into()), ..Filter::default() };
    let stopped = other.stop(&filter);
    assert_eq!(stopped, (0..25).rev().map(|half| (half * 2 + 1, Status::Stopping)).collect::<Vec<_>>());
    assert_eq!(one.tick().stops, (0..20).map(|half| half * 2 + 1).collect::<Vec<_>>());
    assert_eq!(other.tick().stops, [41, 43, 45, 47, 49]);
}

#[test]
fn a_stop_does_not_reach_the_session_that_has_the_slot_next() {
    let shared_data = Memory::default();
    let mut worker = WorkerSlot::new(&shared_data, 1);
    let slot = worker.begin(10);
    worker.stop(&id(10));
    worker.end(slot, 10);
    assert_eq!(worker.begin(11), slot);
    assert_eq!(worker.tick(), Notices::default());
    assert_eq!(worker.list(), [(11, Status::Open), (10, Status::Closed)]);
}

#[test]
fn a_dead_workers_sessions_are_shown_as_closed_and_go_to_the_ring() {
    let shared_data = Memory::default();
    let (mut dead, mut other) = (WorkerSlot::new(&shared_data, 1), WorkerSlot::new(&shared_data, 2));
    for id in 1..=40 {
        dead.begin(id);
    }
    other.tick();
    assert_eq!(other.stop(&id(5)), [(5, Status::Stopping)]);
    (2..REAPED_AFTER).for_each(|_| drop(other.tick()));
    assert!(other.list().iter().all(|(_, status)| *status != Status::Closed));
    let mut late = WorkerSlot::new(&shared_data, 3);
    late.heartbeats = other.heartbeats;
    late.heartbeats.tick(&shared_data, next_second());
    assert_eq!(late.list().len(), 40);
    assert!(late.list().iter().all(|(_, status)| *status == Status::Closed));
    assert_eq!(late.stop(&id(5)), []);
    late.registry.tick(Peers::new(&shared_data, &late.heartbeats));
    let found = WorkerSlot::new(&shared_data, 4).find(5).unwrap();
    let close = Close { by: ClosedBy::Gateway, code: 1006, reason: "worker_lost".into(), limit: None };
    assert_eq!((found.status, found.close, found.incomplete), (Status::Closed, Some(close), true));
    assert_eq!(late.list().len(), 40);
    late.begin(100);
    assert_eq!(late.heartbeats.me().map(|me| me.slot), Some(0));
    assert_eq!(late.list().len(), 41);
    assert_eq!(late.tick(), Notices::default());
}

#[test]
fn who_was_taken_for_dead_publishes_again_and_its_sessions_are_open_again() {
    let shared_data = Memory::default();
    let (mut slow, mut other) = (WorkerSlot::new(&shared_data, 1), WorkerSlot::new(&shared_data, 2));
    let slot = slow.begin(10);
    (0..=REAPED_AFTER).for_each(|_| drop(other.tick()));
    other.begin(20);
    assert_eq!(other.list(), [(20, Status::Open), (10, Status::Closed)]);
    assert_eq!(slow.tick(), Notices { missing: vec![10], ..Notices::default() });
    slow.registry.update(slot, &record(10, 10));
    assert_eq!(slow.tick(), Notices::default());
    assert_eq!(other.list(), [(20, Status::Open), (10, Status::Open)]);
    assert_eq!(other.stop(&id(10)), [(10, Status::Stopping)]);
    assert_eq!(slow.tick(), stops(&[10]));
    slow.end(slot, 10);
    assert_eq!(other.find(10).unwrap(), closed(10));
    assert_eq!(other.list(), [(20, Status::Open), (10, Status::Closed)]);
}

#[test]
fn who_comes_back_while_it_is_reaped_keeps_its_slot() {
    let shared_data = Memory::default();
    let (mut slow, mut other) = (WorkerSlot::new(&shared_data, 1), WorkerSlot::new(&shared_data, 2));
    let slot = slow.begin(10);
    let before = slow.heartbeats.me().unwrap();
    (0..REAPED_AFTER).for_each(|_| drop(other.tick()));
    other.heartbeats.tick(&shared_data, next_second());
    other.registry.reap_page(&shared_data, before, &Page::key(0, 0), &shared_data.read(&Page::key(0, 0))).unwrap();
    assert_eq!(slow.tick().missing, [10]);
    other.heartbeats.vacate(&shared_data, before);
    slow.registry.update(slot, &record(10, 10));
    slow.tick();
    assert_eq!(slow.heartbeats.me(), Some(before));
    assert_eq!(other.list(), [(10, Status::Open)]);
}

#[test]
fn an_end_that_cannot_be_written_is_written_later() {
    let shared_data = Memory::default();
    let mut worker = WorkerSlot::new(&shared_data, 1);
    let slot = worker.begin(10);
    worker.registry.end(Peers::new(&Contested(shared_data.clone()), &worker.heartbeats), slot, &closed(10));
    assert_eq!(worker.list(), [(10, Status::Open)]);
    assert_ne!(worker.begin(11), slot);
    worker.tick();
    assert_eq!(worker.list(), [(11, Status::Open), (10, Status::Closed)]);
    assert_eq!(worker.begin(12), slot);
}

#[test]
fn a_stop_that_cannot_be_written_says_that_the_session_is_open() {
    let shared_data = Memory::default();
    let mut worker = WorkerSlot::new(&shared_data, 1);
    worker.begin(10);
    let stopped = worker.registry.stop(Peers::new(&Contested(shared_data.clone()), &worker.heartbeats), &id(10), now());
    assert_eq!(stopped.iter().map(short).collect::<Vec<_>>(), [(10, Status::Open)]);
}

#[test]
fn damaged_pages_are_written_anew_and_named() {
    let shared_data = Memory::default();
    let mut worker = WorkerSlot::new(&shared_data, 1);
    let slot = worker.begin(10);
    for corrupt_keys in [&b"\x80"[..], &[1, 0, 3, 9, 9, 9], &[1, 9, 9]] {
        shared_data.overwrite(&Page::key(0, 0), corrupt_keys);
        worker.list();
        worker.stop(&id(10));
        worker.tick();
        worker.registry.update(slot, &record(10, 10));
        worker.tick();
        assert_eq!(worker.list(), [(10, Status::Open)], "{corrupt_keys:?}");
    }
    assert_eq!(worker.registry.take_corrupt_keys(), [Page::key(0, 0)]);
}

#[test]
fn ten_thousand_open_sessions_are_listed_found_and_stopped_within_bounds() {
    let shared_data = Memory::default();
    let mut workers = [WorkerSlot::new(&shared_data, 1), WorkerSlot::new(&shared_data, 2)];
    for id in 0..10_000 {
        workers[id as usize % 2].begin(id);
    }
    assert_eq!(workers[0].list().len(), 10_000);
    assert_eq!(workers[1].find(4711).map(|found| short(&found)), Some((4711, Status::Open)));
    let (keys, bytes) = shared_data.size();
    assert!(keys < 400 && bytes < 2_000_000, "{keys} {bytes}");
    let before = shared_data.operations();
    workers[0].tick();
    let after = shared_data.operations();
    assert!(after.0 - before.0 < 170 && after.1 - before.1 == 1, "a tick reads pages, and writes none");
    assert_eq!(workers[1].stop(&Filter { caller: Some("web-app".into()), ..Filter::default() }).len(), 10_000);
    for (number, worker) in workers.iter_mut().enumerate() {
        assert_eq!(worker.tick().stops.len(), 5000);
        for (at, slot) in worker.slots.clone().into_iter().enumerate() {
            worker.end(slot, (at * 2 + number) as u32);
        }
    }
    assert_eq!(workers[0].list().len(), 1000);
    assert!(shared_data.size().0 < 400);
    let (_, bytes) = shared_data.size();
    assert!(bytes < 300_000, "{bytes}");
}
