//! Calls that workers begin, join and tell of at the same time, in every order that a test thinks of, while some die.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::turns::{WORKERS, round, take_turns};
use crate::limit::SessionLimits;
use crate::process::shared_data::SharedData;
use crate::process::shared_data::memory::{Memory, next_second};
use crate::process::{CallKey, CallName, CallTerms, Heartbeats, Peers, Role, SharedCalls};
use crate::usage::{IdDigest, MicroUsd, RecordId, Tally, Transcription};

/// What a worker does before its tick. Calls are numbered by the worker that runs them.
#[derive(Debug, Clone, Copy)]
enum Action {
    Begin,
    Join(usize),
    Leave(usize),
    Tell(usize, u64),
}

const SIDEBANDS: u32 = 2;

/// What is true of the calls, whatever the workers believe.
#[derive(Default)]
struct Truth {
    /// How many sidebands each call has.
    joined: Mutex<HashMap<usize, u32>>,
    /// What has certainly been counted of each call, and what may have been when a worker died.
    told: Mutex<[HashSet<(usize, u64)>; 2]>,
    /// Who was said to be the first.
    first: Mutex<HashSet<(usize, u64)>>,
}

struct Worker {
    number: usize,
    heartbeats: Heartbeats,
    calls: SharedCalls,
    is_running: bool,
    joined: Vec<usize>,
}

fn key(number: usize) -> CallKey {
    CallKey::of(CallName { provider: "openai", id: &number.to_string() })
}

fn used() -> Tally {
    Tally::transcription(Transcription { tokens: 1, milliseconds: 0 })
}

impl Worker {
    fn new(number: usize, id: u64) -> Self {
        let (heartbeats, calls) = (Heartbeats::new(id), SharedCalls::default());
        Self { number, heartbeats, calls, is_running: false, joined: Vec::new() }
    }

    fn act(&mut self, shared_data: &dyn SharedData, truth: &Truth, action: Action) {
        self.heartbeats.join(shared_data);
        let peers = Peers::new(shared_data, &self.heartbeats);
        match action {
            Action::Begin if !self.is_running => {
                let none = SessionLimits::default();
                let record = RecordId::new(self.number as u128);
                let terms = CallTerms {
                    record,
                    started: UNIX_EPOCH,
                    policy: none,
                    secrets_max_duration: None,
                    share: None,
                    sidebands: SIDEBANDS,
                };
                self.calls.begin(peers, key(self.number), terms);
                self.is_running = true;
            }
            Action::Join(call) => {
                if self.calls.join(peers, key(call), Role::Sideband).is_ok() {
                    let mut joined = truth.joined.lock().unwrap();
                    let count = joined.entry(call).or_default();
                    *count += 1;
                    assert!(*count <= SIDEBANDS, "more sidebands than are allowed");
                    self.joined.push(call);
                }
            }
            Action::Leave(call) => {
                if let Some(at) = self.joined.iter().position(|joined| *joined == call) {
                    self.joined.swap_remove(at);
                    *truth.joined.lock().unwrap().get_mut(&call).unwrap() -= 1;
                    self.calls.leave(peers, key(call), Role::Sideband, None);
                }
            }
            Action::Tell(call, id) if self.joined.contains(&call) => {
                truth.told.lock().unwrap()[1].insert((call, id));
                let is_new = self.calls.count(peers, key(call), Some(IdDigest(id)), (&used(), MicroUsd(1)));
                assert!(!is_new || truth.first.lock().unwrap().insert((call, id)), "{call} {id} was counted twice");
                truth.told.lock().unwrap()[0].insert((call, id));
            }
            Action::Begin | Action::Tell(..) => {}
        }
    }

    fn tick(&mut self, shared_data: &dyn SharedData) {
        assert!(self.heartbeats.tick(shared_data, next_second()));
        self.calls.tick(Peers::new(shared_data, &self.heartbeats));
    }
}

/// A worker that comes later finds of each call that still runs what was told, once, and room for those who are there.
fn check_rest(memory: &Memory, truth: &Truth, running: &[usize]) {
    let mut late = Worker::new(99, 99);
    late.heartbeats.join(memory);
    for call in running {
        let told = truth.told.lock().unwrap();
        let count = |told: &HashSet<(usize, u64)>| told.iter().filter(|(of, _)| of == call).count() as u64;
        let (certain, at_most) = (count(&told[0]), count(&told[1]));
        let shared = late.calls.join(Peers::new(memory, &late.heartbeats), key(*call), Role::Watcher).unwrap();
        let tokens = shared.usage.transcription.tokens;
        assert!((certain..=at_most).contains(&tokens), "{call}: {certain} {tokens} {at_most}");
        assert_eq!(shared.cost, MicroUsd(tokens));
    }
    assert!(late.calls.take_corrupt_keys().is_empty());
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => Just(Action::Begin),
        3 => (0..WORKERS).prop_map(Action::Join),
        1 => (0..WORKERS).prop_map(Action::Leave),
        5 => (0..WORKERS, 0_u64..12).prop_map(|(call, id)| Action::Tell(call, id)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_interleaving_and_no_death_counts_twice_or_lets_too_many_join(
        rounds in prop::collection::vec(round(action()), 1..10),
    ) {
        let (memory, truth) = (Memory::default(), Truth::default());
        let mut workers: Vec<_> = (0..WORKERS).map(|at| Some(Worker::new(at, at as u64 + 1))).collect();
        let mut was_lost = HashSet::new();
        for (number, round) in rounds.iter().enumerate() {
            let dead = take_turns(&memory, &mut workers, round, &|worker: &mut Worker, at, shared_data| {
                round.actions[at].iter().for_each(|action| worker.act(shared_data, &truth, *action));
                worker.tick(shared_data);
            });
            for worker in dead {
                // Its call is lost with it, and begins no more under this name.
                was_lost.insert(worker.number);
                for call in worker.joined {
                    *truth.joined.lock().unwrap().get_mut(&call).unwrap() -= 1;
                }
            }
            for (at, worker) in workers.iter_mut().enumerate() {
                worker.get_or_insert_with(|| Worker { is_running: true, ..Worker::new(at, ((number + 1) * 10 + at) as u64) });
            }
        }
        for worker in workers.iter_mut().flatten() {
            worker.tick(&memory);
        }
        let running: Vec<_> = workers.iter().flatten().filter(|worker| worker.is_running && !was_lost.contains(&worker.number))
            .map(|worker| worker.number).collect();
        check_rest(&memory, &truth, &running);
    }
}
