//! The functions that a Proxy-Wasm module exports, ABI 0.2.1.
#![allow(unsafe_code)]

/// `proxy_action_t`: go on, or wait.
pub type Action = u32;
/// Go on.
pub const CONTINUE: Action = 0;

unsafe extern "C" {
    #[link_name = "_initialize"]
    pub safe fn initialize();
    #[link_name = "proxy_on_context_create"]
    pub safe fn create(context: u32, root: u32);
    #[link_name = "proxy_on_vm_start"]
    pub safe fn vm_start(context: u32, size: usize) -> bool;
    #[link_name = "proxy_on_configure"]
    pub safe fn configure(context: u32, size: usize) -> bool;
    #[link_name = "proxy_on_tick"]
    pub safe fn tick(context: u32);
    #[link_name = "proxy_on_queue_ready"]
    pub safe fn queue_ready(context: u32, queue: u32);
    #[link_name = "proxy_on_http_call_response"]
    pub safe fn http_call_response(context: u32, token: u32, headers: usize, body: usize, trailers: usize);
    #[link_name = "proxy_on_request_headers"]
    pub safe fn request_headers(context: u32, count: usize, ends: bool) -> Action;
    #[link_name = "proxy_on_request_body"]
    pub safe fn request_body(context: u32, size: usize, ends: bool) -> Action;
    #[link_name = "proxy_on_request_trailers"]
    pub safe fn request_trailers(context: u32, count: usize) -> Action;
    #[link_name = "proxy_on_response_headers"]
    pub safe fn response_headers(context: u32, count: usize, ends: bool) -> Action;
    #[link_name = "proxy_on_response_body"]
    pub safe fn response_body(context: u32, size: usize, ends: bool) -> Action;
    #[link_name = "proxy_on_response_trailers"]
    pub safe fn response_trailers(context: u32, count: usize) -> Action;
    #[link_name = "proxy_on_log"]
    pub safe fn log(context: u32);
    #[link_name = "proxy_on_delete"]
    safe fn delete(context: u32);
}

/// A context ends.
pub fn close(context: u32) {
    log(context);
    delete(context);
}
