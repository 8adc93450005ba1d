//! Frames written: messages that the gateway makes or changes, and what they have in common with a Close.

use super::frame::{FrameHeader, OpCode};
use super::mask;

/// A text message in one unmasked frame, as a server sends it.
#[must_use]
pub fn text_frame(text: &str) -> Vec<u8> {
    encode_frame(OpCode::Text, None, text.as_bytes().to_vec())
}

/// A text message in one frame, as a client sends it.
#[must_use]
pub fn masked_text_frame(text: &str, mask: [u8; 4]) -> Vec<u8> {
    encode_frame(OpCode::Text, Some(mask), text.as_bytes().to_vec())
}

/// A message of this kind in one frame, masked with `mask` where it looks as if the client sent it.
#[must_use]
pub fn message_frame(opcode: OpCode, mask: Option<[u8; 4]>, payload: Vec<u8>) -> Vec<u8> {
    encode_frame(opcode, mask, payload)
}

/// A Pong with this payload, which is that of the ping that it answers, as a client sends it.
#[must_use]
pub fn pong_frame(payload: Vec<u8>, mask: [u8; 4]) -> Vec<u8> {
    encode_frame(OpCode::Pong, Some(mask), payload)
}

/// A whole frame with this payload, masked with `mask`.
pub(super) fn encode_frame(opcode: OpCode, mask: Option<[u8; 4]>, mut payload: Vec<u8>) -> Vec<u8> {
    let header = FrameHeader { fin: true, opcode, mask, length: payload.len() as u64 };
    if let Some(key) = mask {
        mask::apply(key, 0, &mut payload);
    }
    let mut frame = Vec::new();
    header.encode(&mut frame);
    frame.append(&mut payload);
    frame
}
