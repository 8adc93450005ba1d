//! What the client says, on its way to the upstream.

use std::time::SystemTime;

use super::super::action::BodyAction;
use super::super::closing::{Closing, UpstreamSide};
use super::super::session_meter::{SessionMeter, Verdict};
use super::own_events::OwnEvents;
use super::watcher::Heard;
use super::{WebSocketRelay, action, client_first, close, is_too_long};
use crate::limit::Ending;
use crate::protocol::ClientMessage;
use crate::usage::{ClosedBy, RecordId, Said};
use crate::ws::{
    CloseCode, CloseFrame, Event, FollowedRead, Interest, ReadBuffer, Rewrite, Sender, masked_text_frame, message_frame,
};

/// How long a message of the client's may be that may have to be refused or changed, and so is withheld whole.
const WITHHELD_MAX: usize = 256 << 10;

/// What one read of the client's comes to.
struct ClientRead {
    /// The ending that it leads to.
    closing: Option<Closing>,
    /// The first place between two messages.
    boundary: Option<usize>,
    /// How far it was followed.
    end: usize,
    /// Where the frame begins that was followed last.
    from: Option<usize>,
    /// What of it goes on.
    rewrite: Rewrite,
}

impl WebSocketRelay {
    /// Bytes of the client's are on their way to the upstream.
    pub(crate) fn client_bytes(&mut self, mut buffer: impl ReadBuffer, now: SystemTime) -> BodyAction {
        let rewrite = self.follow_client(&mut buffer, now);
        // What is left is the upstream's: a part of what was held before.
        self.account().ok();
        action(rewrite, &mut buffer)
    }

    fn follow_client(&mut self, buffer: &mut dyn ReadBuffer, now: SystemTime) -> Rewrite {
        if self.watcher.is_some() {
            return self.drop_from_client(buffer, now);
        }
        self.is_active = true;
        if let Some(rewrite) = self.before_client() {
            return rewrite;
        }
        let size = buffer.size();
        let ClientRead { closing, boundary, end, from, mut rewrite } = self.read_client(buffer, now);
        if self.meter.kind.is_named_by_client() {
            self.client.read_first(client_first(&self.meter));
        }
        if let Some(closing) = closing {
            // Without its last frame, the message never comes to be for the upstream.
            self.client_message = None;
            self.end(closing);
            self.notify_upstream(from, &mut rewrite);
            return rewrite;
        }
        if self.client_message.is_some() && self.account().is_err() {
            self.client_message = None;
            self.end(Closing::new(Ending::Overloaded, now));
            self.notify_upstream(from, &mut rewrite);
            return rewrite;
        }
        match (boundary, self.closing.as_deref().map(Closing::upstream_side)) {
            (Some(_), Some(UpstreamSide::AtBoundary)) => self.notify_upstream(boundary, &mut rewrite),
            // What is left stands behind a Close.
            _ if end < size => rewrite.end(end, Vec::new()),
            _ => {}
        }
        rewrite
    }

    /// Follows a read up to its end, or to what ends the session.
    fn read_client(&mut self, buffer: &mut dyn ReadBuffer, now: SystemTime) -> ClientRead {
        let Self { id, meter, client, client_message, client_says, closed, mask, own_events, .. } = &mut *self;
        let (mut said, mut closing) = (Said::default(), None);
        let is_at_boundary = client.at_message_boundary();
        let mut pass = client.pass(buffer);
        if let Some(event) = own_events.as_mut().filter(|_| is_at_boundary).and_then(|own| own.preset(*id)) {
            said.add(Said::message(event.len() as u64));
            pass.insert(0, masked_text_frame(&event, *mask));
        }
        let message = |meter: &SessionMeter| Box::new(ClientMessage::new(&meter.lock, meter.kind));
        while closing.is_none()
            && let Some(event) = pass.next(&mut |piece| {
                let interest = client_says.feed(piece);
                if !meter.inspects_client() {
                    return interest;
                }
                let message = client_message.get_or_insert_with(|| message(meter));
                message.feed(piece);
                if message.is_harmless(WITHHELD_MAX as u64) { Interest::Stream } else { Interest::Withhold }
            })
        {
            closing = match event {
                Event::MessageEnd => {
                    said.add(client_says.end(pass.message_length()));
                    let message = client_message.take().unwrap_or_else(|| message(meter));
                    let verdict = if meter.inspects_client() { judge(meter, *message, &pass) } else { Verdict::Passes };
                    let own_events = own_events.as_deref_mut().map(|own| (own, *id));
                    let ending = carry_out(verdict, meter, own_events, *mask, &mut pass);
                    ending.map(|ending| Closing::new(ending, now))
                }
                Event::ProtocolError(error) => Some(Closing::for_protocol_error(Sender::Client, error, now)),
                Event::Close(frame) => {
                    closed.get_or_insert_with(|| close(ClosedBy::Client, frame.as_ref()));
                    None
                }
                Event::Ping(_) => None,
            };
        }
        if is_too_long(&pass, WITHHELD_MAX) {
            closing = closing.or_else(|| Some(Closing::new(Ending::MessageTooBig, now)));
        }
        if closing.is_none() {
            meter.say(said);
        }
        let (boundary, end, from) = (pass.message_boundary(), pass.position(), pass.frame_start());
        ClientRead { closing, boundary, end, from, rewrite: pass.finish() }
    }

    /// What becomes of all that the client says now, if that is decided.
    fn before_client(&mut self) -> Option<Rewrite> {
        let mut rewrite = Rewrite::default();
        match self.closing.as_deref().map(Closing::upstream_side) {
            Some(UpstreamSide::Closed) => rewrite.end(0, Vec::new()),
            // RFC 6455 section 5.5.1: no data frames may follow a Close. They would not be judged.
            _ if self.client.has_ended() => rewrite.end(0, Vec::new()),
            Some(UpstreamSide::AtBoundary) if self.client.at_message_boundary() => {
                self.notify_upstream(Some(0), &mut rewrite);
            }
            _ => return None,
        }
        Some(rewrite)
    }

    /// Drops what a client sends that only watches. What goes up in its place is the gateway's own.
    fn drop_from_client(&mut self, buffer: &mut dyn ReadBuffer, now: SystemTime) -> Rewrite {
        let mut rewrite = Rewrite::default();
        if self.client.has_ended() {
            rewrite.end(0, Vec::new());
            return rewrite;
        }
        let mut up = self.watcher.as_mut().map_or_else(Vec::new, |watcher| watcher.pong(self.mask));
        match Heard::of(&mut self.client, buffer, now) {
            Heard::Nothing => {}
            Heard::Close(frame) => {
                self.closed.get_or_insert_with(|| close(ClosedBy::Client, frame.as_ref()));
                up.extend(CloseFrame::new(CloseCode::NORMAL, "").encode(Some(self.mask)));
            }
            Heard::Violation(closing) => self.end(closing),
        }
        match self.closing.as_deref().map(Closing::upstream_side) {
            // No frame of the client's has begun for the upstream, so that anything can stand here.
            Some(UpstreamSide::AtBoundary) => self.notify_upstream(Some(0), &mut rewrite),
            Some(UpstreamSide::Closed) => rewrite.end(0, Vec::new()),
            Some(UpstreamSide::ByClient) | None => rewrite.end(0, up),
        }
        rewrite
    }
}

/// Judges a message that has ended.
fn judge(meter: &mut SessionMeter, message: ClientMessage, pass: &FollowedRead<'_, impl ReadBuffer>) -> Verdict {
    if is_too_long(pass, WITHHELD_MAX) { Verdict::Ends(Ending::MessageTooBig) } else { meter.judge(message) }
}

/// Does with a message that has ended what becomes of it. Says why it ends the session, if it does.
fn carry_out(
    verdict: Verdict,
    meter: &SessionMeter,
    own_events: Option<(&mut OwnEvents, RecordId)>,
    mask: [u8; 4],
    pass: &mut FollowedRead<'_, impl ReadBuffer>,
) -> Option<Ending> {
    match verdict {
        Verdict::Passes => pass.release(),
        Verdict::Ends(ending) => return Some(ending),
        Verdict::Refused(field, event_id) => {
            let question = own_events.and_then(|(own, id)| own.refuse(id, field, event_id));
            pass.replace(question.map_or_else(Vec::new, |event| masked_text_frame(&event, mask)));
        }
        Verdict::Stripped => {
            let (opcode, event) = match pass.withheld_message() {
                Ok(message) => message,
                Err(error) => return Some(Ending::ProtocolError(error.to_string().into())),
            };
            match meter.lock.unlocked(&event, meter.kind) {
                Ok(event) => pass.replace(message_frame(opcode, Some(mask), event)),
                Err(unreadable) => return Some(Ending::ProtocolError(unreadable.to_string().into())),
            }
        }
    }
    None
}
