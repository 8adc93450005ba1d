//! What a client's message says, by its type alone: how much it says is estimated by its length.

use crate::usage::Said;
use crate::ws::Interest;

/// How much of a message tells that it appends audio, as SDKs write it.
pub(super) const CLIENT_TYPE: u16 = 64;

/// The type of one that does. Its first character is in it again only at its end.
const AUDIO_APPEND: &[u8] = b"\"input_audio_buffer.append\"";

/// A message, as far as it has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClientSays {
    seen: usize,
    /// How much of the type has come.
    matched: usize,
}

impl ClientSays {
    /// Reads more of it, as long as that may tell something.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Interest {
        let left = usize::from(CLIENT_TYPE).saturating_sub(self.seen);
        for byte in piece.iter().take(left) {
            if self.appends() {
                break;
            }
            self.matched = match AUDIO_APPEND.get(self.matched) == Some(byte) {
                true => self.matched + 1,
                false => usize::from(AUDIO_APPEND.first() == Some(byte)),
            };
        }
        self.seen = self.seen.saturating_add(piece.len());
        let is_decided = self.appends() || self.seen >= CLIENT_TYPE.into();
        if is_decided { Interest::Measure } else { Interest::Stream }
    }

    /// As much as a message of so many bytes says.
    pub(super) fn said(self, length: u64) -> Said {
        if self.appends() { Said::audio_append(length) } else { Said::message(length) }
    }

    fn appends(self) -> bool {
        self.matched == AUDIO_APPEND.len()
    }
}
