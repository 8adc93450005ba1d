//! Hostcalls in the core's terms.

use std::cell::OnceCell;
use std::time::SystemTime;

use realtime_byok::host::{
    Attribute, Callout, CalloutId, HeaderMap, NoRandomness, Property, PropertyPath, StreamHost, StreamNumber, Unsent,
    WorkerHost,
};
use realtime_byok::http::{Edits, Headers};
use realtime_byok::stream::{DetailedReply, StreamControl};

use super::abi::{self, Body, Reads, Status};

/// Envoy, as it is in a stream's callback.
#[derive(Default)]
pub(crate) struct EnvoyStream {
    now: OnceCell<SystemTime>,
    pub(crate) reads: Reads,
}

/// Envoy, as it is in a plugin's callback.
pub(crate) struct EnvoyWorker;

impl StreamHost for EnvoyStream {
    fn now(&self) -> SystemTime {
        *self.now.get_or_init(abi::current_time)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(out).map_err(|_| NoRandomness)
    }

    fn attribute(&self, of: Attribute) -> Option<Vec<u8>> {
        let path = match of {
            Attribute::RoutePolicy => "xds\0route_metadata\0filter_metadata\0realtime_byok\0policy",
            Attribute::MisplacedPolicy => "xds\0route_metadata\0filter_metadata\0realtime-byok\0policy",
            Attribute::RouteName => "xds\0route_name",
            Attribute::Protocol => "request\0protocol",
            Attribute::Authority => "request\0host",
            Attribute::Path => "request\0path",
            Attribute::Cluster => "xds\0cluster_name",
            Attribute::LocalPort => "destination\0port",
            Attribute::ResponseCodeDetails => "response\0code_details",
        };
        self.reads.property(path)
    }

    fn property(&self, path: &PropertyPath) -> Option<Property> {
        self.reads.typed_property(path)
    }

    fn headers(&self, of: HeaderMap) -> Headers {
        self.reads.headers(of)
    }
}

impl StreamControl for Body {
    type Error = Status;

    fn edit(&self, map: HeaderMap, edits: &Edits) -> Result<(), Status> {
        abi::edit(map, edits)
    }

    fn replace_body(&self, from: usize, bytes: &[u8]) -> Result<(), Status> {
        self.replace(from, bytes)
    }

    fn reply(&self, reply: &DetailedReply) -> Result<(), Status> {
        self::reply(reply)
    }

    fn reset(&self) -> Result<(), Status> {
        abi::reset_stream()
    }
}

impl WorkerHost for EnvoyWorker {
    fn now(&self) -> SystemTime {
        abi::current_time()
    }

    fn send(&mut self, callout: &Callout) -> Result<CalloutId, Unsent> {
        abi::send(callout)
    }
}

/// Answers the stream.
fn reply(DetailedReply { reply, details }: &DetailedReply) -> Result<(), Status> {
    abi::send_local_response(reply.status, details, &reply.headers, &reply.body)
}

/// Answers a stream that waits, from outside of its callbacks.
pub(crate) fn reply_to(stream: StreamNumber, edits: &Edits, detailed: &DetailedReply) -> Result<(), Status> {
    abi::set_effective_context(context(stream))?;
    abi::edit(HeaderMap::Request, edits)?;
    reply(detailed)
}

/// Resets a stream, from outside of its callbacks.
pub(crate) fn reset(stream: StreamNumber) -> Result<(), Status> {
    abi::set_effective_context(context(stream))?;
    abi::reset_stream()
}

fn context(stream: StreamNumber) -> u32 {
    u32::try_from(stream.0).unwrap_or_default()
}
