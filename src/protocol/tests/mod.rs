//! Whole streams, and messages as tests have them.

mod estimates;
mod recorded;
mod tool_types;

use super::{SessionKind, UpstreamMessage};
use crate::usage::{Meter, MeterEvent, PriceList};

impl Meter {
    /// Counts a whole event.
    pub(crate) fn event(&mut self, event: &[u8], prices: &PriceList) -> MeterEvent {
        let mut message = UpstreamMessage::of(SessionKind::Other);
        message.feed_event(event);
        self.add(message.end_event(), prices)
    }

    /// Counts the whole body of a response.
    pub(crate) fn body(&mut self, body: &[u8], prices: &PriceList) -> MeterEvent {
        let mut message = UpstreamMessage::of_rest();
        message.feed(body);
        self.add(message.into_body(), prices)
    }
}
