//! The seam to a host: what the core asks of whoever runs it. Values only; the core never waits and reads no clock.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::http::{HeaderValue, Headers};

#[cfg(test)]
pub(crate) mod fake;

/// What a host offers one stream, within one of its callbacks: no time passes in that.
pub trait StreamHost {
    /// The time.
    fn now(&self) -> SystemTime;

    /// Fills `out` with random bytes, fit for keys and nonces.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`] if there are none; `out` is then of no use.
    fn random(&self, out: &mut [u8]) -> Result<(), NoRandomness>;

    /// What Envoy knows of the stream; `None` if it knows nothing of this.
    fn attribute(&self, of: Attribute) -> Option<Vec<u8>>;

    /// A property; `None` if there is none.
    fn property(&self, path: &PropertyPath) -> Option<Property>;

    /// All lines of a map; none if it cannot be read now.
    fn headers(&self, of: HeaderMap) -> Headers;
}

/// What a host offers a worker, outside of any stream.
pub trait WorkerHost {
    /// The time.
    fn now(&self) -> SystemTime;

    /// Whether a stream's host can read this property where there is one. Most read all.
    fn can_read(&self, _property: &PropertyPath) -> bool {
        true
    }

    /// Sends a request of the filter's own. What comes of it is for [`Worker::callout_answered`].
    ///
    /// # Errors
    ///
    /// [`Unsent`] if it cannot be sent, such as to a cluster that does not exist.
    ///
    /// [`Worker::callout_answered`]: crate::worker::Worker::callout_answered
    fn send(&mut self, callout: &Callout) -> Result<CalloutId, Unsent>;
}

/// The host has no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRandomness;

/// A request of the filter's own could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsent;

/// What is known of a stream beside its header lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The route's metadata `realtime_byok.policy`.
    RoutePolicy,
    /// The route's metadata `realtime-byok.policy`: what is meant for [`RoutePolicy`](Self::RoutePolicy), and misspelt.
    MisplacedPolicy,
    /// The route's name, which may be empty.
    RouteName,
    /// The protocol of the request, such as `HTTP/1.1`.
    Protocol,
    /// The request's `:authority`, as the upstream sees it.
    Authority,
    /// The request's `:path`, as the upstream sees it.
    Path,
    /// The cluster that the request goes to.
    Cluster,
    /// The port that the client has reached.
    LocalPort,
    /// Who answered: `via_upstream`, or what Envoy says of a response of its own.
    ResponseCodeDetails,
}

/// Where something stands that Envoy knows of a request: the path of one of its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyPath(Arc<str>);

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// A string, of whatever bytes. What else has no type where it came from may be taken for one: it is no name then.
    String(Vec<u8>),
    /// Something else: a number, a list, a map.
    Other,
}

/// The header lines of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderMap {
    /// The request's, pseudo-headers among them.
    Request,
    /// The request's trailers.
    RequestTrailers,
    /// The response's, `:status` among them.
    Response,
    /// The response's trailers.
    ResponseTrailers,
}

/// A request of the filter's own, without a body.
pub struct Callout {
    /// Envoy's cluster that it goes to.
    pub cluster: String,
    /// All header lines, pseudo-headers first.
    pub headers: Vec<(Cow<'static, str>, HeaderValue)>,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// The host's own number of a callout that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalloutId(pub u32);

/// The host's own number of a stream, by which commands name one outside of its callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamNumber(pub u64);

/// How serious a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Of use to whoever looks for a fault.
    Debug,
    /// Right, but not wise.
    Warn,
    /// Wrong.
    Error,
}

impl PropertyPath {
    /// The path of these segments; `None` if there is none, or one of them is empty or holds a NUL.
    pub fn new<S: AsRef<str>>(segments: &[S]) -> Option<Self> {
        let segments: Vec<_> = segments.iter().map(AsRef::as_ref).collect();
        let is_segment = |segment: &&str| !segment.is_empty() && !segment.contains('\0');
        (!segments.is_empty() && segments.iter().all(is_segment)).then(|| Self(segments.join("\0").into()))
    }

    /// Its segments, separated by NUL, as Envoy takes them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its segments.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('\0')
    }
}

impl dyn StreamHost + '_ {
    /// So many random bytes; `None` if there are none.
    pub fn random_bytes<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.random(&mut bytes).ok()?;
        Some(bytes)
    }

    /// 64 random bits; 0 if there is no randomness.
    pub fn roll(&self) -> u64 {
        self.random_bytes().map_or(0, u64::from_le_bytes)
    }
}
