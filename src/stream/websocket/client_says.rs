//! What a client's message says, by its type alone: how much it says is estimated by its length.

use crate::protocol::SessionKind;
use crate::usage::Said;
use crate::ws::Interest;

/// How much of a message tells that it appends audio, as SDKs write it.
pub(super) const CLIENT_TYPE: u16 = 64;

/// A message, as far as it has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientSays {
    /// What one that appends audio has, of its kind. Its first character is in it again only at its end, if at all.
    audio_append: &'static [u8],
    seen: usize,
    /// How much of the type has come.
    matched: usize,
}

impl ClientSays {
    /// Nothing has come of a message of this kind.
    pub(super) fn new(kind: SessionKind) -> Self {
        Self { audio_append: kind.audio_append(), seen: 0, matched: 0 }
    }

    /// Reads more of it, as long as that may tell something.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Interest {
        let left = usize::from(CLIENT_TYPE).saturating_sub(self.seen);
        for byte in piece.iter().take(left) {
            if self.appends() {
                break;
            }
            self.matched = match self.audio_append.get(self.matched) == Some(byte) {
                true => self.matched + 1,
                false => usize::from(self.audio_append.first() == Some(byte)),
            };
        }
        self.seen = self.seen.saturating_add(piece.len());
        let is_decided = self.appends() || self.seen >= CLIENT_TYPE.into();
        if is_decided { Interest::Measure } else { Interest::Stream }
    }

    /// As much as the message says, which has so many bytes. Another may follow.
    pub(super) fn end(&mut self, length: u64) -> Said {
        let said = if self.appends() { Said::audio_append(length) } else { Said::message(length) };
        (self.seen, self.matched) = (0, 0);
        said
    }

    fn appends(self) -> bool {
        self.matched == self.audio_append.len()
    }
}
