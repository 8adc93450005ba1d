//! UTF-8 (RFC 3629), checked byte by byte over any cut.

/// Within a character, or between two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Utf8 {
    /// Bytes of the character that are missing.
    missing: u8,
    /// The least and the greatest that the next of them may be.
    least: u8,
    greatest: u8,
}

impl Utf8 {
    /// Whether a character has begun and not ended.
    pub(super) fn is_within(self) -> bool {
        self.missing > 0
    }

    /// Takes the next byte; false if it cannot stand there.
    pub(super) fn push(&mut self, byte: u8) -> bool {
        if self.missing > 0 {
            let is_good = (self.least..=self.greatest).contains(&byte);
            *self = Self { missing: self.missing - 1, least: 0x80, greatest: 0xbf };
            return is_good;
        }
        // RFC 3629, section 4: no character has two spellings, and none is half a surrogate pair.
        let (missing, least, greatest) = match byte {
            0..=0x7f => (0, 0, 0),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xe1..=0xef => (2, 0x80, 0xbf),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            _ => return false,
        };
        *self = Self { missing, least, greatest };
        true
    }
}
