//! What has come of a body, or one read of a WebSocket, in Envoy's buffers.

use std::ptr::null;

use realtime_byok::ws::ReadBuffer;

use super::bindings::{self, BodyType, EnvoyBuffer};
use super::{Failed, Filter, bytes, done, module_buffer};

/// Which way a body goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the upstream.
    Request,
    /// To the client.
    Response,
}

/// What has come of a body: what this stream has waited with, and then what came just now.
pub(crate) struct Body<'a> {
    filter: &'a Filter<'a>,
    direction: Direction,
    /// Whether some of it waits.
    waits: bool,
    pieces: Vec<EnvoyBuffer>,
    size: usize,
    /// The filter's changes when these were its pieces.
    changes: u32,
}

impl<'a> Body<'a> {
    /// What has come; `waits` says whether the stream has kept something back.
    pub(crate) fn new(filter: &'a Filter<'a>, direction: Direction, waits: bool) -> Self {
        let mut body = Self { waits, ..Self::none(filter, direction) };
        if waits {
            body.add(direction.waiting());
        }
        body.add(direction.received());
        body
    }

    /// None of it: for hooks in which no body is looked at.
    pub(crate) fn none(filter: &'a Filter<'a>, direction: Direction) -> Self {
        Self { filter, direction, waits: false, pieces: Vec::new(), size: 0, changes: filter.changes.get() }
    }

    /// Puts `bytes` in the place of what came from an offset on.
    pub(crate) fn replace(&self, from: usize, bytes: &[u8]) -> Result<(), Failed> {
        let kept = self.copy(0, from).ok_or(Failed)?;
        self.filter.lives()?;
        self.filter.changes.update(|changes| changes.wrapping_add(1));
        let (waiting, received) = (self.direction.waiting(), self.direction.received());
        let pointer = self.filter.pointer;
        // SAFETY: the stream lives; where there is no such body, nothing is drained.
        let has_received = unsafe { bindings::drain_body(pointer, received, usize::MAX) };
        if self.waits {
            // SAFETY: as above.
            unsafe { bindings::drain_body(pointer, waiting, usize::MAX) };
        }
        let place = if has_received { received } else { waiting };
        [kept.as_slice(), bytes].into_iter().filter(|part| !part.is_empty()).try_for_each(|part| {
            // SAFETY: the stream lives, and the buffer is a live slice's.
            done(unsafe { bindings::append_body(pointer, place, module_buffer(part)) })
        })
    }

    fn add(&mut self, body: BodyType) {
        if self.filter.lives().is_err() {
            return;
        }
        // SAFETY: the stream lives.
        let count = unsafe { bindings::body_chunks_size(self.filter.pointer, body) };
        let start = self.pieces.len();
        self.pieces.resize(start + count, EnvoyBuffer { bytes: null(), length: 0 });
        let Some(place) = self.pieces.get_mut(start..).filter(|place| !place.is_empty()) else { return };
        // SAFETY: the stream lives, and there is room for as many pieces as there are.
        if unsafe { bindings::body_chunks(self.filter.pointer, body, place.as_mut_ptr()) } {
            self.size += place.iter().map(|piece| piece.length).sum::<usize>();
        } else {
            self.pieces.truncate(start);
        }
    }

    /// A copy of a part of it, which may lie in several pieces.
    fn copy(&self, offset: usize, length: usize) -> Option<Vec<u8>> {
        if self.changes != self.filter.changes.get() || self.filter.lives().is_err() {
            return None;
        }
        let mut copy = Vec::with_capacity(length.min(self.size));
        let mut ahead = offset;
        for piece in &self.pieces {
            // SAFETY: Envoy has written it in this hook, and nothing has changed the body since.
            let piece = unsafe { bytes(piece) };
            let rest = piece.get(ahead..).unwrap_or_default();
            ahead = ahead.saturating_sub(piece.len());
            copy.extend_from_slice(rest.get(..length - copy.len()).unwrap_or(rest));
            if copy.len() == length {
                break;
            }
        }
        Some(copy)
    }
}

impl ReadBuffer for Body<'_> {
    fn size(&self) -> usize {
        self.size
    }

    fn read(&mut self, offset: usize, length: usize) -> Option<Vec<u8>> {
        self.copy(offset, length)
    }
}

impl Direction {
    fn waiting(self) -> BodyType {
        match self {
            Self::Request => BodyType::BufferedRequestBody,
            Self::Response => BodyType::BufferedResponseBody,
        }
    }

    fn received(self) -> BodyType {
        match self {
            Self::Request => BodyType::ReceivedRequestBody,
            Self::Response => BodyType::ReceivedResponseBody,
        }
    }
}
