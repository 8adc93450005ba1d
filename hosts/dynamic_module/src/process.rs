//! What there is once in a process: its workers, and what they share.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::abi::{self, FilterId};
use super::shared_data::ProcessData;
use super::worker::WorkerThread;

/// All workers, each for the thread of its number. The main thread comes by once a second.
pub(crate) struct Process {
    workers: Vec<Mutex<WorkerThread>>,
}

/// The process's; made when the first configuration comes.
pub(crate) fn process() -> &'static Process {
    static PROCESS: OnceLock<Process> = OnceLock::new();
    PROCESS.get_or_init(Process::new)
}

/// Takes a lock. Whoever panicked with it has lost the stream that it was for, and nothing else.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    fn new() -> Self {
        let data = ProcessData::default();
        let count = abi::concurrency().clamp(1, FilterId::MAX_WORKERS);
        Self { workers: (0..count).map(|_| Mutex::new(WorkerThread::new(&data))).collect() }
    }

    /// The worker of a number.
    pub(crate) fn worker(&self, number: usize) -> Option<MutexGuard<'_, WorkerThread>> {
        self.workers.get(number).map(lock)
    }

    /// All workers, in the order of their numbers.
    pub(crate) fn workers(&self) -> impl Iterator<Item = MutexGuard<'_, WorkerThread>> {
        self.workers.iter().map(lock)
    }
}
