//! The plugin on one worker: its configuration, its clock, and the answers to requests of the filter's own.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, MapType};
use realtime_byok::config::Configuration;
use realtime_byok::host::CalloutId;
use realtime_byok::worker::TICK;

use super::abi;
use super::hostcalls::EnvoyWorker;
use super::stream_context::StreamContext;
use super::vm::{run_commands, try_worker, worker};

/// The plugin's root context.
#[derive(Default)]
pub(crate) struct PluginContext {
    configuration: Option<Configuration>,
}

impl Context for PluginContext {
    fn on_http_call_response(&mut self, token: u32, _: usize, _: usize, _: usize) {
        let status = abi::header_map_value(MapType::HttpCallResponseHeaders, ":status").unwrap_or_default();
        worker(|worker| worker.callout_answered(CalloutId(token), status.as_deref(), &EnvoyWorker));
        run_commands();
    }
}

/// It ends. Envoy tells that by `proxy_on_done` as well, which it would call for every stream, too.
impl Drop for PluginContext {
    fn drop(&mut self) {
        try_worker(|worker| worker.plugin_done(self.configuration.as_ref()));
        run_commands();
    }
}

impl RootContext for PluginContext {
    fn on_configure(&mut self, _: usize) -> bool {
        let bytes = abi::buffer(BufferType::PluginConfiguration, 0, usize::MAX).unwrap_or_default();
        let name = abi::plugin_name();
        let variable = |name: &str| std::env::var(name).ok();
        let configuration = worker(|worker| worker.configure(&name, &bytes, &variable, &EnvoyWorker));
        run_commands();
        // Without ticks no limit of time would hold.
        let is_configured = configuration.is_some() && abi::set_tick_period(TICK).is_ok();
        if is_configured {
            self.configuration = configuration;
        }
        is_configured
    }

    fn on_tick(&mut self) {
        worker(|worker| worker.tick(&mut EnvoyWorker));
        run_commands();
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(StreamContext::new(context, self.configuration.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
