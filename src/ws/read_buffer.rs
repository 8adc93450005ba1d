//! Reading as little as possible of a buffer that belongs to somebody else.

use std::ops::Range;

use super::error::ProtocolError;

/// The bytes of one read, in the buffer of whoever relays them.
///
/// Offsets count from the first byte of the read. Reading copies; what is not read is not copied.
pub trait ReadBuffer {
    /// How many bytes the read holds.
    fn size(&self) -> usize;

    /// A copy of the `length` bytes at `offset`. They lie within [`size`](Self::size). `None`, or
    /// fewer bytes, when the buffer cannot be read.
    fn read(&mut self, offset: usize, length: usize) -> Option<Vec<u8>>;
}

impl ReadBuffer for &mut (dyn ReadBuffer + '_) {
    fn size(&self) -> usize {
        (**self).size()
    }

    fn read(&mut self, offset: usize, length: usize) -> Option<Vec<u8>> {
        (**self).read(offset, length)
    }
}

impl ReadBuffer for &[u8] {
    fn size(&self) -> usize {
        self.len()
    }

    fn read(&mut self, offset: usize, length: usize) -> Option<Vec<u8>> {
        let (_, rest) = self.split_at_checked(offset)?;
        let (read, _) = rest.split_at_checked(length)?;
        Some(read.to_vec())
    }
}

/// The most that one read copies ahead of what was asked for.
const AHEAD_MAX: usize = 4096;

/// A place in a window, with the bytes that were read around it.
///
/// A run of small frames lies side by side, and one big read serves it best; between big frames
/// whatever is read ahead is payload that nobody wants. So it reads twice as far ahead each time
/// that the last read was used up, and as little as it may after something was stepped over.
#[derive(Debug)]
pub(super) struct Cursor<W> {
    buffer: W,
    size: usize,
    position: usize,
    chunk: Vec<u8>,
    chunk_at: usize,
    ahead: usize,
    least_ahead: usize,
}

impl<W: ReadBuffer> Cursor<W> {
    /// A cursor at the first byte, which reads at least `least_ahead` bytes at a time.
    pub(super) fn new(buffer: W, least_ahead: usize) -> Self {
        let size = buffer.size();
        Self { buffer, size, position: 0, chunk: Vec::new(), chunk_at: 0, ahead: least_ahead, least_ahead }
    }

    /// Where the cursor stands: the offset of the next byte.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// How many bytes lie ahead.
    pub(super) fn left(&self) -> usize {
        self.size.saturating_sub(self.position)
    }

    /// The next `wanted` bytes, or all that lie ahead if they are fewer. Does not move. They are a copy, and may be changed
    /// where they are not read again.
    pub(super) fn peek(&mut self, wanted: usize) -> Result<&mut [u8], ProtocolError> {
        let wanted = wanted.min(self.left());
        if wanted == 0 {
            return Ok(&mut []);
        }
        let mut from = self.position - self.chunk_at;
        if self.chunk.len() < from + wanted {
            self.fill(wanted)?;
            from = 0;
        }
        self.chunk.get_mut(from..from + wanted).ok_or(ProtocolError::Unreadable)
    }

    /// A copy of the bytes that stand there, wherever the cursor is.
    pub(super) fn copy(&mut self, place: Range<usize>) -> Result<Vec<u8>, ProtocolError> {
        let length = place.len();
        let copied = if length == 0 { Some(Vec::new()) } else { self.buffer.read(place.start, length) };
        copied.filter(|copied| copied.len() == length).ok_or(ProtocolError::Unreadable)
    }

    /// Steps over `count` bytes. They must lie ahead.
    pub(super) fn advance(&mut self, count: usize) {
        self.position += count;
    }

    fn fill(&mut self, wanted: usize) -> Result<(), ProtocolError> {
        self.ahead = if self.chunk.is_empty() || self.chunk_end() < self.position {
            self.least_ahead
        } else {
            (self.ahead * 2).min(AHEAD_MAX)
        };
        let length = wanted.max(self.ahead).min(self.left());
        let chunk = self.buffer.read(self.position, length);
        self.chunk = chunk.ok_or(ProtocolError::Unreadable)?;
        self.chunk_at = self.position;
        Ok(())
    }

    fn chunk_end(&self) -> usize {
        self.chunk_at + self.chunk.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records what is read.
    struct Recorder<'a> {
        bytes: &'a [u8],
        reads: Vec<(usize, usize)>,
    }

    impl ReadBuffer for &mut Recorder<'_> {
        fn size(&self) -> usize {
            self.bytes.len()
        }

        fn read(&mut self, offset: usize, length: usize) -> Option<Vec<u8>> {
            self.reads.push((offset, length));
            self.bytes.read(offset, length)
        }
    }

    fn reads(size: usize, least: usize, steps: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let bytes = (0..size).map(|i| i as u8).collect::<Vec<_>>();
        let mut recorder = Recorder { bytes: &bytes, reads: Vec::new() };
        let mut cursor = Cursor::new(&mut recorder, least);
        for (wanted, step) in steps {
            let at = cursor.position();
            let expected = &bytes[at..(at + wanted).min(size)];
            assert_eq!(cursor.peek(*wanted).map(|read| &*read), Ok(expected));
            cursor.advance(*step);
        }
        recorder.reads
    }

    #[test]
    fn what_is_stepped_over_is_not_read() {
        let read = reads(10_000, 100, &[(14, 3000), (14, 3000), (14, 4000), (14, 0)]);
        assert_eq!(read, [(0, 100), (3000, 100), (6000, 100)]);
    }

    #[test]
    fn reads_grow_while_all_that_was_read_is_used() {
        let read = reads(2000, 100, &[(50, 50); 40]);
        assert_eq!(read, [(0, 100), (100, 200), (300, 400), (700, 800), (1500, 500)]);
    }

    #[test]
    fn a_read_never_leaves_the_window() {
        assert_eq!(reads(30, 100, &[(14, 25), (14, 5), (14, 0)]), [(0, 30)]);
    }

    #[test]
    fn a_window_that_gives_too_little_is_unreadable() {
        struct Short(Option<Vec<u8>>);
        impl ReadBuffer for Short {
            fn size(&self) -> usize {
                50
            }
            fn read(&mut self, _: usize, _: usize) -> Option<Vec<u8>> {
                self.0.take()
            }
        }
        for given in [None, Some(Vec::new()), Some(vec![0; 13])] {
            let mut cursor = Cursor::new(Short(given), 20);
            assert_eq!(cursor.peek(14), Err(ProtocolError::Unreadable));
        }
    }
}
