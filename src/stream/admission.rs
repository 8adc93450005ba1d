//! Who may do what: the checks of a guarded request, in the order of their precedence.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::context::{Context, WorkerState};
use super::denials::{
    credential_denial, deferred, foreign_charset, limit_denial, model_out_of_sight, no_offer, origin_not_allowed,
    overloaded, route_not_allowed, token_elsewhere, unreadable_body, unreadable_live_call, unsupported_content_type,
};
use super::identity::Identified;
use super::named_call::{Claimant, NamedCall};
use super::request_head::{BodyKind, Line, RequestHead};
use crate::client_secret::{MintedModels, OpenedSecret};
use crate::config::{MintMode, Plan, Standing};
use crate::credential::{
    Caller, PresentedTokens, SHORTEST_TOKEN, SubprotocolOffer, presented_token, query_keys, stands_in,
};
use crate::denial::{Denial, Subject};
use crate::endpoint::{CallPath, Endpoint, Mint, Path};
use crate::http::Param;
use crate::limit::{SessionBounds, SessionLimits};
use crate::memory::{Full, MemoryAccount, Reservation, SHARE};
use crate::metrics::SessionLabels;
use crate::name_rule::NameRule;
use crate::policy::{Placement, Policy, Provider, ProviderKind};
use crate::process::{SessionHandle, Sessions, Share};
use crate::secret::Secret;
use crate::usage::{Estimated, MicroUsd, PriceList, Record, RecordId, Status, Tally, Timestamp, Traffic, Transport};

/// A request that may go on, but for the model that its body may name.
pub(crate) struct Admission {
    /// The route's policy.
    pub policy: Arc<Policy>,
    /// Who sent it, or minted the client secret that it came with.
    pub caller: Arc<Caller>,
    /// The person behind it: as the client secret says that it came with, else as Envoy does.
    pub user: Option<String>,
    /// What that secret says, if it came with one.
    pub client_secret: Option<Box<OpenedSecret>>,
    /// Its part in what all sessions of that secret may use up together, if that is limited.
    pub share: Option<Box<Share>>,
    /// What it addresses.
    pub endpoint: Endpoint,
    /// Prices, one of which its models must have: dollars limit what it begins.
    pub prices: Option<Arc<PriceList>>,
    /// The call that it names.
    pub call: Option<Box<NamedCall>>,
    /// What it stands on, being a session.
    pub standing: Option<Box<Standing>>,
}

/// Who sent a request, and under which policy: what outlasts its admission.
pub(crate) struct Requester {
    policy: Arc<Policy>,
    caller: Arc<Caller>,
    user: Option<String>,
}

/// A request of a guarded route, its form being right.
pub(crate) struct GuardedRequest<'a> {
    /// The configuration.
    pub plan: &'a Plan,
    /// The route's policy.
    pub policy: &'a Arc<Policy>,
    /// Its header lines.
    pub head: &'a RequestHead,
    /// Its path.
    pub path: &'a Path<'a>,
    /// The subprotocols that it offers.
    pub offer: &'a SubprotocolOffer,
    /// All tokens that it presents.
    pub presented: &'a PresentedTokens<'a>,
}

/// Why a request waits for its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyNeed {
    /// The model that it names must be known.
    Model,
    /// The models that a call of Live names must be known.
    LiveModels,
    /// It must be empty: a model in it could not be read.
    Empty,
    /// It must be empty: what it would use draws on a budget of the day, and could not be counted.
    Nothing,
    /// It begins a call. Nothing of it is read, but only of a request that was held back does Envoy tell, while it is
    /// answered, how it was routed: what ends the call goes the same way.
    Offer(CallPath),
    /// It says what secret to mint.
    Mint(Mint),
}

/// Parameters of a query by which a request is judged, those that name its model aside.
const JUDGED: [&str; 3] = ["api-version", "call_id", "intent"];

impl Admission {
    /// Checks a request up to its model.
    ///
    /// # Errors
    ///
    /// The first check that fails: the credentials' form, the caller, the route, the origin.
    pub(crate) fn new(request: &GuardedRequest<'_>, endpoint: Endpoint, cx: &mut Context<'_>) -> Result<Self, Denial> {
        let GuardedRequest { plan, policy, head, offer, presented, .. } = *request;
        let host = cx.host;
        let query_keys = request.query_keys();
        let token = presented_token(presented.sole(), head.slots(), offer, &query_keys, &plan.gateway);
        let token = token.map_err(credential_denial)?;
        if let Some(token) = &token {
            request.check_places(token)?;
        }
        let Identified { caller, user, client_secret, share, began_with } =
            Identified::of(token.as_deref(), plan, policy, host)?;
        let (policy, call, prices) = (policy.clone(), None, None);
        let standing =
            endpoint.begins_session().then(|| Box::new(Standing::new(caller.clone(), policy.clone(), began_with)));
        let mut admission = Self { policy, caller, user, client_secret, share, endpoint, prices, call, standing };
        match admission.check(plan, head, &mut cx.worker.sessions) {
            Ok(call) => {
                admission.share = call.as_ref().and_then(|call| call.share()).map(Box::new).or(admission.share);
                admission.call = call;
                admission.prices = admission.limits_dollars().then(|| plan.prices.clone());
                Ok(admission)
            }
            Err(denial) => Err(denial.of(admission.requester().subject())),
        }
    }

    /// What its sender may address, and from where. Gives the call that it names.
    fn check(
        &self,
        plan: &Plan,
        head: &RequestHead,
        sessions: &mut Sessions,
    ) -> Result<Option<Box<NamedCall>>, Denial> {
        check_endpoint(plan, &self.endpoint, self.client_secret.as_deref())?;
        if !self.caller.policies.allows(&self.policy.name) {
            return Err(route_not_allowed());
        }
        self.check_session_fields()?;
        let claimant = Claimant { plan, policy: &self.policy, caller: &self.caller, user: self.user.as_deref() };
        let call = match self.endpoint.call() {
            Some(id) => Some(Box::new(NamedCall::new(id, &claimant, sessions)?)),
            None => None,
        };
        let page = self.client_secret.as_ref().and_then(|secret| secret.origin.as_deref());
        check_origins(head, &self.caller.origins, page)?;
        Ok(call)
    }

    /// Whether dollars limit what the request begins or joins, and that is counted.
    fn limits_dollars(&self) -> bool {
        let begins_session = self.endpoint.begins_session() || matches!(self.endpoint, Endpoint::Mint(_));
        let of_session = || {
            let secret = self.client_secret.as_ref().and_then(|secret| secret.limits.max_cost_micro_usd);
            let shared = self.share.as_ref().and_then(|share| share.limits.max_cost);
            self.limits().0.max_cost.is_some() || secret.is_some() || shared.is_some()
        };
        let of_day = || self.caller.limits.cost_per_day.is_some();
        self.policy.is_metered
            && ((begins_session && (of_session() || of_day())) || (self.endpoint.creates() && of_day()))
    }

    /// Who sent it, and under which policy.
    pub(crate) fn requester(&self) -> Requester {
        Requester { policy: self.policy.clone(), caller: self.caller.clone(), user: self.user.clone() }
    }

    /// Whether what the request uses is counted: its response may tell usage, and a policy meters it.
    pub(crate) fn is_counted(&self) -> bool {
        self.endpoint.creates() && self.policy.is_metered
    }

    /// Whether what the request uses must be counted: a budget of the day is drawn on.
    pub(crate) fn must_be_counted(&self) -> bool {
        self.is_counted() && self.caller.limits.has_budget()
    }

    /// Whether that usage is told, of a stream, only to those who ask.
    pub(crate) fn needs_include_usage(&self) -> bool {
        self.endpoint.tells_usage_on_request() && self.policy.is_metered
    }

    /// Why the headers must wait for the body, if they must: it may name a model that decides the provider, has another
    /// name there, or is not allowed, or ask for a stream that tells no usage. `ends` says that there is no body.
    ///
    /// # Errors
    ///
    /// If the body must be read, and nobody can; or if nobody would read the messages that name a model.
    pub(crate) fn body_need(&self, head: &RequestHead, ends: bool) -> Result<Option<BodyNeed>, Denial> {
        let has_rule = self.policy.models.is_restricted() || self.caller.models.is_restricted();
        match (&self.endpoint, head.body_kind()) {
            // Its messages name the model.
            (Endpoint::WebSocket(kind), _) if kind.is_named_in_messages() && has_rule && !self.policy.is_metered => {
                Err(route_not_allowed())
            }
            (Endpoint::Fork(_), _) if has_rule && !self.policy.is_metered => Err(route_not_allowed()),
            (Endpoint::WebSocket(_) | Endpoint::Sideband(..) | Endpoint::Fork(_), _) => Ok(None),
            (_, BodyKind::ForeignJson) if !ends => Err(foreign_charset()),
            (Endpoint::Mint(_), BodyKind::ForeignJson) => Err(foreign_charset()),
            (Endpoint::Mint(_), BodyKind::Form | BodyKind::Sdp | BodyKind::Other) => Err(unsupported_content_type()),
            (Endpoint::Mint(_), BodyKind::CodedJson) => Err(unreadable_body()),
            (Endpoint::Mint(_), BodyKind::Json) if ends => Err(unreadable_body()),
            (Endpoint::Mint(mint), BodyKind::Json) => Ok(Some(BodyNeed::Mint(*mint))),
            // SDP names no model; a form could.
            (Endpoint::StartCall(CallPath::Live), kind) if !ends => self.live_body_need(kind, has_rule).map(Some),
            (Endpoint::StartCall(_), _) if ends => Err(no_offer()),
            (Endpoint::StartCall(path), BodyKind::Sdp) => Ok(Some(BodyNeed::Offer(*path))),
            (Endpoint::StartCall(_), _) if self.binding_models().is_some() => Err(model_out_of_sight()),
            (Endpoint::StartCall(_), _) if has_rule => Err(unreadable_body()),
            (Endpoint::StartCall(path), _) => Ok(Some(BodyNeed::Offer(*path))),
            (Endpoint::Deferred, _) if self.must_be_counted() => Err(deferred()),
            _ if ends => Ok(None),
            (_, kind) => self.rest_body_need(kind, has_rule),
        }
    }

    /// A call of Live names its models nowhere but in its body.
    fn live_body_need(&self, kind: BodyKind, has_rule: bool) -> Result<BodyNeed, Denial> {
        let is_strict = has_rule || self.binding_models().is_some() || self.prices.is_some();
        let may_be_named = self.policy.has_several_providers() || !self.policy.aliases.is_empty();
        match kind {
            _ if !(is_strict || may_be_named) => Ok(BodyNeed::Offer(CallPath::Live)),
            BodyKind::Json => Ok(BodyNeed::LiveModels),
            BodyKind::CodedJson | BodyKind::ForeignJson | BodyKind::Form | BodyKind::Sdp | BodyKind::Other => {
                Err(unreadable_live_call())
            }
        }
    }

    fn rest_body_need(&self, kind: BodyKind, has_rule: bool) -> Result<Option<BodyNeed>, Denial> {
        let must_be_counted = self.must_be_counted();
        let has_names = self.policy.has_several_providers() || !self.policy.aliases.is_empty();
        let may_be_named = has_names && self.endpoint != Endpoint::Retrieve;
        match kind {
            _ if !(has_rule || must_be_counted || may_be_named) => Ok(None),
            BodyKind::Json => Ok(Some(BodyNeed::Model)),
            BodyKind::CodedJson | BodyKind::ForeignJson => Err(unreadable_body()),
            _ if has_rule => Ok(Some(BodyNeed::Empty)),
            // The response to a form tells its tokens. What those cost is up to the model, which stands in the form.
            BodyKind::Form if self.prices.is_none() && !self.needs_include_usage() => Ok(None),
            BodyKind::Form | BodyKind::Sdp | BodyKind::Other => Ok(must_be_counted.then_some(BodyNeed::Nothing)),
        }
    }

    /// What a session may use up by itself: the policy's limits, and where those are tighter the client secret's, and what
    /// the call that is joined began with.
    pub(crate) fn bounds(&self) -> SessionBounds {
        let (policy, secrets_max_duration) = self.limits();
        SessionBounds::new(&policy, secrets_max_duration)
    }

    /// The limits of the policy and of the call that is joined, and how long a client secret lets a session last.
    pub(crate) fn limits(&self) -> (SessionLimits, Option<Duration>) {
        let policy = self.policy.limits;
        let secret = self.client_secret.as_ref().and_then(|client_secret| client_secret.limits.max_duration);
        match self.call.as_ref().and_then(|call| call.sealed.as_ref()) {
            None => (policy, secret),
            Some(sealed) => (policy.tighten(&sealed.limits), secret.into_iter().chain(sealed.max_duration).min()),
        }
    }

    /// The providers that it can only be for: a client secret's, and the one that serves a call which it names.
    pub(crate) fn bound_providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        let of_secret = self.client_secret.as_ref().map(|client_secret| &client_secret.provider);
        let of_call = self.call.as_ref().and_then(|call| call.sealed.as_ref()).map(|sealed| &sealed.provider);
        of_secret.into_iter().chain(of_call)
    }

    /// What the request goes on with, and where that is put: the upstream's own secret that it came with, else the
    /// provider's key that the call began with which it names, else any key of the provider's.
    pub(crate) fn credential(&self, provider: &Provider, cx: &Context<'_>) -> Option<(Placement, Arc<Secret>)> {
        match self.upstream_secret() {
            Some(secret) => cx.choose_key(|choice| provider.credential(Some(secret), choice)),
            None => self.provider_key(provider, cx),
        }
    }

    /// The provider's key that the call began with which the request names, or that minted the upstream's own secret, else
    /// any.
    pub(crate) fn provider_key(&self, provider: &Provider, cx: &Context<'_>) -> Option<(Placement, Arc<Secret>)> {
        let secrets = || self.client_secret.as_ref().and_then(|client_secret| client_secret.key.as_deref());
        let name = self.call.as_ref().and_then(|call| call.key()).or_else(secrets);
        cx.choose_key(|choice| provider.key_named(name, choice))
    }

    /// Bytes that are held beside the admission itself.
    pub(crate) fn held(&self) -> usize {
        let secret = self.client_secret.as_ref();
        let secret = secret.map_or(0, |client_secret| size_of::<OpenedSecret>() + client_secret.held());
        let share = self.share.as_ref().map_or(0, |_| size_of::<Share>());
        secret + share + self.user.as_ref().map_or(0, String::capacity)
    }

    /// Takes so many bytes for what goes on now. What will hold more as a session, while its answer is read or while that is
    /// sealed is refused where nothing new may begin, and so is what has more than a share `kept` beside these bytes. All else
    /// is not, and least of all what ends a call.
    ///
    /// # Errors
    ///
    /// If the worker's streams hold so much.
    pub(crate) fn reserve(&self, bytes: usize, kept: usize, memory: &MemoryAccount) -> Result<Reservation, Denial> {
        match &self.endpoint {
            endpoint if endpoint.hangs_up() => Ok(memory.reserve(bytes)),
            endpoint if endpoint.begins_session() || self.is_counted() => admit(bytes, memory),
            Endpoint::Mint(_) => admit(bytes, memory),
            _ if kept > SHARE => admit(bytes, memory),
            _ => Ok(memory.reserve(bytes)),
        }
    }

    /// Takes so many bytes for a request that waits for its body. One that ends a call is not refused.
    ///
    /// # Errors
    ///
    /// If the worker's streams hold so much.
    pub(crate) fn reserve_waiting(&self, bytes: usize, memory: &MemoryAccount) -> Result<Reservation, Denial> {
        if self.endpoint.hangs_up() { Ok(memory.reserve(bytes)) } else { admit(bytes, memory) }
    }

    /// The last of all checks: whether the caller may start this now. Only a session has a handle.
    pub(crate) fn start(&self, cx: &mut Context<'_>) -> Result<Option<SessionHandle>, Denial> {
        let Context { worker: WorkerState { sessions, .. }, host } = cx;
        let started = match &self.endpoint {
            // It ends what would use more.
            endpoint if endpoint.hangs_up() => Ok(None),
            endpoint if endpoint.begins_session() => {
                sessions.admit(&self.caller, self.share.as_deref(), || host.now()).map(Some)
            }
            _ => sessions.check_budget(&self.caller, || host.now()).map(|()| None),
        };
        started.map_err(limit_denial)
    }

    /// What a session is counted as when it begins.
    pub(crate) fn began<'a>(&'a self, provider: &'a Provider, kind: Transport) -> SessionLabels<'a> {
        SessionLabels { caller: &self.caller.name, policy: &self.policy.name, provider: &provider.name, kind }
    }

    /// The record of a session that begins now.
    pub(crate) fn record(&self, id: u128, provider: String, now: SystemTime) -> Record {
        Record {
            id: RecordId::new(id),
            kind: Transport::WebSocket,
            status: Status::Open,
            upstream_id: None,
            caller: self.caller.name.clone(),
            user: self.user.clone(),
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
            estimated: Estimated::default(),
        }
    }

    /// The models that it may name, and no others, wherever a model can be named; none where others keep to that.
    pub(crate) fn binding_models(&self) -> Option<&MintedModels> {
        self.client_secret.as_deref().and_then(OpenedSecret::binding_models)
    }

    /// The upstream's own secret that this request came with, sealed.
    pub(crate) fn upstream_secret(&self) -> Option<&Secret> {
        self.client_secret.as_ref().and_then(|client_secret| client_secret.upstream.as_deref())
    }
}

impl<'a> GuardedRequest<'a> {
    /// What Google's SDK for JavaScript takes for a key, which it has no other place for on a Live WebSocket.
    fn query_keys(&self) -> Vec<Cow<'a, [u8]>> {
        if !(self.policy.has_kind(|kind| *kind == ProviderKind::Gemini) && self.path.is_googles()) {
            return Vec::new();
        }
        query_keys(&self.head.target())
    }

    /// Whether a token stands where it cannot be taken out: in the path or the authority, or in what is judged here, which
    /// must then be what the upstream judges too. Of those all tokens count, since a client can make up what is in a slot that
    /// is only emptied; of the path and the authority only the one that lets it in.
    fn check_places(&self, token: &[u8]) -> Result<(), Denial> {
        if self.presented.are_in_slots_only(token) {
            return Ok(());
        }
        let is_judged =
            |param: &Param<'_>| self.policy.is_model_param(param) || JUDGED.iter().any(|name| param.is(name));
        // What is shorter than any token stands anywhere by chance, and lets nobody in.
        let stands = |text: &[u8]| token.len() >= SHORTEST_TOKEN && stands_in(token, text);
        let is_elsewhere = stands(self.path.text().as_bytes())
            || stands(self.head.method())
            || self.head.all(Line::Authority).any(stands)
            || self.head.all(Line::ContentType).any(|value| self.presented.stand_in(value))
            || self.head.all(Line::ContentEncoding).any(|value| self.presented.stand_in(value))
            || self.presented.may_be_elsewhere()
                && self.head.target().params().any(|param| self.presented.stand_in(param.raw()) && is_judged(&param));
        if is_elsewhere { Err(token_elsewhere()) } else { Ok(()) }
    }
}

impl Requester {
    /// The same, for whoever asks who was denied.
    pub(crate) fn subject(&self) -> Subject {
        let (caller, policy) = (Some(self.caller.name.clone()), Some(self.policy.name.clone()));
        Subject { caller, user: self.user.clone(), policy, ..Subject::default() }
    }
}

/// Takes so many bytes for what begins or waits.
///
/// # Errors
///
/// If the worker's streams hold so much that nothing new may.
fn admit(bytes: usize, memory: &MemoryAccount) -> Result<Reservation, Denial> {
    memory.admit(bytes).map_err(|Full| overloaded())
}

/// Whether the endpoint may be addressed: minting where it is on, and with a client secret only what that is for.
fn check_endpoint(plan: &Plan, endpoint: &Endpoint, client_secret: Option<&OpenedSecret>) -> Result<(), Denial> {
    let mints = plan.secrets.as_ref().is_some_and(|secrets| secrets.minting != MintMode::Off);
    match endpoint {
        Endpoint::Forbidden => Err(route_not_allowed()),
        Endpoint::Mint(_) if !mints => Err(route_not_allowed()),
        _ if client_secret.is_some() && !endpoint.takes_client_secrets() => Err(route_not_allowed()),
        _ => Ok(()),
    }
}

/// RFC 6454 section 7.3: a request has one Origin at most; of several, each must be allowed. Envoy joins lines by commas,
/// which no origin has, and which no glob may match over. A secret that is bound to a page is for browsers, and those
/// always say whose page it is.
fn check_origins(head: &RequestHead, callers: &NameRule, secrets: Option<&str>) -> Result<(), Denial> {
    let is_allowed = |origin: &[u8]| {
        std::str::from_utf8(origin).is_ok_and(|origin| {
            !origin.contains(',') && callers.allows(origin) && secrets.is_none_or(|bound| bound == origin)
        })
    };
    let is_restricted = callers.is_restricted() || secrets.is_some();
    let is_missing = secrets.is_some() && !head.has(Line::Origin);
    if is_restricted && (is_missing || !head.all(Line::Origin).all(is_allowed)) {
        return Err(origin_not_allowed());
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::testing::caller;

    /// A request of web-app's under a policy.
    pub(in crate::stream) fn admission(policy: Policy, endpoint: Endpoint) -> Admission {
        let (policy, caller) = (Arc::new(policy), Arc::new(caller()));
        Admission {
            policy,
            caller,
            user: None,
            client_secret: None,
            share: None,
            endpoint,
            prices: None,
            call: None,
            standing: None,
        }
    }
}
