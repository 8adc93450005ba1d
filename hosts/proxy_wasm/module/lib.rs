//! The module that Envoy loads, under the name that it ships by: all that it exports is the Proxy-Wasm host's.

extern crate realtime_byok_proxy_wasm as _;
