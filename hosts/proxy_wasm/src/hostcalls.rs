//! Hostcalls in the core's terms.

use std::cell::OnceCell;
use std::time::SystemTime;

use proxy_wasm::hostcalls::{dispatch_http_call, get_current_time};
use proxy_wasm::types::{MapType, Status};
use realtime_byok::host::{
    Attribute, Callout, CalloutId, HeaderMap, NoRandomness, StreamHost, StreamNumber, Unsent, WorkerHost,
};
use realtime_byok::http::{Edits, Headers};
use realtime_byok::stream::DetailedReply;

use super::abi;

/// Envoy, as it is in a stream's callback.
#[derive(Default)]
pub(crate) struct EnvoyStream {
    now: OnceCell<SystemTime>,
}

/// Envoy, as it is in a plugin's callback.
pub(crate) struct EnvoyWorker;

impl StreamHost for EnvoyStream {
    fn now(&self) -> SystemTime {
        *self.now.get_or_init(now)
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
            Attribute::ResponseCodeDetails => "response\0code_details",
            Attribute::ResponseHeader(name) => return abi::property(&format!("response\0headers\0{name}")),
        };
        abi::property(path)
    }

    fn headers(&self, of: HeaderMap) -> Headers {
        abi::header_map_pairs(abi::map_type(of)).unwrap_or_default()
    }

    fn header(&self, of: HeaderMap, name: &str) -> Option<Vec<u8>> {
        abi::header_map_value(abi::map_type(of), name)
    }
}

impl WorkerHost for EnvoyWorker {
    fn now(&self) -> SystemTime {
        now()
    }

    fn send(&mut self, callout: &Callout) -> Result<CalloutId, Unsent> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Unsent);
        let lines = callout.headers.iter().map(|(name, value)| Ok((name.as_ref(), text(value.as_bytes())?)));
        let headers = lines.collect::<Result<_, _>>()?;
        let sent = dispatch_http_call(&callout.cluster, headers, None, Vec::new(), callout.timeout);
        sent.map(CalloutId).map_err(|_| Unsent)
    }
}

/// Answers the stream.
pub(crate) fn reply(DetailedReply { reply, details }: &DetailedReply) -> Result<(), Status> {
    abi::send_local_response(reply.status, details, &reply.headers, &reply.body)
}

/// Answers a stream that waits, from outside of its callbacks.
pub(crate) fn reply_to(stream: StreamNumber, edits: &Edits, detailed: &DetailedReply) -> Result<(), Status> {
    abi::set_effective_context(context(stream))?;
    abi::edit(MapType::HttpRequestHeaders, edits)?;
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

/// The time. Without a clock nothing that has a window is good: the time before all windows.
fn now() -> SystemTime {
    get_current_time().unwrap_or(SystemTime::UNIX_EPOCH)
}
