//! UTF-8 (RFC 3629), checked byte by byte over any cut, and what of a string needs no such check.

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

/// How many bytes from the first on are ASCII that stands for itself in a string: eight at a time.
pub(crate) fn plain_ascii(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    // The lowest marked byte is exact; those above it may be marked by its borrow. Bytes that are no ASCII are marked anyway.
    let zeros = |eight: u64| eight.wrapping_sub(ONES);
    let mut count = 0;
    let mut rest = bytes;
    while let Some((eight, after)) = rest.split_first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        let below_space = eight.wrapping_sub(ONES * 0x20);
        let special = zeros(eight ^ (ONES * 0x22)) | zeros(eight ^ (ONES * 0x5c)) | below_space | eight;
        let special = special & HIGH;
        if special != 0 {
            return count + (special.trailing_zeros() / 8) as usize;
        }
        count += 8;
        rest = after;
    }
    count + rest.iter().take_while(|&&byte| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'\x7f')).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn plain_ascii_ends_where_it_ends(bytes in prop::collection::vec(any::<u8>(), 0..40), plain in 0..40_usize) {
            let bytes = [&b"a".repeat(plain)[..], &bytes].concat();
            let naive = bytes.iter().take_while(|&&byte| (0x20..0x80).contains(&byte) && byte != b'"' && byte != b'\\').count();
            prop_assert_eq!(plain_ascii(&bytes), naive);
        }
    }
}
