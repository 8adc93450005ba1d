//! Providers: which there are, and where their credential goes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use super::key_pool::KeyPool;
use super::resting_keys::RestingKeys;
use crate::http::HeaderName;
use crate::secret::Secret;

/// One provider of the configuration.
pub struct Provider {
    /// The name, which a model may begin with.
    pub name: String,
    /// What it is.
    pub kind: ProviderKind,
    /// What the filter adds to a request.
    pub credential: Credential,
    /// Headers that pick the provider's account: `openai-organization`, `openai-project`.
    pub account: Vec<(&'static str, String)>,
}

/// How a key is chosen, where there are several.
pub struct KeyChoice<'a> {
    /// Those that are left out.
    pub resting: &'a RestingKeys,
    /// The time.
    pub now: SystemTime,
    /// Gives 64 random bits.
    pub roll: &'a dyn Fn() -> u64,
}

/// The kinds of providers: each has its own place for the credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProviderKind {
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
        name: HeaderName,
        /// What stands before the key, such as `Bearer `.
        prefix: Cow<'static, str>,
    },
    /// Into this query parameter.
    Query(String),
}

impl Provider {
    /// What a request goes on with, and where that is put: the upstream's own secret if it came with one, else a key of the
    /// provider's, else nothing.
    pub fn credential(&self, upstream: Option<&Secret>, choice: &KeyChoice<'_>) -> Option<(Placement, Arc<Secret>)> {
        match (upstream, &self.credential) {
            (Some(secret), _) => {
                let placement = self.kind.placement();
                let value = placement.value(secret);
                Some((placement, value))
            }
            (None, Credential::External) => None,
            (None, Credential::Keys(placement, pool)) => Some((placement.clone(), choice.of(pool).clone())),
        }
    }

    /// The provider's key of this name, as what began with it must go on with it; if there is none any more, one as any
    /// request has.
    pub fn key_named(&self, name: Option<&str>, choice: &KeyChoice<'_>) -> Option<(Placement, Arc<Secret>)> {
        match (&self.credential, name) {
            (Credential::Keys(placement, pool), Some(name)) => {
                let key = pool.named(name).unwrap_or_else(|| choice.of(pool));
                Some((placement.clone(), key.clone()))
            }
            _ => self.credential(None, choice),
        }
    }

    /// The names of the provider's keys, if there are several.
    pub fn pooled_keys(&self) -> impl Iterator<Item = &str> {
        let pool = match &self.credential {
            Credential::Keys(_, pool) if pool.iter().nth(1).is_some() => Some(pool),
            Credential::Keys(..) | Credential::External => None,
        };
        pool.into_iter().flat_map(KeyPool::iter).map(|key| key.name.as_str())
    }

    /// Whether this is one of several keys of the provider's.
    pub fn has_others_than(&self, value: &Arc<Secret>) -> bool {
        matches!(&self.credential, Credential::Keys(_, pool) if pool.has_others_than(value))
    }

    /// The name of a key that was chosen here, if it is one of several.
    pub fn key_name(&self, value: &Arc<Secret>) -> Option<&str> {
        match &self.credential {
            Credential::Keys(_, pool) => pool.name_of(value),
            Credential::External => None,
        }
    }
}

impl Provider {
    /// All keys of the provider's, without what is put before them.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let (pool, prefix) = match &self.credential {
            Credential::External => (None, 0),
            Credential::Keys(placement, pool) => (Some(pool), placement.prefix().len()),
        };
        pool.into_iter().flat_map(KeyPool::iter).map(move |key| key.value.expose().get(prefix..).unwrap_or_default())
    }
}

impl KeyChoice<'_> {
    fn of<'p>(&self, pool: &'p KeyPool) -> &'p Arc<Secret> {
        pool.pick(|key| !self.resting.has(key, self.now), self.roll)
    }
}

impl ProviderKind {
    /// Where this kind takes its credential.
    pub fn placement(&self) -> Placement {
        let header = |name, prefix| Placement::Header { name: HeaderName::Known(name), prefix: Cow::Borrowed(prefix) };
        match self {
            Self::OpenAi | Self::Xai => header("authorization", "Bearer "),
            Self::AzureOpenAi => header("api-key", ""),
            Self::Gemini => header("x-goog-api-key", ""),
            Self::Anthropic => header("x-api-key", ""),
            Self::Custom(placement) => placement.clone(),
        }
    }
}

impl Placement {
    /// What is sent there for a credential: behind the prefix in a header, bare in a query.
    pub fn value(&self, credential: &Secret) -> Arc<Secret> {
        Arc::new(Secret::new([self.prefix(), credential.expose()].concat()))
    }

    fn prefix(&self) -> &[u8] {
        match self {
            Self::Header { prefix, .. } => prefix.as_bytes(),
            Self::Query(_) => b"",
        }
    }
}

/// The credential that a request goes on with.
pub enum Credential {
    /// A later filter of Envoy's adds it; this one never knows it.
    External,
    /// One of these keys, put there.
    Keys(Placement, KeyPool),
}
