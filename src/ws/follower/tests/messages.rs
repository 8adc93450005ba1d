//! What is handed over of messages.

use super::*;

#[test]
fn messages_come_whole_whatever_their_frames() {
    use OpCode::{Binary, Continuation, Ping, Pong, Text};
    let long = [b'x'; 300];
    let cases: &[(&str, Frames, &[u8])] = &[
        ("one frame", &[(FIN, Text, b"hello")], b"hello"),
        ("a 16-bit length", &[(FIN, Text, &long)], &long),
        ("an empty message", &[(FIN, Text, b"")], b""),
        ("fragments", &[(MORE, Text, b"hel"), (MORE, Continuation, b"l"), (FIN, Continuation, b"o")], b"hello"),
        (
            "empty fragments",
            &[
                (MORE, Text, b""),
                (MORE, Continuation, b"he"),
                (MORE, Continuation, b""),
                (MORE, Continuation, b"llo"),
                (FIN, Continuation, b""),
            ],
            b"hello",
        ),
        ("only empty fragments", &[(MORE, Text, b""), (FIN, Continuation, b"")], b""),
        (
            "control frames between fragments",
            &[
                (FIN, Ping, b""),
                (MORE, Text, b"hel"),
                (FIN, Ping, b"are you there"),
                (FIN, Pong, b""),
                (FIN, Continuation, b"lo"),
                (FIN, Pong, b"yes"),
            ],
            b"hello",
        ),
    ];
    for sender in [Sender::Client, Sender::Server] {
        for (name, frames, payload) in cases {
            let mut bytes = framed(sender, frames);
            bytes.extend(frame(sender, FIN, Binary, b"next"));
            for first in [1, 4, 128] {
                let seen = see_wherever_cut(sender, first, &bytes, stream);
                assert_eq!(seen.heard, [text(payload), text(b"next")], "{name}");
                assert_eq!(seen.counts.messages, 2, "{name}");
                assert_eq!(seen.counts.frames, frames.len() as u64 + 1, "{name}");
                assert_eq!(seen.counts.bytes, bytes.len() as u64, "{name}");
            }
        }
    }
}

#[test]
fn each_message_is_judged_by_itself() {
    let bytes = [&b"keep one"[..], b"drop two", b"keep three", b"drop", b""]
        .map(|payload| frame(Sender::Client, FIN, OpCode::Text, payload))
        .concat();
    let seen = see_wherever_cut(Sender::Client, 4, &bytes, |message| match message.starts_with(b"k") {
        true => Interest::Stream,
        false => Interest::Skip,
    });
    assert_eq!(seen.heard, [text(b"keep one"), text(b"keep three"), text(b"")]);
    assert_eq!(seen.counts.messages, 5);
}

#[test]
fn what_is_no_longer_wanted_is_stepped_over() {
    let bytes = [
        frame(Sender::Client, MORE, OpCode::Text, b"abcdefgh"),
        frame(Sender::Client, FIN, OpCode::Continuation, b"ijkl"),
        frame(Sender::Client, FIN, OpCode::Text, b"abc"),
    ]
    .concat();
    for first in [1, 5, 128] {
        let until_f = |message: &[u8]| if message.contains(&b'f') { Interest::Skip } else { Interest::Stream };
        let seen = see_wherever_cut(Sender::Client, first, &bytes, until_f);
        assert_eq!(seen.heard, [text(b"abc")]);
        assert_eq!(seen.counts.messages, 2);
    }
}

#[test]
fn a_message_of_any_size_comes_in_pieces() {
    let payload: Vec<u8> = (0..1_500_000_u32).map(|index| index.to_le_bytes()[index as usize % 4]).collect();
    for sender in [Sender::Client, Sender::Server] {
        let bytes = frame(sender, FIN, OpCode::Text, &payload);
        for reads in [bytes.len(), 70_001, 1000] {
            let seen = see(sender, 128, bytes.chunks(reads), stream);
            assert!(seen.heard == [text(&payload)], "in reads of {reads}");
        }
    }
}

#[test]
fn pings_and_pongs_are_counted_and_nothing_else() {
    let bytes = server(&[(FIN, OpCode::Ping, b""), (FIN, OpCode::Pong, &[7; 125]), (FIN, OpCode::Ping, b"abc")]);
    let seen = see_wherever_cut(Sender::Server, 128, &bytes, stream);
    assert_eq!(seen.heard, []);
    let expected = Counts { bytes: 2 + 127 + 5, frames: 3, messages: 0, data: 0, pings: 2, pongs: 1 };
    assert_eq!(seen.counts, expected);
}

#[test]
fn a_message_that_is_only_measured_ends_with_its_length() {
    let bytes = [
        frame(Sender::Server, MORE, OpCode::Text, &[b'x'; 300]),
        frame(Sender::Server, FIN, OpCode::Ping, b"are you there"),
        frame(Sender::Server, FIN, OpCode::Continuation, &[b'y'; 11]),
        frame(Sender::Server, FIN, OpCode::Text, b"12345"),
        frame(Sender::Server, FIN, OpCode::Text, b""),
    ]
    .concat();
    for cut in 0..=bytes.len() {
        let (mut follower, mut lengths) = (Follower::new(Sender::Server, 8), Vec::new());
        for read in <[&[u8]; 2]>::from(bytes.split_at(cut)) {
            let mut pass = follower.pass(read);
            while let Some(event) = pass.next(&mut |piece| {
                assert!(piece.len() <= 8);
                Interest::Measure
            }) {
                assert_eq!(event, Event::MessageEnd);
                lengths.push(pass.message_length());
            }
        }
        assert_eq!(lengths, [311, 5, 0], "cut at {cut}");
    }
}
