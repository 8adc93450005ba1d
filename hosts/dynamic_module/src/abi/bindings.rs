//! What is used of `source/extensions/dynamic_modules/abi/abi.h` of Envoy 1.39 and 1.40: types, and functions with what each
//! is for. Each is looked up when the module is loaded, so that an Envoy which lacks one is refused, and not crashed.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;
use std::sync::OnceLock;

/// Envoy's object for one stream.
pub(super) type FilterPtr = *mut c_void;
/// Envoy's object for one configuration.
pub(super) type ConfigPtr = *mut c_void;
/// Envoy's object that calls a hook from another thread; the module deletes it.
pub(super) type SchedulerPtr = *mut c_void;

/// Bytes of the module's, which Envoy copies before it returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ModuleBuffer {
    pub(super) bytes: *const u8,
    pub(super) length: usize,
}

/// Bytes of Envoy's, good until the hook returns or what they are part of is changed.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct EnvoyBuffer {
    pub(super) bytes: *const u8,
    pub(super) length: usize,
}

/// A header line of the module's.
#[repr(C)]
pub(super) struct ModuleHeader {
    pub(super) name: ModuleBuffer,
    pub(super) value: ModuleBuffer,
}

/// A header line of Envoy's.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct EnvoyHeader {
    pub(super) name: EnvoyBuffer,
    pub(super) value: EnvoyBuffer,
}

/// Names of the ABI's numbers, each as the header counts them.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[repr(u32)]
            #[allow(clippy::enum_variant_names, reason = "the names are the header's")]
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub(super) enum $name { $($variant = $number),* }
        )*

        /// All of them, as the list of the ABI's facts has them.
        #[cfg(test)]
        pub(super) const NUMBERS: &[(&str, &str, u32)] = &[$($((stringify!($name), stringify!($variant), $number)),*),*];
    };
}

numbers! {
    /// `log_level`.
    LogLevel { Debug = 1, Warn = 3, Error = 4 }
    /// `http_header_type`.
    HeaderType { RequestHeader = 0, RequestTrailer = 1, ResponseHeader = 2, ResponseTrailer = 3 }
    /// `http_body_type`.
    BodyType { ReceivedRequestBody = 0, BufferedRequestBody = 1, ReceivedResponseBody = 2, BufferedResponseBody = 3 }
    /// `on_http_filter_request_headers_status`, and the same of the response's and of trailers.
    HeadersStatus { Continue = 0, StopIteration = 1 }
    /// `on_http_filter_request_body_status`, and the same of the response's.
    BodyStatus { Continue = 0, StopIterationAndBuffer = 1, StopIterationNoBuffer = 3 }
    /// `metadata_source`.
    MetadataSource { Dynamic = 0, Route = 1 }
    /// `attribute_id`.
    AttributeId {
        RequestPath = 0, RequestHost = 2, RequestProtocol = 10, ResponseCodeDetails = 16, DestinationPort = 27,
        ConnectionRequestedServerName = 30, ConnectionSubjectPeerCertificate = 33, ConnectionDnsSanPeerCertificate = 35,
        ConnectionUriSanPeerCertificate = 37, ConnectionSha256PeerCertificateDigest = 38, XdsRouteName = 61,
    }
    /// `http_filter_stream_reset_reason`.
    ResetReason { LocalReset = 0 }
}

/// `metrics_result`, `http_callout_init_result` and `http_callout_result`: success.
pub(super) const SUCCESS: u32 = 0;

/// What a function returns of which there is no more than its name.
trait Absent {
    const ABSENT: Self;
}

impl Absent for () {
    const ABSENT: Self = ();
}

impl Absent for bool {
    const ABSENT: Self = false;
}

impl Absent for usize {
    const ABSENT: Self = 0;
}

impl Absent for u32 {
    const ABSENT: Self = Self::MAX;
}

impl Absent for *mut c_void {
    const ABSENT: Self = null_mut();
}

unsafe extern "C" {
    /// The C library's: where a symbol of any loaded library stands; null if there is none.
    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
}

/// Whether the process has this symbol.
pub(super) fn has(symbol: &CStr) -> bool {
    // SAFETY: null is RTLD_DEFAULT, and the name ends with NUL.
    !unsafe { dlsym(null_mut(), symbol.as_ptr()) }.is_null()
}

/// Logs an error where not all functions could be looked up.
pub(super) fn log_at_least(message: &str) {
    // SAFETY: null is RTLD_DEFAULT, and the name ends with NUL.
    let function = unsafe { dlsym(null_mut(), c"envoy_dynamic_module_callback_log".as_ptr()) };
    if !function.is_null() {
        // SAFETY: the function of this name has this type in every version that has it.
        let log: unsafe extern "C" fn(LogLevel, ModuleBuffer) = unsafe { std::mem::transmute(function) };
        // SAFETY: the buffer is a live slice's.
        unsafe { log(LogLevel::Error, ModuleBuffer { bytes: message.as_ptr(), length: message.len() }) }
    }
}

/// Declares functions of the ABI: here's name, the header's without `envoy_dynamic_module_callback_`, and its type.
macro_rules! callbacks {
    ($($(#[$doc:meta])* $name:ident: $symbol:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        /// Where Envoy's functions stand.
        struct Callbacks { $($name: unsafe extern "C" fn($($type),*) $(-> $result)?),* }

        static CALLBACKS: OnceLock<Callbacks> = OnceLock::new();

        /// Looks all functions up.
        ///
        /// # Errors
        ///
        /// The name of one that this Envoy does not have.
        pub(super) fn resolve() -> Result<(), &'static str> {
            let callbacks = Callbacks {
                $($name: {
                    const SYMBOL: &str = concat!("envoy_dynamic_module_callback_", stringify!($symbol), "\0");
                    // SAFETY: null is RTLD_DEFAULT, and the name ends with NUL.
                    let function = unsafe { dlsym(null_mut(), SYMBOL.as_ptr().cast()) };
                    if function.is_null() {
                        return Err(stringify!($symbol));
                    }
                    // SAFETY: the function of this name has this type in each of the versions that the list of facts names.
                    unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($type),*) $(-> $result)?>(function) }
                }),*
            };
            // The module may be loaded again once all of its configurations are gone: the same Envoy has the same functions.
            let _ = CALLBACKS.set(callbacks);
            Ok(())
        }

        $(
            $(#[$doc])*
            #[inline]
            #[allow(clippy::too_many_arguments, reason = "they are the header's")]
            pub(super) unsafe fn $name($($argument: $type),*) $(-> $result)? {
                match CALLBACKS.get() {
                    // SAFETY: the caller holds to the function's contract.
                    Some(callbacks) => unsafe { (callbacks.$name)($($argument),*) },
                    None => Absent::ABSENT,
                }
            }
        )*

        /// All of them: the header's name, and the type.
        #[cfg(test)]
        pub(super) const SIGNATURES: &[(&str, &str)] = &[
            $((stringify!($symbol), stringify!(($($type),*) $(-> $result)?))),*
        ];
    };
}

callbacks! {
    /// Writes a line to Envoy's log. Any thread may.
    log: log(level: LogLevel, message: ModuleBuffer);

    /// How many workers there will be. The main thread's.
    concurrency: get_concurrency() -> u32;

    /// Makes a counter while a configuration is created; its number goes to the last argument. Not 0: it could not.
    define_counter: http_filter_config_define_counter(
        config: ConfigPtr, name: ModuleBuffer, labels: *mut ModuleBuffer, count: usize, number: *mut usize,
    ) -> u32;

    /// The same for a gauge.
    define_gauge: http_filter_config_define_gauge(
        config: ConfigPtr, name: ModuleBuffer, labels: *mut ModuleBuffer, count: usize, number: *mut usize,
    ) -> u32;

    /// The same for a histogram.
    define_histogram: http_filter_config_define_histogram(
        config: ConfigPtr, name: ModuleBuffer, labels: *mut ModuleBuffer, count: usize, number: *mut usize,
    ) -> u32;

    /// Adds to a counter, with as many values as it has labels. Not 0: it could not.
    increment_counter: http_filter_config_increment_counter(
        config: ConfigPtr, number: usize, values: *mut ModuleBuffer, count: usize, amount: u64,
    ) -> u32;

    /// Adds to a gauge.
    increment_gauge: http_filter_config_increment_gauge(
        config: ConfigPtr, number: usize, values: *mut ModuleBuffer, count: usize, amount: u64,
    ) -> u32;

    /// Takes from a gauge.
    decrement_gauge: http_filter_config_decrement_gauge(
        config: ConfigPtr, number: usize, values: *mut ModuleBuffer, count: usize, amount: u64,
    ) -> u32;

    /// Gives a histogram a value.
    record_histogram_value: http_filter_config_record_histogram_value(
        config: ConfigPtr, number: usize, values: *mut ModuleBuffer, count: usize, value: u64,
    ) -> u32;

    /// How many lines a map has; 0 without that map.
    headers_size: http_get_headers_size(filter: FilterPtr, map: HeaderType) -> usize;

    /// Writes that many lines. False without that map.
    headers: http_get_headers(filter: FilterPtr, map: HeaderType, lines: *mut EnvoyHeader) -> bool;

    /// Puts one line in the place of all of its name, or removes them where the value is empty. False without that map.
    set_header: http_set_header(filter: FilterPtr, map: HeaderType, name: ModuleBuffer, value: ModuleBuffer) -> bool;

    /// Answers the stream. It may be over, and its last hooks called, before this returns.
    send_response: http_send_response(
        filter: FilterPtr, status: u32, lines: *mut ModuleHeader, count: usize, body: ModuleBuffer, details: ModuleBuffer,
    );

    /// Resets the stream. It may be over, and its last hooks called, before this returns.
    reset_stream: http_filter_reset_stream(filter: FilterPtr, reason: ResetReason, details: ModuleBuffer);

    /// How many pieces a body lies in; 0 without a body. What is received is there in hooks of bodies alone.
    body_chunks_size: http_get_body_chunks_size(filter: FilterPtr, body: BodyType) -> usize;

    /// Writes that many pieces. False without a body.
    body_chunks: http_get_body_chunks(filter: FilterPtr, body: BodyType, chunks: *mut EnvoyBuffer) -> bool;

    /// Removes bytes from a body's beginning. False without a body.
    drain_body: http_drain_body(filter: FilterPtr, body: BodyType, length: usize) -> bool;

    /// Adds bytes to a body's end. False without a body.
    append_body: http_append_body(filter: FilterPtr, body: BodyType, bytes: ModuleBuffer) -> bool;

    /// A text in metadata. False if there is none at this key, or no text.
    metadata_string: http_get_metadata_string(
        filter: FilterPtr, source: MetadataSource, namespace: ModuleBuffer, key: ModuleBuffer, value: *mut EnvoyBuffer,
    ) -> bool;

    /// How many keys a namespace of metadata has.
    metadata_keys_count: http_get_metadata_keys_count(
        filter: FilterPtr, source: MetadataSource, namespace: ModuleBuffer,
    ) -> usize;

    /// Writes that many keys. False without that namespace.
    metadata_keys: http_get_metadata_keys(
        filter: FilterPtr, source: MetadataSource, namespace: ModuleBuffer, keys: *mut EnvoyBuffer,
    ) -> bool;

    /// Sets a value that access logs show. False if there is one that is not to be changed.
    set_filter_state: http_set_filter_state_bytes(filter: FilterPtr, key: ModuleBuffer, value: ModuleBuffer) -> bool;

    /// Has the route chosen again when it is next asked for.
    clear_route_cache: http_clear_route_cache(filter: FilterPtr);

    /// An attribute that is a text. False if there is none.
    attribute_string: http_filter_get_attribute_string(
        filter: FilterPtr, attribute: AttributeId, value: *mut EnvoyBuffer,
    ) -> bool;

    /// An attribute that is a number. False if there is none.
    attribute_int: http_filter_get_attribute_int(filter: FilterPtr, attribute: AttributeId, value: *mut u64) -> bool;

    /// The name of the cluster that the route goes to. False if there is none.
    cluster_name: http_get_cluster_name(filter: FilterPtr, value: *mut EnvoyBuffer) -> bool;

    /// The number of the stream's worker.
    worker_index: http_filter_get_worker_index(filter: FilterPtr) -> u32;

    /// What calls `on_http_filter_scheduled` on the stream's thread.
    scheduler_new: http_filter_scheduler_new(filter: FilterPtr) -> SchedulerPtr;

    /// Has it called. Any thread may, until the scheduler is deleted; nothing happens once the stream is over.
    scheduler_commit: http_filter_scheduler_commit(scheduler: SchedulerPtr, event: u64);

    /// Deletes it. Any thread may.
    scheduler_delete: http_filter_scheduler_delete(scheduler: SchedulerPtr);

    /// What calls `on_http_filter_config_scheduled` on the main thread.
    config_scheduler_new: http_filter_config_scheduler_new(config: ConfigPtr) -> SchedulerPtr;

    /// Has it called. Any thread may, until the scheduler is deleted.
    config_scheduler_commit: http_filter_config_scheduler_commit(scheduler: SchedulerPtr, event: u64);

    /// Deletes it. Any thread may.
    config_scheduler_delete: http_filter_config_scheduler_delete(scheduler: SchedulerPtr);

    /// Sends a request from the main thread. Not 0: it could not. The answer comes in
    /// `on_http_filter_config_http_callout_done` under the number that goes to the second argument.
    http_callout: http_filter_config_http_callout(
        config: ConfigPtr, number: *mut u64, cluster: ModuleBuffer, lines: *mut ModuleHeader, count: usize, body: ModuleBuffer,
        timeout_milliseconds: u64,
    ) -> u32;
}
