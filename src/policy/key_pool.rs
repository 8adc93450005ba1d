//! The keys of a provider, drawn at random by their weights.

use std::sync::Arc;

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
    total: u64,
}

impl KeyPool {
    /// A pool of these keys.
    pub fn new(first: Key, others: Vec<Key>) -> Self {
        let total = others.iter().map(|key| u64::from(key.weight)).sum::<u64>() + u64::from(first.weight);
        Self { first, others, total }
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

    /// A key at random by weight. `roll` gives 64 random bits; it is asked only where there is a choice.
    pub fn pick(&self, roll: impl FnOnce() -> u64) -> &Arc<Secret> {
        if self.others.is_empty() {
            return &self.first.value;
        }
        let mut left = roll() % self.total.max(1);
        let drawn = self.others.iter().find(|key| {
            let weight = u64::from(key.weight);
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

    fn key(value: &str, weight: u32) -> Key {
        Key { name: value.to_owned(), value: Arc::new(Secret::new(value.into())), weight }
    }

    #[test]
    fn keys_are_drawn_by_their_weights() {
        let pool = KeyPool::new(key("a", 3), vec![key("b", 1), key("c", 2)]);
        let mut drawn = [0; 3];
        for roll in 0..6_000 {
            match pool.pick(|| roll).expose() {
                b"a" => drawn[0] += 1,
                b"b" => drawn[1] += 1,
                _ => drawn[2] += 1,
            }
        }
        assert_eq!(drawn, [3_000, 1_000, 2_000]);
    }

    #[test]
    fn a_key_that_was_drawn_is_found_again_by_its_name() {
        let pool = KeyPool::new(key("a", 1), vec![key("b", 1)]);
        for roll in 0..2 {
            let drawn = pool.pick(|| roll);
            let name = pool.name_of(drawn).unwrap();
            assert!(Arc::ptr_eq(pool.named(name).unwrap(), drawn));
        }
        assert!(pool.named("c").is_none() && pool.name_of(&key("a", 1).value).is_none());
        let only = KeyPool::new(Key { name: String::new(), ..key("a", 1) }, vec![]);
        assert_eq!(only.name_of(only.pick(|| 0)), None);
    }

    #[test]
    fn a_single_key_needs_no_randomness() {
        let pool = KeyPool::new(key("a", 1), vec![]);
        assert_eq!(pool.pick(|| panic!("asked for randomness")).expose(), b"a");
    }
}
