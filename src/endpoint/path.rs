//! A path that every upstream reads alike, percent-decoded once.

use std::borrow::Cow;

/// The last segments of a path, the very last first; empty where there are fewer.
pub(super) type Tail<'a> = [&'a str; 5];

/// A path, percent-decoded once, that every upstream reads alike, however often it decodes: it holds none but the
/// characters that [`Path::decode`] allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path<'a> {
    text: Cow<'a, str>,
    /// Nothing in it was encoded, no segment is empty or ends in a dot: there is but one way to write it.
    pub(super) is_literal: bool,
}

/// Why a path is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidPath {
    /// It does not begin with a slash.
    Relative,
    /// It holds something else than a path may hold, encoded or not: `;`, a space, a `%` that is left after decoding.
    Character,
    /// A slash is percent-encoded.
    EncodedSlash,
    /// A segment is `.` or `..`.
    DotSegment,
}

impl<'a> Path<'a> {
    /// Decodes a path, everything of `:path` before its first `?`.
    ///
    /// Takes memory only if something is encoded.
    ///
    /// # Errors
    ///
    /// Unless it begins with a slash, has no dot segment, and holds, after one decoding, only RFC 3986's unreserved
    /// characters, slashes that were not encoded, and `:@!$&'()*+,=`.
    pub fn decode(raw: &'a [u8]) -> Result<Self, InvalidPath> {
        if raw.first() != Some(&b'/') {
            return Err(InvalidPath::Relative);
        }
        let (text, is_literal) = match check(raw) {
            Ok(is_literal) => (Cow::Borrowed(str::from_utf8(raw).map_err(|_| InvalidPath::Character)?), is_literal),
            Err(_) if raw.contains(&b'%') => {
                let text = decode_once(raw)?;
                check(&text)?;
                (Cow::Owned(String::from_utf8(text).map_err(|_| InvalidPath::Character)?), false)
            }
            Err(error) => return Err(error),
        };
        Ok(Self { text, is_literal })
    }

    /// The path, decoded.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same path, for longer than what it was read from.
    pub fn into_owned(self) -> Path<'static> {
        Path { text: Cow::Owned(self.text.into_owned()), is_literal: self.is_literal }
    }

    /// Whether it is one of Google's, whose clients put their key into the query.
    pub fn is_googles(&self) -> bool {
        ["google.ai.generativelanguage.", "/v1beta/", "/v1alpha/"].iter().any(|part| self.text.contains(part))
    }

    /// Whether it is one at which Gemini serves Live: Google's SDK for JavaScript writes an empty segment in front of it.
    pub(super) fn is_gemini_live(&self) -> bool {
        let ends = [".BidiGenerateContent", ".BidiGenerateContentConstrained", ".LlmBidiService/BidiGenerateContent"];
        matches!(&self.text, Cow::Borrowed(text) if ends.iter().any(|end| text.ends_with(end)))
    }

    /// The segments that stand behind one of this name, such as models behind `deployments`.
    pub fn below(&self, folder: &str) -> impl Iterator<Item = &str> {
        let mut segments = self.text.split('/').filter(|segment| !segment.is_empty());
        std::iter::from_fn(move || {
            segments.find(|segment| segment.eq_ignore_ascii_case(folder))?;
            segments.next()
        })
    }

    /// The last segments, the very last first; empty where there are fewer. Some upstreams fold empty segments, and some
    /// file systems take those of dots alone for empty ones: neither counts.
    pub(super) fn tail(&self) -> Tail<'_> {
        let is_named = |segment: &str| !segment.bytes().all(|byte| byte == b'.');
        let mut tail = [""; 5];
        let mut rest = &*self.text;
        for found in &mut tail {
            // A path begins with a slash. Segments are short: they are looked at byte by byte.
            while let Some(slash) = rest.bytes().rposition(|byte| byte == b'/') {
                let segment = rest.get(slash + 1..).unwrap_or_default();
                rest = rest.get(..slash).unwrap_or_default();
                if is_named(segment) {
                    *found = segment;
                    break;
                }
            }
        }
        tail
    }
}

/// Calls `read` with last segments in the spelling in which names are known: without capitals, and without dots at a
/// segment's end, which some file systems do not know.
pub(super) fn with_normal<T>(tail: Tail<'_>, read: impl FnOnce(Tail<'_>) -> T) -> T {
    if is_normal(tail) {
        return read(tail);
    }
    let normal = tail.map(|segment| segment.trim_end_matches('.').to_ascii_lowercase());
    read(normal.each_ref().map(String::as_str))
}

/// Whether last segments have that spelling.
pub(super) fn is_normal(tail: Tail<'_>) -> bool {
    tail.iter().all(|segment| !segment.ends_with('.') && !segment.bytes().any(|byte| byte.is_ascii_uppercase()))
}

/// Whether a path of RFC 3986 may hold a byte, the semicolon aside.
fn is_path_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&'..=b':' | b'=' | b'@'..=b'Z' | b'_' | b'a'..=b'z' | b'~')
}

/// Checks a decoded path. Tells whether no segment is empty or ends in a dot.
fn check(text: &[u8]) -> Result<bool, InvalidPath> {
    let (mut is_literal, mut start) = (true, 1);
    let mut end_segment = |segment: &[u8]| match segment {
        b"." | b".." => Err(InvalidPath::DotSegment),
        [] | [.., b'.'] => {
            is_literal = false;
            Ok(())
        }
        _ => Ok(()),
    };
    for (at, &byte) in text.iter().enumerate().skip(1) {
        if byte == b'/' {
            end_segment(text.get(start..at).unwrap_or_default())?;
            start = at + 1;
        } else if !is_path_byte(byte) {
            return Err(InvalidPath::Character);
        }
    }
    end_segment(text.get(start..).unwrap_or_default())?;
    Ok(is_literal)
}

fn decode_once(raw: &[u8]) -> Result<Vec<u8>, InvalidPath> {
    let mut text = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        let decoded = if byte == b'%' { octet(&mut bytes).ok_or(InvalidPath::Character)? } else { byte };
        if byte == b'%' && decoded == b'/' {
            return Err(InvalidPath::EncodedSlash);
        }
        text.push(decoded);
    }
    Ok(text)
}

/// The octet of which two digits follow.
fn octet(digits: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(digits.next()?).to_digit(16);
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high * 16 + low).ok()
}
