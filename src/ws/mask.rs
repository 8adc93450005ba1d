//! Masking, RFC 6455 section 5.3: byte `i` of a payload is XORed with byte `i % 4` of the key.
//! The same operation masks and unmasks.

/// Masks, or unmasks, `bytes`, which stand at `offset` within their frame's payload.
///
/// Takes eight bytes a step. A payload may be worked through in pieces of any sizes as long as
/// each piece comes with its own offset.
///
/// ```
/// use realtime_byok::ws::mask;
///
/// let mut payload = *b"Hello";
/// mask::apply([0x37, 0xfa, 0x21, 0x3d], 0, &mut payload);
/// assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
/// ```
pub fn apply(key: [u8; 4], offset: u64, bytes: &mut [u8]) {
    let key = rotated(key, offset);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The key as it meets the byte at `offset`.
fn rotated([a, b, c, d]: [u8; 4], offset: u64) -> [u8; 4] {
    match offset % 4 {
        0 => [a, b, c, d],
        1 => [b, c, d, a],
        2 => [c, d, a, b],
        _ => [d, a, b, c],
    }
}

#[cfg(test)]
mod tests {
    use super::apply;
    use proptest::prelude::*;

    fn naive(key: [u8; 4], offset: u64, bytes: &mut [u8]) {
        for (index, byte) in (offset..).zip(bytes) {
            *byte ^= key[(index % 4) as usize];
        }
    }

    proptest! {
        #[test]
        fn agrees_with_one_byte_at_a_time(
            key: [u8; 4],
            offset in 0..u64::MAX / 2,
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut expected = bytes.clone();
            naive(key, offset, &mut expected);
            let mut masked = bytes;
            apply(key, offset, &mut masked);
            prop_assert_eq!(masked, expected);
        }

        #[test]
        fn masking_in_pieces_is_masking_at_once(
            key: [u8; 4],
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            cut: prop::sample::Index,
        ) {
            let mut whole = bytes.clone();
            apply(key, 0, &mut whole);
            let cut = cut.index(bytes.len() + 1);
            let mut pieces = bytes;
            let (front, back) = pieces.split_at_mut(cut);
            apply(key, 0, front);
            apply(key, cut as u64, back);
            prop_assert_eq!(pieces, whole);
        }
    }
}
