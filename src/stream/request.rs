//! The checks of a request's head, in their order: its form, the policy, who sends it and may do so, the model, limits.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::action::DetailedReply;
use super::admission::{Admission, GuardedRequest};
use super::body::WaitingForBody;
use super::call::{self, SidebandOf};
use super::context::Context;
use super::denials::{credential_denial, no_endpoint, no_policy, nothing_to_watch, route_not_allowed, too_many_tokens};
use super::forward::{Awaited, FollowedWebSocket, Forwarded, Outgoing};
use super::handshake::Handshake;
use super::joined_call::JoinedCall;
use super::pooled_key::PooledKey;
use super::request_head::{Line, RequestHead};
use super::rest::RestMeter;
use super::stream_options::StreamUsage;
use super::upstream::{Upstream, named_in_query};
use super::websocket::WebSocketRelay;
use crate::config::Plan;
use crate::control::Request;
use crate::credential::{PresentedTokens, SubprotocolOffer, bearer};
use crate::denial::{Denial, Subject};
use crate::endpoint::{Endpoint, Path};
use crate::host::{Attribute, StreamHost};
use crate::http::{Edits, HeaderValue};
use crate::policy::{Guard, Placement, Policy, Route};
use crate::process::{CallName, Role, SessionHandle};
use crate::secret::{Digest, Secret};

/// What the checks of a request's head come to.
pub(crate) enum RequestDecision {
    /// It goes on as it is.
    Untouched,
    /// It waits for its body.
    Wait(WaitingForBody),
    /// It goes on, edited, maybe as one of the sessions of the process.
    Forward(Box<Forwarded>, Edits, Option<SessionHandle>),
}

/// What the control API answers, if the request is for that. It needs no policy, and no route.
pub(crate) fn control(plan: &Plan, head: &RequestHead, cx: &mut Context<'_>) -> Option<DetailedReply> {
    let control = plan.control.as_ref()?;
    let target = head.target();
    let is_authorized = || {
        let token = head.authorization().and_then(bearer).map(Digest::of);
        token.is_some_and(|token| token == control.token) && control.validity.check(cx.host.now()).is_ok()
    };
    let request = Request::read(&control.path, head.method(), &target, is_authorized)?;
    let run = |request: Request| request.run(&mut cx.worker.sessions, cx.host.now());
    // Whoever guesses at the token can be seen.
    let details = match &request {
        Err(reply) if reply.status == 401 => "realtime_byok.invalid_control_token".into(),
        _ => "realtime_byok.control".into(),
    };
    Some(DetailedReply { reply: request.map_or_else(|reply| reply, run), details })
}

/// Checks the head of a request, and edits it if it goes on. `ends` says that no body follows.
///
/// # Errors
///
/// The first check that fails.
pub(crate) fn check(
    plan: &Plan,
    head: &RequestHead,
    presented: &PresentedTokens<'_>,
    ends: bool,
    cx: &mut Context<'_>,
) -> Result<RequestDecision, Denial> {
    let route = route(plan, cx.host);
    let guard = plan.policies.find(&route);
    if let Some(Guard::Off) = guard {
        return Ok(RequestDecision::Untouched);
    }
    let target = head.target();
    let (endpoint, path) = Endpoint::read(head.method(), &target, head.last(Line::Upgrade)).map_err(no_endpoint)?;
    let Some(Guard::On(policy)) = guard else { return Err(without_policy(&route, cx)) };
    if presented.are_too_many() {
        return Err(too_many_tokens().of(under(policy)));
    }
    let offer = SubprotocolOffer::parse(head.all(Line::Subprotocols), &plan.gateway)
        .map_err(|error| credential_denial(error).of(under(policy)))?;
    let request = GuardedRequest { plan, policy, head, path: &path, offer: &offer, presented };
    let admission = Admission::new(&request, endpoint, cx).map_err(|denial| denial.of(under(policy)))?;
    let requester = admission.requester();
    let admitted = Admitted { plan, head, presented, path, offer };
    admitted.decide(admission, ends, cx).map_err(|denial| denial.of(requester.subject()))
}

/// A request that needs no body to be judged.
struct Admitted<'a> {
    plan: &'a Plan,
    head: &'a RequestHead,
    presented: &'a PresentedTokens<'a>,
    path: Path<'a>,
    offer: SubprotocolOffer,
}

impl Admitted<'_> {
    /// `ends` says that no body follows.
    fn decide(self, admission: Admission, ends: bool, cx: &mut Context<'_>) -> Result<RequestDecision, Denial> {
        if let Some(need) = admission.body_need(self.head, ends)? {
            let Self { head, path, offer, .. } = self;
            let beside = head.held() + path.text().len() + offer.held() + admission.held();
            let size = size_of::<(RequestHead, WaitingForBody)>() + beside;
            let _reservation = admission.reserve_waiting(size, &cx.worker.memory)?;
            let waiting = WaitingForBody { admission, path: path.into_owned(), offer, need, _reservation };
            return Ok(RequestDecision::Wait(waiting));
        }
        match &admission.endpoint {
            Endpoint::WebSocket(_) | Endpoint::Sideband(..) | Endpoint::Fork(_) => self.websocket(admission, cx),
            // The first two wait for their bodies, the other was denied.
            Endpoint::StartCall(_) | Endpoint::Mint(_) | Endpoint::Forbidden => Err(route_not_allowed()),
            Endpoint::Call(..)
            | Endpoint::Completions
            | Endpoint::Creation
            | Endpoint::Deferred
            | Endpoint::Update
            | Endpoint::Retrieve => self.rest(admission, ends, cx),
        }
    }

    fn websocket(self, admission: Admission, cx: &mut Context<'_>) -> Result<RequestDecision, Denial> {
        let Self { plan, head, presented, path, offer } = self;
        let named = named_in_query(&head.target(), &admission)?;
        let upstream = Upstream::of_query(&admission, &path, &named)?;
        let reservation = admission.reserve(Forwarded::size(&admission, offer.held()), 0, &cx.worker.memory)?;
        let role = if offer.is_of_watcher() { Role::Watcher } else { Role::Sideband };
        let joined = admission.call.as_ref().filter(|_| !matches!(admission.endpoint, Endpoint::Fork(_)));
        let begun = match (joined, role) {
            // Nobody would keep the client's bytes from going on.
            (Some(_), Role::Watcher) if !admission.policy.is_metered => Err(route_not_allowed()),
            (Some(joined), role) => {
                let call = CallName { provider: &upstream.provider.name, id: joined.id.as_str() };
                call::join(call, role, &admission, cx)
            }
            (None, Role::Watcher) => Err(nothing_to_watch()),
            (None, Role::Sideband) => admission.start(cx).map(|handle| (handle, None)),
        };
        let (handle, joined) = begun.map_err(|denial| denial.of(upstream.subject()))?;
        let credential = admission.credential(upstream.provider, cx);
        let key = PooledKey::of(upstream.provider, credential.as_ref());
        let outgoing = Outgoing { plan, head, presented, offer: &offer, admission: &admission, upstream: &upstream };
        let mut edits = outgoing.edits(credential.as_ref());
        if head.has(Line::ContentLength) {
            // An upstream that took so much for a body would see other frames than are followed.
            edits.remove("content-length");
        }
        let supplies_key = !head.has(Line::WebSocketKey) && !is_http1(cx.host);
        if supplies_key {
            let key = STANDARD.encode(cx.host.random_bytes::<16>().unwrap_or_default());
            edits.set("sec-websocket-key", HeaderValue::Plain(key.into_bytes()));
        }
        let followed =
            admission.policy.is_metered.then(|| follow(&admission, &upstream, credential, (role, joined), cx));
        if followed.is_some() && head.has(Line::WebSocketExtensions) {
            // RFC 6455 section 9: without an extension, frames can be read.
            edits.remove("sec-websocket-extensions");
        }
        let provider = upstream.provider.clone();
        let awaited = Awaited::WebSocket(Handshake::new(offer, supplies_key), followed);
        Ok(forward(Forwarded { admission, provider, awaited, key, reservation }, edits, handle))
    }

    fn rest(self, admission: Admission, ends: bool, cx: &mut Context<'_>) -> Result<RequestDecision, Denial> {
        let Self { plan, head, presented, path, offer } = self;
        let upstream = Upstream::resolve(&admission, &path, None, false)?;
        // What is kept of them as long as trailers may follow.
        let kept = if ends { 0 } else { presented.held() };
        let reservation = admission.reserve(Forwarded::size(&admission, 0), kept, &cx.worker.memory)?;
        let handle = admission.start(cx).map_err(|denial| denial.of(upstream.subject()))?;
        let credential = admission.credential(upstream.provider, cx);
        let outgoing = Outgoing { plan, head, presented, offer: &offer, admission: &admission, upstream: &upstream };
        let edits = outgoing.edits(credential.as_ref());
        let mut meter = RestMeter::new(&admission, &upstream, StreamUsage::AsSent, &cx.worker.memory);
        if let (Some(meter), Some(length)) = (&mut meter, head.content_length()) {
            meter.ask(length);
        }
        let awaited = Awaited::of_rest(&admission, meter);
        let provider = upstream.provider.clone();
        let key = PooledKey::of(&provider, credential.as_ref());
        Ok(forward(Forwarded { admission, provider, awaited, key, reservation }, edits, handle))
    }
}

fn forward(forwarded: Forwarded, edits: Edits, handle: Option<SessionHandle>) -> RequestDecision {
    RequestDecision::Forward(Box::new(forwarded), edits, handle)
}

/// What follows a WebSocket that goes on with this credential.
fn follow(
    admission: &Admission,
    upstream: &Upstream<'_>,
    credential: Option<(Placement, Arc<Secret>)>,
    (role, joined): (Role, Option<JoinedCall>),
    cx: &Context<'_>,
) -> FollowedWebSocket {
    let sideband = match (&admission.call, &admission.endpoint) {
        (Some(call), Endpoint::Sideband(_, path)) => {
            let provider_key = call::provider_key(admission, upstream, credential, cx);
            Some(Box::new(SidebandOf::new(call.id.clone(), *path, role, provider_key)))
        }
        _ => None,
    };
    let id = cx.host.random_bytes().map_or(0, u128::from_le_bytes);
    // Its 101 tells when it starts.
    let mut relay = Box::new(WebSocketRelay::new(admission, upstream, id, &cx.worker.memory, cx.worker.clock));
    if let Some(call) = joined {
        relay.join(call);
    }
    if role == Role::Watcher {
        relay.watch();
    }
    FollowedWebSocket { relay, sideband }
}

fn route(plan: &Plan, host: &dyn StreamHost) -> Route {
    match host.attribute(Attribute::RoutePolicy) {
        Some(policy) => Route::Metadata(policy),
        None if plan.policies.need_names() => Route::Name(host.attribute(Attribute::RouteName).unwrap_or_default()),
        None => Route::Unnamed,
    }
}

/// Denies a request to a route without a policy, which operators hear of too: it is theirs to mend.
fn without_policy(route: &Route, cx: &mut Context<'_>) -> Denial {
    let denial = no_policy(route, cx.host.attribute(Attribute::MisplacedPolicy).as_deref());
    cx.worker.log_without_policy(denial.message(), cx.host.now());
    denial
}

/// All that is known of a request whose sender is not.
fn under(policy: &Policy) -> Subject {
    Subject { policy: Some(policy.name.clone()), ..Subject::default() }
}

fn is_http1(host: &dyn StreamHost) -> bool {
    host.attribute(Attribute::Protocol).is_some_and(|protocol| protocol.starts_with(b"HTTP/1"))
}
