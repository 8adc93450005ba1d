//! What ends following.

use super::*;
use crate::ws::CloseCode;

#[test]
fn every_violation_is_reported_wherever_the_bytes_are_cut() {
    use OpCode::{Binary, Close, Continuation, Ping, Text};
    use ProtocolError as V;
    use Sender::{Client, Server};
    let s = |fin, opcode, payload: &[u8]| frame(Server, fin, opcode, payload);
    let c = |fin, opcode, payload: &[u8]| frame(Client, fin, opcode, payload);
    let cases = [
        (Server, vec![0xc1, 0], V::ReservedBits),
        (Server, vec![0xa1, 0], V::ReservedBits),
        (Client, vec![0x91, 0x80, 0, 0, 0, 0], V::ReservedBits),
        (Server, vec![0x83, 0], V::ReservedOpcode(3)),
        (Client, vec![0x8f, 0x80, 0, 0, 0, 0], V::ReservedOpcode(15)),
        (Client, s(FIN, Text, b"hi"), V::Unmasked),
        (Client, s(FIN, Close, b""), V::Unmasked),
        (Server, c(FIN, Text, b"hi"), V::Masked),
        (Server, s(MORE, Ping, b""), V::FragmentedControl),
        (Client, c(MORE, Close, b"\x03\xe8"), V::FragmentedControl),
        (Server, s(FIN, Ping, &[0; 126]), V::LongControl),
        (Client, c(FIN, Close, &[3; 70_000]), V::LongControl),
        (Server, vec![0x81, 126, 0, 1, 0], V::LengthNotMinimal),
        (Server, vec![0x81, 127, 0, 0, 0, 0, 0, 0, 1, 0], V::LengthNotMinimal),
        (Client, vec![0x82, 255, 128, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], V::LengthOverflow),
        (Server, s(FIN, Continuation, b"of what"), V::UnexpectedContinuation),
        (Client, c(MORE, Continuation, b""), V::UnexpectedContinuation),
        (Server, [s(MORE, Text, b"a"), s(FIN, Text, b"b")].concat(), V::UnfinishedMessage),
        (Client, [c(MORE, Text, b""), c(MORE, Binary, b"b")].concat(), V::UnfinishedMessage),
        (Server, s(FIN, Close, b"\x03"), V::TruncatedCloseCode),
        (Client, c(FIN, Close, b"\x03\xed"), V::InvalidCloseCode(1005)),
        (Server, s(FIN, Close, b"\x03\xe7bye"), V::InvalidCloseCode(999)),
        (Server, s(FIN, Close, b"\xff\xff"), V::InvalidCloseCode(65_535)),
        (Client, c(FIN, Close, b"\x03\xe8caf\xe9"), V::InvalidCloseReason),
    ];
    for (sender, mut wrong, error) in cases {
        // The long one need not be cut at each of its 70,000 bytes.
        wrong.truncate(300);
        let before = frame(sender, FIN, Text, b"before");
        let after = frame(sender, FIN, Text, b"after");
        let bytes = [before, wrong, after].concat();
        for decide in [stream, skip] {
            let seen = see_wherever_cut(sender, 4, &bytes, decide);
            assert_eq!(seen.heard.last(), Some(&Heard::Event(Event::ProtocolError(error))));
            assert_eq!(seen.counts.messages, 1, "{error}");
            assert!(seen.has_ended, "{error}");
        }
    }
}

#[test]
fn nothing_after_a_close_is_followed() {
    let closes: [(&[u8], _); 3] = [
        (b"", None),
        (b"\x03\xe8", Some(CloseFrame::new(CloseCode::NORMAL, ""))),
        ("\u{11}\u{4d}über".as_bytes(), Some(CloseFrame::new(CloseCode::new(4429).unwrap(), "über"))),
    ];
    for sender in [Sender::Client, Sender::Server] {
        for (payload, close) in &closes {
            for garbage in [
                frame(sender, FIN, OpCode::Text, b"more"),
                frame(sender, FIN, OpCode::Close, b"\x03\xe8"),
                vec![0xff; 40],
            ] {
                let message = frame(sender, MORE, OpCode::Text, b"unfinished");
                let close_frame = frame(sender, FIN, OpCode::Close, payload);
                let bytes = [message, close_frame].concat();
                let followed = bytes.len() as u64;
                let bytes = [bytes, garbage].concat();
                let seen = see_wherever_cut(sender, 128, &bytes, stream);
                assert_eq!(seen.heard, [Heard::Event(Event::Close(close.clone()))]);
                assert_eq!(seen.counts.frames, 2);
                assert_eq!(seen.counts.bytes, followed);
                assert!(seen.has_ended);
            }
        }
    }
}

#[test]
fn a_pass_that_is_left_early_ends_the_following() {
    let bytes = server(&[(FIN, OpCode::Text, b"abc"), (FIN, OpCode::Text, b"def")]);
    let mut follower = Follower::new(Sender::Server, 128);
    assert_eq!(follower.pass(bytes.as_slice()).next(&mut stream), Some(Event::MessageEnd));
    assert!(follower.has_ended());
    assert_eq!(follower.pass(bytes.as_slice()).next(&mut stream), None);
}

#[test]
fn a_pass_that_is_left_at_the_end_of_its_read_does_not() {
    let bytes = server(&[(FIN, OpCode::Text, b"abc")]);
    let mut follower = Follower::new(Sender::Server, 128);
    for _ in 0..2 {
        assert_eq!(follower.pass(bytes.as_slice()).next(&mut stream), Some(Event::MessageEnd));
        assert!(!follower.has_ended());
    }
}

#[test]
fn a_window_that_cannot_be_read_ends_the_following() {
    struct Broken;
    impl ReadBuffer for Broken {
        fn size(&self) -> usize {
            100
        }
        fn read(&mut self, _: usize, _: usize) -> Option<Vec<u8>> {
            None
        }
    }
    let mut follower = Follower::new(Sender::Server, 128);
    let event = follower.pass(Broken).next(&mut skip);
    assert_eq!(event, Some(Event::ProtocolError(ProtocolError::Unreadable)));
    assert!(follower.has_ended());
}
