//! A cursor over JSON text, on a pull parser: what the parser tells, as it is written in the text.

use std::borrow::Cow;

use json_event_parser::{JsonEvent, LowLevelJsonParser};

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotJson {
    /// Where that shows: the offset of a byte, or the length of a text that ends too early.
    pub at: usize,
}

/// What a text is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// An object begins; names, each with a value, and [`Token::Close`] follow.
    Object,
    /// An array begins; values and [`Token::Close`] follow.
    Array,
    /// The object or array that began last ends.
    Close,
    /// The name of a member, in its quotes.
    Name(&'a str),
    /// A string, in its quotes. Surrogates in it may lack their partner.
    String(&'a str),
    /// A number, `true`, `false` or `null`.
    Plain(&'a str),
    /// The text ends.
    End,
}

/// Reads a text from left to right. After an error, only the error means something.
pub struct Reader<'a> {
    text: &'a str,
    /// What is parsed in its place, of the same length.
    parsed: Cow<'a, str>,
    parser: LowLevelJsonParser,
    /// Where the last token begins.
    start: usize,
    /// Where it ends.
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        // An open object or array takes the parser one byte, so the text is the limit.
        let parser = LowLevelJsonParser::new().with_max_stack_size(usize::MAX);
        Self { text, parsed: without_surrogates(text), parser, start: 0, at: 0 }
    }

    /// The next token.
    pub fn token(&mut self) -> Result<Token<'a>, NotJson> {
        // The parser would pass over a byte order mark, which RFC 8259 forbids to add.
        if self.at == 0 && self.text.starts_with('\u{feff}') {
            return self.fail();
        }
        let rest = self.parsed.as_bytes().get(self.at..).unwrap_or_default();
        let read = self.parser.parse_next(rest, true);
        let end = self.at + read.consumed_bytes;
        let between = rest.iter().take(read.consumed_bytes).take_while(|&&byte| is_between(byte)).count();
        (self.start, self.at) = (self.at + between, end);
        let written = self.text.get(self.start..end).unwrap_or_default();
        match read.event {
            Some(Ok(event)) => Ok(match event {
                JsonEvent::StartObject => Token::Object,
                JsonEvent::StartArray => Token::Array,
                JsonEvent::EndObject | JsonEvent::EndArray => Token::Close,
                JsonEvent::ObjectKey(_) => Token::Name(written),
                JsonEvent::String(_) => Token::String(written),
                JsonEvent::Number(_) | JsonEvent::Boolean(_) | JsonEvent::Null => Token::Plain(written),
                JsonEvent::Eof => Token::End,
            }),
            Some(Err(error)) => {
                let at = usize::try_from(error.location().start.offset).ok();
                // If the text ends within a token, the parser consumes nothing of it, and tells where it begins.
                Err(NotJson { at: at.filter(|at| *at < end).unwrap_or(self.text.len()) })
            }
            None => self.fail(),
        }
    }

    /// Passes over any value; gives it as it is written.
    pub fn value(&mut self) -> Result<&'a str, NotJson> {
        let mut open = match self.token()? {
            Token::Object | Token::Array => 1_usize,
            Token::String(written) | Token::Plain(written) => return Ok(written),
            Token::Close | Token::Name(_) | Token::End => return self.fail(),
        };
        let start = self.start;
        while open > 0 {
            match self.token()? {
                Token::Object | Token::Array => open += 1,
                Token::Close => open -= 1,
                Token::Name(_) | Token::String(_) | Token::Plain(_) => {}
                Token::End => return self.fail(),
            }
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Whether nothing but white space is left.
    pub fn end(&mut self) -> Result<(), NotJson> {
        if self.token()? == Token::End { Ok(()) } else { self.fail() }
    }

    /// What stands in the quotes of the name or string that is the last token. Every surrogate must have its partner.
    pub fn unquoted(&self, written: &'a str) -> Result<Cow<'a, str>, NotJson> {
        unquoted(written).map_or_else(|| self.fail(), Ok)
    }

    /// The error that the last token must not stand there.
    pub fn fail<T>(&self) -> Result<T, NotJson> {
        Err(NotJson { at: self.start })
    }
}

/// What stands between the tokens that the parser tells.
pub(super) fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')
}

/// What stands in the quotes of a name or string that is JSON but for surrogates, each of which must have its partner.
pub(super) fn unquoted(written: &str) -> Option<Cow<'_, str>> {
    let inside = written.strip_prefix('"')?.strip_suffix('"')?;
    if !inside.as_bytes().contains(&b'\\') {
        return Some(Cow::Borrowed(inside));
    }
    match LowLevelJsonParser::new().parse_next(written.as_bytes(), true).event {
        Some(Ok(JsonEvent::String(text))) => Some(text),
        _ => None,
    }
}

/// `text` with another escape for each surrogate: the parser refuses those without a partner, which are JSON.
fn without_surrogates(text: &str) -> Cow<'_, str> {
    if !text.split('\\').skip(1).any(|escape| escape.starts_with("ud") || escape.starts_with("uD")) {
        return Cow::Borrowed(text);
    }
    let is_surrogate = |unit: &str| u16::from_str_radix(unit, 16).is_ok_and(|unit| (0xd800..0xe000).contains(&unit));
    let mut pieces = text.split("\\u");
    let mut other = String::with_capacity(text.len());
    other.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        other.push_str("\\u");
        match piece.split_at_checked(4) {
            Some((unit, rest)) if is_surrogate(unit) => other.extend(["fffd", rest]),
            _ => other.push_str(piece),
        }
    }
    Cow::Owned(other)
}
