//! The workers of a process, as one of them sees them: the data that they share, and which of them live.

use super::heartbeat::{Heartbeats, WorkerSlot};
use super::shared_data::SharedData;

/// What a worker shares with the others, and what it knows of them.
#[derive(Clone, Copy)]
pub struct Peers<'a> {
    /// What all of them share.
    pub shared_data: &'a dyn SharedData,
    heartbeats: &'a Heartbeats,
}

impl<'a> Peers<'a> {
    /// The view of the worker whose heartbeats these are.
    pub fn new(shared_data: &'a dyn SharedData, heartbeats: &'a Heartbeats) -> Self {
        Self { shared_data, heartbeats }
    }

    /// The worker itself, if it has a slot.
    pub fn me(self) -> Option<WorkerSlot> {
        self.heartbeats.me()
    }

    /// Everyone who has a slot, and whether they are gone.
    pub(super) fn workers(self) -> Vec<(WorkerSlot, bool)> {
        self.heartbeats.workers(self.shared_data)
    }

    /// Those who are gone and still have a slot.
    pub(super) fn gone(self) -> Vec<WorkerSlot> {
        self.heartbeats.gone(self.shared_data)
    }

    /// Whether a worker is gone.
    pub(super) fn is_gone(self, worker: WorkerSlot) -> bool {
        self.heartbeats.is_gone(self.shared_data, worker)
    }

    /// Frees the slot of a worker that is gone, unless it has come back.
    pub(super) fn vacate(self, worker: WorkerSlot) {
        self.heartbeats.vacate(self.shared_data, worker);
    }
}
