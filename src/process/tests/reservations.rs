//! Responses of workers that run at the same time, and die: all that go on are reserved for, and nothing else.

use proptest::prelude::*;

use super::turns::{Round, WORKERS, round, take_turns};
use crate::process::shared_data::memory::{Memory, next_second};
use crate::process::{Heartbeats, Peers, Reservations, Reserved, SharedData, TallyKey};
use crate::usage::MicroUsd;

#[derive(Debug, Clone, Copy)]
enum Action {
    Begin(u8, u64),
    Grow(usize, u64),
    End(usize),
}

struct Worker {
    heartbeats: Heartbeats,
    reservations: Reservations,
    /// What is reserved for each response, by the budget that it draws on.
    open: Vec<(TallyKey, Reserved)>,
}

fn budget(number: u8) -> TallyKey {
    // Both are on one page.
    let mut bytes = [0; 16];
    bytes[15] = number % 2;
    TallyKey::from_bytes(bytes)
}

fn reserved(tokens: u64) -> Reserved {
    Reserved { responses: 1, tokens, cost: MicroUsd(tokens * 3) }
}

impl Worker {
    fn new(id: u64) -> Self {
        Self { heartbeats: Heartbeats::new(id), reservations: Reservations::default(), open: Vec::new() }
    }

    fn act(&mut self, shared_data: &dyn SharedData, action: Action) {
        self.heartbeats.join(shared_data);
        let (key, before, after) = match action {
            Action::Begin(number, tokens) => {
                self.open.push((budget(number), reserved(tokens)));
                (budget(number), Reserved::default(), reserved(tokens))
            }
            Action::Grow(pick, tokens) if !self.open.is_empty() => {
                let pick = pick % self.open.len();
                let (key, before) = self.open[pick];
                self.open[pick].1.tokens += tokens;
                (key, before, self.open[pick].1)
            }
            Action::End(pick) if !self.open.is_empty() => {
                let (key, before) = self.open.swap_remove(pick % self.open.len());
                (key, before, Reserved::default())
            }
            Action::Grow(..) | Action::End(_) => return,
        };
        let peers = Peers::new(shared_data, &self.heartbeats);
        let all = self.reservations.change(peers, key, before, after);
        let own = own(&self.open, key);
        assert!(all.tokens >= own.tokens && all.responses >= own.responses, "its own are among them");
    }

    fn tick(&mut self, shared_data: &dyn SharedData) {
        assert!(self.heartbeats.tick(shared_data, next_second()));
        self.reservations.tick(Peers::new(shared_data, &self.heartbeats));
    }
}

fn own(open: &[(TallyKey, Reserved)], key: TallyKey) -> Reserved {
    open.iter().filter(|(of, _)| *of == key).fold(Reserved::default(), |all, (_, one)| all.and(*one))
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => (any::<u8>(), 1_u64..1000).prop_map(|(number, tokens)| Action::Begin(number, tokens)),
        2 => (any::<usize>(), 1_u64..1000).prop_map(|(pick, tokens)| Action::Grow(pick, tokens)),
        3 => any::<usize>().prop_map(Action::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_interleaving_and_no_death_leaves_a_reservation_behind(
        rounds in prop::collection::vec(round(action()), 1..8),
    ) {
        let memory = Memory::default();
        let mut workers: Vec<_> = (0..WORKERS).map(|at| Some(Worker::new(at as u64 + 1))).collect();
        for (number, Round { actions, order, death }) in rounds.iter().enumerate() {
            let round = Round { actions: actions.clone(), order: order.clone(), death: *death };
            take_turns(&memory, &mut workers, &round, &|worker: &mut Worker, at, shared_data: &dyn SharedData| {
                round.actions[at].iter().for_each(|action| worker.act(shared_data, *action));
                worker.tick(shared_data);
            });
            for (at, worker) in workers.iter_mut().enumerate() {
                worker.get_or_insert_with(|| Worker::new(((number + 1) * 10 + at) as u64));
            }
        }
        // Some seconds later, what is reserved is what goes on at workers that are there; then all of that ends.
        let mut late = Worker::new(99);
        for is_over in [false, true] {
            for worker in workers.iter_mut().flatten().filter(|_| is_over) {
                (0..worker.open.len()).for_each(|_| worker.act(&memory, Action::End(0)));
            }
            for _ in 0..6 {
                workers.iter_mut().flatten().chain([&mut late]).for_each(|worker| worker.tick(&memory));
            }
            for key in [budget(0), budget(1)] {
                let there = workers.iter().flatten().map(|worker| own(&worker.open, key));
                let want = there.fold(Reserved::default(), Reserved::and);
                prop_assert_eq!(late.reservations.read(Peers::new(&memory, &late.heartbeats), key), want);
                prop_assert!(!is_over || want == Reserved::default());
            }
        }
    }
}
