//! A client secret on its way: what its request said, until the upstream's response is sealed.

use std::sync::Arc;

use super::admission::Admission;
use super::context::Context;
use super::denials::{
    another_user, invalid_mint_response, mint_denial, overloaded, route_not_allowed, too_long, unkept_limits,
    unsealable,
};
use super::pooled_key::PooledKey;
use super::redaction::Redaction;
use super::upstream::Upstream;
use crate::client_secret::claims::{ClaimTooLong, Claims, unix_seconds};
use crate::client_secret::sealing::Sealed;
use crate::client_secret::{
    GatewayObject, InvalidMintResponse, MAX_RESPONSE, MintRequest, MintResponse, local_response,
};
use crate::config::{MintMode, Plan, Secrets};
use crate::denial::{Denial, Subject};
use crate::endpoint::{Endpoint, Mint};
use crate::host::StreamHost;
use crate::http::decoded;
use crate::memory::{Overdrawn, Reservation};
use crate::policy::{Placement, Provider};
use crate::secret::Secret;

/// What is kept of a mint request for its response.
pub(crate) struct Minting {
    caller: String,
    provider: Arc<Provider>,
    policy: String,
    model: Option<String>,
    transcription_model: Option<String>,
    /// The provider's key that is asked with, if it is one of several.
    key: Option<Box<PooledKey>>,
    gateway: GatewayObject,
    issued_at: u64,
    expires_at: u64,
    reservation: Reservation,
}

/// A mint request's response on its way back: gathered, to be sealed.
pub(crate) struct Sealing {
    minting: Box<Minting>,
    content_encoding: Vec<u8>,
    /// At most [`MAX_RESPONSE`] bytes.
    body: Vec<u8>,
}

/// What becomes of a mint request.
pub(crate) enum Minted {
    /// It goes on, with this body; the upstream's response is to be sealed.
    Forward(String, Box<Minting>),
    /// It is answered here.
    Reply(String),
}

/// What a mint request comes to, whose model came to `choice`.
pub(crate) fn request(
    secrets: &Secrets,
    admission: &Admission,
    request: &MintRequest<'_>,
    upstream: &Upstream<'_>,
    cx: &Context<'_>,
) -> Result<Minted, Denial> {
    let host = cx.host;
    if !admission.policy.is_metered && request.gateway.needs_metering() {
        return Err(unkept_limits());
    }
    let user = match (&admission.user, &request.gateway.user) {
        (Some(own), Some(named)) if own != named => return Err(another_user()),
        (own, named) => own.as_ref().or(named.as_ref()).cloned(),
    };
    let max_ttl = secrets.max_ttl.as_secs();
    let now = unix_seconds(host.now());
    let minting = Minting {
        caller: admission.caller.name.clone(),
        provider: upstream.provider.clone(),
        policy: admission.policy.name.clone(),
        model: upstream.model.map(str::to_owned),
        transcription_model: request.transcription_model().map(str::to_owned),
        key: None,
        gateway: GatewayObject { user, ..request.gateway.clone() },
        issued_at: now,
        expires_at: request.expires_at(now, max_ttl),
        reservation: admission.reserve(Minting::size(admission, request, upstream), 0, &cx.worker.memory)?,
    };
    let body = request.rewrite(upstream.model, max_ttl);
    match secrets.minting {
        MintMode::Off => Err(route_not_allowed()),
        MintMode::Sealed => Ok(Minted::Forward(body, Box::new(minting))),
        MintMode::Local => {
            let Endpoint::Mint(kind) = admission.endpoint else { return Err(route_not_allowed()) };
            let sealed = minting.seal(secrets, None, minting.expires_at, host)?;
            let random = host.random_bytes().ok_or_else(unsealable)?;
            Ok(Minted::Reply(local_response(kind, &body, &sealed, minting.expires_at, &random)))
        }
    }
}

/// Parses the body of a mint request.
pub(crate) fn parse(kind: Mint, body: &[u8]) -> Result<MintRequest<'_>, Denial> {
    MintRequest::parse(kind, body).map_err(mint_denial)
}

impl Minting {
    /// What must not come back.
    pub(crate) fn redaction(&self) -> Redaction {
        Redaction::of_key(&self.provider)
    }

    /// How many bytes it holds.
    fn size(admission: &Admission, request: &MintRequest<'_>, upstream: &Upstream<'_>) -> usize {
        let names = [&admission.caller.name, &upstream.provider.name, &admission.policy.name];
        let names: usize = names.into_iter().map(String::len).sum();
        let user = admission.user.as_ref().map_or(0, String::len);
        size_of::<Self>() + names + user + upstream.model.map_or(0, str::len) + request.gateway.held()
    }

    /// The provider that is asked.
    pub(crate) fn provider(&self) -> &str {
        &self.provider.name
    }

    /// It is asked with this.
    pub(crate) fn set_key(&mut self, sent: Option<&(Placement, Arc<Secret>)>) {
        self.key = PooledKey::of(&self.provider, sent);
    }

    /// The provider's key that is asked with, if it is one of several.
    pub(crate) fn key(&mut self) -> Option<&mut PooledKey> {
        self.key.as_deref_mut()
    }

    /// Who asked for the secret, and what it was to be for.
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            caller: Some(self.caller.clone()),
            user: self.gateway.user.clone(),
            policy: Some(self.policy.clone()),
            provider: Some(self.provider.name.clone()),
            model: self.model.clone(),
        }
    }

    /// The body that the client gets for the upstream's.
    pub(crate) fn answer(&self, secrets: &Secrets, body: &[u8], host: &dyn StreamHost) -> Result<Vec<u8>, Denial> {
        let answer = MintResponse::parse(body).map_err(invalid_mint_response)?;
        let expires_at = self.expires_at.min(answer.expires_at);
        let sealed = self.seal(secrets, Some(answer.secret.expose()), expires_at, host)?;
        answer.with_sealed(&sealed, expires_at).map_err(invalid_mint_response)
    }

    fn seal(
        &self,
        secrets: &Secrets,
        upstream: Option<&[u8]>,
        expires_at: u64,
        host: &dyn StreamHost,
    ) -> Result<Sealed, Denial> {
        let claims = Claims {
            caller: &self.caller,
            provider: &self.provider.name,
            policy: &self.policy,
            issued_at: self.issued_at,
            expires_at,
            model: self.model.as_deref(),
            user: self.gateway.user.as_deref(),
            origin: self.gateway.origin.as_deref(),
            limits: self.gateway.limits,
            upstream,
            lock: self.gateway.lock.as_deref(),
            transcription_model: self.transcription_model.as_deref(),
            key: self.key.as_deref().map(PooledKey::name),
        };
        let nonce = host.random_bytes().ok_or_else(unsealable)?;
        secrets.keys.seal(&claims, &nonce).map_err(|ClaimTooLong(claim)| too_long(claim))
    }
}

impl Sealing {
    /// Who asked for the secret, and what it was to be for.
    pub(crate) fn subject(&self) -> Subject {
        self.minting.subject()
    }

    /// A response of which no body has come yet.
    pub(crate) fn new(minting: Box<Minting>, content_encoding: Vec<u8>) -> Self {
        Self { minting, content_encoding, body: Vec::new() }
    }

    /// Adds more of the body, unless that makes it too long, or there is no memory for it.
    pub(crate) fn gather(&mut self, chunk: &[u8]) -> Result<(), Denial> {
        if self.body.len().saturating_add(chunk.len()) > MAX_RESPONSE {
            return Err(invalid_mint_response(InvalidMintResponse::TooLong));
        }
        self.body.extend_from_slice(chunk);
        let held = size_of::<Self>() + size_of::<Minting>() + self.content_encoding.capacity() + self.body.capacity();
        self.minting.reservation.hold(held).map_err(|Overdrawn| overloaded())
    }

    /// The whole body, with the secret sealed.
    pub(crate) fn seal(&self, plan: &Plan, host: &dyn StreamHost) -> Result<Vec<u8>, Denial> {
        let secrets = plan.secrets.as_ref().ok_or_else(route_not_allowed)?;
        let body = decoded(Some(&self.content_encoding), &self.body, MAX_RESPONSE);
        let body = body.map_err(|error| invalid_mint_response(error.into()))?;
        self.minting.answer(secrets, &body, host)
    }
}
