//! A request that goes on: what is removed from it, then what is added, and what is kept of it for its response.

use std::sync::Arc;

use super::admission::Admission;
use super::call::{CallRequest, SidebandOf, provider_key};
use super::context::Context;
use super::handshake::Handshake;
use super::pooled_key::PooledKey;
use super::request_head::{Line, RequestHead};
use super::rest::RestMeter;
use super::upstream::Upstream;
use super::websocket::WebSocketRelay;
use crate::config::Plan;
use crate::credential::{GatewaySettings, PresentedTokens, Strip, SubprotocolOffer};
use crate::denial::Subject;
use crate::endpoint::{CallId, CallPath, Endpoint};
use crate::http::{Edits, HeaderValue, Param, ParamEdit, Target};
use crate::memory::Reservation;
use crate::metrics::Presented;
use crate::policy::{Placement, Provider};
use crate::secret::Secret;

/// The header by which routes can tell providers apart.
const PROVIDER_HEADER: &str = "x-realtime-byok-provider";

/// What is kept of a request for its response.
pub(crate) struct Forwarded {
    /// Who sent it, and under which policy.
    pub admission: Admission,
    /// Who serves it.
    pub provider: Arc<Provider>,
    /// What its response is to be looked at for.
    pub awaited: Awaited,
    /// The key that it went on with, if there are others.
    pub key: Option<Box<PooledKey>>,
    /// What all that holds, but for what is read.
    pub reservation: Reservation,
}

/// What the response to a request is looked at for, by what the request addresses.
pub(crate) enum Awaited {
    /// A 101, which answers the offer, and from which on a session runs if the policy meters it.
    WebSocket(Handshake, Option<FollowedWebSocket>),
    /// A 201 that names a call.
    Call(CallRequest),
    /// A success that says that this call has ended; its usage is counted as that of all REST.
    HangUp(CallId, Option<Box<RestMeter>>),
    /// What a body tells of usage.
    Usage(Box<RestMeter>),
    /// Nothing but whether the provider's key is refused.
    Nothing,
}

/// What follows a WebSocket, from before its 101: a client need not wait for that.
pub(crate) struct FollowedWebSocket {
    /// Both directions.
    pub relay: Box<WebSocketRelay>,
    /// The call that it joins.
    pub sideband: Option<Box<SidebandOf>>,
}

/// All that the edits of an admitted request depend on.
pub(crate) struct Outgoing<'a> {
    /// The configuration.
    pub plan: &'a Plan,
    /// Its header lines.
    pub head: &'a RequestHead,
    /// All tokens that it presents.
    pub presented: &'a PresentedTokens<'a>,
    /// The subprotocols that it offers.
    pub offer: &'a SubprotocolOffer,
    /// Who sent it, and what it addresses.
    pub admission: &'a Admission,
    /// Who serves it.
    pub upstream: &'a Upstream<'a>,
}

impl Forwarded {
    /// How many bytes it holds, beside so many others.
    pub(crate) fn size(admission: &Admission, others: usize) -> usize {
        size_of::<Self>().saturating_add(admission.held()).saturating_add(others)
    }

    /// Whether it is a WebSocket that is open, and not followed.
    pub(crate) fn is_unfollowed_session(&self) -> bool {
        self.admission.endpoint.is_websocket() && matches!(self.awaited, Awaited::Nothing)
    }

    /// Nothing more is to be known of it.
    pub(crate) fn forget(&mut self) {
        (self.awaited, self.admission.client_secret) = (Awaited::Nothing, None);
        self.reservation.hold(size_of::<Self>()).ok();
    }

    /// What it was sent on with.
    pub(crate) fn presented(&self) -> Presented {
        if self.admission.upstream_secret().is_some() { Presented::ClientSecret } else { Presented::Key }
    }

    /// Who sent it, and what it was for.
    pub(crate) fn subject(&self) -> Subject {
        let model = self.awaited.model().map(str::to_owned);
        Subject { provider: Some(self.provider.name.clone()), model, ..self.admission.requester().subject() }
    }
}

impl Awaited {
    /// What is awaited of a response that is neither a WebSocket's nor a call's.
    pub(crate) fn of_rest(admission: &Admission, meter: Option<Box<RestMeter>>) -> Self {
        let hung_up = admission.call.as_ref().filter(|_| admission.endpoint.hangs_up());
        match (hung_up, meter) {
            (Some(call), meter) => Self::HangUp(call.id.clone(), meter),
            (None, Some(meter)) => Self::Usage(meter),
            (None, None) => Self::Nothing,
        }
    }

    /// The model of the request, if it is known.
    fn model(&self) -> Option<&str> {
        match self {
            Self::WebSocket(_, followed) => followed.as_ref()?.relay.model(),
            Self::Call(request) => request.model.as_deref(),
            Self::Usage(meter) => meter.model(),
            Self::HangUp(_, meter) => meter.as_ref()?.model(),
            Self::Nothing => None,
        }
    }

    /// What follows a WebSocket whose 101 has not come.
    pub(crate) fn relay(&mut self) -> Option<&mut WebSocketRelay> {
        match self {
            Self::WebSocket(_, Some(followed)) => Some(&mut *followed.relay),
            _ => None,
        }
    }

    /// What counts the response of REST.
    pub(crate) fn meter(&mut self) -> Option<&mut Box<RestMeter>> {
        match self {
            Self::Usage(meter) => Some(meter),
            Self::HangUp(_, meter) => meter.as_mut(),
            Self::WebSocket(..) | Self::Call(_) | Self::Nothing => None,
        }
    }

    /// Takes out what counts the response of REST.
    pub(crate) fn take_meter(&mut self) -> Option<Box<RestMeter>> {
        match std::mem::replace(self, Self::Nothing) {
            Self::Usage(meter) => Some(meter),
            Self::HangUp(_, meter) => meter,
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Outgoing<'_> {
    /// All edits of a request that goes on with this credential.
    pub(crate) fn edits(&self, credential: Option<&(Placement, Arc<Secret>)>) -> Edits {
        let mut edits = self.head.stripped_with(self.offer, self.presented);
        if self.admission.endpoint.is_websocket() && !self.is_plain_upgrade() {
            // RFC 9110 section 7.6.1: what is nominated there goes no further, the key that was just put in among it.
            edits.set("connection", HeaderValue::Plain(b"upgrade".to_vec()));
        } else if !self.admission.endpoint.is_websocket()
            && self.head.all(Line::Connection).any(|value| self.presented.stand_in(value))
        {
            edits.remove("connection");
        }
        if self.head.has(Line::AcceptEncoding) && self.admission.is_counted() {
            // Nobody here could read another coding.
            edits.set("accept-encoding", HeaderValue::Plain(b"identity".to_vec()));
        }
        let mut params = Vec::new();
        match credential {
            Some((Placement::Header { name, .. }, value)) => {
                edits.set(name.clone(), HeaderValue::Secret(value.clone()));
            }
            Some((Placement::Query(name), value)) => {
                params.push((name.as_str(), value.expose()));
            }
            None => {}
        }
        let provider = self.upstream.provider;
        for (name, value) in &provider.account {
            edits.set(*name, HeaderValue::Plain(value.clone().into_bytes()));
        }
        if self.admission.policy.has_several_providers() {
            edits.set(PROVIDER_HEADER, HeaderValue::Plain(provider.name.clone().into_bytes()));
        }
        if let Some(path) = self.target(params) {
            edits.set(":path", HeaderValue::Secret(Arc::new(Secret::new(path))));
        }
        edits
    }

    /// Whether `connection` says nothing but that this is an upgrade.
    fn is_plain_upgrade(&self) -> bool {
        let mut lines = self.head.all(Line::Connection);
        lines.next().is_some_and(|line| line.eq_ignore_ascii_case(b"upgrade")) && lines.next().is_none()
    }

    /// What is awaited of a call that begins at this path, and all edits of the request that begins it.
    pub(crate) fn call(
        &self,
        path: CallPath,
        replaced: Option<&[u8]>,
        cx: &Context<'_>,
    ) -> (Awaited, Option<Box<PooledKey>>, Edits) {
        let credential = self.admission.credential(self.upstream.provider, cx);
        let key = PooledKey::of(self.upstream.provider, credential.as_ref());
        let mut edits = self.edits_with_body(credential.as_ref(), replaced);
        if path == CallPath::Live {
            // The answer's body is read.
            edits.set("accept-encoding", HeaderValue::Plain(b"identity".to_vec()));
        }
        let provider_key = provider_key(self.admission, self.upstream, credential, cx);
        let model = self.upstream.model.map(str::to_owned);
        (Awaited::Call(CallRequest { path, model, provider_key }), key, edits)
    }

    /// All edits of a request whose body was waited for, and is now this one if it was replaced.
    pub(crate) fn edits_with_body(
        &self,
        credential: Option<&(Placement, Arc<Secret>)>,
        replaced: Option<&[u8]>,
    ) -> Edits {
        let mut edits = self.edits(credential);
        if let Some(body) = replaced.filter(|_| self.head.has(Line::ContentLength)) {
            edits.set("content-length", HeaderValue::Plain(body.len().to_string().into_bytes()));
        }
        edits
    }

    /// The target without credentials, with the model's resolved name, and with these parameters; `None` if it stays as
    /// it is.
    fn target<'a>(&'a self, mut added: Vec<(&'a str, &'a [u8])>) -> Option<Vec<u8>> {
        let (policy, endpoint, target) = (&self.admission.policy, &self.admission.endpoint, self.head.target());
        let model = self.upstream.model.filter(|_| endpoint.begins_session());
        let is_local_secret = self.admission.client_secret.as_ref().is_some_and(|secret| secret.upstream.is_none());
        let takes_model = !matches!(endpoint, Endpoint::Sideband(..) | Endpoint::StartCall(CallPath::Live));
        let needs_model = is_local_secret && takes_model;
        let is_named = || target.params().any(|param| policy.is_model_param(&param));
        if let Some(model) = model.filter(|_| needs_model && !is_named()) {
            added.push(("model", model.as_bytes()));
        }
        // The client's name for a call, where it is sealed, gives way to the upstream's.
        let call = self.admission.call.as_ref().filter(|call| call.sealed.is_some()).zip(endpoint.call());
        let path = call.and_then(|(call, named)| with_call_id(target.path, named, &call.id));
        // Azure's `model` and `deployment` may differ: each is resolved by itself.
        let is_beside =
            |param: &Param<'_>, beside: &str| param.value().is_some_and(|value| policy.resolve(&value).model == beside);
        let edit = |param: &Param<'_>| match model {
            _ if param.is("call_id")
                && let Some((call, _)) = call =>
            {
                ParamEdit::Replace(call.id.as_str().as_bytes())
            }
            _ if self.plan.strip.takes(param) || self.presented.stand_in(param.raw()) => ParamEdit::Remove,
            Some(model) if policy.is_model_param(param) && !param.value_is(model) => {
                let beside = self.upstream.beside.as_deref().filter(|beside| is_beside(param, beside));
                ParamEdit::Replace(beside.unwrap_or(model).as_bytes())
            }
            _ => ParamEdit::Keep,
        };
        match path {
            Some(path) => {
                let target = Target { path: &path, query: target.query };
                Some(target.rewrite(&edit, &added).unwrap_or_else(|| target.to_bytes()))
            }
            None => target.rewrite(&edit, &added),
        }
    }
}

/// A path that names a call, with another id for it; `None` if it names none.
fn with_call_id(path: &[u8], named: &CallId, id: &CallId) -> Option<Vec<u8>> {
    let is_id = |segment: &&[u8]| **segment == *named.as_str().as_bytes();
    let mut segments: Vec<_> = path.split(|&byte| byte == b'/').collect();
    let segment = segments.iter_mut().rev().find(|segment| is_id(segment))?;
    *segment = id.as_str().as_bytes();
    Some(segments.join(&b'/'))
}

/// The edits of a request that is answered here: its path without credentials, as access logs show paths.
pub(crate) fn edits_of_denied(gateway: &GatewaySettings, strip: &Strip, head: &RequestHead) -> Edits {
    let mut edits = Edits::default();
    if head.target().query.is_none() {
        return edits;
    }
    let presented = head.presented(gateway);
    let edit = |param: &Param<'_>| match strip.takes(param) || presented.stand_in(param.raw()) {
        true => ParamEdit::Remove,
        false => ParamEdit::Keep,
    };
    if let Some(path) = head.target().rewrite(&edit, &[]) {
        edits.set(":path", HeaderValue::Plain(path));
    }
    edits
}
