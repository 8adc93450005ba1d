//! Envoy, as a Proxy-Wasm module sees it: the hostcalls as functions of this crate, so that the filter runs natively,
//! through the real SDK, without Envoy.
//!
//! Each test thread is a worker with a VM of its own. What is modelled is what Envoy 1.40 was seen to do: header lines
//! in order, which map can be used when, bodies that gather while they are held, local replies that come back through
//! the filter's own response callbacks.

mod exports;
pub mod golden;
mod imports;
mod lines;
mod request;
mod statistics;
mod stream;
mod vm;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;

pub use lines::Lines;
pub use request::{Exchange, Request};
pub use stream::{Answer, Fate, Message};
pub use vm::{ENVIRONMENT, Level, Vm};

use golden::On;
use statistics::Statistics;
use stream::Stream;

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

/// A request that the module sent by itself.
#[derive(Clone, Debug)]
pub struct HttpCall {
    /// Where it goes.
    pub cluster: String,
    /// Its header lines.
    pub lines: Lines,
}

/// What one of Envoy's workers holds for the module.
#[derive(Default)]
struct Worker {
    /// The context that hostcalls apply to.
    effective: u32,
    /// The last context that was made.
    last_context: u32,
    /// The bytes of the plugin that is being configured.
    configuration: Vec<u8>,
    /// Nanoseconds since 1970.
    clock: u64,
    /// Every line that the module logged.
    log: Vec<(Level, String)>,
    /// The contexts of plugins.
    roots: Vec<u32>,
    streams: BTreeMap<u32, Stream>,
    statistics: Statistics,
    /// The requests that the module sent by itself.
    http_calls: Vec<HttpCall>,
    /// The header lines of the answer to one of them, while the module is told of it.
    http_call_answer: Option<Lines>,
    /// Shared data: values with their versions.
    shared: BTreeMap<String, (Vec<u8>, u32)>,
    shared_version: u32,
    /// Whether the module runs.
    is_inside: bool,
    /// What the module did that no module may.
    faults: Vec<String>,
    /// The hostcalls that were made, if that is asked.
    hostcalls: Option<Vec<&'static str>>,
    /// What the next hostcalls return, one after the other: 0 lets one do what it is for.
    statuses: VecDeque<u32>,
    /// Whether one of them has failed, so that a statistic may be out of date.
    has_failed: bool,
    /// What is tried, to be shown where the module traps.
    case: String,
}

impl Worker {
    fn stream(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&self.effective)
    }

    /// A hostcall is made: what it is to return without having done anything, if it is to fail.
    fn called(&mut self, name: &'static str) -> Option<u32> {
        self.hostcalls.iter_mut().for_each(|hostcalls| hostcalls.push(name));
        let status = self.statuses.pop_front().filter(|status| *status != 0)?;
        self.has_failed = true;
        if let Some(stream) = self.stream() {
            stream.has_failed = true;
        }
        Some(status)
    }

    /// What the module is at, if it runs.
    fn trap(&self) -> Option<String> {
        self.is_inside.then(|| format!("{:?}\n{}", self.streams.get(&self.effective), self.case))
    }
}

/// Uses the worker of this thread; not around a call into the module, whose hostcalls use it too.
fn worker<T>(use_it: impl FnOnce(&mut Worker) -> T) -> T {
    WORKER.with_borrow_mut(use_it)
}

fn new_context() -> u32 {
    worker(|worker| {
        worker.last_context += 1;
        worker.last_context
    })
}

/// Calls into the module, then does what the module asked for in the meantime.
#[track_caller]
fn call<T: Debug>(context: u32, on: &On<'_>, export: impl FnOnce() -> T) -> T {
    worker(|worker| (worker.effective, worker.is_inside) = (context, true));
    golden::begin(context, on);
    let result = export();
    worker(|worker| worker.is_inside = false);
    golden::end(&result);
    stream::deliver_replies();
    let faults = worker(|worker| std::mem::take(&mut worker.faults));
    assert!(faults.is_empty(), "the module did what no module may: {faults:?}");
    result
}
