//! Providers: where a credential goes, and which of a pool's keys it is.

use std::borrow::Cow;
use std::rc::Rc;

use crate::secret::Secret;

/// One provider of the configuration.
pub struct Provider {
    /// The name, which a model may begin with.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What the filter adds to a request.
    pub credential: Credential,
    /// Headers that pick the provider's account: `openai-organization`, `openai-project`.
    pub account: Vec<(&'static str, String)>,
}

/// The kinds of providers: each has its own place for the credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// OpenAI.
    OpenAi,
    /// OpenAI's models on Azure.
    AzureOpenAi,
    /// xAI.
    Xai,
    /// Google's Gemini.
    Gemini,
    /// Anthropic.
    Anthropic,
    /// Any other.
    Custom(Placement),
}

/// Where a credential is put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Placement {
    /// Into this header, behind this prefix.
    Header {
        /// The name, in lower case.
        name: Cow<'static, str>,
        /// What stands before the key, such as `Bearer `.
        prefix: Cow<'static, str>,
    },
    /// Into this query parameter.
    Query(String),
}

impl Kind {
    /// Where this kind takes its credential.
    pub fn placement(&self) -> Placement {
        let header = |name, prefix| Placement::Header { name: Cow::Borrowed(name), prefix: Cow::Borrowed(prefix) };
        match self {
            Self::OpenAi | Self::Xai => header("authorization", "Bearer "),
            Self::AzureOpenAi => header("api-key", ""),
            Self::Gemini => header("x-goog-api-key", ""),
            Self::Anthropic => header("x-api-key", ""),
            Self::Custom(placement) => placement.clone(),
        }
    }
}

/// The credential that a request goes on with.
pub enum Credential {
    /// A later filter of Envoy's adds it; this one never knows it.
    External,
    /// One of these keys, put there.
    Keys(Placement, Pool),
}

/// A key, with its share of the requests.
pub struct Key {
    /// What is sent: the prefix, then the key.
    pub value: Rc<Secret>,
    /// Its share; at least 1.
    pub weight: u32,
}

/// The keys of a provider: at least one.
pub struct Pool {
    first: Key,
    others: Vec<Key>,
    total: u64,
}

impl Pool {
    /// A pool of these keys.
    pub fn new(first: Key, others: Vec<Key>) -> Self {
        let total = others.iter().map(|key| u64::from(key.weight)).sum::<u64>() + u64::from(first.weight);
        Self { first, others, total }
    }

    /// A key at random by weight. `roll` gives 64 random bits; it is asked only where there is a choice.
    pub fn pick(&self, roll: impl FnOnce() -> u64) -> &Rc<Secret> {
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
        Key { value: Rc::new(Secret::new(value.into())), weight }
    }

    #[test]
    fn keys_are_drawn_by_their_weights() {
        let pool = Pool::new(key("a", 3), vec![key("b", 1), key("c", 2)]);
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
    fn a_single_key_needs_no_randomness() {
        let pool = Pool::new(key("a", 1), vec![]);
        assert_eq!(pool.pick(|| panic!("asked for randomness")).expose(), b"a");
    }
}
