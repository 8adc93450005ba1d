//! A cursor over JSON text.

use std::borrow::Cow;

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotJson {
    /// Where that shows: the offset of a byte, or the length of a text that ends too early.
    pub at: usize,
}

/// What is called for each member or element; it must read the value.
type Each<'e, 'a, N> = &'e mut dyn FnMut(&mut Reader<'a>, N) -> Result<(), NotJson>;

/// Reads a text from left to right. After an error, only the error means something.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is no white space.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Reads an object; `each` gets the names, and reads the values.
    pub fn object(&mut self, each: Each<'_, 'a, Cow<'a, str>>) -> Result<(), NotJson> {
        self.sequence(b'{', b'}', &mut |reader, _| {
            let name = reader.string()?;
            reader.expect(b':')?;
            each(reader, name)
        })
    }

    /// Reads an array; `each` gets the indexes, and reads the values.
    pub fn array(&mut self, each: Each<'_, 'a, usize>) -> Result<(), NotJson> {
        self.sequence(b'[', b']', each)
    }

    fn sequence(&mut self, open: u8, close: u8, each: Each<'_, 'a, usize>) -> Result<(), NotJson> {
        self.expect(open)?;
        if self.eat(close) {
            return Ok(());
        }
        for index in 0.. {
            each(self, index)?;
            if !self.eat(b',') {
                break;
            }
        }
        self.expect(close)
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<Cow<'a, str>, NotJson> {
        self.peek();
        let start = self.at;
        self.skip_string()?;
        let written = self.text.get(start + 1..self.at - 1).unwrap_or_default();
        if !written.contains('\\') {
            return Ok(Cow::Borrowed(written));
        }
        unescaped(written).map(Cow::Owned).ok_or(NotJson { at: start })
    }

    /// Passes over any value; gives it as it is written.
    pub fn skip(&mut self) -> Result<&'a str, NotJson> {
        self.peek();
        let start = self.at;
        // What closes the objects and arrays that are open.
        let mut closing = Vec::new();
        loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    let close = if open == b'{' { b'}' } else { b']' };
                    if !self.eat(close) {
                        closing.push(close);
                        self.skip_name_in(close)?;
                        continue;
                    }
                }
                Some(b'"') => self.skip_string()?,
                Some(b'-' | b'0'..=b'9') => self.skip_number()?,
                _ => self.skip_word()?,
            }
            loop {
                let Some(&close) = closing.last() else {
                    return Ok(self.text.get(start..self.at).unwrap_or_default());
                };
                if self.eat(b',') {
                    self.skip_name_in(close)?;
                    break;
                }
                self.expect(close)?;
                closing.pop();
            }
        }
    }

    /// Whether nothing but white space is left.
    pub fn end(&mut self) -> Result<(), NotJson> {
        if self.peek().is_none() { Ok(()) } else { self.fail() }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The error that there is no JSON from here on.
    pub fn fail<T>(&self) -> Result<T, NotJson> {
        Err(NotJson { at: self.at })
    }

    fn eat(&mut self, token: u8) -> bool {
        let is_next = self.peek() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, token: u8) -> Result<(), NotJson> {
        if self.eat(token) { Ok(()) } else { self.fail() }
    }

    /// Passes over a member's name and the colon, in what is closed by a brace.
    fn skip_name_in(&mut self, close: u8) -> Result<(), NotJson> {
        if close == b'}' {
            self.skip_string()?;
            self.expect(b':')?;
        }
        Ok(())
    }

    fn skip_string(&mut self) -> Result<(), NotJson> {
        self.expect(b'"')?;
        loop {
            self.at += plain(self.text.as_bytes().get(self.at..).unwrap_or_default());
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.skip_escape()?,
                _ => return self.fail(),
            }
        }
    }

    fn skip_escape(&mut self) -> Result<(), NotJson> {
        self.at += 1;
        let digits = match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return self.fail(),
        };
        self.at += 1;
        for _ in 0..digits {
            if !self.byte().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return self.fail();
            }
            self.at += 1;
        }
        Ok(())
    }

    fn skip_number(&mut self) -> Result<(), NotJson> {
        self.skip_any(b"-");
        if !self.skip_any(b"0") {
            self.skip_digits()?;
        }
        if self.skip_any(b".") {
            self.skip_digits()?;
        }
        if self.skip_any(b"eE") {
            self.skip_any(b"+-");
            self.skip_digits()?;
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> Result<(), NotJson> {
        if !self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.fail();
        }
        while self.skip_any(b"0123456789") {}
        Ok(())
    }

    fn skip_any(&mut self, bytes: &[u8]) -> bool {
        let is_next = self.byte().is_some_and(|byte| bytes.contains(&byte));
        self.at += usize::from(is_next);
        is_next
    }

    fn skip_word(&mut self) -> Result<(), NotJson> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word)) {
            Some(word) => {
                self.at += word.len();
                Ok(())
            }
            None => self.fail(),
        }
    }
}

/// How many bytes of a string stand for themselves before the first that does not: a quote, a backslash, a control
/// character. Eight at a time, as strings are most of what is skipped.
fn plain(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    let (words, _) = bytes.as_chunks::<8>();
    let mut len = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // The high bit of each byte that is below `limit`, and maybe of some after the first such.
        let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word & HIGH;
        let found =
            below(word, 0x20) | below(word ^ (EACH * u64::from(b'"')), 1) | below(word ^ (EACH * u64::from(b'\\')), 1);
        if found != 0 {
            break;
        }
        len += 8;
    }
    let tail = bytes.get(len..).unwrap_or_default();
    len + tail.iter().take_while(|byte| **byte >= 0x20 && !matches!(byte, b'"' | b'\\')).count()
}

/// What is between the quotes of a string, whose escapes are well-formed; none if it has a surrogate without a partner.
fn unescaped(written: &str) -> Option<String> {
    let mut text = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let (kind, after) = escape.split_at_checked(1)?;
        let (escaped, after) = match kind {
            "b" => ('\u{8}', after),
            "f" => ('\u{c}', after),
            "n" => ('\n', after),
            "r" => ('\r', after),
            "t" => ('\t', after),
            "u" => code_point(after)?,
            itself => (itself.chars().next()?, after),
        };
        text.push(escaped);
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

/// The character of the digits that `written` begins with, or of two surrogates, and what follows.
fn code_point(written: &str) -> Option<(char, &str)> {
    let (first, after) = unit(written)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, after));
    }
    let (second, after) = unit(after.strip_prefix("\\u")?)?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)?, after))
}

fn unit(written: &str) -> Option<(u32, &str)> {
    let (digits, after) = written.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, after))
}
