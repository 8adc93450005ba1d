//! Which events have been counted already.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A digest of an id, the same at all workers of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdDigest(pub u64);

/// The last [`CAPACITY`] ids, as digests: an upstream repeats an event soon or never. Empty, it allocates nothing.
#[derive(Debug, Default)]
pub(super) struct RecentIds {
    digests: VecDeque<IdDigest>,
}

const CAPACITY: usize = 64;

impl IdDigest {
    /// The digest of an id.
    pub fn of(id: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl RecentIds {
    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.digests.capacity().saturating_mul(size_of::<IdDigest>())
    }

    /// Whether an id was noted.
    pub(super) fn contains(&self, id: IdDigest) -> bool {
        self.digests.contains(&id)
    }

    /// Notes an id, and says whether it is new.
    pub(super) fn insert(&mut self, id: IdDigest) -> bool {
        if self.digests.contains(&id) {
            return false;
        }
        if self.digests.len() == CAPACITY {
            self.digests.pop_front();
        }
        self.digests.push_back(id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ids_are_known_and_older_ones_forgotten() {
        let mut ids = RecentIds::default();
        let mut insert = |id: usize| ids.insert(IdDigest::of(id));
        assert!(insert(0));
        assert!(!insert(0));
        for id in 1..=CAPACITY {
            assert!(insert(id));
        }
        assert!(!insert(1));
        assert!(insert(0));
        assert_eq!(ids.digests.len(), CAPACITY);
        assert!(ids.digests.capacity() <= 2 * CAPACITY);
    }
}
