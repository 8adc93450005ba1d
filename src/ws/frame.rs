//! Frame headers, RFC 6455 section 5.2.

use super::error::ProtocolError;

/// The longest header: two bytes, a 64-bit length, a masking key.
pub const HEADER_MAX: usize = 14;

/// The longest payload of a control frame.
pub const CONTROL_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASK: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// Which peer sends the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// Frames from the client: every one is masked.
    Client,
    /// Frames from the server: none is masked.
    Server,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// More of the message that is open.
    Continuation = 0x0,
    /// The first frame of a text message.
    Text = 0x1,
    /// The first frame of a binary message.
    Binary = 0x2,
    /// The last frame of its direction.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping, or comes unasked.
    Pong = 0xa,
}

impl OpCode {
    /// Whether frames of this kind may stand between the fragments of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl OpCode {
    /// Whether a frame that begins with this byte is part of a message, if its bits can stand there at all.
    pub(super) fn is_data(first: u8) -> bool {
        Self::try_from(first & OPCODE).is_ok_and(|opcode| !opcode.is_control())
    }
}

impl TryFrom<u8> for OpCode {
    type Error = ProtocolError;

    fn try_from(opcode: u8) -> Result<Self, ProtocolError> {
        match opcode {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xa => Ok(Self::Pong),
            reserved => Err(ProtocolError::ReservedOpcode(reserved)),
        }
    }
}

/// A frame's header, checked. It has no reserved bits: a frame that sets one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this frame ends its message. Always set on control frames.
    pub fin: bool,
    /// What the frame is.
    pub opcode: OpCode,
    /// The masking key: present on each frame from the client, on none from the server.
    pub mask: Option<[u8; 4]>,
    /// Payload length in bytes: below 2^63, at most 125 on control frames.
    pub length: u64,
}

impl FrameHeader {
    /// Reads the header that `bytes` begin with, sent by `sender`.
    ///
    /// Returns the header and its own size, 2 to 14 bytes; or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// The first violation in the order of the bytes, as soon as the byte that shows it is there.
    pub fn parse(bytes: &[u8], sender: Sender) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let (fin, opcode) = parse_first(first)?;
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let masked = second & MASK != 0;
        match (sender, masked) {
            (Sender::Client, false) => return Err(ProtocolError::Unmasked),
            (Sender::Server, true) => return Err(ProtocolError::Masked),
            (Sender::Client, true) | (Sender::Server, false) => {}
        }
        let short = second & LENGTH;
        if opcode.is_control() && short >= LENGTH_16 {
            return Err(ProtocolError::LongControl);
        }
        let Some((length, rest)) = parse_length(short, rest)? else {
            return Ok(None);
        };
        let Some((mask, rest)) = parse_mask(masked, rest) else {
            return Ok(None);
        };
        let header = Self { fin, opcode, mask, length };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// Appends the header's bytes to `out`, the length in its shortest form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let fin = if self.fin { FIN } else { 0 };
        let masked = if self.mask.is_some() { MASK } else { 0 };
        out.push(fin | self.opcode as u8);
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(short), _) if short < LENGTH_16 => out.push(masked | short),
            (_, Ok(length)) => {
                out.push(masked | LENGTH_16);
                out.extend_from_slice(&length.to_be_bytes());
            }
            (_, Err(_)) => {
                out.push(masked | LENGTH_64);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        out.extend(self.mask.iter().flatten());
    }
}

fn parse_first(byte: u8) -> Result<(bool, OpCode), ProtocolError> {
    // "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values"
    // (RFC 6455, section 5.2). None is: the handshake's `sec-websocket-extensions` was removed.
    if byte & RESERVED != 0 {
        return Err(ProtocolError::ReservedBits);
    }
    let fin = byte & FIN != 0;
    let opcode = OpCode::try_from(byte & OPCODE)?;
    if opcode.is_control() && !fin {
        return Err(ProtocolError::FragmentedControl);
    }
    Ok((fin, opcode))
}

fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    match short {
        LENGTH_16 => {
            let Some((length, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let length = u16::from_be_bytes(*length);
            if length < u16::from(LENGTH_16) {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((u64::from(length), rest)))
        }
        LENGTH_64 => {
            let Some((length, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let length = u64::from_be_bytes(*length);
            if length >> 63 != 0 {
                return Err(ProtocolError::LengthOverflow);
            }
            if length <= u64::from(u16::MAX) {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((length, rest)))
        }
        short => Ok(Some((u64::from(short), rest))),
    }
}

/// `Some(None)` is a frame without a key, `None` a key that is not all there.
fn parse_mask(masked: bool, rest: &[u8]) -> Option<(Option<[u8; 4]>, &[u8])> {
    if !masked {
        return Some((None, rest));
    }
    let (key, rest) = rest.split_first_chunk()?;
    Some((Some(*key), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];

    #[test]
    fn headers_encode_as_in_the_rfc_and_parse_back_once_whole() {
        let data = |opcode, mask, length| FrameHeader { fin: true, opcode, mask, length };
        let cases: &[(FrameHeader, &[u8])] = &[
            (data(OpCode::Text, None, 0), &[0x81, 0]),
            (data(OpCode::Text, None, 125), &[0x81, 125]),
            (data(OpCode::Binary, None, 126), &[0x82, 126, 0, 126]),
            (data(OpCode::Text, None, 255), &[0x81, 126, 0, 255]),
            (data(OpCode::Text, None, 65_535), &[0x81, 126, 255, 255]),
            (data(OpCode::Text, None, 65_536), &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (
                data(OpCode::Text, Some(KEY), (1 << 63) - 1),
                &[0x81, 255, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4],
            ),
            (data(OpCode::Ping, Some(KEY), 5), &[0x89, 133, 1, 2, 3, 4]),
            (data(OpCode::Pong, None, 125), &[0x8a, 125]),
            (data(OpCode::Close, None, 2), &[0x88, 2]),
            (FrameHeader { fin: false, ..data(OpCode::Continuation, None, 7) }, &[0x00, 7]),
        ];
        for (header, bytes) in cases {
            let sender = match header.mask {
                Some(_) => Sender::Client,
                None => Sender::Server,
            };
            let mut encoded = Vec::new();
            header.encode(&mut encoded);
            assert_eq!(encoded, *bytes, "{header:?}");

            for cut in 0..bytes.len() {
                assert_eq!(FrameHeader::parse(&bytes[..cut], sender), Ok(None), "{header:?} at {cut}");
            }
            encoded.extend_from_slice(b"payload");
            assert_eq!(FrameHeader::parse(&encoded, sender), Ok(Some((*header, bytes.len()))));
        }
    }

    #[test]
    fn a_violation_is_seen_as_soon_as_its_byte_is_there() {
        use Sender::{Client, Server};
        let cases: &[(Sender, &[u8], ProtocolError)] = &[
            (Server, &[0xc1], ProtocolError::ReservedBits),
            (Server, &[0xa1], ProtocolError::ReservedBits),
            (Server, &[0x91], ProtocolError::ReservedBits),
            (Server, &[0x83], ProtocolError::ReservedOpcode(0x3)),
            (Server, &[0x87], ProtocolError::ReservedOpcode(0x7)),
            (Server, &[0x8b], ProtocolError::ReservedOpcode(0xb)),
            (Server, &[0x8f], ProtocolError::ReservedOpcode(0xf)),
            (Server, &[0x08], ProtocolError::FragmentedControl),
            (Server, &[0x09], ProtocolError::FragmentedControl),
            (Server, &[0x0a], ProtocolError::FragmentedControl),
            (Client, &[0x81, 5], ProtocolError::Unmasked),
            (Client, &[0x89, 0], ProtocolError::Unmasked),
            (Server, &[0x81, 0x85], ProtocolError::Masked),
            (Server, &[0x88, 126], ProtocolError::LongControl),
            (Server, &[0x89, 127], ProtocolError::LongControl),
            (Client, &[0x8a, 254], ProtocolError::LongControl),
            (Server, &[0x81, 126, 0, 125], ProtocolError::LengthNotMinimal),
            (Server, &[0x81, 127, 0, 0, 0, 0, 0, 0, 255, 255], ProtocolError::LengthNotMinimal),
            (Server, &[0x81, 127, 128, 0, 0, 0, 0, 0, 0, 0], ProtocolError::LengthOverflow),
        ];
        for (sender, bytes, error) in cases {
            let (_, before) = bytes.split_last().unwrap();
            assert_eq!(FrameHeader::parse(before, *sender), Ok(None), "{bytes:x?}");
            assert_eq!(FrameHeader::parse(bytes, *sender), Err(*error), "{bytes:x?}");
        }
    }
}
