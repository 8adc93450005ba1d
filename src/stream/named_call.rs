//! The call that a request names: what the upstream calls it, and whose it is.

use std::sync::Arc;
use std::time::Duration;

use super::denials::{call_not_allowed, raw_call_id};
use crate::call::sealed_id::CallClaims;
use crate::client_secret::sealing::{OpenError, Plaintext};
use crate::config::Plan;
use crate::credential::Caller;
use crate::denial::Denial;
use crate::endpoint::CallId;
use crate::limit::SessionLimits;
use crate::policy::{Permission, Policy, Provider};
use crate::process::{CallName, Sessions, Share};

/// A call that a request names, and may.
pub(crate) struct NamedCall {
    /// The upstream's id for it.
    pub id: CallId,
    /// What the id says that the client has; nothing if that is the upstream's own.
    pub sealed: Option<SealedCall>,
}

/// What a sealed id says of its call beyond the owner.
pub(crate) struct SealedCall {
    /// Who serves it.
    pub provider: Arc<Provider>,
    /// The name of the provider's key that it began with, if it is one of several.
    pub key: Option<String>,
    /// What it may use up by its policy.
    pub limits: SessionLimits,
    /// How long it may last by the client secret that it began with.
    pub max_duration: Option<Duration>,
    /// Its part in what all sessions of that secret may use up together.
    pub share: Option<Share>,
}

/// Who names a call.
pub(crate) struct Claimant<'a> {
    /// The configuration.
    pub plan: &'a Plan,
    /// The route's policy.
    pub policy: &'a Policy,
    /// Whose token it is.
    pub caller: &'a Caller,
    /// The user, if one is known.
    pub user: Option<&'a str>,
}

impl NamedCall {
    /// Opens an id. Where there are sealing keys only what they sealed names a call, unless the policy says otherwise.
    ///
    /// # Errors
    ///
    /// If the id is none here, or the call another caller's, or another user's where both have one.
    pub(crate) fn new(id: &CallId, claimant: &Claimant<'_>, sessions: &mut Sessions) -> Result<Self, Denial> {
        let Some(secrets) = &claimant.plan.secrets else { return Self::raw(id, claimant, sessions) };
        let mut plaintext = Plaintext::default();
        match CallClaims::open(id, &secrets.keys, &mut plaintext) {
            Ok(claims) => Self::opened(&claims, claimant),
            Err(OpenError::NotSealed) if claimant.policy.calls.raw_ids == Permission::Allowed => {
                Self::raw(id, claimant, sessions)
            }
            Err(OpenError::NotSealed) => Err(raw_call_id()),
            Err(OpenError::Invalid | OpenError::Expired) => Err(call_not_allowed()),
        }
    }

    /// The name of the provider's key that it began with, if that is known.
    pub(crate) fn key(&self) -> Option<&str> {
        self.sealed.as_ref().and_then(|sealed| sealed.key.as_deref())
    }

    /// Its part in what the sessions of a client secret may use up together, if that is known.
    pub(crate) fn share(&self) -> Option<Share> {
        self.sealed.as_ref().and_then(|sealed| sealed.share)
    }

    fn opened(claims: &CallClaims<'_>, claimant: &Claimant<'_>) -> Result<Self, Denial> {
        let provider = claimant.policy.providers().find(|provider| provider.name == claims.provider);
        let (Some(provider), Some(id)) = (provider, CallId::of_upstream(claims.id)) else {
            return Err(call_not_allowed());
        };
        claimant.check_owner(claims.caller, claims.user)?;
        let policy = claimant.plan.policies.guarded().find(|policy| policy.name == claims.policy);
        let sealed = SealedCall {
            provider: provider.clone(),
            key: claims.key.map(str::to_owned),
            limits: policy.map(|policy| policy.limits).unwrap_or_default(),
            max_duration: claims.max_duration,
            share: claims.share,
        };
        Ok(Self { id, sealed: Some(sealed) })
    }

    /// Whose an upstream's id is can be told of the calls of this process only.
    fn raw(id: &CallId, claimant: &Claimant<'_>, sessions: &mut Sessions) -> Result<Self, Denial> {
        for provider in claimant.policy.providers() {
            if let Some(known) = sessions.find_call(CallName { provider: &provider.name, id: id.as_str() }) {
                claimant.check_owner(&known.caller, known.user.as_deref())?;
            }
        }
        Ok(Self { id: id.clone(), sealed: None })
    }
}

impl Claimant<'_> {
    fn check_owner(&self, caller: &str, user: Option<&str>) -> Result<(), Denial> {
        let is_users = self.user.zip(user).is_none_or(|(own, user)| own == user);
        if self.caller.name == caller && is_users { Ok(()) } else { Err(call_not_allowed()) }
    }
}
