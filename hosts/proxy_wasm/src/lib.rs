//! The one place that knows Envoy exists: callbacks in, hostcalls out, and no decision.

mod abi;
mod calls;
mod holds;
mod metrics;
mod root;
mod stream;
mod worker;

mod start {
    //! What Envoy calls first.

    use proxy_wasm::traits::RootContext;
    use proxy_wasm::types::LogLevel;

    use super::root::Root;

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Debug);
        proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::new()) });
    }}
}
