//! The memory account of a worker: what its streams hold together of messages that are not complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    /// Holds `bytes` in the place of what it held before.
    pub fn hold(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        // One worker, one thread: nobody comes in between.
        let others = self.account.reserved().saturating_sub(self.bytes);
        self.account.0.store(others.saturating_add(bytes), Ordering::Relaxed);
        self.bytes = bytes;
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
        drop(other);
        assert_eq!(account.reserved(), 0);
    }
}
