//! The one place that knows Envoy exists: callbacks in, hostcalls out, and no decision.

mod abi;
mod calls;
mod holds;
mod metrics;
mod root;
mod stream;
mod worker;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

use root::Root;

/// Every hostcall that returns data allocates, and wasi-libc's allocator takes longer. Of memory that is free, this one
/// joins what lies side by side: what short messages took must serve long ones.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Debug);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::new()) });
}}
