//! Control from the server side: sessions listed, found and stopped, wherever in the process they run.
//!
//! - [`Process`]: the sessions of all workers, as one worker has to do with them, and [`Seat`]: one of them
//! - [`Request`]: what the control API is asked
//! - [`Registry`]: the records of all sessions
//!
//! A worker that dies leaves nothing behind for long: what it ran is shown as closed, and stands in nobody's way.

mod api;
mod ended;
mod own_page;
mod page;
mod process;
mod registry;
pub(crate) mod stored;

#[cfg(test)]
mod simulation;

pub use api::Request;
pub use process::{Process, Seat};
pub use registry::{CallMark, CallName, Filter, Registry, Slot, Ticked};
