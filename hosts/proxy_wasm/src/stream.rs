//! One HTTP stream: each callback is one call of the session, each of its steps a few hostcalls.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::time::SystemTime;

use log::{debug, error, warn};
use proxy_wasm::hostcalls::get_current_time;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType, Status};

use super::calls::Read;
use super::worker::Worker;
use super::{abi, calls};
use realtime_byok::call::Calls;
use realtime_byok::config::Plan;
use realtime_byok::host::{StreamHost, UpstreamRequest, UpstreamResponse};
use realtime_byok::process::Sessions;
use realtime_byok::stream::{BodyAction, DetailedReply, Ended, RequestAction, ResponseAction, Stream};

/// The stream's context. Without a configuration it lets nothing through.
pub struct StreamContext {
    context: u32,
    session: Option<Rc<RefCell<Stream>>>,
    worker: Rc<Worker>,
}

impl StreamContext {
    /// The stream of this context.
    pub fn new(context: u32, plan: Option<Rc<Plan>>, worker: Rc<Worker>) -> Self {
        Self { context, session: plan.map(|plan| Rc::new(RefCell::new(Stream::new(plan)))), worker }
    }

    fn envoy(&self) -> Envoy<'_> {
        Envoy { worker: &self.worker, now: OnceCell::new() }
    }

    fn take(&self, step: RequestAction, body_size: usize) -> Action {
        let done = match step {
            RequestAction::Pass => return Action::Continue,
            RequestAction::Hold => return Action::Pause,
            RequestAction::Forward(edits, None) => calls::edit(MapType::HttpRequestHeaders, &edits),
            RequestAction::Forward(edits, Some(body)) => calls::edit(MapType::HttpRequestHeaders, &edits)
                .and_then(|()| calls::set_request_body(body_size, &body)),
            RequestAction::Reply(DetailedReply { reply, details }, edits) => {
                let edited = calls::edit(MapType::HttpRequestHeaders, &edits);
                return stop(edited.and_then(|()| calls::reply(&reply, details)));
            }
            RequestAction::Deny(denial, edits) => {
                return stop(calls::edit(MapType::HttpRequestHeaders, &edits).and_then(|()| calls::deny(&denial)));
            }
        };
        if done.is_ok() { Action::Continue } else { stop(done) }
    }

    fn take_response(&self, step: ResponseAction, body_size: usize) -> Action {
        let done = match step {
            ResponseAction::Pass => return Action::Continue,
            ResponseAction::Hold if body_size == 0 => return Action::Pause,
            ResponseAction::Hold => {
                let taken = calls::set_response_body(body_size, &[]);
                return if taken.is_ok() { Action::Pause } else { stop(taken) };
            }
            ResponseAction::Edit(edits) => calls::edit(MapType::HttpResponseHeaders, &edits),
            ResponseAction::Open(edits) => {
                let session = self.session.as_ref().map(Rc::downgrade);
                self.worker.open.borrow_mut().extend(session.map(|session| (self.context, session)));
                calls::edit(MapType::HttpResponseHeaders, &edits)
            }
            ResponseAction::Release(edits, body) => calls::edit(MapType::HttpResponseHeaders, &edits)
                .and_then(|()| calls::set_response_body(body_size, &body)),
            ResponseAction::Deny(denial) => return stop(calls::deny(&denial)),
        };
        if done.is_ok() { Action::Continue } else { stop(done) }
    }
}

/// Lets nothing through, whether or not the last call could be made.
fn stop(done: Result<(), Status>) -> Action {
    if let Err(status) = done {
        error!("realtime_byok: a hostcall failed with status {}; the stream is reset", status as u32);
        // A stream that cannot be reset is paused all the same.
        let _ = abi::reset_stream();
    }
    Action::Pause
}

impl Drop for StreamContext {
    fn drop(&mut self) {
        self.worker.holds.forget(self.context);
    }
}

impl Context for StreamContext {}

impl HttpContext for StreamContext {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let Some(session) = &self.session else { return stop(abi::reset_stream()) };
        let step = session.borrow_mut().request_headers(calls::request_headers(), end_of_stream, &self.envoy());
        if matches!(step, RequestAction::Hold) {
            self.worker.holds.wait(self.context, now());
        }
        self.take(step, 0)
    }

    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        let Some(session) = &self.session else { return stop(abi::reset_stream()) };
        let mut session = session.borrow_mut();
        let read = Read { buffer: BufferType::HttpRequestBody, size: body_size };
        if body_size > 0
            && let Some(action) = session.client_bytes(&read, self.worker.clock.get())
        {
            return relayed(&read, action);
        }
        if !session.is_waiting_for_body() {
            return Action::Continue;
        }
        self.worker.holds.body_came();
        let step = session.request_body(body_size, end_of_stream, &self.envoy(), || calls::request_body(body_size));
        self.take(step, body_size)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let Some(session) = &self.session else { return stop(abi::reset_stream()) };
        let mut session = session.borrow_mut();
        let done = calls::edit(MapType::HttpRequestTrailers, &session.request_trailers(&calls::request_trailers()));
        if done.is_err() {
            return stop(done);
        }
        if !session.is_waiting_for_body() {
            return Action::Continue;
        }
        self.worker.holds.forget(self.context);
        let body = calls::request_body(usize::MAX);
        let body_size = body.len();
        let step = session.request_body(body_size, true, &self.envoy(), || body);
        self.take(step, body_size)
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let Some(session) = &self.session else { return Action::Continue };
        let envoy = self.envoy();
        let step = session.borrow_mut().response_headers(end_of_stream, &envoy, &envoy);
        self.take_response(step, 0)
    }

    fn on_http_response_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        let Some(session) = &self.session else { return Action::Continue };
        let mut session = session.borrow_mut();
        let read = Read { buffer: BufferType::HttpResponseBody, size: body_size };
        if body_size > 0
            && let Some(action) = session.upstream_bytes(&read, &self.worker.sessions, self.worker.clock.get())
        {
            return relayed(&read, action);
        }
        if session.is_read() {
            let action = session.response_bytes(
                &calls::response_body(body_size),
                end_of_stream,
                &self.worker.sessions,
                self.worker.clock.get(),
            );
            return relayed(&read, action);
        }
        if !session.is_sealing() {
            return Action::Continue;
        }
        let step = session.response_body(&calls::response_body(body_size), end_of_stream, &self.envoy());
        self.take_response(step, body_size)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        let Some(session) = self.session.as_ref().filter(|session| session.borrow().is_sealing()) else {
            return Action::Continue;
        };
        let step = session.borrow_mut().response_body(&[], true, &self.envoy());
        self.take_response(step, 0)
    }

    fn on_log(&mut self) {
        let Some(session) = &self.session else { return };
        let sessions = &self.worker.sessions;
        match session.borrow_mut().end(sessions, &self.envoy(), now) {
            Ended::Unopened => {}
            Ended::Closed(record, sideband) => {
                calls::log_session(&record);
                if let (Some(call), Some(close)) = (sideband, record.close) {
                    self.worker.calls.end(*call, close, sessions, now());
                }
            }
            Ended::Rest(used) => {
                calls::log_exchange(&used);
                if let Some(gap) = used.gap {
                    debug!("realtime_byok: what an exchange of caller {} used is not known: {gap}", used.caller.name);
                }
            }
            Ended::CallStarted(call) => {
                calls::log_call(&call.record);
                self.worker.calls.begin(*call, sessions);
            }
            Ended::CallUnnamed => {
                warn!("realtime_byok: a call has begun whose answer names none in `location`: it cannot be ended");
            }
        }
        self.worker.flush();
    }
}

/// Never pauses: bytes go on, or others in their place.
fn relayed(read: &Read, action: BodyAction) -> Action {
    match action {
        BodyAction::Pass => Action::Continue,
        BodyAction::Replace(from, bytes) => {
            let done = calls::replace(read, from, &bytes);
            if done.is_ok() { Action::Continue } else { stop(done) }
        }
    }
}

/// The time. Without a clock nothing that has a window is good: the time before all windows.
fn now() -> SystemTime {
    get_current_time().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Envoy, as it is in a stream's callback: no time passes within that.
struct Envoy<'a> {
    worker: &'a Worker,
    now: OnceCell<SystemTime>,
}

impl StreamHost for Envoy<'_> {
    fn route_policy(&self) -> Option<Vec<u8>> {
        abi::property("xds\0route_metadata\0filter_metadata\0realtime_byok\0policy")
    }

    fn route_name(&self) -> Vec<u8> {
        abi::property("xds\0route_name").unwrap_or_default()
    }

    fn now(&self) -> SystemTime {
        *self.now.get_or_init(now)
    }

    fn sessions(&self) -> &RefCell<Sessions> {
        &self.worker.sessions
    }

    fn calls(&self) -> &Calls {
        &self.worker.calls
    }

    fn random<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).ok()?;
        Some(bytes)
    }

    fn is_http1(&self) -> bool {
        abi::property("request\0protocol").is_some_and(|protocol| protocol.starts_with(b"HTTP/1"))
    }
}

impl UpstreamResponse for Envoy<'_> {
    fn status(&self) -> Option<u16> {
        let status = abi::header_map_value(MapType::HttpResponseHeaders, ":status")?;
        std::str::from_utf8(&status).ok()?.parse().ok()
    }

    fn is_from_upstream(&self) -> bool {
        abi::property("response\0code_details").is_some_and(|details| details == b"via_upstream")
    }

    fn subprotocols(&self) -> Vec<u8> {
        abi::property("response\0headers\0sec-websocket-protocol").unwrap_or_default()
    }

    fn content_type(&self) -> Vec<u8> {
        abi::header_map_value(MapType::HttpResponseHeaders, "content-type").unwrap_or_default()
    }

    fn content_encoding(&self) -> Vec<u8> {
        abi::property("response\0headers\0content-encoding").unwrap_or_default()
    }

    fn location(&self) -> Option<Vec<u8>> {
        abi::header_map_value(MapType::HttpResponseHeaders, "location")
    }
}

impl UpstreamRequest for Envoy<'_> {
    fn cluster(&self) -> Option<Vec<u8>> {
        abi::property("xds\0cluster_name")
    }

    fn authority(&self) -> Option<Vec<u8>> {
        abi::property("request\0host")
    }

    fn path(&self) -> Option<Vec<u8>> {
        abi::property("request\0path")
    }
}
