//! The memory account of a worker: what its streams hold together, and when that is too much for more.
//!
//! ```text
//! 0 ─────────────────────────── three quarters ──────────────── the limit ───▶
//!   all is taken                 new work is refused            so is what grows over its stream's share
//! ```
//!
//! A worker's VM that has used up its memory traps, and takes all its streams with it. So whoever begins something that
//! holds memory asks before that, and whoever holds more than a share asks before it goes on. What an upstream says is
//! read in any case, in a few kilobytes for each stream: neither sessions nor budgets depend on what others hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes a worker's streams may hold together.
const LIMIT: usize = 64 << 20;

/// How many bytes a stream that was admitted may hold in any case: a session, and an ordinary message in it.
pub const SHARE: usize = 2 << 10;

/// What all streams of a worker hold. Clones are the same account.
#[derive(Debug, Clone)]
pub struct MemoryAccount(Arc<Account>);

#[derive(Debug)]
struct Account {
    reserved: AtomicUsize,
    limit: usize,
}

/// One stream's part of an account, which is given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    account: MemoryAccount,
    bytes: usize,
}

/// There is no memory for new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A stream has come to hold more than its share, and all streams together hold more than they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdrawn;

impl MemoryAccount {
    /// An account of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Account { reserved: AtomicUsize::default(), limit }))
    }

    /// How many bytes all parts hold together.
    pub fn reserved(&self) -> usize {
        self.0.reserved.load(Ordering::Relaxed)
    }

    /// How many bytes they may hold.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// A part for new work, which begins with so many bytes.
    ///
    /// # Errors
    ///
    /// If they are not left for new work.
    pub fn admit(&self, bytes: usize) -> Result<Reservation, Full> {
        let for_new_work = self.limit() - self.limit() / 4;
        if self.reserved().saturating_add(bytes) > for_new_work { Err(Full) } else { Ok(self.reserve(bytes)) }
    }

    /// A part of what has been admitted, which begins with so many bytes.
    pub fn reserve(&self, bytes: usize) -> Reservation {
        let mut reservation = Reservation { account: self.clone(), bytes: 0 };
        reservation.replace(bytes);
        reservation
    }
}

impl Default for MemoryAccount {
    fn default() -> Self {
        Self::new(LIMIT)
    }
}

impl Reservation {
    /// Holds `bytes` in the place of what it held before.
    ///
    /// # Errors
    ///
    /// If that is more than before and more than a share, and the account is overdrawn. The account has it all the same,
    /// since it is held: until whoever holds it lets go.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Overdrawn> {
        let is_more = bytes > self.bytes;
        self.replace(bytes);
        let is_refused = is_more && bytes > SHARE && self.account.reserved() > self.account.limit();
        if is_refused { Err(Overdrawn) } else { Ok(()) }
    }

    fn replace(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        // One worker, one thread: nobody comes in between.
        let others = self.account.reserved().saturating_sub(self.bytes);
        self.account.0.reserved.store(others.saturating_add(bytes), Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.replace(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_account_is_the_sum_of_its_reservations() {
        let account = MemoryAccount::default();
        let (mut one, other) = (account.reserve(10), account.reserve(20));
        assert_eq!(one.hold(5), Ok(()));
        assert_eq!(account.reserved(), 25);
        drop(one);
        assert_eq!(account.reserved(), 20);
        drop(other);
        assert_eq!(account.reserved(), 0);
    }

    #[test]
    fn new_work_finds_it_full_at_three_quarters() {
        let account = MemoryAccount::new(100);
        let admitted = account.admit(75).unwrap();
        assert_eq!((account.admit(1).unwrap_err(), account.reserved()), (Full, 75));
        assert!(account.admit(0).is_ok());
        drop(admitted);
        assert!(account.admit(75).is_ok());
        assert_eq!(account.admit(usize::MAX).unwrap_err(), Full);
        let _running = account.reserve(80);
        assert_eq!(account.admit(0).unwrap_err(), Full);
    }

    #[test]
    fn what_runs_is_refused_only_what_grows_over_its_share_in_an_overdrawn_account() {
        let account = MemoryAccount::new(4 * SHARE);
        let mut stream = account.reserve(SHARE + 1);
        assert_eq!(stream.hold(SHARE + 2), Ok(()), "there is room");
        let others = account.reserve(3 * SHARE);
        assert_eq!(stream.hold(SHARE + 2), Ok(()), "it is no more than before");
        assert_eq!(stream.hold(SHARE), Ok(()), "it is a share");
        assert_eq!(stream.hold(SHARE + 1), Err(Overdrawn));
        assert_eq!(account.reserved(), 4 * SHARE + 1, "it is held until its holder lets go");
        drop(others);
        assert_eq!(stream.hold(SHARE + 2), Ok(()));
    }

    proptest! {
        #[test]
        fn nothing_is_left_when_all_are_gone(steps in prop::collection::vec((0_usize..4, 0_usize..4 * SHARE), 0..60)) {
            let account = MemoryAccount::new(8 * SHARE);
            let mut parts: [Option<Reservation>; 4] = Default::default();
            for (index, bytes) in steps {
                parts[index] = match parts[index].take() {
                    None => account.admit(bytes).ok(),
                    // What is refused is let go of.
                    Some(mut part) => part.hold(bytes).is_ok().then_some(part),
                };
                let held: usize = parts.iter().flatten().map(|part| part.bytes).sum();
                prop_assert_eq!(account.reserved(), held);
                prop_assert!(held <= account.limit() + parts.len() * SHARE);
            }
            drop(parts);
            prop_assert_eq!(account.reserved(), 0);
        }
    }
}
