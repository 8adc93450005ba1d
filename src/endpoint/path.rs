//! A path that every upstream reads alike, percent-decoded once.

use std::borrow::Cow;

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
        let is_encoded = raw.contains(&b'%');
        let text = if is_encoded {
            Cow::Owned(decode_once(raw)?)
        } else if raw.iter().copied().all(is_path_byte) {
            Cow::Borrowed(str::from_utf8(raw).map_err(|_| InvalidPath::Character)?)
        } else {
            return Err(InvalidPath::Character);
        };
        let mut is_literal = !is_encoded;
        for segment in text.split('/').skip(1) {
            if matches!(segment, "." | "..") {
                return Err(InvalidPath::DotSegment);
            }
            is_literal &= !segment.is_empty() && !segment.ends_with('.');
        }
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

    /// The segments that stand behind one of this name, such as models behind `deployments`.
    pub fn below(&self, folder: &str) -> impl Iterator<Item = &str> {
        let mut segments = self.segments();
        std::iter::from_fn(move || {
            segments.find(|segment| segment.eq_ignore_ascii_case(folder))?;
            segments.next()
        })
    }

    /// The segments, without the empty ones, which some upstreams fold.
    fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.text.split('/').filter(|segment| !segment.is_empty())
    }

    /// The last segments, the very last first; empty where there are fewer.
    pub(super) fn tail(&self) -> [&str; 4] {
        let mut from_end = self.segments().rev();
        std::array::from_fn(|_| from_end.next().unwrap_or_default())
    }
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/:@!$&'()*+,=".contains(&byte)
}

fn decode_once(raw: &[u8]) -> Result<String, InvalidPath> {
    let mut text = String::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        let decoded = if byte == b'%' { octet(&mut bytes).ok_or(InvalidPath::Character)? } else { byte };
        match decoded {
            b'/' if byte == b'%' => return Err(InvalidPath::EncodedSlash),
            decoded if is_path_byte(decoded) => text.push(char::from(decoded)),
            _ => return Err(InvalidPath::Character),
        }
    }
    Ok(text)
}

/// The octet of which two digits follow.
fn octet(digits: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(digits.next()?).to_digit(16);
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high * 16 + low).ok()
}
