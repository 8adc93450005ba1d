//! What a host offers to the streams that it runs: values of the request and the response, time, and randomness.

use std::cell::RefCell;
use std::time::SystemTime;

use crate::call::Calls;
use crate::process::Sessions;

/// What a stream asks of its host, each only when needed.
pub trait StreamHost {
    /// The value of the route's metadata `realtime_byok.policy`, if it has that.
    fn route_policy(&self) -> Option<Vec<u8>>;
    /// The route's name, which may be empty.
    fn route_name(&self) -> Vec<u8>;
    /// The time.
    fn now(&self) -> SystemTime;
    /// Random bytes, fit for keys and nonces.
    fn random<const N: usize>(&self) -> Option<[u8; N]>;
    /// Whether the client speaks HTTP/1.
    fn is_http1(&self) -> bool;
    /// All sessions of the process.
    fn sessions(&self) -> &RefCell<Sessions>;
    /// The calls that began on this worker.
    fn calls(&self) -> &Calls;
}

/// What a stream asks of its response, each only when needed.
pub trait UpstreamResponse {
    /// `:status`.
    fn status(&self) -> Option<u16>;
    /// Whether the upstream sent it, rather than Envoy or one of its filters.
    fn is_from_upstream(&self) -> bool;
    /// All lines of `sec-websocket-protocol`, joined by commas; empty if there are none.
    fn subprotocols(&self) -> Vec<u8>;
    /// `content-type`; empty if there is none.
    fn content_type(&self) -> Vec<u8>;
    /// `content-encoding`; empty if there is none.
    fn content_encoding(&self) -> Vec<u8>;
    /// `location`.
    fn location(&self) -> Option<Vec<u8>>;
}

/// What a stream that is over asks of its request as the upstream got it.
pub trait UpstreamRequest {
    /// Envoy's cluster that the request went to.
    fn cluster(&self) -> Option<Vec<u8>>;
    /// The request's `:authority` as the upstream saw it.
    fn authority(&self) -> Option<Vec<u8>>;
    /// The request's `:path` as the upstream saw it.
    fn path(&self) -> Option<Vec<u8>>;
}

/// 64 random bits; 0 if there is no randomness.
pub fn roll(host: &impl StreamHost) -> u64 {
    host.random().map_or(0, u64::from_le_bytes)
}
