//! Calls that several workers tell of.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::limit::{Ending, Limit, SessionLimits};
use crate::process::Heartbeats;
use crate::process::heartbeat::GONE_AFTER;
use crate::process::registry::CallName;
use crate::process::shared_data::SharedData;
use crate::process::shared_data::memory::{Contested, Memory, next_second};
use crate::usage::{Input, Output, RecordId, Tokens};

struct Worker<'a> {
    shared_data: &'a dyn SharedData,
    heartbeats: Heartbeats,
    calls: SharedCalls,
}

impl<'a> Worker<'a> {
    fn new(shared_data: &'a dyn SharedData, id: u64) -> Self {
        let mut heartbeats = Heartbeats::new(id);
        heartbeats.join(shared_data);
        Self { shared_data, heartbeats, calls: SharedCalls::default() }
    }

    fn begin(&mut self, number: u32, sidebands: u32) {
        self.calls.begin(Peers::new(self.shared_data, &self.heartbeats), key(number), terms(sidebands));
    }

    fn join(&mut self, number: u32, role: Role) -> Result<(), NotJoined> {
        self.calls.join(Peers::new(self.shared_data, &self.heartbeats), key(number), role).map(|_| ())
    }

    fn follow(&mut self, number: u32) {
        self.calls.follow(Peers::new(self.shared_data, &self.heartbeats), key(number));
    }

    fn leave(&mut self, number: u32, role: Role) {
        self.calls.leave(Peers::new(self.shared_data, &self.heartbeats), key(number), role, Some(false));
    }

    fn close(&mut self, number: u32) {
        self.calls.close(Peers::new(self.shared_data, &self.heartbeats), key(number));
    }

    fn end(&mut self, number: u32) -> bool {
        self.calls.end(
            Peers::new(self.shared_data, &self.heartbeats),
            key(number),
            &Ending::Limit(Limit::SessionTokens).close(),
        )
    }

    /// A response of 253 tokens.
    fn count(&mut self, number: u32, response: u64) -> bool {
        let used = (&tokens(253), MicroUsd(10));
        let id = Some(IdDigest(response));
        self.calls.count(Peers::new(self.shared_data, &self.heartbeats), key(number), id, used)
    }

    fn tick(&mut self) {
        assert!(self.heartbeats.tick(self.shared_data, next_second()));
        self.calls.tick(Peers::new(self.shared_data, &self.heartbeats));
    }

    fn get(&self, number: u32) -> &SharedCall {
        self.calls.get(key(number)).expect("a call that is known")
    }
}

fn key(number: u32) -> CallKey {
    CallKey::of(CallName { provider: "openai", id: &format!("rtc_{number}") })
}

fn terms(sidebands: u32) -> CallTerms {
    let none = SessionLimits::default();
    CallTerms {
        record: RecordId::new(1),
        started: at(100),
        policy: none,
        secrets_max_duration: None,
        share: None,
        sidebands,
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn tokens(text: u64) -> Tally {
    Tally::response(Tokens {
        input: Input { text, ..Input::default() },
        output: Output::default(),
        ..Tokens::default()
    })
}

#[test]
fn what_several_are_told_counts_once_wherever_they_are() {
    let shared_data = Memory::default();
    let [mut owner, mut one, mut other] = [1, 2, 3].map(|id| Worker::new(&shared_data, id));
    owner.begin(1, 2);
    for worker in [&mut one, &mut other] {
        assert_eq!(worker.join(1, Role::Sideband), Ok(()));
    }
    assert!(one.count(1, 7));
    assert!(!other.count(1, 7));
    assert!(other.count(1, 8));
    assert!(!one.count(1, 8));
    for worker in [&mut owner, &mut one, &mut other] {
        worker.tick();
        let call = worker.get(1);
        assert_eq!((call.usage.total_tokens, call.usage.responses, call.cost), (506, 2, MicroUsd(20)));
    }
}

#[test]
fn a_call_has_so_many_sidebands_over_all_workers_and_any_number_of_watchers() {
    let shared_data = Memory::default();
    let [mut owner, mut other] = [1, 2].map(|id| Worker::new(&shared_data, id));
    owner.begin(1, 2);
    assert_eq!(owner.join(1, Role::Sideband), Ok(()));
    assert_eq!(other.join(1, Role::Sideband), Ok(()));
    assert_eq!(owner.join(1, Role::Sideband), Err(NotJoined::Full));
    assert_eq!(other.join(1, Role::Sideband), Err(NotJoined::Full));
    assert_eq!(other.join(2, Role::Sideband), Err(NotJoined::Unknown));
    for _ in 0..5 {
        assert_eq!(owner.join(1, Role::Watcher), Ok(()));
    }
    other.leave(1, Role::Sideband);
    assert_eq!(owner.join(1, Role::Sideband), Ok(()));
    assert_eq!(other.join(1, Role::Sideband), Err(NotJoined::Full));
}

#[test]
fn the_sidebands_of_a_worker_that_is_gone_leave_room() {
    let shared_data = Memory::default();
    let [mut owner, mut dead] = [1, 2].map(|id| Worker::new(&shared_data, id));
    owner.begin(1, 1);
    dead.join(1, Role::Sideband).unwrap();
    for _ in 0..GONE_AFTER {
        owner.tick();
        assert_eq!(owner.join(1, Role::Sideband), Err(NotJoined::Full));
    }
    owner.tick();
    assert_eq!(owner.join(1, Role::Sideband), Ok(()));
}

#[test]
fn a_call_is_watched_from_when_one_is_followed_until_the_last_leaves() {
    let shared_data = Memory::default();
    let [mut owner, mut other] = [1, 2].map(|id| Worker::new(&shared_data, id));
    owner.begin(1, 1);
    let is_watched = |owner: &mut Worker<'_>| {
        owner.tick();
        owner.get(1).is_watched()
    };
    other.join(1, Role::Sideband).unwrap();
    assert!(!is_watched(&mut owner), "its upstream has not answered");
    other.follow(1);
    assert!(is_watched(&mut owner));
    other.join(1, Role::Watcher).unwrap();
    other.follow(1);
    other.leave(1, Role::Sideband);
    assert!(is_watched(&mut owner));
    other.leave(1, Role::Watcher);
    assert!(!is_watched(&mut owner));
}

#[test]
fn a_worker_that_is_gone_watches_no_call() {
    let shared_data = Memory::default();
    let [mut owner, mut dead] = [1, 2].map(|id| Worker::new(&shared_data, id));
    owner.begin(1, 1);
    dead.join(1, Role::Sideband).unwrap();
    dead.follow(1);
    for _ in 0..GONE_AFTER {
        owner.tick();
        assert!(owner.get(1).is_watched());
    }
    owner.tick();
    assert!(!owner.get(1).is_watched());
}

#[test]
fn all_hear_that_a_call_must_end_and_that_it_has() {
    let shared_data = Memory::default();
    let [mut owner, mut one, mut other, mut stranger] = [1, 2, 3, 4].map(|id| Worker::new(&shared_data, id));
    owner.begin(1, 2);
    owner.begin(2, 2);
    one.join(1, Role::Sideband).unwrap();
    other.join(1, Role::Sideband).unwrap();
    assert!(one.end(1) && stranger.end(2) && !stranger.end(3));
    [&mut owner, &mut other].into_iter().for_each(Worker::tick);
    for call in [owner.get(1), other.get(1), owner.get(2)] {
        assert_eq!(call.ending, Some(Ending::Limit(Limit::SessionTokens).close()));
        assert!(!call.has_ended());
    }
    owner.close(1);
    other.tick();
    assert!(other.get(1).has_ended());
    assert!(!one.end(1), "nobody runs it any more");
    assert_eq!(stranger.join(1, Role::Sideband), Err(NotJoined::Unknown));
    assert!(one.count(1, 9) && !other.count(1, 9), "what is told late still counts once");
    one.leave(1, Role::Sideband);
    other.leave(1, Role::Sideband);
    owner.close(2);
    assert!(
        shared_data.keys().iter().filter(|key| key.contains("calls.")).all(|key| shared_data.read(key).bytes == [0])
    );
}

#[test]
fn what_was_lost_begins_anew_from_what_was_seen() {
    let shared_data = Memory::default();
    let [mut owner, mut other] = [1, 2].map(|id| Worker::new(&shared_data, id));
    owner.begin(1, 1);
    other.join(1, Role::Sideband).unwrap();
    other.follow(1);
    other.count(1, 7);
    owner.tick();
    shared_data.overwrite(&page_key(key(1).page()), b"\xff");
    owner.tick();
    other.tick();
    owner.tick();
    for worker in [&owner, &other] {
        assert_eq!((worker.get(1).usage.total_tokens, worker.get(1).is_watched()), (253, true));
    }
    assert!(!other.count(1, 7));
    assert_eq!(owner.calls.take_corrupt_keys(), [page_key(key(1).page())]);
}

#[test]
fn what_cannot_be_written_is_counted_and_waits() {
    let memory = Memory::default();
    let mut owner = Worker::new(&memory, 1);
    owner.begin(1, 1);
    owner.join(1, Role::Sideband).unwrap();
    let contested = Contested(memory.clone());
    owner.shared_data = &contested;
    assert!(owner.count(1, 7) && !owner.count(1, 7));
    assert_eq!(owner.get(1).usage.total_tokens, 253);
    owner.shared_data = &memory;
    owner.calls.tell(key(1), Some("m"), true);
    owner.calls.moved(key(1), at(105));
    owner.tick();
    let mut other = Worker::new(&memory, 2);
    other.join(1, Role::Watcher).unwrap();
    let call = other.get(1);
    assert_eq!((call.usage.total_tokens, call.model.as_deref(), call.is_incomplete), (253, Some("m"), true));
    assert_eq!(call.last_activity, Some(at(105)));
}

#[test]
fn who_left_before_the_end_has_not_told_all_unless_another_stays() {
    for stays in [false, true] {
        let shared_data = Memory::default();
        let mut worker = Worker::new(&shared_data, 1);
        worker.begin(1, 2);
        for _ in 0..1 + usize::from(stays) {
            worker.join(1, Role::Sideband).unwrap();
            worker.follow(1);
        }
        worker.calls.leave(Peers::new(&shared_data, &worker.heartbeats), key(1), Role::Sideband, Some(true));
        assert_eq!(worker.get(1).is_incomplete, !stays);
    }
}

#[test]
fn calls_of_the_dead_do_not_gather() {
    let shared_data = Memory::default();
    for round in 0..20 {
        let mut worker = Worker::new(&shared_data, round + 1);
        (0..=GONE_AFTER).for_each(|_| worker.tick());
        // All on one page.
        let page = key(0).page();
        let mut numbers = (0..).filter(|number| key(*number).page() == page);
        (0..5).for_each(|_| worker.begin(numbers.next().unwrap(), 1));
        let left = decode(&shared_data.read(&page_key(page)).bytes).unwrap();
        assert_eq!(left.len(), 5, "round {round}");
    }
}

#[test]
fn ten_thousand_calls_stand_on_a_thousand_pages_and_an_idle_tick_writes_nothing() {
    let shared_data = Memory::default();
    let mut worker = Worker::new(&shared_data, 1);
    (0..10_000).for_each(|number| worker.begin(number, 1));
    let (keys, bytes) = shared_data.size();
    assert!(keys <= 1025 && bytes < 10_000 * 120, "{keys} keys, {bytes} bytes");
    let before = shared_data.operations();
    worker.tick();
    let (reads, writes) = shared_data.operations();
    assert!(
        reads - before.0 <= 1030 && writes - before.1 <= 1,
        "{} reads, {} writes",
        reads - before.0,
        writes - before.1
    );
    (0..10_000).for_each(|number| worker.close(number));
    assert!(shared_data.size().1 < 1024 * 2);
}
