//! What is shown, collected and given up of messages.

use super::*;

#[test]
fn collected_messages_come_whole_whatever_their_frames() {
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
            let next = Message { kind: MessageKind::Binary, payload: b"next".to_vec() };
            for head in [0, 4, 128] {
                let seen = see_wherever_cut(sender, head, &bytes, collect);
                let expected = [text(payload), Event::Message(next.clone())];
                assert_eq!(seen.events, expected, "{name}");
                assert_eq!(seen.counts.messages, 2, "{name}");
                assert_eq!(seen.counts.frames, frames.len() as u64 + 1, "{name}");
                assert_eq!(seen.counts.bytes, bytes.len() as u64, "{name}");
            }
        }
    }
}

#[test]
fn the_head_is_shown_unmasked_once_it_is_complete() {
    use OpCode::{Continuation, Ping, Text};
    let cases: &[(Frames, &[u8], Option<u64>)] = &[
        (&[(FIN, Text, b"abcdefgh")], b"abcde", Some(8)),
        (&[(FIN, Text, b"abcde")], b"abcde", Some(5)),
        (&[(FIN, Text, b"abc")], b"abc", Some(3)),
        (&[(FIN, Text, b"")], b"", Some(0)),
        (&[(MORE, Text, b"abcdefgh"), (FIN, Continuation, b"i")], b"abcde", None),
        (&[(MORE, Text, b"abcde"), (FIN, Continuation, b"f")], b"abcde", None),
        (&[(MORE, Text, b"ab"), (FIN, Continuation, b"cdefg")], b"abcde", Some(7)),
        (&[(MORE, Text, b"ab"), (FIN, Continuation, b"c")], b"abc", Some(3)),
        (
            &[
                (MORE, Text, b""),
                (FIN, Ping, b"!"),
                (MORE, Continuation, b"abc"),
                (FIN, Ping, b"?"),
                (MORE, Continuation, b"def"),
                (FIN, Continuation, b"g"),
            ],
            b"abcde",
            None,
        ),
    ];
    for sender in [Sender::Client, Sender::Server] {
        for (frames, head, length) in cases {
            let bytes = framed(sender, frames);
            let seen = see_wherever_cut(sender, 5, &bytes, skip);
            let start = (MessageKind::Text, head.to_vec(), *length);
            assert_eq!(seen.starts, [start], "{frames:?}");
            assert_eq!(seen.events, [], "{frames:?}");
            assert_eq!(seen.counts.messages, 1, "{frames:?}");
        }
    }
}

#[test]
fn each_message_is_judged_by_itself() {
    let bytes = [&b"keep one"[..], b"drop two", b"keep three", b"drop"]
        .map(|payload| frame(Sender::Client, FIN, OpCode::Text, payload))
        .concat();
    let seen = see_wherever_cut(Sender::Client, 4, &bytes, |start| match start.head {
        b"keep" => Interest::Collect { max: 10 },
        _ => Interest::Skip,
    });
    assert_eq!(seen.events, [text(b"keep one"), text(b"keep three")]);
    assert_eq!(seen.counts.messages, 4);
}

#[test]
fn a_message_over_the_bound_is_given_up_and_the_next_is_followed() {
    use OpCode::{Continuation, Text};
    let fits = (FIN, Text, &b"12345678"[..]);
    let cases: &[Frames] = &[
        &[(FIN, Text, b"123456789")],
        &[(MORE, Text, b"123456789"), (FIN, Continuation, b"")],
        &[(MORE, Text, b"1234567"), (FIN, Continuation, b"89")],
        &[(MORE, Text, b"12345678"), (MORE, Continuation, b"9"), (FIN, Continuation, b"1")],
        &[(MORE, Text, b"1"), (FIN, Continuation, &[b'2'; 200])],
    ];
    for frames in cases {
        let bytes = server(&[&[fits], *frames, &[fits]].concat());
        let seen = see_wherever_cut(Sender::Server, 4, &bytes, |_| Interest::Collect { max: 8 });
        let expected = [text(b"12345678"), Event::TooLong, text(b"12345678")];
        assert_eq!(seen.events, expected, "{frames:?}");
        assert_eq!(seen.counts.messages, 3);
        assert!(!seen.has_ended);
    }
}

#[test]
fn a_bound_below_the_head_still_binds() {
    let bytes = server(&[(FIN, OpCode::Text, b"abcdef"), (FIN, OpCode::Text, b"abc")]);
    let seen = see_wherever_cut(Sender::Server, 128, &bytes, |_| Interest::Collect { max: 3 });
    assert_eq!(seen.events, [Event::TooLong, text(b"abc")]);
}

#[test]
fn a_required_message_within_its_bound_is_delivered() {
    let bytes = frame(Sender::Client, FIN, OpCode::Text, b"12345678");
    let seen = see_wherever_cut(Sender::Client, 4, &bytes, |_| Interest::Require { max: 8 });
    assert_eq!(seen.events, [text(b"12345678")]);
}

#[test]
fn pings_and_pongs_are_counted_and_nothing_else() {
    let bytes = server(&[(FIN, OpCode::Ping, b""), (FIN, OpCode::Pong, &[7; 125]), (FIN, OpCode::Ping, b"abc")]);
    let seen = see_wherever_cut(Sender::Server, 128, &bytes, collect);
    assert_eq!((seen.starts, seen.events), (vec![], vec![]));
    let expected = Counts { bytes: 2 + 127 + 5, frames: 3, messages: 0, pings: 2, pongs: 1 };
    assert_eq!(seen.counts, expected);
}
