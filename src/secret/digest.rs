//! SHA-256 digests of tokens: what a configuration may hold instead of the token itself.

use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 digest of a token, 32 bytes.
///
/// Comparing takes constant time. As a key of a `HashMap` it is found in a time that does not depend on how many there
/// are; which bucket is looked at depends on the digest and on a random hash key only, never on bytes of a token.
#[derive(Clone)]
pub struct Digest([u8; 32]);

/// Text that is not a SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DigestError;

impl Digest {
    /// The digest of `token`.
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Reads 64 hexadecimal digits of either case.
    ///
    /// # Errors
    ///
    /// Where the text is not 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(DigestError);
        }
        let mut bytes = [0; 32];
        for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = (nibble(high)? << 4) | nibble(low)?;
        }
        Ok(Self(bytes))
    }
}

impl Digest {
    /// Eight bytes at a time: each comparison in constant time has its price.
    fn words(&self) -> impl Iterator<Item = u64> {
        self.0.as_chunks::<8>().0.iter().map(|&bytes| u64::from_ne_bytes(bytes))
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        let same = self.words().zip(other.words()).fold(Choice::from(1), |same, (one, two)| same & one.ct_eq(&two));
        same.into()
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Eight bytes of a digest are as good as all of it.
        state.write(self.0.first_chunk::<8>().map_or(&[], |bytes| bytes));
    }
}

fn nibble(digit: u8) -> Result<u8, DigestError> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or(DigestError)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hex_of_either_case_is_the_digest() {
        assert!(Digest::from_hex(EMPTY) == Ok(Digest::of(b"")));
        assert!(Digest::from_hex(&EMPTY.to_uppercase()) == Ok(Digest::of(b"")));
        assert!(Digest::from_hex(EMPTY) != Ok(Digest::of(b"a")));
    }

    #[test]
    fn one_bit_makes_another_digest() {
        let digest = Digest::of(b"token");
        for bit in 0..256 {
            let mut other = digest.clone();
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(digest != other && other == other.clone());
        }
    }

    #[test]
    fn what_is_not_64_hex_digits_is_refused() {
        let long = format!("{EMPTY}0");
        let other = EMPTY.replace('e', "g");
        let multibyte = "é".repeat(32);
        for text in ["", "abc", &EMPTY[1..], &long, &other, &multibyte] {
            assert!(Digest::from_hex(text) == Err(DigestError), "{text}");
        }
    }
}
