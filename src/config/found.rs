//! What was found, in the words of an error: what may be a secret is never among them.

use super::document::Document;

/// Longer texts are not shown: it is shorter than any provider's key.
const LONGEST: usize = 30;

/// How providers' keys begin.
const KEYS_BEGIN: [&str; 5] = ["sk-", "sk_", "ek_", "xai-", "AIza"];

/// What is shorter is no secret: no token may be.
const SHORTEST_SECRET: usize = 8;

/// A value that stands where a secret does not: as it is, or what it is where it is long.
pub(crate) fn value(value: &Document) -> String {
    match value {
        Document::Bool(flag) => flag.to_string(),
        Document::Number(number) if number.is_exact => number.to_f64().to_string(),
        Document::String(string) => text(string),
        _ => value.kind().to_owned(),
    }
}

/// A text that stands where a secret does not.
pub(crate) fn text(text: &str) -> String {
    let length = text.chars().count();
    if length > LONGEST || KEYS_BEGIN.iter().any(|start| text.trim_start().starts_with(start)) {
        return format!("a string of {length} characters");
    }
    format!("{text:?}")
}

/// Whether a name looks like a setting's, and not like a secret that was put in its place.
pub(crate) fn is_name(name: &str) -> bool {
    let is_short = name.len() < SHORTEST_SECRET && name.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_word =
        name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphabetic() || is_short && byte.is_ascii_digit());
    name.len() <= LONGEST && is_word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_shown_as_it_is() {
        for (json, want) in [
            (r#""May 2027""#, r#""May 2027""#),
            (r#""a\nb""#, r#""a\nb""#),
            (r#""""#, r#""""#),
            ("-1.5", "-1.5"),
            ("4294967296", "4294967296"),
            ("1e-9", "a number"),
            ("false", "false"),
            ("null", "null"),
            ("[1]", "a list"),
            (r#"{"a":1}"#, "a map"),
        ] {
            assert_eq!(value(&Document::from_json(json.as_bytes()).unwrap()), want);
        }
    }

    #[test]
    fn what_may_be_a_key_is_not() {
        assert_eq!(text("sk-proj-a1b2"), "a string of 12 characters");
        assert_eq!(text(" sk-proj-a1b2"), "a string of 13 characters");
        assert_eq!(text(&"a".repeat(LONGEST + 1)), "a string of 31 characters");
        for name in ["sk-4242", "token4242", "a.b", "abcdefghijklmnopqrstuvwxyz_abcd"] {
            assert!(!is_name(name), "{name}");
        }
        for name in ["not_befor", "notAfter", "sha512"] {
            assert!(is_name(name), "{name}");
        }
    }
}
