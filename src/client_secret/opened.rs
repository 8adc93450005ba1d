//! What an opened client secret allows: its provider, model, page and limits.

use std::sync::Arc;

use super::claims::SecretLimits;
use crate::limit::SessionLimits;
use crate::policy::Provider;
use crate::secret::Secret;
use crate::usage::MicroUsd;

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
    /// A policy's limits, and this secret's where those are tighter: it can lower them, never raise them.
    pub fn tighten(&self, policy: &SessionLimits) -> SessionLimits {
        let cost = self.limits.max_cost_micro_usd.map(MicroUsd);
        SessionLimits {
            max_duration: tighter(policy.max_duration, self.limits.max_duration),
            idle_timeout: policy.idle_timeout,
            max_tokens: tighter(policy.max_tokens, self.limits.max_tokens),
            max_cost: tighter(policy.max_cost, cost),
        }
    }
}

fn tighter<T: Ord>(policy: Option<T>, secret: Option<T>) -> Option<T> {
    match (policy, secret) {
        (Some(policy), Some(secret)) => Some(policy.min(secret)),
        (policy, secret) => policy.or(secret),
    }
}
