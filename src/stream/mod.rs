//! One stream's life: what it is in, and what each of Envoy's callbacks does to it.
//!
//! ```text
//! Arrived ─┬─ it is the control API's ──────────────────────────▶ Replied
//!          ├─ policy says auth off ─────────────────────────────▶ Untouched
//!          ├─ any check fails ──────────────────────────────────▶ Replied
//!          ├─ the body is needed ▶ WaitingForBody ─┬─ not fine ─▶ Replied
//!          │                                       ├─ fine ─────▶ Forwarded
//!          │                                       └─ it mints ─▶ Minting ─▶ Sealing ─▶ Untouched; locally Replied
//!          └─ all checks pass ──────────────────────────────────▶ Forwarded ─┬─ its key is refused ─▶ Replied
//!                                                                            ├─ 101, and metered ───▶ Relaying
//!                                                                            ├─ 201 to a call ──────▶ CallStarted
//!                                                                            └─ a REST response ends ▶ Spent
//! ```

mod action;
mod admission;
mod body;
mod call;
mod closing;
mod denials;
mod forward;
mod handshake;
mod mint;
mod request;
mod request_head;
mod rest;
mod stream_options;
mod upstream;
mod websocket;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use crate::call::{Call, ProviderKey, id_in};
use crate::client_secret::{InvalidMintResponse, MAX_RESPONSE};
use crate::config::Plan;
use crate::denial::Denial;
use crate::host::{StreamHost, UpstreamRequest, UpstreamResponse};
use crate::http::{Edits, HeaderValue, Headers, decoded};
use crate::metrics::{Metric, MintedBy, Presented};
use crate::policy::Provider;
use crate::process::{CallName, SessionHandle, Sessions};
use crate::usage::{ClosedBy, Record, SessionKind, Status};
use crate::ws::ReadBuffer;

use admission::{Admission, BodyNeed, Purpose};
use body::WaitingForBody;
use call::{SidebandOf, StartedCall};
use denials::{
    invalid_mint_response, provider_key_rejected, route_not_allowed, unreadable_body, upstream_secret_rejected,
};
use handshake::Handshake;
use mint::Minting;
use request::RequestDecision;
use request_head::RequestHead;
use rest::RestMeter;
use websocket::WebSocketRelay;

pub use action::{BodyAction, DetailedReply, RequestAction, ResponseAction};
pub use denials::body_unavailable;
pub use forward::edits_of_denied;
pub use rest::{RestUsage, UsageGap};

/// One HTTP stream.
pub struct Stream {
    plan: Rc<Plan>,
    state: State,
    /// Its place among the sessions of the process, from its admission to its end.
    handle: Option<SessionHandle>,
}

enum State {
    /// Nothing was seen yet.
    Arrived,
    /// The policy asks for nothing.
    Untouched,
    /// Admitted; the body must be seen before the headers go on.
    WaitingForBody(Box<WaitingForBody>),
    /// On its way to the upstream.
    Forwarded(Box<Forwarded>),
    /// A WebSocket that is followed, and the call that it has joined.
    Relaying(Box<WebSocketRelay>, Option<Box<SidebandOf>>),
    /// The upstream began a call.
    CallStarted(Box<StartedCall>),
    /// The upstream began a call, and did not say which.
    CallUnnamed,
    /// A REST exchange whose usage was counted, and is over.
    Spent(Box<RestUsage>),
    /// On its way to the upstream, to mint; the answer is to be sealed.
    Minting(Box<Minting>),
    /// The answer's body is gathered.
    Sealing(Box<Sealing>),
    /// Answered by the filter: what comes back is its own reply.
    Replied,
}

/// What a stream came to.
pub enum Ended {
    /// Nothing that lasts.
    Unopened,
    /// A session, which is over, and the call that it had joined, if that must end with it.
    Closed(Box<Record>, Option<Box<Call>>),
    /// A REST exchange whose usage was to be counted.
    Rest(Box<RestUsage>),
    /// A call, which goes on without it.
    CallStarted(Box<Call>),
    /// A call of which nothing is known.
    CallUnnamed,
}

/// A mint request's answer on its way back.
struct Sealing {
    minting: Box<Minting>,
    content_encoding: Vec<u8>,
    body: Vec<u8>,
}

/// What is kept of a request for its response.
struct Forwarded {
    admission: Admission,
    handshake: Option<Handshake>,
    /// What follows a WebSocket, from before its 101: a client need not wait for that.
    relay: Option<Box<WebSocketRelay>>,
    /// What counts a REST exchange.
    rest: Option<Box<RestMeter>>,
    /// The call that a WebSocket joins.
    sideband: Option<Box<SidebandOf>>,
    /// What ends a call that it begins.
    provider_key: Option<ProviderKey>,
    /// The call that it ends.
    hung_up: Option<String>,
    provider: Rc<Provider>,
    /// The model of a call that it begins.
    model: Option<String>,
}

impl Stream {
    /// A stream that nothing has been seen of, under the configuration of this moment.
    pub fn new(plan: Rc<Plan>) -> Self {
        Self { plan, state: State::Arrived, handle: None }
    }

    /// The request's headers came. `ends` says that no body follows.
    pub fn request_headers(&mut self, headers: Headers, ends: bool, host: &impl StreamHost) -> RequestAction {
        if let Some(answered) = request::control(&self.plan, &headers, host) {
            self.state = State::Replied;
            return RequestAction::Reply(answered, edits_of_denied(&self.plan, &headers));
        }
        let (state, step) = match request::check(&self.plan, &headers, ends, host) {
            Ok(RequestDecision::Untouched) => (State::Untouched, RequestAction::Pass),
            Ok(RequestDecision::Hold(admission, need)) => (
                State::WaitingForBody(Box::new(WaitingForBody { headers, admission: *admission, need })),
                RequestAction::Hold,
            ),
            Ok(RequestDecision::Forward(sent, edits, handle)) => {
                self.handle = handle;
                (State::Forwarded(sent), RequestAction::Forward(edits, None))
            }
            Err(denial) => (State::Replied, self.deny(denial, &headers, host)),
        };
        self.state = state;
        step
    }

    /// More of the request's body came, `size` bytes so far, or its end did. `body` gives them; it is called only when
    /// they are needed and complete.
    pub fn request_body(
        &mut self,
        size: usize,
        ends: bool,
        host: &impl StreamHost,
        body: impl FnOnce() -> Vec<u8>,
    ) -> RequestAction {
        let State::WaitingForBody(waiting) = &self.state else { return RequestAction::Pass };
        let is_unreadable = waiting.need == BodyNeed::Empty && size > 0;
        if !ends && !is_unreadable {
            return RequestAction::Hold;
        }
        let State::WaitingForBody(waiting) = std::mem::replace(&mut self.state, State::Replied) else {
            return RequestAction::Pass;
        };
        let WaitingForBody { headers, admission, need } = *waiting;
        let completed = if is_unreadable {
            Err(unreadable_body())
        } else {
            body::complete(&self.plan, admission, &headers, need, &body(), host)
        };
        match completed {
            Ok((state, step)) => {
                self.state = state;
                step
            }
            Err(denial) => self.deny(denial, &headers, host),
        }
    }

    /// The request's trailers came: what may not stand in its headers may not stand there either.
    pub fn request_trailers(&self, trailers: &Headers) -> Edits {
        match self.state {
            State::Untouched => Edits::default(),
            _ => RequestHead::read(trailers, &self.plan.gateway, &self.plan.strip).removed(),
        }
    }

    /// Whether the request waits for its body.
    pub fn is_waiting_for_body(&self) -> bool {
        matches!(self.state, State::WaitingForBody(_))
    }

    /// The response's headers came. `ends` says that no body follows.
    pub fn response_headers(
        &mut self,
        ends: bool,
        response: &impl UpstreamResponse,
        host: &impl StreamHost,
    ) -> ResponseAction {
        let status = response.status();
        let is_rejected = matches!(status, Some(401 | 403));
        match &mut self.state {
            State::Forwarded(_) | State::Minting(_) if is_rejected && response.is_from_upstream() => {
                let (provider, credential) = match &self.state {
                    State::Forwarded(sent) => (sent.provider.name.as_str(), sent.presented()),
                    State::Minting(minting) => (minting.provider(), Presented::Key),
                    _ => return ResponseAction::Pass,
                };
                let metric = Metric::UpstreamRejected { provider, credential };
                host.sessions().borrow_mut().metrics.add(metric);
                let denial = match credential {
                    Presented::ClientSecret => upstream_secret_rejected(),
                    Presented::Key => provider_key_rejected(),
                };
                self.replace(denial, host)
            }
            State::Forwarded(sent) => match (status, &sent.handshake) {
                (Some(101), Some(handshake)) => {
                    let edits = handshake.answer(response);
                    self.open(edits, host)
                }
                (Some(201), None) if sent.admission.purpose == Purpose::Call => {
                    self.call_begins(response, host);
                    ResponseAction::Pass
                }
                _ => {
                    if let (Some(200..=299), Some(id)) = (status, &sent.hung_up)
                        && response.is_from_upstream()
                    {
                        let call = CallName { provider: &sent.provider.name, id };
                        host.calls().hung_up(call, host.sessions(), host.now());
                    }
                    match &mut sent.rest {
                        Some(rest) => rest.answered(status, response),
                        None => ResponseAction::Pass,
                    }
                }
            },
            State::Minting(_) if matches!(status, Some(200..=299)) => {
                if ends {
                    return self.replace(invalid_mint_response(InvalidMintResponse::NotReadable), host);
                }
                if let State::Minting(minting) = std::mem::replace(&mut self.state, State::Replied) {
                    let content_encoding = response.content_encoding();
                    self.state = State::Sealing(Box::new(Sealing { minting, content_encoding, body: Vec::new() }));
                }
                ResponseAction::Hold
            }
            _ => ResponseAction::Pass,
        }
    }

    /// More of the response's body came, and is taken out of Envoy's hands: what Envoy holds back is bounded by its own
    /// limit, beyond which it answers by itself.
    pub fn response_body(&mut self, chunk: &[u8], ends: bool, host: &impl StreamHost) -> ResponseAction {
        let State::Sealing(sealing) = &mut self.state else { return ResponseAction::Pass };
        if sealing.body.len().saturating_add(chunk.len()) > MAX_RESPONSE {
            return self.replace(invalid_mint_response(InvalidMintResponse::TooLong), host);
        }
        sealing.body.extend_from_slice(chunk);
        if !ends {
            return ResponseAction::Hold;
        }
        match sealing.seal(&self.plan, host) {
            Ok(body) => {
                self.state = State::Untouched;
                host.sessions().borrow_mut().metrics.add(Metric::SecretMinted(MintedBy::Provider));
                let mut edits = Edits::default();
                edits.remove("content-encoding");
                edits.set("content-length", HeaderValue::Plain(body.len().to_string().into_bytes()));
                ResponseAction::Release(edits, body)
            }
            Err(denial) => self.replace(denial, host),
        }
    }

    /// Bytes of the client's are on their way; `None` unless they are a WebSocket's that is followed. `now` may be a second
    /// old.
    pub fn client_bytes(&mut self, buffer: impl ReadBuffer, now: SystemTime) -> Option<BodyAction> {
        let relay = match &mut self.state {
            State::Relaying(relay, _) => relay,
            State::Forwarded(sent) => sent.relay.as_mut()?,
            _ => return None,
        };
        Some(relay.client_bytes(buffer, now))
    }

    /// Bytes of the upstream's are on their way; `None` unless they are a WebSocket's that is followed. `now` may be a
    /// second old.
    pub fn upstream_bytes(
        &mut self,
        buffer: impl ReadBuffer,
        sessions: &RefCell<Sessions>,
        now: SystemTime,
    ) -> Option<BodyAction> {
        let State::Relaying(relay, _) = &mut self.state else { return None };
        Some(relay.upstream_bytes(buffer, &self.plan.prices, sessions, now))
    }

    /// Time passed. Says whether the stream is to be cut now.
    pub fn tick(&mut self, sessions: &mut Sessions, now: SystemTime) -> bool {
        let (State::Relaying(relay, _), Some(handle)) = (&mut self.state, &self.handle) else { return false };
        let has_changed = relay.has_moved();
        let is_overdue = relay.tick(sessions.ending(handle), now);
        sessions.update(handle, has_changed, &|| relay.record(Status::Open, now));
        is_overdue
    }

    /// Whether bytes of the response are to be read as they pass.
    pub fn is_read(&self) -> bool {
        let State::Forwarded(sent) = &self.state else { return false };
        sent.rest.as_ref().is_some_and(|rest| rest.is_read())
    }

    /// Bytes of the response are on their way. `ends` says that none follow. `now` may be a second old.
    pub fn response_bytes(
        &mut self,
        bytes: &[u8],
        ends: bool,
        sessions: &RefCell<Sessions>,
        now: SystemTime,
    ) -> BodyAction {
        let State::Forwarded(sent) = &mut self.state else { return BodyAction::Pass };
        let Some(mut rest) = sent.rest.take() else { return BodyAction::Pass };
        let action = rest.pass(bytes, ends, &self.plan.prices);
        if ends {
            self.state = State::Spent(self.used(*rest, sessions, || now));
        } else {
            sent.rest = Some(rest);
        }
        action
    }

    /// A REST exchange is over, in whatever way: tells what it has used, once.
    fn used(&self, rest: RestMeter, sessions: &RefCell<Sessions>, now: impl FnOnce() -> SystemTime) -> Box<RestUsage> {
        let used = rest.end(&self.plan.prices);
        if used.is_reported() {
            let model = used.model.as_deref().unwrap_or_default();
            sessions.borrow_mut().used(&used.caller, model, (&used.usage, used.cost), now());
        }
        Box::new(used)
    }

    fn open(&mut self, mut edits: Edits, host: &impl StreamHost) -> ResponseAction {
        if let State::Forwarded(sent) = &mut self.state
            && let Some(mut relay) = sent.relay.take()
        {
            let now = host.now();
            relay.start(now);
            if let Some(handle) = &mut self.handle {
                let began = sent.admission.began(&sent.provider, SessionKind::WebSocket);
                host.sessions().borrow_mut().opened(handle, began, &|| relay.record(Status::Open, now), now);
            }
            let sideband = sent.sideband.take();
            self.state = State::Relaying(relay, sideband);
            edits.remove("sec-websocket-extensions");
            return ResponseAction::Open(edits);
        }
        ResponseAction::Edit(edits)
    }

    /// The stream is over. `now` is asked only for what has a duration.
    pub fn end(
        &mut self,
        sessions: &RefCell<Sessions>,
        request: &impl UpstreamRequest,
        now: impl FnOnce() -> SystemTime,
    ) -> Ended {
        if let State::Forwarded(sent) = &mut self.state
            && let Some(rest) = sent.rest.take()
        {
            return Ended::Rest(self.used(*rest, sessions, now));
        }
        match (std::mem::replace(&mut self.state, State::Untouched), self.handle.take()) {
            (State::Spent(used), _) => Ended::Rest(used),
            (State::CallStarted(started_call), handle) => {
                Ended::CallStarted(Box::new(started_call.into_call(handle, request)))
            }
            (State::Relaying(relay, sideband), handle) => {
                let now = now();
                let record = relay.record(Status::Closed, now);
                if let Some(handle) = handle {
                    sessions.borrow_mut().close(handle, Some(&record), now);
                }
                let is_ended_here = record.close.as_ref().is_some_and(|close| close.by == ClosedBy::Gateway);
                let call = sideband.filter(|_| is_ended_here).map(|sideband| sideband.end(&record, request, now));
                Ended::Closed(Box::new(record), call.map(Box::new))
            }
            (state, handle) => {
                if let Some(handle) = handle {
                    sessions.borrow_mut().close(handle, None, now());
                }
                if matches!(state, State::CallUnnamed) { Ended::CallUnnamed } else { Ended::Unopened }
            }
        }
    }

    /// Keeps the call that a 201 names.
    fn call_begins(&mut self, response: &impl UpstreamResponse, host: &impl StreamHost) {
        let State::Forwarded(sent) = std::mem::replace(&mut self.state, State::CallUnnamed) else { return };
        let location = response.location().unwrap_or_default();
        let Some(id) = id_in(&location) else { return };
        let Forwarded { admission, provider_key, provider, model, .. } = *sent;
        let started_call = StartedCall::new(id, &admission, &provider, model, provider_key, host);
        if let Some(handle) = &mut self.handle {
            let began = admission.began(&provider, SessionKind::WebRtc);
            host.sessions().borrow_mut().opened(handle, began, &|| started_call.record().clone(), host.now());
        }
        self.state = State::CallStarted(Box::new(started_call));
    }

    /// Whether the response waits for its body.
    pub fn is_sealing(&self) -> bool {
        matches!(self.state, State::Sealing(..))
    }

    fn deny(&self, denial: Denial, headers: &Headers, host: &impl StreamHost) -> RequestAction {
        host.sessions().borrow_mut().metrics.add(Metric::Rejected(denial.code));
        RequestAction::Deny(denial, edits_of_denied(&self.plan, headers))
    }

    fn replace(&mut self, denial: Denial, host: &impl StreamHost) -> ResponseAction {
        host.sessions().borrow_mut().metrics.add(Metric::Rejected(denial.code));
        self.state = State::Replied;
        ResponseAction::Deny(denial)
    }
}

impl Forwarded {
    /// What it was sent on with.
    fn presented(&self) -> Presented {
        if self.admission.upstream_secret().is_some() { Presented::ClientSecret } else { Presented::Key }
    }
}

impl Sealing {
    fn seal(&self, plan: &Plan, host: &impl StreamHost) -> Result<Vec<u8>, Denial> {
        let secrets = plan.secrets.as_ref().ok_or_else(route_not_allowed)?;
        let body = decoded(Some(&self.content_encoding), &self.body, MAX_RESPONSE);
        let body = body.map_err(|error| invalid_mint_response(error.into()))?;
        self.minting.answer(secrets, &body, host)
    }
}
