//! realtime-byok: the provider's key stays in the proxy.

pub mod auth;
pub mod call;
pub mod config;
pub mod control;
pub mod denial;
pub mod glob;
mod host;
pub mod http;
pub mod inbound;
pub mod limits;
pub mod mint;
pub mod policy;
pub mod secret;
pub mod session;
pub mod usage;
pub mod ws;
