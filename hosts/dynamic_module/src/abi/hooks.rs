//! What Envoy calls. Each hook gives values to safe code, and none lets a panic out: the stream that it was for is reset.

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, without_provenance};
use std::sync::Arc;

use realtime_byok::host::Level;
use realtime_byok::stream::Flow;

use super::bindings::{self, BodyStatus, EnvoyBuffer, EnvoyHeader, HeadersStatus};
use super::{Config, Filter, bytes, log};
use crate::filter;
use crate::plugins::{self, Plugin};

/// The ABI's versions, the newest first, each with a function that the one before it has not.
const VERSIONS: [(&CStr, &CStr); 2] = [
    (c"v0.2.0", c"envoy_dynamic_module_callback_http_has_filter_state"),
    (c"v0.1.0", c"envoy_dynamic_module_callback_http_filter_config_http_callout"),
];

/// The number by which Envoy knows a stream, in the place of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilterId {
    /// Its worker.
    pub(crate) worker: usize,
    /// Its place among the worker's streams.
    pub(crate) slot: usize,
    /// How often the place was taken before it.
    pub(crate) generation: usize,
}

impl FilterId {
    const WORKER_BITS: u32 = 12;
    const GENERATION_BITS: u32 = 20;

    /// More workers than these have no numbers.
    pub(crate) const MAX_WORKERS: usize = 1 << Self::WORKER_BITS;
    /// Generations are counted up to here, and then anew.
    pub(crate) const GENERATIONS: usize = 1 << Self::GENERATION_BITS;

    fn pointer(self) -> *const c_void {
        let place = ((self.slot + 1) << Self::GENERATION_BITS | self.generation) << Self::WORKER_BITS;
        without_provenance(place | self.worker)
    }

    fn of(pointer: *const c_void) -> Option<Self> {
        let number = pointer.addr();
        let slot = (number >> (Self::WORKER_BITS + Self::GENERATION_BITS)).checked_sub(1)?;
        let generation = number >> Self::WORKER_BITS & (Self::GENERATIONS - 1);
        Some(Self { worker: number & (Self::MAX_WORKERS - 1), slot, generation })
    }
}

/// Runs a hook; if it panics, `fallen` does what is left to do, and says what the hook returns.
fn caught<T>(hook: impl FnOnce() -> T, fallen: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(hook)).unwrap_or_else(|panic| {
        drop_quietly(panic);
        fallen()
    })
}

/// What a panic carries may panic when it is dropped.
fn drop_quietly(panic: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
}

/// Runs a hook of a stream. One of which nothing is known is reset, and so is one whose hook panics.
fn of_stream(envoy: *mut c_void, module: *const c_void, hook: impl FnOnce(FilterId, &Filter<'_>) -> Flow) -> Flow {
    // SAFETY: Envoy gives its object to each of the stream's hooks.
    let filter = unsafe { Filter::new(envoy) };
    let fallen = || {
        // What is over needs no reset.
        let _ = filter.reset();
        Flow::Over
    };
    let Some(id) = FilterId::of(module) else { return fallen() };
    caught(
        || hook(id, &filter),
        || {
            caught(|| filter::shut(id), || ());
            fallen()
        },
    )
}

fn headers_status(flow: Flow) -> HeadersStatus {
    match flow {
        Flow::Continue => HeadersStatus::Continue,
        Flow::Wait | Flow::Over => HeadersStatus::StopIteration,
    }
}

fn body_status(flow: Flow) -> BodyStatus {
    match flow {
        Flow::Continue => BodyStatus::Continue,
        Flow::Wait => BodyStatus::StopIterationAndBuffer,
        Flow::Over => BodyStatus::StopIterationNoBuffer,
    }
}

/// The module is loaded: which version of the ABI it is for, or null if it cannot run here.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    let version = || {
        std::panic::set_hook(Box::new(|panic| {
            // Not what it says: that may quote what a stranger has sent, or a secret.
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            log(Level::Error, &format!("realtime_byok: a fault of its own, at {place}; the stream is reset"));
        }));
        let resolved = bindings::resolve();
        let version = VERSIONS.iter().find(|(_, function)| bindings::has(function));
        match (resolved, version) {
            (Ok(()), Some((version, _))) => version.as_ptr(),
            (resolved, _) => {
                let missing = resolved.err().unwrap_or("http_filter_config_http_callout");
                bindings::log_at_least(&format!(
                    "realtime_byok: this Envoy has no `{missing}` for dynamic modules: take Envoy 1.40, or the WebAssembly module"
                ));
                null()
            }
        }
    };
    caught(version, null)
}

/// A configuration was loaded.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: *mut c_void,
    name: EnvoyBuffer,
    configuration: EnvoyBuffer,
) -> *const c_void {
    // SAFETY: Envoy's object and buffers live as long as the hook runs, which is the main thread's.
    let (config, name, configuration) = unsafe { (Config::new(envoy), bytes(&name), bytes(&configuration)) };
    let plugin = caught(|| plugins::configured(&config, name, configuration), || None);
    plugin.map_or(null(), |plugin| Arc::into_raw(plugin).cast())
}

/// A configuration is no more, and no stream of it is left.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(module: *const c_void) {
    if !module.is_null() {
        // SAFETY: it was made by `Arc::into_raw`, and Envoy gives it back once.
        let plugin = unsafe { Arc::from_raw(module.cast::<Plugin>()) };
        caught(move || plugins::done(plugin), || ());
    }
}

/// A stream begins. Without a number it is reset by its first hook.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(module: *const c_void, envoy: *mut c_void) -> *const c_void {
    // SAFETY: Envoy's object lives as long as the hook runs.
    let filter = unsafe { Filter::new(envoy) };
    // SAFETY: it was made by `Arc::into_raw`, and Envoy keeps a configuration as long as it has a stream.
    let plugin = unsafe { module.cast::<Plugin>().as_ref() };
    let id = plugin.and_then(|plugin| caught(|| filter::open(plugin, &filter), || None));
    id.map_or(null(), FilterId::pointer)
}

/// The request's headers came.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    envoy: *mut c_void,
    module: *const c_void,
    ends: bool,
) -> HeadersStatus {
    headers_status(of_stream(envoy, module, |id, filter| filter::request_headers(id, filter, ends)))
}

/// More of the request's body came.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    envoy: *mut c_void,
    module: *const c_void,
    ends: bool,
) -> BodyStatus {
    body_status(of_stream(envoy, module, |id, filter| filter::request_body(id, filter, ends)))
}

/// The request's trailers came.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    envoy: *mut c_void,
    module: *const c_void,
) -> HeadersStatus {
    headers_status(of_stream(envoy, module, filter::request_trailers))
}

/// The response's headers came.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    envoy: *mut c_void,
    module: *const c_void,
    ends: bool,
) -> HeadersStatus {
    headers_status(of_stream(envoy, module, |id, filter| filter::response_headers(id, filter, ends)))
}

/// More of the response's body came.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    envoy: *mut c_void,
    module: *const c_void,
    ends: bool,
) -> BodyStatus {
    body_status(of_stream(envoy, module, |id, filter| filter::response_body(id, filter, ends)))
}

/// The response's trailers came.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    envoy: *mut c_void,
    module: *const c_void,
) -> HeadersStatus {
    headers_status(of_stream(envoy, module, filter::response_trailers))
}

/// The stream is over, and about to be logged.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(envoy: *mut c_void, module: *const c_void) {
    // SAFETY: Envoy gives its object to each of the stream's hooks.
    let filter = unsafe { Filter::new(envoy) };
    if let Some(id) = FilterId::of(module) {
        caught(|| filter::complete(id, &filter), || ());
    }
}

/// The stream is gone.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(module: *const c_void) {
    if let Some(id) = FilterId::of(module) {
        caught(|| filter::close(id), || ());
    }
}

/// Something is to be done with a stream.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(envoy: *mut c_void, module: *const c_void, _: u64) {
    of_stream(envoy, module, filter::scheduled);
}

/// A second has passed.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(envoy: *mut c_void, module: *const c_void, _: u64) {
    // SAFETY: Envoy's object lives as long as the hook runs, which is the main thread's; the other was made by
    // `Arc::into_raw`, and Envoy has not given it back.
    let (config, plugin) = unsafe { (Config::new(envoy), module.cast::<Plugin>().as_ref()) };
    if let Some(plugin) = plugin {
        caught(|| plugins::tick(plugin, &config), || ());
    }
}

/// A request of the module's own was answered, or could not be.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
    envoy: *mut c_void,
    module: *const c_void,
    number: u64,
    result: u32,
    lines: *const EnvoyHeader,
    count: usize,
    _: *const EnvoyBuffer,
    _: usize,
) {
    let answered = || {
        let is_answered = result == bindings::SUCCESS && !lines.is_null();
        // SAFETY: so many lines of an answer live as long as the hook runs.
        let lines = if is_answered { unsafe { std::slice::from_raw_parts(lines, count) } } else { &[] };
        // SAFETY: as above.
        let is_status = |line: &&EnvoyHeader| unsafe { bytes(&line.name) } == b":status";
        // SAFETY: as above.
        let status = lines.iter().find(is_status).map(|line| unsafe { bytes(&line.value) });
        // SAFETY: Envoy's object lives as long as the hook runs, which is the main thread's; the other was made by
        // `Arc::into_raw`, and Envoy has not given it back.
        let (config, plugin) = unsafe { (Config::new(envoy), module.cast::<Plugin>().as_ref()) };
        if let Some(plugin) = plugin {
            plugins::callout_answered(plugin, number, status, &config);
        }
    };
    caught(answered, || ());
}

/// Hooks that must be there, of what this module never begins: requests of a stream's own, and its watermarks.
macro_rules! unused {
    ($($name:ident($($type:ty),*);)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name($(_: $type),*) {}
        )*
    };
}

unused! {
    envoy_dynamic_module_on_http_filter_http_callout_done(
        *mut c_void, *const c_void, u64, u32, *const EnvoyHeader, usize, *const EnvoyBuffer, usize
    );
    envoy_dynamic_module_on_http_filter_http_stream_headers(
        *mut c_void, *const c_void, u64, *const EnvoyHeader, usize, bool
    );
    envoy_dynamic_module_on_http_filter_http_stream_data(
        *mut c_void, *const c_void, u64, *const EnvoyBuffer, usize, bool
    );
    envoy_dynamic_module_on_http_filter_http_stream_trailers(
        *mut c_void, *const c_void, u64, *const EnvoyHeader, usize
    );
    envoy_dynamic_module_on_http_filter_http_stream_complete(*mut c_void, *const c_void, u64);
    envoy_dynamic_module_on_http_filter_http_stream_reset(*mut c_void, *const c_void, u64, u32);
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(*mut c_void, *const c_void);
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(*mut c_void, *const c_void);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_number_is_no_address_and_says_where_it_is() {
        for (worker, slot, generation) in
            [(0, 0, 0), (3, 70_000, 5), (FilterId::MAX_WORKERS - 1, 0, FilterId::GENERATIONS - 1)]
        {
            let id = FilterId { worker, slot, generation };
            assert!(!id.pointer().is_null());
            assert_eq!(FilterId::of(id.pointer()), Some(id));
        }
        assert_eq!(FilterId::of(null()), None);
    }

    #[test]
    fn no_panic_leaves_a_hook() {
        struct PanicsAgain;
        impl Drop for PanicsAgain {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(caught(|| panic!("once"), || 1), 1);
        assert_eq!(caught(|| std::panic::panic_any(PanicsAgain), || 1), 1);
    }

    #[test]
    fn without_an_envoy_nothing_can_be_done() {
        assert_eq!(bindings::resolve(), Err("log"));
        assert!(envoy_dynamic_module_on_program_init().is_null());
    }
}
