//! The keys that rest, since an upstream has refused them. Each worker learns by what it is refused itself: no request waits
//! for what another has heard, and a key that comes round again is tried by one of them at a time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::key_pool::KeyPool;
use crate::secret::Secret;

/// The longest that a key rests, however often it is refused.
pub const LONGEST_REST: Duration = Duration::from_secs(600);

/// The keys that one worker lets rest.
#[derive(Default)]
pub struct RestingKeys(Vec<Rest>);

/// A key that was refused, and has not been taken since.
struct Rest {
    key: Arc<Secret>,
    until: SystemTime,
    span: Duration,
}

impl RestingKeys {
    /// Whether a key rests.
    pub fn has(&self, key: &Arc<Secret>, now: SystemTime) -> bool {
        self.of(key).is_some_and(|rest| now < rest.until)
    }

    /// An upstream has refused a key of a pool: how long it rests, if it begins to. The last that is left does not, nor one
    /// that rests already and was on its way.
    pub fn refused(&mut self, pool: &KeyPool, key: &Arc<Secret>, now: SystemTime) -> Option<Duration> {
        let is_other = |other: &Arc<Secret>| !Arc::ptr_eq(other, key) && !self.has(other, now);
        if self.has(key, now) || !pool.iter().any(|other| is_other(&other.value)) {
            return None;
        }
        let span = self.of(key).map_or(pool.cool_down, |rest| rest.span.saturating_mul(2).min(LONGEST_REST));
        self.forget(key);
        self.0.push(Rest { key: key.clone(), until: now + span, span });
        Some(span)
    }

    /// An upstream has taken a key: whether it had refused it before, and that is over.
    pub fn taken(&mut self, key: &Arc<Secret>, now: SystemTime) -> bool {
        let is_over = self.of(key).is_some_and(|rest| now >= rest.until);
        if is_over {
            self.forget(key);
        }
        is_over
    }

    /// A new configuration gives every key another chance.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn of(&self, key: &Arc<Secret>) -> Option<&Rest> {
        self.0.iter().find(|rest| Arc::ptr_eq(&rest.key, key))
    }

    fn forget(&mut self, key: &Arc<Secret>) {
        self.0.retain(|rest| !Arc::ptr_eq(&rest.key, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Key;

    fn pool(names: &[&str]) -> KeyPool {
        let mut keys = names.iter().map(|name| {
            let value = Arc::new(Secret::new(name.as_bytes().to_vec()));
            Key { name: (*name).to_owned(), value, weight: 1 }
        });
        let first = keys.next().unwrap();
        KeyPool::new(first, keys.collect(), Duration::from_secs(30))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_key_that_goes_on_being_refused_rests_twice_as_long_each_time_up_to_ten_minutes() {
        let pool = pool(&["a", "b"]);
        let (a, mut resting) = (pool.named("a").unwrap(), RestingKeys::default());
        let mut now = 1_000;
        for want in [30, 60, 120, 240, 480, 600, 600] {
            assert_eq!(resting.refused(&pool, a, at(now)), Some(Duration::from_secs(want)));
            assert!(resting.has(a, at(now + want - 1)) && !resting.has(a, at(now + want)));
            assert_eq!(resting.refused(&pool, a, at(now + 1)), None, "it was on its way");
            assert!(!resting.taken(a, at(now + 1)), "it was on its way");
            now += want;
        }
        assert!(resting.taken(a, at(now)) && !resting.taken(a, at(now)));
        assert_eq!(resting.refused(&pool, a, at(now)), Some(Duration::from_secs(30)), "it begins anew");
    }

    #[test]
    fn the_last_key_never_rests() {
        let pool = pool(&["a", "b", "c"]);
        let (key, mut resting) = (|name| pool.named(name).unwrap(), RestingKeys::default());
        assert!(resting.refused(&pool, key("a"), at(0)).is_some() && resting.refused(&pool, key("b"), at(0)).is_some());
        assert_eq!(resting.refused(&pool, key("c"), at(1)), None);
        assert!(resting.refused(&pool, key("c"), at(30)).is_some(), "two others are tried again");
        resting.clear();
        assert!(["a", "b", "c"].iter().all(|name| !resting.has(key(name), at(1))));
    }
}
