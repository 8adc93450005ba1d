//! One HTTP stream: each callback is one call of the session, each of its steps a few hostcalls.

use std::rc::Rc;
use std::time::SystemTime;

use log::error;
use proxy_wasm::hostcalls::get_current_time;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType, Status};

use super::holds::Holds;
use super::{abi, calls};
use crate::config::Plan;
use crate::policy::Route;
use crate::session::{RequestStep, Response, ResponseStep, Session, Surroundings};

/// The stream's context. Without a configuration it lets nothing through.
pub struct Stream {
    context: u32,
    session: Option<Session>,
    holds: Rc<Holds>,
}

impl Stream {
    /// The stream of this context.
    pub fn new(context: u32, plan: Option<Rc<Plan>>, holds: Rc<Holds>) -> Self {
        Self { context, session: plan.map(Session::new), holds }
    }

    fn take(&self, step: RequestStep, body_size: usize) -> Action {
        let done = match step {
            RequestStep::Pass => return Action::Continue,
            RequestStep::Hold => return Action::Pause,
            RequestStep::Forward(edits, None) => calls::edit(MapType::HttpRequestHeaders, &edits),
            RequestStep::Forward(edits, Some(body)) => calls::edit(MapType::HttpRequestHeaders, &edits)
                .and_then(|()| calls::set_request_body(body_size, &body)),
            RequestStep::Refuse(denial) => return stop(calls::refuse(&denial)),
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

impl Drop for Stream {
    fn drop(&mut self) {
        self.holds.forget(self.context);
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let Some(session) = &mut self.session else { return stop(abi::reset_stream()) };
        let step = session.request_headers(calls::request_headers(), end_of_stream, &Envoy);
        if matches!(step, RequestStep::Hold) {
            self.holds.wait(self.context, Envoy.now());
        }
        self.take(step, 0)
    }

    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        let Some(session) = self.session.as_mut().filter(|session| session.is_held()) else {
            return Action::Continue;
        };
        self.holds.body_came();
        let step = session.request_body(body_size, end_of_stream, &Envoy, || calls::request_body(body_size));
        self.take(step, body_size)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let Some(session) = self.session.as_mut().filter(|session| session.is_held()) else {
            return Action::Continue;
        };
        let body = calls::request_body(usize::MAX);
        let body_size = body.len();
        let step = session.request_body(body_size, true, &Envoy, || body);
        self.take(step, body_size)
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let Some(session) = &mut self.session else { return Action::Continue };
        match session.response_headers(&Envoy) {
            ResponseStep::Pass => Action::Continue,
            ResponseStep::Edit(edits) => {
                let done = calls::edit(MapType::HttpResponseHeaders, &edits);
                if done.is_ok() { Action::Continue } else { stop(done) }
            }
            ResponseStep::Refuse(denial) => stop(calls::refuse(&denial)),
        }
    }
}

/// Envoy, as it is in a stream's callback.
struct Envoy;

impl Surroundings for Envoy {
    fn route(&self) -> Route {
        match abi::property("xds\0route_metadata\0filter_metadata\0realtime_byok\0policy") {
            Some(policy) => Route::Metadata(policy),
            None => Route::Name(abi::property("xds\0route_name").unwrap_or_default()),
        }
    }

    fn now(&self) -> SystemTime {
        // Without a clock nothing that has a window is good: the time before all windows.
        get_current_time().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        if getrandom::fill(&mut bytes).is_err() {
            error!("realtime_byok: the host gives no randomness");
        }
        bytes
    }

    fn is_http1(&self) -> bool {
        abi::property("request\0protocol").is_some_and(|protocol| protocol.starts_with(b"HTTP/1"))
    }
}

impl Response for Envoy {
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
}
