//! Proxy-Wasm ABI 0.2.1, as far as it is needed: the SDK's own wrappers panic on a status that they do not expect, which
//! traps the VM and all of its streams, and leave `%RESPONSE_CODE_DETAILS%` empty.
#![allow(unsafe_code)]

mod buffer;
mod maps;
mod metadata;
mod reads;
mod shared_data;
mod statistic_name;
mod status;

use std::ptr::null_mut;
use std::time::{Duration, SystemTime};

use proxy_wasm::hostcalls::dispatch_http_call;
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType};
use realtime_byok::host::{Callout, CalloutId, Level, Unsent};
use realtime_byok::http::Headers;

use maps::{lines, map_type, serialized};

pub(crate) use buffer::Body;
pub(crate) use maps::edit;
pub(crate) use reads::Reads;
pub(crate) use shared_data::EnvoySharedData;
pub(crate) use statistic_name::statistic_name;
pub(crate) use status::Status;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: LogLevel, message: *const u8, size: usize) -> Status;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> Status;
    fn proxy_set_tick_period_milliseconds(period: u32) -> Status;
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> Status;
    fn proxy_get_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_replace_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_remove_header_map_value(map: MapType, name: *const u8, name_size: usize) -> Status;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> Status;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> Status;
    fn proxy_get_buffer_bytes(
        buffer: BufferType,
        start: usize,
        length: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_set_buffer_bytes(buffer: BufferType, start: usize, length: usize, data: *const u8, size: usize) -> Status;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> Status;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> Status;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, value_size: usize, cas: u32) -> Status;
    fn proxy_set_effective_context(context: u32) -> Status;
    fn proxy_close_stream(stream: u32) -> Status;
    fn proxy_define_metric(kind: MetricType, name: *const u8, name_size: usize, id: *mut u32) -> Status;
    fn proxy_increment_metric(id: u32, offset: i64) -> Status;
    fn proxy_record_metric(id: u32, value: u64) -> Status;
}

/// The ABI's number of the client's HTTP stream.
const HTTP_REQUEST: u32 = 0;

/// Writes a line to Envoy's log. One that cannot be written is missing there, and nothing else.
pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => LogLevel::Debug,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    };
    // SAFETY: pointer and length are those of a live slice.
    let _: Status = unsafe { proxy_log(level, message.as_ptr(), message.len()) };
}

/// The time. Without a clock nothing that has a window is good: the time before all windows.
pub(crate) fn current_time() -> SystemTime {
    let mut nanoseconds = 0;
    // SAFETY: the pointer is to a local that outlives the call.
    let read = unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) }.done();
    SystemTime::UNIX_EPOCH + read.map_or(Duration::ZERO, |()| Duration::from_nanos(nanoseconds))
}

/// How often the plugin is to hear of time.
pub(crate) fn set_tick_period(period: Duration) -> Result<(), Status> {
    // SAFETY: takes no pointer.
    unsafe { proxy_set_tick_period_milliseconds(u32::try_from(period.as_millis()).unwrap_or(u32::MAX)) }.done()
}

/// All lines of a map.
pub(crate) fn header_map_pairs(map: MapType) -> Result<Headers, Status> {
    // SAFETY: the pointers are to locals that outlive the call.
    let serialized = returned(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })?;
    lines(serialized).ok_or(Status::PARSE_FAILURE)
}

/// The first line of a name, if there is one.
pub(crate) fn header_map_value(map: MapType, name: &str) -> Result<Option<Vec<u8>>, Status> {
    // SAFETY: name and its length belong together; the pointers are to locals that outlive the call.
    found(returned(|data, size| unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) }))
}

/// Replaces all lines of a name by one.
pub(crate) fn replace_header_map_value(map: MapType, name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: pointers and lengths are those of live slices.
    unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) }.done()
}

/// Removes all lines of a name.
pub(crate) fn remove_header_map_value(map: MapType, name: &str) -> Result<(), Status> {
    // SAFETY: pointer and length are those of a live slice.
    unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) }.done()
}

/// A property, if there is one; the path's parts are separated by NUL.
pub(crate) fn property(path: &str) -> Result<Option<Vec<u8>>, Status> {
    // SAFETY: path and its length belong together; the pointers are to locals that outlive the call.
    found(returned(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }))
}

/// What Envoy knows a plugin by: its root id and its name, which the configuration gives it.
pub(crate) fn plugin_name() -> String {
    let text = |path| property(path).ok().flatten().unwrap_or_default();
    let name = [text("plugin_root_id"), text("plugin_name")].join(&0);
    String::from_utf8_lossy(&name).into_owned()
}

/// Sets a property, which Envoy keeps as filter state `wasm.` and the path.
pub(crate) fn set_property(path: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: pointers and lengths are those of live slices.
    unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) }.done()
}

/// `length` bytes of a buffer from `start` on, or as many as there are.
pub(crate) fn buffer(buffer: BufferType, start: usize, length: usize) -> Result<Vec<u8>, Status> {
    // SAFETY: the pointers are to locals that outlive the call.
    returned(|data, size| unsafe { proxy_get_buffer_bytes(buffer, start, length, data, size) })
}

/// Replaces `length` bytes of a buffer from `start` on.
pub(crate) fn set_buffer(buffer: BufferType, start: usize, length: usize, bytes: &[u8]) -> Result<(), Status> {
    // SAFETY: pointer and length are those of a live slice.
    unsafe { proxy_set_buffer_bytes(buffer, start, length, bytes.as_ptr(), bytes.len()) }.done()
}

/// Answers the stream.
pub(crate) fn send_local_response<T: AsRef<str>>(
    status: u16,
    details: &str,
    headers: &[(&str, T)],
    body: &[u8],
) -> Result<(), Status> {
    const NO_GRPC_STATUS: i32 = -1;
    let headers = serialized(headers);
    // SAFETY: pointers and lengths are those of live slices.
    unsafe {
        proxy_send_local_response(
            status.into(),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    }
    .done()
}

/// Sends a request of the filter's own: by the SDK, which knows then whose the answer is.
pub(crate) fn send(callout: &Callout) -> Result<CalloutId, Unsent> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Unsent);
    let lines = callout.headers.iter().map(|(name, value)| Ok((name.as_ref(), text(value.as_bytes())?)));
    let headers = lines.collect::<Result<_, _>>()?;
    let sent = dispatch_http_call(&callout.cluster, headers, None, Vec::new(), callout.timeout);
    sent.map(CalloutId).map_err(|_| Unsent)
}

/// What all VMs of the same `vm_id` share at a key, and its version.
pub(crate) fn shared_data(key: &str) -> Option<(Vec<u8>, u32)> {
    let mut cas = 0;
    // SAFETY: key and its length belong together; the pointers are to locals that outlive the call.
    let bytes =
        returned(|data, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas) });
    Some((bytes.ok()?, cas))
}

/// Replaces that, if its version is still `cas`.
pub(crate) fn set_shared_data(key: &str, value: &[u8], cas: u32) -> Result<(), Status> {
    // SAFETY: pointers and lengths are those of live slices.
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) }.done()
}

/// Makes the calls that follow apply to another context.
pub(crate) fn set_effective_context(context: u32) -> Result<(), Status> {
    // SAFETY: takes no pointer.
    unsafe { proxy_set_effective_context(context) }.done()
}

/// Resets the stream of the effective context.
pub(crate) fn reset_stream() -> Result<(), Status> {
    // SAFETY: takes no pointer.
    unsafe { proxy_close_stream(HTTP_REQUEST) }.done()
}

/// The id of a metric, which is made if there is none of this name yet.
pub(crate) fn define_metric(kind: MetricType, name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: name and its length belong together; the pointer is to a local that outlives the call.
    unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) }.done().map(|()| id)
}

/// Adds to a counter or a gauge; only gauges take less than nothing.
pub(crate) fn increment_metric(id: u32, offset: i64) -> Result<(), Status> {
    // SAFETY: takes no pointer.
    unsafe { proxy_increment_metric(id, offset) }.done()
}

/// Adds a value to a histogram.
pub(crate) fn record_metric(id: u32, value: u64) -> Result<(), Status> {
    // SAFETY: takes no pointer.
    unsafe { proxy_record_metric(id, value) }.done()
}

/// What a call returns through its two out-parameters, if it succeeds.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> Status) -> Result<Vec<u8>, Status> {
    let mut data = null_mut();
    let mut size = 0;
    call(&mut data, &mut size).done()?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: on success the host gives memory that it took from this module's `proxy_on_memory_allocate`, which makes a
    // Vec of exactly `size` bytes and forgets it.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// What is not there is not a fault.
fn found(returned: Result<Vec<u8>, Status>) -> Result<Option<Vec<u8>>, Status> {
    match returned {
        Err(Status::NOT_FOUND) => Ok(None),
        other => other.map(Some),
    }
}
