//! Who may do what: the checks of a guarded request, in the order of their precedence.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::SystemTime;

use super::Surroundings;
use super::asking::must_ask;
use super::exchange::is_counted;
use super::refusal::{
    form_denial, limit_denial, missing_token, model_of_another_secret, origin_not_allowed, route_not_allowed,
    token_denial, unreadable_body, unsupported_content_type,
};
use crate::auth::{Caller, Offered, TokenError};
use crate::config::{MintMode, Plan};
use crate::control::Seat;
use crate::denial::Denial;
use crate::glob::Globs;
use crate::inbound::{BodyType, Exchange, Inbound};
use crate::limits::SessionLimits;
use crate::metrics::Began;
use crate::mint::{Endpoint, MintEndpoint, Spelling, endpoint};
use crate::policy::{Policy, Provider, check_path, in_path, in_query};
use crate::secret::Secret;
use crate::secret::claims::{Claims, Limits, unix_seconds};
use crate::secret::seal::{OpenError, PREFIX, Plaintext};
use crate::usage::{Kind, MicroUsd, Record, RecordId, Status, Tally, Timestamp, Traffic};

/// A request that may go on, but for the model that its body may name.
pub struct Admission {
    /// The route's policy.
    pub policy: Rc<Policy>,
    /// Who sent it, or minted the secret that it came with.
    pub caller: Rc<Caller>,
    /// What that secret says, if it came with one.
    pub grant: Option<Grant>,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A WebSocket.
    WebSocket,
    /// A client secret.
    Mint(MintEndpoint),
    /// A WebRTC call.
    Call,
    /// Anything else of the REST API.
    Rest,
}

/// What an opened client secret says beyond its caller and policy.
pub struct Grant {
    /// The provider that it is good for.
    pub provider: Rc<Provider>,
    /// The model that it was minted for, as the provider calls it.
    pub model: Option<String>,
    /// The caller's name for the person behind the client.
    pub user: Option<String>,
    /// The only page that may use it.
    pub origin: Option<String>,
    /// The limits of what it opens.
    pub limits: Limits,
    /// The upstream's own secret; without one, the provider's key is used.
    pub upstream: Option<Secret>,
}

/// Why a request waits for its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyNeed {
    /// The model that it names must be known.
    Model,
    /// It must be empty: a model in it could not be read.
    Absence,
    /// It says what secret to mint.
    Mint(MintEndpoint),
}

/// Who serves a request, and by which name the model is known there.
pub struct Choice<'a> {
    /// Who serves it.
    pub provider: &'a Rc<Provider>,
    /// The model's name there, if one is known.
    pub model: Option<&'a str>,
}

impl Grant {
    /// A policy's limits, and this secret's where those are tighter: it can lower them, never raise them.
    fn tighten(&self, policy: &SessionLimits) -> SessionLimits {
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

impl Admission {
    /// Checks a request up to its model.
    pub fn new(
        plan: &Plan,
        policy: &Rc<Policy>,
        inbound: &Inbound<'_>,
        offered: &Offered<'_>,
        around: &impl Surroundings,
    ) -> Result<Self, Denial> {
        let token = inbound.slots.token(offered, &plan.gateway).map_err(form_denial)?;
        let exchange = inbound.exchange()?;
        let token = token.ok_or_else(|| missing_token(plan))?;
        let (caller, grant) = identify(plan, policy, &token, around)?;
        check_path(&inbound.target)?;
        let purpose = purpose(plan, inbound, exchange, grant.is_some())?;
        if !caller.policies.allows(&policy.name) {
            return Err(route_not_allowed());
        }
        check_origins(inbound, &caller.origins, grant.as_ref().and_then(|grant| grant.origin.as_deref()))?;
        Ok(Self { policy: policy.clone(), caller, grant, purpose })
    }

    /// Why the headers must wait for the body, if they must: it may name a model that decides the provider, has another
    /// name there, or is not allowed, or ask for a stream that tells no usage.
    pub fn body_need(&self, inbound: &Inbound<'_>, ends: bool) -> Result<Option<BodyNeed>, Denial> {
        let has_rule = self.policy.models.is_restricted() || self.caller.models.is_restricted();
        let has_names = self.policy.has_choice() || !self.policy.aliases.is_empty();
        // What draws on a budget of the day must be told.
        let is_strict = has_rule || (self.caller.limits.has_budget() && must_ask(self, inbound));
        // Some answers name no model, and dollars depend on it.
        let is_priced = self.caller.limits.cost_per_day.is_some() && is_counted(self, inbound);
        let has_names = has_names && !passes_without_model(inbound);
        match (self.purpose, inbound.body_type()) {
            // Its messages name the model, and nobody would read them.
            (Purpose::WebSocket, _) if has_rule && !self.policy.is_metered && !is_realtime(inbound) => {
                Err(route_not_allowed())
            }
            (Purpose::WebSocket, _) => Ok(None),
            (Purpose::Mint(_), BodyType::Sdp | BodyType::Other) => Err(unsupported_content_type()),
            (Purpose::Mint(_), BodyType::CodedJson) => Err(unreadable_body()),
            (Purpose::Mint(_), BodyType::Json) if ends => Err(unreadable_body()),
            (Purpose::Mint(endpoint), BodyType::Json) => Ok(Some(BodyNeed::Mint(endpoint))),
            // SDP names no model; a form could.
            (Purpose::Call, BodyType::Sdp) => Ok(None),
            (Purpose::Call, _) if has_rule => Err(unreadable_body()),
            (Purpose::Call, _) => Ok(None),
            (Purpose::Rest, _) if ends || !(is_strict || is_priced || has_names) => Ok(None),
            (Purpose::Rest, BodyType::Json) => Ok(Some(BodyNeed::Model)),
            (Purpose::Rest, BodyType::CodedJson) => Err(unreadable_body()),
            (Purpose::Rest, BodyType::Sdp | BodyType::Other) => Ok(is_strict.then_some(BodyNeed::Absence)),
        }
    }

    /// Resolves the model that a request names in its query or body, and checks it and those that its path names.
    /// `is_subject` says that a request without a model is subject to a rule on models.
    pub fn choose<'a>(
        &'a self,
        inbound: &Inbound<'_>,
        named: Option<&'a str>,
        is_subject: bool,
    ) -> Result<Choice<'a>, Denial> {
        let (policy, models) = (&self.policy, &self.caller.models);
        let (explicit, named) = match named.map(|name| policy.resolve(name)) {
            Some(resolved) => (resolved.provider, Some(resolved.model)),
            None => (None, None),
        };
        let (provider, granted) = match &self.grant {
            None => (explicit.unwrap_or(&policy.default_provider), None),
            Some(grant) if explicit.is_some_and(|provider| provider.name != grant.provider.name) => {
                return Err(route_not_allowed());
            }
            Some(grant) => (&grant.provider, grant.model.as_deref()),
        };
        if let (Some(named), Some(granted)) = (named, granted)
            && named != granted
        {
            return Err(model_of_another_secret());
        }
        let model = named.or(granted);
        let in_path = in_path(&inbound.target, &provider.kind)?;
        for model in &in_path {
            policy.check_model(Some(model), models)?;
        }
        if model.is_some() || (is_subject && in_path.is_empty()) {
            policy.check_model(model, models)?;
        }
        Ok(Choice { provider, model })
    }

    /// The model that the query names, where it is the query that names it.
    pub fn named_in_query<'a>(&self, inbound: &Inbound<'a>) -> Result<Option<Cow<'a, str>>, Denial> {
        match self.purpose {
            Purpose::WebSocket | Purpose::Call => in_query(&inbound.target, &self.policy),
            Purpose::Mint(_) | Purpose::Rest => Ok(None),
        }
    }

    /// What a session may use up: the policy's limits, and the client secret's where those are tighter.
    pub fn limits(&self) -> SessionLimits {
        let policy = self.policy.limits;
        self.grant.as_ref().map_or(policy, |grant| grant.tighten(&policy))
    }

    /// The last of all checks: whether the caller may start this now. Only a session has a seat.
    pub fn start(&self, around: &impl Surroundings) -> Result<Option<Seat>, Denial> {
        let mut process = around.process().borrow_mut();
        let started = match self.purpose {
            Purpose::WebSocket | Purpose::Call => process.admit(&self.caller, || around.now()).map(Some),
            Purpose::Mint(_) | Purpose::Rest => process.check_budget(&self.caller, || around.now()).map(|()| None),
        };
        started.map_err(limit_denial)
    }

    /// What a session is counted as when it begins.
    pub fn began<'a>(&'a self, provider: &'a Provider, kind: Kind) -> Began<'a> {
        Began { caller: &self.caller.name, policy: &self.policy.name, provider: &provider.name, kind }
    }

    /// The record of a session that begins now.
    pub fn record(&self, id: u128, provider: String, now: SystemTime) -> Record {
        Record {
            id: RecordId::new(id),
            kind: Kind::WebSocket,
            status: Status::Open,
            upstream_id: None,
            caller: self.caller.name.clone(),
            user: self.grant.as_ref().and_then(|grant| grant.user.clone()),
            policy: self.policy.name.clone(),
            provider,
            model: None,
            started_at: Timestamp::from(now),
            duration_ms: 0,
            idle_ms: 0,
            usage: Tally::default(),
            cost_usd: MicroUsd(0),
            frames: Traffic::default(),
            bytes: Traffic::default(),
            close: None,
            incomplete: false,
        }
    }

    /// The upstream's own secret that this request came with, sealed.
    pub fn upstream_secret(&self) -> Option<&Secret> {
        self.grant.as_ref().and_then(|grant| grant.upstream.as_ref())
    }
}

/// Whether a request of this method need not name a model.
pub fn passes_without_model(inbound: &Inbound<'_>) -> bool {
    matches!(inbound.method, b"GET" | b"HEAD" | b"DELETE" | b"OPTIONS")
}

/// Whose token it is. A caller's own token may begin as client secrets do.
fn identify(
    plan: &Plan,
    policy: &Policy,
    token: &[u8],
    around: &impl Surroundings,
) -> Result<(Rc<Caller>, Option<Grant>), Denial> {
    if let Some(secrets) = plan.secrets.as_ref().filter(|_| token.starts_with(PREFIX)) {
        let mut plaintext = Plaintext::default();
        match secrets.keys.open(token, unix_seconds(around.now()), &mut plaintext) {
            Ok(claims) => return granted(plan, policy, &claims),
            Err(OpenError::Expired) => return Err(token_denial(TokenError::Expired)),
            Err(OpenError::NotSealed | OpenError::Invalid) => {}
        }
    }
    let caller = plan.callers.find(token, || around.now()).map_err(token_denial)?;
    Ok((caller.clone(), None))
}

fn granted(plan: &Plan, policy: &Policy, claims: &Claims<'_>) -> Result<(Rc<Caller>, Option<Grant>), Denial> {
    let caller = plan.callers.named(claims.caller).ok_or_else(|| token_denial(TokenError::Invalid))?;
    let provider = policy.providers().find(|provider| provider.name == claims.provider);
    let provider = provider.filter(|_| policy.name == claims.policy).ok_or_else(route_not_allowed)?;
    let grant = Grant {
        provider: provider.clone(),
        model: claims.model.map(str::to_owned),
        user: claims.user.map(str::to_owned),
        origin: claims.origin.map(str::to_owned),
        limits: claims.limits,
        upstream: claims.upstream.map(|secret| Secret::new(secret.to_vec())),
    };
    Ok((caller.clone(), Some(grant)))
}

/// What the request is for, if it may be: minting where it is on, and with a client secret only what that is for.
fn purpose(plan: &Plan, inbound: &Inbound<'_>, exchange: Exchange, is_granted: bool) -> Result<Purpose, Denial> {
    if exchange == Exchange::WebSocket {
        return if is_granted && !is_realtime(inbound) { Err(route_not_allowed()) } else { Ok(Purpose::WebSocket) };
    }
    match endpoint(inbound.target.path) {
        Some((Endpoint::Mint(endpoint), spelling)) => {
            let is_on = plan.secrets.as_ref().is_some_and(|secrets| secrets.minting != MintMode::Off);
            if !is_on || is_granted || spelling == Spelling::Loose || inbound.method != b"POST" {
                return Err(route_not_allowed());
            }
            Ok(Purpose::Mint(endpoint))
        }
        Some((Endpoint::Calls, Spelling::Plain)) if inbound.method == b"POST" => Ok(Purpose::Call),
        // An upstream, or a route's rewrite, may read it as one that begins a call, of which nothing would be known.
        Some((Endpoint::Calls | Endpoint::Socket, _)) if inbound.method == b"POST" => Err(route_not_allowed()),
        _ if is_granted => Err(route_not_allowed()),
        _ => Ok(Purpose::Rest),
    }
}

/// Whether the path is that of a realtime session, whose model is that of its request.
fn is_realtime(inbound: &Inbound<'_>) -> bool {
    matches!(endpoint(inbound.target.path), Some((Endpoint::Socket, Spelling::Plain)))
}

/// RFC 6454 section 7.3: a request has one Origin at most; of several, each must be allowed. Envoy joins lines by commas,
/// which no origin has, and which no glob may match over. A secret that is bound to a page is for browsers, and those
/// always say whose page it is.
fn check_origins(inbound: &Inbound<'_>, callers: &Globs, secrets: Option<&str>) -> Result<(), Denial> {
    let is_allowed = |origin: &&[u8]| {
        std::str::from_utf8(origin).is_ok_and(|origin| {
            !origin.contains(',') && callers.allows(origin) && secrets.is_none_or(|bound| bound == origin)
        })
    };
    let is_restricted = callers.is_restricted() || secrets.is_some();
    let is_missing = secrets.is_some() && inbound.origins.is_empty();
    if is_restricted && (is_missing || !inbound.origins.iter().all(is_allowed)) {
        return Err(origin_not_allowed());
    }
    Ok(())
}
