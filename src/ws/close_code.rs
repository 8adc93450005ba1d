//! Close codes (RFC 6455, section 7.4).

use std::fmt;

/// A close code that may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999.
///
/// 1004, 1005, 1006 and 1015 have meanings that are never sent; the rest below 3000 is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000, the session did what it was for.
    pub const NORMAL: Self = Self(1000);
    /// 1002, the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1007, text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);

    /// The code `code`, or `None` if it must not be sent.
    ///
    /// ```
    /// use realtime_byok::ws::CloseCode;
    ///
    /// const BUDGET: CloseCode = CloseCode::new(4429).unwrap();
    /// assert_eq!(BUDGET.value(), 4429);
    /// assert_eq!(CloseCode::new(1006), None);
    /// ```
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
