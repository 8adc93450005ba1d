//! Sessions of one client secret on workers that run at the same time, and die: none is let in too many, and nothing that
//! was drawn is lost.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::turns::{WORKERS, round, take_turns};
use crate::limit::{Drawn, SharedLimits};
use crate::process::shared_data::memory::Memory;
use crate::process::{Share, SharedData, SharedTallies, TallyKey};
use crate::usage::MicroUsd;

const MAX_SESSIONS: u64 = 4;
const MAX_TOKENS: u64 = 5_000;
const STARTED: u64 = 1_000_000;

#[derive(Debug, Clone, Copy)]
enum Action {
    Begin,
    Draw(u64),
    End,
}

/// What is true, whatever the workers believe.
#[derive(Default)]
struct Truth {
    /// Sessions that were let in for sure.
    admitted: u64,
    /// Tokens that were drawn for sure, and those that may have been when their worker died.
    drawn: (u64, u64),
}

#[derive(Default)]
struct Worker {
    tallies: SharedTallies,
    open: u32,
}

fn share() -> Share {
    let limits = SharedLimits { max_sessions: Some(MAX_SESSIONS), max_tokens: Some(MAX_TOKENS), max_cost: None };
    Share { key: TallyKey::of(b"ek_secret"), limits, kept_until: STARTED + 600 }
}

impl Worker {
    fn act(&mut self, shared_data: &dyn SharedData, truth: &Mutex<Truth>, action: Action, now: SystemTime) {
        match action {
            Action::Begin => {
                if self.tallies.admit(shared_data, &share(), now).is_ok() {
                    self.open += 1;
                    let mut truth = truth.lock().unwrap();
                    truth.admitted += 1;
                    assert!(truth.admitted <= MAX_SESSIONS, "one too many");
                }
            }
            Action::Draw(tokens) if self.open > 0 => {
                truth.lock().unwrap().drawn.1 += tokens;
                let drawn = Drawn { sessions: 0, tokens, cost: MicroUsd(tokens) };
                self.tallies.add(shared_data, &share(), drawn, now);
                truth.lock().unwrap().drawn.0 += tokens;
            }
            Action::End if self.open > 0 => {
                self.open -= 1;
                self.tallies.end(shared_data, &share(), now);
            }
            Action::Draw(_) | Action::End => {}
        }
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![3 => Just(Action::Begin), 3 => (1_u64..1000).prop_map(Action::Draw), 2 => Just(Action::End)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_interleaving_and_no_death_lets_in_too_many_or_loses_what_was_drawn(
        rounds in prop::collection::vec(round(action()), 1..8),
    ) {
        let (memory, truth) = (Memory::default(), Mutex::new(Truth::default()));
        let mut workers: Vec<_> = (0..WORKERS).map(|_| Some(Worker::default())).collect();
        for (number, round) in rounds.iter().enumerate() {
            let now = UNIX_EPOCH + Duration::from_secs(STARTED + number as u64);
            let act = |worker: &mut Worker, at: usize, shared_data: &dyn SharedData| {
                round.actions[at].iter().for_each(|action| worker.act(shared_data, &truth, *action, now));
                worker.tallies.tick(shared_data, now);
            };
            take_turns(&memory, &mut workers, round, &act);
            workers.iter_mut().for_each(|worker| { worker.get_or_insert_default(); });
        }
        let tally = SharedTallies::default().read(&memory, share().key);
        let Truth { admitted, drawn: (least, most) } = *truth.lock().unwrap();
        prop_assert!((admitted..=MAX_SESSIONS).contains(&tally.sessions), "{admitted} {tally:?}");
        prop_assert!((least..=most).contains(&tally.tokens), "{least} {tally:?} {most}");
        prop_assert_eq!(tally.cost, MicroUsd(tally.tokens));
    }
}
