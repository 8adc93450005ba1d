//! What may start, and what must end: limits of callers, counted by all workers of a process, and limits of sessions.
//!
//! - [`Store`]: what the workers share
//! - [`Presence`]: which workers are there, and which are gone
//! - [`Callers`]: what callers use, and whether they may start something
//! - [`SessionLimits`]: whether a session must end, and [`Ending`]: why, and what its client is told
//!
//! Nothing here waits for another worker: a change that others get in the way of is tried again a number of times, and
//! then refused or owed.

mod caller;
pub(crate) mod codec;
mod counters;
mod presence;
mod session;
mod share;
pub(crate) mod store;
mod window;

pub use caller::{CallerUsage, Callers};
pub use counters::{CallerLimit, CallerLimits, Exceeded};
pub use presence::{Presence, Worker};
pub use session::{Ending, Progress, SessionLimits};
pub use store::{Contended, Damage, Entry, Mismatch, Store};

/// The tokens that limits count.
fn tokens(usage: &crate::usage::Tally) -> u64 {
    usage.total_tokens.saturating_add(usage.transcription.tokens)
}
