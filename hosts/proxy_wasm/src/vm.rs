//! What everything in one VM shares, whatever the number of plugins that run in it.

use std::cell::RefCell;

use realtime_byok::host::Level;
use realtime_byok::worker::{Command, Worker};

use super::abi::{self, EnvoySharedData};
use super::hostcalls;
use super::statistics::StatisticIds;

/// The worker, and Envoy's ids of its statistics.
struct Vm {
    worker: Worker,
    statistics: StatisticIds,
}

thread_local! {
    static VM: RefCell<Vm> = RefCell::new(Vm::new());
}

/// Calls one method of this VM's worker. What that asks of Envoy meanwhile never calls back.
pub(crate) fn worker<T>(call: impl FnOnce(&mut Worker) -> T) -> T {
    VM.with_borrow_mut(|vm| call(&mut vm.worker))
}

/// The same when a context is dropped, which may be after this thread's VM.
pub(crate) fn try_worker(call: impl FnOnce(&mut Worker)) {
    // Without a worker, no stream of it is left either.
    let _ = VM.try_with(|vm| vm.try_borrow_mut().map(|mut vm| call(&mut vm.worker)));
}

/// Does what the worker wants done beside what its methods return.
pub(crate) fn run_commands() {
    let drained = VM.try_with(|vm| {
        let Vm { worker, statistics } = &mut *vm.borrow_mut();
        worker.drain_statistics(|id, statistic, change| statistics.change(id, statistic, change));
        worker.take_commands()
    });
    // A plugin's context may go after this thread's VM, which leaves nothing to do.
    for command in drained.unwrap_or_default() {
        match command {
            Command::Log(level, message) => abi::log(level, &message),
            Command::Reset(stream) => {
                if let Err(status) = hostcalls::reset(stream) {
                    let message = format!("realtime_byok: cannot cut a session whose time is up; status {status}");
                    abi::log(Level::Warn, &message);
                }
            }
            Command::Reply(stream, edits, reply) => {
                if hostcalls::reply_to(stream, &edits, &reply).is_err() {
                    let message = "realtime_byok: cannot answer a request that waits for its body; it is reset";
                    abi::log(Level::Error, message);
                    // A stream that cannot be reset waits on, and nothing of it passes.
                    let _ = hostcalls::reset(stream);
                }
            }
        }
    }
}

impl Vm {
    fn new() -> Self {
        // Two workers of the same id would take each other's sessions for their own. A host without randomness gives no
        // VM a start: HashMap's keys need it too.
        let random = getrandom::u64().unwrap_or_default();
        Self { worker: Worker::new(Box::new(EnvoySharedData), random), statistics: StatisticIds::default() }
    }
}
