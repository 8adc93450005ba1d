//! The documentation: what is generated is current, what is shown works, what is named exists.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking; clippy.toml excuses only what stands in a test itself"
)]
// Nobody else can reach what a test has.
#![allow(unreachable_pub)]

mod errors;
mod examples;
mod force;
mod generated;
mod markdown;
mod names;
mod reference;
mod repository;
mod schema;
mod texts;
mod words;
