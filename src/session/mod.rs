//! One stream's life: what it is in, and what each of Envoy's callbacks does to it.
//!
//! ```text
//! Arrived ─┬─ it is the control API's ────────────────▶ Answered
//!          ├─ policy says auth off ───────────────────▶ Untouched
//!          ├─ any check fails ────────────────────────▶ Answered
//!          ├─ the body is needed ▶ Held ─┬─ not fine ─▶ Answered
//!          │                             ├─ fine ─────▶ Forwarded
//!          │                             └─ it mints ─▶ Minting ─▶ Sealing ─▶ Untouched; Answered in local mode
//!          └─ all checks pass ────────────────────────▶ Forwarded ─┬─ the upstream refuses the key ─▶ Answered
//!                                                                  ├─ 101 to what is metered ───────▶ Open
//!                                                                  ├─ 201 to a call ────────────────▶ Called
//!                                                                  └─ a REST answer was counted ────▶ Spent
//! ```

mod admission;
mod arrival;
mod asking;
mod called;
mod exchange;
mod farewell;
mod handshake;
mod held;
mod live;
mod minting;
mod onward;
#[cfg(test)]
mod oracles;
mod refusal;
mod surroundings;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use crate::call::{Call, ProviderKey, id_in};
use crate::config::Plan;
use crate::control::{CallName, Process, Seat};
use crate::denial::Denial;
use crate::http::{Edits, Headers, Value};
use crate::inbound::Inbound;
use crate::metrics::{Metric, MintedBy, Presented};
use crate::mint::{InvalidAnswer, MAX_ANSWER, decoded};
use crate::policy::Provider;
use crate::usage::{ClosedBy, Kind, Record, Status};
use crate::ws::Window;

use admission::{Admission, BodyNeed, Purpose};
use arrival::Admitted;
use called::{Called, Joined};
use exchange::RestExchange;
use handshake::Handshake;
use held::Held;
use live::Live;
use minting::Minting;
use refusal::{invalid_answer, provider_key_rejected, route_not_allowed, unreadable_body, upstream_secret_rejected};

pub use exchange::{Gap, RestUsage};
pub use live::Relay;
pub use onward::edits_of_refused;
pub use refusal::body_unavailable;
pub use surroundings::{Answered, Exchanged, RequestStep, Response, ResponseStep, Surroundings};

/// One HTTP stream.
pub struct Session {
    plan: Rc<Plan>,
    state: State,
    /// Its place among the sessions of the process, from its admission to its end.
    seat: Option<Seat>,
}

enum State {
    /// Nothing was seen yet.
    Arrived,
    /// The policy asks for nothing.
    Untouched,
    /// Admitted; the body must be seen before the headers go on.
    Held(Box<Held>),
    /// On its way to the upstream.
    Forwarded(Box<Forwarded>),
    /// A WebSocket that is followed, and the call that it has joined.
    Open(Box<Live>, Option<Box<Joined>>),
    /// The upstream began a call.
    Called(Box<Called>),
    /// The upstream began a call, and did not say which.
    Unnamed,
    /// A REST exchange whose usage was counted, and is over.
    Spent(Box<RestUsage>),
    /// On its way to the upstream, to mint; the answer is to be sealed.
    Minting(Box<Minting>),
    /// The answer's body is gathered.
    Sealing(Box<Sealing>),
    /// Answered by the filter: what comes back is its own reply.
    Answered,
}

/// What a stream came to.
pub enum Ended {
    /// Nothing that lasts.
    Unopened,
    /// A session, which is over, and the call that it had joined, if that must end with it.
    Closed(Box<Record>, Option<Box<Call>>),
    /// A REST exchange whose usage was to be counted.
    Exchanged(Box<RestUsage>),
    /// A call, which goes on without it.
    Called(Box<Call>),
    /// A call of which nothing is known.
    Unnamed,
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
    live: Option<Box<Live>>,
    /// What counts a REST exchange.
    exchange: Option<Box<RestExchange>>,
    /// The call that a WebSocket joins.
    joined: Option<Box<Joined>>,
    /// What ends a call that it begins.
    provider_key: Option<ProviderKey>,
    /// The call that it ends.
    hung_up: Option<String>,
    provider: Rc<Provider>,
    /// The model of a call that it begins.
    model: Option<String>,
}

impl Session {
    /// A stream that nothing has been seen of, under the configuration of this moment.
    pub fn new(plan: Rc<Plan>) -> Self {
        Self { plan, state: State::Arrived, seat: None }
    }

    /// The request's headers came. `ends` says that no body follows.
    pub fn request_headers(&mut self, headers: Headers, ends: bool, around: &impl Surroundings) -> RequestStep {
        if let Some(answered) = arrival::control(&self.plan, &headers, around) {
            self.state = State::Answered;
            return RequestStep::Answer(answered, edits_of_refused(&self.plan, &headers));
        }
        let (state, step) = match arrival::admit(&self.plan, &headers, ends, around) {
            Ok(Admitted::Untouched) => (State::Untouched, RequestStep::Pass),
            Ok(Admitted::Hold(admission, need)) => {
                (State::Held(Box::new(Held { headers, admission: *admission, need })), RequestStep::Hold)
            }
            Ok(Admitted::Forward(sent, edits, seat)) => {
                self.seat = seat;
                (State::Forwarded(sent), RequestStep::Forward(edits, None))
            }
            Err(denial) => (State::Answered, self.refusal(denial, &headers, around)),
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
        around: &impl Surroundings,
        body: impl FnOnce() -> Vec<u8>,
    ) -> RequestStep {
        let State::Held(held) = &self.state else { return RequestStep::Pass };
        let is_unreadable = held.need == BodyNeed::Absence && size > 0;
        if !ends && !is_unreadable {
            return RequestStep::Hold;
        }
        let State::Held(held) = std::mem::replace(&mut self.state, State::Answered) else { return RequestStep::Pass };
        let Held { headers, admission, need } = *held;
        let completed = if is_unreadable {
            Err(unreadable_body())
        } else {
            held::complete(&self.plan, admission, &headers, need, &body(), around)
        };
        match completed {
            Ok((state, step)) => {
                self.state = state;
                step
            }
            Err(denial) => self.refusal(denial, &headers, around),
        }
    }

    /// The request's trailers came: what may not stand in its headers may not stand there either.
    pub fn request_trailers(&self, trailers: &Headers) -> Edits {
        match self.state {
            State::Untouched => Edits::default(),
            _ => Inbound::read(trailers, &self.plan.gateway, &self.plan.strip).removed(),
        }
    }

    /// Whether the request waits for its body.
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }

    /// The response's headers came. `ends` says that no body follows.
    pub fn response_headers(
        &mut self,
        ends: bool,
        response: &impl Response,
        around: &impl Surroundings,
    ) -> ResponseStep {
        let status = response.status();
        let is_rejected = matches!(status, Some(401 | 403));
        match &mut self.state {
            State::Forwarded(_) | State::Minting(_) if is_rejected && response.is_from_upstream() => {
                let (provider, credential) = match &self.state {
                    State::Forwarded(sent) => (sent.provider.name.as_str(), sent.presented()),
                    State::Minting(minting) => (minting.provider(), Presented::Key),
                    _ => return ResponseStep::Pass,
                };
                let metric = Metric::UpstreamRejected { provider, credential };
                around.process().borrow_mut().metrics.add(metric);
                let denial = match credential {
                    Presented::ClientSecret => upstream_secret_rejected(),
                    Presented::Key => provider_key_rejected(),
                };
                self.replace(denial, around)
            }
            State::Forwarded(sent) => match (status, &sent.handshake) {
                (Some(101), Some(handshake)) => {
                    let edits = handshake.answer(response);
                    self.open(edits, around)
                }
                (Some(201), None) if sent.admission.purpose == Purpose::Call => {
                    self.call_begins(response, around);
                    ResponseStep::Pass
                }
                _ => {
                    if let (Some(200..=299), Some(id)) = (status, &sent.hung_up)
                        && response.is_from_upstream()
                    {
                        let call = CallName { provider: &sent.provider.name, id };
                        around.calls().hung_up(call, around.process(), around.now());
                    }
                    match &mut sent.exchange {
                        Some(exchange) => exchange.answered(status, response),
                        None => ResponseStep::Pass,
                    }
                }
            },
            State::Minting(_) if matches!(status, Some(200..=299)) => {
                if ends {
                    return self.replace(invalid_answer(InvalidAnswer::NotReadable), around);
                }
                if let State::Minting(minting) = std::mem::replace(&mut self.state, State::Answered) {
                    let content_encoding = response.content_encoding();
                    self.state = State::Sealing(Box::new(Sealing { minting, content_encoding, body: Vec::new() }));
                }
                ResponseStep::Hold
            }
            _ => ResponseStep::Pass,
        }
    }

    /// More of the response's body came, and is taken out of Envoy's hands: what Envoy holds back is bounded by its own
    /// limit, beyond which it answers by itself.
    pub fn response_body(&mut self, chunk: &[u8], ends: bool, around: &impl Surroundings) -> ResponseStep {
        let State::Sealing(sealing) = &mut self.state else { return ResponseStep::Pass };
        if sealing.body.len().saturating_add(chunk.len()) > MAX_ANSWER {
            return self.replace(invalid_answer(InvalidAnswer::TooLong), around);
        }
        sealing.body.extend_from_slice(chunk);
        if !ends {
            return ResponseStep::Hold;
        }
        match sealing.seal(&self.plan, around) {
            Ok(body) => {
                self.state = State::Untouched;
                around.process().borrow_mut().metrics.add(Metric::SecretMinted(MintedBy::Provider));
                let mut edits = Edits::default();
                edits.remove("content-encoding");
                edits.set("content-length", Value::Plain(body.len().to_string().into_bytes()));
                ResponseStep::Release(edits, body)
            }
            Err(denial) => self.replace(denial, around),
        }
    }

    /// Bytes of the client's are on their way; `None` unless they are a WebSocket's that is followed. `now` may be a second
    /// old.
    pub fn client_bytes(&mut self, window: impl Window, now: SystemTime) -> Option<Relay> {
        let live = match &mut self.state {
            State::Open(live, _) => live,
            State::Forwarded(sent) => sent.live.as_mut()?,
            _ => return None,
        };
        Some(live.client_bytes(window, now))
    }

    /// Bytes of the upstream's are on their way; `None` unless they are a WebSocket's that is followed. `now` may be a
    /// second old.
    pub fn upstream_bytes(
        &mut self,
        window: impl Window,
        process: &RefCell<Process>,
        now: SystemTime,
    ) -> Option<Relay> {
        let State::Open(live, _) = &mut self.state else { return None };
        Some(live.upstream_bytes(window, &self.plan.prices, process, now))
    }

    /// Time passed. Says whether the stream is to be cut now.
    pub fn tick(&mut self, process: &mut Process, now: SystemTime) -> bool {
        let (State::Open(live, _), Some(seat)) = (&mut self.state, &self.seat) else { return false };
        let has_changed = live.has_moved();
        let is_overdue = live.tick(process.ending(seat), now);
        process.update(seat, has_changed, &|| live.record(Status::Open, now));
        is_overdue
    }

    /// Whether bytes of the response are to be read as they pass.
    pub fn is_read(&self) -> bool {
        let State::Forwarded(sent) = &self.state else { return false };
        sent.exchange.as_ref().is_some_and(|exchange| exchange.is_read())
    }

    /// Bytes of the response are on their way. `ends` says that none follow. `now` may be a second old.
    pub fn response_bytes(&mut self, bytes: &[u8], ends: bool, process: &RefCell<Process>, now: SystemTime) -> Relay {
        let State::Forwarded(sent) = &mut self.state else { return Relay::Pass };
        let Some(mut exchange) = sent.exchange.take() else { return Relay::Pass };
        let relay = exchange.pass(bytes, ends, &self.plan.prices);
        if ends {
            self.state = State::Spent(self.used(*exchange, process, || now));
        } else {
            sent.exchange = Some(exchange);
        }
        relay
    }

    /// A REST exchange is over, in whatever way: tells what it has used, once.
    fn used(
        &self,
        exchange: RestExchange,
        process: &RefCell<Process>,
        now: impl FnOnce() -> SystemTime,
    ) -> Box<RestUsage> {
        let used = exchange.end(&self.plan.prices);
        if used.is_told() {
            let model = used.model.as_deref().unwrap_or_default();
            process.borrow_mut().used(&used.caller, model, (&used.usage, used.cost), now());
        }
        Box::new(used)
    }

    fn open(&mut self, mut edits: Edits, around: &impl Surroundings) -> ResponseStep {
        if let State::Forwarded(sent) = &mut self.state
            && let Some(mut live) = sent.live.take()
        {
            let now = around.now();
            live.start(now);
            if let Some(seat) = &mut self.seat {
                let began = sent.admission.began(&sent.provider, Kind::WebSocket);
                around.process().borrow_mut().opened(seat, began, &|| live.record(Status::Open, now), now);
            }
            let joined = sent.joined.take();
            self.state = State::Open(live, joined);
            edits.remove("sec-websocket-extensions");
            return ResponseStep::Open(edits);
        }
        ResponseStep::Edit(edits)
    }

    /// The stream is over. `now` is asked only for what has a duration.
    pub fn end(
        &mut self,
        process: &RefCell<Process>,
        exchanged: &impl Exchanged,
        now: impl FnOnce() -> SystemTime,
    ) -> Ended {
        if let State::Forwarded(sent) = &mut self.state
            && let Some(exchange) = sent.exchange.take()
        {
            return Ended::Exchanged(self.used(*exchange, process, now));
        }
        match (std::mem::replace(&mut self.state, State::Untouched), self.seat.take()) {
            (State::Spent(used), _) => Ended::Exchanged(used),
            (State::Called(called), seat) => Ended::Called(Box::new(called.go_on(seat, exchanged))),
            (State::Open(live, joined), seat) => {
                let now = now();
                let record = live.record(Status::Closed, now);
                if let Some(seat) = seat {
                    process.borrow_mut().leave(seat, Some(&record), now);
                }
                let is_ended_here = record.close.as_ref().is_some_and(|close| close.by == ClosedBy::Gateway);
                let call = joined.filter(|_| is_ended_here).map(|joined| joined.end(&record, exchanged, now));
                Ended::Closed(Box::new(record), call.map(Box::new))
            }
            (state, seat) => {
                if let Some(seat) = seat {
                    process.borrow_mut().leave(seat, None, now());
                }
                if matches!(state, State::Unnamed) { Ended::Unnamed } else { Ended::Unopened }
            }
        }
    }

    /// Keeps the call that a 201 names.
    fn call_begins(&mut self, response: &impl Response, around: &impl Surroundings) {
        let State::Forwarded(sent) = std::mem::replace(&mut self.state, State::Unnamed) else { return };
        let location = response.location().unwrap_or_default();
        let Some(id) = id_in(&location) else { return };
        let Forwarded { admission, provider_key, provider, model, .. } = *sent;
        let called = Called::new(id, &admission, &provider, model, provider_key, around);
        if let Some(seat) = &mut self.seat {
            let began = admission.began(&provider, Kind::WebRtc);
            around.process().borrow_mut().opened(seat, began, &|| called.record().clone(), around.now());
        }
        self.state = State::Called(Box::new(called));
    }

    /// Whether the response waits for its body.
    pub fn is_sealing(&self) -> bool {
        matches!(self.state, State::Sealing(..))
    }

    fn refusal(&self, denial: Denial, headers: &Headers, around: &impl Surroundings) -> RequestStep {
        around.process().borrow_mut().metrics.add(Metric::Rejected(denial.reason));
        RequestStep::Refuse(denial, edits_of_refused(&self.plan, headers))
    }

    fn replace(&mut self, denial: Denial, around: &impl Surroundings) -> ResponseStep {
        around.process().borrow_mut().metrics.add(Metric::Rejected(denial.reason));
        self.state = State::Answered;
        ResponseStep::Refuse(denial)
    }
}

impl Forwarded {
    /// What it was sent on with.
    fn presented(&self) -> Presented {
        if self.admission.upstream_secret().is_some() { Presented::ClientSecret } else { Presented::Key }
    }
}

impl Sealing {
    fn seal(&self, plan: &Plan, around: &impl Surroundings) -> Result<Vec<u8>, Denial> {
        let secrets = plan.secrets.as_ref().ok_or_else(route_not_allowed)?;
        let body = decoded(Some(&self.content_encoding), &self.body).map_err(invalid_answer)?;
        self.minting.answer(secrets, &body, around)
    }
}
