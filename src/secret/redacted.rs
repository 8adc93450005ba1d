//! Texts in which a secret must not stand, percent-encoded or not.

/// What stands in a secret's place.
const REDACTED: &[u8] = b"redacted";

/// What is shorter stands in a text by chance.
const SHORTEST: usize = 4;

/// A text with each of these secrets given way to `redacted`, however many of their bytes are percent-encoded, and however
/// often; `None` if none stands in it. Takes memory only then.
///
/// ```
/// use realtime_byok::secret::redacted;
///
/// let keys = || [b"k/e&y".as_slice()].into_iter();
/// assert_eq!(redacted(b"/v1?key=k%2fe%26y&x", keys()).as_deref(), Some(b"/v1?key=redacted&x".as_slice()));
/// assert_eq!(redacted(b"/v1?key=k%2fe", keys()), None);
/// ```
pub fn redacted<'k>(text: &[u8], secrets: impl Iterator<Item = &'k [u8]> + Clone) -> Option<Vec<u8>> {
    // No encoding is shorter than what it encodes.
    let secrets = secrets.filter(|secret| (SHORTEST..=text.len()).contains(&secret.len()));
    secrets.clone().next()?;
    let (mut shown, mut kept, mut at) = (None, 0, 0);
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        match secrets.clone().filter_map(|secret| length_at_start(rest, secret)).max() {
            None => at += 1,
            Some(length) => {
                let shown: &mut Vec<u8> = shown.get_or_insert_default();
                shown.extend_from_slice(text.get(kept..at).unwrap_or_default());
                shown.extend_from_slice(REDACTED);
                at += length;
                kept = at;
            }
        }
    }
    let mut shown = shown?;
    shown.extend_from_slice(text.get(kept..).unwrap_or_default());
    Some(shown)
}

/// How many bytes at the start of a text are a secret.
fn length_at_start(text: &[u8], secret: &[u8]) -> Option<usize> {
    if text.starts_with(secret) {
        return Some(secret.len());
    }
    let mut rest = text;
    for &byte in secret {
        rest = match rest.split_first()? {
            (b'%', behind) => encoded(behind, byte).or((byte == b'%').then_some(behind))?,
            (&first, behind) if first == byte => behind,
            _ => return None,
        };
    }
    Some(text.len() - rest.len())
}

/// What follows behind a `%` and the digits of a byte; the `%` may have been encoded again, as `%25`.
fn encoded(mut rest: &[u8], byte: u8) -> Option<&[u8]> {
    loop {
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let value = digit(digits[0])? * 16 + digit(digits[1])?;
        match value {
            _ if value == u32::from(byte) => return Some(behind),
            0x25 => rest = behind,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn shown(text: &str, secrets: &[&str]) -> Option<String> {
        let shown = redacted(text.as_bytes(), secrets.iter().map(|secret| secret.as_bytes()))?;
        Some(String::from_utf8(shown).unwrap())
    }

    #[test]
    fn a_secret_gives_way_however_it_is_encoded() {
        for (text, want) in [
            ("sk-a/b+1", "redacted"),
            ("xsk-a/b+1y", "xredactedy"),
            ("https://a.test/?k=sk-a%2Fb%2b1&x=%2F", "https://a.test/?k=redacted&x=%2F"),
            ("%73%6b%2d%61%2f%62%2B%31", "redacted"),
            ("%73k-%61/b%2B1", "redacted"),
            ("/?next=%2F%3Fk%3Dsk-a%252Fb%252b1%26", "/?next=%2F%3Fk%3Dredacted%26"),
            ("sk-a%25252fb+1", "redacted"),
            ("sk-a/b+1sk-a/b+1,sk-a%2fb+1", "redactedredacted,redacted"),
            ("sk-sk-a/b+1", "sk-redacted"),
            ("%sk-a/b+1%", "%redacted%"),
            ("<other-key>; <sk-a/b+1>", "<redacted>; <redacted>"),
            ("caf\u{e9} other%2Dkey", "caf\u{e9} redacted"),
        ] {
            assert_eq!(shown(text, &["other-key", "sk-a/b+1"]).as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in ["", "sk-a/b+", "SK-A/B+1", "sk-a%2b+1", "sk-a%2", "sk-a%", "sk-a%zzb+1", "sk-a b+1"] {
            assert_eq!(shown(text, &["sk-a/b+1"]), None, "{text}");
        }
        assert_eq!(shown("application/json", &["app", ""]), None);
        assert_eq!(shown("anything", &[]), None);
    }

    #[test]
    fn the_longest_of_several_secrets_gives_way() {
        assert_eq!(shown("key-12 key-1", &["key-1", "key-12"]).as_deref(), Some("redacted redacted"));
        assert_eq!(shown("50%25-key", &["50%-key"]).as_deref(), Some("redacted"));
        assert_eq!(shown("50%-key", &["50%-key"]).as_deref(), Some("redacted"));
    }

    fn with_some_encoded(secret: &[u8], mask: u32) -> String {
        let encode = |(at, byte): (usize, &u8)| match mask >> (2 * (at % 16)) & 3 {
            0 => char::from(*byte).to_string(),
            1 => format!("%{byte:02x}"),
            2 => format!("%25{byte:02X}"),
            _ => percent_encode(&[*byte], NON_ALPHANUMERIC).to_string(),
        };
        secret.iter().enumerate().map(encode).collect()
    }

    proptest! {
        #[test]
        fn no_encoding_hides_a_secret(
            secret in vec((0x20_u8..0x7f).prop_filter("encoding of another", |byte| *byte != b'%'), 8..40),
            mask in any::<u32>(),
            before in vec(any::<u8>().prop_filter("a digit or % may belong to it", |byte| !byte.is_ascii()), 0..10),
        ) {
            let text = [before.as_slice(), with_some_encoded(&secret, mask).as_bytes(), b" ", &before].concat();
            let shown = redacted(&text, [secret.as_slice()].into_iter());
            prop_assert_eq!(shown, Some([before.as_slice(), b"redacted ", &before].concat()));
        }

        #[test]
        fn nothing_traps_and_nothing_else_is_changed(
            text in vec(any::<u8>(), 0..80),
            secret in vec(any::<u8>(), 0..6),
        ) {
            let shown = redacted(&text, [secret.as_slice()].into_iter());
            prop_assert!(shown.is_none_or(|shown| shown != text));
        }
    }
}
