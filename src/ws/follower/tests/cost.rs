//! What following reads, and what it holds.

use super::*;

/// A window that tells how much was read of it, and of a stretch that it pretends to hold.
struct Meter<'a> {
    bytes: &'a [u8],
    /// Zeros behind the bytes, in any number.
    padding: usize,
    reads: usize,
    read: usize,
}

impl<'a> Meter<'a> {
    fn new(bytes: &'a [u8], padding: usize) -> Self {
        Self { bytes, padding, reads: 0, read: 0 }
    }
}

impl ReadBuffer for &mut Meter<'_> {
    fn size(&self) -> usize {
        self.bytes.len() + self.padding
    }

    fn read(&mut self, offset: usize, length: usize) -> Option<Vec<u8>> {
        self.reads += 1;
        self.read += length;
        let bytes = self.bytes.iter().copied().chain(std::iter::repeat(0));
        Some(bytes.skip(offset).take(length).collect())
    }
}

#[test]
fn the_payload_of_a_skipped_message_is_not_read() {
    let header = FrameHeader { fin: true, opcode: OpCode::Text, mask: None, length: (1 << 63) - 1 };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    let mut follower = Follower::new(Sender::Server, 128);
    for (bytes, read) in [(&bytes[..], 142), (b"", 0), (b"", 0)] {
        let mut meter = Meter::new(bytes, 1 << 30);
        assert_eq!(follower.pass(&mut meter).next(&mut skip), None);
        assert_eq!(meter.read, read);
    }
    assert_eq!(follower.counts().bytes, 10 + 3 * (1 << 30));
    assert_eq!(follower.counts().messages, 0);
}

#[test]
fn of_big_messages_only_the_beginnings_are_read() {
    let bytes = frame(Sender::Client, FIN, OpCode::Text, &[b'a'; 6400]).repeat(10);
    let mut follower = Follower::new(Sender::Client, 128);
    let mut meter = Meter::new(&bytes, 0);
    assert_eq!(follower.pass(&mut meter).next(&mut skip), None);
    assert_eq!((meter.reads, meter.read), (10, 1420));
    assert_eq!(follower.counts().messages, 10);
}

#[test]
fn small_frames_have_their_reads_together() {
    let bytes = frame(Sender::Client, FIN, OpCode::Text, &[b'a'; 50]).repeat(1000);
    let mut follower = Follower::new(Sender::Client, 128);
    let mut meter = Meter::new(&bytes, 0);
    assert_eq!(follower.pass(&mut meter).next(&mut skip), None);
    assert!(meter.reads < 25, "{} reads", meter.reads);
    assert_eq!(follower.counts().messages, 1000);
}

#[test]
fn without_a_first_piece_only_headers_are_read() {
    let bytes = frame(Sender::Client, FIN, OpCode::Text, &[b'a'; 6400]).repeat(10);
    let mut follower = Follower::new(Sender::Client, 0);
    let mut meter = Meter::new(&bytes, 0);
    assert_eq!(follower.pass(&mut meter).next(&mut |_| unreachable!()), None);
    assert_eq!((follower.counts().messages, meter.read), (10, 140));
}

#[test]
fn what_is_streamed_is_read_once() {
    let bytes = frame(Sender::Client, FIN, OpCode::Text, &[b'a'; 640_000]);
    let mut follower = Follower::new(Sender::Client, 128);
    let mut meter = Meter::new(&bytes, 0);
    assert_eq!(follower.pass(&mut meter).next(&mut stream), Some(Event::MessageEnd));
    assert!(meter.read <= bytes.len() + HEADER_MAX, "{}", meter.read);
}

#[test]
fn an_idle_follower_is_small() {
    assert!(size_of::<Follower>() < 300, "{}", size_of::<Follower>());
    let mut follower = Follower::new(Sender::Server, 128);
    let half_a_header = &[0x81][..];
    for read in [
        &server(&[(FIN, OpCode::Text, &[b'a'; 500])])[..],
        &server(&[(FIN, OpCode::Ping, &[b'a'; 125])]),
        half_a_header,
    ] {
        let mut pass = follower.pass(read);
        while pass.next(&mut skip).is_some() {}
        drop(pass);
        assert_eq!(follower.control.capacity(), 0);
    }
}
