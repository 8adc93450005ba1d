//! Streams made at random, whole and damaged, against what was sent and another implementation.

use std::io;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tungstenite::protocol::{Role, WebSocket};

use super::*;
use crate::ws::CloseCode;

const FIRST: u16 = 16;

/// What a peer sends, before it is framed.
#[derive(Debug, Clone)]
enum Item {
    Message {
        message: Message,
        /// Where it is split into fragments.
        splits: Vec<Index>,
        /// A control frame after each of the first fragments.
        between: Vec<Control>,
    },
    Control(Control),
}

#[derive(Debug, Clone)]
struct Message {
    kind: MessageKind,
    payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum MessageKind {
    Text,
    Binary,
}

#[derive(Debug, Clone)]
struct Control {
    opcode: OpCode,
    payload: Vec<u8>,
}

fn control() -> impl Strategy<Value = Control> {
    let opcode = prop_oneof![Just(OpCode::Ping), Just(OpCode::Pong)];
    (opcode, vec(any::<u8>(), 0..=125)).prop_map(|(opcode, payload)| Control { opcode, payload })
}

fn text_payload() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<char>(), 0..80).prop_map(|text| text.into_iter().collect::<String>().into_bytes())
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        6 => text_payload().prop_map(|payload| (MessageKind::Text, payload)),
        3 => vec(any::<u8>(), 0..600).prop_map(|payload| (MessageKind::Binary, payload)),
        1 => (65_530_usize..65_540).prop_map(|length| (MessageKind::Text, vec![b'a'; length])),
    ]
    .prop_map(|(kind, payload)| Message { kind, payload })
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        4 => (message(), vec(any::<Index>(), 0..5), vec(control(), 0..3)).prop_map(
            |(message, splits, between)| Item::Message { message, splits, between }
        ),
        1 => control().prop_map(Item::Control),
    ]
}

fn sender() -> impl Strategy<Value = Sender> {
    prop_oneof![Just(Sender::Client), Just(Sender::Server)]
}

fn close() -> impl Strategy<Value = Option<CloseFrame>> {
    let code = prop_oneof![Just(1000), Just(1001), Just(1011), 3000_u16..5000];
    proptest::option::of(
        (code, "\\PC{0,60}").prop_map(|(code, reason)| CloseFrame::new(CloseCode::new(code).unwrap(), &reason)),
    )
}

/// `bytes` in one piece more than there are cuts; pieces may be empty.
fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut offsets = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect::<Vec<_>>();
    offsets.sort_unstable();
    let mut from = 0;
    offsets.push(bytes.len());
    offsets.into_iter().map(|to| &bytes[std::mem::replace(&mut from, to)..to]).collect()
}

fn encode(sender: Sender, items: &[Item]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in items {
        match item {
            Item::Control(control) => {
                bytes.extend(frame(sender, FIN, control.opcode, &control.payload));
            }
            Item::Message { message, splits, between } => {
                bytes.extend(encode_message(sender, message, splits, between))
            }
        }
    }
    bytes
}

fn encode_message(sender: Sender, message: &Message, splits: &[Index], between: &[Control]) -> Vec<u8> {
    let mut opcode = match message.kind {
        MessageKind::Text => OpCode::Text,
        MessageKind::Binary => OpCode::Binary,
    };
    let mut bytes = Vec::new();
    let mut between = between.iter();
    let pieces = pieces(&message.payload, splits);
    let (last, firsts) = pieces.split_last().unwrap();
    for piece in firsts {
        bytes.extend(frame(sender, MORE, opcode, piece));
        opcode = OpCode::Continuation;
        if let Some(control) = between.next() {
            bytes.extend(frame(sender, FIN, control.opcode, &control.payload));
        }
    }
    bytes.extend(frame(sender, FIN, opcode, last));
    bytes
}

fn messages(items: &[Item]) -> impl Iterator<Item = &Message> {
    items.iter().filter_map(|item| match item {
        Item::Message { message, .. } => Some(message),
        Item::Control(_) => None,
    })
}

/// Skips some, by what the message begins with.
fn mixed(message: &[u8]) -> Interest {
    match message.first().map_or(0, |byte| byte % 2) {
        0 => Interest::Skip,
        _ => Interest::Stream,
    }
}

/// A stream that another implementation reads.
struct Wire<'a>(&'a [u8]);

impl io::Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.0, into)
    }
}

impl io::Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of the bytes, in this module's terms, up to a Close or its first error.
#[derive(Debug, PartialEq)]
struct Reading {
    heard: Vec<Heard>,
    pings: u64,
    pongs: u64,
}

proptest! {
    #[test]
    fn valid_streams_give_what_was_sent_however_they_are_cut(
        sender in sender(),
        items in vec(item(), 0..6),
        close in proptest::option::of(close()),
        cuts in vec(any::<Index>(), 0..40),
    ) {
        let bytes = encoded(sender, &items, close.as_ref());
        let seen = see(sender, FIRST, pieces(&bytes, &cuts), stream);
        let mut expected: Vec<Heard> = messages(&items).map(|message| text(&message.payload)).collect();
        expected.extend(close.map(|close| Heard::Event(Event::Close(close))));
        prop_assert_eq!(&seen.heard, &expected);
        prop_assert_eq!(seen.counts.bytes, bytes.len() as u64);
        prop_assert_eq!(seen.counts.messages, messages(&items).count() as u64);
    }

    #[test]
    fn valid_streams_give_what_another_implementation_reads(
        sender in sender(),
        items in vec(item(), 0..6),
        close in proptest::option::of(close()),
        cuts in vec(any::<Index>(), 0..10),
    ) {
        let bytes = encoded(sender, &items, close.as_ref());
        let seen = see(sender, FIRST, pieces(&bytes, &cuts), stream);
        prop_assert_eq!(reading(seen), read_by_tungstenite(sender, &bytes));
    }

    #[test]
    fn a_wrong_frame_ends_it_where_another_implementation_fails(
        sender in sender(),
        items in vec(item(), 0..4),
        wrong in wrong(),
        cuts in vec(any::<Index>(), 0..10),
    ) {
        let mut bytes = encode(sender, &items);
        bytes.extend(wrong.encode(sender));
        bytes.extend(frame(sender, FIN, OpCode::Text, b"after"));
        let mut seen = see(sender, FIRST, pieces(&bytes, &cuts), stream);
        prop_assert!(matches!(seen.heard.pop(), Some(Heard::Event(Event::ProtocolError(_)))));
        prop_assert_eq!(reading(seen), read_by_tungstenite(sender, &bytes));
    }

    #[test]
    fn damaged_streams_are_the_same_wherever_cut(
        sender in sender(),
        items in vec(item(), 1..5),
        damage in vec((any::<Index>(), any::<u8>()), 0..4),
        cuts in vec(any::<Index>(), 0..40),
    ) {
        let mut bytes = encode(sender, &items);
        for (index, byte) in damage {
            *index.get_mut(&mut bytes) = byte;
        }
        let whole = see(sender, FIRST, [bytes.as_slice()], mixed);
        let cut = see(sender, FIRST, pieces(&bytes, &cuts), mixed);
        prop_assert_eq!(cut, whole);
    }

    #[test]
    fn arbitrary_bytes_are_the_same_wherever_cut(
        sender in sender(),
        bytes in vec(prop_oneof![3 => any::<u8>(), 1 => Just(0), 1 => Just(0x81), 1 => Just(1)], 0..800),
        cuts in vec(any::<Index>(), 0..40),
    ) {
        let whole = see(sender, FIRST, [bytes.as_slice()], mixed);
        let cut = see(sender, FIRST, pieces(&bytes, &cuts), mixed);
        prop_assert_eq!(cut, whole);
    }
}

fn encoded(sender: Sender, items: &[Item], close: Option<&Option<CloseFrame>>) -> Vec<u8> {
    let mask = (sender == Sender::Client).then_some(KEY);
    let mut bytes = encode(sender, items);
    match close {
        Some(Some(close)) => bytes.extend(close.encode(mask)),
        Some(None) => bytes.extend(frame(sender, FIN, OpCode::Close, b"")),
        None => {}
    }
    bytes
}

/// A frame that no endpoint accepts.
#[derive(Debug, Clone)]
enum Wrong {
    ReservedBits(u8),
    ReservedOpcode(u8),
    OtherDirection,
    FragmentedControl(OpCode),
    LongControl(OpCode),
    UnexpectedContinuation,
    UnfinishedMessage,
}

fn wrong() -> impl Strategy<Value = Wrong> {
    let control = || prop_oneof![Just(OpCode::Close), Just(OpCode::Ping), Just(OpCode::Pong)];
    prop_oneof![
        (1_u8..8).prop_map(Wrong::ReservedBits),
        prop_oneof![3_u8..8, 11_u8..16].prop_map(Wrong::ReservedOpcode),
        Just(Wrong::OtherDirection),
        control().prop_map(Wrong::FragmentedControl),
        control().prop_map(Wrong::LongControl),
        Just(Wrong::UnexpectedContinuation),
        Just(Wrong::UnfinishedMessage),
    ]
}

impl Wrong {
    fn encode(&self, sender: Sender) -> Vec<u8> {
        let mut text = frame(sender, FIN, OpCode::Text, b"wrong");
        match self {
            Self::ReservedBits(bits) => text[0] |= bits << 4,
            Self::ReservedOpcode(opcode) => text[0] = 0x80 | opcode,
            Self::OtherDirection => {
                let other = match sender {
                    Sender::Client => Sender::Server,
                    Sender::Server => Sender::Client,
                };
                text = frame(other, FIN, OpCode::Text, b"wrong");
            }
            Self::FragmentedControl(opcode) => text = frame(sender, MORE, *opcode, b"\x03\xe8"),
            Self::LongControl(opcode) => text = frame(sender, FIN, *opcode, &[3; 126]),
            Self::UnexpectedContinuation => {
                text = frame(sender, FIN, OpCode::Continuation, b"wrong");
            }
            Self::UnfinishedMessage => {
                text = frame(sender, MORE, OpCode::Text, b"un").repeat(2);
            }
        }
        text
    }
}

fn reading(seen: Seen) -> Reading {
    Reading { heard: seen.heard, pings: seen.counts.pings, pongs: seen.counts.pongs }
}

fn read_by_tungstenite(sender: Sender, bytes: &[u8]) -> Reading {
    let role = match sender {
        Sender::Client => Role::Server,
        Sender::Server => Role::Client,
    };
    let mut socket = WebSocket::from_raw_socket(Wire(bytes), role, None);
    let mut reading = Reading { heard: Vec::new(), pings: 0, pongs: 0 };
    while let Ok(message) = socket.read() {
        let heard = match message {
            tungstenite::Message::Text(payload) => text(payload.as_bytes()),
            tungstenite::Message::Binary(bytes) => text(&bytes),
            tungstenite::Message::Ping(_) => {
                reading.pings += 1;
                continue;
            }
            tungstenite::Message::Pong(_) => {
                reading.pongs += 1;
                continue;
            }
            tungstenite::Message::Close(close) => Heard::Event(Event::Close(close.map(|close| {
                let code = CloseCode::new(close.code.into()).unwrap();
                CloseFrame::new(code, &close.reason)
            }))),
            tungstenite::Message::Frame(_) => unreachable!("only given when writing"),
        };
        reading.heard.push(heard);
    }
    reading
}
