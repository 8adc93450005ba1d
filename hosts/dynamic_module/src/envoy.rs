//! Envoy in the core's terms.

use std::cell::{Cell, OnceCell};
use std::time::SystemTime;

use realtime_byok::host::{
    Attribute, Callout, CalloutId, HeaderMap, Level, NoRandomness, Property, PropertyPath, StreamHost, Unsent,
    WorkerHost,
};
use realtime_byok::http::{Edit, Edits, Headers};
use realtime_byok::stream::{DetailedReply, StreamControl};

use super::abi::{Body, Config, Failed, Filter, Text};
use super::plugins::Callouts;

/// Envoy, as it is in a stream's hook.
pub(crate) struct EnvoyStream<'a> {
    filter: &'a Filter<'a>,
    now: OnceCell<SystemTime>,
    /// What could not be read reads as nothing, so that what is decided then may let something through that must not pass.
    fault: Cell<Option<Failed>>,
}

/// What can be done with a stream in its hook.
pub(crate) struct Control<'a> {
    pub(crate) filter: &'a Filter<'a>,
    pub(crate) body: Body<'a>,
}

/// Envoy, as it is in a configuration's hook, for one worker.
pub(crate) struct EnvoyWorker<'a> {
    pub(crate) config: &'a Config<'a>,
    pub(crate) callouts: &'a Callouts,
    /// The configuration that is asked.
    pub(crate) plugin: usize,
    /// The worker for which it is.
    pub(crate) worker: usize,
}

impl<'a> EnvoyStream<'a> {
    /// Envoy in this stream's hook.
    pub(crate) fn new(filter: &'a Filter<'a>) -> Self {
        Self { filter, now: OnceCell::new(), fault: Cell::new(None) }
    }

    /// Whether all could be read that was asked for: nothing may be done of a decision otherwise.
    pub(crate) fn all_read(&self) -> Result<(), Failed> {
        self.fault.get().map_or(Ok(()), Err)
    }
}

impl StreamHost for EnvoyStream<'_> {
    fn now(&self) -> SystemTime {
        *self.now.get_or_init(SystemTime::now)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(out).map_err(|_| NoRandomness)
    }

    fn attribute(&self, of: Attribute) -> Option<Vec<u8>> {
        match of {
            Attribute::RoutePolicy => self.filter.route_metadata("realtime_byok", "policy"),
            Attribute::MisplacedPolicy => self.filter.route_metadata("realtime-byok", "policy"),
            Attribute::RouteName => self.filter.text(Text::RouteName),
            Attribute::Protocol => self.filter.text(Text::Protocol),
            Attribute::Authority => self.filter.text(Text::Authority),
            Attribute::Path => self.filter.text(Text::Path),
            Attribute::Cluster => self.filter.cluster_name(),
            Attribute::LocalPort => self.filter.local_port().map(|port| port.to_le_bytes().to_vec()),
            Attribute::ResponseCodeDetails => self.filter.text(Text::ResponseCodeDetails),
        }
    }

    fn property(&self, path: &PropertyPath) -> Option<Property> {
        match Place::of(path)? {
            Place::Metadata(namespace, key) => self.filter.dynamic_metadata(namespace, key),
            Place::Connection(text) => self.filter.text(text).map(Property::String),
        }
    }

    fn headers(&self, of: HeaderMap) -> Headers {
        self.filter.headers(of).unwrap_or_else(|failed| {
            self.fault.set(Some(failed));
            Headers::default()
        })
    }
}

impl StreamControl for Control<'_> {
    type Error = Failed;

    fn edit(&self, map: HeaderMap, edits: &Edits) -> Result<(), Failed> {
        edits.iter().try_for_each(|edit| match edit {
            Edit::Remove(name) => self.filter.set_header(map, name, None),
            Edit::Set(name, value) => self.filter.set_header(map, name, Some(value.as_bytes())),
        })?;
        if map == HeaderMap::Request && !edits.is_empty() {
            self.filter.clear_route_cache();
        }
        Ok(())
    }

    fn replace_body(&self, from: usize, bytes: &[u8]) -> Result<(), Failed> {
        self.body.replace(from, bytes)
    }

    fn reply(&self, reply: &DetailedReply) -> Result<(), Failed> {
        self.filter.reply(reply)
    }

    fn reset(&self) -> Result<(), Failed> {
        self.filter.reset()
    }
}

/// Where a property stands that Envoy gives to dynamic modules: no other can be read.
enum Place<'a> {
    /// A value of dynamic metadata, and not inside of one.
    Metadata(&'a str, &'a str),
    /// Something of the connection's.
    Connection(Text),
}

impl<'a> Place<'a> {
    fn of(path: &'a PropertyPath) -> Option<Self> {
        let segments: Vec<_> = path.segments().collect();
        match segments[..] {
            ["metadata", "filter_metadata", namespace, key] => Some(Self::Metadata(namespace, key)),
            ["connection", "requested_server_name"] => Some(Self::Connection(Text::RequestedServerName)),
            ["connection", "subject_peer_certificate"] => Some(Self::Connection(Text::SubjectPeerCertificate)),
            ["connection", "dns_san_peer_certificate"] => Some(Self::Connection(Text::DnsSanPeerCertificate)),
            ["connection", "uri_san_peer_certificate"] => Some(Self::Connection(Text::UriSanPeerCertificate)),
            ["connection", "sha256_peer_certificate_digest"] => {
                Some(Self::Connection(Text::Sha256PeerCertificateDigest))
            }
            _ => None,
        }
    }
}

impl WorkerHost for EnvoyWorker<'_> {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn can_read(&self, property: &PropertyPath) -> bool {
        Place::of(property).is_some()
    }

    fn send(&mut self, callout: &Callout) -> Result<CalloutId, Unsent> {
        let number = self.config.send(callout).map_err(|_| Unsent)?;
        Ok(self.callouts.sent(self.plugin, number, self.worker))
    }
}

/// Says that something of Envoy's has failed.
pub(crate) fn log_failure(failed: Failed) {
    super::abi::log(Level::Error, &format!("realtime_byok: {failed}; the stream is reset"));
}
