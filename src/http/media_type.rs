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

#[cfg(test)]
mod tests {
    use super::*;

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
