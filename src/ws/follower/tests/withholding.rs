//! Messages that are withheld, in any cut: what goes on of them is what is said of each when it has ended.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::ws::{FollowedRead, Rewrite, message_frame};

/// What becomes of a message, which its first byte says.
fn fate(payload: &[u8]) -> Option<Vec<u8>> {
    match payload.first() {
        None | Some(b'p' | b's') => Some(payload.to_vec()),
        Some(b'r') => Some([payload, b" and more"].concat()),
        Some(_) => None,
    }
}

/// What goes on of these reads. What begins with `s` is streamed as soon as that is known.
fn relayed<'a>(sender: Sender, reads: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut follower = Follower::new(sender, 16).withholding();
    let (mut sent, mut message) = (Vec::new(), Vec::new());
    for read in reads {
        let mut pass = follower.pass(read);
        while let Some(event) = pass.next(&mut |piece| {
            message.extend_from_slice(piece);
            if message.starts_with(b"s") { Interest::Stream } else { Interest::Withhold }
        }) {
            if event == Event::MessageEnd {
                decide(sender, std::mem::take(&mut message), &mut pass);
            }
        }
        sent.extend(applied(pass.finish(), read));
        assert!(follower.held() <= 2 * read.len().max(1 << 17));
    }
    sent
}

fn decide(sender: Sender, message: Vec<u8>, pass: &mut FollowedRead<'_, &[u8]>) {
    match message.first() {
        None | Some(b'p' | b's') => pass.release(),
        Some(b'r') => {
            let (opcode, payload) = pass.withheld_message().unwrap();
            assert_eq!(payload, message);
            let mask = (sender == Sender::Client).then_some([9, 8, 7, 6]);
            pass.replace(message_frame(opcode, mask, fate(&payload).unwrap()));
        }
        // Of what nothing is said, nothing goes on.
        Some(_) => {}
    }
}

fn applied(rewrite: Rewrite, mut read: &[u8]) -> Vec<u8> {
    match rewrite.apply(&mut read).unwrap() {
        None => read.to_vec(),
        Some((from, bytes)) => [&read[..from], &bytes].concat(),
    }
}

/// The messages and control frames in these bytes, which must be valid to their end.
fn received(sender: Sender, bytes: &[u8]) -> Vec<(OpCode, Vec<u8>)> {
    let mut follower = Follower::new(sender, 16).telling_pings();
    let (mut got, mut message) = (Vec::new(), Vec::new());
    let mut pass = follower.pass(bytes);
    while let Some(event) = pass.next(&mut |piece| {
        message.extend_from_slice(piece);
        Interest::Stream
    }) {
        got.push(match event {
            Event::MessageEnd => (OpCode::Text, std::mem::take(&mut message)),
            Event::Ping(payload) => (OpCode::Ping, payload),
            event => panic!("{event:?}"),
        });
    }
    drop(pass);
    assert!(follower.at_message_boundary(), "it ends within a message");
    got
}

/// A message's frames: where it is cut, and whether a ping stands behind each cut.
type Sent = (Vec<u8>, Vec<(Index, bool)>);

fn frames(sender: Sender, (payload, cuts): &Sent) -> Vec<u8> {
    let mut cuts: Vec<_> = cuts.iter().map(|(cut, pings)| (cut.index(payload.len() + 1), *pings)).collect();
    cuts.sort_unstable();
    let (mut bytes, mut from, mut opcode) = (Vec::new(), 0, OpCode::Text);
    for (cut, pings) in cuts {
        bytes.extend(frame(sender, MORE, opcode, &payload[from..cut]));
        if pings {
            bytes.extend(frame(sender, FIN, OpCode::Ping, b"ping"));
        }
        (from, opcode) = (cut, OpCode::Continuation);
    }
    bytes.extend(frame(sender, FIN, opcode, &payload[from..]));
    bytes
}

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let first = prop::sample::select(vec![&b"p"[..], b"s", b"r", b"d", b""]);
    let length = prop_oneof![6 => 0..40_usize, 2 => 100..300_usize, 1 => 65_500..65_560_usize];
    let payload = (first, length).prop_map(|(first, length)| match first {
        b"" => Vec::new(),
        first => [first, &vec![b'x'; length]].concat(),
    });
    vec((payload, vec((any::<Index>(), any::<bool>()), 0..4)), 0..6)
}

proptest! {
    #[test]
    fn each_message_has_its_fate_and_what_is_let_go_is_as_it_came(
        sender in prop_oneof![Just(Sender::Client), Just(Sender::Server)],
        sent in sent(),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let all: Vec<_> = sent.iter().map(|sent| frames(sender, sent)).collect();
        let bytes = all.concat();
        let want: Vec<_> = sent.iter().filter_map(|(payload, _)| fate(payload)).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let reads = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
        let got = relayed(sender, reads);
        let (messages, pings): (Vec<_>, Vec<_>) =
            received(sender, &got).into_iter().partition(|(opcode, _)| *opcode == OpCode::Text);
        let messages: Vec<_> = messages.into_iter().map(|(_, payload)| payload).collect();
        prop_assert_eq!(messages, want);
        prop_assert_eq!(pings.len(), sent.iter().flat_map(|(_, cuts)| cuts).filter(|(_, pings)| *pings).count());

        // What is only let go keeps its frames, where no control frame has overtaken them.
        let passes = |(payload, cuts): &Sent| {
            !matches!(payload.first(), Some(b'r' | b'd')) && !cuts.iter().any(|(_, pings)| *pings)
        };
        if sent.iter().all(passes) {
            prop_assert_eq!(&got, &bytes);
        }
        let bytewise = relayed(sender, bytes.chunks(if bytes.len() < 2_000 { 1 } else { 97 }));
        let messages = |bytes: &[u8]| received(sender, bytes).into_iter().filter(|(opcode, _)| *opcode == OpCode::Text).collect::<Vec<_>>();
        prop_assert_eq!(messages(&bytewise), messages(&got));
    }
}

#[test]
fn a_violation_within_a_withheld_message_lets_nothing_of_it_through() {
    let begun = server(&[(FIN, OpCode::Text, b"p"), (MORE, OpCode::Text, b"r")]);
    let bytes = [&begun[..], &[0xf0]].concat();
    for cut in 0..=bytes.len() {
        let mut follower = Follower::new(Sender::Server, 16).withholding();
        let mut sent = Vec::new();
        for read in [&bytes[..cut], &bytes[cut..]] {
            let mut pass = follower.pass(read);
            while let Some(event) = pass.next(&mut |_| Interest::Withhold) {
                if event == Event::MessageEnd {
                    pass.release();
                }
            }
            sent.extend(applied(pass.finish(), read));
        }
        assert!(follower.has_ended() && follower.held() == 0);
        assert_eq!(sent.get(..3), Some(&begun[..3]), "cut at {cut}");
        assert!(sent.len() <= 4, "the frame at fault, and nothing before it");
    }
}

#[test]
fn a_read_that_is_left_early_ends_what_is_withheld() {
    let begun = server(&[(MORE, OpCode::Text, b"r")]);
    let mut follower = Follower::new(Sender::Server, 16).withholding();
    let mut pass = follower.pass(begun.as_slice());
    assert_eq!(pass.next(&mut |_| Interest::Withhold), None);
    drop(pass);
    assert!(follower.has_ended());
}
