//! Where something may be put into a read.

use super::*;

#[test]
fn the_first_boundary_of_each_read_and_the_last_frames_start_are_known() {
    use OpCode::{Continuation, Ping, Text};
    let message = server(&[(FIN, Text, b"abcdef")]); // 8 bytes
    let ping = server(&[(FIN, Ping, b"abcd")]); // 6 bytes
    let first = server(&[(MORE, Text, b"abc")]); // 5 bytes
    let last = server(&[(FIN, Continuation, b"de")]); // 4 bytes
    let stream = [&message[..], &ping, &first, &ping, &last, &message].concat();

    // Ends of the reads; then the boundary, the frame's start, and whether the read's end is one.
    let cases: &[(usize, Option<usize>, Option<usize>, bool)] = &[
        (4, Some(0), Some(0), false),  // within a message
        (8, Some(4), None, true),      // to its end
        (8, Some(0), None, true),      // an empty read
        (9, Some(0), Some(0), false),  // within the ping's header
        (14, Some(5), None, true),     // the rest of the ping
        (19, Some(0), Some(0), false), // a whole fragment
        (27, None, Some(6), false),    // a ping, and half of the last fragment
        (37, Some(2), Some(2), true),  // its end and another message
    ];
    let mut follower = Follower::new(Sender::Server, 128);
    let mut from = 0;
    for (to, boundary, frame_start, at_boundary) in cases {
        let mut pass = follower.pass(&stream[from..*to]);
        while pass.next(&mut skip).is_some() {}
        assert_eq!(pass.message_boundary(), *boundary, "{from}..{to}");
        assert_eq!(pass.frame_start(), *frame_start, "{from}..{to}");
        assert_eq!(pass.position(), to - from);
        drop(pass);
        assert_eq!(follower.at_message_boundary(), *at_boundary, "{from}..{to}");
        from = *to;
    }
    assert_eq!(from, stream.len());
}

#[test]
fn there_is_no_boundary_after_a_close() {
    let bytes = server(&[(FIN, OpCode::Text, b"abc"), (FIN, OpCode::Close, b"")]);
    let mut follower = Follower::new(Sender::Server, 0);
    for (read, expected) in [(&bytes[..3], Some(0)), (&bytes[3..], Some(2)), (b"", None)] {
        let mut pass = follower.pass(read);
        while pass.next(&mut skip).is_some() {}
        assert_eq!(pass.message_boundary(), expected);
    }
    assert!(!follower.at_message_boundary());
}

#[test]
fn after_an_event_the_position_is_where_its_frame_ended() {
    let bytes = server(&[(FIN, OpCode::Text, b"abc"), (FIN, OpCode::Ping, b""), (FIN, OpCode::Text, b"defg")]);
    let mut follower = Follower::new(Sender::Server, 128);
    let mut pass = follower.pass(bytes.as_slice());
    let mut offsets = Vec::new();
    while pass.next(&mut stream).is_some() {
        offsets.push((pass.frame_start(), pass.position()));
    }
    assert_eq!(offsets, [(Some(0), 5), (Some(7), 13)]);
}
