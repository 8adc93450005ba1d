//! What becomes of one read: some of its bytes give way to others, and the rest goes on as it came.

use std::ops::Range;

use super::error::ProtocolError;
use super::read_buffer::ReadBuffer;

/// Changes to a read, each where it stands in it.
///
/// ```
/// use realtime_byok::ws::Rewrite;
///
/// let mut rewrite = Rewrite::default();
/// rewrite.insert(2, b"XY".to_vec());
/// rewrite.replace(3..5, b"z".to_vec());
/// assert_eq!(rewrite.apply(&mut b"abcdef".as_slice()), Ok(Some((2, b"XYczf".to_vec()))));
/// ```
#[derive(Debug, Default)]
pub struct Rewrite {
    /// In the order of their places; no two overlap.
    changes: Vec<(Range<usize>, Vec<u8>)>,
}

impl Rewrite {
    /// These bytes go on in the place of those at `place`, behind which nothing has been changed.
    pub fn replace(&mut self, place: Range<usize>, bytes: Vec<u8>) {
        // A change goes behind those before it.
        let behind = self.changes.partition_point(|(before, _)| before.start <= place.start);
        self.changes.insert(behind, (place, bytes));
    }

    /// These bytes go on before what stands at `place`.
    pub fn insert(&mut self, place: usize, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.replace(place..place, bytes);
        }
    }

    /// These bytes go on in the place of all that stands at `from` and behind it, but for what was inserted there.
    pub fn end(&mut self, from: usize, bytes: Vec<u8>) {
        self.changes.retain_mut(|(place, _)| {
            let is_kept = place.start < from || *place == (from..from);
            place.end = place.end.min(from);
            is_kept
        });
        self.changes.push((from..usize::MAX, bytes));
    }

    /// From where on the read is another, and what goes on from there in the place of all the rest; nothing if all goes on
    /// as it came.
    ///
    /// # Errors
    ///
    /// If the read cannot be read.
    pub fn apply(self, buffer: &mut dyn ReadBuffer) -> Result<Option<(usize, Vec<u8>)>, ProtocolError> {
        let size = buffer.size();
        let Some(from) = self.changes.first().map(|(place, _)| place.start) else { return Ok(None) };
        let (mut rest, mut position) = (Vec::new(), from);
        for (place, mut bytes) in self.changes {
            keep(position..place.start, &mut rest, buffer)?;
            rest.append(&mut bytes);
            position = place.end;
        }
        keep(position..size, &mut rest, buffer)?;
        Ok(Some((from, rest)))
    }
}

/// Keeps what stands there.
fn keep(place: Range<usize>, to: &mut Vec<u8>, buffer: &mut dyn ReadBuffer) -> Result<(), ProtocolError> {
    if !place.is_empty() {
        let mut kept = buffer.read(place.start, place.len()).ok_or(ProtocolError::Unreadable)?;
        if kept.len() != place.len() {
            return Err(ProtocolError::Unreadable);
        }
        to.append(&mut kept);
    }
    Ok(())
}
