//! realtime-byok: the provider's key stays in the proxy.

pub mod ws;
