//! The filter as a Proxy-Wasm module: callbacks in, hostcalls out, and no decision.

mod abi;
mod hostcalls;
mod root_context;
mod statistics;
mod stream_context;
mod vm;

mod start {
    //! What Envoy calls first.

    use proxy_wasm::traits::RootContext;
    use proxy_wasm::types::LogLevel;

    use super::root_context::PluginContext;

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Debug);
        proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(PluginContext::default()) });
    }}
}
