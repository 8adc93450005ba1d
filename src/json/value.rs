//! Values that are known to be JSON, so that walking them takes no more than their brackets and quotes.

use std::borrow::Cow;

use super::reader::{NotJson, Reader, is_between, unquoted};

/// One JSON value as it is written, without white space around it. Strings in it may hold surrogates without a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a>(&'a str);

impl<'a> Value<'a> {
    /// An object without members.
    pub const EMPTY: Self = Self("{}");

    /// The only value in `text`.
    pub fn parse(text: &'a str) -> Result<Self, NotJson> {
        let mut reader = Reader::new(text);
        let value = reader.value()?;
        reader.end()?;
        Ok(Self(value))
    }

    /// As it is written.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The text of a string. Every surrogate must have its partner.
    pub fn text(self) -> Option<Cow<'a, str>> {
        unquoted(self.0)
    }

    /// Calls `each` with the name and the value of every member, if it is an object and its names are text.
    pub fn for_each_member(self, each: &mut dyn FnMut(Cow<'a, str>, Value<'a>)) -> Result<(), NotJson> {
        if !self.is_object() {
            return Err(NotJson { at: 0 });
        }
        let mut at = 1;
        while let Some(name) = self.next_from(&mut at) {
            let behind = at;
            let name = unquoted(name).ok_or(NotJson { at: behind - name.len() })?;
            each(name, Self(self.next_from(&mut at).ok_or(NotJson { at: behind })?));
        }
        Ok(())
    }

    /// The object's next name or value from `at` on, which moves behind it; `None` behind the last.
    fn next_from(self, at: &mut usize) -> Option<&'a str> {
        let bytes = self.0.as_bytes();
        while is_between(*bytes.get(*at)?) {
            *at += 1;
        }
        let start = *at;
        *at = match bytes.get(start)? {
            b'"' => string_end(bytes, start)?,
            b'{' | b'[' => nested_end(bytes, start)?,
            b'}' => return None,
            _ => start + bytes.get(start..)?.iter().position(|&byte| is_between(byte) || byte == b'}')?,
        };
        self.0.get(start..*at)
    }
}

/// Behind the object or array that begins at `start`.
fn nested_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, start);
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Behind the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut rest = bytes.get(start + 1..)?.iter();
    loop {
        match rest.next()? {
            b'"' => return Some(bytes.len() - rest.len()),
            b'\\' => {
                rest.next();
            }
            _ => {}
        }
    }
}
