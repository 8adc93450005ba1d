//! What everything in one VM shares, whatever the number of plugins that run in it, and what the VMs of a process share.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::SystemTime;

use proxy_wasm::types::Status;

use super::holds::Holds;
use super::{abi, metrics};
use realtime_byok::call::Calls;
use realtime_byok::process::Sessions;
use realtime_byok::process::{CasMismatch, Entry, SharedData};
use realtime_byok::stream::Stream;

/// One worker's VM.
pub struct Worker {
    /// Requests that wait for their body.
    pub holds: Holds,
    /// Calls that are under way.
    pub calls: Calls,
    /// WebSockets that are followed, by their contexts.
    pub open: RefCell<Vec<(u32, Weak<RefCell<Stream>>)>>,
    /// The sessions of all workers.
    pub sessions: RefCell<Sessions>,
    /// The time of the last tick, or of the configuration before the first: good enough for what passes between two.
    pub clock: Cell<SystemTime>,
}

impl Worker {
    /// This VM's.
    pub fn this() -> Rc<Self> {
        thread_local! {
            static WORKER: Rc<Worker> = Rc::new(Worker::new());
        }
        WORKER.with(Rc::clone)
    }

    /// Tells Envoy what was measured since this was last called.
    pub fn flush(&self) {
        metrics::flush(&mut self.sessions.borrow_mut().metrics);
    }

    fn new() -> Self {
        // Two workers of the same id would take each other's sessions for their own. A host without randomness gives no
        // VM a start: HashMap's keys need it too.
        let random = getrandom::u64().unwrap_or_default();
        Self {
            holds: Holds::default(),
            calls: Calls::default(),
            open: RefCell::default(),
            sessions: RefCell::new(Sessions::new(Box::new(EnvoySharedData), random)),
            clock: Cell::new(SystemTime::UNIX_EPOCH),
        }
    }
}

/// Envoy's shared data, one for all VMs of the same `vm_id`.
struct EnvoySharedData;

impl SharedData for EnvoySharedData {
    fn read(&self, key: &str) -> Entry {
        abi::shared_data(key).map_or_else(Entry::absent, |(bytes, cas)| Entry { bytes, cas })
    }

    fn write(&self, key: &str, bytes: &[u8], cas: u32) -> Result<(), CasMismatch> {
        abi::set_shared_data(key, bytes, cas).map_err(|_: Status| CasMismatch)
    }
}
