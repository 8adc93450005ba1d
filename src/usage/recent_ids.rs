//! Which events have been counted already.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The last [`CAPACITY`] ids, as hashes: an upstream repeats an event soon or never. Empty, it allocates nothing.
#[derive(Debug, Default)]
pub(super) struct RecentIds {
    hashes: VecDeque<u64>,
}

const CAPACITY: usize = 64;

impl RecentIds {
    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.hashes.capacity().saturating_mul(size_of::<u64>())
    }

    /// Notes an id, and says whether it is new.
    pub(super) fn insert(&mut self, id: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let hash = hasher.finish();
        if self.hashes.contains(&hash) {
            return false;
        }
        if self.hashes.len() == CAPACITY {
            self.hashes.pop_front();
        }
        self.hashes.push_back(hash);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ids_are_known_and_older_ones_forgotten() {
        let mut ids = RecentIds::default();
        assert!(ids.insert(0_usize));
        assert!(!ids.insert(0_usize));
        for id in 1..=CAPACITY {
            assert!(ids.insert(id));
        }
        assert!(!ids.insert(1_usize));
        assert!(ids.insert(0_usize));
        assert_eq!(ids.hashes.len(), CAPACITY);
        assert!(ids.hashes.capacity() <= 2 * CAPACITY);
    }
}
