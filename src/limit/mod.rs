//! Rules on what may start and what must end: limits of callers and of sessions, and why a session ends.
//!
//! - [`CallerLimits`]: what a caller may use up, and [`Exceeded`]: which of it is used up, and when to try again
//! - [`SessionLimits`]: what a policy lets a session use up
//! - [`SharedLimits`]: what all sessions of a client secret may use up together, and [`Drawn`]: how much they have
//! - [`SessionBounds`]: what a session may use up by itself, and whether it must end; [`Ending`]: why, and what its client is told
//! - [`Limit`]: each of them by its name

mod budget;
mod caller;
mod ending;
mod session;
mod shared;

pub use crate::usage::Limit;
pub use caller::{CallerLimits, Exceeded};
pub use ending::Ending;
pub use session::{Progress, SessionBounds, SessionLimits};
pub use shared::{Drawn, SharedLimits};

/// The tokens that limits count.
pub(crate) fn tokens(usage: &crate::usage::Tally) -> u64 {
    usage.total_tokens.saturating_add(usage.transcription.tokens)
}
