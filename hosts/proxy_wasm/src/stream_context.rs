//! One HTTP stream: each callback is one call of the worker, each action of that a few hostcalls.

use std::sync::Arc;

use log::error;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType, Status};
use realtime_byok::config::Plan;
use realtime_byok::host::StreamNumber;
use realtime_byok::stream::{RequestAction, ResponseAction};
use realtime_byok::worker::StreamId;

use super::abi::{self, Body, edit};
use super::hostcalls::{EnvoyStream, reply};
use super::vm::{run_commands, try_worker, worker};

/// The stream's context.
pub(crate) struct StreamContext {
    id: StreamId,
}

impl StreamContext {
    /// The stream of this context. Without a configuration it lets nothing through.
    pub(crate) fn new(context: u32, plan: Option<Arc<Plan>>) -> Self {
        Self { id: worker(|worker| worker.open(StreamNumber(context.into()), plan)) }
    }
}

impl Drop for StreamContext {
    fn drop(&mut self) {
        try_worker(|worker| worker.close(self.id));
    }
}

impl Context for StreamContext {}

impl HttpContext for StreamContext {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let action = worker(|worker| worker.request_headers(self.id, end_of_stream, &EnvoyStream::default()));
        request(action, &Body { buffer: BufferType::HttpRequestBody, size: 0 })
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let body = Body { buffer: BufferType::HttpRequestBody, size };
        let host = EnvoyStream::default();
        request(worker(|worker| worker.request_body(self.id, &mut &body, end_of_stream, &host)), &body)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // How much body waits is not told here: all of it is read, and all of it replaced.
        let body = Body { buffer: BufferType::HttpRequestBody, size: usize::MAX };
        let (edits, action) = worker(|worker| worker.request_trailers(self.id, &mut &body, &EnvoyStream::default()));
        match edit(MapType::HttpRequestTrailers, &edits) {
            Ok(()) => request(action, &body),
            failed => stop(failed),
        }
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let action = worker(|worker| worker.response_headers(self.id, end_of_stream, &EnvoyStream::default()));
        response(action, &Body { buffer: BufferType::HttpResponseBody, size: 0 })
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let body = Body { buffer: BufferType::HttpResponseBody, size };
        let host = EnvoyStream::default();
        response(worker(|worker| worker.response_body(self.id, &mut &body, end_of_stream, &host)), &body)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        let (edits, action) = worker(|worker| worker.response_trailers(self.id, &EnvoyStream::default()));
        match edit(MapType::HttpResponseTrailers, &edits) {
            Ok(()) => response(action, &Body { buffer: BufferType::HttpResponseBody, size: 0 }),
            failed => stop(failed),
        }
    }

    fn on_log(&mut self) {
        worker(|worker| worker.end(self.id, &EnvoyStream::default())).for_each(|field, value| {
            // A field that cannot be set is missing in the access log, and nothing else.
            let _ = abi::set_property(field, value.as_bytes());
        });
        run_commands();
    }
}

/// Does what becomes of a request, of which `body` is what has come.
fn request(action: RequestAction, body: &Body) -> Action {
    let headers = MapType::HttpRequestHeaders;
    let done = match action {
        RequestAction::Pass => return Action::Continue,
        RequestAction::Hold => return Action::Pause,
        RequestAction::Forward(edits, None) => edit(headers, &edits),
        RequestAction::Forward(edits, Some(bytes)) => edit(headers, &edits).and_then(|()| body.replace(0, &bytes)),
        RequestAction::Replace(from, bytes) => body.replace(from, &bytes),
        RequestAction::Reply(reply, edits) => return stop(edit(headers, &edits).and_then(|()| self::reply(&reply))),
        RequestAction::Reset => return stop(abi::reset_stream()),
    };
    if done.is_ok() { Action::Continue } else { stop(done) }
}

/// Does what becomes of a response, of which `body` is what has come.
fn response(action: ResponseAction, body: &Body) -> Action {
    let headers = MapType::HttpResponseHeaders;
    let done = match action {
        ResponseAction::Pass => return Action::Continue,
        ResponseAction::Hold => return Action::Pause,
        ResponseAction::Withhold => match body.replace(0, &[]) {
            Ok(()) => return Action::Pause,
            failed => failed,
        },
        ResponseAction::Edit(edits) => edit(headers, &edits),
        ResponseAction::Release(edits, bytes) => edit(headers, &edits).and_then(|()| body.replace(0, &bytes)),
        ResponseAction::Replace(from, bytes) => body.replace(from, &bytes),
        ResponseAction::Reply(reply) => return stop(self::reply(&reply)),
    };
    if done.is_ok() { Action::Continue } else { stop(done) }
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
