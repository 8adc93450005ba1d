//! Following one direction of a connection, frame by frame.

use super::close::CloseFrame;
use super::error::ProtocolError;
use super::event::{Counts, Event, Interest};
use super::frame::{CONTROL_MAX, FrameHeader, HEADER_MAX, OpCode, Sender};
use super::mask;
use super::read_buffer::{Cursor, ReadBuffer};
use std::mem;

/// The most of a payload that is handed over at once.
const PIECE_MAX: usize = 16 * 1024;

/// Follows what one peer sends, over as many reads as it takes.
///
/// Messages of any size pass it in pieces; it holds no more than a frame's header that the end of a read has cut, or the
/// payload of a Close or of a ping that is to be told.
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
/// let (mut news, mut message) = (Vec::new(), Vec::new());
/// while let Some(event) = pass.next(&mut |piece| {
///     message.extend_from_slice(piece);
///     if message.starts_with(br#"{"type":"news""#) {
///         return Interest::Stream;
///     }
///     message.clear();
///     Interest::Skip
/// }) {
///     match event {
///         Event::MessageEnd => news.push(std::mem::take(&mut message)),
///         Event::Ping(_) | Event::Close(_) | Event::ProtocolError(_) => unreachable!(),
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
    first: usize,
    stage: Stage,
    /// The frame that is followed, or was last.
    frame: Frame,
    /// What is wanted of the message that is open, from its first frame's header to its last frame's end.
    open: Option<Wanted>,
    /// What had passed of messages before the one that came last.
    before: u64,
    /// The payload of a Close frame, or of a ping.
    control: Vec<u8>,
    tells_pings: bool,
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

/// What is wanted of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Its first piece, after which more is known.
    First,
    /// All of it.
    All,
    /// Where it ends.
    End,
    Nothing,
}

impl Follower {
    /// A follower of what `sender` sends from the connection's first frame on, which hands over at most `first` bytes of
    /// a message before it knows whether more is wanted. With 0 it only reads frame headers.
    #[must_use]
    pub fn new(sender: Sender, first: u16) -> Self {
        Self {
            sender,
            first: usize::from(first),
            stage: Stage::Between,
            frame: Frame { header: FrameHeader { fin: true, opcode: OpCode::Text, mask: None, length: 0 }, left: 0 },
            open: None,
            before: 0,
            control: Vec::new(),
            tells_pings: false,
            counts: Counts::default(),
        }
    }

    /// The same, which tells pings too.
    #[must_use]
    pub fn telling_pings(self) -> Self {
        Self { tells_pings: true, ..self }
    }

    /// Hands over at most so many bytes of a message from now on before it knows whether more is wanted.
    pub fn read_first(&mut self, first: u16) {
        self.first = usize::from(first);
    }

    /// Follows the bytes of one more read. The pass must be driven until it has no more events: one
    /// that is dropped earlier ends the following, for there is no way back into the stream.
    pub fn pass<W: ReadBuffer>(&mut self, buffer: W) -> FollowedRead<'_, W> {
        let least_ahead = HEADER_MAX + self.first;
        FollowedRead {
            message_boundary: self.at_message_boundary().then_some(0),
            frame_start: None,
            cursor: Cursor::new(buffer, least_ahead),
            follower: self,
        }
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

    /// Follows no further, and holds nothing any more.
    pub fn end(&mut self) {
        self.stage = Stage::Ended;
        self.open = None;
        self.control = Vec::new();
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
    /// ended. `each` gets the payloads of messages in pieces, unmasked, and says whether more is wanted.
    ///
    /// One for all callers, since both directions then share its machine code: between two reads the CPU's caches go cold.
    pub fn next(&mut self, each: &mut dyn FnMut(&[u8]) -> Interest) -> Option<Event> {
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
        Ok(Step::Continue)
    }

    fn payload(&mut self, each: &mut dyn FnMut(&[u8]) -> Interest) -> Result<Step, ProtocolError> {
        match (self.follower.frame.header.opcode, self.follower.open) {
            (OpCode::Close, _) => self.control(),
            (OpCode::Ping, _) if self.follower.tells_pings => self.control(),
            (OpCode::Ping | OpCode::Pong, _) | (_, None | Some(Wanted::Nothing | Wanted::End)) => self.skip(),
            (_, Some(Wanted::First)) => self.piece(self.follower.first, each),
            (_, Some(Wanted::All)) => self.piece(PIECE_MAX, each),
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
            self.follower.open = Some(match each(piece) {
                Interest::Skip => Wanted::Nothing,
                Interest::Stream => Wanted::All,
                Interest::Measure => Wanted::End,
            });
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
        let follower = &mut *self.follower;
        follower.counts.bytes += count as u64;
        follower.frame.left -= count as u64;
        if let OpCode::Continuation | OpCode::Text | OpCode::Binary = follower.frame.header.opcode {
            follower.counts.data += count as u64;
        }
    }
}

impl<W: ReadBuffer> Drop for FollowedRead<'_, W> {
    fn drop(&mut self) {
        if self.cursor.left() > 0 {
            self.follower.end();
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
