//! One read of a connection being followed.

use super::close::CloseFrame;
use super::error::ProtocolError;
use super::event::{Event, Interest};
use super::follower::{Follower, Frame, Partial, Stage, Wanted};
use super::frame::{CONTROL_MAX, FrameHeader, HEADER_MAX, OpCode};
use super::mask;
use super::read_buffer::{Cursor, ReadBuffer};
use super::rewrite::Rewrite;
use super::withheld::Withheld;
use std::mem;

/// The most of a payload that is handed over at once.
pub(super) const PIECE_MAX: usize = 16 * 1024;

impl Follower {
    /// Follows the bytes of one more read. The pass must be driven until it has no more events: one
    /// that is dropped earlier ends the following, for there is no way back into the stream.
    pub fn pass<W: ReadBuffer>(&mut self, buffer: W) -> FollowedRead<'_, W> {
        FollowedRead {
            message_boundary: self.at_message_boundary().then_some(0),
            frame_start: self.is_within_withheld_frame().then_some(0),
            cursor: Cursor::new(buffer, HEADER_MAX + usize::from(self.first)),
            under_way: Withheld::since(mem::take(&mut self.withheld)),
            ended: None,
            rewrite: Rewrite::default(),
            follower: self,
        }
    }
}

/// One read being followed.
#[derive(Debug)]
pub struct FollowedRead<'a, W: ReadBuffer> {
    follower: &'a mut Follower,
    cursor: Cursor<W>,
    message_boundary: Option<usize>,
    frame_start: Option<usize>,
    /// What is withheld of the message that is open.
    under_way: Withheld,
    /// The message that has just ended, if it was withheld. Nothing of it goes on but what is said.
    ended: Option<Withheld>,
    rewrite: Rewrite,
}

enum Step {
    Continue,
    Found(Event),
    Exhausted,
}

impl<W: ReadBuffer> FollowedRead<'_, W> {
    /// The next thing worth telling in this read; `None` when the read is used up or following has
    /// ended. `each` gets the payloads of messages in pieces, unmasked, and says whether more is wanted.
    ///
    /// One for all callers, since both directions then share its machine code: between two reads the CPU's caches go cold.
    pub fn next(&mut self, each: &mut dyn FnMut(&[u8]) -> Interest) -> Option<Event> {
        self.drop_message();
        loop {
            let step = match self.follower.stage {
                Stage::Between => self.header(),
                Stage::Header(partial) => self.rest_of_header(partial),
                Stage::Payload => self.payload(each),
                Stage::Ended => return None,
            };
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::Found(event)) => return Some(event),
                Ok(Step::Exhausted) => return None,
                Err(violation) => {
                    self.follower.end();
                    return Some(Event::ProtocolError(violation));
                }
            }
        }
    }

    /// How far the read has been followed. After [`Event::MessageEnd`] or [`Event::Close`] this is
    /// where the frame ended; after a message, that is a message boundary.
    #[must_use]
    pub fn position(&self) -> usize {
        self.cursor.position()
    }

    /// How many bytes of payload the message has that came last, as far as it has come.
    #[must_use]
    pub fn message_length(&self) -> u64 {
        self.follower.counts.data - self.follower.before
    }

    /// The first place seen in this read where a message may be put between two others. What
    /// follows it can be dropped, and the receiver has had nothing but whole messages.
    #[must_use]
    pub fn message_boundary(&self) -> Option<usize> {
        self.message_boundary
    }

    /// Where the frame followed last begins, if it begins in this read. A Close may be put there,
    /// even within a message, if what follows is dropped.
    #[must_use]
    pub fn frame_start(&self) -> Option<usize> {
        self.frame_start
    }

    /// How many bytes of frames the message has that is withheld, or was and has just ended.
    #[must_use]
    pub fn withheld(&self) -> usize {
        self.ended.as_ref().unwrap_or(&self.under_way).size()
    }

    /// What the message is that was withheld and has just ended, and its payload.
    ///
    /// # Errors
    ///
    /// If its bytes cannot be read again.
    pub fn withheld_message(&mut self) -> Result<(OpCode, Vec<u8>), ProtocolError> {
        let ended = self.ended.as_ref().ok_or(ProtocolError::Unreadable)?;
        ended.message(&mut self.cursor, self.follower.sender)
    }

    /// The message that has just ended goes on as it came, if it was withheld.
    pub fn release(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended.release(self.cursor.position(), &mut self.rewrite);
        }
    }

    /// These bytes go on in the place of the message that was withheld and has just ended.
    pub fn replace(&mut self, bytes: Vec<u8>) {
        if let Some(ended) = self.ended.take() {
            ended.replace(self.cursor.position(), bytes, &mut self.rewrite);
        }
    }

    /// Puts these bytes before what stands at `place`, a message boundary that is no further than the read has been
    /// followed, and where nothing that was put behind it stands.
    pub fn insert(&mut self, place: usize, bytes: Vec<u8>) {
        self.rewrite.insert(place, bytes);
    }

    /// Says that the read is used up, or given up: what becomes of it. What is withheld waits for the next.
    #[must_use]
    pub fn finish(mut self) -> Rewrite {
        self.drop_message();
        match mem::take(&mut self.under_way).keep(&mut self.cursor, &mut self.rewrite) {
            Ok(_) if self.follower.has_ended() => {}
            Ok(withheld) => self.follower.withheld = withheld,
            Err(_) => self.follower.end(),
        }
        mem::take(&mut self.rewrite)
    }

    /// Drops the message that has just ended, if nobody has said what is to become of it.
    fn drop_message(&mut self) {
        self.replace(Vec::new());
    }

    fn header(&mut self) -> Result<Step, ProtocolError> {
        if self.cursor.left() == 0 {
            return Ok(Step::Exhausted);
        }
        self.frame_start = Some(self.cursor.position());
        let bytes = self.cursor.peek(HEADER_MAX)?;
        match FrameHeader::parse(bytes, self.follower.sender)? {
            Some((header, size)) => self.begin(header, size, size),
            None => {
                let mut partial = Partial::default();
                partial.extend(bytes);
                Ok(self.keep(partial, partial.length()))
            }
        }
    }

    fn rest_of_header(&mut self, mut partial: Partial) -> Result<Step, ProtocolError> {
        let known = partial.length();
        partial.extend(self.cursor.peek(HEADER_MAX - known)?);
        match FrameHeader::parse(partial.filled(), self.follower.sender)? {
            Some((header, size)) => self.begin(header, size, size - known),
            None => Ok(self.keep(partial, partial.length() - known)),
        }
    }

    /// Keeps what there is of a header; `fresh` of its bytes are this read's, and the last of it.
    fn keep(&mut self, partial: Partial, fresh: usize) -> Step {
        self.cursor.advance(fresh);
        if self.follower.withholds_header(partial.filled()) {
            self.withhold(fresh);
        }
        self.follower.stage = Stage::Header(partial);
        Step::Exhausted
    }

    /// Begins a frame whose header is of this size; `fresh` of its bytes are this read's.
    fn begin(&mut self, header: FrameHeader, size: usize, fresh: usize) -> Result<Step, ProtocolError> {
        self.cursor.advance(fresh);
        let follower = &mut *self.follower;
        follower.counts.frames += 1;
        follower.counts.bytes += size as u64;
        match (header.opcode, &follower.open) {
            (OpCode::Ping | OpCode::Pong, _) | (OpCode::Continuation, Some(_)) => {}
            (OpCode::Close, _) => follower.open = None,
            (OpCode::Text | OpCode::Binary, None) => {
                follower.open = Some(if follower.first == 0 { Wanted::Nothing } else { Wanted::First });
                follower.before = follower.counts.data;
            }
            (OpCode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (OpCode::Text | OpCode::Binary, Some(_)) => return Err(ProtocolError::UnfinishedMessage),
        }
        follower.stage = Stage::Payload;
        follower.frame = Frame { left: header.length, header };
        if follower.is_within_withheld_frame() {
            self.withhold(fresh);
        }
        Ok(Step::Continue)
    }

    fn payload(&mut self, each: &mut dyn FnMut(&[u8]) -> Interest) -> Result<Step, ProtocolError> {
        match (self.follower.frame.header.opcode, self.follower.open) {
            (OpCode::Close, _) => self.control(),
            (OpCode::Ping, _) if self.follower.tells_pings => self.control(),
            (OpCode::Ping | OpCode::Pong, _) | (_, None | Some(Wanted::Nothing | Wanted::End)) => self.skip(),
            (_, Some(Wanted::First)) => self.piece(self.follower.first.into(), each),
            (_, Some(Wanted::All | Wanted::Withheld)) => self.piece(PIECE_MAX, each),
        }
    }

    fn skip(&mut self) -> Result<Step, ProtocolError> {
        let count = within(self.follower.frame.left, self.cursor.left());
        self.pass_payload(count);
        self.settle()
    }

    /// Keeps what there is of a control frame's payload.
    fn control(&mut self) -> Result<Step, ProtocolError> {
        let payload = self.unmasked(CONTROL_MAX)?.to_vec();
        self.follower.control.extend_from_slice(&payload);
        self.pass_payload(payload.len());
        self.settle()
    }

    /// Hands over at most `max` bytes of a message's payload.
    fn piece(&mut self, max: usize, each: &mut dyn FnMut(&[u8]) -> Interest) -> Result<Step, ProtocolError> {
        let piece = self.unmasked(max)?;
        let count = piece.len();
        if count > 0 {
            let interest = each(piece);
            let is_withheld = self.follower.withholds();
            self.follower.open = Some(match interest {
                Interest::Skip => Wanted::Nothing,
                Interest::Withhold if is_withheld => Wanted::Withheld,
                Interest::Stream | Interest::Withhold => Wanted::All,
                Interest::Measure => Wanted::End,
            });
            if is_withheld && !self.follower.withholds() {
                mem::take(&mut self.under_way).release(self.cursor.position(), &mut self.rewrite);
            }
        }
        self.pass_payload(count);
        self.settle()
    }

    /// At most `max` bytes of the payload, unmasked where they were copied to. They must be stepped over next.
    fn unmasked(&mut self, max: usize) -> Result<&[u8], ProtocolError> {
        let frame = &self.follower.frame;
        let payload = self.cursor.peek(within(frame.left, max))?;
        if let Some(key) = frame.header.mask {
            mask::apply(key, frame.header.length - frame.left, payload);
        }
        Ok(payload)
    }

    /// Goes on within the frame, or behind it.
    fn settle(&mut self) -> Result<Step, ProtocolError> {
        match (self.follower.frame.left, self.cursor.left()) {
            (0, _) => self.end_frame(),
            (_, 0) => Ok(Step::Exhausted),
            _ => Ok(Step::Continue),
        }
    }

    fn end_frame(&mut self) -> Result<Step, ProtocolError> {
        let follower = &mut *self.follower;
        follower.stage = Stage::Between;
        let mut step = Step::Continue;
        match follower.frame.header.opcode {
            OpCode::Ping => {
                follower.counts.pings += 1;
                if follower.tells_pings {
                    step = Step::Found(Event::Ping(mem::take(&mut follower.control)));
                }
            }
            OpCode::Pong => follower.counts.pongs += 1,
            OpCode::Close => {
                let payload = mem::take(&mut follower.control);
                follower.end();
                return Ok(Step::Found(Event::Close(CloseFrame::parse(&payload)?)));
            }
            OpCode::Continuation | OpCode::Text | OpCode::Binary if follower.frame.header.fin => {
                follower.counts.messages += 1;
                if follower.withholds() {
                    self.ended = Some(mem::take(&mut self.under_way));
                }
                if follower.open.take() != Some(Wanted::Nothing) {
                    step = Step::Found(Event::MessageEnd);
                }
            }
            OpCode::Continuation | OpCode::Text | OpCode::Binary => {}
        }
        if follower.open.is_none() {
            self.message_boundary.get_or_insert(self.cursor.position());
        }
        Ok(step)
    }

    fn pass_payload(&mut self, count: usize) {
        self.cursor.advance(count);
        if self.follower.is_within_withheld_frame() {
            self.withhold(count);
        }
        let follower = &mut *self.follower;
        follower.counts.bytes += count as u64;
        follower.frame.left -= count as u64;
        if let OpCode::Continuation | OpCode::Text | OpCode::Binary = follower.frame.header.opcode {
            follower.counts.data += count as u64;
        }
    }

    /// The last `count` bytes are of a message that is withheld.
    fn withhold(&mut self, count: usize) {
        let position = self.cursor.position();
        self.under_way.add(position - count..position);
    }
}

impl<W: ReadBuffer> Drop for FollowedRead<'_, W> {
    fn drop(&mut self) {
        let is_lost = !self.under_way.is_empty() || self.ended.is_some();
        if self.cursor.left() > 0 || is_lost {
            self.follower.end();
        }
    }
}

/// `left` or `available`, whichever is less. `left` comes from the wire and may be over what
/// `usize` holds.
fn within(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}
