//! A host for tests, with Envoy left out: what it knows is set, and its randomness is always the same.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::{
    Attribute, Callout, CalloutId, HeaderMap, NoRandomness, Property, PropertyPath, StreamHost, Unsent, WorkerHost,
};
use crate::http::Headers;

/// What the stream of a test is like.
#[derive(Default)]
pub(crate) struct FakeHost {
    /// Seconds since 1970.
    pub(crate) seconds: u64,
    attributes: Vec<(Attribute, Vec<u8>)>,
    properties: Vec<(String, Property)>,
    /// How often a property was read.
    pub(crate) reads: AtomicUsize,
    request: Vec<(String, Vec<u8>)>,
    request_trailers: Vec<(String, Vec<u8>)>,
    response: Vec<(String, Vec<u8>)>,
    response_trailers: Vec<(String, Vec<u8>)>,
    /// The paths of the callouts that were sent.
    pub(crate) sent: Vec<Vec<u8>>,
    /// Whether callouts cannot be sent.
    pub(crate) sends_nothing: bool,
}

impl FakeHost {
    /// A stream of a route without a name, over HTTP/1.1.
    pub(crate) fn new() -> Self {
        Self::default().with(Attribute::Protocol, "HTTP/1.1").with(Attribute::RouteName, "")
    }

    /// It is so many seconds since 1970.
    pub(crate) fn at(mut self, seconds: u64) -> Self {
        self.seconds = seconds;
        self
    }

    /// Envoy knows this.
    pub(crate) fn with(mut self, attribute: Attribute, value: &str) -> Self {
        self.attributes.push((attribute, value.into()));
        self
    }

    /// A property, whose segments are separated by NUL, has this value.
    pub(crate) fn with_property(mut self, path: &str, value: Property) -> Self {
        self.properties.push((path.to_owned(), value));
        self
    }

    /// A map has this line.
    pub(crate) fn line(mut self, map: HeaderMap, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.lines_mut(map).push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn lines_mut(&mut self, map: HeaderMap) -> &mut Vec<(String, Vec<u8>)> {
        match map {
            HeaderMap::Request => &mut self.request,
            HeaderMap::RequestTrailers => &mut self.request_trailers,
            HeaderMap::Response => &mut self.response,
            HeaderMap::ResponseTrailers => &mut self.response_trailers,
        }
    }

    fn lines(&self, map: HeaderMap) -> &[(String, Vec<u8>)] {
        match map {
            HeaderMap::Request => &self.request,
            HeaderMap::RequestTrailers => &self.request_trailers,
            HeaderMap::Response => &self.response,
            HeaderMap::ResponseTrailers => &self.response_trailers,
        }
    }

    fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.seconds)
    }
}

impl StreamHost for FakeHost {
    fn now(&self) -> SystemTime {
        self.time()
    }

    fn random(&self, out: &mut [u8]) -> Result<(), NoRandomness> {
        out.fill(7);
        Ok(())
    }

    fn attribute(&self, of: Attribute) -> Option<Vec<u8>> {
        self.attributes.iter().rfind(|(known, _)| *known == of).map(|(_, value)| value.clone())
    }

    fn property(&self, path: &PropertyPath) -> Option<Property> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.properties.iter().find(|(known, _)| known == path.as_str()).map(|(_, value)| value.clone())
    }

    fn headers(&self, of: HeaderMap) -> Headers {
        self.lines(of).iter().map(|(name, value)| (name, value)).collect()
    }
}

impl WorkerHost for FakeHost {
    fn now(&self) -> SystemTime {
        self.time()
    }

    fn can_read(&self, property: &PropertyPath) -> bool {
        property.segments().next() != Some("unreadable")
    }

    fn send(&mut self, callout: &Callout) -> Result<CalloutId, Unsent> {
        if self.sends_nothing {
            return Err(Unsent);
        }
        let path = callout.headers.iter().find(|(name, _)| name == ":path").map(|(_, value)| value.as_bytes().to_vec());
        self.sent.push(path.unwrap_or_default());
        Ok(CalloutId(u32::try_from(self.sent.len()).unwrap()))
    }
}
