//! What a session is of a call.

use super::shared_calls::{CallKey, Role};

/// A session that is a call, or has joined one.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallPart {
    pub(super) key: CallKey,
    pub(super) kind: PartKind,
}

/// What it is of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    Call,
    /// A WebSocket that has joined it, and whether it is followed.
    Joined(Role, bool),
}
