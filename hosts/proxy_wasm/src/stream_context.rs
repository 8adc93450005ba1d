//! One HTTP stream: each callback is one call of the worker, each action of that a few hostcalls.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use realtime_byok::config::Configuration;
use realtime_byok::host::{HeaderMap, Level, StreamNumber};
use realtime_byok::stream::{Flow, RequestAction, ResponseAction};
use realtime_byok::worker::{StreamId, Worker};

use super::abi::{self, Body, Status, edit};
use super::hostcalls::EnvoyStream;
use super::vm::{run_commands, try_worker, worker};

/// The stream's context.
pub(crate) struct StreamContext {
    id: StreamId,
    /// A hostcall has failed: whatever else comes, nothing of it goes on.
    is_stopped: bool,
}

impl StreamContext {
    /// The stream of this context. Without a configuration it lets nothing through.
    pub(crate) fn new(context: u32, configuration: Option<Configuration>) -> Self {
        let id = worker(|worker| worker.open(StreamNumber(context.into()), configuration));
        Self { id, is_stopped: false }
    }

    /// Does one callback, and nothing more once a call of one has failed: `run` says what, and `apply` does it.
    #[inline]
    fn callback<A>(
        &mut self,
        body: Body,
        run: impl FnOnce(&mut Worker, StreamId, &mut &Body, &EnvoyStream) -> A,
        apply: impl FnOnce(A, &Body) -> Done,
    ) -> Action {
        if self.is_stopped {
            return Action::Pause;
        }
        let host = EnvoyStream::default();
        let action = worker(|worker| run(worker, self.id, &mut &body, &host));
        let flow = host.reads.all().and_then(|()| apply(action, &body)).unwrap_or_else(|status| {
            self.is_stopped = true;
            let message = format!("realtime_byok: a hostcall failed with status {status}; the stream is reset");
            abi::log(Level::Error, &message);
            // A stream that cannot be reset is paused all the same.
            let _ = abi::reset_stream();
            Flow::Over
        });
        match flow {
            Flow::Continue => Action::Continue,
            Flow::Wait | Flow::Over => Action::Pause,
        }
    }
}

/// Whether a stream goes on or waits, if all calls could be made.
type Done = Result<Flow, Status>;

impl Drop for StreamContext {
    fn drop(&mut self) {
        try_worker(|worker| worker.close(self.id));
    }
}

impl Context for StreamContext {}

impl HttpContext for StreamContext {
    fn on_http_request_headers(&mut self, _: usize, ends: bool) -> Action {
        self.callback(
            Body::request(0),
            |worker, id, _, host| worker.request_headers(id, ends, host),
            RequestAction::apply,
        )
    }

    fn on_http_request_body(&mut self, size: usize, ends: bool) -> Action {
        self.callback(
            Body::request(size),
            |worker, id, body, host| worker.request_body(id, body, ends, host),
            RequestAction::apply,
        )
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // How much body waits is not told here: all of it is read, and all of it replaced.
        let body = Body::request(usize::MAX);
        self.callback(
            body,
            |worker, id, body, host| worker.request_trailers(id, body, host),
            |(edits, action), body| {
                edit(HeaderMap::RequestTrailers, &edits)?;
                action.apply(body)
            },
        )
    }

    fn on_http_response_headers(&mut self, _: usize, ends: bool) -> Action {
        self.callback(
            Body::response(0),
            |worker, id, _, host| worker.response_headers(id, ends, host),
            ResponseAction::apply,
        )
    }

    fn on_http_response_body(&mut self, size: usize, ends: bool) -> Action {
        let body = Body::response(size);
        self.callback(body, |worker, id, body, host| worker.response_body(id, body, ends, host), ResponseAction::apply)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.callback(
            Body::response(0),
            |worker, id, _, host| worker.response_trailers(id, host),
            |(edits, action), body| {
                edit(HeaderMap::ResponseTrailers, &edits)?;
                action.apply(body)
            },
        )
    }

    fn on_log(&mut self) {
        let host = EnvoyStream::default();
        let (shown, has_commands) = worker(|worker| (worker.end(self.id, &host), worker.has_commands()));
        shown.for_each(|field, value| {
            // A field that cannot be set is missing in the access log, and nothing else.
            let _ = abi::set_property(field, value.as_bytes());
        });
        if has_commands {
            run_commands();
        }
    }
}
