//! What all streams of a worker hold in memory together, and whether that is too much.

use std::cell::Cell;
use std::rc::Rc;

/// What all sessions of a worker have reserved for messages that are not complete, in bytes.
#[derive(Clone, Default)]
pub struct MemoryAccount(Rc<Cell<usize>>);

#[cfg(test)]
impl MemoryAccount {
    pub(crate) fn bytes(&self) -> usize {
        self.0.get()
    }
}

/// What is reserved for messages that are not complete, in bytes: of all sessions of a worker, and of one of them.
#[derive(Default)]
pub struct Reservation {
    all: MemoryAccount,
    own: usize,
}

impl Reservation {
    /// Of a session of the worker whose sessions have `all` together.
    pub fn new(all: MemoryAccount) -> Self {
        Self { all, own: 0 }
    }

    /// Takes what a session has reserved now.
    pub fn set(&mut self, own: usize) {
        self.all.0.set(self.all.0.get().saturating_sub(self.own).saturating_add(own));
        self.own = own;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.all.0.set(self.all.0.get().saturating_sub(self.own));
    }
}
