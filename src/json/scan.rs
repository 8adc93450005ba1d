//! Finding the `type` of a JSON object from its beginning, without parsing it.

use crate::json;

/// What reading an event from the left says about its top-level `type`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scan<'a> {
    /// The first `type` is this string.
    Type(Raw<'a>),
    /// There is no `type` that is a string, or no object.
    Untyped,
    /// The bytes end before it is known.
    Truncated,
}

/// A string as it is written between its quotes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Raw<'a> {
    /// The bytes between the quotes.
    pub(crate) bytes: &'a [u8],
    /// Whether a backslash is among them.
    pub(crate) is_escaped: bool,
}

/// Looks for the first top-level `type`, wherever it stands. Linear in the bytes up to it; exact for JSON, and
/// `Untyped` for what cannot be JSON at the place where that shows.
pub(crate) fn first_type(bytes: &[u8]) -> Scan<'_> {
    match (Cursor { rest: bytes }).first_type() {
        Ok(Some(raw)) => Scan::Type(raw),
        Ok(None) => Scan::Untyped,
        Err(Truncated) => Scan::Truncated,
    }
}

/// The text of a string as written between its quotes, when it is not over `max_len` bytes and can be text at all.
pub(crate) fn unescape(raw: &[u8], max_len: usize) -> Option<String> {
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
    fn first_type(mut self) -> Result<Option<Raw<'a>>, Truncated> {
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
            if key.is_type() {
                return if self.token()? == b'"' { self.string().map(Some) } else { Ok(None) };
            }
            self.skip_value()?;
        }
    }

    /// The next byte that is not white space, which is not consumed.
    fn token(&mut self) -> Result<u8, Truncated> {
        while let Some((&byte, rest)) = self.rest.split_first() {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(byte);
            }
            self.rest = rest;
        }
        Err(Truncated)
    }

    /// Consumes a string.
    fn string(&mut self) -> Result<Raw<'a>, Truncated> {
        self.advance(1);
        let string = self.rest;
        let mut is_escaped = false;
        let mut bytes = string.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => {
                    self.rest = bytes.as_slice();
                    let length = string.len() - self.rest.len() - 1;
                    return Ok(Raw { bytes: string.get(..length).unwrap_or_default(), is_escaped });
                }
                b'\\' => {
                    is_escaped = true;
                    bytes.next();
                }
                _ => {}
            }
        }
        Err(Truncated)
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

impl Raw<'_> {
    fn is_type(&self) -> bool {
        self.bytes == b"type" || (self.is_escaped && unescape(self.bytes, 4).is_some_and(|key| key == "type"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8]) -> Scan<'_> {
        Scan::Type(Raw { bytes, is_escaped: false })
    }

    #[test]
    fn the_first_type_of_the_top_level_is_found_wherever_it_stands() {
        for (json, expected) in [
            (r#"{"type":"a"}"#, plain(b"a")),
            (" \t\r\n{ \"type\" :\n\"a.b\" , \"x\":1}", plain(b"a.b")),
            (r#"{"x":{"type":"no"},"y":["type",{"type":"no"}],"type":"a"}"#, plain(b"a")),
            (r#"{"x":"\"type\":\"no\"","type":"a"}"#, plain(b"a")),
            (r#"{"x":"\\","type":"a"}"#, plain(b"a")),
            (r#"{"x":-1.5e3,"y":true,"z":null,"type":"a"}"#, plain(b"a")),
            (r#"{"x":{},"y":[],"type":"a"}"#, plain(b"a")),
            (r#"{"ty\u0070e":"a\u002eb"}"#, Scan::Type(Raw { bytes: br"a\u002eb", is_escaped: true })),
            (r#"{"type":"a","type":"b"}"#, plain(b"a")),
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
