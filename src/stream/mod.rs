//! One HTTP stream, method by method of its callbacks: its request and its end. `response` has its response, and `state`
//! what it can be in.

mod access_log;
mod action;
mod admission;
mod body;
mod call;
mod call_response;
mod closing;
mod context;
mod denials;
mod forward;
mod handshake;
mod head_line;
mod identity;
mod joined_call;
mod lost_connection;
mod mint;
mod named_call;
mod pooled_key;
mod present;
mod redaction;
mod request;
mod request_head;
mod response_head;
mod rest;
mod session_fields;
mod session_meter;
mod state;
mod stream_options;
mod unnamed_call;
mod upstream;
mod upstream_response;

mod websocket;

use std::time::SystemTime;

use crate::denial::Denial;
use crate::host::{Attribute, HeaderMap, Level, StreamHost};
use crate::http::Edits;
use crate::limit::Ending;
use crate::metrics::Metric;
use crate::process::Sessions;
use crate::usage::Status;
use crate::ws::ReadBuffer;

use admission::BodyNeed;
use body::{BodyDecision, WholeRequest};
use denials::{no_offer, overloaded, uncountable_body, unread_body, unreadable_body};
use forward::edits_of_denied;
use request::RequestDecision;
use request_head::{Line, RequestHead};
use rest::RestUsage;
use state::{KeptTokens, State};

pub use access_log::AccessLog;
pub use action::{BodyAction, DetailedReply, Flow, RequestAction, ResponseAction, StreamControl};
pub use context::{Context, WorkerState};
pub use present::Presentation;
pub use state::Stream;

impl Stream {
    /// The request's headers came. `ends` says that neither body nor trailers follow.
    pub fn request_headers(&mut self, ends: bool, cx: &mut Context<'_>) -> RequestAction {
        let head = RequestHead::read(cx.host.headers(HeaderMap::Request), &self.plan.gateway, &self.plan.strip);
        if let Some(reply) = request::control(&self.plan, &head, cx) {
            self.state = State::Replied;
            return RequestAction::Reply(Box::new(reply), edits_of_denied(&self.plan.gateway, &self.plan.strip, &head));
        }
        let presented = head.presented(&self.plan.gateway);
        let (state, action) = match request::check(&self.plan, &head, &presented, ends, cx) {
            Ok(RequestDecision::Untouched) => (State::Untouched, RequestAction::Pass),
            Ok(RequestDecision::Wait(mut waiting)) => {
                self.standing = waiting.admission.standing.take();
                self.presented = Some(KeptTokens::new(presented, &cx.worker.memory));
                (State::WaitingForBody(Box::new((head, waiting))), RequestAction::Hold)
            }
            Ok(RequestDecision::Forward(mut sent, edits, handle)) => {
                self.standing = sent.admission.standing.take();
                self.handle = handle;
                if !ends && !head.has(Line::Upgrade) {
                    self.presented = Some(KeptTokens::new(presented, &cx.worker.memory));
                }
                (State::Forwarded(sent), RequestAction::Forward(edits, None))
            }
            Err(denial) => (State::Replied, self.deny_head(denial, &head, cx.worker)),
        };
        self.state = state;
        action
    }

    /// More of the request's body came, or its end. `body` is all of it that waits, or what came just now if none waits.
    pub fn request_body(&mut self, body: &mut dyn ReadBuffer, ends: bool, cx: &mut Context<'_>) -> RequestAction {
        let now = cx.worker.clock;
        if ends {
            self.presented = None;
        }
        match &mut self.state {
            State::WaitingForBody(_) => {
                let size = body.size();
                self.awaited_body(size, ends, &mut || body.read(0, size).filter(|body| body.len() == size), cx)
            }
            State::Arrived => RequestAction::Reset,
            State::Replied => RequestAction::Hold,
            State::Relaying(relay, _) | State::Cut(relay, _) if body.size() > 0 => relay.client_bytes(body, now).into(),
            State::Forwarded(sent) if body.size() > 0 => {
                sent.awaited.relay().map_or(RequestAction::Pass, |relay| relay.client_bytes(body, now).into())
            }
            _ => RequestAction::Pass,
        }
    }

    /// The request's trailers came, which end it: what may not stand in its headers may not stand there either. `body` is
    /// all of its body that waits; its size may be given as more than it is.
    pub fn request_trailers(&mut self, body: &mut dyn ReadBuffer, cx: &mut Context<'_>) -> (Edits, RequestAction) {
        let edits = match self.state {
            State::Untouched => Edits::default(),
            _ => self.trailer_edits(cx.host),
        };
        self.presented = None;
        let action = match self.state {
            State::WaitingForBody(_) => {
                let size = body.size();
                let mut body = body.read(0, size);
                self.awaited_body(body.as_ref().map_or(0, Vec::len), true, &mut || body.take(), cx)
            }
            State::Arrived => RequestAction::Reset,
            State::Replied => RequestAction::Hold,
            _ => RequestAction::Pass,
        };
        (edits, action)
    }

    fn trailer_edits(&self, host: &dyn StreamHost) -> Edits {
        let trailers = host.headers(HeaderMap::RequestTrailers);
        let trailers = RequestHead::read(trailers, &self.plan.gateway, &self.plan.strip);
        match &self.presented {
            Some(presented) => trailers.stripped_as_trailers(&presented.tokens),
            // RFC 8441 section 5: the end of a WebSocket has none, and nothing is kept to look for in them.
            None => trailers.stripped_whole(),
        }
    }

    /// Whether the request waits for its body.
    pub fn is_waiting_for_body(&self) -> bool {
        matches!(self.state, State::WaitingForBody(_))
    }

    /// Denies a request that waits for its body: what it is answered, and the edits before that. `None` if it waits for
    /// none.
    pub fn deny_waiting(&mut self, denial: Denial, worker: &mut WorkerState) -> Option<(Edits, DetailedReply)> {
        let State::WaitingForBody(waiting) = &self.state else { return None };
        let denial = denial.of(waiting.1.admission.requester().subject());
        let edits = edits_of_denied(&self.plan.gateway, &self.plan.strip, &waiting.0);
        self.state = State::Replied;
        Some((edits, self.deny(denial, worker)))
    }

    /// Time passed. Says whether the stream is to be reset now; it is said once.
    pub fn tick(&mut self, sessions: &mut Sessions, now: SystemTime) -> bool {
        let is_revoked = self.standing.as_ref().is_some_and(|standing| standing.is_over(now));
        if is_revoked && let State::Forwarded(sent) = &self.state {
            // Nobody can be told in a session that is not followed.
            return sent.is_unfollowed_session() && self.standing.take().is_some();
        }
        let (State::Relaying(relay, _), Some(handle)) = (&mut self.state, &self.handle) else { return false };
        let has_changed = relay.has_moved();
        if relay.has_spoken() {
            sessions.moved(handle, now);
        }
        let requested = sessions.ending_of_joined(handle, now).or_else(|| sessions.ending(handle));
        let requested = requested.or_else(|| is_revoked.then_some(Ending::TokenRevoked));
        let is_overdue = relay.tick(requested, now);
        sessions.update(handle, has_changed, &|| relay.record(Status::Open, now));
        if is_overdue && let State::Relaying(relay, sideband) = std::mem::replace(&mut self.state, State::Replied) {
            self.state = State::Cut(relay, sideband);
        }
        is_overdue
    }

    /// The stream is over: what the access log is to show of it.
    pub fn end(&mut self, cx: &mut Context<'_>) -> AccessLog {
        self.end_refusal(cx.worker);
        let (host, WorkerState { sessions, calls, .. }) = (cx.host, &mut *cx.worker);
        if let State::Forwarded(sent) = &mut self.state
            && let Some(meter) = sent.awaited.take_meter()
        {
            let used = self.used(*meter, sessions, || host.now());
            return log_rest(used, cx.worker);
        }
        match (std::mem::replace(&mut self.state, State::Replied), self.handle.take()) {
            (State::Spent(used), _) => log_rest(used, cx.worker),
            (State::CallStarted(record), _) => self.denied.take().map_or(AccessLog::Call(record), AccessLog::Denied),
            (State::Relaying(mut relay, sideband) | State::Cut(mut relay, sideband), handle) => {
                let now = host.now();
                relay.settle(&self.plan.prices, sessions, now);
                let mut record = relay.record(Status::Closed, now);
                // Whatever has become of its connection, a call ends with what was ended here.
                let ended_here = record.close.clone();
                let details = || host.attribute(Attribute::ResponseCodeDetails).unwrap_or_default();
                record.close = record.close.or_else(|| lost_connection::close(&details()));
                let is_joined = handle.as_ref().is_some_and(|handle| handle.joined().is_some());
                if let Some(handle) = handle {
                    sessions.close(handle, Some(&record), now);
                }
                if let (Some(sideband), Some(close)) = (sideband, ended_here)
                    && sideband.ends_call(&close, is_joined)
                {
                    calls.end(sideband.end(&record, host, now), close, sessions, now);
                }
                AccessLog::Session(Box::new(record))
            }
            (_, handle) => {
                if let Some(handle) = handle {
                    sessions.close(handle, None, host.now());
                }
                self.denied.take().map_or(AccessLog::Nothing, AccessLog::Denied)
            }
        }
    }

    /// The body that a request waits for: so much of it has come, or all. `read` gives all of that, or nothing if it cannot
    /// be read.
    fn awaited_body(
        &mut self,
        size: usize,
        ends: bool,
        read: &mut dyn FnMut() -> Option<Vec<u8>>,
        cx: &mut Context<'_>,
    ) -> RequestAction {
        let State::WaitingForBody(waiting) = &self.state else { return RequestAction::Reset };
        let is_offer = matches!(waiting.1.need, BodyNeed::Offer(_));
        let refused = match waiting.1.need {
            BodyNeed::Empty if size > 0 => Some(unreadable_body()),
            BodyNeed::Nothing if size > 0 => Some(uncountable_body()),
            BodyNeed::Offer(_) if size == 0 && ends => Some(no_offer()),
            _ => None,
        };
        if !ends && refused.is_none() && !(is_offer && size > 0) {
            return RequestAction::Hold;
        }
        let State::WaitingForBody(waiting) = std::mem::replace(&mut self.state, State::Replied) else {
            return RequestAction::Reset;
        };
        let (head, waiting) = *waiting;
        let requester = waiting.admission.requester();
        let completed = match refused {
            Some(denial) => Err(denial),
            None if is_offer => WholeRequest { plan: &self.plan, head: &head, body: b"" }.complete(waiting, cx),
            // It is read within this callback, and so beside what the account has, but for no more than that could have.
            None if size > cx.worker.memory.limit() => Err(overloaded()),
            // A body that cannot be read may name a model: it is not the same as none.
            None => read()
                .ok_or_else(unread_body)
                .and_then(|body| WholeRequest { plan: &self.plan, head: &head, body: &body }.complete(waiting, cx)),
        };
        match completed {
            Ok(BodyDecision::Forward(forwarded, edits, replaced, handle)) => {
                self.handle = handle;
                self.state = State::Forwarded(forwarded);
                RequestAction::Forward(edits, replaced)
            }
            Ok(BodyDecision::Mint(minting, edits, body)) => {
                self.state = State::Minting(minting);
                RequestAction::Forward(edits, Some(body))
            }
            Ok(BodyDecision::Reply(reply)) => {
                RequestAction::Reply(Box::new(reply), edits_of_denied(&self.plan.gateway, &self.plan.strip, &head))
            }
            Err(denial) => self.deny_head(denial.of(requester.subject()), &head, cx.worker),
        }
    }

    fn deny_head(&mut self, denial: Denial, head: &RequestHead, worker: &mut WorkerState) -> RequestAction {
        let edits = edits_of_denied(&self.plan.gateway, &self.plan.strip, head);
        RequestAction::Reply(Box::new(self.deny(denial, worker)), edits)
    }

    /// Counts a denial, and keeps it for the access log.
    pub(in crate::stream) fn deny(&mut self, denial: Denial, worker: &mut WorkerState) -> DetailedReply {
        let caller = denial.subject().and_then(|subject| subject.caller.as_deref());
        worker.sessions.metrics.add(Metric::Rejected { code: denial.code, caller, limit: denial.reached() });
        let reply = DetailedReply::from(&denial);
        self.denied = Some(Box::new(denial));
        self.presented = None;
        reply
    }
}

fn log_rest(used: Box<RestUsage>, worker: &mut WorkerState) -> AccessLog {
    if let Some(gap) = used.gap {
        let message = format_args!("what an exchange of caller {} used is not known: {gap}", used.caller.name);
        worker.log(Level::Debug, message);
    }
    AccessLog::Rest(used)
}
