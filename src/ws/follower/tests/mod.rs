mod cost;
mod endings;
mod insertion_points;
mod messages;
mod properties;

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

/// All that following shows.
#[derive(Debug, PartialEq)]
struct Seen {
    starts: Vec<(MessageKind, Vec<u8>, Option<u64>)>,
    events: Vec<Event>,
    counts: Counts,
    has_ended: bool,
}

fn see<'a>(
    sender: Sender,
    head: u16,
    reads: impl IntoIterator<Item = &'a [u8]>,
    decide: impl Fn(Start<'_>) -> Interest,
) -> Seen {
    let mut follower = Follower::new(sender, head);
    let mut starts = Vec::new();
    let mut events = Vec::new();
    for read in reads {
        let mut pass = follower.pass(read);
        while let Some(event) = pass.next(|start| {
            starts.push((start.kind, start.head.to_vec(), start.length));
            decide(start)
        }) {
            events.push(event);
        }
        assert!(pass.position() <= read.len());
    }
    Seen { starts, events, counts: follower.counts(), has_ended: follower.has_ended() }
}

/// What is seen in one read, once it is certain that the same is seen in any two reads, and byte
/// by byte with an empty read before each byte.
fn see_wherever_cut(sender: Sender, head: u16, bytes: &[u8], decide: impl Fn(Start<'_>) -> Interest) -> Seen {
    let whole = see(sender, head, [bytes], &decide);
    for cut in 0..=bytes.len() {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(see(sender, head, [front, back], &decide), whole, "cut at {cut}");
    }
    let bytewise = bytes.chunks(1).flat_map(|byte| [&[][..], byte]);
    assert_eq!(see(sender, head, bytewise, &decide), whole, "byte by byte");
    whole
}

fn collect(_: Start<'_>) -> Interest {
    Interest::Collect { max: 1000 }
}

fn skip(_: Start<'_>) -> Interest {
    Interest::Skip
}

fn text(payload: &[u8]) -> Event {
    Event::Message(Message { kind: MessageKind::Text, payload: payload.to_vec() })
}
