//! WebSocket frames by another implementation.

use std::io;

use tungstenite::error::Error;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

pub(super) const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;

/// A whole message in one frame, masked if it is a client's.
pub(super) fn frame(opcode: u8, payload: &[u8], is_client: bool) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mask = if is_client { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ ..126 => frame.push(mask | short as u8),
        middle @ 126..65536 => {
            frame.push(mask | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(mask | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    if !is_client {
        frame.extend(payload);
        return frame;
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// What is heard of a stream of frames.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub(super) struct Heard {
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) pings: u64,
    pub(super) pongs: u64,
    /// The code of a Close, 1005 if it has none.
    pub(super) close: Option<u16>,
}

/// Why nothing more was heard.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum End {
    /// The bytes are over, or the sender closed.
    Over,
    /// They break RFC 6455.
    Violation,
    /// What this implementation judges beyond frames: text in UTF-8, sizes.
    Content,
}

/// What is longer is not taken.
const MAX_LEN: usize = 1 << 20;

/// What tungstenite makes of the bytes that a client or a server sends.
pub(super) fn read(bytes: &[u8], from_client: bool) -> (Heard, End) {
    let role = if from_client { Role::Server } else { Role::Client };
    let config =
        WebSocketConfig::default().read_buffer_size(4096).max_message_size(Some(MAX_LEN)).max_frame_size(Some(MAX_LEN));
    let mut socket = WebSocket::from_raw_socket(Wire(bytes), role, Some(config));
    let mut heard = Heard::default();
    loop {
        match socket.read() {
            Ok(tungstenite::Message::Text(text)) => heard.messages.push(text.as_bytes().to_vec()),
            Ok(tungstenite::Message::Binary(bytes)) => heard.messages.push(bytes.to_vec()),
            Ok(tungstenite::Message::Ping(_)) => heard.pings += 1,
            Ok(tungstenite::Message::Pong(_)) => heard.pongs += 1,
            Ok(tungstenite::Message::Close(close)) => {
                heard.close = Some(close.map_or(1005, |close| close.code.into()));
                return (heard, End::Over);
            }
            Ok(tungstenite::Message::Frame(_)) => {}
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return (heard, End::Over);
            }
            Err(Error::Protocol(_)) => return (heard, End::Violation),
            Err(Error::Utf8(_) | Error::Capacity(_)) => return (heard, End::Content),
            Err(_) => return (heard, End::Over),
        }
    }
}

/// A stream that only gives.
struct Wire<'a>(&'a [u8]);

impl io::Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.0, into)
    }
}

impl io::Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
