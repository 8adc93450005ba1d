//! The follower against streams of frames, good and bad, in any cut.

mod cost;
mod endings;
mod insertion_points;
mod messages;
mod properties;
mod withholding;

use super::super::close::CloseFrame;
use super::super::error::ProtocolError;
use super::super::event::{Event, Interest};
use super::super::followed_read::PIECE_MAX;
use super::super::mask;
use super::super::read_buffer::ReadBuffer;
use super::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const FIN: bool = true;
const MORE: bool = false;

/// A frame as `sender` sends it.
fn frame(sender: Sender, fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mask = (sender == Sender::Client).then_some(KEY);
    let header = FrameHeader { fin, opcode, mask, length: payload.len() as u64 };
    let mut frame = Vec::new();
    header.encode(&mut frame);
    let from = frame.len();
    frame.extend_from_slice(payload);
    if let Some(key) = mask {
        mask::apply(key, 0, &mut frame[from..]);
    }
    frame
}

/// Frames in short: whether it is the last of its message, what it is, what it holds.
type Frames<'a> = &'a [(bool, OpCode, &'a [u8])];

fn framed(sender: Sender, frames: Frames) -> Vec<u8> {
    frames.iter().flat_map(|(fin, opcode, payload)| frame(sender, *fin, *opcode, payload)).collect()
}

fn server(frames: Frames) -> Vec<u8> {
    framed(Sender::Server, frames)
}

/// Something that following shows.
#[derive(Debug, PartialEq)]
enum Heard {
    /// A message of which all pieces came.
    Message(Vec<u8>),
    Event(Event),
}

/// All that following shows.
#[derive(Debug, PartialEq)]
struct Seen {
    heard: Vec<Heard>,
    counts: Counts,
    has_ended: bool,
}

/// What is seen in these reads. `decide` is shown what has come of a message.
fn see<'a>(
    sender: Sender,
    first: u16,
    reads: impl IntoIterator<Item = &'a [u8]>,
    decide: impl Fn(&[u8]) -> Interest,
) -> Seen {
    let mut follower = Follower::new(sender, first);
    let (mut heard, mut message) = (Vec::new(), Vec::new());
    for read in reads {
        let mut pass = follower.pass(read);
        while let Some(event) = pass.next(&mut |piece| {
            assert!((1..=PIECE_MAX).contains(&piece.len()));
            assert!(!message.is_empty() || piece.len() <= usize::from(first));
            message.extend_from_slice(piece);
            let interest = decide(&message);
            if interest == Interest::Skip {
                message.clear();
            }
            interest
        }) {
            heard.push(match event {
                Event::MessageEnd => Heard::Message(std::mem::take(&mut message)),
                event => Heard::Event(event),
            });
        }
        assert!(pass.position() <= read.len());
    }
    Seen { heard, counts: follower.counts(), has_ended: follower.has_ended() }
}

/// What is seen in one read, once it is certain that the same is seen in any two reads, and byte
/// by byte with an empty read before each byte.
fn see_wherever_cut(sender: Sender, first: u16, bytes: &[u8], decide: impl Fn(&[u8]) -> Interest) -> Seen {
    let whole = see(sender, first, [bytes], &decide);
    for cut in 0..=bytes.len() {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(see(sender, first, [front, back], &decide), whole, "cut at {cut}");
    }
    let bytewise = bytes.chunks(1).flat_map(|byte| [&[][..], byte]);
    assert_eq!(see(sender, first, bytewise, &decide), whole, "byte by byte");
    whole
}

fn stream(_: &[u8]) -> Interest {
    Interest::Stream
}

fn skip(_: &[u8]) -> Interest {
    Interest::Skip
}

fn text(payload: &[u8]) -> Heard {
    Heard::Message(payload.to_vec())
}
