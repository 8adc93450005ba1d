//! One HTTP stream: each hook is one call of the worker, each action of that a few calls of Envoy's.

use realtime_byok::host::{HeaderMap, StreamNumber};
use realtime_byok::stream::{Flow, RequestAction, ResponseAction, StreamControl as _};
use realtime_byok::worker::Worker;

use super::abi::{Body, Direction, Failed, Filter, FilterId};
use super::envoy::{Control, EnvoyStream, log_failure};
use super::faults::fault_at;
use super::plugins::Plugin;
use super::process::process;
use super::worker::{Due, Entry, Gate, Progress};

/// A stream begins under a plugin's configuration.
pub(crate) fn open(plugin: &Plugin, filter: &Filter<'_>) -> Option<FilterId> {
    let number = filter.worker_index();
    let configuration = plugin.configuration(number)?;
    let scheduler = filter.scheduler();
    let mut worker = process().worker(number)?;
    fault_at("new");
    let slot = worker.next_slot();
    let stream = worker.worker.open(StreamNumber(u64::try_from(slot).ok()?), Some(configuration.clone()));
    let generation = worker.insert(stream, scheduler);
    Some(FilterId { worker: number, slot, generation })
}

/// The request's headers came.
pub(crate) fn request_headers(id: FilterId, filter: &Filter<'_>, ends: bool) -> Flow {
    let run = |worker: &mut Worker, entry: &mut Entry, host: &EnvoyStream<'_>| {
        waits_for_request(entry, worker.request_headers(entry.stream, ends, host))
    };
    hook("request_headers", (id, filter), run, |action| action.apply(&without_body(filter)))
}

/// More of the request's body came.
pub(crate) fn request_body(id: FilterId, filter: &Filter<'_>, ends: bool) -> Flow {
    let run = |worker: &mut Worker, entry: &mut Entry, host: &EnvoyStream<'_>| {
        let mut body = Body::new(filter, Direction::Request, entry.request == Progress::Waits);
        let action = worker.request_body(entry.stream, &mut body, ends, host);
        (waits_for_request(entry, action), body)
    };
    hook("request_body", (id, filter), run, |(action, body)| action.apply(&Control { filter, body }))
}

/// The request's trailers came.
pub(crate) fn request_trailers(id: FilterId, filter: &Filter<'_>) -> Flow {
    let run = |worker: &mut Worker, entry: &mut Entry, host: &EnvoyStream<'_>| {
        let mut body = Body::new(filter, Direction::Request, entry.request == Progress::Waits);
        let (edits, action) = worker.request_trailers(entry.stream, &mut body, host);
        (edits, waits_for_request(entry, action), body)
    };
    hook("request_trailers", (id, filter), run, |(edits, action, body)| {
        let control = Control { filter, body };
        control.edit(HeaderMap::RequestTrailers, &edits)?;
        action.apply(&control)
    })
}

/// The response's headers came.
pub(crate) fn response_headers(id: FilterId, filter: &Filter<'_>, ends: bool) -> Flow {
    let run = |worker: &mut Worker, entry: &mut Entry, host: &EnvoyStream<'_>| {
        waits_for_response(entry, worker.response_headers(entry.stream, ends, host))
    };
    hook("response_headers", (id, filter), run, |action| action.apply(&without_body(filter)))
}

/// More of the response's body came.
pub(crate) fn response_body(id: FilterId, filter: &Filter<'_>, ends: bool) -> Flow {
    let run = |worker: &mut Worker, entry: &mut Entry, host: &EnvoyStream<'_>| {
        let mut body = Body::new(filter, Direction::Response, entry.response == Progress::Waits);
        let action = worker.response_body(entry.stream, &mut body, ends, host);
        (waits_for_response(entry, action), body)
    };
    hook("response_body", (id, filter), run, |(action, body)| action.apply(&Control { filter, body }))
}

/// The response's trailers came.
pub(crate) fn response_trailers(id: FilterId, filter: &Filter<'_>) -> Flow {
    let run = |worker: &mut Worker, entry: &mut Entry, host: &EnvoyStream<'_>| {
        let body = Body::new(filter, Direction::Response, entry.response == Progress::Waits);
        let (edits, action) = worker.response_trailers(entry.stream, host);
        (edits, waits_for_response(entry, action), body)
    };
    hook("response_trailers", (id, filter), run, |(edits, action, body)| {
        let control = Control { filter, body };
        control.edit(HeaderMap::ResponseTrailers, &edits)?;
        action.apply(&control)
    })
}

/// The stream is over, and about to be logged.
pub(crate) fn complete(id: FilterId, filter: &Filter<'_>) {
    let host = EnvoyStream::new(filter);
    let log = process().worker(id.worker).and_then(|mut worker| {
        let (core, entry) = worker.entry(id)?;
        fault_at("stream_complete");
        let log = core.end(entry.stream, &host);
        worker.run_commands();
        Some(log)
    });
    if let Some(log) = log {
        log.for_each(|field, value| {
            // A field that cannot be set is missing in the access log, and nothing else.
            let _ = filter.set_filter_state(&format!("wasm.{field}"), value.as_bytes());
        });
    }
}

/// The stream is gone.
pub(crate) fn close(id: FilterId) {
    if let Some(mut worker) = process().worker(id.worker)
        && let Some(entry) = worker.remove(id)
    {
        fault_at("destroy");
        worker.worker.close(entry.stream);
    }
}

/// What the worker wanted done with the stream is due.
pub(crate) fn scheduled(id: FilterId, filter: &Filter<'_>) -> Flow {
    let due = process().worker(id.worker).and_then(|mut worker| {
        let due = worker.entry(id)?.1.due.take();
        fault_at("scheduled");
        due
    });
    let done = match due {
        None => return Flow::Continue,
        Some(Due::Reset) => filter.reset(),
        Some(Due::Reply(edits, reply)) => {
            let control = without_body(filter);
            control.edit(HeaderMap::Request, &edits).and_then(|()| control.reply(&reply))
        }
    };
    done.map_or_else(|failed| failure(id, filter, failed), |()| Flow::Over)
}

/// Nothing more of a stream passes.
pub(crate) fn shut(id: FilterId) {
    if let Some(mut worker) = process().worker(id.worker)
        && let Some((_, entry)) = worker.entry(id)
    {
        entry.gate = Gate::Shut;
    }
}

/// Does one hook, and nothing once something has failed: `run` says what, and `apply` does it, when the worker is free again.
fn hook<A>(
    name: &'static str,
    (id, filter): (FilterId, &Filter<'_>),
    run: impl FnOnce(&mut Worker, &mut Entry, &EnvoyStream<'_>) -> A,
    apply: impl FnOnce(A) -> Result<Flow, Failed>,
) -> Flow {
    let host = EnvoyStream::new(filter);
    let action = process().worker(id.worker).and_then(|mut worker| {
        let (core, entry) = worker.entry(id).filter(|(_, entry)| entry.gate == Gate::Open)?;
        fault_at(name);
        Some(run(core, entry, &host))
    });
    let flow = action.ok_or(Failed).and_then(|action| host.all_read().and_then(|()| apply(action)));
    flow.unwrap_or_else(|failed| failure(id, filter, failed))
}

fn failure(id: FilterId, filter: &Filter<'_>, failed: Failed) -> Flow {
    log_failure(failed);
    shut(id);
    // A stream that cannot be reset waits on, and nothing of it passes.
    let _ = filter.reset();
    Flow::Over
}

fn without_body<'a>(filter: &'a Filter<'a>) -> Control<'a> {
    Control { filter, body: Body::none(filter, Direction::Request) }
}

fn waits_for_request(entry: &mut Entry, action: RequestAction) -> RequestAction {
    entry.request = if let RequestAction::Hold = action { Progress::Waits } else { Progress::Flows };
    action
}

fn waits_for_response(entry: &mut Entry, action: ResponseAction) -> ResponseAction {
    let waits = matches!(action, ResponseAction::Hold | ResponseAction::Withhold);
    entry.response = if waits { Progress::Waits } else { Progress::Flows };
    action
}
