//! Workers that take turns: each read and write of shared data is one step, and between two steps of one worker the others
//! take any number of theirs. A worker can die at each step.

use std::any::Any;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex};

use proptest::prelude::*;

use crate::process::shared_data::memory::Memory;
use crate::process::shared_data::{CasMismatch, Entry, SharedData};

pub(super) const WORKERS: usize = 3;

/// One second: what each worker does, and in which order they take their steps.
#[derive(Debug, Clone)]
pub(super) struct Round<A> {
    pub actions: Vec<Vec<A>>,
    pub order: Vec<usize>,
    /// After how many steps which worker dies.
    pub death: Option<(usize, usize)>,
}

/// Seconds in which workers do such things.
pub(super) fn round<A: Debug + Clone>(action: impl Strategy<Value = A>) -> impl Strategy<Value = Round<A>> {
    (
        prop::collection::vec(prop::collection::vec(action, 0..5), WORKERS),
        prop::collection::vec(0..WORKERS, 1..80),
        prop::option::weighted(0.3, (0_usize..60, 0..WORKERS)),
    )
        .prop_map(|(actions, order, death)| Round { actions, order, death })
}

/// Each worker acts, a step at a time and in this order; after so many steps one may die, which leaves nothing but what it
/// has written. Gives those that died.
pub(super) fn take_turns<W: Send, A>(
    memory: &Memory,
    workers: &mut [Option<W>],
    round: &Round<A>,
    act: &(dyn Fn(&mut W, usize, &dyn SharedData) + Sync),
) -> Vec<W> {
    let Round { order, death, .. } = round;
    let gate = Gate::new(workers.len());
    let results: Vec<Result<(), Box<dyn Any + Send>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.len())
            .zip(workers.iter_mut())
            .map(|(at, worker)| {
                let gate = &gate;
                scope.spawn(move || {
                    let shared_data = Gated { memory, gate, worker: at };
                    let result = catch_unwind(AssertUnwindSafe(|| {
                        if let Some(worker) = worker {
                            act(worker, at, &shared_data);
                        }
                    }));
                    gate.over(at);
                    result
                })
            })
            .collect();
        let mut order = order.iter().copied().cycle();
        for step in 0.. {
            let phase = match *death {
                Some((when, _)) if when == step => Phase::Doomed,
                _ => Phase::Running,
            };
            let pick = match *death {
                Some((when, who)) if when == step => who,
                _ => order.next().unwrap_or(step),
            };
            if !gate.step(pick, phase) {
                break;
            }
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut dead = Vec::new();
    for (worker, result) in workers.iter_mut().zip(results) {
        match result {
            Ok(()) => {}
            Err(payload) if payload.is::<Death>() => dead.extend(worker.take()),
            Err(payload) => resume_unwind(payload),
        }
    }
    dead
}

/// Lets one thread at a time take a step.
struct Gate {
    phases: Mutex<Vec<Phase>>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Waiting,
    Doomed,
    Over,
}

/// How a worker's thread ends that dies.
struct Death;

/// Shared data as one worker sees it.
struct Gated<'a> {
    memory: &'a Memory,
    gate: &'a Gate,
    worker: usize,
}

impl Gate {
    fn new(workers: usize) -> Self {
        Self { phases: Mutex::new(vec![Phase::Running; workers]), changed: Condvar::new() }
    }

    /// Called by a worker before each step.
    fn wait(&self, worker: usize) {
        let mut phases = self.phases.lock().unwrap();
        phases[worker] = Phase::Waiting;
        self.changed.notify_all();
        let phases = self.changed.wait_while(phases, |phases| phases[worker] == Phase::Waiting).unwrap();
        if phases[worker] == Phase::Doomed {
            drop(phases);
            resume_unwind(Box::new(Death));
        }
    }

    fn over(&self, worker: usize) {
        self.phases.lock().unwrap()[worker] = Phase::Over;
        self.changed.notify_all();
    }

    /// Lets some worker that is not over go on, or die, until it waits again; false if all are over.
    fn step(&self, pick: usize, phase: Phase) -> bool {
        let settled =
            |phases: &mut Vec<Phase>| !phases.iter().all(|phase| matches!(phase, Phase::Waiting | Phase::Over));
        let mut phases = self.changed.wait_while(self.phases.lock().unwrap(), settled).unwrap();
        let waiting: Vec<usize> = (0..phases.len()).filter(|&worker| phases[worker] == Phase::Waiting).collect();
        let Some(&worker) = waiting.get(pick % waiting.len().max(1)) else { return false };
        phases[worker] = phase;
        self.changed.notify_all();
        drop(self.changed.wait_while(phases, settled).unwrap());
        true
    }
}

impl SharedData for Gated<'_> {
    fn read(&self, key: &str) -> Entry {
        self.gate.wait(self.worker);
        self.memory.read(key)
    }

    fn write(&self, key: &str, bytes: &[u8], cas: u32) -> Result<(), CasMismatch> {
        self.gate.wait(self.worker);
        self.memory.write(key, bytes, cas)
    }
}
