//! Whose token a request came with: a caller's own, or a client secret that a caller minted.

use std::sync::Arc;

use super::denials::{route_not_allowed, token_denial};
use crate::client_secret::OpenedSecret;
use crate::client_secret::claims::{Claims, unix_seconds};
use crate::client_secret::sealing::{CLOCK_SKEW, OpenError, PREFIX, Plaintext, SealingKeys};
use crate::config::{BeganWith, Plan};
use crate::credential::{Caller, TokenError};
use crate::denial::Denial;
use crate::host::StreamHost;
use crate::json::paths::InvalidPath;
use crate::policy::Policy;
use crate::process::{Share, TallyKey};

/// Whose token it is, and what that says.
pub(crate) struct Identified {
    /// Whose it is, or who minted it.
    pub caller: Arc<Caller>,
    /// What it says, being a client secret.
    pub client_secret: Option<Box<OpenedSecret>>,
    /// Its part in what all sessions of that secret may use up together, if that is limited.
    pub share: Option<Share>,
    /// What is kept of it as long as what it opens lasts.
    pub began_with: BeganWith,
}

impl Identified {
    /// Whose token it is. A caller's own token may begin as client secrets do.
    ///
    /// # Errors
    ///
    /// If it is nobody's, over, or a secret that is not for this policy.
    pub(crate) fn of(token: &[u8], plan: &Plan, policy: &Policy, host: &dyn StreamHost) -> Result<Self, Denial> {
        if let Some(secrets) = plan.secrets.as_ref().filter(|_| token.starts_with(PREFIX)) {
            let mut plaintext = Plaintext::default();
            match secrets.keys.open(token, unix_seconds(host.now()), &mut plaintext) {
                Ok(claims) => return by_secret(plan, policy, &claims, token),
                Err(OpenError::Expired) => return Err(token_denial(TokenError::Expired)),
                Err(OpenError::NotSealed | OpenError::Invalid) => {}
            }
        }
        let (token, digest) = plan.callers.find(token, || host.now()).map_err(token_denial)?;
        let began_with = BeganWith::Token(digest, token.validity.not_after);
        Ok(Self { caller: token.caller.clone(), client_secret: None, share: None, began_with })
    }
}

fn by_secret(plan: &Plan, policy: &Policy, claims: &Claims<'_>, token: &[u8]) -> Result<Identified, Denial> {
    let caller = plan.callers.named(claims.caller).ok_or_else(|| token_denial(TokenError::Invalid))?;
    let provider = policy.providers().find(|provider| provider.name == claims.provider);
    let provider = provider.filter(|_| policy.name == claims.policy).ok_or_else(route_not_allowed)?;
    // Minted when the policy was still metered: what cannot be kept is not promised.
    if !policy.is_metered && (claims.lock.is_some() || claims.limits.need_metering()) {
        return Err(route_not_allowed());
    }
    let client_secret = OpenedSecret::new(claims, policy, provider);
    let client_secret = client_secret.map_err(|InvalidPath(_)| token_denial(TokenError::Invalid))?;
    let key = SealingKeys::id_of(token).ok_or_else(|| token_denial(TokenError::Invalid))?;
    let limits = claims.limits.shared();
    let share = (!limits.is_none()).then(|| Share {
        key: TallyKey::of(token),
        limits,
        kept_until: claims.expires_at.saturating_add(CLOCK_SKEW),
    });
    let (client_secret, began_with) = (Some(Box::new(client_secret)), BeganWith::ClientSecret(key));
    Ok(Identified { caller: caller.clone(), client_secret, share, began_with })
}
