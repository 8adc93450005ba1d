//! RFC 9110 section 8.3: media types.

use super::token_list::trim;

/// The media type of a `content-type`, without its parameters.
pub fn media_type(content_type: &[u8]) -> &[u8] {
    content_type.split(|&byte| byte == b';').next().map(trim).unwrap_or_default()
}

/// Whether a media type is `application/json`, or is JSON by its suffix `+json` (RFC 6839 section 3.1).
pub fn is_json(media_type: &[u8]) -> bool {
    let suffix = media_type.last_chunk::<5>();
    media_type.eq_ignore_ascii_case(b"application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

/// Whether a `content-type` names no other charset than UTF-8, in any reading: what is quoted is not told from what is not.
pub fn is_utf8(content_type: &[u8]) -> bool {
    let params = content_type.split(|&byte| byte == b';').skip(1);
    params.filter_map(charset).all(|charset| {
        let unquoted = charset.strip_prefix(b"\"").and_then(|charset| charset.strip_suffix(b"\""));
        let charset = unquoted.unwrap_or(charset);
        charset.eq_ignore_ascii_case(b"utf-8") || charset.eq_ignore_ascii_case(b"utf8")
    })
}

/// The value of a parameter `charset`; RFC 9110 section 5.6.6: a parameter's name is case-insensitive.
fn charset(param: &[u8]) -> Option<&[u8]> {
    let at = param.iter().position(|&byte| byte == b'=')?;
    let (name, value) = param.split_at_checked(at)?;
    trim(name).eq_ignore_ascii_case(b"charset").then(|| trim(value.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_is_utf8_or_not() {
        for (content_type, want) in [
            ("application/json", true),
            ("application/json;", true),
            ("application/json; charset=utf-8", true),
            ("application/json;Charset=UTF-8;x=y", true),
            ("application/json; charset=\"Utf-8\"", true),
            ("application/json ; charset = utf8 ", true),
            ("application/json; charset=utf-16", false),
            ("application/json; charset=utf-16le", false),
            ("application/json; charset=\"utf-16\"", false),
            ("application/json; charset=utf-7", false),
            ("application/json; charset=us-ascii", false),
            ("application/json; charset=", false),
            ("application/json; charset=\"utf-8", false),
            ("application/json; charset=utf-8; charset=utf-16", false),
            ("application/json; x=\"; charset=utf-16\"", false),
            ("application/json; charset=utf-8, application/json; charset=utf-16", false),
        ] {
            assert_eq!(is_utf8(content_type.as_bytes()), want, "{content_type}");
        }
    }

    #[test]
    fn json_is_known_whatever_its_case_parameters_and_space() {
        for (content_type, want) in [
            ("application/json", true),
            (" Application/JSON ; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("application/jsonl", false),
            ("json", false),
            ("text/plain; x=application/json", false),
            ("", false),
        ] {
            assert_eq!(is_json(media_type(content_type.as_bytes())), want, "{content_type}");
        }
    }
}
