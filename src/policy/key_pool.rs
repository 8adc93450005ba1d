//! The keys of a provider, drawn at random by their weights.

use std::sync::Arc;
use std::time::Duration;

use crate::secret::Secret;

/// A key, with its share of the requests.
pub struct Key {
    /// Its name in the pool; empty for an only key.
    pub name: String,
    /// What is sent: the prefix, then the key.
    pub value: Arc<Secret>,
    /// Its share; at least 1.
    pub weight: u32,
}

/// The keys of a provider: at least one.
pub struct KeyPool {
    first: Key,
    others: Vec<Key>,
    /// How long a key rests that is refused for the first time.
    pub(super) cool_down: Duration,
}

impl KeyPool {
    /// A pool of these keys.
    pub fn new(first: Key, others: Vec<Key>, cool_down: Duration) -> Self {
        Self { first, others, cool_down }
    }

    /// Whether this is one of several.
    pub fn has_others_than(&self, value: &Arc<Secret>) -> bool {
        !self.others.is_empty() && self.iter().any(|key| Arc::ptr_eq(&key.value, value))
    }

    /// The key of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Secret>> {
        self.iter().find(|key| key.name == name).map(|key| &key.value)
    }

    /// The name of a key that was drawn from here, if it has one.
    pub fn name_of(&self, value: &Arc<Secret>) -> Option<&str> {
        let drawn = self.iter().find(|key| Arc::ptr_eq(&key.value, value))?;
        (!drawn.name.is_empty()).then_some(&*drawn.name)
    }

    /// All keys.
    pub fn iter(&self) -> impl Iterator<Item = &Key> + Clone {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// A key at random by weight, of those that are `left` if there are any. `roll` gives 64 random bits; it is asked only
    /// where there is a choice.
    pub fn pick(&self, left: impl Fn(&Arc<Secret>) -> bool, roll: impl FnOnce() -> u64) -> &Arc<Secret> {
        if self.others.is_empty() {
            return &self.first.value;
        }
        let weight_of = |key: &Key| if left(&key.value) { u64::from(key.weight) } else { 0 };
        let total: u64 = self.iter().map(weight_of).sum();
        if total == 0 {
            return self.drawn(roll(), |key| u64::from(key.weight));
        }
        self.drawn(roll(), weight_of)
    }

    fn drawn(&self, roll: u64, weight_of: impl Fn(&Key) -> u64) -> &Arc<Secret> {
        let total: u64 = self.iter().map(&weight_of).sum();
        let mut left = roll % total.max(1);
        let drawn = self.others.iter().find(|key| {
            let weight = weight_of(key);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        });
        &drawn.unwrap_or(&self.first).value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL_DOWN: Duration = Duration::from_secs(30);

    fn key(value: &str, weight: u32) -> Key {
        Key { name: value.to_owned(), value: Arc::new(Secret::new(value.into())), weight }
    }

    #[test]
    fn keys_are_drawn_by_their_weights() {
        let pool = KeyPool::new(key("a", 3), vec![key("b", 1), key("c", 2)], COOL_DOWN);
        let mut drawn = [0; 3];
        for roll in 0..6_000 {
            match pool.pick(|_| true, || roll).expose() {
                b"a" => drawn[0] += 1,
                b"b" => drawn[1] += 1,
                _ => drawn[2] += 1,
            }
        }
        assert_eq!(drawn, [3_000, 1_000, 2_000]);
    }

    #[test]
    fn keys_that_rest_are_drawn_only_if_there_are_no_others() {
        let pool = KeyPool::new(key("a", 3), vec![key("b", 1), key("c", 2)], COOL_DOWN);
        let drawn = |resting: &[&str]| {
            let left = |value: &Arc<Secret>| !resting.iter().any(|name| name.as_bytes() == value.expose());
            let mut drawn: Vec<_> = (0..60).map(|roll| pool.pick(left, || roll).expose()).collect();
            drawn.sort();
            drawn.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect::<Vec<_>>()
        };
        assert_eq!(drawn(&["a"]), [(b"b".as_slice(), 20), (b"c", 40)]);
        assert_eq!(drawn(&["b"]), [(b"a".as_slice(), 36), (b"c", 24)]);
        assert_eq!(drawn(&["b", "c"]), [(b"a".as_slice(), 60)]);
        assert_eq!(drawn(&["a", "b", "c"]), drawn(&[]));
    }

    #[test]
    fn a_key_that_was_drawn_is_found_again_by_its_name() {
        let pool = KeyPool::new(key("a", 1), vec![key("b", 1)], COOL_DOWN);
        for roll in 0..2 {
            let drawn = pool.pick(|_| true, || roll);
            let name = pool.name_of(drawn).unwrap();
            assert!(Arc::ptr_eq(pool.named(name).unwrap(), drawn));
        }
        assert!(pool.named("c").is_none() && pool.name_of(&key("a", 1).value).is_none());
        let only = KeyPool::new(Key { name: String::new(), ..key("a", 1) }, vec![], COOL_DOWN);
        assert_eq!(only.name_of(only.pick(|_| true, || 0)), None);
    }

    #[test]
    fn a_single_key_needs_no_randomness() {
        let pool = KeyPool::new(key("a", 1), vec![], COOL_DOWN);
        assert_eq!(pool.pick(|_| true, || panic!("asked for randomness")).expose(), b"a");
    }
}
