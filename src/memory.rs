//! The memory account of a worker: what its streams may reserve together for messages that are not complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all streams of a worker may have reserved, in bytes. A VM has sixteen times that, of which much may lie between
/// what is reserved, too small for what comes.
pub const WORKER_MAX: usize = 64 << 20;

/// A message of which so little has come may always go on, in bytes.
pub const UNACCOUNTED_MAX: usize = 64 << 10;

/// What all streams of a worker have reserved. Clones are the same account.
#[derive(Debug, Clone, Default)]
pub struct MemoryAccount(Arc<AtomicUsize>);

/// One stream's part of an account, which is given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    account: MemoryAccount,
    bytes: usize,
}

impl MemoryAccount {
    /// A part of this account that holds nothing yet.
    pub fn reservation(&self) -> Reservation {
        Reservation { account: self.clone(), bytes: 0 }
    }

    /// How many bytes all parts hold together.
    pub fn reserved(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// Holds `bytes` in the place of what it held before. They are held even if all parts have too much then: see
    /// [`is_over`](Self::is_over).
    pub fn hold(&mut self, bytes: usize) {
        // One worker, one thread: nobody comes in between.
        let others = self.account.reserved().saturating_sub(self.bytes);
        self.account.0.store(others.saturating_add(bytes), Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// Whether all parts of the account together hold more than [`WORKER_MAX`].
    pub fn is_over(&self) -> bool {
        self.account.reserved() > WORKER_MAX
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_the_sum_of_its_reservations() {
        let account = MemoryAccount::default();
        let (mut one, mut other) = (account.reservation(), account.reservation());
        one.hold(10);
        other.hold(20);
        one.hold(5);
        assert_eq!(account.reserved(), 25);
        drop(one);
        assert_eq!(account.reserved(), 20);
        other.hold(WORKER_MAX);
        assert!(!other.is_over());
        let mut third = account.reservation();
        third.hold(1);
        assert!(third.is_over() && other.is_over());
        drop((other, third));
        assert_eq!(account.reserved(), 0);
    }
}
