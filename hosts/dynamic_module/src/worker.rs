//! One worker with its streams, of which Envoy has numbers.

use realtime_byok::http::Edits;
use realtime_byok::stream::DetailedReply;
use realtime_byok::worker::{Command, StreamId, Worker};

use super::abi::{self, FilterId, Scheduler};
use super::shared_data::ProcessData;

/// A worker, and Envoy's filters on it.
pub(crate) struct WorkerThread {
    pub(crate) worker: Worker,
    /// Which of the worker's statistics other configurations must hear of as well.
    pub(crate) known_statistics: Vec<bool>,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

struct Slot {
    /// How often it was taken before.
    generation: usize,
    entry: Option<Entry>,
}

/// One stream.
pub(crate) struct Entry {
    pub(crate) stream: StreamId,
    pub(crate) gate: Gate,
    pub(crate) request: Progress,
    pub(crate) response: Progress,
    /// What is to be done with it on its own thread.
    pub(crate) due: Option<Due>,
    scheduler: Scheduler,
}

/// Whether anything of a stream may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// What the worker lets through does.
    Open,
    /// Something of Envoy's or of this module's has failed: nothing does.
    Shut,
}

/// What is on its way in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It goes on as it comes.
    Flows,
    /// Envoy keeps it for this stream.
    Waits,
}

/// What the worker wants done with a stream outside of its hooks.
pub(crate) enum Due {
    /// Reset it.
    Reset,
    /// Answer it, after these edits of the request's headers.
    Reply(Edits, DetailedReply),
}

impl WorkerThread {
    /// A worker without streams.
    pub(crate) fn new(data: &ProcessData) -> Self {
        // Two workers of the same id would take each other's sessions for their own.
        let random = getrandom::u64().unwrap_or_default();
        let worker = Worker::new(Box::new(data.clone()), random).with_all_bodies();
        Self { worker, known_statistics: Vec::new(), slots: Vec::new(), free: Vec::new() }
    }

    /// The place that the next stream gets.
    pub(crate) fn next_slot(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Keeps a stream in that place; its generation.
    pub(crate) fn insert(&mut self, stream: StreamId, scheduler: Scheduler) -> usize {
        let entry = Entry {
            stream,
            gate: Gate::Open,
            request: Progress::Flows,
            response: Progress::Flows,
            due: None,
            scheduler,
        };
        if let Some(slot) = self.free.pop().and_then(|at| self.slots.get_mut(at)) {
            slot.generation = (slot.generation + 1) % FilterId::GENERATIONS;
            slot.entry = Some(entry);
            return slot.generation;
        }
        self.slots.push(Slot { generation: 0, entry: Some(entry) });
        0
    }

    /// The worker, and a stream of it.
    pub(crate) fn entry(&mut self, id: FilterId) -> Option<(&mut Worker, &mut Entry)> {
        let slot = self.slots.get_mut(id.slot).filter(|slot| slot.generation == id.generation)?;
        slot.entry.as_mut().map(|entry| (&mut self.worker, entry))
    }

    /// Forgets a stream.
    pub(crate) fn remove(&mut self, id: FilterId) -> Option<Entry> {
        let slot = self.slots.get_mut(id.slot).filter(|slot| slot.generation == id.generation)?;
        let entry = slot.entry.take()?;
        self.free.push(id.slot);
        Some(entry)
    }

    /// Does what the worker wants done beside what its methods return: of a stream, on its own thread.
    pub(crate) fn run_commands(&mut self) {
        for command in self.worker.take_commands() {
            let (stream, due) = match command {
                Command::Log(level, line) => {
                    abi::log(level, &line);
                    continue;
                }
                Command::Reset(stream) => (stream, Due::Reset),
                Command::Reply(stream, edits, reply) => (stream, Due::Reply(edits, reply)),
            };
            let slot = usize::try_from(stream.0).ok().and_then(|at| self.slots.get_mut(at));
            if let Some(entry) = slot.and_then(|slot| slot.entry.as_mut()) {
                entry.due = Some(due);
                entry.scheduler.commit();
            }
        }
    }
}
