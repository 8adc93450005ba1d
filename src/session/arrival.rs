//! A request's headers, as they come: for the control API, or to be checked and sent on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::admission::{Admission, BodyNeed, Purpose};
use super::called::{self, Joined, call_hung_up, call_joined};
use super::exchange::RestExchange;
use super::handshake::Handshake;
use super::live::{Live, Reserved};
use super::refusal::{form_denial, no_policy};
use super::surroundings::{Answered, Surroundings};
use super::{Forwarded, onward};
use crate::auth::{Offered, bearer};
use crate::config::Plan;
use crate::control::{CallName, Request, Seat};
use crate::denial::Denial;
use crate::http::{Edits, Headers, Target, Value};
use crate::inbound::Inbound;
use crate::policy::{Handling, Route};
use crate::secret::Digest;

/// What the checks of a request's headers come to.
pub enum Admitted {
    /// They go on as they are.
    Untouched,
    /// They wait for the body.
    Hold(Box<Admission>, BodyNeed),
    /// They go on, edited, maybe with a place among the sessions of the process.
    Forward(Box<Forwarded>, Edits, Option<Seat>),
}

/// What the control API answers, if the request is for that. It needs no policy, and no route.
pub fn control(plan: &Plan, headers: &Headers, around: &impl Surroundings) -> Option<Answered> {
    let control = plan.control.as_ref()?;
    let target = Target::parse(headers.first(b":path")?);
    let is_authorized = || {
        let offered = headers.first(b"authorization").and_then(bearer).map(Digest::of);
        offered.is_some_and(|token| token == control.token) && control.validity.check(around.now()).is_ok()
    };
    let method = headers.first(b":method").unwrap_or_default();
    let request = Request::read(&control.path, method, &target, is_authorized)?;
    let run = |request: Request| request.run(&mut around.process().borrow_mut(), around.now());
    // Whoever guesses at the token can be seen.
    let details = match &request {
        Err(answer) if answer.status == 401 => "realtime_byok.invalid_control_token",
        _ => "realtime_byok.control",
    };
    Some(Answered { answer: request.map_or_else(|answer| answer, run), details })
}

/// Checks the headers of a request, and edits them if they go on. `ends` says that no body follows.
pub fn admit(plan: &Plan, headers: &Headers, ends: bool, around: &impl Surroundings) -> Result<Admitted, Denial> {
    let policy = match plan.policies.find(&route(plan, around)) {
        Some(Handling::Untouched) => return Ok(Admitted::Untouched),
        Some(Handling::Guarded(policy)) => policy,
        None => return Err(no_policy()),
    };
    let inbound = Inbound::read(headers, &plan.gateway, &plan.strip);
    let offered = Offered::parse(&inbound.subprotocols, &plan.gateway).map_err(form_denial)?;
    let admission = Admission::new(plan, policy, &inbound, &offered, around)?;
    if let Some(need) = admission.body_need(&inbound, ends)? {
        return Ok(Admitted::Hold(Box::new(admission), need));
    }
    let named = admission.named_in_query(&inbound)?;
    let joined = call_joined(&inbound.target).filter(|_| admission.purpose == Purpose::WebSocket);
    let is_subject = named.is_some() || (admission.purpose != Purpose::Rest && joined.is_none());
    let choice = admission.choose(&inbound, named.as_deref(), is_subject)?;
    let seat = match &joined {
        Some(id) => called::join(CallName { provider: &choice.provider.name, id }, &admission, around)?,
        None => admission.start(around)?,
    };
    let hung_up = call_hung_up(&inbound);
    let handshake = (admission.purpose == Purpose::WebSocket)
        .then(|| Handshake::new(&inbound, &offered, !inbound.has_websocket_key && !around.is_http1()));
    let exchange = RestExchange::new(&admission, &inbound, &choice, false);
    let credential = onward::credential(choice.provider, admission.upstream_secret(), around);
    let has_extensions = inbound.has_websocket_extensions;
    let mut edits =
        onward::edits(plan, &admission, inbound, &offered, &choice, credential.as_ref(), exchange.is_some());
    if handshake.is_some() && headers.first(b"content-length").is_some() {
        // An upstream that took so much for a body would see other frames than are followed.
        edits.remove("content-length");
    }
    if handshake.as_ref().is_some_and(|handshake| handshake.key_supplied) {
        let key = STANDARD.encode(around.random::<16>().unwrap_or_default());
        edits.set("sec-websocket-key", Value::Plain(key.into_bytes()));
    }
    let is_call = admission.purpose == Purpose::Call || joined.is_some();
    let mut provider_key = if is_call { called::provider_key(&admission, &choice, credential, around) } else { None };
    let joined = joined.map(|id| Box::new(Joined::new(id, provider_key.take())));
    let model = choice.model.filter(|_| admission.purpose == Purpose::Call).map(str::to_owned);
    let live = (handshake.is_some() && admission.policy.is_metered).then(|| {
        let id = around.random().map_or(0, u128::from_le_bytes);
        let reserved = Reserved::new(around.process().borrow().reserved.clone());
        Box::new(Live::new(&admission, &choice.provider.name, choice.model, id, reserved, around.now()))
    });
    if live.is_some() && has_extensions {
        // RFC 6455 section 9: without an extension, frames can be read.
        edits.remove("sec-websocket-extensions");
    }
    let provider = choice.provider.clone();
    let sent = Forwarded { admission, handshake, live, joined, exchange, provider_key, hung_up, provider, model };
    Ok(Admitted::Forward(Box::new(sent), edits, seat))
}

fn route(plan: &Plan, around: &impl Surroundings) -> Route {
    match around.route_policy() {
        Some(policy) => Route::Metadata(policy),
        None if plan.policies.need_names() => Route::Name(around.route_name()),
        None => Route::Unnamed,
    }
}
