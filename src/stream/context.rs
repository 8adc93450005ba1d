//! What a stream's callback works with: what all streams of the worker share, and the host.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::call::Calls;
use crate::host::{Level, StreamHost};
use crate::memory::MemoryAccount;
use crate::policy::RestingKeys;
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
    /// The keys of pools that are not drawn for now.
    pub resting: RestingKeys,
    log: Vec<(Level, String)>,
    /// When the log last told of a route without a policy, and how many requests it has left out since.
    without_policy: Option<(SystemTime, u64)>,
}

/// How often the log tells of routes without a policy, at most: anybody can send such requests.
const WITHOUT_POLICY_INTERVAL: Duration = Duration::from_secs(60);

impl WorkerState {
    /// A worker of this random id, among all that share the data.
    pub fn new(shared_data: Box<dyn SharedData + Send>, random: u64) -> Self {
        Self {
            sessions: Sessions::new(shared_data, random),
            calls: Calls::default(),
            memory: MemoryAccount::default(),
            clock: SystemTime::UNIX_EPOCH,
            resting: RestingKeys::default(),
            log: Vec::new(),
            without_policy: None,
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

    /// Has Envoy's log told of a request to a route without a policy, once in a minute.
    pub fn log_without_policy(&mut self, message: &str, now: SystemTime) {
        let unlogged = match &mut self.without_policy {
            Some((logged, unlogged))
                if now.duration_since(*logged).is_ok_and(|since| since < WITHOUT_POLICY_INTERVAL) =>
            {
                *unlogged = unlogged.saturating_add(1);
                return;
            }
            Some((_, unlogged)) => *unlogged,
            None => 0,
        };
        self.without_policy = Some((now, 0));
        let others = if unlogged > 0 {
            format!(" {unlogged} more requests had none since the last time.")
        } else {
            String::new()
        };
        self.log(Level::Warn, format_args!("a request was answered 404 no_policy. {message}{others}"));
    }

    /// Whether lines are to be written.
    pub fn has_log(&self) -> bool {
        !self.log.is_empty()
    }

    /// Takes the lines that are to be written.
    pub fn take_log(&mut self) -> impl ExactSizeIterator<Item = (Level, String)> + use<> {
        std::mem::take(&mut self.log).into_iter()
    }
}
