//! What one read of the upstream's comes to, and where in it something can be put for the client.

use super::super::closing::{ClientSide, Closing};
use crate::ws::{FollowedRead, ReadBuffer};

/// What one read of the upstream's comes to, as its events are met.
#[derive(Default)]
pub(super) struct UpstreamRead {
    /// What the client was to get before it, if the session was ending already.
    pub(super) due: Option<ClientSide>,
    /// The ending that it leads to.
    pub(super) closing: Option<Closing>,
    /// Where the client gets what it is due.
    pub(super) insertion: Option<InsertionPoint>,
    pub(super) has_passed_close: bool,
}

impl UpstreamRead {
    /// Whether nothing has ended the session.
    pub(super) fn is_open(&self) -> bool {
        self.due.is_none() && self.closing.is_none()
    }

    /// A message that ends at `position` may end the session there.
    pub(super) fn end(&mut self, closing: Option<Closing>, position: usize) {
        if self.is_open() && closing.is_some() {
            self.insertion = Some(InsertionPoint::Boundary(position));
            self.closing = closing;
        }
    }

    /// The upstream closes a session that is ending.
    pub(super) fn meet_close(&mut self, pass: &FollowedRead<'_, impl ReadBuffer>) {
        let before = self.due.map(|due| InsertionPoint::before(pass, due));
        // A Close of which a part has passed goes on: it ends the client's side as well.
        self.has_passed_close = self.insertion.is_none() && matches!(before, Some(InsertionPoint::Nowhere));
        self.insertion = self.insertion.or(before);
    }

    /// The upstream has broken the protocol.
    pub(super) fn break_off(&mut self, closing: Closing, pass: &FollowedRead<'_, impl ReadBuffer>) {
        let due = self.due.unwrap_or(ClientSide::AtClose);
        self.insertion = self.insertion.or_else(|| Some(InsertionPoint::before(pass, due)));
        self.closing.get_or_insert(closing);
    }
}

/// Where in a read of the upstream's something can be put for the client.
#[derive(Debug, Clone, Copy)]
pub(super) enum InsertionPoint {
    /// Between two messages.
    Boundary(usize),
    /// At the start of a frame, which may be within a message.
    Frame(usize),
    /// Not in this read.
    Nowhere,
}

impl InsertionPoint {
    /// The first place before the end of what was followed last.
    pub(super) fn before(pass: &FollowedRead<'_, impl ReadBuffer>, due: ClientSide) -> Self {
        let boundary = pass.message_boundary().filter(|_| due == ClientSide::AtBoundary);
        let frame = pass.frame_start().map_or(Self::Nowhere, Self::Frame);
        boundary.map_or(frame, Self::Boundary)
    }
}
