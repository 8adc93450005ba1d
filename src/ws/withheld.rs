//! A message that is withheld: its frames, until somebody says what is to become of it.

use std::ops::Range;

use super::error::ProtocolError;
use super::frame::{FrameHeader, OpCode, Sender};
use super::mask;
use super::read_buffer::{Cursor, ReadBuffer};
use super::rewrite::Rewrite;

/// The bytes of its frames, without control frames that came between them: those go on.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    /// From earlier reads.
    earlier: Vec<u8>,
    /// Where the others stand in this read.
    places: Vec<Range<usize>>,
}

impl Withheld {
    /// A message of which this came in earlier reads.
    pub(super) fn since(earlier: Vec<u8>) -> Self {
        Self { earlier, places: Vec::new() }
    }

    /// More of it stands there.
    pub(super) fn add(&mut self, place: Range<usize>) {
        match self.places.last_mut() {
            Some(last) if last.end == place.start => last.end = place.end,
            _ => self.places.push(place),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.earlier.is_empty() && self.places.is_empty()
    }

    /// How many bytes there are.
    pub(super) fn size(&self) -> usize {
        self.places.iter().map(ExactSizeIterator::len).fold(self.earlier.len(), usize::saturating_add)
    }

    /// It goes on as it came; `position` is how far the read has been followed.
    pub(super) fn release(self, position: usize, rewrite: &mut Rewrite) {
        let first = self.places.first().map_or(position, |place| place.start);
        rewrite.insert(first, self.earlier);
    }

    /// Being whole, it gives way to these bytes.
    pub(super) fn replace(mut self, position: usize, bytes: Vec<u8>, rewrite: &mut Rewrite) {
        let last = self.places.pop().unwrap_or(position..position);
        self.places.into_iter().for_each(|place| rewrite.replace(place, Vec::new()));
        rewrite.replace(last, bytes);
    }

    /// Being incomplete, it waits for the next read: gives all that there is of it, and takes it out of this one.
    pub(super) fn keep(
        self,
        cursor: &mut Cursor<impl ReadBuffer>,
        rewrite: &mut Rewrite,
    ) -> Result<Vec<u8>, ProtocolError> {
        let Self { mut earlier, places } = self;
        for place in places {
            let copied = cursor.copy(place.clone());
            rewrite.replace(place, Vec::new());
            earlier.extend_from_slice(&copied?);
        }
        Ok(earlier)
    }

    /// Being whole, what it is, and its payload.
    pub(super) fn message(
        &self,
        cursor: &mut Cursor<impl ReadBuffer>,
        sender: Sender,
    ) -> Result<(OpCode, Vec<u8>), ProtocolError> {
        let mut frames = self.earlier.clone();
        for place in &self.places {
            frames.extend_from_slice(&cursor.copy(place.clone())?);
        }
        let (mut rest, mut message) = (frames.as_slice(), None);
        while let Some((header, size)) = FrameHeader::parse(rest, sender)? {
            let length = usize::try_from(header.length).map_err(|_| ProtocolError::Unreadable)?;
            let payload = rest.get(size..).and_then(|rest| rest.get(..length)).ok_or(ProtocolError::Unreadable)?;
            let (_, all): &mut (OpCode, Vec<u8>) = message.get_or_insert((header.opcode, Vec::new()));
            let from = all.len();
            all.extend_from_slice(payload);
            if let (Some(key), Some(fresh)) = (header.mask, all.get_mut(from..)) {
                mask::apply(key, 0, fresh);
            }
            rest = rest.get(size.saturating_add(length)..).unwrap_or_default();
        }
        message.ok_or(ProtocolError::Unreadable)
    }
}
