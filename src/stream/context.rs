//! What a stream's callback works with: what all streams of the worker share, and the host.

use std::fmt;
use std::time::SystemTime;

use crate::call::Calls;
use crate::host::{Level, StreamHost};
use crate::memory::MemoryAccount;
use crate::process::{Sessions, SharedData};

/// One callback of one stream.
pub struct Context<'a> {
    /// What the streams of the worker share.
    pub worker: &'a mut WorkerState,
    /// Envoy, as it is within this callback.
    pub host: &'a dyn StreamHost,
}

/// What all streams of a worker share.
pub struct WorkerState {
    /// The sessions of the process, and what this worker measures.
    pub sessions: Sessions,
    /// The calls that began on this worker.
    pub calls: Calls,
    /// What the streams hold together.
    pub memory: MemoryAccount,
    /// The time of the last tick, or of the configuration before the first: good enough for what passes between two.
    pub clock: SystemTime,
    log: Vec<(Level, String)>,
}

impl WorkerState {
    /// A worker of this random id, among all that share the data.
    pub fn new(shared_data: Box<dyn SharedData + Send>, random: u64) -> Self {
        Self {
            sessions: Sessions::new(shared_data, random),
            calls: Calls::default(),
            memory: MemoryAccount::default(),
            clock: SystemTime::UNIX_EPOCH,
            log: Vec::new(),
        }
    }

    /// A callback of one of its streams.
    pub fn context<'a>(&'a mut self, host: &'a dyn StreamHost) -> Context<'a> {
        Context { worker: self, host }
    }

    /// Makes due what was measured, and what the streams hold now.
    pub fn flush_metrics(&mut self) {
        let metrics = &mut self.sessions.metrics;
        metrics.memory(self.memory.reserved());
        metrics.flush();
    }

    /// Has a line written to Envoy's log.
    pub fn log(&mut self, level: Level, message: fmt::Arguments<'_>) {
        self.log.push((level, format!("realtime_byok: {message}")));
    }

    /// Takes the lines that are to be written.
    pub fn take_log(&mut self) -> impl Iterator<Item = (Level, String)> + use<> {
        std::mem::take(&mut self.log).into_iter()
    }
}
