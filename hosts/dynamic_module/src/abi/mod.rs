//! Envoy's ABI for dynamic modules, as safe functions. All unsafe code of this host stands here, in `bindings`, which has
//! the functions' types and contracts, and in `hooks`, which Envoy calls.
#![allow(unsafe_code)]

mod bindings;
mod body;
#[cfg(test)]
mod facts;
mod hooks;

use std::cell::Cell;
use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{null, with_exposed_provenance_mut};

use realtime_byok::host::{Callout, HeaderMap, Level, Property};
use realtime_byok::http::{Headers, Span};
use realtime_byok::metrics::{Change, Family, StatisticKind};
use realtime_byok::stream::DetailedReply;

use bindings::{
    AttributeId, EnvoyBuffer, EnvoyHeader, HeaderType, LogLevel, MetadataSource, ModuleBuffer, ModuleHeader,
};

pub(crate) use body::{Body, Direction};
pub(crate) use hooks::FilterId;

/// Something that Envoy could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a call of Envoy's failed")
    }
}

/// A stream, within one of its hooks.
pub(crate) struct Filter<'hook> {
    pointer: *mut c_void,
    /// It was answered or reset: Envoy may have taken from it what calls stand on, and none is made.
    is_over: Cell<bool>,
    /// How often a body was changed, of which pieces may be looked at only until then.
    changes: Cell<u32>,
    hook: PhantomData<&'hook mut ()>,
}

/// A configuration, within one of its hooks, all of which the main thread has.
pub(crate) struct Config<'hook> {
    pointer: *mut c_void,
    hook: PhantomData<&'hook mut ()>,
}

/// Has `on_http_filter_scheduled` called for a stream. Its address, so that it can go to other threads: all may use it.
pub(crate) struct Scheduler(usize);

/// Has `on_http_filter_config_scheduled` called for a configuration.
pub(crate) struct ConfigScheduler(usize);

/// A text of a stream that Envoy knows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text {
    /// `request.path`.
    Path,
    /// `request.host`.
    Authority,
    /// `request.protocol`.
    Protocol,
    /// `response.code_details`.
    ResponseCodeDetails,
    /// `xds.route_name`.
    RouteName,
    /// `connection.requested_server_name`.
    RequestedServerName,
    /// `connection.subject_peer_certificate`.
    SubjectPeerCertificate,
    /// `connection.dns_san_peer_certificate`, the first.
    DnsSanPeerCertificate,
    /// `connection.uri_san_peer_certificate`, the first.
    UriSanPeerCertificate,
    /// `connection.sha256_peer_certificate_digest`.
    Sha256PeerCertificateDigest,
}

/// A configuration's number of a family of statistics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defined {
    kind: StatisticKind,
    number: usize,
}

/// Writes a line to Envoy's log.
pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => LogLevel::Debug,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    };
    // SAFETY: the buffer is a live slice's.
    unsafe { bindings::log(level, module_buffer(message.as_bytes())) }
}

/// How many workers there will be.
pub(crate) fn concurrency() -> usize {
    // SAFETY: hooks of configurations are the main thread's.
    usize::try_from(unsafe { bindings::concurrency() }).unwrap_or_default()
}

impl Filter<'_> {
    /// The stream of Envoy's object.
    ///
    /// # Safety
    ///
    /// The object lives as long as the hook runs.
    unsafe fn new(pointer: *mut c_void) -> Self {
        Self { pointer, is_over: Cell::new(false), changes: Cell::new(0), hook: PhantomData }
    }

    /// All lines of a map.
    pub(crate) fn headers(&self, of: HeaderMap) -> Result<Headers, Failed> {
        let map = header_type(of);
        self.lives()?;
        // SAFETY: the stream lives.
        let count = unsafe { bindings::headers_size(self.pointer, map) };
        let none = EnvoyBuffer { bytes: null(), length: 0 };
        let mut lines = vec![EnvoyHeader { name: none, value: none }; count];
        // SAFETY: the stream lives, and there is room for as many lines as the map has.
        if !unsafe { bindings::headers(self.pointer, map, lines.as_mut_ptr()) } {
            return Err(Failed);
        }
        let mut buffer = Vec::with_capacity(lines.iter().map(|line| line.name.length + line.value.length).sum());
        // What lies beyond 4 GiB reads as empty.
        let end = |buffer: &Vec<u8>| u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let mut put = |piece: EnvoyBuffer| {
            let start = end(&buffer);
            // SAFETY: Envoy has written it, and nothing has changed the map since.
            buffer.extend_from_slice(unsafe { bytes(&piece) });
            start..end(&buffer)
        };
        let spans = lines.iter().map(|line| Span { name: put(line.name), value: put(line.value) }).collect();
        Ok(Headers::new(buffer, spans))
    }

    /// Puts one line in the place of all of its name; `None` removes them.
    pub(crate) fn set_header(&self, map: HeaderMap, name: &str, value: Option<&[u8]>) -> Result<(), Failed> {
        let value = value.map_or(ModuleBuffer { bytes: null(), length: 0 }, module_buffer);
        self.lives()?;
        // SAFETY: the stream lives, and the buffers are live slices'.
        done(unsafe { bindings::set_header(self.pointer, header_type(map), module_buffer(name.as_bytes()), value) })
    }

    /// Has the route chosen again.
    pub(crate) fn clear_route_cache(&self) {
        if self.lives().is_ok() {
            // SAFETY: the stream lives.
            unsafe { bindings::clear_route_cache(self.pointer) }
        }
    }

    /// A text that Envoy knows, if it knows it.
    pub(crate) fn text(&self, of: Text) -> Option<Vec<u8>> {
        let attribute = match of {
            Text::Path => AttributeId::RequestPath,
            Text::Authority => AttributeId::RequestHost,
            Text::Protocol => AttributeId::RequestProtocol,
            Text::ResponseCodeDetails => AttributeId::ResponseCodeDetails,
            Text::RouteName => AttributeId::XdsRouteName,
            Text::RequestedServerName => AttributeId::ConnectionRequestedServerName,
            Text::SubjectPeerCertificate => AttributeId::ConnectionSubjectPeerCertificate,
            Text::DnsSanPeerCertificate => AttributeId::ConnectionDnsSanPeerCertificate,
            Text::UriSanPeerCertificate => AttributeId::ConnectionUriSanPeerCertificate,
            Text::Sha256PeerCertificateDigest => AttributeId::ConnectionSha256PeerCertificateDigest,
        };
        // SAFETY: the stream lives, and so does the buffer.
        self.written(|pointer, value| unsafe { bindings::attribute_string(pointer, attribute, value) })
    }

    /// The cluster that the route goes to, if there is one.
    pub(crate) fn cluster_name(&self) -> Option<Vec<u8>> {
        // SAFETY: the stream lives, and so does the buffer.
        self.written(|pointer, value| unsafe { bindings::cluster_name(pointer, value) })
    }

    /// The port that the client has reached.
    pub(crate) fn local_port(&self) -> Option<u64> {
        self.lives().ok()?;
        let mut port = 0;
        // SAFETY: the stream lives, and so does the number.
        unsafe { bindings::attribute_int(self.pointer, AttributeId::DestinationPort, &raw mut port) }.then_some(port)
    }

    /// A text in the route's metadata; empty, where there is something else at this key.
    pub(crate) fn route_metadata(&self, namespace: &str, key: &str) -> Option<Vec<u8>> {
        self.metadata(MetadataSource::Route, namespace, key).map(|value| match value {
            Property::String(text) => text,
            Property::Other => Vec::new(),
        })
    }

    /// A value in the stream's metadata, which filters before this one have set.
    pub(crate) fn dynamic_metadata(&self, namespace: &str, key: &str) -> Option<Property> {
        self.metadata(MetadataSource::Dynamic, namespace, key)
    }

    fn metadata(&self, source: MetadataSource, namespace: &str, key: &str) -> Option<Property> {
        let (namespace, name) = (module_buffer(namespace.as_bytes()), module_buffer(key.as_bytes()));
        self.lives().ok()?;
        // SAFETY: the stream lives, and the buffer is a live slice's.
        let count = unsafe { bindings::metadata_keys_count(self.pointer, source, namespace) };
        if count == 0 {
            return None;
        }
        // SAFETY: the stream lives, and so do the buffers.
        let text = |pointer, value| unsafe { bindings::metadata_string(pointer, source, namespace, name, value) };
        self.written(text).map(Property::String).or_else(|| {
            let mut keys = vec![EnvoyBuffer { bytes: null(), length: 0 }; count];
            // SAFETY: the stream lives, the buffer is a live slice's, and there is room for as many keys as there are.
            let are_written = unsafe { bindings::metadata_keys(self.pointer, source, namespace, keys.as_mut_ptr()) };
            // SAFETY: Envoy has written the keys, and nothing has changed them since.
            let is_there = are_written && keys.iter().any(|known| unsafe { bytes(known) } == key.as_bytes());
            is_there.then_some(Property::Other)
        })
    }

    /// Sets a value that access logs show.
    pub(crate) fn set_filter_state(&self, key: &str, value: &[u8]) -> Result<(), Failed> {
        self.lives()?;
        // SAFETY: the stream lives, and the buffers are live slices'.
        done(unsafe { bindings::set_filter_state(self.pointer, module_buffer(key.as_bytes()), module_buffer(value)) })
    }

    /// The number of the stream's worker.
    pub(crate) fn worker_index(&self) -> usize {
        // SAFETY: the stream lives.
        usize::try_from(unsafe { bindings::worker_index(self.pointer) }).unwrap_or(usize::MAX)
    }

    /// What calls the stream from other threads.
    pub(crate) fn scheduler(&self) -> Scheduler {
        // SAFETY: the stream lives.
        Scheduler(unsafe { bindings::scheduler_new(self.pointer) }.expose_provenance())
    }

    /// Answers the stream.
    pub(crate) fn reply(&self, DetailedReply { reply, details }: &DetailedReply) -> Result<(), Failed> {
        self.lives()?;
        self.is_over.set(true);
        let line = |(name, value): &(&str, _)| {
            let value: &str = AsRef::<str>::as_ref(value);
            ModuleHeader { name: module_buffer(name.as_bytes()), value: module_buffer(value.as_bytes()) }
        };
        let mut lines: Vec<_> = reply.headers.iter().map(line).collect();
        let (body, details) = (module_buffer(&reply.body), module_buffer(details.as_bytes()));
        let (lines, count) = (lines.as_mut_ptr(), lines.len());
        // SAFETY: the stream lives, and all buffers are live slices'.
        unsafe { bindings::send_response(self.pointer, reply.status.into(), lines, count, body, details) };
        Ok(())
    }

    /// Resets the stream.
    pub(crate) fn reset(&self) -> Result<(), Failed> {
        self.lives()?;
        self.is_over.set(true);
        // SAFETY: the stream lives, and the buffer is a live slice's.
        unsafe { bindings::reset_stream(self.pointer, bindings::ResetReason::LocalReset, module_buffer(b"")) };
        Ok(())
    }

    /// What a call writes, if it says that it has.
    fn written(&self, call: impl FnOnce(*mut c_void, *mut EnvoyBuffer) -> bool) -> Option<Vec<u8>> {
        self.lives().ok()?;
        let mut value = EnvoyBuffer { bytes: null(), length: 0 };
        // SAFETY: Envoy has just written it.
        call(self.pointer, &raw mut value).then(|| unsafe { bytes(&value) }.to_vec())
    }

    fn lives(&self) -> Result<(), Failed> {
        if self.is_over.get() { Err(Failed) } else { Ok(()) }
    }
}

impl Config<'_> {
    /// The configuration of Envoy's object.
    ///
    /// # Safety
    ///
    /// The object lives as long as the hook runs, which the main thread has.
    unsafe fn new(pointer: *mut c_void) -> Self {
        Self { pointer, hook: PhantomData }
    }

    /// Makes a family of statistics, if Envoy takes it: while the configuration is created, and never again.
    pub(crate) fn define(&self, Family { name, kind, labels }: &Family) -> Option<Defined> {
        let name = format!("realtime_byok.{name}");
        let mut labels: Vec<_> = labels.iter().map(|label| module_buffer(label.as_bytes())).collect();
        let define = match kind {
            StatisticKind::Counter => bindings::define_counter,
            StatisticKind::Gauge => bindings::define_gauge,
            StatisticKind::Histogram => bindings::define_histogram,
        };
        let (labels, count) = (labels.as_mut_ptr(), labels.len());
        let mut number = 0;
        // SAFETY: the configuration lives, and so do the buffers and the number.
        let result = unsafe { define(self.pointer, module_buffer(name.as_bytes()), labels, count, &raw mut number) };
        (result == bindings::SUCCESS).then_some(Defined { kind: *kind, number })
    }

    /// Changes one statistic of a family, which has these values of its labels.
    pub(crate) fn change(&self, of: Defined, values: &[impl AsRef<str>], change: Change) -> Result<(), Failed> {
        let mut values: Vec<_> = values.iter().map(|value| module_buffer(value.as_ref().as_bytes())).collect();
        let (call, amount) = match (of.kind, change) {
            (StatisticKind::Histogram, Change::Record(value)) => (bindings::record_histogram_value as Add, value),
            (StatisticKind::Counter, Change::Add(amount)) => {
                (bindings::increment_counter as Add, amount.unsigned_abs())
            }
            (StatisticKind::Counter, _) => (bindings::increment_counter as Add, 0),
            (StatisticKind::Gauge, Change::Add(amount)) if amount < 0 => {
                (bindings::decrement_gauge as Add, amount.unsigned_abs())
            }
            (StatisticKind::Gauge, Change::Add(amount)) => (bindings::increment_gauge as Add, amount.unsigned_abs()),
            (StatisticKind::Gauge, _) => (bindings::increment_gauge as Add, 0),
            (StatisticKind::Histogram, _) => return Ok(()),
        };
        // SAFETY: the configuration lives, and so do the buffers.
        done(unsafe { call(self.pointer, of.number, values.as_mut_ptr(), values.len(), amount) } == bindings::SUCCESS)
    }

    /// What calls the configuration from other threads.
    pub(crate) fn scheduler(&self) -> ConfigScheduler {
        // SAFETY: the configuration lives.
        ConfigScheduler(unsafe { bindings::config_scheduler_new(self.pointer) }.expose_provenance())
    }

    /// Sends a request; the answer comes under the number that is returned.
    pub(crate) fn send(&self, callout: &Callout) -> Result<u64, Failed> {
        let line = |(name, value): &(std::borrow::Cow<'_, str>, realtime_byok::http::HeaderValue)| ModuleHeader {
            name: module_buffer(name.as_bytes()),
            value: module_buffer(value.as_bytes()),
        };
        let mut lines: Vec<_> = callout.headers.iter().map(line).collect();
        let (cluster, body) = (module_buffer(callout.cluster.as_bytes()), module_buffer(b""));
        let timeout = u64::try_from(callout.timeout.as_millis()).unwrap_or(u64::MAX);
        let (lines, count) = (lines.as_mut_ptr(), lines.len());
        let mut number = 0;
        // SAFETY: the configuration lives, and so do the buffers and the number.
        let sent =
            unsafe { bindings::http_callout(self.pointer, &raw mut number, cluster, lines, count, body, timeout) };
        if sent == bindings::SUCCESS { Ok(number) } else { Err(Failed) }
    }
}

/// A function that changes a statistic.
type Add = unsafe fn(*mut c_void, usize, *mut ModuleBuffer, usize, u64) -> u32;

impl Scheduler {
    /// Has the hook called.
    pub(crate) fn commit(&self) {
        // SAFETY: it is deleted when it is dropped, and not before.
        unsafe { bindings::scheduler_commit(with_exposed_provenance_mut(self.0), 0) }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: nobody has it any more.
        unsafe { bindings::scheduler_delete(with_exposed_provenance_mut(self.0)) }
    }
}

impl ConfigScheduler {
    /// Has the hook called.
    pub(crate) fn commit(&self) {
        // SAFETY: it is deleted when it is dropped, and not before.
        unsafe { bindings::config_scheduler_commit(with_exposed_provenance_mut(self.0), 0) }
    }
}

impl Drop for ConfigScheduler {
    fn drop(&mut self) {
        // SAFETY: nobody has it any more.
        unsafe { bindings::config_scheduler_delete(with_exposed_provenance_mut(self.0)) }
    }
}

/// The bytes of a buffer.
///
/// # Safety
///
/// Envoy has written it, and what it is part of has not changed since, nor will as long as the bytes are looked at.
unsafe fn bytes(buffer: &EnvoyBuffer) -> &[u8] {
    if buffer.bytes.is_null() {
        return &[];
    }
    // SAFETY: by the caller's word.
    unsafe { std::slice::from_raw_parts(buffer.bytes, buffer.length) }
}

fn module_buffer(bytes: &[u8]) -> ModuleBuffer {
    ModuleBuffer { bytes: bytes.as_ptr(), length: bytes.len() }
}

fn header_type(of: HeaderMap) -> HeaderType {
    match of {
        HeaderMap::Request => HeaderType::RequestHeader,
        HeaderMap::RequestTrailers => HeaderType::RequestTrailer,
        HeaderMap::Response => HeaderType::ResponseHeader,
        HeaderMap::ResponseTrailers => HeaderType::ResponseTrailer,
    }
}

fn done(is_done: bool) -> Result<(), Failed> {
    if is_done { Ok(()) } else { Err(Failed) }
}
