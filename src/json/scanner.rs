//! JSON (RFC 8259) out of pieces: bytes in, tokens out, cut anywhere. Nothing is copied, and what is kept between two
//! pieces is a state and one bit for each object or array that is open.
//!
//! Text must be UTF-8, in strings too. A `\u` escape may be half a surrogate pair, as RFC 8259 allows (section 8.2);
//! whoever needs text decides what that means ([`super::text`]).

use super::number::Number;
use super::utf8::{Utf8, plain_ascii};

pub use super::token::{Container, Literal, Part, Token};

/// Reads one JSON value. After an error, every call gives it again.
#[derive(Debug, Clone)]
pub struct Scanner {
    state: State,
    /// Objects and arrays that are open.
    depth: u32,
    max_depth: u32,
    /// One bit for each of them, set for an object: the outermost 64, and the others.
    outer: u64,
    inner: Vec<u64>,
    muted: Muted,
    utf8: Utf8,
    /// Bytes read.
    at: u64,
    /// Where the present or last name or value begins, that of an object or array only while nothing in it was read.
    start: u64,
    /// Where the present member begins: at the comma before it, or else at its name.
    member: u64,
}

/// Why bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanError {
    /// They are not JSON in UTF-8.
    NotJson {
        /// Where that shows: the offset of a byte, or the length of a text that ends too early.
        at: u64,
    },
    /// More objects and arrays are in each other than allowed.
    TooDeep,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A value must begin.
    Value,
    /// Behind `[`: a value or `]`.
    FirstItem,
    /// Behind `{`: a name or `}`.
    FirstName,
    /// Behind a comma in an object: a name.
    NextName,
    /// Behind a name.
    Colon,
    /// Behind a value: a comma or the end of what it is in, if it is in anything.
    After,
    /// In a name or string.
    Text(Part),
    /// Behind its backslash.
    Escape(Part),
    /// So many hexadecimal digits of a `\u` are missing.
    Hex {
        of: Part,
        missing: u8,
        unit: u16,
    },
    Number(Number),
    /// So many bytes of the word have come.
    Literal(Literal, u8),
    Failed(ScanError),
}

/// What gives no tokens.
#[derive(Debug, Clone, Copy)]
enum Muted {
    Nothing,
    /// The value that begins or began at this depth.
    Value(u32),
    /// All that is deeper than the object or array at this depth, which gives its end.
    Inside(u32),
}

impl Scanner {
    /// At the beginning of a value in which at most `max_depth` objects and arrays are open at once.
    pub fn new(max_depth: u16) -> Self {
        Self {
            state: State::Value,
            depth: 0,
            max_depth: u32::from(max_depth),
            outer: 0,
            inner: Vec::new(),
            muted: Muted::Nothing,
            utf8: Utf8::default(),
            at: 0,
            start: 0,
            member: 0,
        }
    }

    /// Begins another value, with the same bounds.
    pub fn reset(&mut self) {
        self.state = State::Value;
        (self.depth, self.muted, self.utf8) = (0, Muted::Nothing, Utf8::default());
        self.inner.clear();
        (self.at, self.start, self.member) = (0, 0, 0);
    }

    /// The next token that ends in these bytes, of which it takes away what it read; `None` when they are used up.
    ///
    /// # Errors
    /// If what has come so far cannot begin a JSON text, or is too deep.
    #[inline]
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Token<'a>>, ScanError> {
        let result = self.step(bytes);
        if let Err(error) = result {
            self.state = State::Failed(error);
        }
        result
    }

    /// Says that nothing follows. A number at the top of the text ends here.
    ///
    /// # Errors
    /// If what has come is not one JSON value.
    pub fn finish(&self) -> Result<(), ScanError> {
        match self.state {
            State::Failed(error) => Err(error),
            State::After if self.depth == 0 => Ok(()),
            State::Number(number) if self.depth == 0 && number.is_whole() => Ok(()),
            _ => Err(ScanError::NotJson { at: self.at }),
        }
    }

    /// Gives no tokens of the value that comes next: it is only checked. To be called behind its name.
    pub fn skip_value(&mut self) {
        self.muted = Muted::Value(self.depth);
    }

    /// Gives no tokens of what is in the object or array that has just begun, until its end.
    pub fn skip_inside(&mut self) {
        self.muted = Muted::Inside(self.depth.saturating_sub(1));
    }

    /// How many bytes were read.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Where the name or value that gave the last token begins.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Where the member begins whose name came last: at the comma before it, or at its name if it is the first.
    pub fn member(&self) -> u64 {
        self.member
    }

    /// Bytes that are held beside the scanner itself.
    pub fn held(&self) -> usize {
        self.inner.capacity().saturating_mul(size_of::<u64>())
    }

    fn step<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Token<'a>>, ScanError> {
        while !bytes.is_empty() {
            let read = match self.state {
                State::Text(part) => self.text(part, bytes),
                State::Number(number) => self.number(number, bytes),
                State::Literal(literal, matched) => self.literal(literal, matched, bytes),
                State::Escape(part) => self.escape(part, bytes),
                State::Hex { of, missing, unit } => self.hex(of, missing, unit, bytes),
                State::Failed(error) => Err(error),
                _ => self.structure(bytes),
            };
            if !matches!(read, Ok(None)) {
                return read;
            }
        }
        Ok(None)
    }

    /// Reads what is between names and values, up to the next token or the next name or value.
    fn structure<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Token<'a>>, ScanError> {
        while let Some(&byte) = bytes.first() {
            let next = match (self.state, byte) {
                (_, b' ' | b'\t' | b'\n' | b'\r') => {
                    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
                    self.advance(bytes, bytes.iter().take_while(is_blank).count());
                    continue;
                }
                (State::Value | State::FirstItem, _) => return self.value(byte, bytes),
                (State::FirstName | State::NextName, b'"') => {
                    if matches!(self.state, State::FirstName) {
                        self.member = self.at;
                    }
                    self.begin(State::Text(Part::Name), bytes, 1);
                    return Ok(None);
                }
                (State::Colon, b':') => State::Value,
                (State::After, b',') if self.depth > 0 => {
                    self.member = self.at;
                    if self.is_in_object() { State::NextName } else { State::Value }
                }
                (State::FirstName | State::After, b'}') if self.is_in_object() => return Ok(self.close(bytes)),
                (State::After, b']') if self.is_in_array() => return Ok(self.close(bytes)),
                _ => return Err(ScanError::NotJson { at: self.at }),
            };
            self.go(next, bytes);
        }
        Ok(None)
    }

    /// Begins the value whose first byte this is, or ends the array that has none.
    fn value<'a>(&mut self, first: u8, bytes: &mut &'a [u8]) -> Result<Option<Token<'a>>, ScanError> {
        let (state, length) = match first {
            b'"' => (State::Text(Part::String), 1),
            b'{' => return self.open(Container::Object, bytes),
            b'[' => return self.open(Container::Array, bytes),
            b'-' | b'0'..=b'9' => (State::Number(Number::Start), 0),
            b'n' => (State::Literal(Literal::Null, 0), 0),
            b't' => (State::Literal(Literal::True, 0), 0),
            b'f' => (State::Literal(Literal::False, 0), 0),
            b']' if matches!(self.state, State::FirstItem) => return Ok(self.close(bytes)),
            _ => return Err(ScanError::NotJson { at: self.at }),
        };
        self.begin(state, bytes, length);
        Ok(None)
    }

    /// Reads on in a name or string, up to its end, an escape, or the end of the bytes.
    fn text<'a>(&mut self, of: Part, bytes: &mut &'a [u8]) -> Result<Option<Token<'a>>, ScanError> {
        let all = *bytes;
        let mut end = if self.utf8.is_within() { 0 } else { plain_ascii(all) };
        // Most texts are whole and have no more to be read than that.
        if !self.utf8.is_within()
            && let Some((piece, [b'"', behind @ ..])) = all.split_at_checked(end)
        {
            *bytes = behind;
            self.at = self.at.saturating_add(end as u64 + 1);
            return Ok(self.end_text(of, piece));
        }
        let next = loop {
            match all.get(end) {
                Some(&byte) if byte >= 0x80 || self.utf8.is_within() => {
                    if !self.utf8.push(byte) {
                        return Err(ScanError::NotJson { at: self.at.saturating_add(end as u64) });
                    }
                    end += 1;
                    if !self.utf8.is_within() {
                        end += plain_ascii(all.get(end..).unwrap_or_default());
                    }
                }
                Some(b'"' | b'\\') | None => break all.get(end),
                Some(_) => return Err(ScanError::NotJson { at: self.at.saturating_add(end as u64) }),
            }
        };
        let piece = all.get(..end).unwrap_or_default();
        self.advance(bytes, end + usize::from(next.is_some()));
        Ok(match next {
            Some(b'"') => self.end_text(of, piece),
            next => {
                if next.is_some() {
                    self.state = State::Escape(of);
                }
                self.heard(Token::Piece { of, bytes: piece, ends: false }).filter(|_| !piece.is_empty())
            }
        })
    }

    /// A name or string ends with this piece.
    fn end_text<'a>(&mut self, of: Part, piece: &'a [u8]) -> Option<Token<'a>> {
        let token = self.heard(Token::Piece { of, bytes: piece, ends: true });
        match of {
            Part::Name => self.state = State::Colon,
            Part::String | Part::Number => self.end_value(),
        }
        token
    }

    fn escape<'a>(&mut self, of: Part, bytes: &mut &'a [u8]) -> Result<Option<Token<'a>>, ScanError> {
        let piece: &[u8] = match bytes.first() {
            Some(b'u') => {
                self.go(State::Hex { of, missing: 4, unit: 0 }, bytes);
                return Ok(None);
            }
            Some(b'"') => b"\"",
            Some(b'\\') => b"\\",
            Some(b'/') => b"/",
            Some(b'b') => b"\x08",
            Some(b'f') => b"\x0c",
            Some(b'n') => b"\n",
            Some(b'r') => b"\r",
            Some(b't') => b"\t",
            _ => return Err(ScanError::NotJson { at: self.at }),
        };
        self.go(State::Text(of), bytes);
        Ok(self.heard(Token::Piece { of, bytes: piece, ends: false }))
    }

    fn hex<'a>(
        &mut self,
        of: Part,
        missing: u8,
        unit: u16,
        bytes: &mut &'a [u8],
    ) -> Result<Option<Token<'a>>, ScanError> {
        let digit = bytes.first().and_then(|&byte| char::from(byte).to_digit(16));
        let digit = digit.and_then(|digit| u16::try_from(digit).ok()).ok_or(ScanError::NotJson { at: self.at })?;
        let unit = unit << 4 | digit;
        if missing > 1 {
            self.go(State::Hex { of, missing: missing - 1, unit }, bytes);
            return Ok(None);
        }
        self.go(State::Text(of), bytes);
        Ok(self.heard(Token::Unit { of, unit }))
    }

    fn number<'a>(&mut self, from: Number, bytes: &mut &'a [u8]) -> Result<Option<Token<'a>>, ScanError> {
        let all = *bytes;
        let (mut number, mut end) = (from, 0);
        while let Some(next) = all.get(end).and_then(|&byte| number.after(byte)) {
            number = next;
            end += 1;
        }
        let ends = end < all.len();
        self.advance(bytes, end);
        if ends && !number.is_whole() {
            return Err(ScanError::NotJson { at: self.at });
        }
        self.state = State::Number(number);
        let piece = all.get(..end).unwrap_or_default();
        let token = self.heard(Token::Piece { of: Part::Number, bytes: piece, ends });
        if ends {
            self.end_value();
        }
        Ok(token)
    }

    fn literal<'a>(
        &mut self,
        literal: Literal,
        matched: u8,
        bytes: &mut &'a [u8],
    ) -> Result<Option<Token<'a>>, ScanError> {
        let missing = literal.word().get(usize::from(matched)..).unwrap_or_default();
        let same = missing.iter().zip(bytes.iter()).take_while(|(known, byte)| known == byte).count();
        let is_cut = same == bytes.len();
        self.advance(bytes, same);
        if same < missing.len() {
            if !is_cut {
                return Err(ScanError::NotJson { at: self.at });
            }
            self.state = State::Literal(literal, matched.saturating_add(u8::try_from(same).unwrap_or(u8::MAX)));
            return Ok(None);
        }
        let token = self.heard(Token::Literal(literal));
        self.end_value();
        Ok(token)
    }

    fn open<'a>(&mut self, container: Container, bytes: &mut &'a [u8]) -> Result<Option<Token<'a>>, ScanError> {
        if self.depth >= self.max_depth {
            return Err(ScanError::TooDeep);
        }
        let first = match container {
            Container::Object => State::FirstName,
            Container::Array => State::FirstItem,
        };
        self.begin(first, bytes, 1);
        let (at, bit) = (usize::try_from(self.depth / 64).unwrap_or(usize::MAX), 1 << (self.depth % 64));
        if at > self.inner.len() {
            self.inner.push(0);
        }
        let bits = if at == 0 { Some(&mut self.outer) } else { self.inner.get_mut(at - 1) };
        if let Some(bits) = bits {
            *bits = if container == Container::Object { *bits | bit } else { *bits & !bit };
        }
        let token = self.heard(Token::Open(container));
        self.depth += 1;
        Ok(token)
    }

    fn close<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Token<'a>> {
        let is_empty = !matches!(self.state, State::After);
        let container = if self.is_in_object() { Container::Object } else { Container::Array };
        self.go(State::After, bytes);
        self.depth = self.depth.saturating_sub(1);
        if matches!(self.muted, Muted::Inside(depth) if depth == self.depth) {
            self.muted = Muted::Nothing;
        }
        let token = self.heard(Token::Close { container, is_empty });
        self.end_value();
        token
    }

    /// A value is over, and with it a silence that was for it alone.
    fn end_value(&mut self) {
        self.state = State::After;
        if matches!(self.muted, Muted::Value(depth) if depth == self.depth) {
            self.muted = Muted::Nothing;
        }
    }

    fn heard<'a>(&self, token: Token<'a>) -> Option<Token<'a>> {
        matches!(self.muted, Muted::Nothing).then_some(token)
    }

    fn is_in_object(&self) -> bool {
        self.depth.checked_sub(1).is_some_and(|innermost| self.is_object(innermost))
    }

    fn is_in_array(&self) -> bool {
        self.depth.checked_sub(1).is_some_and(|innermost| !self.is_object(innermost))
    }

    fn is_object(&self, depth: u32) -> bool {
        let at = usize::try_from(depth / 64).unwrap_or(usize::MAX);
        let bits = if at == 0 { self.outer } else { self.inner.get(at - 1).copied().unwrap_or_default() };
        bits >> (depth % 64) & 1 == 1
    }

    /// Begins a name or value here, of which so many bytes are read.
    fn begin(&mut self, state: State, bytes: &mut &[u8], length: usize) {
        self.start = self.at;
        self.state = state;
        self.advance(bytes, length);
    }

    fn go(&mut self, state: State, bytes: &mut &[u8]) {
        self.state = state;
        self.advance(bytes, 1);
    }

    fn advance(&mut self, bytes: &mut &[u8], count: usize) {
        self.at = self.at.saturating_add(count as u64);
        *bytes = bytes.get(count..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
