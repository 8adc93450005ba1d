//! Rules on what may start and what must end: limits of callers and of sessions, and why a session ends.
//!
//! - [`CallerLimits`]: what a caller may use up, and [`Exceeded`]: which of it is used up, and when to try again
//! - [`SessionLimits`]: whether a session must end, and [`Ending`]: why, and what its client is told

mod caller;
mod ending;
mod session;

pub use caller::{CallerLimit, CallerLimits, Exceeded};
pub use ending::Ending;
pub use session::{Progress, SessionLimits};

/// The tokens that limits count.
fn tokens(usage: &crate::usage::Tally) -> u64 {
    usage.total_tokens.saturating_add(usage.transcription.tokens)
}
