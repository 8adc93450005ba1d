//! Control from the server side: sessions listed, found and stopped, wherever in the process they run.
//!
//! - [`Registry`]: the records of all sessions
//! - [`Request`]: what the control API is asked, and its [`Answer`]

mod api;
mod ended;
mod page;
mod registry;
mod stored;

#[cfg(test)]
mod simulation;

pub use api::{Answer, Process, Request};
pub use registry::{Filter, Registry, Slot, Ticked};
