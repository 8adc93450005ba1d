//! A request's headers, as they come: for the control API, or to be checked and sent on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::action::DetailedReply;
use super::admission::{Admission, BodyNeed, Purpose};
use super::call::{SidebandOf, call_hung_up, call_joined};
use super::denials::{credential_denial, no_policy};
use super::handshake::Handshake;
use super::request_head::RequestHead;
use super::rest::RestMeter;
use super::websocket::WebSocketRelay;
use super::{Forwarded, call, forward};
use crate::config::Plan;
use crate::control::Request;
use crate::credential::{SubprotocolOffer, bearer};
use crate::denial::Denial;
use crate::host::{StreamHost, roll};
use crate::http::{Edits, HeaderValue, Headers, Target};
use crate::memory::Reservation;
use crate::policy::{Guard, Route};
use crate::process::{CallName, SessionHandle};
use crate::secret::Digest;

/// What the checks of a request's headers come to.
pub enum RequestDecision {
    /// They go on as they are.
    Untouched,
    /// They wait for the body.
    Hold(Box<Admission>, BodyNeed),
    /// They go on, edited, maybe with a place among the sessions of the process.
    Forward(Box<Forwarded>, Edits, Option<SessionHandle>),
}

/// What the control API answers, if the request is for that. It needs no policy, and no route.
pub fn control(plan: &Plan, headers: &Headers, host: &impl StreamHost) -> Option<DetailedReply> {
    let control = plan.control.as_ref()?;
    let target = Target::parse(headers.first(b":path")?);
    let is_authorized = || {
        let offer = headers.first(b"authorization").and_then(bearer).map(Digest::of);
        offer.is_some_and(|token| token == control.token) && control.validity.check(host.now()).is_ok()
    };
    let method = headers.first(b":method").unwrap_or_default();
    let request = Request::read(&control.path, method, &target, is_authorized)?;
    let run = |request: Request| request.run(&mut host.sessions().borrow_mut(), host.now());
    // Whoever guesses at the token can be seen.
    let details = match &request {
        Err(answer) if answer.status == 401 => "realtime_byok.invalid_control_token",
        _ => "realtime_byok.control",
    };
    Some(DetailedReply { reply: request.map_or_else(|answer| answer, run), details })
}

/// Checks the headers of a request, and edits them if they go on. `ends` says that no body follows.
pub fn check(plan: &Plan, headers: &Headers, ends: bool, host: &impl StreamHost) -> Result<RequestDecision, Denial> {
    let policy = match plan.policies.find(&route(plan, host)) {
        Some(Guard::Off) => return Ok(RequestDecision::Untouched),
        Some(Guard::On(policy)) => policy,
        None => return Err(no_policy()),
    };
    let head = RequestHead::read(headers, &plan.gateway, &plan.strip);
    let offer = SubprotocolOffer::parse(&head.subprotocols, &plan.gateway).map_err(credential_denial)?;
    let admission = Admission::new(plan, policy, &head, &offer, host)?;
    if let Some(need) = admission.body_need(&head, ends)? {
        return Ok(RequestDecision::Hold(Box::new(admission), need));
    }
    let named = admission.named_in_query(&head)?;
    let sideband = call_joined(&head.target).filter(|_| admission.purpose == Purpose::WebSocket);
    let is_subject = named.is_some() || (admission.purpose != Purpose::Rest && sideband.is_none());
    let upstream = admission.resolve_upstream(&head, named.as_deref(), is_subject)?;
    let handle = match &sideband {
        Some(id) => call::join(CallName { provider: &upstream.provider.name, id }, &admission, host)?,
        None => admission.start(host)?,
    };
    let hung_up = call_hung_up(&head);
    let handshake = (admission.purpose == Purpose::WebSocket)
        .then(|| Handshake::new(&head, &offer, !head.has_websocket_key && !host.is_http1()));
    let rest = RestMeter::new(&admission, &head, &upstream, false);
    let credential = upstream.provider.credential(admission.upstream_secret(), || roll(host));
    let has_extensions = head.has_websocket_extensions;
    let mut edits = forward::edits(plan, &admission, head, &offer, &upstream, credential.as_ref(), rest.is_some());
    if handshake.is_some() && headers.first(b"content-length").is_some() {
        // An upstream that took so much for a body would see other frames than are followed.
        edits.remove("content-length");
    }
    if handshake.as_ref().is_some_and(|handshake| handshake.key_supplied) {
        let key = STANDARD.encode(host.random::<16>().unwrap_or_default());
        edits.set("sec-websocket-key", HeaderValue::Plain(key.into_bytes()));
    }
    let is_call = admission.purpose == Purpose::Call || sideband.is_some();
    let mut provider_key = if is_call { call::provider_key(&admission, &upstream, credential, host) } else { None };
    let sideband = sideband.map(|id| Box::new(SidebandOf::new(id, provider_key.take())));
    let model = upstream.model.filter(|_| admission.purpose == Purpose::Call).map(str::to_owned);
    let relay = (handshake.is_some() && admission.policy.is_metered).then(|| {
        let id = host.random().map_or(0, u128::from_le_bytes);
        let reservation = Reservation::new(host.sessions().borrow().memory.clone());
        Box::new(WebSocketRelay::new(&admission, &upstream.provider.name, upstream.model, id, reservation, host.now()))
    });
    if relay.is_some() && has_extensions {
        // RFC 6455 section 9: without an extension, frames can be read.
        edits.remove("sec-websocket-extensions");
    }
    let provider = upstream.provider.clone();
    let sent = Forwarded { admission, handshake, relay, sideband, rest, provider_key, hung_up, provider, model };
    Ok(RequestDecision::Forward(Box::new(sent), edits, handle))
}

fn route(plan: &Plan, host: &impl StreamHost) -> Route {
    match host.route_policy() {
        Some(policy) => Route::Metadata(policy),
        None if plan.policies.need_names() => Route::Name(host.route_name()),
        None => Route::Unnamed,
    }
}
