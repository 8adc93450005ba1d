//! RFC 9110 section 5.6: tokens, and lists of them.

/// Whether `bytes` is a token: `1*tchar`.
///
/// > tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA
pub fn is_token(bytes: &[u8]) -> bool {
    let is_tchar = |byte: &u8| {
        matches!(
            byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'|' | b'~'
        )
    };
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}

/// The members of a comma-separated list in order, without the white space around them.
///
/// > A recipient MUST parse and ignore a reasonable number of empty list elements
pub fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b',').map(trim).filter(|member| !member.is_empty())
}

/// `bytes` without optional white space, `*( SP / HTAB )`, at either end.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_space(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_tchars_only() {
        for good in ["a", "realtime", "openai-insecure-api-key.sk-1_2~3", "!#$%&'*+-.^_`|~09azAZ"] {
            assert!(is_token(good.as_bytes()), "{good}");
        }
        for bad in ["", "a b", "a\t", "a=", "a/b", "\"a\"", "a,b", "é", "a\u{7f}", "a\0"] {
            assert!(!is_token(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn lists_ignore_empty_members_and_space() {
        let line = b" ,a\t, ,b c,,";
        assert_eq!(members(line).collect::<Vec<_>>(), [b"a".as_slice(), b"b c"]);
        assert_eq!(members(b" \t").count(), 0);
    }
}
