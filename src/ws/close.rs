//! Close frames (RFC 6455, section 5.5.1).

use super::close_code::CloseCode;
use super::encode::encode_frame;
use super::error::ProtocolError;
use super::frame::{CONTROL_MAX, OpCode};

/// The longest reason: a control frame's payload less the code.
pub const REASON_MAX: usize = CONTROL_MAX - 2;

/// What a Close frame says when it says something: a code and a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame {
    code: CloseCode,
    /// At most [`REASON_MAX`] bytes.
    reason: String,
}

impl CloseFrame {
    /// A close with `reason` cut, at a character's boundary, to the 123 bytes that fit.
    #[must_use]
    pub fn new(code: CloseCode, reason: &str) -> Self {
        let (reason, _) = reason.split_at(reason.floor_char_boundary(REASON_MAX));
        Self { code, reason: reason.to_owned() }
    }

    /// Reads a Close frame's unmasked payload. `None` is an empty one, which has no code.
    ///
    /// # Errors
    ///
    /// A single byte, a code that must not be sent, or a reason that is not UTF-8.
    pub fn parse(payload: &[u8]) -> Result<Option<Self>, ProtocolError> {
        if payload.is_empty() {
            return Ok(None);
        }
        let Some((code, reason)) = payload.split_first_chunk() else {
            return Err(ProtocolError::TruncatedCloseCode);
        };
        let code = u16::from_be_bytes(*code);
        let code = CloseCode::new(code).ok_or(ProtocolError::InvalidCloseCode(code))?;
        let reason = str::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
        Ok(Some(Self::new(code, reason)))
    }

    /// The whole frame: masked with `mask` when it is to look as if the client sent it, unmasked
    /// as if the server did.
    #[must_use]
    pub fn encode(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut payload = Vec::with_capacity(CONTROL_MAX);
        payload.extend_from_slice(&self.code.value().to_be_bytes());
        payload.extend_from_slice(self.reason.as_bytes());
        encode_frame(OpCode::Close, mask, payload)
    }

    /// Why the connection is closed, for programs.
    #[must_use]
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// Why the connection is closed, for people. May be empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::text_frame;
    use super::*;

    fn code(code: u16) -> CloseCode {
        CloseCode::new(code).unwrap()
    }

    #[test]
    fn only_codes_that_may_be_sent_are_codes() {
        let sendable = (0..=u16::MAX).filter(|code| CloseCode::new(*code).is_some()).collect::<Vec<_>>();
        let expected = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect::<Vec<_>>();
        assert_eq!(sendable, expected);
        assert_eq!(code(4429).to_string(), "4429");
    }

    #[test]
    fn payloads_parse_to_what_they_say() {
        let cases: [(&[u8], _); 10] = [
            (b"", Ok(None)),
            (b"\x03", Err(ProtocolError::TruncatedCloseCode)),
            (b"\x03\xe8", Ok(Some(CloseFrame::new(code(1000), "")))),
            (b"\x11\x5dover", Ok(Some(CloseFrame::new(code(4445), "over")))),
            (b"\0\0", Err(ProtocolError::InvalidCloseCode(0))),
            (b"\x03\xed", Err(ProtocolError::InvalidCloseCode(1005))),
            (b"\x03\xf7", Err(ProtocolError::InvalidCloseCode(1015))),
            (b"\x13\x88", Err(ProtocolError::InvalidCloseCode(5000))),
            (b"\x03\xe8\xff", Err(ProtocolError::InvalidCloseReason)),
            (b"\x03\xe8\xc3", Err(ProtocolError::InvalidCloseReason)),
        ];
        for (payload, expected) in cases {
            assert_eq!(CloseFrame::parse(payload), expected, "{payload:x?}");
        }
    }

    #[test]
    fn a_server_close_is_bare_and_a_client_close_is_masked() {
        let close = CloseFrame::new(code(4429), "spent");
        assert_eq!(close.encode(None), b"\x88\x07\x11\x4dspent");
        assert_eq!(close.encode(Some([0xff, 0, 0xff, 0])), b"\x88\x87\xff\0\xff\0\xee\x4d\x8cp\x9an\x8b");
    }

    #[test]
    fn a_long_reason_is_cut_before_the_character_that_does_not_fit() {
        let cases = [
            ("a".repeat(123), 123),
            ("a".repeat(124), 123),
            (format!("{}é", "a".repeat(122)), 122),
            (format!("{}😀tail", "a".repeat(121)), 121),
            ("é".repeat(100), 122),
        ];
        for (reason, kept) in cases {
            let close = CloseFrame::new(CloseCode::NORMAL, &reason);
            assert_eq!(close.reason(), &reason[..kept]);
            assert_eq!(close.encode(None).len(), 4 + kept);
        }
    }

    #[test]
    fn a_text_frame_is_one_whole_unmasked_message() {
        assert_eq!(text_frame("hi"), b"\x81\x02hi");
        let long = text_frame(&"x".repeat(300));
        assert!(long.starts_with(b"\x81\x7e\x01\x2cx"));
        assert_eq!(long.len(), 304);
    }
}
