//! What the upstream says, on its way to the client.

use std::time::SystemTime;

use super::super::action::BodyAction;
use super::super::closing::{ClientSide, Closing};
use super::own_events::{Outcome, OwnEvents};
use super::upstream_message::{Listening, UpstreamSays};
use super::upstream_read::{InsertionPoint, UpstreamRead};
use super::{WebSocketRelay, action, close, is_too_long};
use crate::json::matcher::Unreadable;
use crate::limit::Ending;
use crate::process::Sessions;
use crate::protocol::{Answer, Hidden, Hide};
use crate::usage::{ClosedBy, PriceList, RecordId};
use crate::ws::{Event, FollowedRead, ReadBuffer, Rewrite, Sender, message_frame};

/// How long an event may be that may tell what its client does not get to see, and so is withheld whole.
const WITHHELD_MAX: usize = 1 << 20;

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
        if self.closing.is_some() {
            // What was withheld from its client may have been let go since it was accounted for.
            self.account().ok();
        }
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
        let (rewrite, boundary, frame) = self.read_upstream(buffer, &mut read, prices, (sessions, now));
        self.upstream_message.rest();
        if self.account().is_err() && self.upstream.held() > 0 {
            read.end(Some(Closing::new(Ending::Overloaded, now)), frame.unwrap_or_default());
        }
        if let Some(closing) = read.closing.take() {
            self.end(closing);
        }
        self.insert_for_client(&read, boundary, rewrite, now)
    }

    /// Follows a read up to its end, also where the client hears no more of it: what was used is to be counted. Gives what
    /// goes on, the first place between two messages, and where the last frame begins.
    fn read_upstream(
        &mut self,
        buffer: &mut dyn ReadBuffer,
        read: &mut UpstreamRead,
        prices: &PriceList,
        (sessions, now): (&mut Sessions, SystemTime),
    ) -> (Rewrite, Option<usize>, Option<usize>) {
        let is_at_boundary = self.upstream.at_message_boundary();
        let Self { id, meter, upstream, upstream_message, own_events, closed, watcher, .. } = &mut *self;
        let mut own_events = own_events.as_deref_mut().map(|own| (own, *id));
        let mut pass = upstream.pass(buffer);
        if is_at_boundary && read.is_open() {
            tell(own_events.as_mut(), 0, &mut pass);
        }
        let hears = meter.hears();
        while let Some(event) = pass.next(&mut |piece| {
            let awaits_answer = own_events.as_ref().is_some_and(|(own, _)| own.awaits_answer());
            upstream_message.feed(piece, Listening { hears, hide: &meter.hide, awaits_answer })
        }) {
            match event {
                Event::MessageEnd => {
                    let UpstreamSays { reported, answer, hidden } = upstream_message.end(pass.message_length());
                    let unshown = carry_out((answer, hidden), &meter.hide, own_events.as_mut(), &mut pass);
                    let ending = unshown.or(meter.add(reported, prices, sessions, now));
                    let closing = ending.map(|ending| Closing::new(ending, now).after(meter.last_words()));
                    let end = pass.position();
                    read.end(closing, end);
                    if read.is_open() {
                        tell(own_events.as_mut(), end, &mut pass);
                    }
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
        let (boundary, frame) = (pass.message_boundary(), pass.frame_start());
        if is_too_long(&pass, WITHHELD_MAX) {
            read.end(Some(Closing::new(Ending::MessageTooBig, now)), frame.unwrap_or_default());
        }
        (pass.finish(), boundary, frame)
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
            (_, _, Some(ClientSide::Closed)) => {
                self.upstream.forget();
                rewrite.end(0, Vec::new());
            }
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

/// Tells the client at `place` what waits for that.
fn tell(
    own_events: Option<&mut (&mut OwnEvents, RecordId)>,
    place: usize,
    pass: &mut FollowedRead<'_, impl ReadBuffer>,
) {
    if let Some((own, id)) = own_events {
        pass.insert(place, own.tell(*id));
    }
}

/// Does with a whole message what becomes of it. Says why it ends the session, if it does.
fn carry_out(
    (answer, hidden): (Answer, Result<Hidden, Unreadable>),
    hide: &Hide,
    own_events: Option<&mut (&mut OwnEvents, RecordId)>,
    pass: &mut FollowedRead<'_, impl ReadBuffer>,
) -> Option<Ending> {
    if is_too_long(pass, WITHHELD_MAX) {
        return Some(Ending::MessageTooBig);
    }
    match own_events.map_or(Outcome::Passes, |(own, id)| own.meet(*id, answer)) {
        Outcome::Passes => {}
        Outcome::Gone => return None,
        Outcome::Ends(ending) => return Some(ending),
    }
    match hidden {
        Ok(Hidden::Absent) => pass.release(),
        Ok(Hidden::Present) => {
            let (opcode, event) = match pass.withheld_message() {
                Ok(message) => message,
                Err(error) => return Some(Ending::ProtocolError(error.to_string().into())),
            };
            match hide.shown(&event) {
                Ok(event) => pass.replace(message_frame(opcode, None, event)),
                Err(unreadable) => return Some(Ending::ProtocolError(unreadable.to_string().into())),
            }
        }
        Err(unreadable) => return Some(Ending::ProtocolError(unreadable.to_string().into())),
    }
    None
}
