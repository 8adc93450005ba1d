//! Following one direction of a connection, frame by frame.

use super::event::Counts;
use super::frame::{FrameHeader, HEADER_MAX, OpCode, Sender};

/// Follows what one peer sends, over as many reads as it takes.
///
/// Messages of any size pass it in pieces; it holds no more than a frame's header that the end of a read has cut, or the
/// payload of a Close or of a ping that is to be told, and of a message that is withheld, its frames so far.
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
    pub(super) sender: Sender,
    pub(super) first: u16,
    passage: Passage,
    pub(super) stage: Stage,
    /// The frame that is followed, or was last.
    pub(super) frame: Frame,
    /// What is wanted of the message that is open, from its first frame's header to its last frame's end.
    pub(super) open: Option<Wanted>,
    /// What had passed of messages before the one that came last.
    pub(super) before: u64,
    /// The payload of a Close frame, or of a ping.
    pub(super) control: Vec<u8>,
    /// Of the message that is withheld, what came of its frames in earlier reads.
    pub(super) withheld: Vec<u8>,
    pub(super) tells_pings: bool,
    pub(super) counts: Counts,
}

/// When messages go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passage {
    /// As they come.
    AtOnce,
    /// When whoever gets their pieces says so.
    WhenReleased,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Between two frames.
    Between,
    /// Within a header that the end of a read has cut.
    Header(Partial),
    /// Within the frame's payload, or at the end of it.
    Payload,
    Ended,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Partial {
    pub(super) bytes: [u8; HEADER_MAX],
    length: u8,
}

impl Partial {
    pub(super) fn length(&self) -> usize {
        usize::from(self.length)
    }

    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.length()).unwrap_or_default()
    }

    /// Appends bytes, no more than there is room for.
    pub(super) fn extend(&mut self, fresh: &[u8]) {
        let start = self.length();
        let end = start + fresh.len();
        if let Some(room) = self.bytes.get_mut(start..end) {
            room.copy_from_slice(fresh);
            self.length = end as u8;
        }
    }
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) header: FrameHeader,
    /// Bytes of the payload that have not passed.
    pub(super) left: u64,
}

/// What is wanted of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Its first piece, after which more is known.
    First,
    /// All of it.
    All,
    /// All of it, while it goes no further.
    Withheld,
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
            first,
            passage: Passage::AtOnce,
            stage: Stage::Between,
            frame: Frame { header: FrameHeader { fin: true, opcode: OpCode::Text, mask: None, length: 0 }, left: 0 },
            open: None,
            before: 0,
            control: Vec::new(),
            withheld: Vec::new(),
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
        self.first = first;
    }

    /// The same, which withholds each message until its pieces, or its end, are answered by something else than
    /// [`Interest::Withhold`](super::Interest::Withhold). It must be one that hands over first pieces.
    #[must_use]
    pub fn withholding(self) -> Self {
        Self { passage: Passage::WhenReleased, ..self }
    }

    /// Whether whoever gets what goes on has nothing but whole messages, so that a message may be put in the place of the
    /// next byte. Never after the end.
    #[must_use]
    pub fn at_message_boundary(&self) -> bool {
        self.is_within_withheld_frame() || (matches!(self.stage, Stage::Between) && self.is_undelivered())
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
        self.withheld = Vec::new();
    }

    /// Drops what is withheld.
    pub fn forget(&mut self) {
        self.withheld = Vec::new();
    }

    /// Bytes that are held of a message that is withheld.
    #[must_use]
    pub fn held(&self) -> usize {
        self.withheld.capacity()
    }

    /// Whether the message that is open is withheld.
    pub(super) fn withholds(&self) -> bool {
        let is_judged = self.passage == Passage::WhenReleased;
        matches!(self.open, Some(Wanted::Withheld)) || (is_judged && matches!(self.open, Some(Wanted::First)))
    }

    /// Whether nothing has gone on of the message that is open, or none is.
    fn is_undelivered(&self) -> bool {
        self.open.is_none() || self.withholds()
    }

    /// Whether a frame is withheld of which only a part has come.
    pub(super) fn is_within_withheld_frame(&self) -> bool {
        match &self.stage {
            Stage::Header(partial) => self.withholds_header(partial.filled()),
            Stage::Payload => self.withholds() && !self.frame.header.opcode.is_control(),
            Stage::Between | Stage::Ended => false,
        }
    }

    /// Whether a frame is withheld whose header begins with these bytes.
    pub(super) fn withholds_header(&self, bytes: &[u8]) -> bool {
        let is_data = bytes.first().is_some_and(|first| OpCode::is_data(*first));
        is_data && self.passage == Passage::WhenReleased && self.is_undelivered()
    }
}

#[cfg(test)]
mod tests;
