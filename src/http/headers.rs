//! Header lines as the wire has them: ordered, repeated, bytes.

use std::ops::Range;

/// Where the name and the value of one line stand in the buffer.
pub struct Span {
    /// The name's bytes.
    pub name: Range<u32>,
    /// The value's bytes.
    pub value: Range<u32>,
}

/// The header lines of one message, in one buffer, in order. Names are in lower case, as Envoy has them.
#[derive(Default)]
pub struct Headers {
    buffer: Vec<u8>,
    spans: Vec<Span>,
}

impl Headers {
    /// Lines at `spans` of `buffer`. A span that lies outside reads as empty.
    pub fn new(buffer: Vec<u8>, spans: Vec<Span>) -> Self {
        Self { buffer, spans }
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.spans.len()
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.buffer.capacity().saturating_add(self.spans.capacity().saturating_mul(size_of::<Span>()))
    }

    /// All bytes among which the lines stand.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// All lines in order: name, value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|span| (self.at(&span.name), self.at(&span.value)))
    }

    /// The values of at least so many bytes, in order.
    pub fn values(&self, least: usize) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().filter(move |span| span.value.len() >= least).map(|span| self.at(&span.value))
    }

    /// The name and the value of the line of this number, as they are counted by [`Self::iter`]; empty if there is none.
    pub fn line(&self, number: u32) -> (&[u8], &[u8]) {
        let span = usize::try_from(number).ok().and_then(|number| self.spans.get(number));
        span.map(|span| (self.at(&span.name), self.at(&span.value))).unwrap_or_default()
    }

    /// The values of every line of this name, in order.
    pub fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter_map(move |(line, value)| (line == name).then_some(value))
    }

    /// The value of the first line of this name.
    pub fn first<'a>(&'a self, name: &'a [u8]) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    fn at(&self, range: &Range<u32>) -> &[u8] {
        let place = |end: u32| usize::try_from(end).unwrap_or(usize::MAX);
        self.buffer.get(place(range.start)..place(range.end)).unwrap_or_default()
    }

    fn end(&self) -> u32 {
        u32::try_from(self.buffer.len()).unwrap_or(u32::MAX)
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in lines {
            let start = headers.end();
            headers.buffer.extend_from_slice(name.as_ref());
            let middle = headers.end();
            headers.buffer.extend_from_slice(value.as_ref());
            headers.spans.push(Span { name: start..middle, value: middle..headers.end() });
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_and_repeat() {
        let headers = Headers::from_iter([("a", "1"), ("b", ""), ("a", "\u{fffd}")]);
        assert_eq!(headers.all(b"a").collect::<Vec<_>>(), [b"1".as_slice(), "\u{fffd}".as_bytes()]);
        assert_eq!(headers.first(b"b"), Some(b"".as_slice()));
        assert_eq!(headers.first(b"c"), None);
        assert_eq!(headers.line(1), (b"b".as_slice(), b"".as_slice()));
        assert_eq!(headers.line(3), (b"".as_slice(), b"".as_slice()));
    }

    #[test]
    fn a_span_outside_the_buffer_reads_as_empty() {
        let headers = Headers::new(b"ab".to_vec(), vec![Span { name: 0..1, value: 1..9 }]);
        assert_eq!(headers.first(b"a"), Some(b"".as_slice()));
    }
}
