//! The text of one name, string or number out of its pieces, up to a bound.

/// Puts text together. What is over the bound is counted and not kept.
#[derive(Debug)]
pub struct Text {
    kept: Vec<u8>,
    max: usize,
    /// Bytes of it in UTF-8, without halves of surrogate pairs.
    length: u64,
    /// The first half of a surrogate pair whose second has not come.
    high: Option<u16>,
    /// A half without its partner is no text.
    is_text: bool,
}

/// What pieces come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole<'a> {
    /// This text.
    Text(&'a str),
    /// Over the bound.
    Long {
        /// So many bytes of UTF-8.
        bytes: u64,
    },
    /// Half a surrogate pair is in it.
    NotText,
}

impl Text {
    /// Nothing yet, and at most `max` bytes kept.
    pub fn new(max: usize) -> Self {
        Self { kept: Vec::new(), max, length: 0, high: None, is_text: true }
    }

    /// Takes a piece without escapes.
    pub fn push(&mut self, piece: &[u8]) {
        self.is_text &= self.high.take().is_none();
        self.length = self.length.saturating_add(piece.len() as u64);
        if self.length <= self.max as u64 {
            self.kept.extend_from_slice(piece);
        }
    }

    /// Takes the code unit of an escape.
    pub fn push_unit(&mut self, unit: u16) {
        let high = self.high.take();
        let read = match (high, unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                char::from_u32(0x1_0000 + (u32::from(high & 0x3ff) << 10 | u32::from(unit & 0x3ff)))
            }
            (_, 0xd800..=0xdbff) => {
                self.is_text &= high.is_none();
                self.high = Some(unit);
                return;
            }
            _ => char::from_u32(u32::from(unit)).filter(|_| high.is_none()),
        };
        self.is_text &= read.is_some();
        self.push(read.unwrap_or_default().encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// The whole, of which this is the last piece. [`Self::clear`] must follow.
    pub fn end<'a>(&'a mut self, last: &'a [u8]) -> Whole<'a> {
        let is_all = self.length == 0 && self.is_text && self.high.is_none() && last.len() <= self.max;
        if !is_all {
            self.push(last);
        }
        match str::from_utf8(if is_all { last } else { &self.kept }) {
            _ if !self.is_text => Whole::NotText,
            _ if self.length > self.max as u64 => Whole::Long { bytes: self.length },
            Ok(text) => Whole::Text(text),
            Err(_) => Whole::NotText,
        }
    }

    /// Begins another.
    pub fn clear(&mut self) {
        self.kept.clear();
        (self.length, self.high, self.is_text) = (0, None, true);
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.kept.capacity()
    }
}
