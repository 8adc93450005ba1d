//! The functions that a Proxy-Wasm module imports, ABI 0.2.1.
#![allow(unsafe_code)]

use std::io::Write;
use std::slice::from_raw_parts;

use super::{HttpCall, Level, Lines, WORKER, golden, worker};

/// The map of the answer to a request that the module sent by itself.
const HTTP_CALL_RESPONSE_HEADERS: u32 = 6;

/// The ABI's `proxy_status_t`.
#[repr(u32)]
#[derive(Clone, Copy)]
enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    CasMismatch = 8,
    InternalFailure = 10,
}

/// A hostcall is made; one that is to fail returns at once.
macro_rules! called {
    ($name:literal) => {
        if worker(|worker| worker.called($name)).is_some() {
            return Status::InternalFailure;
        }
    };
}

const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const PLUGIN_CONFIGURATION: u32 = 7;

unsafe extern "C" {
    fn proxy_on_memory_allocate(size: usize) -> *mut u8;
}

/// The module's bytes at `data`.
unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    // SAFETY: the SDK and the filter pass pointer and length of live slices.
    if size == 0 { &[] } else { unsafe { from_raw_parts(data, size) } }
}

unsafe fn text<'a>(data: *const u8, size: usize) -> &'a str {
    // SAFETY: as in `bytes`.
    std::str::from_utf8(unsafe { bytes(data, size) }).expect("the module gives names in UTF-8")
}

/// Hands `value` over in memory of the module's.
unsafe fn give(value: &[u8], data: *mut *mut u8, size: *mut usize) -> Status {
    // SAFETY: the out-pointers are to the module's live locals, and the module's allocation has as many bytes as asked.
    unsafe {
        let memory = if value.is_empty() { std::ptr::null_mut() } else { proxy_on_memory_allocate(value.len()) };
        if !value.is_empty() {
            memory.copy_from_nonoverlapping(value.as_ptr(), value.len());
        }
        *data = memory;
        *size = value.len();
    }
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_log(level: u32, data: *const u8, size: usize) -> Status {
    // SAFETY: as in `bytes`.
    let message = String::from_utf8_lossy(unsafe { bytes(data, size) }).into_owned();
    let Some(level) = Level::of(level) else {
        // A panic. One of the module's ends the process, and captured output with it.
        match WORKER.try_with(|worker| worker.try_borrow().ok().and_then(|worker| worker.trap())) {
            Ok(Some(trap)) => drop(writeln!(std::io::stderr(), "{message}\nwhile the module ran: {trap}")),
            _ => eprintln!("{message}"),
        }
        return Status::Ok;
    };
    called!("log");
    golden::logged(level, &message);
    worker(|worker| worker.log.push((level, message)));
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_current_time_nanoseconds(time: *mut u64) -> Status {
    called!("get_current_time_nanoseconds");
    // SAFETY: a live local of the module's.
    unsafe { *time = worker(|worker| worker.clock) };
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_tick_period_milliseconds(_: u32) -> Status {
    called!("set_tick_period_milliseconds");
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_buffer_bytes(
    buffer: u32,
    start: usize,
    length: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> Status {
    called!("get_buffer_bytes");
    let found = worker(|worker| match buffer {
        PLUGIN_CONFIGURATION => Some(worker.configuration.clone()),
        REQUEST_BODY | RESPONSE_BODY => worker.stream()?.body(buffer == REQUEST_BODY).map(|body| body.clone()),
        _ => None,
    });
    let Some(buffer) = found else { return Status::NotFound };
    let start = start.min(buffer.len());
    let end = start.saturating_add(length).min(buffer.len());
    // SAFETY: as in `give`.
    unsafe { give(&buffer[start..end], data, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_buffer_bytes(
    buffer: u32,
    start: usize,
    length: usize,
    data: *const u8,
    size: usize,
) -> Status {
    called!("set_buffer_bytes");
    // SAFETY: as in `bytes`.
    let new = unsafe { bytes(data, size) };
    worker(|worker| {
        let body = worker.stream().and_then(|stream| stream.body(buffer == REQUEST_BODY));
        let Some(body) = body else { return Status::BadArgument };
        // Envoy replaces bytes at the start only, and appends behind the end.
        if start == 0 {
            body.splice(..length.min(body.len()), new.iter().copied());
        } else if start >= body.len() {
            body.extend(new);
        } else {
            return Status::BadArgument;
        }
        golden::replaced(buffer == REQUEST_BODY, worker);
        Status::Ok
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> Status {
    called!("get_header_map_pairs");
    let pairs = worker(|worker| worker.stream()?.map(map).map(|lines| lines.serialized()));
    // SAFETY: as in `give`.
    pairs.map_or(Status::BadArgument, |pairs| unsafe { give(&pairs, data, size) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_value(
    map: u32,
    name: *const u8,
    name_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> Status {
    called!("get_header_map_value");
    // SAFETY: as in `bytes`.
    let name = unsafe { text(name, name_size) };
    let value = worker(|worker| {
        let lines = if map == HTTP_CALL_RESPONSE_HEADERS {
            worker.http_call_answer.as_ref()
        } else {
            worker.stream()?.map(map).map(|lines| &*lines)
        };
        Some(lines?.first(name).map(<[u8]>::to_vec))
    });
    match value {
        None => Status::BadArgument,
        Some(None) => Status::NotFound,
        // SAFETY: as in `give`.
        Some(Some(value)) => unsafe { give(&value, data, size) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_replace_header_map_value(
    map: u32,
    name: *const u8,
    name_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    called!("replace_header_map_value");
    // SAFETY: as in `bytes`.
    let (name, value) = unsafe { (text(name, name_size), bytes(value, value_size)) };
    worker(|worker| {
        if value.iter().any(|byte| b"\0\r\n".contains(byte)) {
            worker.faults.push(format!("set {name} to a value that no header can have"));
        }
        golden::edits(map, worker);
        let Some(lines) = worker.stream().and_then(|stream| stream.map(map)) else { return Status::BadArgument };
        lines.replace(name, value);
        Status::Ok
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> Status {
    called!("remove_header_map_value");
    // SAFETY: as in `bytes`.
    let name = unsafe { text(name, name_size) };
    worker(|worker| {
        golden::edits(map, worker);
        let Some(lines) = worker.stream().and_then(|stream| stream.map(map)) else { return Status::BadArgument };
        lines.remove(name);
        Status::Ok
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> Status {
    called!("get_property");
    // SAFETY: as in `bytes`.
    let path = unsafe { text(path, path_size) };
    let value = worker(|worker| worker.stream()?.property(path));
    // SAFETY: as in `give`.
    value.map_or(Status::NotFound, |value| unsafe { give(&value, data, size) })
}

/// Envoy keeps what is set as filter state, below `wasm.`.
#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_property(
    path: *const u8,
    path_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    called!("set_property");
    // SAFETY: as in `bytes`.
    let (path, value) = unsafe { (text(path, path_size), bytes(value, value_size)) };
    worker(|worker| {
        golden::property(worker.effective, path, value);
        let Some(stream) = worker.stream() else { return Status::BadArgument };
        stream.properties.insert(format!("wasm.{path}"), value.to_vec());
        Status::Ok
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_send_local_response(
    status: u32,
    details: *const u8,
    details_size: usize,
    body: *const u8,
    body_size: usize,
    headers: *const u8,
    headers_size: usize,
    _grpc_status: i32,
) -> Status {
    called!("send_local_response");
    // SAFETY: as in `bytes`.
    let (details, body, headers) =
        unsafe { (text(details, details_size), bytes(body, body_size), bytes(headers, headers_size)) };
    worker(|worker| {
        let (context, lines) = (worker.effective, Lines::parse(headers));
        let Some(stream) = worker.stream() else { return Status::BadArgument };
        golden::replied(context, status, details, &lines, body);
        stream.reply(status, details, lines, body.to_vec());
        Status::Ok
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_shared_data(
    key: *const u8,
    key_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
    cas: *mut u32,
) -> Status {
    called!("get_shared_data");
    // SAFETY: as in `bytes`.
    let key = unsafe { text(key, key_size) };
    let Some((value, version)) = worker(|worker| worker.shared.get(key).cloned()) else { return Status::NotFound };
    // SAFETY: as in `give`.
    unsafe {
        *cas = version;
        give(&value, data, size)
    }
}

/// As Envoy does it: a key that is absent takes any version, and version 0 overwrites whatever is there.
#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_shared_data(
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
    cas: u32,
) -> Status {
    called!("set_shared_data");
    // SAFETY: as in `bytes`.
    let (key, value) = unsafe { (text(key, key_size), bytes(value, value_size)) };
    worker(|worker| {
        if worker.shared.get(key).is_some_and(|(_, version)| cas != 0 && cas != *version) {
            return Status::CasMismatch;
        }
        worker.shared_version += 1;
        worker.shared.insert(key.to_owned(), (value.to_vec(), worker.shared_version));
        Status::Ok
    })
}

/// The calls are kept, to be answered by [`super::Vm::answer_http_call`].
#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_http_call(
    cluster: *const u8,
    cluster_size: usize,
    headers: *const u8,
    headers_size: usize,
    _body: *const u8,
    _body_size: usize,
    _trailers: *const u8,
    _trailers_size: usize,
    timeout: u32,
    token: *mut u32,
) -> Status {
    called!("http_call");
    // SAFETY: as in `bytes`.
    let (cluster, headers) = unsafe { (text(cluster, cluster_size), bytes(headers, headers_size)) };
    let call = HttpCall { cluster: cluster.to_owned(), lines: Lines::parse(headers) };
    golden::called(&call, timeout);
    let number = worker(|worker| {
        worker.http_calls.push(call);
        worker.http_calls.len()
    });
    // SAFETY: a live local of the module's.
    unsafe { *token = u32::try_from(number).expect("few calls") };
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_effective_context(context: u32) -> Status {
    called!("set_effective_context");
    worker(|worker| {
        if !worker.streams.contains_key(&context) && !worker.roots.contains(&context) {
            return Status::BadArgument;
        }
        worker.effective = context;
        Status::Ok
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_close_stream(_: u32) -> Status {
    called!("close_stream");
    worker(|worker| {
        golden::reset(worker.effective);
        let Some(stream) = worker.stream() else { return Status::BadArgument };
        stream.reset();
        Status::Ok
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_define_metric(_: u32, name: *const u8, size: usize, id: *mut u32) -> Status {
    called!("define_metric");
    // SAFETY: as in `text`; a live local of the module's.
    unsafe { *id = worker(|worker| worker.statistics.define(text(name, size))) };
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_increment_metric(id: u32, offset: i64) -> Status {
    called!("increment_metric");
    worker(|worker| worker.statistics.add(id, offset));
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_record_metric(id: u32, value: u64) -> Status {
    called!("record_metric");
    worker(|worker| worker.statistics.add(id, i64::try_from(value).unwrap()));
    Status::Ok
}

/// Imports that the SDK names and the filter does not use. Their arguments do not matter: a call ends the process.
macro_rules! unused {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> Status {
                panic!(concat!(stringify!($name), " is not modelled"))
            }
        )*
    };
}

unused! {
    proxy_add_header_map_value
    proxy_call_foreign_function
    proxy_continue_stream
    proxy_dequeue_shared_queue
    proxy_done
    proxy_enqueue_shared_queue
    proxy_get_log_level
    proxy_get_metric
    proxy_get_status
    proxy_grpc_call
    proxy_grpc_cancel
    proxy_grpc_close
    proxy_grpc_send
    proxy_grpc_stream
    proxy_register_shared_queue
    proxy_resolve_shared_queue
    proxy_set_header_map_pairs
}
