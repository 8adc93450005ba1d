//! Who may do what: the checks of a guarded request, in the order of their precedence.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::SystemTime;

use super::denials::{
    credential_denial, limit_denial, missing_token, model_of_another_secret, origin_not_allowed, route_not_allowed,
    token_denial, unreadable_body, unsupported_content_type,
};
use super::request_head::{BodyKind, RequestHead, Upgrade};
use super::rest::is_counted;
use super::stream_options::needs_include_usage;
use super::upstream::Upstream;
use crate::client_secret::OpenedSecret;
use crate::client_secret::claims::{Claims, unix_seconds};
use crate::client_secret::sealing::{OpenError, PREFIX, Plaintext};
use crate::config::{MintMode, Plan};
use crate::credential::{Caller, SubprotocolOffer, TokenError};
use crate::denial::Denial;
use crate::endpoint::{Endpoint, Match, MintEndpoint, endpoint};
use crate::host::StreamHost;
use crate::limit::SessionLimits;
use crate::metrics::SessionLabels;
use crate::name_rule::NameRule;
use crate::policy::{Policy, Provider, check_path, in_path, in_query};
use crate::process::SessionHandle;
use crate::secret::Secret;
use crate::usage::{MicroUsd, Record, RecordId, SessionKind, Status, Tally, Timestamp, Traffic};

/// A request that may go on, but for the model that its body may name.
pub struct Admission {
    /// The route's policy.
    pub policy: Rc<Policy>,
    /// Who sent it, or minted the secret that it came with.
    pub caller: Rc<Caller>,
    /// What that secret says, if it came with one.
    pub client_secret: Option<OpenedSecret>,
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

/// Why a request waits for its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyNeed {
    /// The model that it names must be known.
    Model,
    /// It must be empty: a model in it could not be read.
    Empty,
    /// It says what secret to mint.
    Mint(MintEndpoint),
}

impl Admission {
    /// Checks a request up to its model.
    pub fn new(
        plan: &Plan,
        policy: &Rc<Policy>,
        head: &RequestHead<'_>,
        offer: &SubprotocolOffer<'_>,
        host: &impl StreamHost,
    ) -> Result<Self, Denial> {
        let token = head.slots.token(offer, &plan.gateway).map_err(credential_denial)?;
        let upgrade = head.upgrade()?;
        let token = token.ok_or_else(|| missing_token(plan))?;
        let (caller, client_secret) = identify(plan, policy, &token, host)?;
        check_path(&head.target)?;
        let purpose = purpose(plan, head, upgrade, client_secret.is_some())?;
        if !caller.policies.allows(&policy.name) {
            return Err(route_not_allowed());
        }
        check_origins(
            head,
            &caller.origins,
            client_secret.as_ref().and_then(|client_secret| client_secret.origin.as_deref()),
        )?;
        Ok(Self { policy: policy.clone(), caller, client_secret, purpose })
    }

    /// Why the headers must wait for the body, if they must: it may name a model that decides the provider, has another
    /// name there, or is not allowed, or ask for a stream that tells no usage.
    pub fn body_need(&self, head: &RequestHead<'_>, ends: bool) -> Result<Option<BodyNeed>, Denial> {
        let has_rule = self.policy.models.is_restricted() || self.caller.models.is_restricted();
        let has_names = self.policy.has_several_providers() || !self.policy.aliases.is_empty();
        // What draws on a budget of the day must be told.
        let is_strict = has_rule || (self.caller.limits.has_budget() && needs_include_usage(self, head));
        // Some answers name no model, and dollars depend on it.
        let is_priced = self.caller.limits.cost_per_day.is_some() && is_counted(self, head);
        let has_names = has_names && !passes_without_model(head);
        match (self.purpose, head.body_kind()) {
            // Its messages name the model, and nobody would read them.
            (Purpose::WebSocket, _) if has_rule && !self.policy.is_metered && !is_realtime(head) => {
                Err(route_not_allowed())
            }
            (Purpose::WebSocket, _) => Ok(None),
            (Purpose::Mint(_), BodyKind::Sdp | BodyKind::Other) => Err(unsupported_content_type()),
            (Purpose::Mint(_), BodyKind::CodedJson) => Err(unreadable_body()),
            (Purpose::Mint(_), BodyKind::Json) if ends => Err(unreadable_body()),
            (Purpose::Mint(endpoint), BodyKind::Json) => Ok(Some(BodyNeed::Mint(endpoint))),
            // SDP names no model; a form could.
            (Purpose::Call, BodyKind::Sdp) => Ok(None),
            (Purpose::Call, _) if has_rule => Err(unreadable_body()),
            (Purpose::Call, _) => Ok(None),
            (Purpose::Rest, _) if ends || !(is_strict || is_priced || has_names) => Ok(None),
            (Purpose::Rest, BodyKind::Json) => Ok(Some(BodyNeed::Model)),
            (Purpose::Rest, BodyKind::CodedJson) => Err(unreadable_body()),
            (Purpose::Rest, BodyKind::Sdp | BodyKind::Other) => Ok(is_strict.then_some(BodyNeed::Empty)),
        }
    }

    /// Resolves the model that a request names in its query or body, and checks it and those that its path names.
    /// `is_subject` says that a request without a model is subject to a rule on models.
    pub fn resolve_upstream<'a>(
        &'a self,
        head: &RequestHead<'_>,
        named: Option<&'a str>,
        is_subject: bool,
    ) -> Result<Upstream<'a>, Denial> {
        let (policy, models) = (&self.policy, &self.caller.models);
        let (explicit, named) = match named.map(|name| policy.resolve(name)) {
            Some(resolved) => (resolved.provider, Some(resolved.model)),
            None => (None, None),
        };
        let (provider, granted) = match &self.client_secret {
            None => (explicit.unwrap_or(&policy.default_provider), None),
            Some(client_secret) if explicit.is_some_and(|provider| provider.name != client_secret.provider.name) => {
                return Err(route_not_allowed());
            }
            Some(client_secret) => (&client_secret.provider, client_secret.model.as_deref()),
        };
        if let (Some(named), Some(granted)) = (named, granted)
            && named != granted
        {
            return Err(model_of_another_secret());
        }
        let model = named.or(granted);
        let in_path = in_path(&head.target, &provider.kind)?;
        for model in &in_path {
            policy.check_model(Some(model), models)?;
        }
        if model.is_some() || (is_subject && in_path.is_empty()) {
            policy.check_model(model, models)?;
        }
        Ok(Upstream { provider, model })
    }

    /// The model that the query names, where it is the query that names it.
    pub fn named_in_query<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Cow<'a, str>>, Denial> {
        match self.purpose {
            Purpose::WebSocket | Purpose::Call => in_query(&head.target, &self.policy),
            Purpose::Mint(_) | Purpose::Rest => Ok(None),
        }
    }

    /// What a session may use up: the policy's limits, and the client secret's where those are tighter.
    pub fn limits(&self) -> SessionLimits {
        let policy = self.policy.limits;
        self.client_secret.as_ref().map_or(policy, |client_secret| client_secret.tighten(&policy))
    }

    /// The last of all checks: whether the caller may start this now. Only a session has a seat.
    pub fn start(&self, host: &impl StreamHost) -> Result<Option<SessionHandle>, Denial> {
        let mut sessions = host.sessions().borrow_mut();
        let started = match self.purpose {
            Purpose::WebSocket | Purpose::Call => sessions.admit(&self.caller, || host.now()).map(Some),
            Purpose::Mint(_) | Purpose::Rest => sessions.check_budget(&self.caller, || host.now()).map(|()| None),
        };
        started.map_err(limit_denial)
    }

    /// What a session is counted as when it begins.
    pub fn began<'a>(&'a self, provider: &'a Provider, kind: SessionKind) -> SessionLabels<'a> {
        SessionLabels { caller: &self.caller.name, policy: &self.policy.name, provider: &provider.name, kind }
    }

    /// The record of a session that begins now.
    pub fn record(&self, id: u128, provider: String, now: SystemTime) -> Record {
        Record {
            id: RecordId::new(id),
            kind: SessionKind::WebSocket,
            status: Status::Open,
            upstream_id: None,
            caller: self.caller.name.clone(),
            user: self.client_secret.as_ref().and_then(|client_secret| client_secret.user.clone()),
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
        self.client_secret.as_ref().and_then(|client_secret| client_secret.upstream.as_ref())
    }
}

/// Whether a request of this method need not name a model.
pub fn passes_without_model(head: &RequestHead<'_>) -> bool {
    matches!(head.method, b"GET" | b"HEAD" | b"DELETE" | b"OPTIONS")
}

/// Whose token it is. A caller's own token may begin as client secrets do.
fn identify(
    plan: &Plan,
    policy: &Policy,
    token: &[u8],
    host: &impl StreamHost,
) -> Result<(Rc<Caller>, Option<OpenedSecret>), Denial> {
    if let Some(secrets) = plan.secrets.as_ref().filter(|_| token.starts_with(PREFIX)) {
        let mut plaintext = Plaintext::default();
        match secrets.keys.open(token, unix_seconds(host.now()), &mut plaintext) {
            Ok(claims) => return identify_by_secret(plan, policy, &claims),
            Err(OpenError::Expired) => return Err(token_denial(TokenError::Expired)),
            Err(OpenError::NotSealed | OpenError::Invalid) => {}
        }
    }
    let caller = plan.callers.find(token, || host.now()).map_err(token_denial)?;
    Ok((caller.clone(), None))
}

fn identify_by_secret(
    plan: &Plan,
    policy: &Policy,
    claims: &Claims<'_>,
) -> Result<(Rc<Caller>, Option<OpenedSecret>), Denial> {
    let caller = plan.callers.named(claims.caller).ok_or_else(|| token_denial(TokenError::Invalid))?;
    let provider = policy.providers().find(|provider| provider.name == claims.provider);
    let provider = provider.filter(|_| policy.name == claims.policy).ok_or_else(route_not_allowed)?;
    let client_secret = OpenedSecret {
        provider: provider.clone(),
        model: claims.model.map(str::to_owned),
        user: claims.user.map(str::to_owned),
        origin: claims.origin.map(str::to_owned),
        limits: claims.limits,
        upstream: claims.upstream.map(|secret| Secret::new(secret.to_vec())),
    };
    Ok((caller.clone(), Some(client_secret)))
}

/// What the request is for, if it may be: minting where it is on, and with a client secret only what that is for.
fn purpose(plan: &Plan, head: &RequestHead<'_>, upgrade: Upgrade, has_client_secret: bool) -> Result<Purpose, Denial> {
    if upgrade == Upgrade::WebSocket {
        return if has_client_secret && !is_realtime(head) { Err(route_not_allowed()) } else { Ok(Purpose::WebSocket) };
    }
    match endpoint(head.target.path) {
        Some((Endpoint::Mint(endpoint), matched)) => {
            let is_on = plan.secrets.as_ref().is_some_and(|secrets| secrets.minting != MintMode::Off);
            if !is_on || has_client_secret || matched == Match::Lookalike || head.method != b"POST" {
                return Err(route_not_allowed());
            }
            Ok(Purpose::Mint(endpoint))
        }
        Some((Endpoint::Calls, Match::Exact)) if head.method == b"POST" => Ok(Purpose::Call),
        // An upstream, or a route's rewrite, may read it as one that begins a call, of which nothing would be known.
        Some((Endpoint::Calls | Endpoint::Socket, _)) if head.method == b"POST" => Err(route_not_allowed()),
        _ if has_client_secret => Err(route_not_allowed()),
        _ => Ok(Purpose::Rest),
    }
}

/// Whether the path is that of a realtime session, whose model is that of its request.
fn is_realtime(head: &RequestHead<'_>) -> bool {
    matches!(endpoint(head.target.path), Some((Endpoint::Socket, Match::Exact)))
}

/// RFC 6454 section 7.3: a request has one Origin at most; of several, each must be allowed. Envoy joins lines by commas,
/// which no origin has, and which no glob may match over. A secret that is bound to a page is for browsers, and those
/// always say whose page it is.
fn check_origins(head: &RequestHead<'_>, callers: &NameRule, secrets: Option<&str>) -> Result<(), Denial> {
    let is_allowed = |origin: &&[u8]| {
        std::str::from_utf8(origin).is_ok_and(|origin| {
            !origin.contains(',') && callers.allows(origin) && secrets.is_none_or(|bound| bound == origin)
        })
    };
    let is_restricted = callers.is_restricted() || secrets.is_some();
    let is_missing = secrets.is_some() && head.origins.is_empty();
    if is_restricted && (is_missing || !head.origins.iter().all(is_allowed)) {
        return Err(origin_not_allowed());
    }
    Ok(())
}
