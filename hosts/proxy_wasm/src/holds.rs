//! Requests whose headers wait for their body, and whether Envoy hands bodies over while they do.
//!
//! Without `allow_on_headers_stop_iteration` Envoy keeps the body back too, and both would wait for ever. No property
//! tells of the flag, but the first body that comes while its headers wait proves it, for this VM and for good; from
//! then on a client may take its time.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime};

/// How long a body may take to begin, as long as none has ever come.
const PATIENCE: Duration = Duration::from_secs(3);

/// The requests of one plugin on one worker that wait for their body.
#[derive(Default)]
pub struct Holds {
    since: RefCell<Vec<(u32, SystemTime)>>,
    proven: Cell<bool>,
}

impl Holds {
    /// The request of this context waits from `now` on.
    pub fn wait(&self, context: u32, now: SystemTime) {
        if !self.proven.get() {
            self.since.borrow_mut().push((context, now));
        }
    }

    /// Some of a body came while its headers waited.
    pub fn body_came(&self) {
        if !self.proven.replace(true) {
            self.since.borrow_mut().clear();
        }
    }

    /// The stream of this context is over.
    pub fn forget(&self, context: u32) {
        self.since.borrow_mut().retain(|(waiting, _)| *waiting != context);
    }

    /// Takes those that have waited too long.
    pub fn overdue(&self, now: SystemTime) -> Vec<u32> {
        let mut since = self.since.borrow_mut();
        let late = |start: &SystemTime| now.duration_since(*start).is_ok_and(|waited| waited >= PATIENCE);
        let overdue = since.iter().filter(|(_, start)| late(start)).map(|(context, _)| *context).collect();
        since.retain(|(_, start)| !late(start));
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_waits_too_long_is_overdue_once() {
        let holds = Holds::default();
        holds.wait(1, at(0));
        holds.wait(2, at(1));
        holds.wait(3, at(0));
        holds.forget(3);
        assert!(holds.overdue(at(2)).is_empty());
        assert_eq!(holds.overdue(at(3)), [1]);
        assert_eq!(holds.overdue(at(9)), [2]);
        assert!(holds.overdue(at(9)).is_empty());
    }

    #[test]
    fn once_a_body_came_nobody_is_hurried() {
        let holds = Holds::default();
        holds.wait(1, at(0));
        holds.body_came();
        holds.wait(2, at(0));
        assert!(holds.overdue(at(9)).is_empty());
    }
}
