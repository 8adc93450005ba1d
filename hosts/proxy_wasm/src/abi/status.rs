//! What hostcalls return.

use std::fmt;

/// The ABI's `proxy_status_t`, of which hosts may return values that no list has.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) struct Status(u32);

impl Status {
    /// There is nothing of that name.
    pub(crate) const NOT_FOUND: Self = Self(1);
    /// What was returned cannot be read.
    pub(crate) const PARSE_FAILURE: Self = Self(4);
    const OK: Self = Self(0);

    /// Whether the call succeeded.
    pub(crate) fn done(self) -> Result<(), Self> {
        if self == Self::OK { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
