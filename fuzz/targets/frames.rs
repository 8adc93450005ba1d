//! The follower of WebSocket frames against tungstenite, whole and cut.
//!
//! The first byte says who sends, by its lowest bit, and how many bytes of a message are seen first; frames follow.

use realtime_byok::ws::follower::Follower;
use realtime_byok::ws::{Counts, Event, Interest, ProtocolError, Sender};

use super::cuts;
use super::wire::{End, Heard, read};

/// All that following shows.
#[derive(Debug, PartialEq)]
struct Seen {
    messages: Vec<Vec<u8>>,
    close: Option<u16>,
    error: Option<ProtocolError>,
    counts: Counts,
}

pub fn run(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let sender = if first & 1 == 0 { Sender::Client } else { Sender::Server };
    let first = 1 + u16::from(first >> 1) % 32;
    let all = |_: &[u8]| Interest::Stream;
    let some = |message: &[u8]| match message.first().is_some_and(|byte| byte % 2 == 1) {
        true => Interest::Stream,
        false => Interest::Skip,
    };
    let whole = follow(sender, first, &[bytes], all);
    let skipping = follow(sender, first, &[bytes], some);
    assert_eq!((whole.counts, &whole.error, whole.close), (skipping.counts, &skipping.error, skipping.close));
    for pieces in cuts(bytes).skip(1) {
        assert_eq!(follow(sender, first, &pieces, all), whole);
        assert_eq!(follow(sender, first, &pieces, some), skipping);
    }
    compare(&whole, read(bytes, sender == Sender::Client));
}

fn follow(sender: Sender, first: u16, reads: &[&[u8]], decide: impl Fn(&[u8]) -> Interest) -> Seen {
    let mut follower = Follower::new(sender, first);
    let mut seen = Seen { messages: Vec::new(), close: None, error: None, counts: Counts::default() };
    let mut message = Vec::new();
    for read in reads {
        let mut pass = follower.pass(*read);
        while let Some(event) = pass.next(&mut |piece| {
            assert!(!piece.is_empty() && (!message.is_empty() || piece.len() <= usize::from(first)));
            message.extend_from_slice(piece);
            let interest = decide(&message);
            if interest == Interest::Skip {
                message.clear();
            }
            interest
        }) {
            assert!(seen.close.is_none() && seen.error.is_none(), "something comes after the end");
            match event {
                Event::MessageEnd => seen.messages.push(std::mem::take(&mut message)),
                Event::Ping(_) => {}
                Event::Close(close) => seen.close = Some(close.map_or(1005, |close| close.code().value())),
                Event::ProtocolError(error) => seen.error = Some(error),
            }
        }
        assert!(pass.position() <= read.len());
        let boundary = pass.message_boundary();
        assert!(boundary.is_none_or(|boundary| boundary <= read.len()));
    }
    assert_eq!(follower.has_ended(), seen.close.is_some() || seen.error.is_some());
    seen.counts = follower.counts();
    seen
}

/// Where both judge, they judge the same; each knows faults that the other does not look for.
fn compare(ours: &Seen, (theirs, end): (Heard, End)) {
    let both = ours.messages.len().min(theirs.messages.len());
    assert_eq!(ours.messages[..both], theirs.messages[..both]);
    match (ours.error, end) {
        // It hears nothing after text that is not UTF-8.
        (_, End::Content) => {}
        // It does not hear of a frame whose payload has not all come; a header of it that is wrong is wrong at once.
        (None, End::Over) => {
            assert_eq!(ours.messages, theirs.messages);
            assert_eq!((ours.counts.pings, ours.counts.pongs), (theirs.pings, theirs.pongs));
            // It takes 1012 to 1014 for codes that nobody may send; IANA has registered them since.
            let is_registered = matches!(ours.close, Some(1012..=1014));
            assert!(ours.close == theirs.close || is_registered && theirs.close == Some(1002), "{:?}", theirs.close);
        }
        (None, End::Violation) => panic!("what breaks RFC 6455 is followed"),
        // It takes these for what they are meant to be: a short control frame whose length is written long among them.
        (Some(ProtocolError::LengthNotMinimal | ProtocolError::LengthOverflow | ProtocolError::LongControl), _) => {
            assert!(ours.messages.len() <= theirs.messages.len());
        }
        (Some(ProtocolError::InvalidCloseCode(_)), End::Over) => assert_eq!(ours.messages, theirs.messages),
        (Some(_), End::Over) => {
            assert_eq!(ours.messages, theirs.messages);
            assert_eq!(theirs.close, None, "it closes, and is not followed");
        }
        (Some(_), End::Violation) => assert_eq!(ours.messages, theirs.messages),
    }
}
