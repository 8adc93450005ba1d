//! Finding the `type` of a JSON object from its beginning, without parsing it.

use crate::json;

/// What reading an event from the left says about its top-level `type`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan<'a> {
    /// The first `type` is this string, as it is written between its quotes.
    Type(&'a [u8]),
    /// There is no `type` that is a string, or no object.
    Untyped,
    /// The bytes end before it is known.
    Truncated,
}

/// Looks for the first top-level `type`, wherever it stands. Linear in the bytes up to it; exact for JSON, and
/// `Untyped` for what cannot be JSON at the place where that shows.
pub(super) fn first_type(bytes: &[u8]) -> Scan<'_> {
    match (Cursor { rest: bytes }).first_type() {
        Ok(Some(raw)) => Scan::Type(raw),
        Ok(None) => Scan::Untyped,
        Err(Truncated) => Scan::Truncated,
    }
}

/// The text of a string as written between its quotes, when it is not over `max_len` bytes and can be text at all.
pub(super) fn unescape(raw: &[u8], max_len: usize) -> Option<String> {
    // The longest way to write one byte is \u0061.
    if raw.len() > max_len.saturating_mul(6) {
        return None;
    }
    json::string(&format!("\"{}\"", str::from_utf8(raw).ok()?)).ok()
}

struct Truncated;

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn first_type(mut self) -> Result<Option<&'a [u8]>, Truncated> {
        if self.token()? != b'{' {
            return Ok(None);
        }
        self.advance(1);
        loop {
            match self.token()? {
                b'"' => {}
                b',' => {
                    self.advance(1);
                    continue;
                }
                _ => return Ok(None),
            }
            let key = self.string()?;
            if self.token()? != b':' {
                return Ok(None);
            }
            self.advance(1);
            if is_type(key) {
                return if self.token()? == b'"' { self.string().map(Some) } else { Ok(None) };
            }
            self.skip_value()?;
        }
    }

    /// The next byte that is not white space, which is not consumed.
    fn token(&mut self) -> Result<u8, Truncated> {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let start = self.rest.iter().position(|byte| !is_space(byte)).ok_or(Truncated)?;
        self.advance(start);
        self.rest.first().copied().ok_or(Truncated)
    }

    /// Consumes a string and returns what stands between its quotes, undecoded.
    fn string(&mut self) -> Result<&'a [u8], Truncated> {
        self.advance(1);
        let mut escaped = false;
        let end = self.rest.iter().position(|&byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let end = end.ok_or(Truncated)?;
        let string = self.rest.get(..end).unwrap_or_default();
        self.advance(end + 1);
        Ok(string)
    }

    /// Consumes everything up to the comma or brace that ends a member of the top-level object.
    fn skip_value(&mut self) -> Result<(), Truncated> {
        let mut depth = 0_usize;
        loop {
            match self.token()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => depth -= 1,
                b'}' | b']' => return Ok(()),
                b',' if depth == 0 => return Ok(()),
                _ => {}
            }
            self.advance(1);
        }
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }
}

fn is_type(key: &[u8]) -> bool {
    key == b"type" || (key.contains(&b'\\') && unescape(key, 4).is_some_and(|key| key == "type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_type_of_the_top_level_is_found_wherever_it_stands() {
        for (json, expected) in [
            (r#"{"type":"a"}"#, Scan::Type(b"a")),
            (" \t\r\n{ \"type\" :\n\"a.b\" , \"x\":1}", Scan::Type(b"a.b")),
            (r#"{"x":{"type":"no"},"y":["type",{"type":"no"}],"type":"a"}"#, Scan::Type(b"a")),
            (r#"{"x":"\"type\":\"no\"","type":"a"}"#, Scan::Type(b"a")),
            (r#"{"x":"\\","type":"a"}"#, Scan::Type(b"a")),
            (r#"{"x":-1.5e3,"y":true,"z":null,"type":"a"}"#, Scan::Type(b"a")),
            (r#"{"x":{},"y":[],"type":"a"}"#, Scan::Type(b"a")),
            (r#"{"ty\u0070e":"a\u002eb"}"#, Scan::Type(br"a\u002eb")),
            (r#"{"type":"a","type":"b"}"#, Scan::Type(b"a")),
            (r#"{"type":1}"#, Scan::Untyped),
            (r#"{"type":null,"x":1}"#, Scan::Untyped),
            (r#"{"Type":"a","type ":"b","typ":"c"}"#, Scan::Untyped),
            ("{}", Scan::Untyped),
            (r#"[{"type":"a"}]"#, Scan::Untyped),
            ("\u{1}\u{2}", Scan::Untyped),
            ("{x", Scan::Untyped),
            ("", Scan::Truncated),
            (r#"{"x":"#, Scan::Truncated),
            (r#"{"x":12"#, Scan::Truncated),
            (r#"{"type":"#, Scan::Truncated),
            (r#"{"type":"a"#, Scan::Truncated),
            (r#"{"type":"a\"#, Scan::Truncated),
        ] {
            assert_eq!(first_type(json.as_bytes()), expected, "{json}");
        }
    }

    #[test]
    fn text_that_is_too_long_or_no_text_is_not_unescaped() {
        assert_eq!(unescape(br"\u0061\n", 2), Some("a\n".into()));
        assert_eq!(unescape(br"\u0061\u0061", 1), None);
        assert_eq!(unescape(br"\ud800", 4), None);
        assert_eq!(unescape(b"\xff", 4), None);
    }
}
