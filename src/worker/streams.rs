//! All streams of a worker, each found by its id at once.

use crate::host::StreamNumber;
use crate::stream::{Presentation, RequestAction, Stream};

/// Which stream of a worker. Once that is closed, it may be another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamId(usize);

/// The streams that are open, and places for more.
#[derive(Default)]
pub(crate) struct Streams {
    slots: Vec<Slot>,
    /// Slots that are free.
    free: Vec<usize>,
}

enum Slot {
    Free,
    /// A stream that came while there was no configuration: nothing of it may pass.
    Unconfigured,
    Open(Box<(StreamNumber, Stream)>),
    /// One of an instance in front.
    Presenting(Box<Presentation>),
}

impl Streams {
    /// Keeps a stream.
    pub(crate) fn insert(&mut self, number: StreamNumber, stream: Stream) -> StreamId {
        self.put(Slot::Open(Box::new((number, stream))))
    }

    /// Keeps a stream of which nothing may pass.
    pub(crate) fn insert_unconfigured(&mut self) -> StreamId {
        self.put(Slot::Unconfigured)
    }

    /// Keeps a stream of an instance in front.
    pub(crate) fn insert_presentation(&mut self, presentation: Presentation) -> StreamId {
        self.put(Slot::Presenting(Box::new(presentation)))
    }

    /// A stream of an instance in front.
    pub(crate) fn presentation(&mut self, id: StreamId) -> Option<&mut Presentation> {
        match self.slots.get_mut(id.0) {
            Some(Slot::Presenting(presentation)) => Some(presentation),
            Some(Slot::Free | Slot::Unconfigured | Slot::Open(_)) | None => None,
        }
    }

    /// What becomes of what comes of a stream that is not the gateway's own.
    pub(crate) fn other_action(&mut self, id: StreamId) -> RequestAction {
        self.presentation(id).map_or(RequestAction::Reset, |presentation| presentation.more())
    }

    /// Forgets a stream.
    pub(crate) fn remove(&mut self, id: StreamId) {
        if let Some(slot) = self.slots.get_mut(id.0).filter(|slot| !matches!(slot, Slot::Free)) {
            *slot = Slot::Free;
            self.free.push(id.0);
        }
    }

    /// A stream of the gateway that may go on, and the host's number of it.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: StreamId) -> Option<(StreamNumber, &mut Stream)> {
        self.slots.get_mut(id.0).and_then(Slot::open)
    }

    /// All streams that may go on.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (StreamNumber, &mut Stream)> {
        self.slots.iter_mut().filter_map(Slot::open)
    }

    fn put(&mut self, slot: Slot) -> StreamId {
        if let Some(at) = self.free.pop()
            && let Some(free) = self.slots.get_mut(at)
        {
            *free = slot;
            return StreamId(at);
        }
        self.slots.push(slot);
        StreamId(self.slots.len() - 1)
    }
}

impl Slot {
    fn open(&mut self) -> Option<(StreamNumber, &mut Stream)> {
        match self {
            Self::Open(open) => Some((open.0, &mut open.1)),
            Self::Free | Self::Unconfigured | Self::Presenting(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_used_again_and_freed_once() {
        let mut streams = Streams::default();
        let (first, second) = (streams.insert_unconfigured(), streams.insert_unconfigured());
        assert_ne!(first, second);
        streams.remove(first);
        streams.remove(first);
        let (third, fourth) = (streams.insert_unconfigured(), streams.insert_unconfigured());
        assert_eq!(third, first);
        assert!(fourth != second && fourth != third);
        assert!(streams.get_mut(third).is_none());
    }
}
