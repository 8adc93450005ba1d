//! What the upstream says, on its way to the client.

use std::time::SystemTime;

use super::super::action::BodyAction;
use super::super::closing::{ClientSide, Closing};
use super::upstream_read::{InsertionPoint, UpstreamRead};
use super::{WebSocketRelay, action, close};
use crate::process::Sessions;
use crate::protocol::{EventType, Relevance, SessionKind, UpstreamMessage};
use crate::usage::{ClosedBy, PriceList, Reported, Said};
use crate::ws::{Event, Interest, ReadBuffer, Rewrite, Sender};

impl WebSocketRelay {
    /// Bytes of the upstream's are on their way to the client.
    pub(crate) fn upstream_bytes(
        &mut self,
        mut buffer: impl ReadBuffer,
        prices: &PriceList,
        sessions: &mut Sessions,
        now: SystemTime,
    ) -> BodyAction {
        let rewrite = self.follow_upstream(&mut buffer, prices, sessions, now);
        // An upstream's message is within the session's share.
        self.account().ok();
        action(rewrite, &mut buffer)
    }

    fn follow_upstream(
        &mut self,
        buffer: &mut dyn ReadBuffer,
        prices: &PriceList,
        sessions: &mut Sessions,
        now: SystemTime,
    ) -> Rewrite {
        self.is_active = true;
        let due = self.closing.as_deref().map(Closing::client_side);
        let mut read = UpstreamRead { due, ..UpstreamRead::default() };
        if due == Some(ClientSide::AtBoundary) && self.upstream.at_message_boundary() {
            read.insertion = Some(InsertionPoint::Boundary(0));
        }
        let Self { meter, upstream, upstream_message: message, closed, watcher, .. } = &mut *self;
        let mut pass = upstream.pass(buffer);
        // To the end, also where the client hears no more of it: what was used is to be counted.
        let (kind, hears) = (meter.kind, meter.hears());
        while let Some(event) = pass.next(&mut |piece| read_upstream(message, piece, (kind, hears))) {
            match event {
                Event::MessageEnd => {
                    let reported = match message {
                        Some(message) if message.has_begun() => message.end_event(),
                        _ => Reported::Output(Said::audio_event(pass.message_length())),
                    };
                    let ending = meter.add(reported, prices, sessions, now);
                    let closing = ending.map(|ending| Closing::new(ending, now).after(meter.last_words()));
                    read.end(closing, pass.position());
                }
                Event::Ping(payload) => {
                    if let Some(watcher) = watcher {
                        watcher.ping = Some(payload);
                    }
                }
                Event::Close(frame) => {
                    if read.is_open() {
                        closed.get_or_insert_with(|| close(ClosedBy::Upstream, frame.as_ref()));
                    } else {
                        read.meet_close(&pass);
                    }
                }
                Event::ProtocolError(error) => {
                    meter.set_incomplete();
                    read.break_off(Closing::for_protocol_error(Sender::Server, error, now), &pass);
                }
            }
        }
        let boundary = pass.message_boundary();
        let rewrite = pass.finish();
        if self.upstream_message.as_ref().is_some_and(|message| !message.has_begun()) {
            self.upstream_message = None;
        }
        if let Some(closing) = read.closing.take() {
            self.end(closing);
        }
        self.insert_for_client(&read, boundary, rewrite, now)
    }

    /// Puts the error event and the Close frame where a read of the upstream's allows it; `boundary` is the last between two
    /// messages.
    fn insert_for_client(
        &mut self,
        read: &UpstreamRead,
        boundary: Option<usize>,
        mut rewrite: Rewrite,
        now: SystemTime,
    ) -> Rewrite {
        match (read.insertion, boundary, self.closing.as_deref().map(Closing::client_side)) {
            (_, _, Some(ClientSide::Closed)) => rewrite.end(0, Vec::new()),
            (Some(insertion), ..) => {
                let mut ended = Rewrite::default();
                let ended = if read.has_passed_close { &mut ended } else { &mut rewrite };
                self.notify_client(insertion, ended, now);
            }
            (None, Some(from), Some(ClientSide::AtBoundary)) => {
                self.notify_client(InsertionPoint::Boundary(from), &mut rewrite, now);
            }
            _ => {}
        }
        rewrite
    }
}

/// Reads more of an upstream's message, unless it does not matter; what responses say matters only where that is heard.
fn read_upstream(
    message: &mut Option<Box<UpstreamMessage>>,
    piece: &[u8],
    (kind, hears): (SessionKind, bool),
) -> Interest {
    let is_first = message.as_ref().is_none_or(|message| !message.has_begun());
    match kind.leading(piece).filter(|_| is_first) {
        Some(EventType::Other) => return Interest::Skip,
        Some(EventType::AudioDelta) if hears => return Interest::Measure,
        Some(EventType::AudioDelta | EventType::TextDelta) if !hears => return Interest::Skip,
        _ => {}
    }
    let message = message.get_or_insert_with(|| Box::new(UpstreamMessage::of(kind)));
    let interest = match message.feed_event(piece) {
        Relevance::Open => return Interest::Stream,
        Relevance::Text if hears => return Interest::Stream,
        Relevance::Length if hears => Interest::Measure,
        Relevance::Text | Relevance::Length | Relevance::None => Interest::Skip,
    };
    message.reset();
    interest
}
