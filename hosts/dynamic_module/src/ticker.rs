//! A thread that has something done each second.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use realtime_byok::worker::TICK;

use super::process::lock;

/// The thread; it ends when this is dropped.
pub(crate) struct Ticker {
    thread: Option<JoinHandle<()>>,
    end: Arc<(Mutex<bool>, Condvar)>,
}

impl Ticker {
    /// Has `tick` called each second.
    pub(crate) fn start(tick: fn()) -> Self {
        let end = Arc::new((Mutex::new(false), Condvar::new()));
        let its_end = Arc::clone(&end);
        let run = move || {
            let (has_ended, changed) = &*its_end;
            loop {
                let wait = changed.wait_timeout_while(lock(has_ended), TICK, |has_ended| !*has_ended);
                if wait.is_ok_and(|(has_ended, _)| *has_ended) {
                    return;
                }
                tick();
            }
        };
        let thread = thread::Builder::new().name("realtime_byok".into()).spawn(run).ok();
        Self { thread, end }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        let (has_ended, changed) = &*self.end;
        *lock(has_ended) = true;
        changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}
