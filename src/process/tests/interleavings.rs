//! Sessions of workers that run at the same time, in every order that a test thinks of, while some die.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::turns::{Round, WORKERS, round, take_turns};
use crate::credential::Caller;
use crate::limit::CallerLimits;
use crate::process::shared_data::SharedData;
use crate::process::shared_data::memory::{Memory, next_second};
use crate::process::{CallerUsage, Filter, Heartbeats, Peers, RecordSlot, Registry};
use crate::testing::{self, record};
use crate::usage::{Close, ClosedBy, Input, MicroUsd, Output, Record, RecordId, Status, Tally, Tokens};

/// What a worker does before its tick.
#[derive(Debug, Clone, Copy)]
enum Action {
    Start,
    End(usize),
    Use(u64),
    Stop(usize),
    List,
}

const CALLER: &str = "web-app";
const CONCURRENT: u32 = 3;
const PER_MINUTE: u32 = 12;

/// What is true, whatever the workers believe.
#[derive(Default)]
struct Truth {
    running: AtomicU32,
    started: AtomicU32,
    next_id: AtomicU32,
    /// By session, what is known for sure.
    fates: Mutex<HashMap<u32, Fate>>,
    /// Tokens that were certainly counted, and those that may have been when their worker died.
    counted: Mutex<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// `begin` came to its end.
    Begun,
    /// A stop was answered in this round.
    Stopped(usize),
    /// Its worker has noticed.
    Noticed,
}

struct Worker {
    heartbeats: Heartbeats,
    callers: CallerUsage,
    registry: Registry,
    sessions: Vec<(u32, Option<RecordSlot>)>,
}

fn caller(limits: CallerLimits) -> Caller {
    Caller { name: CALLER.into(), limits, ..testing::caller() }
}

fn limits() -> CallerLimits {
    CallerLimits {
        concurrent_sessions: Some(CONCURRENT),
        sessions_per_minute: Some(PER_MINUTE),
        ..CallerLimits::default()
    }
}

fn at(round: usize) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + round as u64)
}

fn id(session: u32) -> RecordId {
    RecordId::new(session.into())
}

fn tokens(text: u64) -> Tally {
    Tally::response(Tokens {
        input: Input { text, ..Input::default() },
        output: Output::default(),
        ..Tokens::default()
    })
}

fn closed(session: u32) -> Record {
    let close = Close { by: ClosedBy::Client, code: 1000, reason: String::new(), limit: None };
    Record { close: Some(close), ..record(session.into(), 1_000_000) }
}

impl Worker {
    fn new(id: u64) -> Self {
        let heartbeats = Heartbeats::new(id);
        Self { heartbeats, callers: CallerUsage::default(), registry: Registry::default(), sessions: Vec::new() }
    }

    fn act(&mut self, shared_data: &dyn SharedData, truth: &Truth, action: Action, round: usize) {
        let now = at(round);
        match action {
            Action::Start => self.start(shared_data, truth, now),
            Action::End(pick) if !self.sessions.is_empty() => {
                let (session, slot) = self.sessions.swap_remove(pick % self.sessions.len());
                truth.running.fetch_sub(1, SeqCst);
                self.callers.end(Peers::new(shared_data, &self.heartbeats), CALLER, now);
                if let Some(slot) = slot {
                    self.registry.end(Peers::new(shared_data, &self.heartbeats), slot, &closed(session));
                }
            }
            Action::End(_) => {}
            Action::Use(count) => {
                truth.counted.lock().unwrap().1 += count;
                let used = (&tokens(count), MicroUsd(count));
                self.callers.add(Peers::new(shared_data, &self.heartbeats), &caller(limits()), used, now);
                truth.counted.lock().unwrap().0 += count;
            }
            Action::Stop(pick) => {
                let session = pick as u32 % truth.next_id.load(SeqCst).max(1);
                let stopped =
                    self.registry.stop(Peers::new(shared_data, &self.heartbeats), &Filter::id(id(session)), now);
                if stopped.first().is_some_and(|record| record.status == Status::Stopping) {
                    let mut fates = truth.fates.lock().unwrap();
                    if fates.get(&session) == Some(&Fate::Begun) {
                        fates.insert(session, Fate::Stopped(round));
                    }
                }
            }
            Action::List => {
                let open = Filter { is_closed: Some(false), ..Filter::default() };
                self.registry.list(Peers::new(shared_data, &self.heartbeats), &open, now);
            }
        }
    }

    fn start(&mut self, shared_data: &dyn SharedData, truth: &Truth, now: SystemTime) {
        self.heartbeats.join(shared_data);
        if self.callers.start(Peers::new(shared_data, &self.heartbeats), &caller(limits()), now).is_err() {
            return;
        }
        assert!(truth.running.fetch_add(1, SeqCst) < CONCURRENT, "more sessions than are allowed");
        assert!(truth.started.fetch_add(1, SeqCst) < PER_MINUTE, "more starts than are allowed");
        let session = truth.next_id.fetch_add(1, SeqCst);
        self.sessions.push((session, None));
        let record = record(session.into(), 1_000_000);
        let slot = self.registry.begin(Peers::new(shared_data, &self.heartbeats), session, &record);
        self.sessions.iter_mut().filter(|(at, _)| *at == session).for_each(|(_, at)| *at = Some(slot));
        truth.fates.lock().unwrap().entry(session).or_insert(Fate::Begun);
    }

    fn tick(&mut self, shared_data: &dyn SharedData, truth: &Truth, round: usize) {
        assert!(self.heartbeats.tick(shared_data, next_second()));
        self.callers.tick(Peers::new(shared_data, &self.heartbeats), at(round));
        for (session, slot) in &self.sessions {
            let slot = slot.expect("a session that runs was published");
            self.registry.update(slot, &Record { duration_ms: 1, ..record((*session).into(), 1_000_000) });
        }
        let notices = self.registry.tick(Peers::new(shared_data, &self.heartbeats));
        assert!(notices.missing.is_empty(), "nobody touches a live worker's records");
        for session in notices.stops {
            truth.fates.lock().unwrap().insert(session, Fate::Noticed);
        }
    }
}

/// Plays one second.
fn play(memory: &Memory, truth: &Truth, workers: &mut [Option<Worker>], round: &Round<Action>, number: usize) {
    let act = |worker: &mut Worker, at: usize, shared_data: &dyn SharedData| {
        round.actions[at].iter().for_each(|action| worker.act(shared_data, truth, *action, number));
        worker.tick(shared_data, truth, number);
    };
    for dead in take_turns(memory, workers, round, &act) {
        truth.running.fetch_sub(dead.sessions.len() as u32, SeqCst);
    }
}

/// What was stopped in the round before has been told by now, if its worker lives and it has not ended.
fn check_stops(truth: &Truth, workers: &[Option<Worker>], round: usize) {
    let fates = truth.fates.lock().unwrap();
    for (session, _) in workers.iter().flatten().flat_map(|worker| &worker.sessions) {
        if let Some(Fate::Stopped(when)) = fates.get(session) {
            assert!(*when == round, "session {session} was stopped in round {when}, and not told in round {round}");
        }
    }
}

/// All have ended or died: a worker that comes later finds nothing left over, and everything that was.
fn check_rest(memory: &Memory, truth: &Truth, last: usize) {
    let mut late = Worker::new(99);
    for _ in 0..8 {
        late.tick(memory, truth, last);
    }
    let all = late.registry.list(Peers::new(memory, &late.heartbeats), &Filter::default(), at(last));
    assert!(all.iter().all(|record| record.status == Status::Closed), "{all:?}");
    for session in truth.fates.lock().unwrap().keys() {
        assert_eq!(all.iter().filter(|record| record.id == id(*session)).count(), 1, "session {session}");
    }
    let free = CallerLimits { concurrent_sessions: Some(1), ..CallerLimits::default() };
    late.heartbeats.join(memory);
    let peers = Peers::new(memory, &late.heartbeats);
    assert_eq!(late.callers.start(peers, &caller(free), at(last)), Ok(()));
    let (counted, at_most) = *truth.counted.lock().unwrap();
    let usage = late.callers.usage(Peers::new(memory, &late.heartbeats), CALLER, &free, at(last));
    assert!((counted..=at_most).contains(&usage.usage.total_tokens), "{counted} {usage:?} {at_most}");
    assert_eq!(usage.cost_usd, MicroUsd(usage.usage.total_tokens));
    assert!(late.heartbeats.take_corrupt_keys().is_empty() && late.registry.take_corrupt_keys().is_empty());
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Start),
        3 => any::<usize>().prop_map(Action::End),
        2 => (1_u64..1000).prop_map(Action::Use),
        1 => any::<usize>().prop_map(Action::Stop),
        1 => Just(Action::List),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_interleaving_and_no_death_breaks_a_limit_or_leaves_anything_behind(
        rounds in prop::collection::vec(round(action()), 1..10),
    ) {
        let (memory, truth) = (Memory::default(), Truth::default());
        let mut workers: Vec<_> = (0..WORKERS).map(|at| Some(Worker::new(at as u64 + 1))).collect();
        for (number, round) in rounds.iter().enumerate() {
            play(&memory, &truth, &mut workers, round, number);
            check_stops(&truth, &workers, number);
            // Whoever died is replaced, as Envoy does.
            for (at, worker) in workers.iter_mut().enumerate() {
                worker.get_or_insert_with(|| Worker::new(((number + 1) * 10 + at) as u64));
            }
        }
        let ends = Round { actions: vec![vec![Action::End(0); CONCURRENT as usize]; WORKERS], order: vec![0, 1, 2], death: None };
        play(&memory, &truth, &mut workers, &ends, rounds.len());
        prop_assert_eq!(truth.running.load(SeqCst), 0);
        check_rest(&memory, &truth, rounds.len());
    }
}
