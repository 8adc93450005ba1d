//! What makes a connection impossible to follow.

use std::fmt;

use super::close_code::CloseCode;

/// Why following ended: the sender broke RFC 6455.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolError {
    /// A reserved bit is set, and no extension was negotiated that gives it a meaning.
    ReservedBits,
    /// An opcode that RFC 6455 reserves: 3 to 7, or 11 to 15.
    ReservedOpcode(u8),
    /// A frame from the client that is not masked.
    Unmasked,
    /// A frame from the server that is masked.
    Masked,
    /// A control frame without the FIN bit.
    FragmentedControl,
    /// A control frame with more than 125 bytes of payload.
    LongControl,
    /// A payload length written in more bytes than it needs.
    LengthNotMinimal,
    /// A payload length of 2^63 bytes or more.
    LengthOverflow,
    /// A continuation frame while no message is open.
    UnexpectedContinuation,
    /// A new message before the open one was finished.
    UnfinishedMessage,
    /// A Close payload of one byte: neither empty nor a code.
    TruncatedCloseCode,
    /// A Close code that must not be sent.
    InvalidCloseCode(u16),
    /// A Close reason that is not UTF-8.
    InvalidCloseReason,
    /// The window gave fewer bytes than it said it held. The sender is not to blame, but what
    /// comes after the gap cannot be told from payload.
    Unreadable,
}

impl ProtocolError {
    /// The code with which to close the connection (RFC 6455, section 7.4.1).
    #[must_use]
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidCloseReason => CloseCode::INVALID_PAYLOAD,
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::Unmasked
            | Self::Masked
            | Self::FragmentedControl
            | Self::LongControl
            | Self::LengthNotMinimal
            | Self::LengthOverflow
            | Self::UnexpectedContinuation
            | Self::UnfinishedMessage
            | Self::TruncatedCloseCode
            | Self::InvalidCloseCode(_)
            | Self::Unreadable => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("reserved bits set without an extension"),
            Self::ReservedOpcode(opcode) => write!(f, "reserved opcode {opcode:#x}"),
            Self::Unmasked => f.write_str("client frame is not masked"),
            Self::Masked => f.write_str("server frame is masked"),
            Self::FragmentedControl => f.write_str("control frame is fragmented"),
            Self::LongControl => f.write_str("control frame is longer than 125 bytes"),
            Self::LengthNotMinimal => f.write_str("payload length is not minimally encoded"),
            Self::LengthOverflow => f.write_str("payload length is 2^63 or more"),
            Self::UnexpectedContinuation => f.write_str("continuation of no message"),
            Self::UnfinishedMessage => f.write_str("new message before the last one ended"),
            Self::TruncatedCloseCode => f.write_str("close code is cut short"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} must not be sent"),
            Self::InvalidCloseReason => f.write_str("close reason is not UTF-8"),
            Self::Unreadable => f.write_str("bytes could not be read"),
        }
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::close::REASON_MAX;

    const ALL: [(ProtocolError, u16); 14] = [
        (ProtocolError::ReservedBits, 1002),
        (ProtocolError::ReservedOpcode(3), 1002),
        (ProtocolError::Unmasked, 1002),
        (ProtocolError::Masked, 1002),
        (ProtocolError::FragmentedControl, 1002),
        (ProtocolError::LongControl, 1002),
        (ProtocolError::LengthNotMinimal, 1002),
        (ProtocolError::LengthOverflow, 1002),
        (ProtocolError::UnexpectedContinuation, 1002),
        (ProtocolError::UnfinishedMessage, 1002),
        (ProtocolError::TruncatedCloseCode, 1002),
        (ProtocolError::InvalidCloseCode(1006), 1002),
        (ProtocolError::InvalidCloseReason, 1007),
        (ProtocolError::Unreadable, 1002),
    ];

    #[test]
    fn close_codes_tell_bad_text_from_the_rest() {
        for (error, code) in ALL {
            assert_eq!(error.close_code().value(), code, "{error}");
        }
    }

    #[test]
    fn each_violation_is_said_in_words_that_fit_a_close_frame() {
        let said = ALL.map(|(error, _)| error.to_string());
        for (index, words) in said.iter().enumerate() {
            assert!((10..=REASON_MAX).contains(&words.len()), "{words}");
            assert!(!said[..index].contains(words), "{words}");
        }
        assert_eq!(ProtocolError::InvalidCloseCode(1006).to_string(), "close code 1006 must not be sent");
    }
}
