//! The whole filter, natively: every callback through the real SDK, against a model of Envoy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking; clippy.toml excuses only what stands in a test itself"
)]
// Nobody else can reach what a test has.
#![allow(unreachable_pub)]

// Links the module, whose exports the host calls by their names.
use realtime_byok_proxy_wasm as _;

mod access_log;
mod answers;
mod bodies;
mod budgets;
mod calls;
mod control;
mod conversations;
mod crossing;
mod fixture;
mod held;
mod host;
mod hostcalls;
mod invariants;
mod limits;
mod memory;
mod metrics;
mod models;
mod paths;
mod policies;
mod rest_usage;
mod sealed_calls;
mod secret_limits;
mod secrets;
mod sidebands;
mod slots;
mod upstream;
