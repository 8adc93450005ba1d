//! Who sent a request: whoever Envoy says it is, else whose token it came with, a caller's own or a client secret that one
//! minted.

use std::sync::Arc;

use super::denials::{missing_token, route_not_allowed, token_denial, two_callers, two_identified, unusable_user};
use crate::client_secret::OpenedSecret;
use crate::client_secret::claims::{Claims, unix_seconds};
use crate::client_secret::sealing::{CLOCK_SKEW, OpenError, PREFIX, Plaintext, SealingKeys};
use crate::config::{BeganWith, Plan};
use crate::credential::{Caller, Properties, PropertyValue, TokenError, TwoCallers, VerifiedProperty};
use crate::denial::Denial;
use crate::host::StreamHost;
use crate::json::paths::InvalidPath;
use crate::policy::Policy;
use crate::process::{Share, TallyKey};

/// The longest name of a user, in bytes, wherever it comes from.
const LONGEST_USER: usize = 512;

/// Who it is, and what its token says.
pub(crate) struct Identified {
    /// Who it is, or who minted its client secret.
    pub caller: Arc<Caller>,
    /// The person behind it: as its client secret says, else as Envoy does.
    pub user: Option<String>,
    /// What its token says, being a client secret.
    pub client_secret: Option<Box<OpenedSecret>>,
    /// Its part in what all sessions of that secret may use up together, if that is limited.
    pub share: Option<Box<Share>>,
    /// What is kept of it as long as what it opens lasts.
    pub began_with: BeganWith,
}

impl Identified {
    /// Who it is. What Envoy says decides: a token beside it is only removed, but for a client secret, whose holder gets no
    /// more than was minted. A caller's own token may begin as client secrets do.
    ///
    /// # Errors
    ///
    /// If Envoy says nothing of it and the token is missing, nobody's, over, or a secret that is not for this policy; if it
    /// is two callers at once.
    pub(crate) fn of(
        token: Option<&[u8]>,
        plan: &Plan,
        policy: &Policy,
        host: &dyn StreamHost,
    ) -> Result<Self, Denial> {
        let mut properties = Properties::new(host);
        let identity = plan.callers.identified(&mut properties).map_err(|TwoCallers| two_identified())?;
        let secret = match token {
            Some(token) => by_secret(token, plan, policy, host)?,
            None => None,
        };
        let identified = match (identity, secret, token) {
            (Some((caller, _)), Some(secret), _) if caller.name != secret.caller.name => return Err(two_callers()),
            (_, Some(secret), _) => secret,
            (Some((caller, property)), None, _) => Self::by_identity(caller, property),
            (None, None, Some(token)) => Self::by_token(token, plan, host)?,
            (None, None, None) => return Err(missing_token(plan)),
        };
        match (&identified.caller.user, &identified.user) {
            (Some(path), None) => Ok(Self { user: user(properties.at(path))?, ..identified }),
            _ => Ok(identified),
        }
    }

    fn by_identity(caller: &Arc<Caller>, property: VerifiedProperty) -> Self {
        let began_with = BeganWith::Identity(property);
        Self { caller: caller.clone(), user: None, client_secret: None, share: None, began_with }
    }

    fn by_token(token: &[u8], plan: &Plan, host: &dyn StreamHost) -> Result<Self, Denial> {
        let (token, digest) = plan.callers.find(token, || host.now()).map_err(token_denial)?;
        let began_with = BeganWith::Token(digest, token.validity.not_after);
        Ok(Self { caller: token.caller.clone(), user: None, client_secret: None, share: None, began_with })
    }
}

/// The user whom a property names.
fn user(value: &PropertyValue) -> Result<Option<String>, Denial> {
    match value {
        PropertyValue::Text(user) if user.len() <= LONGEST_USER => Ok(Some(user.clone())),
        PropertyValue::Absent => Ok(None),
        // Whoever it is, what it uses would be nobody's.
        PropertyValue::Text(_) | PropertyValue::Unusable => Err(unusable_user()),
    }
}

/// Who minted a token, if it is a client secret.
fn by_secret(token: &[u8], plan: &Plan, policy: &Policy, host: &dyn StreamHost) -> Result<Option<Identified>, Denial> {
    let Some(secrets) = plan.secrets.as_ref().filter(|_| token.starts_with(PREFIX)) else { return Ok(None) };
    let mut plaintext = Plaintext::default();
    match secrets.keys.open(token, unix_seconds(host.now()), &mut plaintext) {
        Ok(claims) => opened(plan, policy, &claims, token).map(Some),
        Err(OpenError::Expired) => Err(token_denial(TokenError::Expired)),
        Err(OpenError::NotSealed | OpenError::Invalid) => Ok(None),
    }
}

fn opened(plan: &Plan, policy: &Policy, claims: &Claims<'_>, token: &[u8]) -> Result<Identified, Denial> {
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
    let share = (!limits.is_none()).then(|| {
        let kept_until = claims.expires_at.saturating_add(CLOCK_SKEW);
        Box::new(Share { key: TallyKey::of(token), limits, kept_until })
    });
    let (client_secret, began_with) = (Some(Box::new(client_secret)), BeganWith::ClientSecret(key));
    let user = claims.user.map(str::to_owned);
    Ok(Identified { caller: caller.clone(), user, client_secret, share, began_with })
}
