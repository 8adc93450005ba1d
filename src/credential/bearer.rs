//! The scheme `Bearer` of an `authorization` line (RFC 6750).

use crate::http::trim;

/// What follows the scheme in `Bearer <token>`; RFC 9110 section 11.1: the scheme is case-insensitive.
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let separated = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    (scheme.eq_ignore_ascii_case(b"bearer") && separated).then(|| trim(rest))
}
