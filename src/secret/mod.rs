//! Key material: one type for it, and the digests that tokens are known by.
//!
//! Neither type implements `Debug` or `Display`, so that no format string, log line or error can show one.

mod digest;
mod redacted;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use digest::{Digest, DigestError};
pub use redacted::redacted;

/// Bytes that must never be shown: a provider's key, a gateway token, a header value made of one.
///
/// The memory is overwritten when the value is dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; the caller keeps no copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one place that sends or hashes them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    /// Takes the same time wherever the first difference is.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_compare_by_all_their_bytes() {
        for (a, b, same) in [("abc", "abc", true), ("abc", "abd", false), ("ab", "abc", false), ("", "", true)] {
            assert_eq!(Secret::new(a.into()) == Secret::new(b.into()), same, "{a} {b}");
        }
    }
}
