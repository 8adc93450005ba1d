//! What an opened client secret allows: its provider, model, page and limits.

use std::sync::Arc;

use super::claims::SecretLimits;
use crate::policy::Provider;
use crate::secret::Secret;

/// What an opened client secret says beyond its caller and policy.
pub struct OpenedSecret {
    /// The provider that it is good for.
    pub provider: Arc<Provider>,
    /// The model that it was minted for, as the provider calls it.
    pub model: Option<String>,
    /// The caller's name for the person behind the client.
    pub user: Option<String>,
    /// The only page that may use it.
    pub origin: Option<String>,
    /// The limits of what it opens.
    pub limits: SecretLimits,
    /// The upstream's own secret; without one, the provider's key is used.
    pub upstream: Option<Secret>,
}

impl OpenedSecret {
    /// Bytes that are held beside the secret itself.
    pub fn held(&self) -> usize {
        let texts = [&self.model, &self.user, &self.origin].into_iter().flatten().map(String::capacity);
        texts.sum::<usize>() + self.upstream.as_ref().map_or(0, |upstream| upstream.expose().len())
    }
}
