//! Following one direction of a connection, frame by frame.

use std::mem;

use super::close::CloseFrame;
use super::error::ProtocolError;
use super::event::{Counts, Event, Interest, Message, MessageKind, Start};
use super::frame::{CONTROL_MAX, FrameHeader, HEADER_MAX, OpCode, Sender};
use super::mask;
use super::read_buffer::{Cursor, ReadBuffer};

/// The most that one read copies of a payload that is collected.
const COLLECT_STEP: usize = 16 * 1024;

/// Follows what one peer sends, over as many reads as it takes.
///
/// It holds no more than a message's head while that is incomplete, and what it was asked to
/// collect, up to the bound that came with the asking. Nothing is reserved before bytes came to
/// fill it.
///
/// That the payload of a text message is UTF-8 is not checked: the peers do so, and checking would
/// mean reading all of it.
///
/// ```
/// use realtime_byok::ws::{Event, Follower, Interest, Sender, text_frame};
///
/// let mut follower = Follower::new(Sender::Server, 128);
/// let read = [text_frame(r#"{"type":"noise"}"#), text_frame(r#"{"type":"news"}"#)].concat();
///
/// let mut pass = follower.pass(read.as_slice());
/// let mut news = Vec::new();
/// while let Some(event) = pass.next(|start| {
///     if start.head.starts_with(br#"{"type":"news""#) {
///         Interest::Collect { max: 64 * 1024 }
///     } else {
///         Interest::Skip
///     }
/// }) {
///     match event {
///         Event::Message(message) => news.push(message.payload),
///         Event::TooLong | Event::Close(_) | Event::ProtocolError(_) => unreachable!(),
///     }
/// }
/// assert_eq!(news, [br#"{"type":"news"}"#]);
/// assert_eq!(pass.message_boundary(), Some(0));
/// drop(pass);
/// assert_eq!(follower.counts().messages, 2);
/// ```
#[derive(Debug)]
pub struct Follower {
    sender: Sender,
    head: usize,
    stage: Stage,
    /// The frame that is followed, or was last.
    frame: Frame,
    /// The message that is open, from its first frame's header to its last frame's end.
    open: Option<Open>,
    /// The unmasked head while it is incomplete, then the message if it is collected; a Close
    /// frame's payload once there is one, since nothing matters after it.
    gathered: Vec<u8>,
    counts: Counts,
}

#[derive(Debug)]
enum Stage {
    /// Between two frames.
    Between,
    /// Within a header that the end of a read has cut.
    Header(Partial),
    /// Within the frame's payload, or at the end of it.
    Payload,
    Ended,
}

#[derive(Debug, Clone, Copy)]
struct Partial {
    bytes: [u8; HEADER_MAX],
    length: usize,
}

impl Partial {
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Appends bytes, no more than there is room for.
    fn extend(&mut self, fresh: &[u8]) {
        let end = self.length + fresh.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(fresh);
            self.length = end;
        }
    }
}

#[derive(Debug)]
struct Frame {
    header: FrameHeader,
    /// Bytes of the payload that have not passed.
    left: u64,
}

#[derive(Debug)]
struct Open {
    kind: MessageKind,
    /// `None` while the head is incomplete.
    interest: Option<Interest>,
}

impl Follower {
    /// A follower of what `sender` sends from the connection's first frame on, which shows the
    /// first `head` bytes of each message. With 0 it only reads frame headers.
    #[must_use]
    pub fn new(sender: Sender, head: u16) -> Self {
        Self {
            sender,
            head: usize::from(head),
            stage: Stage::Between,
            frame: Frame { header: FrameHeader { fin: true, opcode: OpCode::Text, mask: None, length: 0 }, left: 0 },
            open: None,
            gathered: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Follows the bytes of one more read. The pass must be driven until it has no more events: one
    /// that is dropped earlier ends the following, for there is no way back into the stream.
    pub fn pass<W: ReadBuffer>(&mut self, buffer: W) -> FollowedRead<'_, W> {
        let least_ahead = HEADER_MAX + self.head;
        FollowedRead {
            message_boundary: self.at_message_boundary().then_some(0),
            frame_start: None,
            cursor: Cursor::new(buffer, least_ahead),
            follower: self,
        }
    }

    /// How many bytes are reserved for a message that is not complete.
    pub fn reserved(&self) -> usize {
        self.gathered.capacity()
    }

    /// Whether the next byte is the first of a message or of a control frame between messages, so
    /// that a message may be put in its place. Never after the end.
    #[must_use]
    pub fn at_message_boundary(&self) -> bool {
        matches!(self.stage, Stage::Between) && self.open.is_none()
    }

    /// Whether following has ended: by a Close, a violation, or a pass that was left early.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// What has passed so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Steps over the rest of a message that is being collected, and forgets what there is of it.
    pub fn give_up(&mut self) {
        if let Some(open) = &mut self.open {
            open.interest = Some(Interest::Skip);
            self.gathered = Vec::new();
        }
    }

    /// Follows no further, and holds nothing any more.
    pub fn end(&mut self) {
        self.stage = Stage::Ended;
        self.open = None;
        self.gathered = Vec::new();
    }

    /// Closes the open message, and hands it out if it was asked for.
    fn deliver(&mut self) -> Option<Message> {
        match self.open.take()? {
            Open { interest: None | Some(Interest::Skip), .. } => None,
            Open { kind, interest: Some(Interest::Collect { .. } | Interest::Require { .. }) } => {
                Some(Message { kind, payload: mem::take(&mut self.gathered) })
            }
        }
    }

    /// Appends bytes, growing by doubling but never beyond `max`.
    fn gather(&mut self, bytes: &[u8], max: usize) {
        let needed = self.gathered.len() + bytes.len();
        if needed > self.gathered.capacity() {
            let doubled = self.gathered.capacity().saturating_mul(2).min(max);
            let room = needed.max(doubled) - self.gathered.len();
            self.gathered.reserve_exact(room);
        }
        self.gathered.extend_from_slice(bytes);
    }
}

/// One read being followed.
#[derive(Debug)]
pub struct FollowedRead<'a, W: ReadBuffer> {
    follower: &'a mut Follower,
    cursor: Cursor<W>,
    message_boundary: Option<usize>,
    frame_start: Option<usize>,
}

enum Step {
    Continue,
    Found(Event),
    Exhausted,
}

impl<W: ReadBuffer> FollowedRead<'_, W> {
    /// The next thing worth telling in this read; `None` when the read is used up or following has
    /// ended. `decide` is asked once for each message, when its head is complete.
    pub fn next(&mut self, mut decide: impl FnMut(Start<'_>) -> Interest) -> Option<Event> {
        self.next_event(&mut decide)
    }

    /// One for all, since both directions then share its machine code: between two reads the CPU's caches go cold.
    fn next_event(&mut self, decide: &mut dyn FnMut(Start<'_>) -> Interest) -> Option<Event> {
        loop {
            let step = match self.follower.stage {
                Stage::Between => self.header(),
                Stage::Header(partial) => self.rest_of_header(partial),
                Stage::Payload => self.payload(decide),
                Stage::Ended => return None,
            };
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::Found(event)) => return Some(event),
                Ok(Step::Exhausted) => return None,
                Err(error) => {
                    self.follower.end();
                    return Some(Event::ProtocolError(error));
                }
            }
        }
    }

    /// How far the read has been followed. After [`Event::Message`] or [`Event::Close`] this is
    /// where the frame ended; after a message, that is a message boundary.
    #[must_use]
    pub fn position(&self) -> usize {
        self.cursor.position()
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

    fn header(&mut self) -> Result<Step, ProtocolError> {
        if self.cursor.left() == 0 {
            return Ok(Step::Exhausted);
        }
        self.frame_start = Some(self.cursor.position());
        let bytes = self.cursor.peek(HEADER_MAX)?;
        match FrameHeader::parse(bytes, self.follower.sender)? {
            Some((header, size)) => self.begin(header, size, size),
            None => {
                let mut partial = Partial { bytes: [0; HEADER_MAX], length: 0 };
                partial.extend(bytes);
                Ok(self.keep(partial, partial.length))
            }
        }
    }

    fn rest_of_header(&mut self, mut partial: Partial) -> Result<Step, ProtocolError> {
        let known = partial.length;
        partial.extend(self.cursor.peek(HEADER_MAX - known)?);
        match FrameHeader::parse(partial.filled(), self.follower.sender)? {
            Some((header, size)) => self.begin(header, size, size - known),
            None => Ok(self.keep(partial, partial.length - known)),
        }
    }

    /// Keeps what there is of a header; `fresh` of its bytes are this read's, and the last of it.
    fn keep(&mut self, partial: Partial, fresh: usize) -> Step {
        self.cursor.advance(fresh);
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
            (OpCode::Close, _) => {
                follower.open = None;
                follower.gathered = Vec::new();
            }
            (OpCode::Text, None) => follower.open = Some(Open { kind: MessageKind::Text, interest: None }),
            (OpCode::Binary, None) => follower.open = Some(Open { kind: MessageKind::Binary, interest: None }),
            (OpCode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (OpCode::Text | OpCode::Binary, Some(_)) => return Err(ProtocolError::UnfinishedMessage),
        }
        let is_continuation = header.opcode == OpCode::Continuation;
        follower.stage = Stage::Payload;
        follower.frame = Frame { left: header.length, header };
        if is_continuation { self.check_bound() } else { Ok(Step::Continue) }
    }

    fn payload(&mut self, decide: &mut dyn FnMut(Start<'_>) -> Interest) -> Result<Step, ProtocolError> {
        match (self.follower.frame.header.opcode, &self.follower.open) {
            (OpCode::Close, _) => self.collect(CONTROL_MAX),
            (OpCode::Ping | OpCode::Pong, _) | (_, None) => self.skip(),
            (_, Some(open)) => match open.interest {
                None => self.head(decide),
                Some(Interest::Skip) => self.skip(),
                Some(Interest::Collect { max } | Interest::Require { max }) => self.collect(max),
            },
        }
    }

    fn skip(&mut self) -> Result<Step, ProtocolError> {
        let count = within(self.follower.frame.left, self.cursor.left());
        self.pass_payload(count);
        self.settle()
    }

    fn collect(&mut self, max: usize) -> Result<Step, ProtocolError> {
        self.take(COLLECT_STEP, max)?;
        self.settle()
    }

    fn head(&mut self, decide: &mut dyn FnMut(Start<'_>) -> Interest) -> Result<Step, ProtocolError> {
        let Follower { head, ref frame, .. } = *self.follower;
        let Some(kind) = self.follower.open.as_ref().map(|open| open.kind) else { return self.skip() };
        let length = frame.header.fin.then_some(frame.header.length);
        if let Some(shown) = self.shown()? {
            let known = shown.len();
            let interest = decide(Start { kind, head: shown, length });
            if interest != Interest::Skip {
                self.take(known, head)?;
            }
            return self.decided(interest);
        }
        self.take(head - self.follower.gathered.len(), head)?;
        let Follower { ref mut gathered, ref frame, .. } = *self.follower;
        let is_whole = frame.header.fin && frame.left == 0;
        if gathered.len() < head && !is_whole {
            return self.settle();
        }
        let length = frame.header.fin.then_some(gathered.len() as u64 + frame.left);
        let interest = decide(Start { kind, head: gathered, length });
        if interest == Interest::Skip {
            // The room is kept for the next head in this read.
            gathered.clear();
        }
        self.decided(interest)
    }

    fn decided(&mut self, interest: Interest) -> Result<Step, ProtocolError> {
        if let Some(open) = &mut self.follower.open {
            open.interest = Some(interest);
        }
        if interest == Interest::Skip { self.skip() } else { self.check_bound() }
    }

    /// A message's whole head where it stands, if it begins in this read and nothing has to be unmasked: most messages
    /// are skipped, and need not be copied for that.
    fn shown(&mut self) -> Result<Option<&[u8]>, ProtocolError> {
        let Follower { head, ref frame, .. } = *self.follower;
        let is_plain = frame.header.mask.is_none() || head == 0;
        if !is_plain || frame.header.opcode == OpCode::Continuation || frame.left != frame.header.length {
            return Ok(None);
        }
        let length = within(frame.left, head);
        let is_whole = length == head || frame.header.fin;
        let shown = self.cursor.peek(length)?;
        Ok((is_whole && shown.len() == length).then_some(shown))
    }

    /// Moves at most `limit` bytes of the payload, unmasked, to what is gathered.
    fn take(&mut self, limit: usize, max: usize) -> Result<(), ProtocolError> {
        let follower = &mut *self.follower;
        let count = within(follower.frame.left, self.cursor.left()).min(limit);
        let from = follower.gathered.len();
        follower.gather(self.cursor.peek(count)?, max);
        let frame = &follower.frame;
        if let (Some(key), Some(fresh)) = (frame.header.mask, follower.gathered.get_mut(from..)) {
            mask::apply(key, frame.header.length - frame.left, fresh);
        }
        self.pass_payload(count);
        Ok(())
    }

    /// Gives up a message as soon as it is certain to be over its bound.
    fn check_bound(&mut self) -> Result<Step, ProtocolError> {
        let follower = &mut *self.follower;
        let length = (follower.gathered.len() as u64).saturating_add(follower.frame.left);
        let Some(open) = &mut follower.open else {
            return Ok(Step::Continue);
        };
        match open.interest {
            Some(Interest::Require { max }) if length > max as u64 => Err(ProtocolError::TooLong),
            Some(Interest::Collect { max }) if length > max as u64 => {
                open.interest = Some(Interest::Skip);
                follower.gathered = Vec::new();
                Ok(Step::Found(Event::TooLong))
            }
            _ => Ok(Step::Continue),
        }
    }

    /// Goes on within the frame, or behind it.
    fn settle(&mut self) -> Result<Step, ProtocolError> {
        match (self.follower.frame.left, self.cursor.left()) {
            (0, _) => self.finish(),
            (_, 0) => Ok(Step::Exhausted),
            _ => Ok(Step::Continue),
        }
    }

    fn finish(&mut self) -> Result<Step, ProtocolError> {
        let follower = &mut *self.follower;
        follower.stage = Stage::Between;
        let mut step = Step::Continue;
        match follower.frame.header.opcode {
            OpCode::Ping => follower.counts.pings += 1,
            OpCode::Pong => follower.counts.pongs += 1,
            OpCode::Close => {
                let payload = mem::take(&mut follower.gathered);
                follower.end();
                return Ok(Step::Found(Event::Close(CloseFrame::parse(&payload)?)));
            }
            OpCode::Continuation | OpCode::Text | OpCode::Binary if follower.frame.header.fin => {
                follower.counts.messages += 1;
                if let Some(message) = follower.deliver() {
                    step = Step::Found(Event::Message(message));
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
        self.follower.counts.bytes += count as u64;
        self.follower.frame.left -= count as u64;
    }
}

impl<W: ReadBuffer> Drop for FollowedRead<'_, W> {
    fn drop(&mut self) {
        if self.cursor.left() > 0 {
            self.follower.end();
        }
        let gathered = &mut self.follower.gathered;
        if gathered.is_empty() && gathered.capacity() > 0 {
            *gathered = Vec::new();
        }
    }
}

/// `left` or `available`, whichever is less. `left` comes from the wire and may be over what
/// `usize` holds.
fn within(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

#[cfg(test)]
mod tests;
